//! A shard's view of a ring: a mirror of reference counts, and the flag that says it is stale.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::{Group, Mirror, Ring};

/// Wakes one task, once for any number of reasons until the task looks.
#[derive(Debug, Default)]
pub struct Wake {
    pending: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Wake {
    /// Says that there is something to do. Costs one atomic when the task knows already.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel)
            && let Some(waker) = self.waker.lock().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    /// Remembers whom to wake, then says whether there is something to do, and forgets it.
    ///
    /// In this order no wake is lost: one that comes before the first line is seen in the second,
    /// one that comes after finds the waker.
    pub fn take(&self, waker: &Waker) -> bool {
        let mut current = self.waker.lock();
        if !current.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *current = Some(waker.clone());
        }
        drop(current);
        self.pending.swap(false, Ordering::AcqRel)
    }
}

/// A reader's [`Mirror`] of a [`Ring`].
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    wake: Arc<Wake>,
    mirror: Mirror,
}

impl Reader {
    /// Registers `wake` with the ring. The mirror is empty until the first [`Reader::sync`].
    pub fn new(ring: Arc<Ring>, wake: Arc<Wake>) -> Self {
        ring.wakes.lock().push(Arc::clone(&wake));
        Self {
            ring,
            wake,
            mirror: Mirror::default(),
        }
    }

    /// Brings the mirror up to date. Returns whether anything changed.
    ///
    /// A reader that was away for longer than the ring's budget finds the groups it knew gone:
    /// its viewers see that their place is missing and go on at the newest one.
    pub fn sync(&mut self) -> bool {
        self.mirror.sync(&self.ring.state.read())
    }

    /// The mirror.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The groups of the mirror that have objects, oldest first.
    pub fn groups(&self) -> &VecDeque<Group> {
        self.mirror.groups()
    }

    /// Whether the track has ended.
    pub fn is_ended(&self) -> bool {
        self.mirror.is_ended()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut wakes = self.ring.wakes.lock();
        wakes.retain(|wake| !Arc::ptr_eq(wake, &self.wake));
    }
}
