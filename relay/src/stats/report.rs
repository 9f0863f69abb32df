//! What a player says about itself: its reports, checked; and how often it may speak.
//!
//! A report comes from a stranger's page: every number has a range, the whole has a length, and
//! what does not fit is refused as a whole, so that no half of a lie gets into a histogram.

use serde::Deserialize;

/// Bytes of a report: it travels in one datagram on any path.
pub const MAX_REPORT_BYTES: usize = 1_100;

/// Distinct latencies of a report; a player coarsens beyond.
pub const MAX_LATENCIES: usize = 48;

/// Frames that one report may speak of: ten seconds at 240 a second, twice the usual interval.
pub const MAX_FRAMES: u64 = 2_400;

/// Characters of the player's name and of its state that are kept.
const NAME_CHARS: usize = 64;

/// The longest latency that is believed: beyond it nobody watches live.
const MAX_LATENCY_MS: f64 = 60_000.0;

/// The longest buffer, start-up or clock error that is believed: ten minutes.
const MAX_SPAN_MS: f64 = 600_000.0;

/// The largest counter: what JSON carries exactly.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Longer than [`MAX_REPORT_BYTES`].
    #[error("a report of {0} bytes is longer than {MAX_REPORT_BYTES}")]
    TooLong(usize),
    /// Not the JSON that it should be.
    #[error("not a report: {0}")]
    Malformed(String),
    /// Another version of the format.
    #[error("version {0} of reports is not known here")]
    Version(u64),
    /// A number out of its range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Latencies that do not ascend, or too many of them.
    #[error("latency_ms must ascend, at most {MAX_LATENCIES} of at most {MAX_FRAMES} frames")]
    Latencies,
}

/// A report that was checked. An absent number is not known to the player.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The stream it is about, by its public name.
    pub stream: String,
    /// How the player names itself and its version.
    pub player: String,
    /// What the player shows, for example `live`.
    pub state: String,
    /// From the wish to watch to the first picture, in milliseconds.
    pub startup_ms: Option<f64>,
    /// From the relay's arrival to the screen: milliseconds and frames, since the last report.
    pub latencies: Vec<(f64, u64)>,
    /// The bound of the error of those, in milliseconds.
    pub clock_error_ms: Option<f64>,
    /// Media that waits to be played, in milliseconds.
    pub buffer_ms: Option<f64>,
    /// What the player wants to hold, in milliseconds.
    pub target_ms: Option<f64>,
    /// How irregularly frames reach the player, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Speed of playing; 1 is as it was recorded.
    pub rate: Option<f64>,
    /// Pictures shown a second.
    pub fps: Option<f64>,
    /// How much later a picture is seen than its sound is heard, in milliseconds.
    pub av_offset_ms: Option<f64>,
    /// Since the session began.
    pub totals: ReportTotals,
}

/// What a player counts since its session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportTotals {
    /// Pictures shown.
    pub rendered: u64,
    /// Pictures decoded or received but not shown.
    pub dropped: u64,
    /// Times that the picture stood still for want of media.
    pub stalls: u64,
    /// How long it stood still, in milliseconds.
    pub stalled_ms: u64,
    /// Times that the player went on at the newest picture.
    pub skips: u64,
}

impl ReportTotals {
    /// What was added since `earlier`. A player that began anew counts from zero again.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let since = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        Self {
            rendered: since(self.rendered, earlier.rendered),
            dropped: since(self.dropped, earlier.dropped),
            stalls: since(self.stalls, earlier.stalls),
            stalled_ms: since(self.stalled_ms, earlier.stalled_ms),
            skips: since(self.skips, earlier.skips),
        }
    }
}

/// The report as it is written.
#[derive(Deserialize)]
struct Wire {
    v: u64,
    stream: String,
    #[serde(default)]
    player: String,
    #[serde(default)]
    state: String,
    startup_ms: Option<f64>,
    #[serde(default)]
    latency_ms: Vec<(f64, u64)>,
    clock_error_ms: Option<f64>,
    buffer_ms: Option<f64>,
    target_ms: Option<f64>,
    jitter_ms: Option<f64>,
    rate: Option<f64>,
    fps: Option<f64>,
    av_offset_ms: Option<f64>,
    rendered: Option<f64>,
    dropped: Option<f64>,
    stalls: Option<f64>,
    stalled_ms: Option<f64>,
    skips: Option<f64>,
}

