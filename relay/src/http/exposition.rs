//! Writes Prometheus's text format, version 0.0.4.
//!
//! Answers are rendered from snapshots at each scrape, so a registry of live instruments would
//! only hold copies.

use crate::stats::Totals;
use std::fmt::{Display, Write};

/// The type of a metric family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A text under construction: families one after the other, each with its samples.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
    /// The family's head, written before its first sample.
    head: Option<(Kind, &'static str)>,
}

/// Label names and values of a sample.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Exposition {
    /// Starts a family; its samples follow. One without samples does not appear.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        self.family = name;
        self.head = Some((kind, help));
    }

    /// Adds a sample to the family.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Adds a histogram in seconds to the family.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, totals: &Totals) {
        for (bound_us, count) in totals.cumulative() {
            let bound = seconds(bound_us).to_string();
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_bucket", labels, Some("+Inf"), totals.count());
        self.line("_sum", labels, None, seconds(totals.sum_us()));
        self.line("_count", labels, None, totals.count());
    }

    /// The finished text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        if let Some((kind, help)) = self.head.take() {
            let (name, kind) = (self.family, kind.name());
            self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels
            .iter()
            .copied()
            .chain(bound.map(|bound| ("le", bound)))
        {
            self.text.push(separator);
            separator = ',';
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(arguments);
    }
}

/// Microseconds as seconds, the base unit of Prometheus.
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition::default();
        out.family("weir_x", Kind::Gauge, "Help.");
        out.sample(&[("stream", "a\"b\\c\nd")], 1);
        out.sample(&[], 2.5);
        assert_eq!(
            out.finish(),
            "# HELP weir_x Help.\n# TYPE weir_x gauge\n\
             weir_x{stream=\"a\\\"b\\\\c\\nd\"} 1\nweir_x 2.5\n"
        );
    }

    #[test]
    fn a_family_without_samples_does_not_appear() {
        let mut out = Exposition::default();
        out.family("weir_x", Kind::Gauge, "Help.");
        out.family("weir_y", Kind::Gauge, "Help.");
        out.sample(&[], 1);
        assert_eq!(
            out.finish(),
            "# HELP weir_y Help.\n# TYPE weir_y gauge\nweir_y 1\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let mut totals = Totals::default();
        for micros in [90, 240, 20_000_000] {
            totals.record(micros);
        }
        let mut out = Exposition::default();
        out.family("weir_x_seconds", Kind::Histogram, "Help.");
        out.histogram(&[("stage", "send")], &totals);
        let text = out.finish();
        for line in [
            "weir_x_seconds_bucket{stage=\"send\",le=\"0.0001\"} 1\n",
            "weir_x_seconds_bucket{stage=\"send\",le=\"0.00025\"} 2\n",
            "weir_x_seconds_bucket{stage=\"send\",le=\"10\"} 2\n",
            "weir_x_seconds_bucket{stage=\"send\",le=\"+Inf\"} 3\n",
            "weir_x_seconds_sum{stage=\"send\"} 20.00033\n",
            "weir_x_seconds_count{stage=\"send\"} 3\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
