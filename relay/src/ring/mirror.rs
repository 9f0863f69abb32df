//! What a reader sees of a ring: its groups, and the log of what arrived.

use std::collections::VecDeque;

use super::{Group, Placed, State, find};

/// Where an object of the log is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id of its group.
    pub group: u64,
    /// Its index among the group's objects.
    pub index: usize,
}

/// A copy of a ring's lists, of which the objects themselves are shared.
#[derive(Debug, Default)]
pub struct Mirror {
    groups: VecDeque<Group>,
    log: VecDeque<Entry>,
    first: u64,
    dropped: u64,
    ends: u64,
    unpinned: u64,
    ended: bool,
}

impl Mirror {
    /// The groups that have objects, oldest first.
    pub fn groups(&self) -> &VecDeque<Group> {
        &self.groups
    }

    /// The oldest position of the log that is kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Groups below this id were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The newest group with objects, or that may have some: newer ones may have none yet.
    pub fn newest(&self) -> u64 {
        let newest = self.groups.back().map_or(0, |newest| newest.id);
        newest.max(self.dropped)
    }

    /// The position of what arrives next.
    pub fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// Whether the track has ended.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// What arrived at `position`, if it has arrived and is kept.
    pub fn entry(&self, position: u64) -> Option<Entry> {
        let index = position.checked_sub(self.first)?;
        self.log.get(usize::try_from(index).ok()?).copied()
    }

    /// The object of an entry, unless its group was dropped.
    pub fn object(&self, entry: Entry) -> Option<&Placed> {
        find(&self.groups, entry.group)?.objects.get(entry.index)
    }

    /// The position of the oldest object in a group from `id` on: where a viewer begins who wants
    /// nothing before that group.
    pub fn first_from(&self, id: u64) -> u64 {
        let wanted = self.groups.iter().rev().take_while(|group| group.id >= id);
        let mut missing = wanted.map(|group| group.objects.len()).sum::<usize>();
        let mut position = self.end();
        for entry in self.log.iter().rev() {
            if missing == 0 {
                break;
            }
            position -= 1;
            let kept = entry.group >= id && self.object(*entry).is_some();
            missing -= usize::from(kept);
        }
        position
    }

    /// Brings the mirror up to date. Returns whether anything changed.
    pub(super) fn sync(&mut self, state: &State) -> bool {
        let mut changed = self.ended != state.ended || self.ends != state.ends;
        self.ended = state.ended;
        if self.unpinned != state.unpinned {
            *self = Self {
                unpinned: state.unpinned,
                ended: state.ended,
                ..Self::default()
            };
        }
        self.dropped = state.dropped;
        let oldest = state.groups.front().map_or(0, |kept| kept.group.id);
        while self.groups.front().is_some_and(|group| group.id < oldest) {
            self.groups.pop_front();
        }
        while self.first < state.first && self.log.pop_front().is_some() {
            self.first += 1;
        }
        self.first = self.first.max(state.first);
        let known = self.end().saturating_sub(state.first);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        for entry in state.log.range(known.min(state.log.len())..) {
            changed = true;
            self.log.push_back(*entry);
            if let Some(object) = state.object(*entry) {
                self.group(entry.group).push(object.clone());
            }
        }
        if self.ends != state.ends {
            self.ends = state.ends;
            for group in self.groups.iter_mut().filter(|group| !group.complete) {
                group.complete = state.find(group.id).is_none_or(|kept| kept.group.complete);
            }
        }
        changed
    }

    fn group(&mut self, id: u64) -> &mut Group {
        let newer = self.groups.iter().rev().take_while(|group| group.id > id);
        let index = self.groups.len() - newer.count();
        let known = index
            .checked_sub(1)
            .filter(|index| self.groups[*index].id == id);
        let index = known.unwrap_or_else(|| {
            self.groups.insert(index, Group::new(id));
            index
        });
        &mut self.groups[index]
    }
}
