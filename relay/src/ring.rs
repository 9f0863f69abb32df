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
//!
//! # Subgroups
//!
//! A group's objects lie in [subgroups](Subgroup), each of which is one stream to a viewer. A
//! publisher over RTMP has one a group ([`Ring::begin_group`]); one over MoQT has as many as it
//! likes, of several groups at a time, in any order ([`Ring::open_subgroup`]). So that a viewer is
//! sent each object when it arrives and once, the ring keeps a log of what arrived, and a viewer's
//! place is a position in that log.

mod budget;
mod evict;
mod mirror;
mod reader;
mod subgroup;
#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use weir_protocol::moqt::Location;

pub use budget::Budget;
pub use mirror::{Entry, Mirror};
pub use reader::{Reader, Wake};
pub use subgroup::{Placed, Subgroup, SubgroupEnd, SubgroupOptions};

/// How much a track may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of complete groups kept beside the newest one, as [`Object::kept_bytes`] counts them.
    pub cache_bytes: usize,
    /// Age in microseconds, by completion, beyond which a complete group is dropped.
    pub cache_us: u64,
    /// Bytes of one group, counted alike; its publisher is refused beyond.
    pub group_bytes: usize,
    /// Objects in one group; its publisher is refused beyond.
    pub group_objects: usize,
    /// Subgroups in one group; its publisher is refused beyond.
    pub group_subgroups: usize,
    /// Subgroups that are being written at a time; the oldest is given up beyond.
    pub open_subgroups: usize,
    /// Groups kept; the oldest are dropped beyond.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Sixteen seconds of a 32 Mbit/s stream.
            cache_bytes: 64 << 20,
            // Three times the gap of an edge whose upstream dies, and any client's step back to the
            // key frame before the newest. The kernel clears each page that a cache grows by, which
            // is the dearest part of taking a stream in while it fills (`benches/README.md`).
            cache_us: 10_000_000,
            // A minute of 32 Mbit/s without a key frame.
            group_bytes: 256 << 20,
            // Eighteen minutes at 60 frames a second without a key frame.
            group_objects: 65_536,
            // A subgroup a frame: eight seconds at 120 frames a second without a key frame.
            group_subgroups: 1024,
            // A viewer has a stream open for each. Layered codecs have a handful a group.
            open_subgroups: 32,
            // Thirty seconds of a group an audio frame, three times over.
            groups: 4096,
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
    /// Another header for the same payload, where there is one.
    pub legacy: Option<LegacyHeader>,
    /// When the first byte of the object was read from its publisher.
    pub first_byte_us: u64,
    /// When the object was complete.
    pub complete_us: u64,
}

/// A header apart from the payload that follows it: for peers of draft 18, whose LOC registry has
/// other property ids, and for everyone where an object is made of another one's payload.
#[derive(Clone, Debug)]
pub struct LegacyHeader {
    /// The object header, and what is in front of the shared payload, to be followed by that.
    pub header: Bytes,
    /// Its properties: the KVP block without its length.
    pub properties: Bytes,
    /// Bytes at the end of `header` that belong to the object's payload.
    pub prefix_len: usize,
    /// Whether it is for everyone.
    pub always: bool,
}

impl LegacyHeader {
    /// The beginning of the payload that is not shared.
    pub fn prefix(&self) -> Bytes {
        self.header.slice(self.header.len() - self.prefix_len..)
    }
}

impl Object {
    /// The header that is not in `wire`, if it is the one for this peer.
    pub fn split(&self, legacy_peer: bool) -> Option<&LegacyHeader> {
        self.legacy
            .as_ref()
            .filter(|header| legacy_peer || header.always)
    }

    /// The payload alone, or what is shared of it.
    pub fn payload(&self) -> Bytes {
        self.wire.slice(self.header_len..)
    }

    /// Length of the payload in bytes.
    pub fn payload_len(&self) -> usize {
        self.wire.len() - self.header_len
    }

    /// Bytes that are in use as long as the object is kept: its own, and its places in lists.
    pub fn kept_bytes(&self) -> usize {
        self.wire.len() + OBJECT_BYTES
    }

    /// Whether it is no object but says that a group or the track ends here.
    ///
    /// The header of an object without payload ends with its status, and 0 is that of an object.
    pub fn is_status(&self) -> bool {
        self.payload_len() == 0 && self.wire.last().is_some_and(|status| *status != 0)
    }
}

/// Consecutive objects that can be decoded from the first on.
#[derive(Clone, Debug)]
pub struct Group {
    /// Group id; rises within a track, across publishers too.
    pub id: u64,
    /// The objects published so far, in the order of their arrival: by rising id in each subgroup.
    pub objects: Vec<Placed>,
    /// Whether no object is expected any more.
    pub complete: bool,
    bytes: usize,
    largest: u64,
}

impl Group {
    fn new(id: u64) -> Self {
        Self {
            id,
            objects: Vec::new(),
            complete: false,
            bytes: 0,
            largest: 0,
        }
    }

