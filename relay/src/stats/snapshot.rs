//! What the API says: the shapes of its JSON, which `weir top` reads back.

use super::events::Event;
use super::health::Warning;
use super::{BUCKET_BOUNDS_US, Point, QualityCounts, Skipped, Stage, Totals};
use serde::{Deserialize, Serialize};

mod quality;

pub use quality::{QoeSnapshot, ReportSnapshot, SpanSnapshot};

/// The answer to `GET /api/v1/streams`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamList {
    /// Every stream that is live or lingers.
    pub streams: Vec<StreamSnapshot>,
}

/// One stream at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSnapshot {
    /// Public name, for example `live/cam`.
    pub name: String,
    /// Whether somebody publishes it.
    pub state: StreamState,
    /// Wall-clock time of the first publish, RFC 3339 in UTC.
    pub since: String,
    /// Who publishes it, or published it last.
    pub publisher: PublisherSnapshot,
    /// Its media tracks.
    pub tracks: Vec<TrackSnapshot>,
    /// Viewers with at least one subscription.
    pub subscribers: u64,
    /// Bytes read from the publisher since the start.
    pub bytes_in: u64,
    /// Bytes that the viewers' streams accepted since the start.
    pub bytes_out: u64,
    /// Objects that viewers did not get since the start.
    pub objects_skipped: Skipped,
    /// How late frames arrive; empty before the first one.
    pub arrival_jitter_us: JitterSnapshot,
    /// Smoothed lateness of video against audio in microseconds; `null` unless both arrived.
    pub av_skew_us: Option<i64>,
    /// Length in seconds of the window of `latency_us` and `arrival_jitter_us`.
    pub window_s: u64,
    /// Where the time goes.
    pub latency_us: StageLatencies,
    /// How long joiners waited for their first frame.
    pub first_frame_us: FirstFrameSnapshot,
    /// What the viewers' players report; left out when none ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qoe: Option<QoeSnapshot>,
    /// What is wrong that the streamer can put right, the most pressing first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Counters that only the metrics show.
    #[serde(skip)]
    pub totals: StreamTotals,
}

/// Whether a stream has a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// A publisher is connected.
    Live,
    /// The publisher is gone and may come back before the linger time is over.
    Lingering,
}

impl StreamState {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Lingering => "lingering",
        }
    }
}

/// Who publishes a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublisherSnapshot {
    /// `rtmp`, `moqt`, or `upstream` for another relay.
    pub protocol: String,
    /// Remote address and port.
    pub addr: String,
    /// How the publishing program names itself; empty when it does not.
    pub encoder: String,
    /// How often it came back.
    pub reconnects: u64,
    /// For a stream that comes from an upstream relay, what the way from there takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<HopSnapshot>,
}

/// The way from an upstream relay. What the upstream does not tell is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HopSnapshot {
    /// Round trip to the upstream in microseconds, as QUIC has it.
    pub rtt_us: u64,
    /// From a frame's arrival at the upstream to its arrival here, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// How wrong that may be, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_us: Option<u64>,
    /// The same from the relay that the publisher came to, over all hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_us: Option<u64>,
    /// How many hops that are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<u64>,
}

/// One media track. What a codec does not have, or what is not known yet, is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackSnapshot {
    /// Track name, for example `video`.
    pub name: String,
    /// Codec string of RFC 6381, for example `avc1.42c01f`.
    pub codec: String,
    /// Picture width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Picture height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Measured frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Sound samples per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samplerate: Option<u32>,
    /// Sound channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Measured bits per second.
    pub bitrate_bps: u64,
    /// Media time between the last two key frames in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gop_ms: Option<u64>,
}

impl TrackSnapshot {
    /// Sets what ingest measured of the track.
    #[must_use]
    pub fn with_rates(mut self, rates: super::TrackRates) -> Self {
        self.fps = rates.fps;
        self.bitrate_bps = rates.bitrate_bps;
        self.gop_ms = rates.gop_ms;
        self
    }
}

/// Percentiles of one stage in microseconds, true to 1 %; `{}` when the window holds no sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencySnapshot {
    /// Samples in the window.
    #[serde(skip_serializing_if = "is_zero")]
    pub count: u64,
    /// Median.
    #[serde(skip_serializing_if = "is_zero")]
    pub p50: u64,
    /// 90th percentile.
    #[serde(skip_serializing_if = "is_zero")]
    pub p90: u64,
    /// 99th percentile.
    #[serde(skip_serializing_if = "is_zero")]
    pub p99: u64,
    /// Longest.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
}

/// Percentiles of every stage; see [`Stage`] for what each measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are the variants of Stage")]
pub struct StageLatencies {
    pub relay: LatencySnapshot,
    pub ingest: LatencySnapshot,
    pub queue: LatencySnapshot,
    pub send: LatencySnapshot,
    pub ack: LatencySnapshot,
    pub player: LatencySnapshot,
}

impl StageLatencies {
    /// The percentiles of `stage`.
    pub fn stage(&self, stage: Stage) -> &LatencySnapshot {
        match stage {
            Stage::Ingest => &self.ingest,
            Stage::Queue => &self.queue,
            Stage::Send => &self.send,
            Stage::Relay => &self.relay,
            Stage::Ack => &self.ack,
            Stage::Player => &self.player,
        }
    }

