//! A track of a peer's on its way into a ring.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::watch;
use weir_protocol::loc::{MICROSECONDS, ObjectProperties};
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::{Properties, PublishDoneCode, SessionError, TrackProperties};

use super::contents::learn;
use super::object::from_datagram;
use super::{Fault, Peer};
use crate::ring::{Object, PushError, Subgroup, SubgroupEnd, SubgroupOptions};
use crate::stats::{Arrival, Kind, Received};
use crate::stream::{Stream, TrackWriter};

/// Whether the track's streams may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Not yet: the past comes first.
    Closed,
    /// They may.
    Open,
    /// Not any more: somebody else goes on with the track.
    Left,
}

/// A track of a peer's on its way into a ring.
#[derive(Debug)]
pub struct Inlet {
    pub(super) writer: TrackWriter,
    stream: Arc<Stream>,
    /// What the track is measured as, once the stream's catalog has said what it carries.
    kind: OnceLock<Option<Kind>>,
    timescale: u64,
    /// Whether another source may go on where this one stops.
    pub(super) resumable: bool,
    gate: watch::Sender<Gate>,
    /// Why the track cannot be carried, when it cannot.
    failure: watch::Sender<Option<(PublishDoneCode, String)>>,
    /// Streams that are being read.
    pub(super) reading: AtomicUsize,
    /// The group whose datagrams came last.
    datagrams: Mutex<Option<(u64, Arc<Subgroup>)>>,
}

/// An inlet in its peer's table. Dropping it takes it out.
#[derive(Debug)]
pub struct Registration {
    peer: Arc<Peer>,
    alias: u64,
    inlet: Arc<Inlet>,
}

impl Registration {
    /// Gives what comes on `alias` to `inlet`. The table has as many entries as the peer has
    /// requests, or we of it.
    ///
    /// # Errors
    ///
    /// A violation when the alias means another track already.
    pub fn new(peer: &Arc<Peer>, alias: u64, inlet: Arc<Inlet>) -> Result<Self, Fault> {
        let mut inlets = peer.inlets.lock();
        if inlets.contains_key(&alias) {
            return Err(Fault {
                code: SessionError::DuplicateTrackAlias,
                reason: format!("track alias {alias} is in use"),
            });
        }
        inlets.insert(alias, Arc::clone(&inlet));
        drop(inlets);
        peer.inlet_changes.send_replace(());
        Ok(Self {
            peer: Arc::clone(peer),
            alias,
            inlet,
        })
    }

    /// The inlet.
    pub fn inlet(&self) -> &Arc<Inlet> {
        &self.inlet
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.peer.inlets.lock().remove(&self.alias);
        self.inlet.leave();
    }
}

impl Inlet {
    /// An inlet whose gate is open.
    pub fn new(stream: &Arc<Stream>, writer: TrackWriter) -> Arc<Self> {
        Arc::new(Self::with_gate(stream, writer, Gate::Open, false))
    }

    /// An inlet that waits for the past of the track, and that another source may go on for.
    pub(super) fn waiting(stream: &Arc<Stream>, writer: TrackWriter) -> Arc<Self> {
        Arc::new(Self::with_gate(stream, writer, Gate::Closed, true))
    }

    fn with_gate(stream: &Arc<Stream>, writer: TrackWriter, gate: Gate, resumable: bool) -> Self {
        let block = Properties::new(writer.track().properties.clone());
        let known = block.and_then(|block| TrackProperties::parse(&block));
        let timescale = known.ok().and_then(|known| known.timescale);
        Self {
            writer,
            stream: Arc::clone(stream),
            kind: OnceLock::new(),
            timescale: timescale.unwrap_or(MICROSECONDS),
            resumable,
            gate: watch::Sender::new(gate),
            failure: watch::Sender::new(None),
            reading: AtomicUsize::new(0),
            datagrams: Mutex::default(),
        }
    }

    /// Lets the track's streams be read.
    pub(super) fn open(&self) {
        self.gate.send_if_modified(|gate| {
            let closed = *gate == Gate::Closed;
            *gate = if closed { Gate::Open } else { *gate };
            closed
        });
    }

    /// Stops reading: what is open stays open for whoever goes on with it.
    pub(super) fn leave(&self) {
        self.gate.send_replace(Gate::Left);
    }

    pub(super) fn gate(&self) -> watch::Receiver<Gate> {
        self.gate.subscribe()
    }

