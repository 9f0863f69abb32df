//! One measured quantity: a sliding window of histograms and totals since the start.

use hdrhistogram::Histogram;

/// Slices of a window. More slices make the window's edge sharper and cost memory.
pub(super) const SLICES: usize = 6;

/// Length in seconds of the window of stage latencies and arrival jitter. The newest slice is
/// still filling, so a snapshot covers between five sixths of it and all of it.
pub const WINDOW_S: u64 = 60;

/// Significant decimal digits of a histogram: percentiles are true to 1 %.
const DIGITS: u8 = 2;

/// The longest time a histogram tells apart: 60 s, beyond which a live stream is not live.
const MAX_US: u64 = 60_000_000;

/// Upper bounds in microseconds of the buckets of [`Totals`]: finest around the relay's own
/// target, p50 under 1 ms and p99 under 5 ms.
pub const BUCKET_BOUNDS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 10_000_000,
];

/// A histogram of microseconds that grows with its largest value, up to [`MAX_US`].
///
/// `None` only if the library refuses [`DIGITS`], which a test rules out.
pub(super) fn histogram() -> Option<Histogram<u32>> {
    Histogram::new(DIGITS).ok()
}

/// Samples since the start, in the fixed buckets of a Prometheus histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Samples by bucket, not cumulative; the last one is above every bound.
    buckets: [u64; BUCKET_BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Totals {
    /// Counts one sample.
    pub fn record(&mut self, micros: u64) {
        self.record_many(micros, 1);
    }

    /// Counts `samples` of the same length.
    pub fn record_many(&mut self, micros: u64, samples: u64) {
        // Counting over all bounds has no branch to mispredict, unlike a search.
        let bucket: usize = BUCKET_BOUNDS_US
            .iter()
            .map(|bound| usize::from(micros > *bound))
            .sum();
        self.buckets[bucket] += samples;
        self.sum_us = self.sum_us.saturating_add(micros.saturating_mul(samples));
    }

    /// Adds the samples of `other`.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Samples by bucket: at or below each bound of [`BUCKET_BOUNDS_US`], and above the last.
    pub fn buckets(&self) -> &[u64; BUCKET_BOUNDS_US.len() + 1] {
        &self.buckets
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of all samples in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// Each bound of [`BUCKET_BOUNDS_US`] with the number of samples at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        BUCKET_BOUNDS_US
            .iter()
            .zip(&self.buckets)
            .map(move |(bound, count)| {
                below += count;
                (*bound, below)
            })
    }
}

/// Window and totals of one quantity.
#[derive(Clone, Debug)]
pub(super) struct Series {
    window: Window,
    totals: Totals,
}

impl Series {
    /// A series whose window is [`SLICES`] slices of `slice_us` microseconds.
    pub(super) fn new(slice_us: u64, now_us: u64) -> Self {
        Self {
            window: Window::new(slice_us, now_us),
            totals: Totals::default(),
        }
    }

    pub(super) fn record(&mut self, micros: u64, now_us: u64) {
        self.record_many(micros, 1, now_us);
    }

    /// Records `samples` of the same length.
    pub(super) fn record_many(&mut self, micros: u64, samples: u64, now_us: u64) {
        self.totals.record_many(micros, samples);
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        self.window.record(micros, samples, now_us);
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The largest sample of the window that ends at `now_us`, to within a histogram's precision;
    /// 0 without one.
    pub(super) fn largest(&self, now_us: u64) -> u64 {
        let slices = self.window.recent(now_us);
        slices.map(Histogram::max).max().unwrap_or(0)
    }

    /// Adds the samples of the window that ends at `now_us` to `sum`.
    pub(super) fn add_window_to(&self, sum: &mut Option<Histogram<u32>>, now_us: u64) {
        self.window.add_to(sum, now_us);
    }
}

/// A ring of histograms, each for one slice of time; a slice is reset when its turn comes again.
#[derive(Clone, Debug)]
struct Window {
    slice_us: u64,
    /// When the current slice ends.
    ends_us: u64,
    current: usize,
    slices: [Slice; SLICES],
}

#[derive(Clone, Debug, Default)]
struct Slice {
    /// Which slice of time it holds, counted in slices from the origin of time.
    epoch: u64,
    /// Allocated by the first sample and kept from then on.
    histogram: Option<Histogram<u32>>,
}

impl Window {
    fn new(slice_us: u64, now_us: u64) -> Self {
        let mut window = Self {
            slice_us: slice_us.max(1),
            ends_us: 0,
            current: 0,
            slices: std::array::from_fn(|_| Slice::default()),
        };
        window.turn(now_us);
        window
    }

    fn record(&mut self, micros: u64, samples: u32, now_us: u64) {
        if now_us >= self.ends_us {
            self.turn(now_us);
        }
        let slice = &mut self.slices[self.current];
        if slice.histogram.is_none() {
            slice.histogram = histogram();
        }
        if let Some(histogram) = &mut slice.histogram {
            // Cannot fail: the value is in range and the histogram grows.
            let _ = histogram.record_n(micros.clamp(1, MAX_US), samples);
        }
    }

    /// Makes the slice of `now_us` the current one.
    fn turn(&mut self, now_us: u64) {
        let epoch = now_us / self.slice_us;
        self.ends_us = epoch.saturating_add(1).saturating_mul(self.slice_us);
        self.current = (epoch % SLICES as u64) as usize;
        let slice = &mut self.slices[self.current];
        if slice.epoch != epoch {
            slice.epoch = epoch;
            if let Some(histogram) = &mut slice.histogram {
                histogram.reset();
            }
        }
    }

    /// The slices of the window that ends at `now_us` and have samples.
    fn recent(&self, now_us: u64) -> impl Iterator<Item = &Histogram<u32>> {
        let now = now_us / self.slice_us;
        let slices = self.slices.iter();
        let recent = slices.filter(move |slice| now.saturating_sub(slice.epoch) < SLICES as u64);
        let histograms = recent.filter_map(|slice| slice.histogram.as_ref());
        histograms.filter(|histogram| !histogram.is_empty())
    }

    fn add_to(&self, sum: &mut Option<Histogram<u32>>, now_us: u64) {
        for histogram in self.recent(now_us) {
            match sum {
                // Cannot fail: both have the same digits and `sum` grows.
                Some(sum) => drop(sum.add(histogram)),
                None => *sum = Some(histogram.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE_US: u64 = 10_000_000;

    fn window_count(series: &Series, now_us: u64) -> u64 {
        let mut sum = None;
        series.add_window_to(&mut sum, now_us);
        sum.map_or(0, |h| h.len())
    }

    #[test]
    fn a_sample_leaves_the_window_after_six_slices() {
        let mut series = Series::new(SLICE_US, 0);
        series.record(500, 9_999_999);
        assert_eq!(window_count(&series, 9_999_999), 1);
        assert_eq!(window_count(&series, 59_999_999), 1);
        assert_eq!(window_count(&series, 60_000_000), 0);
        assert_eq!(series.totals().count(), 1, "totals never forget");
    }

    #[test]
    fn a_slice_is_emptied_when_its_turn_comes_again() {
        let mut series = Series::new(SLICE_US, 0);
        series.record(500, 0);
        series.record(700, 60_000_000);
        assert_eq!(window_count(&series, 60_000_000), 1);
        assert_eq!(series.totals().count(), 2);
    }

    #[test]
    fn an_idle_gap_longer_than_the_window_leaves_nothing_behind() {
        let mut series = Series::new(SLICE_US, 0);
        for second in 0..60 {
            series.record(100, second * 1_000_000);
        }
        assert_eq!(window_count(&series, 59_000_000), 60);
        series.record(100, 3_600_000_000);
        assert_eq!(window_count(&series, 3_600_000_000), 1);
    }

    #[test]
    fn a_clock_read_slightly_earlier_than_the_slice_is_no_rotation() {
        let mut series = Series::new(SLICE_US, 0);
        series.record(1, 10_000_000);
        series.record(1, 9_999_999);
        assert_eq!(window_count(&series, 10_000_000), 2);
        assert_eq!(window_count(&series, 9_999_999), 2);
    }

    #[test]
    fn a_window_holds_no_histogram_before_its_first_sample() {
        let series = Series::new(SLICE_US, 0);
        assert!(series.window.slices.iter().all(|s| s.histogram.is_none()));
    }

    #[test]
    fn values_out_of_range_are_clamped() {
        let mut series = Series::new(SLICE_US, 0);
        series.record(0, 0);
        series.record(u64::MAX, 0);
        let mut sum = None;
        series.add_window_to(&mut sum, 0);
        let sum = sum.unwrap();
        assert_eq!(sum.len(), 2);
        assert_eq!(sum.min(), 1);
        assert!(sum.equivalent(sum.max(), MAX_US), "{}", sum.max());
    }

    #[test]
    fn a_sample_on_a_bound_belongs_to_its_bucket() {
        let mut totals = Totals::default();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            totals.record(micros);
        }
        let at = |bound| totals.cumulative().find(|(b, _)| *b == bound).unwrap().1;
        assert_eq!(at(100), 2);
        assert_eq!(at(250), 3);
        assert_eq!(at(10_000_000), 4);
        assert_eq!(totals.count(), 5);
        assert_eq!(totals.sum_us(), 20_000_202);
    }

    #[test]
    fn bucket_bounds_rise() {
        assert!(BUCKET_BOUNDS_US.is_sorted_by(|a, b| a < b));
    }
}
