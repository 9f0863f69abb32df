//! A shard's rest: what comes close together is done at one go.
//!
//! To fall asleep and be woken costs a thread about as much as a publisher's frame, and with
//! hundreds of publishers, or viewers who acknowledge, something comes every fifth of a
//! millisecond. So a shard that is woken soon after it fell asleep does, at its next sleep, what a
//! network card does that moderates its interrupts: it stays away for a moment, and then finds
//! more than one thing. One that is woken rarely is woken at once.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use crate::clock;

/// Falling asleep again within so many microseconds is a sign that there is more to come.
const CLOSE_US: u64 = 500;

/// How long a rest is in microseconds: far less than a frame, and long enough for several wakes.
const REST_US: u64 = 500;

thread_local! {
    static RHYTHM: Cell<Rhythm> = const { Cell::new(Rhythm::NEW) };
}

/// Rests, if it is time to. To be called whenever the shard's thread has nothing to do.
pub(super) fn before_park() {
    let mut rhythm = RHYTHM.get();
    if let Some(rest) = rhythm.on_park(clock::now_us()) {
        thread::sleep(rest);
        rhythm.on_rested(clock::now_us());
    }
    RHYTHM.set(rhythm);
}

/// How long this thread has rested, all together, which its runtime takes for work.
pub(super) fn rested() -> Duration {
    Duration::from_micros(RHYTHM.get().rested_us)
}

/// When a thread fell asleep, and how long it has rested.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    parked_us: Option<u64>,
    rested_us: u64,
}

impl Rhythm {
    const NEW: Self = Self {
        parked_us: None,
        rested_us: 0,
    };

    /// The thread has nothing to do; how long it is to rest before it looks.
    fn on_park(&mut self, now_us: u64) -> Option<Duration> {
        let before_us = self.parked_us.replace(now_us)?;
        let close = now_us.saturating_sub(before_us) < CLOSE_US;
        close.then_some(Duration::from_micros(REST_US))
    }

    /// It has rested, and falls asleep now.
    fn on_rested(&mut self, now_us: u64) {
        if let Some(parked_us) = self.parked_us.replace(now_us) {
            self.rested_us += now_us.saturating_sub(parked_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_woken_rarely_never_rests() {
        let mut rhythm = Rhythm::NEW;
        for wake in 0..100 {
            assert_eq!(rhythm.on_park(wake * 1_000), None);
        }
        assert_eq!(rhythm.rested_us, 0);
    }

    #[test]
    fn who_is_woken_again_and_again_rests_each_time_until_it_is_quiet() {
        let (mut rhythm, mut now_us) = (Rhythm::NEW, 1_000);
        assert_eq!(rhythm.on_park(now_us), None);
        for rests in 1..=10 {
            now_us += 100;
            let rest = rhythm.on_park(now_us);
            assert_eq!(rest, Some(Duration::from_micros(REST_US)));
            // The system lets it sleep a little longer.
            now_us += REST_US + 60;
            rhythm.on_rested(now_us);
            assert_eq!(rhythm.rested_us, rests * (REST_US + 60));
        }
        assert_eq!(rhythm.on_park(now_us + 1_000), None);
    }
}
