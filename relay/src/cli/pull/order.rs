//! Objects of one track in order, whatever the order in which their streams arrive. Pure.
//!
//! A group's objects come on one stream, or the first of them on a FETCH and the rest on a
//! subscription's stream. Streams of neighbouring groups may overlap.

use std::collections::BTreeMap;

use bytes::Bytes;

/// An object of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) group: u64,
    pub(super) id: u64,
    pub(super) properties: Bytes,
    pub(super) payload: Bytes,
}

/// Puts the objects of a track in order.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    groups: BTreeMap<u64, Pending>,
    /// The group that is being played, and the next id in it.
    current: Option<(u64, u64)>,
    waited_us: Option<u64>,
}

#[derive(Debug, Default)]
struct Pending {
    objects: BTreeMap<u64, Object>,
    /// Nothing more will come: its stream ended or was reset.
    ended: bool,
}

impl Ordered {
    /// An object arrived. What is behind the one played last is dropped.
    pub(super) fn push(&mut self, object: Object) {
        let behind = self
            .current
            .is_some_and(|(group, next)| (object.group, object.id) < (group, next));
        if behind || self.groups.len() >= MAX_GROUPS {
            return;
        }
        let pending = self.groups.entry(object.group).or_default();
        pending.objects.insert(object.id, object);
    }

    /// A subscription's stream of `group` ended.
    pub(super) fn end_group(&mut self, group: u64) {
        let known = self.current.is_none_or(|(current, _)| group >= current);
        if known && (self.groups.len() < MAX_GROUPS || self.groups.contains_key(&group)) {
            self.groups.entry(group).or_default().ended = true;
        }
    }

    /// The next object, if it is there.
    ///
    /// A group that has a newer one behind it and does not go on is left after [`PATIENCE_US`].
    pub(super) fn next(&mut self, now_us: u64) -> Option<Object> {
        loop {
            let (group, next) = match self.current {
                Some(current) => current,
                None => (*self.groups.first_key_value()?.0, 0),
            };
            let pending = self.groups.entry(group).or_default();
            if let Some(object) = pending.objects.remove(&next) {
                self.current = Some((group, object.id + 1));
                self.waited_us = None;
                return Some(object);
            }
            let started = self.current.is_some();
            let ended = pending.ended && started;
            // A subscription whose past could not be fetched begins in the middle of a group.
            let late = pending.objects.keys().next().filter(|_| !started).copied();
            let newer = self
                .groups
                .range(group + 1..)
                .find(|(_, p)| !p.objects.is_empty());
            let onward = match late {
                Some(id) => (group, id),
                None => (*newer?.0, 0),
            };
            let since_us = *self.waited_us.get_or_insert(now_us);
            let patience_us = match ended {
                true if onward.0 == group + 1 => 0,
                // The group between may be under way: each comes on a stream of its own.
                true => OVERTAKEN_US,
                false => PATIENCE_US,
            };
            if now_us < since_us + patience_us {
                return None;
            }
            self.waited_us = None;
            self.groups = self.groups.split_off(&onward.0);
            self.current = Some(onward);
        }
    }
}

/// Groups that may be in flight: a minute of one-second groups.
const MAX_GROUPS: usize = 64;

/// How long an unfinished group may hold up the next one, in microseconds.
const PATIENCE_US: u64 = 1_000_000;

/// How long a group that is not there may hold up a newer one that is, in microseconds: about as
/// long as a lost packet.
const OVERTAKEN_US: u64 = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn object(group: u64, id: u64) -> Object {
        Object {
            group,
            id,
            properties: Bytes::new(),
            payload: Bytes::new(),
        }
    }

    fn drain(ordered: &mut Ordered, now_us: u64) -> Vec<(u64, u64)> {
        let next = || ordered.next(now_us);
        std::iter::from_fn(next).map(|o| (o.group, o.id)).collect()
    }

    #[test]
    fn fetch_and_subscription_join_without_a_seam() {
        let mut ordered = Ordered::default();
        ordered.push(object(5, 2));
        assert_eq!(drain(&mut ordered, 0), []);
        ordered.push(object(5, 0));
        assert_eq!(drain(&mut ordered, 0), [(5, 0)]);
        ordered.push(object(5, 1));
        assert_eq!(drain(&mut ordered, 0), [(5, 1), (5, 2)]);
    }

    #[test]
    fn next_group_waits_for_the_end_of_the_one_before() {
        let mut ordered = Ordered::default();
        ordered.push(object(5, 0));
        ordered.push(object(6, 0));
        assert_eq!(drain(&mut ordered, 0), [(5, 0)]);
        ordered.push(object(5, 1));
        ordered.end_group(5);
        assert_eq!(drain(&mut ordered, 10), [(5, 1), (6, 0)]);
    }

    #[test]
    fn group_that_does_not_go_on_is_left() {
        let mut ordered = Ordered::default();
        ordered.push(object(5, 0));
        ordered.push(object(9, 0));
        assert_eq!(drain(&mut ordered, 0), [(5, 0)]);
        assert_eq!(drain(&mut ordered, PATIENCE_US - 1), []);
        assert_eq!(drain(&mut ordered, PATIENCE_US), [(9, 0)]);
        ordered.push(object(5, 1));
        assert_eq!(drain(&mut ordered, PATIENCE_US), []);
    }

    #[test]
    fn reset_group_is_played_as_far_as_it_came() {
        let mut ordered = Ordered::default();
        for id in 0..3 {
            ordered.push(object(1, id));
        }
        ordered.end_group(1);
        ordered.push(object(4, 0));
        assert_eq!(drain(&mut ordered, 0), [(1, 0), (1, 1), (1, 2)]);
        assert_eq!(drain(&mut ordered, OVERTAKEN_US), [(4, 0)]);
    }

    #[test]
    fn group_that_was_overtaken_is_waited_for() {
        let mut ordered = Ordered::default();
        for group in [7, 9, 10, 8] {
            ordered.push(object(group, 0));
            ordered.end_group(group);
            if group != 8 {
                assert_eq!(drain(&mut ordered, 10).len(), usize::from(group == 7));
            }
        }
        assert_eq!(drain(&mut ordered, 20), [(8, 0), (9, 0), (10, 0)]);
    }

    #[test]
    fn subscription_without_the_past_begins_where_it_begins() {
        let mut ordered = Ordered::default();
        ordered.push(object(3, 7));
        ordered.push(object(3, 8));
        assert_eq!(drain(&mut ordered, 0), []);
        assert_eq!(drain(&mut ordered, PATIENCE_US), [(3, 7), (3, 8)]);
    }
}
