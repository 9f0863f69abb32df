//! The only file that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock whose zero is its creation.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is where the clock is read"
    )]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Microseconds since the clock was started.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant of `at_us`, for a timer; `None` when it lies beyond what a timer can hold.
    pub fn instant(&self, at_us: u64) -> Option<Instant> {
        self.origin.checked_add(Duration::from_micros(at_us))
    }
}

/// Microseconds since the Unix epoch: the clock that two processes of one machine share.
#[expect(
    clippy::disallowed_methods,
    reason = "this file is where the clock is read"
)]
pub fn epoch_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
