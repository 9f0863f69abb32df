//! Times, their percentiles and their distribution.

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

/// The longest time that is told apart, in microseconds: a minute.
const MAX_US: u64 = 60_000_000;

/// The first bar of a distribution ends here, in microseconds, and each further one this many
/// times later.
const FIRST_BAR_US: u64 = 16;
const BAR_RATIO: f64 = std::f64::consts::SQRT_2;

/// Times in microseconds, from 1 µs to a minute, with an error below one percent.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

/// What is reported of a set of times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many times were recorded.
    pub count: u64,
    /// Half of them were at most this.
    pub p50: u64,
    /// 90 percent of them were at most this.
    pub p90: u64,
    /// 99 percent of them were at most this.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// A bar of a distribution: how many times were longer than the bar before and at most this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// The longest time of the bar, in microseconds.
    pub up_to_us: u64,
    /// How many times it counts.
    pub count: u64,
}

impl Times {
    pub(super) fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, MAX_US, 2).map(Self)
    }

    /// Records a time; longer ones count as the longest that is told apart.
    pub(super) fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros.max(1));
    }

    /// Adds what another has recorded.
    pub(super) fn merge(&mut self, other: &Self) {
        // Only bounds that differ could fail, and these are all the same.
        let _ = self.0.add(&other.0);
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.0.len(),
            p50: self.0.value_at_quantile(0.50),
            p90: self.0.value_at_quantile(0.90),
            p99: self.0.value_at_quantile(0.99),
            max: self.0.max(),
        }
    }

    /// The distribution in bars of equal width on a logarithmic scale, up to the longest time.
    pub(super) fn bars(&self) -> Vec<Bar> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let bars = self.0.iter_log(FIRST_BAR_US, BAR_RATIO);
        bars.map(|bar| Bar {
            up_to_us: bar.value_iterated_to(),
            count: bar.count_since_last_iteration(),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_times_have_the_percentiles_of_all() {
        let (mut low, mut high) = (Times::new().unwrap(), Times::new().unwrap());
        (1..=50).for_each(|micros| low.record(micros));
        (51..=100).for_each(|micros| high.record(micros));
        low.merge(&high);
        let all = low.percentiles();
        assert_eq!((all.count, all.p50, all.p99, all.max), (100, 50, 99, 100));
    }

    #[test]
    fn the_bars_count_every_time_once() {
        let mut times = Times::new().unwrap();
        assert_eq!(times.bars(), []);
        for micros in [1, 15, 40, 1_000, 1_000, 500_000] {
            times.record(micros);
        }
        let bars = times.bars();
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 6);
        assert_eq!(bars.first().map(|bar| bar.count), Some(2));
        assert!(bars.is_sorted_by_key(|bar| bar.up_to_us));
        assert!(bars.last().is_some_and(|bar| bar.up_to_us >= 500_000));
    }
}
