//! A viewer's connection in the model: streams over packets that are lost, late and out of order,
//! with what QUIC puts against that: acknowledgement, repetition, windows.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use weir_loadtest::impair::{Link, LinkConfig, Verdict};
use weir_protocol::moqt::datagram::ObjectDatagram;

use state::{PACKET, Sending, State, wake};

use crate::sender::{Lost, Opening, Outlet, OutletStream, WriteError, send_window};

/// What a viewer allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grants {
    /// Bytes beyond those that it has read.
    pub(super) credit: u64,
    /// Streams open at a time.
    pub(super) streams: u64,
}

/// What goes over the network to the viewer.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    Data {
        stream: u64,
        offset: u64,
        chunks: Vec<Bytes>,
        fin: bool,
    },
    Reset {
        stream: u64,
        /// Bytes that were written to it.
        size: u64,
    },
    Datagram(Bytes),
}

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) number: Option<u64>,
    pub(super) max_data: u64,
    pub(super) max_streams: u64,
    pub(super) stop: Option<u64>,
}

/// What the relay has done on a connection, for the accounts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Streams whose handle was dropped without an end.
    pub(super) abandoned: u64,
    pub(super) packets: u64,
    pub(super) lost: u64,
}

/// Objects that the relay has written to a connection, by track alias.
pub(super) type Written = BTreeMap<u64, u64>;

/// The relay's side of a viewer's connection.
pub(super) struct Wire(Mutex<State>);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(super) fn new(
        down: LinkConfig,
        up: LinkConfig,
        seed: u64,
        grants: Grants,
        now_us: u64,
    ) -> Self {
        let way = down.delay + down.jitter + up.delay + up.jitter;
        Self(Mutex::new(State {
            rtt_us: crate::clock::micros(way).max(1_000),
            down: Link::new(down, seed),
            up: Link::new(up, seed ^ 1),
            streams: BTreeMap::new(),
            ready: BTreeSet::new(),
            opened: 0,
            max_streams: grants.streams,
            in_flight: BTreeMap::new(),
            numbers: 0,
            cwnd: 10 * PACKET,
            threshold: u64::MAX,
            recovery_from: 0,
            timeouts: 0,
            heard_us: now_us,
            unacked: 0,
            window: send_window(0),
            accepted: 0,
            max_data: grants.credit,
            lost: false,
            blocked: Vec::new(),
            openers: Vec::new(),
            datagrams: Vec::new(),
            written: Written::new(),
            tally: Tally::default(),
        }))
    }

    /// Sends what may be sent: each packet with the times at which it arrives.
    pub(super) fn transmit(&self, now_us: u64) -> Vec<(u64, u64, Frame)> {
        self.0.lock().transmit(now_us)
    }

    /// When an answer from the viewer arrives here, if it does.
    pub(super) fn answer(&self, now_us: u64) -> Option<u64> {
        match self.0.lock().up.offer(now_us, 40) {
            Verdict::DeliverAt(at_us) | Verdict::DeliverTwice(at_us) => Some(at_us),
            Verdict::Drop(_) => None,
        }
    }

    pub(super) fn on_ack(&self, ack: Ack, now_us: u64) {
        self.0.lock().on_ack(ack, now_us);
    }

    /// The timer: repeats what was not acknowledged in time. Returns when to look again.
    pub(super) fn on_timer(&self, now_us: u64) -> Option<u64> {
        self.0.lock().on_timer(now_us)
    }

    /// The viewer is gone, or nothing was heard of it for too long.
    pub(super) fn lose(&self) {
        self.0.lock().lose();
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.lock().lost
    }

    /// Whether a stream would take something now, which may be a new stream.
    pub(super) fn takes_more(&self) -> bool {
        let state = self.0.lock();
        !state.lost && state.limit() > 0 && state.opened < state.max_streams
    }

    /// What holds the connection, for who reads that a promise was broken.
    pub(super) fn what(&self) -> String {
        let state = self.0.lock();
        let (limit, opened, most) = (state.limit(), state.opened, state.max_streams);
        let (blocked, openers) = (state.blocked.len(), state.openers.len());
        format!(
            "takes {limit} bytes, {opened} streams of {most}, {blocked} and {openers} wait for it"
        )
    }

    /// From here on the network does nothing but take its time.
    pub(super) fn heal(&self, config: LinkConfig) {
        let mut state = self.0.lock();
        state.down.set_config(config.clone());
        state.up.set_config(config);
    }

    /// Whether nothing is on its way and nothing waits to be sent.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.lock().is_quiet()
    }

    pub(super) fn tally(&self) -> Tally {
        self.0.lock().tally
    }

    /// Objects of a track that were written whole.
    pub(super) fn written(&self, alias: u64) -> u64 {
        self.0.lock().written.get(&alias).copied().unwrap_or(0)
    }

    /// Each stream: its objects as written, and whether it was given up or all of it arrived.
    pub(super) fn streams(&self) -> Vec<(u64, usize, bool, bool)> {
        let state = self.0.lock();
        let streams = state.streams.iter();
        streams
            .map(|(id, stream)| {
                let objects = stream.witness.objects.len();
                (*id, objects, stream.given_up(), stream.all_acked())
            })
            .collect()
    }
}

