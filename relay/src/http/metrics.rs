//! Snapshots → `/metrics`.
//!
//! Cardinality is bounded: the oldest [`MAX_STREAMS`] streams have series of their own, the rest
//! are summed as `stream="other"`, and no series is ever about one viewer or session. The oldest
//! keep theirs so that a stream does not change its series while others come and go; the counters
//! of `other` may fall when a stream leaves it, which Prometheus takes for a restart.

use super::exposition::{Exposition, Kind};
use crate::stats::snapshot::{
    HopSnapshot, ProcessSnapshot, ShardLoad, StreamSnapshot, StreamState, StreamTotals,
};
use crate::stats::{QualityCounts, Skipped, Stage};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Streams with series of their own. A stream has at most some 130: six stages and two more
/// histograms of 15 lines each, and a dozen numbers.
pub(super) const MAX_STREAMS: usize = 1_000;

/// The label of everything beyond [`MAX_STREAMS`].
const OTHER: &str = "other";

/// The numbers of one stream, or of all that share a label.
#[derive(Default)]
struct Row {
    stream: String,
    viewers: u64,
    viewers_reporting: u64,
    bytes_in: u64,
    bytes_out: u64,
    reconnects: u64,
    skipped: Skipped,
    bitrate_bps: u64,
    /// Of the first track that has one; not summed.
    fps: Option<f64>,
    /// Not summed.
    av_skew_us: Option<i64>,
    /// Not summed.
    hop: HopSnapshot,
    totals: StreamTotals,
}

/// The text for one scrape.
pub(super) fn render(process: &ProcessSnapshot, streams: Vec<StreamSnapshot>) -> String {
    let mut out = Exposition::default();
    render_process(&mut out, process);
    render_stream_count(&mut out, &streams);
    let rows = rows(streams, &mut out);
    render_numbers(&mut out, &rows);
    render_hops(&mut out, &rows);
    render_quality(&mut out, &rows);
    render_histograms(&mut out, &rows);
    out.finish()
}

fn rows(mut streams: Vec<StreamSnapshot>, out: &mut Exposition) -> Vec<Row> {
    streams.sort_unstable_by(|a, b| (&a.since, &a.name).cmp(&(&b.since, &b.name)));
    let mut rows = Vec::with_capacity(streams.len().min(MAX_STREAMS + 1));
    let mut folded = 0_u64;
    let mut other = Row {
        stream: OTHER.to_owned(),
        ..Row::default()
    };
    for stream in streams {
        if rows.len() < MAX_STREAMS && stream.name != OTHER {
            rows.push(Row::from(stream));
        } else {
            folded += 1;
            other.fold(stream.into());
        }
    }
    if folded > 0 {
        rows.push(other);
    }
    let help = "Streams that share the series of stream \"other\".";
    out.family("weir_folded_streams", Kind::Gauge, help);
    out.sample(&[], folded);
    rows
}

impl From<StreamSnapshot> for Row {
    fn from(stream: StreamSnapshot) -> Self {
        Self {
            viewers: stream.subscribers,
            viewers_reporting: stream.qoe.map_or(0, |qoe| qoe.viewers_reporting),
            bytes_in: stream.bytes_in,
            bytes_out: stream.bytes_out,
            reconnects: stream.publisher.reconnects,
            hop: stream.publisher.hop.unwrap_or_default(),
            skipped: stream.objects_skipped,
            bitrate_bps: stream.tracks.iter().map(|track| track.bitrate_bps).sum(),
            fps: stream.tracks.iter().find_map(|track| track.fps),
            av_skew_us: stream.av_skew_us,
            totals: stream.totals,
            stream: stream.name,
        }
    }
}

impl Row {
    fn fold(&mut self, row: Self) {
        self.viewers += row.viewers;
        self.viewers_reporting += row.viewers_reporting;
        self.bytes_in += row.bytes_in;
        self.bytes_out += row.bytes_out;
        self.reconnects += row.reconnects;
        self.skipped.add(row.skipped);
        self.bitrate_bps += row.bitrate_bps;
        self.totals.add(&row.totals);
    }
}

