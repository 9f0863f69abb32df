//! The streams that a viewer has open: one a subgroup, usually one.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::subgroup::{SubgroupHeader, SubgroupId};
use weir_protocol::moqt::{GroupOrder, StreamResetCode};
use weir_protocol::wire::{VI64_LEN_MAX, put_vi64};

use super::outlet::OutletStream;
use crate::ring::{Mirror, Object, Subgroup, SubgroupEnd};

/// A subgroup's stream to a viewer.
pub(super) struct Open<S> {
    pub(super) group: u64,
    pub(super) subgroup: Arc<Subgroup>,
    /// None when the viewer has stopped it: it is not opened again (draft 19, "Closing Subgroup
    /// Streams").
    pub(super) stream: Option<S>,
    /// Id of the object written last.
    pub(super) previous: Option<u64>,
    /// Whether its header says that its last object is the group's.
    pub(super) ends_group: bool,
    /// Whether objects were passed over behind its last one: nothing may follow on it.
    pub(super) cut: bool,
}

impl<S> Open<S> {
    fn is_of(&self, subgroup: &Arc<Subgroup>) -> bool {
        Arc::ptr_eq(&self.subgroup, subgroup)
    }
}

/// All of them.
pub(super) struct Streams<S> {
    open: Vec<Open<S>>,
    /// The one that is written to.
    current: usize,
}

impl<S> Default for Streams<S> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            current: 0,
        }
    }
}

impl<S: OutletStream> Streams<S> {
    /// Makes the stream of `subgroup` the one that is written to. Returns whether there is one.
    pub(super) fn select(&mut self, subgroup: &Arc<Subgroup>) -> bool {
        let is = |open: &Open<S>| open.is_of(subgroup) && !open.cut;
        if self.open.get(self.current).is_some_and(is) {
            return true;
        }
        let found = self.open.iter().position(is);
        self.current = found.unwrap_or(self.current);
        found.is_some()
    }

    pub(super) fn add(&mut self, open: Open<S>) {
        self.current = self.open.len();
        self.open.push(open);
    }

    /// The one that is written to.
    pub(super) fn current(&mut self) -> Option<&mut Open<S>> {
        self.open.get_mut(self.current)
    }

    /// Takes out a stream whose subgroup has ended for a viewer at `position`, with its end.
    pub(super) fn ended(&mut self, position: u64) -> Option<(Option<S>, SubgroupEnd)> {
        let mut open = self.open.iter().enumerate();
        let (index, end) = open.find_map(|(index, open)| {
            let end = match open.subgroup.end_at(position)? {
                // It ends before the group does.
                SubgroupEnd::Fin if open.cut && open.ends_group => {
                    SubgroupEnd::Reset(StreamResetCode::Cancelled.code())
                }
                end @ (SubgroupEnd::Fin | SubgroupEnd::Reset(_)) => end,
            };
            Some((index, end))
        })?;
        Some((self.take(index).stream, end))
    }

    /// Resets the streams of groups before `group`.
    pub(super) fn reset_before(&mut self, group: u64, code: StreamResetCode) {
        self.reset_all_of(|open| open.group < group, code);
    }

    /// Resets the one that is written to.
    pub(super) fn reset_current(&mut self, code: StreamResetCode) {
        if self.current < self.open.len() {
            reset(self.take(self.current).stream, code.code());
        }
    }

    /// The objects at these positions are not written: after them nothing follows on the streams
    /// that they belong to. Streams of what the ring has dropped are reset.
    pub(super) fn pass_over(&mut self, mirror: &Mirror, positions: Range<u64>) {
        let code = StreamResetCode::DeliveryTimeout;
        if positions.start < mirror.first() {
            let kept = |id| mirror.groups().iter().any(|group| group.id == id);
            self.reset_all_of(|open| !kept(open.group), code);
        }
        for at in positions.start.max(mirror.first())..positions.end {
            let Some(entry) = mirror.entry(at) else {
                return;
            };
            match mirror.object(entry) {
                Some(object) => self.cut(&object.subgroup),
                None => self.reset_all_of(|open| open.group == entry.group, code),
            }
        }
    }

