//! What a viewer's stream wakes: the pump, with the viewer on its list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::{Mailbox, Outlet};

/// Puts its viewer's slot on the pump's list when the viewer's stream takes more.
pub(super) struct ViewerWaker<C: Outlet> {
    mailbox: Arc<Mailbox<C>>,
    slot: usize,
    queued: AtomicBool,
}

impl<C: Outlet> ViewerWaker<C> {
    pub(super) fn new(mailbox: Arc<Mailbox<C>>, slot: usize) -> Self {
        Self {
            mailbox,
            slot,
            queued: AtomicBool::new(false),
        }
    }

    /// The viewer was taken from the list: its next wake puts it there again.
    pub(super) fn on_served(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl<C: Outlet> Wake for ViewerWaker<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.mailbox.writable.lock().push(self.slot);
            self.mailbox.wake.wake();
        }
    }
}
