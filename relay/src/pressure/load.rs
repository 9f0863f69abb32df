//! When a shard has too much to do: a decision with patience in both directions.

use super::{Config, Limit};

/// How a shard was since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Share of the time that it was at work, in percent.
    pub busy_percent: u32,
    /// How late it looked at what was due, in microseconds.
    pub lag_us: u64,
}

/// Whether a shard takes on new viewers.
#[derive(Debug)]
pub struct Load {
    busy_percent: u32,
    lag_us: u64,
    busy_since: Option<u64>,
    late_since: Option<u64>,
    calm_since: Option<u64>,
    overload: Option<Limit>,
}

impl Load {
    /// Nothing to do yet.
    pub fn new(config: &Config) -> Self {
        Self {
            busy_percent: config.busy_percent,
            lag_us: config.lag_us,
            busy_since: None,
            late_since: None,
            calm_since: None,
            overload: None,
        }
    }

    /// Takes a sample. Returns what is too much, if anything is.
    ///
    /// Lag is what viewers feel, so its patience is short; a core that is busy and never late
    /// serves them well, for a while. Both have to be clearly lower, for longer, before viewers
    /// are taken on again: a relay at its limit must not go back and forth.
    pub fn observe(&mut self, sample: Sample, now_us: u64) -> Option<Limit> {
        let busy = sample.busy_percent >= self.busy_percent;
        let late = sample.lag_us >= self.lag_us;
        let lasts = |since: &mut Option<u64>, is: bool| match is {
            true => now_us.saturating_sub(*since.get_or_insert(now_us)),
            false => {
                *since = None;
                0
            }
        };
        let busy_us = lasts(&mut self.busy_since, busy);
        let late_us = lasts(&mut self.late_since, late);
        let calm = sample.busy_percent < self.busy_percent.saturating_sub(CALMER_PERCENT)
            && sample.lag_us < self.lag_us / 2;
        let calm_us = lasts(&mut self.calm_since, calm);
        if late_us >= LATE_PATIENCE_US {
            self.overload = Some(Limit::Lag);
        } else if busy_us >= BUSY_PATIENCE_US {
            self.overload = Some(Limit::Busy);
        } else if calm_us >= CALM_PATIENCE_US {
            self.overload = None;
        }
        self.overload
    }
}

/// How long a shard may be late, busy, and has to be calm, in microseconds.
const LATE_PATIENCE_US: u64 = 1_000_000;
const BUSY_PATIENCE_US: u64 = 5_000_000;
const CALM_PATIENCE_US: u64 = 3_000_000;

/// How much less busy a shard has to be before it is calm.
const CALMER_PERCENT: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds samples every 100 ms, and gives what was said at last.
    fn feed(load: &mut Load, now_us: &mut u64, ms: u64, busy: u32, lag_us: u64) -> Option<Limit> {
        let sample = Sample {
            busy_percent: busy,
            lag_us,
        };
        let mut said = None;
        for _ in 0..ms / 100 {
            *now_us += 100_000;
            said = load.observe(sample, *now_us);
        }
        said
    }

    #[test]
    fn a_moment_is_no_overload_and_a_second_of_lag_is() {
        let (mut load, mut now) = (Load::new(&Config::default()), 0);
        assert_eq!(feed(&mut load, &mut now, 900, 100, 300_000), None);
        assert_eq!(feed(&mut load, &mut now, 100, 50, 1_000), None);
        assert_eq!(feed(&mut load, &mut now, 1_000, 50, 300_000), None);
        let said = feed(&mut load, &mut now, 200, 50, 300_000);
        assert_eq!(said, Some(Limit::Lag));
    }

    #[test]
    fn busy_takes_longer_and_calm_has_to_last() {
        let (mut load, mut now) = (Load::new(&Config::default()), 0);
        assert_eq!(feed(&mut load, &mut now, 4_900, 99, 0), None);
        assert_eq!(feed(&mut load, &mut now, 300, 99, 0), Some(Limit::Busy));
        // A little less is not calm, and a moment of calm is not enough.
        assert_eq!(feed(&mut load, &mut now, 9_000, 90, 0), Some(Limit::Busy));
        assert_eq!(feed(&mut load, &mut now, 2_900, 50, 0), Some(Limit::Busy));
        assert_eq!(feed(&mut load, &mut now, 100, 96, 0), Some(Limit::Busy));
        assert_eq!(feed(&mut load, &mut now, 3_200, 50, 0), None);
    }

    #[test]
    fn load_at_the_limit_does_not_go_back_and_forth() {
        let (mut load, mut now) = (Load::new(&Config::default()), 0);
        let lag_us = Config::default().lag_us;
        let mut changes = 0;
        let mut before = None;
        for round in 0..2_000_u32 {
            let said = feed(&mut load, &mut now, 100, 93 + round % 5, 0);
            let lag = feed(
                &mut load,
                &mut now,
                100,
                93,
                lag_us - 10_000 + u64::from(round % 20) * 1_000,
            );
            changes += u32::from(said != before) + u32::from(lag != said);
            before = lag;
        }
        assert!(changes <= 1, "{changes} changes");
    }
}
