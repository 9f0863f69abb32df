//! The track ring: one writer, many readers, groups of shared objects.
//!
//! The writer appends under a short lock and wakes each *shard* that reads, not each viewer. A
//! reader keeps its own mirror of the ring, a list of reference counts, and brings it up to date
//! once per pass; its viewers are then served from the mirror without any lock. So the writer
//! waits for at most as many readers as there are cores, for the time it takes to clone one
//! object's handle, and a slow viewer cannot hold it at all.
//!
//! The newest group is always whole, whatever the budget; older groups stay while they fit the
//! budget in bytes and in time. Knows neither codecs nor sockets.

mod reader;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use weir_protocol::moqt::Location;

pub use reader::{Reader, Wake};

/// How much a track may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of complete groups kept beside the newest one.
    pub cache_bytes: usize,
    /// Age in microseconds, by completion, beyond which a complete group is dropped.
    pub cache_us: u64,
    /// Payload bytes of one group; its publisher is refused beyond.
    pub group_bytes: usize,
    /// Objects in one group; its publisher is refused beyond.
    pub group_objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Sixteen seconds of a 32 Mbit/s stream.
            cache_bytes: 64 << 20,
            // What a viewer may want to step back, and what an edge needs to bridge a failover.
            cache_us: 30_000_000,
            // A minute of 32 Mbit/s without a key frame.
            group_bytes: 256 << 20,
            // Eighteen minutes at 60 frames a second without a key frame.
            group_objects: 65_536,
        }
    }
}

/// One object as it goes onto a subgroup stream, with the times that its latency is made of.
///
/// All byte fields are slices of the one allocation that the object arrived in.
#[derive(Clone, Debug)]
pub struct Object {
    /// Object id within the group.
    pub id: u64,
    /// Object header and payload for a subgroup stream on which the preceding object is `id - 1`.
    pub wire: Bytes,
    /// Bytes of `wire` in front of the payload.
    pub header_len: usize,
    /// Object properties: the KVP block without its length.
    pub properties: Bytes,
    /// The header for peers that read the property ids of older drafts, where it differs.
    pub legacy: Option<LegacyHeader>,
    /// When the first byte of the object was read from its publisher.
    pub first_byte_us: u64,
    /// When the object was complete.
    pub complete_us: u64,
}

/// What differs for peers of draft 18, whose LOC registry has other property ids.
#[derive(Clone, Debug)]
pub struct LegacyHeader {
    /// The object header, to be followed by the payload.
    pub header: Bytes,
    /// Its properties: the KVP block without its length.
    pub properties: Bytes,
}

impl Object {
    /// The payload alone.
    pub fn payload(&self) -> Bytes {
        self.wire.slice(self.header_len..)
    }

    /// Length of the payload in bytes.
    pub fn payload_len(&self) -> usize {
        self.wire.len() - self.header_len
    }
}

/// Consecutive objects that can be decoded from the first on.
#[derive(Clone, Debug)]
pub struct Group {
    /// Group id; rises within a track, across publishers too.
    pub id: u64,
    /// The objects published so far, by rising id.
    pub objects: Vec<Object>,
    /// Whether no object will be added.
    pub complete: bool,
    bytes: usize,
}

impl Group {
    fn new(id: u64) -> Self {
        Self {
            id,
            objects: Vec::new(),
            complete: false,
            bytes: 0,
        }
    }

    /// When the newest object was complete; 0 for a group that is still empty.
    pub fn newest_us(&self) -> u64 {
        self.objects.last().map_or(0, |object| object.complete_us)
    }
}

/// The group with that id among `groups`, which are by rising id.
pub fn find(groups: &VecDeque<Group>, id: u64) -> Option<&Group> {
    // Nearly every viewer is in the newest group.
    let mut newest_first = groups.iter().rev();
    newest_first
        .find(|group| group.id <= id)
        .filter(|group| group.id == id)
}

/// Who may write: a publisher that took over has a higher number than the one it replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer(pub u64);

/// Why an object was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Another publisher took the track over.
    #[error("another publisher took over")]
    Superseded,
    /// The track has ended.
    #[error("the track has ended")]
    Ended,
    /// An object came before the first group.
    #[error("no group was begun")]
    NoGroup,
    /// The group grew beyond [`Limits::group_bytes`] or [`Limits::group_objects`].
    #[error("a group grew beyond {0} bytes or {1} objects: send key frames more often")]
    GroupTooLarge(usize, usize),
}

/// The groups of one track.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    state: RwLock<State>,
    wakes: Mutex<Vec<Arc<Wake>>>,
}

#[derive(Debug, Default)]
struct State {
    groups: VecDeque<Group>,
    /// Payload bytes of all groups but the newest.
    cached: usize,
    writer: Writer,
    ended: bool,
}

