//! How long a viewer waits for its first frame.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::stats::Recorder;

/// A viewer's wait for its first frame, which a subscription or a FETCH may end.
#[derive(Debug)]
pub struct Join {
    asked_us: u64,
    seen: AtomicBool,
}

impl Join {
    /// A viewer asked at `asked_us`.
    pub fn new(asked_us: u64) -> Self {
        Self {
            asked_us,
            seen: AtomicBool::new(false),
        }
    }

    /// An object was accepted; the first one is recorded.
    pub fn on_object(&self, now_us: u64, recorder: &mut Recorder) {
        if !self.seen.swap(true, Ordering::Relaxed) {
            recorder.on_first_frame(now_us.saturating_sub(self.asked_us), now_us);
        }
    }
}