    fn push(&mut self, object: Placed) {
        self.bytes += object.kept_bytes();
        self.largest = self.largest.max(object.id);
        self.objects.push(object);
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
    /// The group has more subgroups than [`Limits::group_subgroups`].
    #[error("a group has more than {0} subgroups")]
    TooManySubgroups(usize),
    /// All tracks together have reached the [`Budget`], and this one has more than its share.
    #[error("the relay keeps its limit of {0} MiB: send key frames more often, or come later")]
    OverBudget(usize),
    /// The group is older than what is kept, or its subgroup was given up.
    #[error("the group came too late: newer ones have taken its place")]
    TooLate,
    /// The object is there already, and is the same.
    #[error("the object was published before")]
    Duplicate,
    /// The object is there already, and is another one: the track is malformed.
    #[error("the object was published before with another content")]
    Conflict,
}

/// The groups of one track.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    budget: Arc<Budget>,
    state: RwLock<State>,
    wakes: Mutex<Vec<Arc<Wake>>>,
}

#[derive(Debug, Default)]
struct State {
    groups: VecDeque<Kept>,
    /// What arrived, in order; the first entry is at position `first`.
    log: VecDeque<Entry>,
    first: u64,
    /// Bytes of all groups.
    bytes: usize,
    /// Objects of all groups.
    objects: usize,
    /// When the newest object was complete.
    newest_us: u64,
    /// Subgroups that have not ended.
    open: usize,
    /// Groups below this id were dropped.
    dropped: u64,
    /// How many groups were dropped out of their turn: readers begin anew when it has changed.
    unpinned: u64,
    /// How many subgroups and groups were ended: readers look at ends when it has changed.
    ends: u64,
    writer: Writer,
    ended: bool,
}

/// A group, and what its writers need to know of it.
#[derive(Debug)]
struct Kept {
    group: Group,
    subgroups: Vec<Written>,
}

/// A subgroup from its writer's side.
#[derive(Debug)]
struct Written {
    subgroup: Arc<Subgroup>,
    /// Id of the newest object.
    last: Option<u64>,
    /// Whether somebody writes it; one that nobody writes may be continued.
    attached: bool,
}

impl Ring {
    /// An empty ring, with a budget of its own.
    pub fn new(limits: Limits) -> Self {
        Self::within(limits, Arc::default())
    }

    /// An empty ring that shares a budget with others.
    pub fn within(limits: Limits, budget: Arc<Budget>) -> Self {
        budget.on_ring();
        Self {
            limits,
            budget,
            state: RwLock::default(),
            wakes: Mutex::default(),
        }
    }

    /// Whether the track has ended.
    pub fn is_ended(&self) -> bool {
        self.state.read().ended
    }

    /// Whether anybody reads: a shard does as long as it has a viewer.
    pub fn has_readers(&self) -> bool {
        !self.wakes.lock().is_empty()
    }

    /// The newest object there is.
    pub fn largest(&self) -> Option<Location> {
        let state = self.state.read();
        let mut groups = state.groups.iter().rev().map(|kept| &kept.group);
        let group = groups.find(|group| !group.objects.is_empty())?;
        Some(Location {
            group: group.id,
            object: group.largest,
        })
    }

    /// Where another source of the track has to begin so that nothing is missing: the first group
    /// that is not complete, or else the one after the newest.
    pub fn resume_at(&self) -> Option<Location> {
        let state = self.state.read();
        let newest = state.groups.back()?.group.id;
        let mut groups = state.groups.iter().map(|kept| &kept.group);
        let open = groups.find(|group| !group.complete);
        Some(Location {
            group: open.map_or(newest + 1, |open| open.id),
            object: 0,
        })
    }

    /// The objects from `start` to `end`, both inclusive, as groups by rising id, and in each of
    /// them by rising id too.
    ///
    /// Costs a reference count an object; what is no longer kept is missing from the answer.
    pub fn range(&self, start: Location, end: Location) -> Vec<Group> {
        let state = self.state.read();
        let groups = state.groups.iter().map(|kept| &kept.group);
        let within = groups.filter(|group| (start.group..=end.group).contains(&group.id));
        let mut range: Vec<Group> = within.cloned().collect();
        drop(state);
        for group in &mut range {
            let order = |objects: &[Placed]| objects.is_sorted_by_key(|object| object.id);
            if !order(&group.objects) {
                group.objects.sort_by_key(|object| object.id);
            }
        }
        if let Some(first) = range.first_mut().filter(|group| group.id == start.group) {
            first.objects.retain(|object| object.id >= start.object);
        }
        if let Some(last) = range.last_mut().filter(|group| group.id == end.group) {
            last.objects.retain(|object| object.id <= end.object);
        }
        range
    }

    /// Bytes that the ring keeps alive.
    pub fn bytes(&self) -> usize {
        self.state.read().bytes
    }

    /// Drops every group but the newest two. Returns whether there were any.
    pub fn trim(&self) -> bool {
        let mut state = self.state.write();
        let before = state.groups.len();
        state.evict(&TRIMMED, &self.budget);
        let trimmed = state.groups.len() < before;
        drop(state);
        if trimmed {
            self.wake();
        }
        trimmed
    }

    fn wake(&self) {
        for wake in self.wakes.lock().iter() {
            wake.wake();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.budget.on_ring_gone(self.state.get_mut().bytes);
    }
}

/// What an object takes beside its bytes: its places in the lists of the ring and of each reader,
/// in the log, and a share of its subgroup. Frames are larger; without it objects of a byte would
/// cost a hundred times what is counted.
pub const OBJECT_BYTES: usize = 512;

/// The limits of a ring that keeps nothing for later.
const TRIMMED: Limits = Limits {
    cache_bytes: 0,
    cache_us: 0,
    group_bytes: 0,
    group_objects: 0,
    group_subgroups: 0,
    open_subgroups: 0,
    groups: 2,
};