    /// Says that the track cannot be carried further.
    pub(super) fn fail(&self, code: PublishDoneCode, reason: impl Into<String>) {
        self.failure.send_replace(Some((code, reason.into())));
    }

    /// Waits until the track cannot be carried further.
    pub async fn failed(&self) -> (PublishDoneCode, String) {
        let mut failure = self.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        let failed = failed.ok().and_then(|failed| failed.clone());
        failed.unwrap_or((PublishDoneCode::Internal, String::new()))
    }

    /// Waits until no stream of the track is being read, as far as `streams` of them came.
    pub async fn drained(&self) {
        while self.reading.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// What the peer said ends the track for good.
    pub fn end(&self, code: PublishDoneCode) {
        self.writer.end(code);
    }

    pub(super) fn push(
        &self,
        group: u64,
        subgroup: &Arc<Subgroup>,
        object: Object,
    ) -> Result<(), PushError> {
        self.learn(&object);
        self.record(&object);
        self.writer.push_to(group, subgroup, object)
    }

    /// The same for an object of the past: when it came says nothing of the publisher's clock.
    pub(super) fn push_past(
        &self,
        group: u64,
        subgroup: &Arc<Subgroup>,
        object: Object,
    ) -> Result<(), PushError> {
        self.learn(&object);
        self.stream.on_bytes_in(object.wire.len());
        self.writer.push_to(group, subgroup, object)
    }

    fn learn(&self, object: &Object) {
        if self.writer.track().replayed && !object.is_status() {
            learn(&self.stream, &self.writer.track().name, &object.payload());
        }
    }

    fn record(&self, object: &Object) {
        self.stream.on_bytes_in(object.wire.len());
        let (media, reorder_us) = self.media(object).unzip();
        self.stream.on_received(Received {
            media,
            reorder_us: reorder_us.unwrap_or(0),
            first_byte_us: object.first_byte_us,
            complete_us: object.complete_us,
        });
    }

    /// What the object says of its media: the arrival, and how much later than decoded it is shown.
    fn media(&self, object: &Object) -> Option<(Arrival, u64)> {
        let kind = self.kind()?;
        let said = ObjectProperties::parse_with_timescale(&object.properties, self.timescale);
        let said = said.ok()?;
        let arrival = Arrival {
            kind,
            media_us: said.timestamp_us?.saturating_sub(said.composition_us),
            bytes: object.payload_len() as u64,
            key_frame: object.id == 0,
        };
        Some((arrival, said.composition_us))
    }

    /// What the track is measured as: what the catalog says, or what its name does until then.
    fn kind(&self) -> Option<Kind> {
        if let Some(kind) = self.kind.get() {
            return *kind;
        }
        let name = &self.writer.track().name;
        if let Some(kind) = self.stream.measured_kind(name) {
            return *self.kind.get_or_init(|| kind);
        }
        let has = |part: &[u8]| {
            let mut windows = name.windows(part.len());
            windows.any(|window| window.eq_ignore_ascii_case(part))
        };
        match (has(b"video"), has(b"audio")) {
            (true, _) => Some(Kind::Video),
            (false, true) => Some(Kind::Audio),
            (false, false) => None,
        }
    }

    /// Takes an object that came in a datagram; one that comes too late is dropped, as datagrams
    /// may be.
    pub(super) fn on_datagram(&self, object: &ObjectDatagram, now_us: u64) {
        if *self.gate.borrow() != Gate::Open {
            return;
        }
        let group = object.group;
        let mut current = self.datagrams.lock();
        if current.as_ref().is_none_or(|(id, _)| *id != group) {
            let options = SubgroupOptions {
                id: DATAGRAMS,
                priority: object.priority,
                end_of_group: false,
                first_object: false,
                datagrams: true,
            };
            let opened = self.writer.open_subgroup(group, options, object.object);
            let Ok(opened) = opened else { return };
            if let Some((older, subgroup)) = current.replace((group, opened)) {
                self.writer.end_subgroup(older, &subgroup, SubgroupEnd::Fin);
            }
        }
        if let Some((_, subgroup)) = current.as_ref() {
            let object = from_datagram(object, self.writer.track().alias, now_us);
            // Too late, or the track is over: dropped.
            let _ = self.push(group, subgroup, object);
        }
    }
}

/// The subgroup that stands for objects without one: no publisher can have that many.
const DATAGRAMS: u64 = u64::MAX;

/// How often is looked whether the last streams of a track have been read.
const DRAIN_LOOK: std::time::Duration = std::time::Duration::from_millis(10);
