//! What the players' reports say of a stream: recorded a shard, merged, shown.

use hdrhistogram::Histogram;

use super::report::{Report, ReportTotals};
use super::series::{Series, Totals};
use super::snapshot::{QoeSnapshot, SpanSnapshot};
use super::{FIRST_FRAME_SLICE_US, STAGE_SLICE_US};

/// Most time that one report vouches for, in microseconds: a player that fell silent was not
/// watching all the while.
const MAX_WATCHED_US: u64 = 30_000_000;

/// A report beside the one before it.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The report.
    pub report: &'a Report,
    /// The totals of the same player's report before, and when that came.
    pub before: Option<(ReportTotals, u64)>,
    /// When this one came.
    pub now_us: u64,
}

/// What one shard's players report of one stream.
#[derive(Clone, Debug)]
pub(super) struct Quality {
    startup: Series,
    buffer: Series,
    av_offset: Series,
    counts: QualityCounts,
}

/// Counters of the players' reports, since the start of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QualityCounts {
    /// Reports that were taken.
    pub reports: u64,
    /// Sums of what the players count.
    pub totals: ReportTotals,
    /// Time that the reports cover, in milliseconds.
    pub watched_ms: u64,
}

impl QualityCounts {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        let (mine, theirs) = (&mut self.totals, &other.totals);
        self.reports += other.reports;
        self.watched_ms += other.watched_ms;
        mine.rendered = mine.rendered.saturating_add(theirs.rendered);
        mine.dropped = mine.dropped.saturating_add(theirs.dropped);
        mine.stalls = mine.stalls.saturating_add(theirs.stalls);
        mine.stalled_ms = mine.stalled_ms.saturating_add(theirs.stalled_ms);
        mine.skips = mine.skips.saturating_add(theirs.skips);
    }

    /// Share of the watched time in which the picture stood still, 0 to 1.
    pub fn stalled_ratio(&self) -> f64 {
        match self.watched_ms {
            0 => 0.0,
            watched => (self.totals.stalled_ms as f64 / watched as f64).min(1.0),
        }
    }
}

impl Quality {
    pub(super) fn new(now_us: u64) -> Self {
        Self {
            startup: Series::new(FIRST_FRAME_SLICE_US, now_us),
            buffer: Series::new(STAGE_SLICE_US, now_us),
            av_offset: Series::new(STAGE_SLICE_US, now_us),
            counts: QualityCounts::default(),
        }
    }

    pub(super) fn on_report(&mut self, progress: Progress<'_>) {
        let Progress {
            report,
            before,
            now_us,
        } = progress;
        match before {
            None => {
                if let Some(ms) = report.startup_ms {
                    self.startup.record(micros(ms), now_us);
                }
            }
            Some((_, then_us)) => {
                let watched_us = now_us.saturating_sub(then_us).min(MAX_WATCHED_US);
                self.counts.watched_ms += watched_us / 1000;
            }
        }
        if let Some(ms) = report.buffer_ms {
            self.buffer.record(micros(ms), now_us);
        }
        if let Some(ms) = report.av_offset_ms {
            self.av_offset.record(micros(ms.abs()), now_us);
        }
        let earlier = before.map(|(totals, _)| totals).unwrap_or_default();
        self.counts.add(&QualityCounts {
            reports: 1,
            totals: report.totals.since(&earlier),
            watched_ms: 0,
        });
    }
}

/// The sum of what all shards recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct MergedQuality {
    startup: Option<Histogram<u32>>,
    startups: Totals,
    buffer: Option<Histogram<u32>>,
    av_offset: Option<Histogram<u32>>,
    counts: QualityCounts,
}

impl MergedQuality {
    pub(super) fn add(&mut self, quality: &Quality, now_us: u64) {
        quality.startup.add_window_to(&mut self.startup, now_us);
        quality.buffer.add_window_to(&mut self.buffer, now_us);
        quality.av_offset.add_window_to(&mut self.av_offset, now_us);
        self.startups.add(quality.startup.totals());
        self.counts.add(&quality.counts);
    }

    pub(super) fn counts(&self) -> &QualityCounts {
        &self.counts
    }

    pub(super) fn startups(&self) -> &Totals {
        &self.startups
    }

    /// `None` when nobody ever reported.
    pub(super) fn snapshot(&self, viewers_reporting: u64) -> Option<QoeSnapshot> {
        let QualityCounts {
            reports,
            totals,
            watched_ms,
        } = self.counts;
        (reports > 0).then(|| QoeSnapshot {
            viewers_reporting,
            reports,
            startup_ms: span(self.startup.as_ref()),
            stalls: totals.stalls,
            stalled_ms: totals.stalled_ms,
            watched_ms,
            stalled_ratio: (self.counts.stalled_ratio() * 1e4).round() / 1e4,
            rendered: totals.rendered,
            dropped: totals.dropped,
            skips: totals.skips,
            buffer_ms: span(self.buffer.as_ref()),
            av_offset_ms: span(self.av_offset.as_ref()),
        })
    }
}

fn span(histogram: Option<&Histogram<u32>>) -> SpanSnapshot {
    let ms = |quantile| histogram.map(|h| h.value_at_quantile(quantile).div_ceil(1000));
    SpanSnapshot {
        count: histogram.map_or(0, Histogram::len),
        p50: ms(0.5).unwrap_or(0),
        p99: ms(0.99).unwrap_or(0),
    }
}

/// Milliseconds of a checked report as whole microseconds.
pub(super) fn micros(ms: f64) -> u64 {
    (ms * 1000.0).round() as u64
}