fn render_process(out: &mut Exposition, process: &ProcessSnapshot) {
    out.family("weir_build_info", Kind::Gauge, "The running version.");
    out.sample(&[("version", &process.version)], 1);
    out.family("weir_uptime_seconds", Kind::Gauge, "Time since the start.");
    out.sample(&[], process.uptime_s);
    out.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "CPU time, user and system.",
    );
    if let Some(cpu_s) = process.cpu_s {
        out.sample(&[], cpu_s);
    }
    out.family(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Resident memory.",
    );
    if let Some(bytes) = process.resident_bytes {
        out.sample(&[], bytes);
    }
    out.family(
        "weir_publishers",
        Kind::Gauge,
        "Open publishing connections.",
    );
    out.sample(&[], process.publishers);
    out.family(
        "weir_connections",
        Kind::Gauge,
        "Open QUIC connections by shard.",
    );
    for (shard, connections) in process.shard_connections.iter().enumerate() {
        out.sample(&[("shard", &shard.to_string())], connections);
    }
    out.family(
        "weir_limit_hits_total",
        Kind::Counter,
        "How often a limit was hit.",
    );
    for limit in &process.limits {
        out.sample(&[("limit", limit.name)], limit.hits);
    }
    render_load(out, process);
    let help = "Players' reports by what became of them.";
    out.family("weir_reports_total", Kind::Counter, help);
    for (fate, count) in &process.reports {
        out.sample(&[("fate", fate)], count);
    }
    let help = "Datagrams on an alias that means nothing here.";
    out.family("weir_unknown_datagrams_total", Kind::Counter, help);
    out.sample(&[], process.datagrams_unknown);
}

/// How much of each limit is in use, and how busy the shards are.
fn render_load(out: &mut Exposition, process: &ProcessSnapshot) {
    let help = "What each limit allows, in the unit that its name says.";
    out.family("weir_limit", Kind::Gauge, help);
    for limit in &process.limits {
        out.sample(&[("limit", limit.name)], limit.limit);
    }
    let help = "How much of each limit is in use.";
    out.family("weir_limit_used", Kind::Gauge, help);
    for limit in &process.limits {
        if let Some(used) = limit.used {
            out.sample(&[("limit", limit.name)], used);
        }
    }
    type Number = (&'static str, &'static str, fn(&ShardLoad) -> f64);
    const NUMBERS: [Number; 3] = [
        ("weir_shard_busy_ratio", "Time at work.", |load| {
            load.busy_percent as f64 / 100.0
        }),
        (
            "weir_shard_lag_seconds",
            "How late what is due is done.",
            |load| load.lag_us as f64 / 1e6,
        ),
        (
            "weir_shard_overloaded",
            "1 while no new viewers are taken.",
            |load| f64::from(u8::from(load.overloaded)),
        ),
    ];
    for (name, help, number) in NUMBERS {
        out.family(name, Kind::Gauge, help);
        for (shard, load) in process.shard_load.iter().enumerate() {
            out.sample(&[("shard", &shard.to_string())], number(load));
        }
    }
}

fn render_stream_count(out: &mut Exposition, streams: &[StreamSnapshot]) {
    out.family("weir_streams", Kind::Gauge, "Streams by state.");
    for state in [StreamState::Live, StreamState::Lingering] {
        let count = streams.iter().filter(|s| s.state == state).count();
        out.sample(&[("state", state.name())], count);
    }
}

fn render_numbers(out: &mut Exposition, rows: &[Row]) {
    type Number = (&'static str, Kind, &'static str, fn(&Row) -> u64);
    const NUMBERS: [Number; 6] = [
        (
            "weir_stream_viewers",
            Kind::Gauge,
            "Viewers with a subscription.",
            |r| r.viewers,
        ),
        (
            "weir_stream_media_bytes_per_second",
            Kind::Gauge,
            "Arriving media.",
            |r| r.bitrate_bps / 8,
        ),
        (
            "weir_stream_received_bytes_total",
            Kind::Counter,
            "From the publisher.",
            |r| r.bytes_in,
        ),
        (
            "weir_stream_sent_bytes_total",
            Kind::Counter,
            "Accepted by QUIC streams.",
            |r| r.bytes_out,
        ),
        (
            "weir_stream_sent_objects_total",
            Kind::Counter,
            "Accepted by QUIC streams.",
            |r| r.totals.objects_out,
        ),
        (
            "weir_stream_reconnects_total",
            Kind::Counter,
            "Returns of the publisher.",
            |r| r.reconnects,
        ),
    ];
    for (name, kind, help, number) in NUMBERS {
        out.family(name, kind, help);
        for row in rows {
            out.sample(&[("stream", &row.stream)], number(row));
        }
    }
    let help = "Objects that viewers did not get.";
    out.family("weir_stream_skipped_objects_total", Kind::Counter, help);
    for row in rows {
        for (reason, objects) in [("behind", row.skipped.behind), ("reset", row.skipped.reset)] {
            out.sample(&[("stream", &row.stream), ("reason", reason)], objects);
        }
    }
    let help = "Of the video track, by media time.";
    out.family("weir_stream_video_frames_per_second", Kind::Gauge, help);
    for row in rows {
        if let Some(fps) = row.fps {
            out.sample(&[("stream", &row.stream)], fps);
        }
    }
    let help = "How much later video arrives than audio.";
    out.family("weir_stream_av_skew_seconds", Kind::Gauge, help);
    for row in rows {
        if let Some(skew_us) = row.av_skew_us {
            out.sample(&[("stream", &row.stream)], skew_us as f64 / 1e6);
        }
    }
}