impl Outlet for Wire {
    type Stream = WireStream;

    fn open(self: &Arc<Self>) -> Opening<WireStream> {
        let wire = Arc::clone(self);
        Box::pin(poll_fn(move |cx| {
            let mut state = wire.0.lock();
            if state.lost {
                return Poll::Ready(Err(Lost));
            }
            if state.opened >= state.max_streams {
                state.openers.push(cx.waker().clone());
                return Poll::Pending;
            }
            let id = state.opened;
            state.opened += 1;
            state.streams.insert(id, Sending::default());
            Poll::Ready(Ok(WireStream {
                wire: Arc::clone(&wire),
                id,
                ended: false,
            }))
        }))
    }

    fn fit_send_window(&self) {
        let mut state = self.0.lock();
        let before = state.limit();
        state.window = send_window(state.cwnd);
        if before == 0 && state.limit() > 0 {
            wake(&mut state.blocked);
        }
    }

    fn send_datagram(&self, datagram: Bytes) -> bool {
        let mut state = self.0.lock();
        let fits = !state.lost && datagram.len() as u64 <= PACKET;
        if fits {
            if let Ok(Some(object)) = ObjectDatagram::decode(&datagram) {
                *state.written.entry(object.alias).or_default() += 1;
            }
            state.datagrams.push(datagram);
        }
        fits
    }
}

/// A stream to a viewer.
pub(super) struct WireStream {
    wire: Arc<Wire>,
    id: u64,
    ended: bool,
}

impl OutletStream for WireStream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>> {
        let mut state = self.wire.0.lock();
        if state.lost {
            return Poll::Ready(Err(WriteError::Lost));
        }
        let mut limit = state.limit();
        let Some(stream) = state.streams.get_mut(&self.id) else {
            return Poll::Ready(Err(WriteError::Stopped));
        };
        if stream.stopped {
            return Poll::Ready(Err(WriteError::Stopped));
        }
        if limit == 0 {
            state.blocked.push(cx.waker().clone());
            return Poll::Pending;
        }
        let (mut whole, mut taken, mut objects) = (0, 0, 0);
        for chunk in chunks {
            let take = chunk
                .len()
                .min(usize::try_from(limit).unwrap_or(usize::MAX));
            let piece = chunk.split_to(take);
            limit -= piece.len() as u64;
            taken += piece.len() as u64;
            objects += stream.witness.on_written(piece.clone()) as u64;
            stream.rope.push(piece);
            if !chunk.is_empty() {
                break;
            }
            whole += 1;
        }
        let alias = stream.witness.header.as_ref().map(|header| header.alias);
        if let Some(alias) = alias {
            *state.written.entry(alias).or_default() += objects;
        }
        state.unacked += taken;
        state.accepted += taken;
        state.ready.insert(self.id);
        Poll::Ready(Ok(whole))
    }

    fn set_priority(&self, priority: i32) {
        if let Some(stream) = self.wire.0.lock().streams.get_mut(&self.id) {
            stream.priority = priority;
        }
    }

    fn finish(mut self) -> Option<impl Future<Output = bool> + Send + 'static> {
        self.ended = true;
        let (wire, id) = (Arc::clone(&self.wire), self.id);
        let mut state = wire.0.lock();
        let stream = state.streams.get_mut(&id)?;
        if stream.stopped {
            return None;
        }
        stream.fin = true;
        state.ready.insert(id);
        drop(state);
        Some(poll_fn(move |cx| {
            let mut state = wire.0.lock();
            let lost = state.lost;
            let Some(stream) = state.streams.get_mut(&id) else {
                return Poll::Ready(false);
            };
            if stream.all_acked() {
                return Poll::Ready(true);
            }
            if lost || stream.given_up() {
                return Poll::Ready(false);
            }
            stream.finished.push(cx.waker().clone());
            Poll::Pending
        }))
    }

    fn reset(mut self, _code: u32) {
        self.ended = true;
        let mut state = self.wire.0.lock();
        let before = state.limit();
        let mut freed = 0;
        if let Some(stream) = state.streams.get_mut(&self.id)
            && !stream.given_up()
        {
            stream.reset = true;
            freed = stream.rope.len() - stream.acked;
        }
        state.ready.insert(self.id);
        state.unacked -= freed;
        if before == 0 && state.limit() > 0 {
            wake(&mut state.blocked);
        }
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        let mut state = self.wire.0.lock();
        let stopped = |stream: &Sending| stream.stopped;
        let stopped = state.streams.get(&self.id).is_some_and(stopped);
        if !self.ended && !state.lost && !stopped {
            state.tally.abandoned += 1;
        }
    }
}