impl Ring {
    /// An empty ring.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: RwLock::default(),
            wakes: Mutex::default(),
        }
    }

    /// Hands the track to `writer`; from here on every older writer is refused.
    ///
    /// The group that the older writer left is complete: nothing will be added to it.
    pub fn take_over(&self, writer: Writer) {
        let mut state = self.state.write();
        state.writer = state.writer.max(writer);
        state.complete_newest();
        drop(state);
        self.wake();
    }

    /// Begins group `id`, completing the one before, and drops what exceeds the budget.
    ///
    /// `id` must be higher than every id before it; a lower one is raised to the next free id.
    /// Returns the id in use.
    pub fn begin_group(&self, writer: Writer, id: u64) -> Result<u64, PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        state.complete_newest();
        let next = state.groups.back().map_or(0, |newest| newest.id + 1);
        let id = id.max(next);
        state.cached += state.groups.back().map_or(0, |newest| newest.bytes);
        state.groups.push_back(Group::new(id));
        state.evict(&self.limits);
        Ok(id)
    }

    /// Appends an object to the newest group and wakes the readers.
    pub fn push(&self, writer: Writer, object: Object) -> Result<(), PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        let Some(group) = state.groups.back_mut().filter(|group| !group.complete) else {
            return Err(PushError::NoGroup);
        };
        let bytes = group.bytes + object.payload_len();
        if bytes > self.limits.group_bytes || group.objects.len() >= self.limits.group_objects {
            let limits = &self.limits;
            return Err(PushError::GroupTooLarge(
                limits.group_bytes,
                limits.group_objects,
            ));
        }
        group.bytes = bytes;
        group.objects.push(object);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Says that nothing will be added to the newest group: a catalog, or the end of an input.
    pub fn complete_group(&self, writer: Writer) -> Result<(), PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        state.complete_newest();
        drop(state);
        self.wake();
        Ok(())
    }

    /// Ends the track: nothing can be added, readers finish what is there.
    pub fn end(&self) {
        let mut state = self.state.write();
        state.complete_newest();
        state.ended = true;
        drop(state);
        self.wake();
    }

    /// Whether the track has ended.
    pub fn is_ended(&self) -> bool {
        self.state.read().ended
    }

    /// The newest object there is.
    pub fn largest(&self) -> Option<Location> {
        let state = self.state.read();
        let group = state
            .groups
            .iter()
            .rev()
            .find(|group| !group.objects.is_empty())?;
        let object = group.objects.last()?.id;
        Some(Location {
            group: group.id,
            object,
        })
    }

    /// The objects from `start` to `end`, both inclusive, as groups by rising id.
    ///
    /// Costs a reference count an object; what is no longer kept is missing from the answer.
    pub fn range(&self, start: Location, end: Location) -> Vec<Group> {
        let state = self.state.read();
        let groups = state.groups.iter();
        let within = groups.filter(|group| (start.group..=end.group).contains(&group.id));
        let mut range: Vec<Group> = within.cloned().collect();
        drop(state);
        if let Some(first) = range.first_mut().filter(|group| group.id == start.group) {
            first.objects.retain(|object| object.id >= start.object);
        }
        if let Some(last) = range.last_mut().filter(|group| group.id == end.group) {
            last.objects.retain(|object| object.id <= end.object);
        }
        range
    }

    /// Payload bytes that the ring keeps alive.
    pub fn bytes(&self) -> usize {
        let state = self.state.read();
        state.cached + state.groups.back().map_or(0, |newest| newest.bytes)
    }

    fn wake(&self) {
        for wake in self.wakes.lock().iter() {
            wake.wake();
        }
    }
}

impl State {
    fn check(&self, writer: Writer) -> Result<(), PushError> {
        if self.ended {
            Err(PushError::Ended)
        } else if writer < self.writer {
            Err(PushError::Superseded)
        } else {
            Ok(())
        }
    }

    fn complete_newest(&mut self) {
        if let Some(newest) = self.groups.back_mut() {
            newest.complete = true;
        }
    }

    /// Drops the oldest groups beyond the budget. The newest group and the one before it stay:
    /// the newest has just begun and is empty.
    fn evict(&mut self, limits: &Limits) {
        while self.groups.len() > 2 {
            let newest_us = self.groups[self.groups.len() - 2].newest_us();
            let oldest = &self.groups[0];
            let too_old = oldest.newest_us() + limits.cache_us < newest_us;
            if !too_old && self.cached <= limits.cache_bytes {
                return;
            }
            self.cached -= oldest.bytes;
            self.groups.pop_front();
        }
    }
}
