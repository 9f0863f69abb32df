//! What to send to one viewer next. Pure: no I/O, no clock, no codec.
//!
//! ```text
//!              Open                Write*              Finish
//!   Between ─────────► In a group ────────► all written ──────► Between ── End
//!      ▲                   │  behind its limit, or the group is gone
//!      └────── Skip ───────┘
//! ```
//!
//! [`Subscription::next`] looks at the reader's mirror and says what to do; the sender does it and
//! confirms with [`opened`](Subscription::opened), [`wrote`](Subscription::wrote),
//! [`finished`](Subscription::finished) or [`skipped`](Subscription::skipped). What was not
//! confirmed did not happen, so a blocked stream needs no undo.
//!
//! There is never a hole inside a group: a viewer that is too far behind has its group's stream
//! reset and goes on at the newest group.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use weir_protocol::moqt::Location;

use crate::ring::{Group, find};

/// What a viewer asked for and what it is granted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The first object to send.
    pub start: Location,
    /// The last group to send, inclusive; without it the subscription ends with the track.
    pub end_group: Option<u64>,
    /// Whether objects are sent at all (MoQT's FORWARD).
    pub forward: bool,
    /// How far in microseconds the next object to send may be behind the newest one before the
    /// subscription gives up its group for the newest.
    pub behind_limit_us: u64,
}

/// What to do next for a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the ring changes.
    Wait,
    /// Open a stream for `group`, beginning with the object at `index`.
    Open {
        /// Group id.
        group: u64,
        /// Index into the group's objects.
        index: usize,
    },
    /// Write objects of the open group from `index` on.
    Write {
        /// Group id.
        group: u64,
        /// Index into the group's objects.
        index: usize,
    },
    /// The group's objects are all written and it is complete: finish its stream.
    Finish {
        /// Group id.
        group: u64,
    },
    /// Reset the open stream, if one is open, and go on at `group`.
    Skip {
        /// The newest group.
        group: u64,
        /// Objects that the viewer will not get on this subscription.
        objects: u64,
    },
    /// Everything was sent.
    End(End),
}

/// Why a subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The track ended.
    Track,
    /// The last group that the viewer asked for was sent.
    Range,
}

/// The state of one viewer's subscription to one track.
#[derive(Clone, Debug)]
pub struct Subscription {
    options: Options,
    position: Position,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// No stream is open; the next object to send is at or after this location.
    Between(Location),
    /// A stream is open for `group`; the object at `next` is to be written.
    In { group: u64, next: usize },
}