    /// The percentiles of `stage`, to be set.
    pub fn stage_mut(&mut self, stage: Stage) -> &mut LatencySnapshot {
        match stage {
            Stage::Ingest => &mut self.ingest,
            Stage::Queue => &mut self.queue,
            Stage::Send => &mut self.send,
            Stage::Relay => &mut self.relay,
            Stage::Ack => &mut self.ack,
            Stage::Player => &mut self.player,
        }
    }
}

/// How much later frames arrive than the promptest of the last half minute, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JitterSnapshot {
    /// Median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<u64>,
    /// 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<u64>,
}

/// Time from a joiner's request to its first frame, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstFrameSnapshot {
    /// Joiners in the window.
    #[serde(skip_serializing_if = "is_zero")]
    pub count: u64,
    /// Median.
    #[serde(skip_serializing_if = "is_zero")]
    pub p50: u64,
    /// 99th percentile.
    #[serde(skip_serializing_if = "is_zero")]
    pub p99: u64,
    /// Length of the window in seconds: an hour, since joins are rare.
    #[serde(skip_serializing_if = "is_zero")]
    pub window_s: u64,
}

/// The answer to `GET /api/v1/streams/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamDetail {
    /// The same as in the list.
    #[serde(flatten)]
    pub stream: StreamSnapshot,
    /// One row a viewer.
    pub viewers: Vec<ViewerSnapshot>,
    /// What happened, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The recent past, the oldest first.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
}

/// A stream's recent past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Upper bounds of the buckets in microseconds; the last bucket has none.
    pub bucket_bounds_us: Vec<u64>,
    /// The oldest first.
    pub points: Vec<Point>,
}

impl History {
    /// The points with what they need to be read.
    pub fn new(points: Vec<Point>) -> Self {
        Self {
            bucket_bounds_us: BUCKET_BOUNDS_US.to_vec(),
            points,
        }
    }

    fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

/// The answer to `GET /api/v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventList {
    /// The newest first.
    pub events: Vec<Event>,
}

/// One viewer of one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewerSnapshot {
    /// Remote address and port.
    pub addr: String,
    /// `quic`, `webtransport` or `rtmp`.
    pub transport: String,
    /// Negotiated draft, for example `moqt-19`; empty for RTMP.
    pub draft: String,
    /// How the viewer's program names itself; empty when it does not.
    pub implementation: String,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u64,
    /// Congestion window in bytes.
    pub cwnd_bytes: u64,
    /// Bytes that its streams accepted.
    pub bytes_out: u64,
    /// Media time between the newest object and the one it is served, in milliseconds.
    pub behind_ms: u64,
    /// Objects that it did not get.
    pub objects_skipped: Skipped,
    /// Seconds since its connection was set up.
    pub connected_s: u64,
    /// Names of the tracks that it subscribes to.
    pub tracks: Vec<String>,
    /// Its own stages, where they are kept per viewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<StageLatencies>,
    /// The newest report of its player, if that reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportSnapshot>,
}

/// Counters of one stream since its start, for Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Objects that the viewers' streams accepted.
    pub objects_out: u64,
    /// By [`Stage`], in the order of [`Stage::ALL`].
    pub stages: [Totals; Stage::COUNT],
    /// Time to first frame.
    pub first_frame: Totals,
    /// Lateness of arrivals.
    pub arrival_jitter: Totals,
    /// What players report.
    pub quality: QualityCounts,
    /// Start-up times that players report.
    pub startup: Totals,
}

impl StreamTotals {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.objects_out += other.objects_out;
        for (mine, theirs) in self.stages.iter_mut().zip(&other.stages) {
            mine.add(theirs);
        }
        self.first_frame.add(&other.first_frame);
        self.arrival_jitter.add(&other.arrival_jitter);
        self.quality.add(&other.quality);
        self.startup.add(&other.startup);
    }
}

/// The process behind the streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSnapshot {
    /// Version of the binary.
    pub version: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Name and address of each listener, as `serve` prints them: `rtmp`, `quic`, `http`.
    pub listeners: Vec<(String, String)>,
    /// Publishing connections that are open.
    pub publishers: u64,
    /// QUIC connections of each shard.
    pub shard_connections: Vec<u64>,
    /// The limits, how much of each is in use, and how often it was hit.
    pub limits: Vec<LimitSnapshot>,
    /// How busy each shard is.
    pub shard_load: Vec<ShardLoad>,
    /// Players' reports by what became of them. The names are constants of the program.
    pub reports: Vec<(&'static str, u64)>,
    /// Datagrams on an alias that means nothing here.
    pub datagrams_unknown: u64,
    /// CPU time in seconds, user and system, where the system tells.
    pub cpu_s: Option<f64>,
    /// Resident memory in bytes, where the system tells.
    pub resident_bytes: Option<u64>,
}

/// One of the relay's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LimitSnapshot {
    /// The key of the configuration that sets it.
    pub name: &'static str,
    /// How much is allowed, in the unit that the name says.
    pub limit: u64,
    /// How much is in use, where that is a number that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// How often it was hit.
    pub hits: u64,
}

/// How a shard was in the last tenth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShardLoad {
    /// Its QUIC connections.
    pub connections: u64,
    /// Share of the time that it was at work, in percent.
    pub busy_percent: u64,
    /// How late it looked at what was due, in microseconds.
    pub lag_us: u64,
    /// Whether it takes no new viewers.
    pub overloaded: bool,
}

/// The answer of `/api/v1/limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LimitList {
    /// The limits.
    pub limits: Vec<LimitSnapshot>,
    /// The shards.
    pub shards: Vec<ShardLoad>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
