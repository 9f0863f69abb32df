//! What a stream records about itself: latency by stage, skips, bytes, arrival; pure.
//!
//! One [`Recorder`] per stream and shard, one [`IngestRecorder`] per stream behind its [`Intake`].
//! The writer locks its own recorder once a pass; a reader adds all of them into a [`Merged`] and
//! takes the [`StreamSnapshot`](snapshot::StreamSnapshot) of it. Percentiles come from merged
//! histograms and are never averaged. Time is microseconds of one monotonic origin that all
//! recorders share, so their windows turn over together.
//!
//! Each instrument is defined once:
//!
//! | instrument | recorded by | read as |
//! |---|---|---|
//! | stage latency | [`Recorder::record`], [`IngestRecorder::on_object`] | `latency_us`, 60 s |
//! | first frame | [`Recorder::on_first_frame`] | `first_frame_us`, 1 h |
//! | skips | [`Recorder::on_skip`] | `objects_skipped`, since the start |
//! | bytes and objects out | [`Recorder::on_bytes_out`] | `bytes_out`, since the start |
//! | bytes in | [`IngestRecorder::on_bytes_in`] | `bytes_in`, since the start |
//! | arrival jitter, skew | [`IngestRecorder::on_arrival`] | `arrival_jitter_us`, `av_skew_us` |
//! | bitrate, rate, GOP | [`IngestRecorder::on_arrival`] | `tracks[]` |
//! | reconnects | [`IngestRecorder::on_reconnect`] | `publisher.reconnects` |
//! | what players report | [`Recorder::on_report`] | `latency_us.player`, `qoe` |

pub mod events;
pub mod health;
pub mod report;
pub mod snapshot;

mod arrears;
mod arrival;
mod ingest;
mod intake;
mod merge;
mod quality;
mod rate;
mod series;
mod watch;

pub use arrears::Arrears;
pub use ingest::{Arrival, IngestRecorder, Kind, TrackRates};
pub use intake::{Intake, Received};
pub use merge::{Merged, StreamFacts, merge};
pub use quality::{Progress, QualityCounts};
pub use series::{BUCKET_BOUNDS_US, Totals, WINDOW_S};
pub use watch::{Point, Watch};

use quality::{Quality, micros};
use serde::{Deserialize, Serialize};
use series::Series;

/// Slice of the first-frame window: joins are rare, so it looks back an hour where the stages look
/// back a minute.
const FIRST_FRAME_SLICE_US: u64 = 600_000_000;

/// Slice of the window of every latency stage.
const STAGE_SLICE_US: u64 = 10_000_000;

/// Where a frame's time goes between the publisher's socket and the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// First byte of the RTMP message read from the socket → object complete.
    Ingest,
    /// Object complete → a shard's subscription takes it up; one sample per viewer.
    Queue,
    /// Taken up → accepted by the QUIC stream: flow and congestion control are felt here.
    Send,
    /// First byte read → accepted by the QUIC stream: what the relay itself adds.
    Relay,
    /// Last byte of a group accepted → all of it acknowledged by the viewer.
    Ack,
    /// Arrival at the relay → rendered, as reported by the players that report.
    Player,
}

impl Stage {
    /// Number of stages.
    pub const COUNT: usize = 6;

    /// Every stage, in the order of a frame's way.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ingest,
        Self::Queue,
        Self::Send,
        Self::Relay,
        Self::Ack,
        Self::Player,
    ];

    /// The name in the API, the metrics and `weir top`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Queue => "queue",
            Self::Send => "send",
            Self::Relay => "relay",
            Self::Ack => "ack",
            Self::Player => "player",
        }
    }
}

/// Why a viewer did not get an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The viewer was further behind than its limit and continued at the newest group.
    Behind,
    /// The viewer stopped the stream of the group.
    Reset,
}

/// Objects that viewers did not get, by reason, since the start of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Skipped {
    /// Skipped by policy: see [`SkipReason::Behind`].
    pub behind: u64,
    /// Refused by the viewer: see [`SkipReason::Reset`].
    pub reset: u64,
}

impl Skipped {
    /// Counts `objects` under `reason`.
    pub fn on_skip(&mut self, reason: SkipReason, objects: u64) {
        match reason {
            SkipReason::Behind => self.behind += objects,
            SkipReason::Reset => self.reset += objects,
        }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        self.behind += other.behind;
        self.reset += other.reset;
    }
}

/// What one shard records about one stream.
///
/// It lives as long as the stream: its counters feed Prometheus counters, which must not fall when
/// the last viewer of a shard leaves. It holds 6 kB while idle; a stage takes up to six histograms
/// of up to 10 kB each, allocated by its first samples and kept, so half a megabyte at most.
#[derive(Clone, Debug)]
pub struct Recorder {
    stages: [Series; Stage::COUNT],
    first_frame: Series,
    skipped: Skipped,
    bytes_out: u64,
    objects_out: u64,
    /// Made by the first report: most players of other make send none.
    quality: Option<Box<Quality>>,
}

impl Recorder {
    /// A recorder whose windows start at `now_us`.
    pub fn new(now_us: u64) -> Self {
        Self {
            stages: std::array::from_fn(|_| Series::new(STAGE_SLICE_US, now_us)),
            first_frame: Series::new(FIRST_FRAME_SLICE_US, now_us),
            skipped: Skipped::default(),
            bytes_out: 0,
            objects_out: 0,
            quality: None,
        }
    }

    /// Records that an object spent `micros` in `stage`.
    pub fn record(&mut self, stage: Stage, micros: u64, now_us: u64) {
        self.stages[stage as usize].record(micros, now_us);
    }

    /// Records that a joiner's first frame was accepted by its stream `micros` after its request.
    pub fn on_first_frame(&mut self, micros: u64, now_us: u64) {
        self.first_frame.record(micros, now_us);
    }

    /// Counts `objects` that a viewer did not get.
    pub fn on_skip(&mut self, reason: SkipReason, objects: u64) {
        self.skipped.on_skip(reason, objects);
    }

    /// Counts `bytes` of `objects` objects that a viewer's streams accepted.
    pub fn on_bytes_out(&mut self, bytes: u64, objects: u64) {
        self.bytes_out += bytes;
        self.objects_out += objects;
    }

    /// Records a player's report: the stage `player`, and how well the stream is seen.
    pub fn on_report(&mut self, progress: Progress<'_>) {
        let now_us = progress.now_us;
        for (ms, frames) in &progress.report.latencies {
            let series = &mut self.stages[Stage::Player as usize];
            series.record_many(micros(*ms), *frames, now_us);
        }
        let quality = self
            .quality
            .get_or_insert_with(|| Box::new(Quality::new(now_us)));
        quality.on_report(progress);
    }

    /// Objects that viewers did not get, since the start.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    fn stage(&self, stage: Stage) -> &Series {
        &self.stages[stage as usize]
    }
}

#[cfg(test)]
mod tests;