impl Subscription {
    /// A subscription that has sent nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            position: Position::Between(options.start),
        }
    }

    /// What to do, given the reader's `groups` and whether the track has `ended`.
    pub fn next(&self, groups: &VecDeque<Group>, ended: bool) -> Action {
        match self.position {
            Position::Between(from) => self.next_between(from, groups, ended),
            Position::In { group, next } => self.next_in(group, next, groups),
        }
    }

    fn next_between(&self, from: Location, groups: &VecDeque<Group>, ended: bool) -> Action {
        if self.options.end_group.is_some_and(|end| from.group > end) {
            return Action::End(End::Range);
        }
        let candidate = groups
            .iter()
            .skip(first_at(groups, from.group))
            .map(|group| (group, start_index(group, from)))
            .find(|(group, index)| *index < group.objects.len());
        let Some((group, index)) = candidate else {
            return match ended {
                true => Action::End(End::Track),
                false => Action::Wait,
            };
        };
        if !self.options.forward {
            return Action::Wait;
        }
        if self.options.end_group.is_some_and(|end| group.id > end) {
            return Action::End(End::Range);
        }
        match self.too_far(groups, group.id, group.objects[index].complete_us) {
            Some(newest) => Action::Skip {
                group: newest,
                objects: objects_between(groups, group.id, index, newest),
            },
            None => Action::Open {
                group: group.id,
                index,
            },
        }
    }

    fn next_in(&self, id: u64, next: usize, groups: &VecDeque<Group>) -> Action {
        let Some(group) = find(groups, id) else {
            // The ring dropped the group while the viewer was in it.
            return match groups.back() {
                Some(newest) => Action::Skip {
                    group: newest.id,
                    objects: objects_between(groups, id, next, newest.id),
                },
                None => Action::Wait,
            };
        };
        let Some(object) = group.objects.get(next) else {
            return match group.complete {
                true => Action::Finish { group: id },
                false => Action::Wait,
            };
        };
        match self.too_far(groups, id, object.complete_us) {
            Some(newest) => Action::Skip {
                group: newest,
                objects: objects_between(groups, id, next, newest),
            },
            None => Action::Write {
                group: id,
                index: next,
            },
        }
    }

    /// The newest group, when the object that was complete at `complete_us` in group `id` is
    /// further behind the newest object than the limit, and there is a newer group to go to.
    fn too_far(&self, groups: &VecDeque<Group>, id: u64, complete_us: u64) -> Option<u64> {
        let newest = groups
            .iter()
            .rev()
            .find(|group| !group.objects.is_empty())?;
        let behind_us = newest.newest_us().saturating_sub(complete_us);
        let in_range = self.options.end_group.is_none_or(|end| newest.id <= end);
        (newest.id > id && in_range && behind_us > self.options.behind_limit_us)
            .then_some(newest.id)
    }

    /// How far in microseconds the next object to write is behind the newest one; 0 when all is
    /// written.
    pub fn behind_us(&self, groups: &VecDeque<Group>) -> u64 {
        let newest_us = groups.back().map_or(0, Group::newest_us);
        let next_us = match self.position {
            Position::In { group, next } => find(groups, group)
                .and_then(|group| group.objects.get(next))
                .map(|object| object.complete_us),
            Position::Between(_) => None,
        };
        next_us.map_or(0, |next_us| newest_us.saturating_sub(next_us))
    }

    /// A stream for `group` is open; its first object will be the one at `index`.
    pub fn opened(&mut self, group: u64, index: usize) {
        self.position = Position::In { group, next: index };
    }

    /// `objects` more objects of the open group were accepted by its stream.
    pub fn wrote(&mut self, objects: usize) {
        if let Position::In { next, .. } = &mut self.position {
            *next += objects;
        }
    }

    /// The open group's stream was finished.
    pub fn finished(&mut self) {
        if let Position::In { group, .. } = self.position {
            self.position = Position::Between(Location {
                group: group + 1,
                object: 0,
            });
        }
    }

    /// The open stream, if any, was reset, and the viewer goes on at `group`.
    pub fn skipped(&mut self, group: u64) {
        self.position = Position::Between(Location { group, object: 0 });
    }

    /// The viewer refused the rest of the open group (STOP_SENDING): it goes on with the next.
    /// Returns how many objects of it will not be sent, of those that are known.
    pub fn refused(&mut self, groups: &VecDeque<Group>) -> u64 {
        let Position::In { group, next } = self.position else {
            return 0;
        };
        self.finished();
        let known = find(groups, group).map_or(0, |group| group.objects.len());
        known.saturating_sub(next) as u64
    }

    /// Applies a REQUEST_UPDATE: forwarding switched, or another start or end. A pause gives up
    /// the open group, whose stream the caller resets.
    pub fn update(&mut self, forward: bool, restart: Option<Location>, end_group: Option<u64>) {
        if !forward {
            self.finished();
        }
        if let Some(start) = restart {
            self.position = Position::Between(start);
        }
        self.options.forward = forward;
        self.options.end_group = end_group;
    }
}

fn first_at(groups: &VecDeque<Group>, id: u64) -> usize {
    let newer = groups.iter().rev().take_while(|group| group.id >= id);
    groups.len() - newer.count()
}

fn start_index(group: &Group, from: Location) -> usize {
    if group.id > from.group {
        return 0;
    }
    group
        .objects
        .partition_point(|object| object.id < from.object)
}

/// Objects known from `index` in group `from` up to, and without, group `to`.
fn objects_between(groups: &VecDeque<Group>, from: u64, index: usize, to: u64) -> u64 {
    let skipped = groups.iter().filter(|group| (from..to).contains(&group.id));
    let objects = skipped.map(|group| match group.id == from {
        true => group.objects.len().saturating_sub(index),
        false => group.objects.len(),
    });
    objects.sum::<usize>() as u64
}
