//! A subscription of a viewer, and its accounts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::Kind;
use crate::sender::{Done, Handle};
use crate::simulation::ledger::{Book, Ledger};
use crate::simulation::wire::Wire;
use crate::stream::ViewerCounters;

/// A subscription that was granted.
pub(in crate::simulation) struct Subscribed {
    pub(in crate::simulation) name: &'static str,
    pub(in crate::simulation) alias: u64,
    pub(in crate::simulation) handle: Handle<Wire>,
    pub(in crate::simulation) done: oneshot::Receiver<Done>,
    pub(in crate::simulation) counters: Arc<ViewerCounters>,
    pub(in crate::simulation) start: (u64, u64),
    /// Position in the log from which on it is to get everything, how many that were so far, and
    /// where the next of them is looked for.
    pub(in crate::simulation) expected: u64,
    pub(in crate::simulation) next: u64,
    /// How many were skipped when everything was accounted for, for the first time.
    pub(in crate::simulation) caught_up: Option<u64>,
    /// Whether more was written and skipped than was published: objects that count twice.
    pub(in crate::simulation) doubled: bool,
    /// Objects that an older subscription of the same track had written to the connection.
    pub(in crate::simulation) written_before: u64,
    /// How many of the track's objects nobody could read when it was granted.
    pub(in crate::simulation) unread_before: u64,
    /// Whether it was changed on the way, which the accounts do not follow.
    pub(in crate::simulation) changed: bool,
    pub(in crate::simulation) over: bool,
}

impl Subscribed {
    pub(in crate::simulation) fn skipped(&self) -> u64 {
        let behind = self.counters.skipped_behind.load(Ordering::Relaxed);
        behind + self.counters.skipped_reset.load(Ordering::Relaxed)
    }

    /// Reads on in the book: what was published for this one.
    pub(super) fn follow(&mut self, ledger: &Ledger) {
        let entries = &ledger.books[&self.alias].entries;
        for entry in entries.iter().skip(self.next as usize) {
            self.expected += u64::from((entry.group, entry.object) >= self.start);
        }
        self.next = entries.len() as u64;
    }

    /// Who has skipped a group is not told what comes late of older ones, and that is not counted:
    /// so only tracks that are in order are followed to the last object.
    pub(super) fn check(&mut self, wire: &Wire, kind: Kind, book: &Book) {
        let in_order = book.in_order;
        let written = wire.written(self.alias) - self.written_before;
        let (skipped, expected) = (self.skipped(), self.expected);
        let accounted = written + skipped;
        let name = self.name;
        let what = || {
            let wire = wire.what();
            format!("{kind:?} {name}: {written} written, {skipped} skipped, of {expected}; {wire}")
        };
        // Objects that a stream had taken when it was given up count twice: those of a batch.
        let twice = skipped.min(4 * expected);
        assert!(accounted <= expected + twice, "too many: {}", what());
        if wire.takes_more() && (in_order || skipped == 0) {
            assert!(
                accounted >= expected,
                "not sent and not skipped: {}",
                what()
            );
        }
        // When a viewer of whom objects count twice has everything cannot be told.
        self.doubled |= accounted > expected;
        // What the ring dropped at once is skipped by everybody, and so is what comes late after.
        if kind == Kind::Perfect && !self.doubled && book.unread == self.unread_before {
            // At first there may be more than the connection holds at a time.
            let first = match accounted >= expected {
                true => *self.caught_up.get_or_insert(skipped),
                false => self.caught_up.unwrap_or(skipped),
            };
            assert_eq!(skipped, first, "{}", what());
        }
    }
}
