//! Times and their percentiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart, in microseconds: a minute.
const MAX_US: u64 = 60_000_000;

/// Times in microseconds, from 1 µs to a minute, with an error below one percent.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

/// What is reported of a set of times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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

impl Times {
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, MAX_US, 2).map(Self)
    }

    /// Records a time; longer ones count as the longest that is told apart.
    pub(super) fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros.max(1));
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
}