    /// Lets nothing follow on the stream of `subgroup`. What was written to it still arrives: it
    /// ends with its subgroup. Of those that wait for that there is one a subgroup at most.
    fn cut(&mut self, subgroup: &Arc<Subgroup>) {
        // One that the viewer has stopped stays known, so that it is not opened again.
        let goes_on = |open: &Open<S>| open.is_of(subgroup) && !open.cut && open.stream.is_some();
        if !self.open.iter().any(goes_on) {
            return;
        }
        let code = StreamResetCode::Cancelled;
        self.reset_all_of(|open| open.is_of(subgroup) && open.cut, code);
        if let Some(open) = self.open.iter_mut().find(|open| goes_on(open)) {
            open.cut = true;
        }
    }

    fn reset_all_of(&mut self, which: impl Fn(&Open<S>) -> bool, code: StreamResetCode) {
        while let Some(index) = self.open.iter().position(&which) {
            reset(self.take(index).stream, code.code());
        }
    }

    /// Resets all of them.
    pub(super) fn reset_all(&mut self, code: StreamResetCode) {
        for open in self.open.drain(..) {
            reset(open.stream, code.code());
        }
        self.current = 0;
    }

    fn take(&mut self, index: usize) -> Open<S> {
        let open = self.open.remove(index);
        if self.current > index {
            self.current -= 1;
        }
        open
    }
}

/// Resets a stream, unless the peer has stopped it, which has reset it.
pub(super) fn reset(stream: Option<impl OutletStream>, code: u64) {
    if let Some(stream) = stream {
        stream.reset(u32::try_from(code).unwrap_or(0));
    }
}

/// The header of a subgroup's stream that begins with the object `first`, and ends with its last
/// one if `whole`.
pub(super) fn header(
    alias: u64,
    group: u64,
    subgroup: &Subgroup,
    first: &Object,
    whole: bool,
) -> Bytes {
    let options = &subgroup.options;
    let header = SubgroupHeader {
        alias,
        group,
        subgroup: match options.id {
            0 => SubgroupId::Zero,
            id => SubgroupId::Explicit(id),
        },
        priority: options.priority,
        properties: true,
        end_of_group: options.end_of_group && whole,
        first_object: options.first_object && first.id == subgroup.first,
    };
    let mut bytes = BytesMut::with_capacity(SubgroupHeader::LEN_MAX);
    header.encode(&mut bytes);
    bytes.freeze()
}

/// A datagram that was made under the alias `own`, under another one.
pub(super) fn datagram(wire: &Bytes, own: u64, alias: u64) -> Bytes {
    let read = (own != alias).then(|| ObjectDatagram::decode(wire));
    // It was written by us, so it can be read.
    let Some(Ok(Some(mut datagram))) = read else {
        return wire.clone();
    };
    datagram.alias = alias;
    let mut bytes = BytesMut::with_capacity(wire.len() + VI64_LEN_MAX);
    datagram.encode(&mut bytes);
    bytes.freeze()
}

/// `quic` sends higher numbers first, MoQT lower ones; the defaults of both meet at 0.
pub fn stream_priority(subscriber: u8, publisher: u8) -> i32 {
    const DEFAULT: i32 = 128 << 8 | 128;
    let urgency = i32::from(subscriber) << 8 | i32::from(publisher);
    (DEFAULT - urgency) * GROUPS
}

/// Newest first where the viewer wants that; else streams go in the order in which they opened.
pub(super) fn group_priority(order: GroupOrder, group: u64) -> i32 {
    match order {
        GroupOrder::Ascending => 0,
        GroupOrder::Descending => i32::try_from(group % GROUPS as u64).unwrap_or(0),
    }
}

/// Groups that are told apart by priority before the count begins anew.
const GROUPS: i32 = 1 << 12;

/// The distance to an object over `ids` ids, as its header begins.
pub(super) fn distance(ids: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(9);
    put_vi64(&mut bytes, ids);
    bytes.freeze()
}
