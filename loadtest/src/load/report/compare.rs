//! Runs beside runs: the same measures of each, and ratios with their spread.

use serde_json::Deserializer;

use super::Report;

/// What can be compared of a run.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    of: fn(&Report) -> Option<f64>,
}

/// Everything that is compared, in the order of a table. Less is better, except for the rate
/// and the viewers.
pub const MEASURES: &[Measure] = &[
    measure("relay CPU", "s/GB", |r| Some(r.server?.cpu_s_per_gb)),
    measure("relay CPU", "us/object", |r| {
        Some(r.server?.cpu_us_per_object)
    }),
    measure("latency p50", "us", |r| Some(r.latency_us.p50 as f64)),
    measure("latency p90", "us", |r| Some(r.latency_us.p90 as f64)),
    measure("latency p99", "us", |r| Some(r.latency_us.p99 as f64)),
    measure("latency max", "us", |r| Some(r.latency_us.max as f64)),
    measure("first frame p50", "us", |r| {
        Some(r.first_frame_us.p50 as f64)
    }),
    measure("memory a viewer", "kB", |r| {
        Some(r.server?.rss_per_viewer_bytes as f64 / 1e3)
    }),
    measure("context switches", "/s", |r| Some(r.server?.switches_per_s)),
    measure("delivered", "Mbit/s", |r| {
        Some(r.delivery.bytes as f64 * 8e-6 / r.window_s)
    }),
    measure("kept", "viewers", |r| Some(r.kept.as_ref()?.kept as f64)),
    measure("lost", "frames", |r| Some(r.delivery.lost as f64)),
];

const fn measure(
    name: &'static str,
    unit: &'static str,
    of: fn(&Report) -> Option<f64>,
) -> Measure {
    Measure { name, unit, of }
}

impl Measure {
    /// The measure of several runs; `None` when none has it.
    pub fn of(&self, runs: &[Report]) -> Option<Spread> {
        let values = runs.iter().filter_map(self.of);
        Spread::of(values.filter(|value| value.is_finite()).collect())
    }
}

/// The middle of several values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the values lie below it, half above.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
}

impl Spread {
    /// Of at least one value.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = match values.len().is_multiple_of(2) {
            true => (upper + *values.get(middle - 1)?) / 2.0,
            false => upper,
        };
        Some(Self {
            median,
            min: *values.first()?,
            max: *values.last()?,
            count: values.len(),
        })
    }

    /// How many times `base` this is: the ratio of the medians, and the least and the most that
    /// any pair of values gives. `None` when `base` is 0.
    pub fn over(&self, base: &Self) -> Option<Self> {
        let ratio = |one: f64, other: f64| (other > 0.0).then(|| one / other);
        Some(Self {
            median: ratio(self.median, base.median)?,
            min: ratio(self.min, base.max)?,
            max: ratio(self.max, base.min).unwrap_or(f64::INFINITY),
            count: self.count.min(base.count),
        })
    }
}

/// One measure of two sets of runs.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What was measured.
    pub measure: &'static Measure,
    /// The runs to compare with.
    pub base: Spread,
    /// The runs that are compared.
    pub new: Spread,
    /// How many times the base they are.
    pub ratio: Option<Spread>,
}

/// Compares two sets of runs, measure by measure; what one of them lacks is left out.
pub fn compare(base: &[Report], new: &[Report]) -> Vec<Row> {
    let row = |measure: &'static Measure| {
        let (base, new) = (measure.of(base)?, measure.of(new)?);
        Some(Row {
            measure,
            base,
            new,
            ratio: new.over(&base),
        })
    };
    MEASURES.iter().filter_map(row).collect()
}

/// Reads the reports of a file: one as JSON, or any number as JSONL.
///
/// # Errors
/// When something else stands in it.
pub fn read(text: &str) -> Result<Vec<Report>, serde_json::Error> {
    Deserializer::from_str(text).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.to_vec()).unwrap();
        let odd = spread(&[3.0, 1.0, 2.0]);
        assert_eq!(
            (odd.median, odd.min, odd.max, odd.count),
            (2.0, 1.0, 3.0, 3)
        );
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_ratio_spreads_as_far_as_any_pair_of_runs_does() {
        let base = Spread::of(vec![2.0, 2.0, 4.0]).unwrap();
        let new = Spread::of(vec![1.0, 3.0, 3.0]).unwrap();
        let ratio = new.over(&base).unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (1.5, 0.25, 1.5));
        let nothing = Spread::of(vec![0.0]).unwrap();
        assert_eq!(new.over(&nothing), None);
    }
}