impl Report {
    /// Reads and checks a report.
    ///
    /// # Errors
    ///
    /// Whatever is not as the format says; nothing of such a report is used.
    pub fn parse(body: &[u8]) -> Result<Self, ReportError> {
        if body.len() > MAX_REPORT_BYTES {
            return Err(ReportError::TooLong(body.len()));
        }
        let wire: Wire = serde_json::from_slice(body)
            .map_err(|error| ReportError::Malformed(error.to_string()))?;
        if wire.v != 1 {
            return Err(ReportError::Version(wire.v));
        }
        check_latencies(&wire.latency_ms)?;
        let span = |name, value| within(name, value, 0.0, MAX_SPAN_MS);
        let count = |name, value| {
            let value = within(name, value, 0.0, MAX_COUNT)?;
            Ok::<_, ReportError>(value.map_or(0, |value| value as u64))
        };
        Ok(Self {
            stream: wire.stream,
            player: shown(&wire.player),
            state: shown(&wire.state),
            startup_ms: span("startup_ms", wire.startup_ms)?,
            latencies: wire.latency_ms,
            clock_error_ms: span("clock_error_ms", wire.clock_error_ms)?,
            buffer_ms: span("buffer_ms", wire.buffer_ms)?,
            target_ms: span("target_ms", wire.target_ms)?,
            jitter_ms: span("jitter_ms", wire.jitter_ms)?,
            rate: within("rate", wire.rate, 0.0, 16.0)?,
            fps: within("fps", wire.fps, 0.0, 1_000.0)?,
            av_offset_ms: within(
                "av_offset_ms",
                wire.av_offset_ms,
                -MAX_LATENCY_MS,
                MAX_LATENCY_MS,
            )?,
            totals: ReportTotals {
                rendered: count("rendered", wire.rendered)?,
                dropped: count("dropped", wire.dropped)?,
                stalls: count("stalls", wire.stalls)?,
                stalled_ms: count("stalled_ms", wire.stalled_ms)?,
                skips: count("skips", wire.skips)?,
            },
        })
    }

    /// The latency that a share `quantile` of the frames did not exceed, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> Option<f64> {
        let frames: u64 = self.latencies.iter().map(|(_, frames)| frames).sum();
        let rank = (frames as f64 * quantile).ceil().max(1.0) as u64;
        let mut below = 0;
        let reached = self.latencies.iter().find(|(_, frames)| {
            below += frames;
            below >= rank
        });
        reached.map(|(ms, _)| *ms)
    }
}

fn check_latencies(latencies: &[(f64, u64)]) -> Result<(), ReportError> {
    let ascending = latencies.is_sorted_by(|(a, _), (b, _)| a < b);
    let ranged = |ms: f64| (0.0..=MAX_LATENCY_MS).contains(&ms);
    let frames = latencies
        .iter()
        .try_fold(0_u64, |sum, (_, frames)| sum.checked_add(*frames));
    let few = latencies.len() <= MAX_LATENCIES && frames.is_some_and(|sum| sum <= MAX_FRAMES);
    match ascending && few && latencies.iter().all(|(ms, _)| ranged(*ms)) {
        true => Ok(()),
        false => Err(ReportError::Latencies),
    }
}

fn within(
    name: &'static str,
    value: Option<f64>,
    least: f64,
    most: f64,
) -> Result<Option<f64>, ReportError> {
    match value {
        Some(value) if !(least..=most).contains(&value) => Err(ReportError::OutOfRange(name)),
        value => Ok(value),
    }
}

/// A stranger's word, fit for a terminal and a page.
fn shown(word: &str) -> String {
    let printable = word.chars().filter(|c| !c.is_control());
    printable.take(NAME_CHARS).collect()
}

/// How often a player may speak: once a second on average, with a burst.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    tokens: f64,
    at_us: u64,
}

/// Reports that may come at once: those of a start-up, a stall and a skip together.
const BURST: f64 = 5.0;

impl Allowance {
    /// A full allowance.
    pub fn new(now_us: u64) -> Self {
        Self {
            tokens: BURST,
            at_us: now_us,
        }
    }

    /// Takes one report's share; `false` when there is none.
    pub fn take(&mut self, now_us: u64) -> bool {
        let earned = now_us.saturating_sub(self.at_us) as f64 / 1e6;
        self.tokens = (self.tokens + earned).min(BURST);
        self.at_us = now_us;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests;