/// What the ways from upstream relays take.
fn render_hops(out: &mut Exposition, rows: &[Row]) {
    type Span = (&'static str, &'static str, fn(&HopSnapshot) -> Option<u64>);
    const SPANS: [Span; 2] = [
        (
            "weir_stream_hop_latency_seconds",
            "From a frame's arrival at the upstream to its arrival here.",
            |hop| hop.latency_us,
        ),
        (
            "weir_stream_path_latency_seconds",
            "The same from the relay that the publisher came to.",
            |hop| hop.path_us,
        ),
    ];
    for (name, help, span) in SPANS {
        out.family(name, Kind::Gauge, help);
        for row in rows {
            if let Some(micros) = span(&row.hop) {
                out.sample(&[("stream", &row.stream)], micros as f64 / 1e6);
            }
        }
    }
}

/// What players report. Streams whose viewers never did are left out.
fn render_quality(out: &mut Exposition, rows: &[Row]) {
    type Number = (&'static str, &'static str, fn(&QualityCounts) -> f64);
    const NUMBERS: [Number; 7] = [
        ("weir_stream_reports_total", "Reports of players.", |q| {
            q.reports as f64
        }),
        (
            "weir_stream_rendered_frames_total",
            "Pictures that players showed.",
            |q| q.totals.rendered as f64,
        ),
        (
            "weir_stream_dropped_frames_total",
            "Pictures that players received and did not show.",
            |q| q.totals.dropped as f64,
        ),
        (
            "weir_stream_player_skips_total",
            "Times that players went on at the newest picture.",
            |q| q.totals.skips as f64,
        ),
        (
            "weir_stream_stalls_total",
            "Times that a picture stood still.",
            |q| q.totals.stalls as f64,
        ),
        (
            "weir_stream_stalled_seconds_total",
            "How long pictures stood still.",
            |q| q.totals.stalled_ms as f64 / 1e3,
        ),
        (
            "weir_stream_watched_seconds_total",
            "Time that the reports cover.",
            |q| q.watched_ms as f64 / 1e3,
        ),
    ];
    let reported = |row: &&Row| row.totals.quality.reports > 0;
    let help = "Viewers whose players report.";
    out.family("weir_stream_reporting_viewers", Kind::Gauge, help);
    for row in rows.iter().filter(reported) {
        out.sample(&[("stream", &row.stream)], row.viewers_reporting);
    }
    for (name, help, number) in NUMBERS {
        out.family(name, Kind::Counter, help);
        for row in rows.iter().filter(reported) {
            out.sample(&[("stream", &row.stream)], number(&row.totals.quality));
        }
    }
    let help = "From the wish to watch to the first picture.";
    out.family("weir_stream_startup_seconds", Kind::Histogram, help);
    for row in rows.iter().filter(|row| row.totals.startup.count() > 0) {
        out.histogram(&[("stream", &row.stream)], &row.totals.startup);
    }
}

/// Histograms without a sample are left out: most streams use few of them.
fn render_histograms(out: &mut Exposition, rows: &[Row]) {
    let help = "Where the time of an object goes.";
    out.family("weir_stream_latency_seconds", Kind::Histogram, help);
    for row in rows {
        for (stage, totals) in Stage::ALL.into_iter().zip(&row.totals.stages) {
            if totals.count() > 0 {
                out.histogram(&[("stream", &row.stream), ("stage", stage.name())], totals);
            }
        }
    }
    let help = "From a joiner's request to its first frame.";
    out.family("weir_stream_first_frame_seconds", Kind::Histogram, help);
    for row in rows.iter().filter(|row| row.totals.first_frame.count() > 0) {
        out.histogram(&[("stream", &row.stream)], &row.totals.first_frame);
    }
    let help = "How late frames arrive against the promptest of the last half minute.";
    out.family("weir_stream_arrival_jitter_seconds", Kind::Histogram, help);
    for row in rows
        .iter()
        .filter(|row| row.totals.arrival_jitter.count() > 0)
    {
        out.histogram(&[("stream", &row.stream)], &row.totals.arrival_jitter);
    }
}

#[cfg(test)]
mod tests;
