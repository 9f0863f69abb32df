//! What the ring lets go: its oldest groups, and the entries of the log that were about them.

use super::write::DELIVERY_TIMEOUT;
use super::{Budget, Entry, Kept, Limits, State, SubgroupEnd};

impl State {
    /// Drops the oldest groups beyond the budget. The newest group and the one before it stay:
    /// the newest has just begun and is empty. So does the newest that has objects, when several
    /// have begun.
    pub(super) fn evict(&mut self, limits: &Limits, budget: &Budget) {
        while self.groups.len() > 2 {
            let newest = self.groups.back().map_or(0, |newest| newest.group.bytes);
            let oldest = &self.groups[0].group;
            let newest_us = oldest.objects.last().map(|object| object.complete_us);
            let too_old = newest_us.is_some_and(|us| us + limits.cache_us < self.newest_us);
            let too_large = self.bytes - newest > limits.cache_bytes;
            let over = budget.exceeds(0);
            let few = !over && self.groups.len() <= limits.groups;
            let mut newer = self.groups.iter().skip(1);
            let stays = newer.all(|kept| kept.group.objects.is_empty());
            if few && (stays || !too_old && !too_large) {
                return;
            }
            if over {
                budget.hit();
            }
            self.dropped = oldest.id + 1;
            self.remove(0, budget);
            self.forget_log();
        }
    }

    fn remove(&mut self, index: usize, budget: &Budget) {
        // Viewers have streams open for what was never ended.
        self.complete(index, SubgroupEnd::Reset(DELIVERY_TIMEOUT));
        if let Some(Kept { group, .. }) = self.groups.remove(index) {
            self.bytes -= group.bytes;
            self.objects -= group.objects.len();
            budget.give(group.bytes);
        }
    }

    /// Drops the group that the log begins with when most of the log is about groups that are
    /// gone: one that was begun with a high id, and outlives by it what came after, would let the
    /// log grow for ever.
    pub(super) fn unpin(&mut self, budget: &Budget) {
        if self.log.len() <= 2 * self.objects + LOG_SLACK {
            return;
        }
        let Some(Entry { group: pinning, .. }) = self.log.front().copied() else {
            return;
        };
        let mut known = self.groups.iter();
        if let Some(index) = known.position(|kept| kept.group.id == pinning) {
            self.remove(index, budget);
        }
        // It may be begun anew, and these are not its objects.
        let its = self.log.iter_mut().filter(|entry| entry.group == pinning);
        its.for_each(|entry| entry.index = GONE);
        self.unpinned += 1;
        self.forget_log();
    }

    /// Drops the log's oldest entries whose groups are gone. Those in between stay until it is
    /// their turn: every object of a group that is kept is in the log.
    fn forget_log(&mut self) {
        let gone = |entry: &Entry| entry.group < self.dropped || entry.index == GONE;
        while self.log.front().is_some_and(gone) {
            self.log.pop_front();
            self.first += 1;
        }
    }
}

/// Entries of the log that are not about groups that are kept, beyond as many as are: those that
/// lie between groups which were written at the same time.
const LOG_SLACK: usize = 1024;

/// The index of an entry whose group was dropped out of its turn.
const GONE: usize = usize::MAX;
