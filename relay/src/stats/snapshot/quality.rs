//! What the API says of the players' reports.

use serde::{Deserialize, Serialize};

use crate::stats::report::Report;

/// How a stream is seen by the viewers whose players report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QoeSnapshot {
    /// Viewers that are there now and have reported.
    pub viewers_reporting: u64,
    /// Reports that were taken since the start.
    pub reports: u64,
    /// From the wish to watch to the first picture; the last hour's starts.
    pub startup_ms: SpanSnapshot,
    /// Times that a viewer's picture stood still, since the start.
    pub stalls: u64,
    /// How long it stood still, all viewers together.
    pub stalled_ms: u64,
    /// How long they watched, all viewers together.
    pub watched_ms: u64,
    /// `stalled_ms` over `watched_ms`, 0 to 1.
    pub stalled_ratio: f64,
    /// Pictures shown.
    pub rendered: u64,
    /// Pictures received but not shown.
    pub dropped: u64,
    /// Times that a player went on at the newest picture.
    pub skips: u64,
    /// Media that waits to be played; the last minute's reports.
    pub buffer_ms: SpanSnapshot,
    /// How far picture and sound are apart, either way; the last minute's reports.
    pub av_offset_ms: SpanSnapshot,
}

/// Percentiles in milliseconds, rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanSnapshot {
    /// Samples in the window.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
}

/// The newest report of one viewer. What its player does not know is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportSnapshot {
    /// How old it is, in milliseconds.
    pub age_ms: u64,
    /// How the player names itself.
    pub player: String,
    /// What it shows, for example `live`.
    pub state: String,
    /// From the wish to watch to the first picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_ms: Option<f64>,
    /// From the relay's arrival to the screen, median of the report's frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p50_ms: Option<f64>,
    /// The same, 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p99_ms: Option<f64>,
    /// The bound of the error of the two, from the round trip that aligned the clocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_error_ms: Option<f64>,
    /// Media that waits to be played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_ms: Option<f64>,
    /// What the player wants to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ms: Option<f64>,
    /// How irregularly frames reach the player.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Speed of playing; 1 is as it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Pictures shown a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// How much later a picture is seen than its sound is heard; negative when earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub av_offset_ms: Option<f64>,
    /// Pictures shown since its session began.
    pub rendered: u64,
    /// Pictures received but not shown.
    pub dropped: u64,
    /// Times that the picture stood still.
    pub stalls: u64,
    /// How long it stood still, in milliseconds.
    pub stalled_ms: u64,
    /// Times that the player went on at the newest picture.
    pub skips: u64,
}

impl ReportSnapshot {
    /// What the API says of a report that came `age_ms` ago.
    pub fn new(report: &Report, age_ms: u64) -> Self {
        let totals = report.totals;
        Self {
            age_ms,
            player: report.player.clone(),
            state: report.state.clone(),
            startup_ms: report.startup_ms,
            latency_p50_ms: report.latency_ms(0.5),
            latency_p99_ms: report.latency_ms(0.99),
            clock_error_ms: report.clock_error_ms,
            buffer_ms: report.buffer_ms,
            target_ms: report.target_ms,
            jitter_ms: report.jitter_ms,
            rate: report.rate,
            fps: report.fps,
            av_offset_ms: report.av_offset_ms,
            rendered: totals.rendered,
            dropped: totals.dropped,
            stalls: totals.stalls,
            stalled_ms: totals.stalled_ms,
            skips: totals.skips,
        }
    }
}
