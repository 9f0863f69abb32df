//! The writing side of a stream: who publishes, and onto which tracks.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use weir_protocol::catalog;
use weir_protocol::moqt::{Location, PublishDoneCode};

use super::{Stream, Track, TrackOptions, next_alias};
use crate::clock;
use crate::ring::{Object, PushError, Subgroup, SubgroupEnd, SubgroupOptions, Writer};
use crate::stats::events::{Event, EventKind};
use crate::stats::snapshot::{HopSnapshot, PublisherSnapshot};

/// The right to write a stream. Dropping it leaves the stream lingering.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    writer: Writer,
}

impl Publisher {
    /// Takes the stream over from whoever publishes it; `None` when the stream has ended.
    pub(crate) fn take_over(stream: &Arc<Stream>, info: PublisherSnapshot) -> Option<Self> {
        let mut state = stream.state.lock();
        if state.ended {
            return None;
        }
        let returning = stream.writer.borrow().0 > 0;
        let kind = match (returning, state.live) {
            (false, _) => EventKind::PublisherConnected,
            (true, false) => EventKind::PublisherReturned,
            (true, true) => EventKind::PublisherTookOver,
        };
        let event = Event::new(kind, clock::unix_ms()).who(&info.addr);
        let event = event.detail(&info.encoder);
        state.publisher = info;
        state.live = true;
        state.live_since_us = clock::now_us();
        stream.inflow.lock().timeline.restart();
        state.ends_us = None;
        let mut writer = Writer(0);
        stream.writer.send_modify(|current| {
            current.0 += 1;
            writer = *current;
        });
        drop(state);
        stream.log(event);
        if returning {
            stream.ingest().on_reconnect();
        }
        for track in stream.tracks.read().values() {
            track.ring.take_over(writer);
        }
        Some(Self {
            stream: Arc::clone(stream),
            writer,
        })
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The track of that name, made if the stream has none; `options` apply to a new one.
    pub fn track(&self, name: &'static str, options: TrackOptions) -> TrackWriter {
        let name = Bytes::from_static(name.as_bytes());
        let mut tracks = self.stream.tracks.write();
        let track = tracks
            .entry(name.clone())
            .or_insert_with(|| self.new_track(name, options));
        track.ring.take_over(self.writer);
        let track = Arc::clone(track);
        drop(tracks);
        self.stream.added.send_replace(());
        self.writer_of(track)
    }

    /// The same for a publisher whose group ids are its own, of which `largest` was published.
    ///
    /// A track that it cannot go on with, because its ids began anew or the track has ended, is
    /// ended, and another one takes its name: no id may stand for two objects. With `resumed` the
    /// track is this publisher's own already, from another source, which may be a little behind.
    pub fn open_track(
        &self,
        name: Bytes,
        options: TrackOptions,
        largest: Option<Location>,
        resumed: bool,
    ) -> TrackWriter {
        let mut tracks = self.stream.tracks.write();
        let known = tracks.get(&name).filter(|known| {
            let have = known.ring.largest().map(|have| have.group);
            let largest = largest.map(|largest| largest.group);
            let behind = have.unwrap_or_default()
                - largest.unwrap_or_default().min(have.unwrap_or_default());
            let follows = largest >= have || resumed && behind <= CATCH_UP_GROUPS;
            !known.ring.is_ended() && follows
        });
        let track = match known.cloned() {
            Some(known) => known,
            None => {
                let track = self.new_track(name.clone(), options);
                let replaced = tracks.insert(name, Arc::clone(&track));
                if let Some(replaced) = replaced {
                    replaced.ring.end();
                }
                track
            }
        };
        drop(tracks);
        track.ring.take_over(self.writer);
        self.stream.added.send_replace(());
        self.writer_of(track)
    }

    /// Takes a track out, unless somebody has begun to read it.
    pub fn remove_track(&self, track: &Arc<Track>) -> bool {
        let mut tracks = self.stream.tracks.write();
        let is = tracks
            .get(&track.name)
            .is_some_and(|known| Arc::ptr_eq(known, track));
        if track.ring.has_readers() && !track.ring.is_ended() {
            return false;
        }
        if is {
            tracks.remove(&track.name);
        }
        drop(tracks);
        track.ring.end();
        true
    }

    /// How many tracks the stream has.
    pub fn track_count(&self) -> usize {
        self.stream.tracks.read().len()
    }

    fn new_track(&self, name: Bytes, options: TrackOptions) -> Arc<Track> {
        Arc::new(Track {
            replayed: catalog::is_track_name(&name),
            name,
            alias: next_alias(),
            ring: Arc::new(self.stream.ring()),
            properties: options.properties,
            priority: options.priority,
            first_frame: options.first_frame,
            fate: OnceLock::new(),
        })
    }

    fn writer_of(&self, track: Arc<Track>) -> TrackWriter {
        TrackWriter {
            track,
            writer: self.writer,
            first_group: self.stream.since_ms,
        }
    }

    /// Says that the stream's tracks can be subscribed now: its name is told to those who ask.
    ///
    /// Not done at once, as who is told a name subscribes to its catalog and does not wait.
    pub fn announce(&self) {
        let mut state = self.stream.state.lock();
        if !std::mem::replace(&mut state.announced, true) {
            drop(state);
            self.stream.names.send_modify(|version| *version += 1);
        }
    }

    /// Maps a publisher's timestamp onto the stream's timeline.
    pub fn media_us(&self, timestamp_us: u64, now_us: u64) -> u64 {
        let mut inflow = self.stream.inflow.lock();
        inflow.timeline.map(timestamp_us, now_us)
    }

    /// Says who publishes, when it becomes known after publishing began.
    pub fn set_encoder(&self, encoder: &str) {
        let mut state = self.stream.state.lock();
        encoder.clone_into(&mut state.publisher.encoder);
    }

    /// Says which upstream the stream comes from now, and how long that takes.
    pub fn set_hop(&self, addr: &str, implementation: &str, hop: HopSnapshot) {
        let mut state = self.stream.state.lock();
        addr.clone_into(&mut state.publisher.addr);
        implementation.clone_into(&mut state.publisher.encoder);
        state.publisher.hop = Some(hop);
    }

    /// Waits until another publisher takes over or the stream is ended.
    pub fn superseded(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let writer = self.writer;
        let mut changes = self.stream.writer.subscribe();
        async move {
            // An error would mean that the stream is gone, which is the same news.
            let _ = changes.wait_for(|current| *current > writer).await;
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut state = self.stream.state.lock();
        if *self.stream.writer.borrow() == self.writer {
            state.live = false;
            if state.holds == 0 {
                state.ends_us = Some(clock::now_us() + self.stream.config.linger_us);
            }
            let event = Event::new(EventKind::PublisherGone, clock::unix_ms());
            let event = event.who(&state.publisher.addr);
            drop(state);
            self.stream.log(event);
        }
    }
}

/// The right to write one track.
#[derive(Clone, Debug)]
pub struct TrackWriter {
    track: Arc<Track>,
    writer: Writer,
    first_group: u64,
}

impl TrackWriter {
    /// Begins the next group.
    ///
    /// The first group of a stream is numbered by the time it began, so that the ids of a stream
    /// that ended and began anew, or of a relay that restarted, never repeat.
    pub fn begin_group(&self) -> Result<u64, PushError> {
        self.track.ring.begin_group(self.writer, self.first_group)
    }

    /// Appends to the newest group.
    pub fn push(&self, object: Object) -> Result<(), PushError> {
        self.track.ring.push(self.writer, object)
    }

    /// The track.
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// See [`crate::ring::Ring::open_subgroup`].
    pub fn open_subgroup(
        &self,
        group: u64,
        options: SubgroupOptions,
        first: u64,
    ) -> Result<Arc<Subgroup>, PushError> {
        let ring = &self.track.ring;
        ring.open_subgroup(self.writer, group, options, first)
    }

    /// See [`crate::ring::Ring::push_to`].
    pub fn push_to(
        &self,
        group: u64,
        subgroup: &Arc<Subgroup>,
        object: Object,
    ) -> Result<(), PushError> {
        self.track
            .ring
            .push_to(self.writer, group, subgroup, object)
    }

    /// See [`crate::ring::Ring::end_subgroup`].
    pub fn end_subgroup(&self, group: u64, subgroup: &Arc<Subgroup>, end: SubgroupEnd) {
        self.track.ring.end_subgroup(group, subgroup, end);
    }

    /// See [`crate::ring::Ring::leave_subgroup`].
    pub fn leave_subgroup(&self, group: u64, subgroup: &Arc<Subgroup>) {
        self.track.ring.leave_subgroup(group, subgroup);
    }

    /// Ends the track for this reason.
    pub fn end(&self, fate: PublishDoneCode) {
        // The first reason is the one that viewers are told.
        let _ = self.track.fate.set(fate);
        self.track.ring.end();
    }

    /// Completes the newest group.
    pub fn complete_group(&self) -> Result<(), PushError> {
        self.track.ring.complete_group(self.writer)
    }
}

/// Groups that a source may be behind another one of the same track: it is as live as the other,
/// but for the network. Of a source that counts in another way this is not to be expected.
const CATCH_UP_GROUPS: u64 = 16;
