//! The metrics against Prometheus's own checker, and their bound.

use super::*;
use crate::stats::report::Report;
use crate::stats::snapshot::{LimitSnapshot, PublisherSnapshot, ShardLoad, TrackSnapshot};
use crate::stats::{Arrival, IngestRecorder, Kind as Track, Merged, Recorder, SkipReason};
use crate::stats::{Progress, StreamFacts, merge};
use std::io::Write;
use std::process::{Command, Stdio};

fn facts(name: &str, minute: usize) -> StreamFacts {
    StreamFacts {
        name: name.to_owned(),
        state: StreamState::Live,
        since: format!("2026-11-20T{:02}:{:02}:00Z", minute / 60 % 24, minute % 60),
        publisher: PublisherSnapshot::default(),
        tracks: Vec::new(),
        subscribers: 1,
        viewers_reporting: 1,
        warnings: Vec::new(),
    }
}

fn busy_stream(name: &str) -> StreamSnapshot {
    let mut recorder = Recorder::new(0);
    for stage in Stage::ALL {
        recorder.record(stage, 300, 0);
    }
    recorder.on_first_frame(2_000, 0);
    recorder.on_skip(SkipReason::Behind, 3);
    recorder.on_bytes_out(1_000, 10);
    let body = br#"{"v":1,"stream":"live/cam","startup_ms":240,"rendered":30,"stalls":1}"#;
    let report = Report::parse(body).unwrap();
    recorder.on_report(Progress {
        report: &report,
        before: None,
        now_us: 0,
    });
    let mut ingest = IngestRecorder::new(0);
    ingest.on_bytes_in(500);
    for kind in [Track::Video, Track::Audio] {
        let arrival = Arrival {
            kind,
            media_us: 0,
            bytes: 100,
            key_frame: true,
        };
        ingest.on_arrival(arrival, 0);
    }
    let mut merged = merge([&recorder], 0);
    merged.add_ingest(&ingest);
    let mut stream = merged.snapshot(facts(name, 0));
    stream.tracks.push(TrackSnapshot {
        fps: Some(29.97),
        bitrate_bps: 1_000_000,
        ..TrackSnapshot::default()
    });
    stream
}

fn process() -> ProcessSnapshot {
    ProcessSnapshot {
        version: "0.1.0".into(),
        uptime_s: 5,
        listeners: Vec::new(),
        publishers: 1,
        shard_connections: vec![3, 4],
        limits: vec![LimitSnapshot {
            name: "limits.sessions",
            limit: 9,
            used: Some(4),
            hits: 2,
        }],
        shard_load: vec![ShardLoad {
            busy_percent: 25,
            lag_us: 1_500,
            ..ShardLoad::default()
        }],
        reports: vec![("taken", 7), ("malformed", 1)],
        datagrams_unknown: 3,
        cpu_s: Some(1.25),
        resident_bytes: Some(20_000_000),
    }
}

fn promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool is missing: install the Debian package `prometheus`");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Samples, without the comments.
fn samples(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn promtool_accepts_a_busy_relay() {
    let streams = vec![busy_stream("live/cam"), busy_stream("live/\"odd\\name\n")];
    let text = render(&process(), streams);
    for line in [
        "weir_connections{shard=\"1\"} 4",
        "weir_limit_hits_total{limit=\"limits.sessions\"} 2",
        "weir_limit_used{limit=\"limits.sessions\"} 4",
        "weir_shard_busy_ratio{shard=\"0\"} 0.25",
        "weir_streams{state=\"live\"} 2",
        "weir_stream_skipped_objects_total{stream=\"live/cam\",reason=\"behind\"} 3",
        "weir_stream_sent_objects_total{stream=\"live/cam\"} 10",
        "weir_stream_latency_seconds_count{stream=\"live/cam\",stage=\"ack\"} 1",
        "weir_stream_first_frame_seconds_sum{stream=\"live/cam\"} 0.002",
        "weir_stream_video_frames_per_second{stream=\"live/cam\"} 29.97",
    ] {
        assert!(
            samples(&text).any(|sample| sample == line),
            "{line} in\n{text}"
        );
    }
    promtool(&text);
}

#[test]
fn promtool_accepts_an_idle_relay() {
    promtool(&render(&ProcessSnapshot::default(), Vec::new()));
}

#[test]
fn streams_beyond_the_bound_share_one_series() {
    let mut streams: Vec<_> = (0..MAX_STREAMS + 500)
        .map(|at| Merged::new(0).snapshot(facts(&format!("live/{at:04}"), at)))
        .collect();
    streams.reverse();
    streams.truncate(1_200);
    let text = render(&process(), streams);
    let viewers: Vec<_> = samples(&text)
        .filter(|line| line.starts_with("weir_stream_viewers"))
        .collect();
    assert_eq!(viewers.len(), MAX_STREAMS + 1);
    assert!(
        viewers.contains(&"weir_stream_viewers{stream=\"other\"} 200"),
        "summed"
    );
    assert!(
        viewers.contains(&"weir_stream_viewers{stream=\"live/0300\"} 1"),
        "oldest kept"
    );
    assert!(samples(&text).any(|line| line == "weir_folded_streams 200"));
}

#[test]
fn folded_streams_are_summed_in_every_number() {
    let mut streams: Vec<_> = (0..MAX_STREAMS)
        .map(|at| Merged::new(0).snapshot(facts(&format!("live/{at:04}"), 0)))
        .collect();
    streams.extend([busy_stream("live/x"), busy_stream("live/y")]);
    let text = render(&process(), streams);
    for line in [
        "weir_stream_sent_bytes_total{stream=\"other\"} 2000",
        "weir_stream_received_bytes_total{stream=\"other\"} 1000",
        "weir_stream_skipped_objects_total{stream=\"other\",reason=\"behind\"} 6",
        "weir_stream_latency_seconds_count{stream=\"other\",stage=\"send\"} 2",
        "weir_stream_media_bytes_per_second{stream=\"other\"} 250000",
    ] {
        assert!(samples(&text).any(|sample| sample == line), "{line}");
    }
    promtool(&text);
}

#[test]
fn a_stream_named_like_the_sum_does_not_double_its_series() {
    let streams = vec![busy_stream("other"), busy_stream("live/cam")];
    let text = render(&process(), streams);
    let mut seen = std::collections::HashSet::new();
    for line in samples(&text) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series.to_owned()), "twice: {series}");
    }
}
