//! Many recorders of one stream → what the API says of it.

use super::health::Warning;
use super::ingest::IngestRecorder;
use super::quality::MergedQuality;
use super::series::{SLICES, Series, Totals, WINDOW_S};
use super::snapshot::{
    FirstFrameSnapshot, JitterSnapshot, LatencySnapshot, PublisherSnapshot, StageLatencies,
    StreamSnapshot, StreamState, StreamTotals, TrackSnapshot,
};
use super::{FIRST_FRAME_SLICE_US, Recorder, STAGE_SLICE_US, Skipped, Stage};
use hdrhistogram::Histogram;

const _: () = assert!(STAGE_SLICE_US * SLICES as u64 == WINDOW_S * 1_000_000);

/// Seconds of the window of first frames.
const FIRST_FRAME_WINDOW_S: u64 = FIRST_FRAME_SLICE_US * SLICES as u64 / 1_000_000;

/// What is known of a stream without its recorders.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// Public name.
    pub name: String,
    /// Whether somebody publishes it.
    pub state: StreamState,
    /// Wall-clock time of the first publish, RFC 3339 in UTC.
    pub since: String,
    /// Who publishes it; `reconnects` is taken from the ingest recorder.
    pub publisher: PublisherSnapshot,
    /// Its media tracks, with their rates.
    pub tracks: Vec<TrackSnapshot>,
    /// Viewers with at least one subscription.
    pub subscribers: u64,
    /// Those of them whose players have reported.
    pub viewers_reporting: u64,
    /// What is wrong with it.
    pub warnings: Vec<Warning>,
}

/// The sum of recorders of one stream over the windows that end at one moment.
///
/// Recorders are added one at a time, so that a reader holds one lock at a time and none while it
/// computes percentiles.
#[derive(Clone, Debug)]
pub struct Merged {
    now_us: u64,
    stages: [Option<Histogram<u32>>; Stage::COUNT],
    first_frame: Option<Histogram<u32>>,
    jitter: Option<Histogram<u32>>,
    quality: MergedQuality,
    totals: StreamTotals,
    skipped: Skipped,
    bytes_in: u64,
    bytes_out: u64,
    reconnects: u64,
    av_skew_us: Option<i64>,
}

/// Sums the recorders of all shards at `now_us`.
pub fn merge<'a>(recorders: impl IntoIterator<Item = &'a Recorder>, now_us: u64) -> Merged {
    let mut merged = Merged::new(now_us);
    for recorder in recorders {
        merged.add(recorder);
    }
    merged
}

impl Merged {
    /// The sum of no recorders.
    pub fn new(now_us: u64) -> Self {
        Self {
            now_us,
            stages: Default::default(),
            first_frame: None,
            jitter: None,
            quality: MergedQuality::default(),
            totals: StreamTotals::default(),
            skipped: Skipped::default(),
            bytes_in: 0,
            bytes_out: 0,
            reconnects: 0,
            av_skew_us: None,
        }
    }

    /// Adds what one shard recorded.
    pub fn add(&mut self, recorder: &Recorder) {
        for stage in Stage::ALL {
            self.add_stage(stage, recorder.stage(stage));
        }
        add_series(
            &mut self.first_frame,
            &mut self.totals.first_frame,
            &recorder.first_frame,
            self.now_us,
        );
        if let Some(quality) = &recorder.quality {
            self.quality.add(quality, self.now_us);
        }
        self.skipped.add(recorder.skipped);
        self.bytes_out += recorder.bytes_out;
        self.totals.objects_out += recorder.objects_out;
    }

    /// Adds what ingest recorded.
    pub fn add_ingest(&mut self, recorder: &IngestRecorder) {
        self.add_stage(Stage::Ingest, recorder.object());
        add_series(
            &mut self.jitter,
            &mut self.totals.arrival_jitter,
            recorder.jitter(),
            self.now_us,
        );
        self.bytes_in += recorder.bytes_in();
        self.reconnects += recorder.reconnects();
        self.av_skew_us = recorder.av_skew_us();
    }

    /// What the API says of the stream.
    pub fn snapshot(mut self, facts: StreamFacts) -> StreamSnapshot {
        self.totals.quality = *self.quality.counts();
        self.totals.startup = *self.quality.startups();
        let mut publisher = facts.publisher;
        publisher.reconnects = self.reconnects;
        StreamSnapshot {
            name: facts.name,
            state: facts.state,
            since: facts.since,
            publisher,
            tracks: facts.tracks,
            subscribers: facts.subscribers,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            objects_skipped: self.skipped,
            arrival_jitter_us: self.arrival_jitter(),
            av_skew_us: self.av_skew_us,
            window_s: WINDOW_S,
            latency_us: self.latency(),
            first_frame_us: self.first_frame(),
            qoe: self.quality.snapshot(facts.viewers_reporting),
            warnings: facts.warnings,
            totals: self.totals,
        }
    }

    /// Percentiles of every stage.
    pub fn latency(&self) -> StageLatencies {
        let mut latency = StageLatencies::default();
        for (stage, histogram) in Stage::ALL.into_iter().zip(&self.stages) {
            *latency.stage_mut(stage) = percentiles(histogram.as_ref());
        }
        latency
    }

    fn arrival_jitter(&self) -> JitterSnapshot {
        let jitter = self.jitter.as_ref();
        JitterSnapshot {
            p50: jitter.map(|h| h.value_at_quantile(0.5)),
            p99: jitter.map(|h| h.value_at_quantile(0.99)),
        }
    }

    fn first_frame(&self) -> FirstFrameSnapshot {
        let Some(first_frame) = self.first_frame.as_ref() else {
            return FirstFrameSnapshot::default();
        };
        FirstFrameSnapshot {
            count: first_frame.len(),
            p50: first_frame.value_at_quantile(0.5),
            p99: first_frame.value_at_quantile(0.99),
            window_s: FIRST_FRAME_WINDOW_S,
        }
    }

    fn add_stage(&mut self, stage: Stage, series: &Series) {
        let at = stage as usize;
        add_series(
            &mut self.stages[at],
            &mut self.totals.stages[at],
            series,
            self.now_us,
        );
    }
}

fn add_series(
    window: &mut Option<Histogram<u32>>,
    totals: &mut Totals,
    series: &Series,
    now_us: u64,
) {
    series.add_window_to(window, now_us);
    totals.add(series.totals());
}

fn percentiles(histogram: Option<&Histogram<u32>>) -> LatencySnapshot {
    let Some(histogram) = histogram else {
        return LatencySnapshot::default();
    };
    LatencySnapshot {
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    }
}
