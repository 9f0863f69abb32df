//! Moderation of a shard's wakes: a thread that is woken again and again looks at its sockets at
//! intervals instead, as a network card moderates its interrupts.
//!
//! To sleep and to be woken costs a shard more than to take a packet in: with 300 publishers a
//! quarter of its CPU went there, for a frame and a half each time (`benches/README.md`). So a
//! shard that has slept for a moment only rests before it waits again, and finds the next frames
//! and acknowledgements together. One that has slept longer never rests: with a stream and a few
//! viewers nothing is held up. One that has no time to sleep never comes here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;

use crate::clock;

/// When a shard's thread last began to wait, and when it was woken, in microseconds.
#[derive(Debug, Default)]
struct Wakes {
    waited_us: AtomicU64,
    woken_us: AtomicU64,
}

impl Wakes {
    fn on_wait(&self, now_us: u64) {
        self.waited_us.store(now_us, Ordering::Relaxed);
    }

    fn on_wake(&self, now_us: u64) {
        self.woken_us.store(now_us, Ordering::Relaxed);
    }

    /// How long the thread shall rest before it waits again, if at all.
    fn rest(&self, now_us: u64) -> Option<Duration> {
        let woken_us = self.woken_us.load(Ordering::Relaxed);
        let slept_us = woken_us.saturating_sub(self.waited_us.load(Ordering::Relaxed));
        let worked_us = now_us.saturating_sub(woken_us);
        let rest_us = INTERVAL_US.checked_sub(worked_us)?;
        (slept_us < INTERVAL_US && rest_us > 0).then(|| Duration::from_micros(rest_us))
    }
}

/// Has the thread of a runtime rest between wakes that follow each other closely.
pub(super) fn moderate(builder: &mut Builder) {
    let wakes = Arc::<Wakes>::default();
    let woken = Arc::clone(&wakes);
    builder
        .on_thread_park(move || {
            if let Some(rest) = wakes.rest(clock::now_us()) {
                std::thread::sleep(rest);
            }
            wakes.on_wait(clock::now_us());
        })
        .on_thread_unpark(move || woken.on_wake(clock::now_us()));
}

/// Between two wakes of a busy shard, and the longest that it holds anything up: a hundredth of a
/// frame's time, and less than a viewer's network varies by. Half a millisecond spared no more.
const INTERVAL_US: u64 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that waited at 0, was woken after `slept_us`, and worked for `worked_us`.
    fn rest_us(slept_us: u64, worked_us: u64) -> Option<u128> {
        let wakes = Wakes::default();
        wakes.on_wait(1_000_000);
        wakes.on_wake(1_000_000 + slept_us);
        let rest = wakes.rest(1_000_000 + slept_us + worked_us);
        rest.map(|rest| rest.as_micros())
    }

    #[test]
    fn thread_that_slept_for_a_while_waits_again_at_once() {
        assert_eq!(rest_us(INTERVAL_US, 10), None);
        assert_eq!(rest_us(33_000, 10), None);
    }

    #[test]
    fn thread_that_is_woken_soon_rests_for_what_is_left_of_the_interval() {
        assert_eq!(rest_us(0, 0), Some(INTERVAL_US.into()));
        assert_eq!(rest_us(INTERVAL_US - 1, 100), Some(150));
    }

    #[test]
    fn thread_that_worked_through_the_interval_does_not_rest() {
        assert_eq!(rest_us(10, INTERVAL_US), None);
        assert_eq!(rest_us(10, 20_000), None);
    }

    #[test]
    fn thread_that_has_never_waited_counts_as_one_that_slept() {
        let wakes = Wakes::default();
        wakes.on_wake(2_000_000);
        assert_eq!(wakes.rest(2_000_000), None);
    }
}
