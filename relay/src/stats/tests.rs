//! Recorders together: merging, the JSON contract, the cost of recording.

use super::snapshot::*;
use super::*;

/// A small generator, so that a failure is repeated by its seed.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn facts() -> StreamFacts {
    StreamFacts {
        name: "live/cam".into(),
        state: StreamState::Live,
        since: "2026-11-20T15:00:00Z".into(),
        publisher: PublisherSnapshot {
            protocol: "rtmp".into(),
            addr: "127.0.0.1:50312".into(),
            encoder: "obs-output module (libobs version 29.0.2)".into(),
            reconnects: 0,
            hop: None,
        },
        tracks: Vec::new(),
        subscribers: 2,
        viewers_reporting: 1,
        warnings: Vec::new(),
    }
}

#[test]
fn merging_shards_equals_recording_into_one() {
    for seed in 1..=20_u64 {
        let mut rng = Rng(seed);
        let mut one = Recorder::new(0);
        let mut shards = vec![Recorder::new(0); 4];
        let mut now_us = 0;
        for _ in 0..5_000 {
            // 180 s in the mean: the windows turn over several times.
            now_us += rng.below(72_000);
            let shard = rng.below(4) as usize;
            let stage = Stage::ALL[rng.below(Stage::COUNT as u64) as usize];
            let micros = 1_u64 << rng.below(26);
            let micros = micros + rng.below(micros);
            for recorder in [&mut one, &mut shards[shard]] {
                recorder.record(stage, micros, now_us);
                recorder.on_bytes_out(micros, 1);
                if micros.is_multiple_of(7) {
                    recorder.on_first_frame(micros, now_us);
                    recorder.on_skip(SkipReason::Behind, 2);
                    recorder.on_skip(SkipReason::Reset, 1);
                }
            }
        }
        let expected = merge([&one], now_us).snapshot(facts());
        let merged = merge(&shards, now_us).snapshot(facts());
        assert!(expected.latency_us.send.count > 0, "seed {seed}");
        assert_eq!(merged, expected, "seed {seed}");
    }
}

#[test]
fn percentiles_are_those_of_the_samples_not_of_the_shards() {
    let mut slow = Recorder::new(0);
    let mut fast = Recorder::new(0);
    slow.record(Stage::Send, 100_000, 0);
    (0..999).for_each(|_| fast.record(Stage::Send, 100, 0));
    let send = merge([&slow, &fast], 0).latency().send;
    assert_eq!((send.count, send.p50, send.p99), (1_000, 100, 100));
    assert!(send.max.abs_diff(100_000) <= 1_000, "{send:?}");
}

#[test]
fn percentiles_are_true_to_one_percent() {
    let mut recorder = Recorder::new(0);
    for micros in 1..=1_000_000_u64 {
        if micros.is_multiple_of(10) {
            recorder.record(Stage::Relay, micros, 0);
        }
    }
    let relay = merge([&recorder], 0).latency().relay;
    for (value, expected) in [
        (relay.p50, 500_000),
        (relay.p90, 900_000),
        (relay.p99, 990_000),
        (relay.max, 1_000_000),
    ] {
        assert!(
            value.abs_diff(expected) <= expected / 100,
            "{value} {expected}"
        );
    }
}

#[test]
fn counters_outlive_the_window() {
    let mut recorder = Recorder::new(0);
    recorder.record(Stage::Ack, 1_000, 0);
    recorder.on_first_frame(2_000, 0);
    let snapshot = merge([&recorder], 90_000_000).snapshot(facts());
    assert_eq!(snapshot.latency_us.ack, LatencySnapshot::default());
    assert_eq!(snapshot.first_frame_us.count, 1, "an hour's window");
    assert_eq!(snapshot.totals.stages[Stage::Ack as usize].count(), 1);
    let later = merge([&recorder], 4_000_000_000).snapshot(facts());
    assert_eq!(later.first_frame_us, FirstFrameSnapshot::default());
}

#[test]
fn ingest_shows_in_the_stream() {
    let mut ingest = IngestRecorder::new(0);
    ingest.on_bytes_in(1_234);
    ingest.on_reconnect();
    for frame in 0..50_u64 {
        for kind in [Kind::Video, Kind::Audio] {
            let arrival = Arrival {
                kind,
                media_us: frame * 40_000,
                bytes: 100,
                key_frame: frame == 0,
            };
            ingest.on_arrival(arrival, frame * 40_000);
        }
        ingest.on_object(300, frame * 40_000);
    }
    let mut merged = Merged::new(2_000_000);
    merged.add_ingest(&ingest);
    let snapshot = merged.snapshot(facts());
    assert_eq!(snapshot.bytes_in, 1_234);
    assert_eq!(snapshot.publisher.reconnects, 1);
    assert_eq!(snapshot.av_skew_us, Some(0));
    assert_eq!(snapshot.latency_us.ingest.count, 50);
    assert_eq!(snapshot.arrival_jitter_us.p99, Some(1));
    assert_eq!(snapshot.totals.arrival_jitter.count(), 100);
}

/// The stream of the contract, with a sample where the contract has numbers.
fn contract() -> StreamDetail {
    let latency = LatencySnapshot {
        count: 100,
        p50: 210,
        p90: 400,
        p99: 900,
        max: 1_500,
    };
    let mut stream = Merged::new(0).snapshot(facts());
    stream.tracks = vec![
        TrackSnapshot {
            name: "video".into(),
            codec: "avc1.42c01f".into(),
            width: Some(640),
            height: Some(360),
            fps: Some(30.0),
            bitrate_bps: 1_200_000,
            gop_ms: Some(2_000),
            ..TrackSnapshot::default()
        },
        TrackSnapshot {
            name: "audio".into(),
            codec: "mp4a.40.2".into(),
            samplerate: Some(48_000),
            channels: Some(2),
            bitrate_bps: 128_000,
            ..TrackSnapshot::default()
        },
    ];
    stream.bytes_in = 1;
    stream.bytes_out = 2;
    stream.av_skew_us = Some(0);
    stream.arrival_jitter_us = JitterSnapshot {
        p50: Some(1),
        p99: Some(2),
    };
    stream.latency_us.relay = latency;
    stream.first_frame_us = FirstFrameSnapshot {
        count: 2,
        p50: 1_500,
        p99: 2_100,
        window_s: 3_600,
    };
    let viewer = ViewerSnapshot {
        addr: "127.0.0.1:50400".into(),
        transport: "quic".into(),
        draft: "moqt-19".into(),
        implementation: "weir".into(),
        rtt_us: 300,
        cwnd_bytes: 14_720,
        bytes_out: 2,
        behind_ms: 33,
        objects_skipped: Skipped::default(),
        connected_s: 9,
        tracks: vec!["video".into(), "audio".into()],
        latency_us: None,
        report: None,
    };
    StreamDetail {
        stream,
        viewers: vec![viewer],
        events: Vec::new(),
        history: History::default(),
    }
}

#[test]
fn json_is_that_of_the_contract() {
    let golden = concat!(
        r#"{"name":"live/cam","state":"live","since":"2026-11-20T15:00:00Z","#,
        r#""publisher":{"protocol":"rtmp","addr":"127.0.0.1:50312","#,
        r#""encoder":"obs-output module (libobs version 29.0.2)","reconnects":0},"#,
        r#""tracks":[{"name":"video","codec":"avc1.42c01f","width":640,"height":360,"#,
        r#""fps":30.0,"bitrate_bps":1200000,"gop_ms":2000},"#,
        r#"{"name":"audio","codec":"mp4a.40.2","samplerate":48000,"channels":2,"#,
        r#""bitrate_bps":128000}],"#,
        r#""subscribers":2,"bytes_in":1,"bytes_out":2,"#,
        r#""objects_skipped":{"behind":0,"reset":0},"#,
        r#""arrival_jitter_us":{"p50":1,"p99":2},"av_skew_us":0,"window_s":60,"#,
        r#""latency_us":{"relay":{"count":100,"p50":210,"p90":400,"p99":900,"max":1500},"#,
        r#""ingest":{},"queue":{},"send":{},"ack":{},"player":{}},"#,
        r#""first_frame_us":{"count":2,"p50":1500,"p99":2100,"window_s":3600},"#,
        r#""viewers":[{"addr":"127.0.0.1:50400","transport":"quic","draft":"moqt-19","#,
        r#""implementation":"weir","rtt_us":300,"cwnd_bytes":14720,"bytes_out":2,"#,
        r#""behind_ms":33,"objects_skipped":{"behind":0,"reset":0},"connected_s":9,"#,
        r#""tracks":["video","audio"]}]}"#,
    );
    assert_eq!(serde_json::to_string(&contract()).unwrap(), golden);
    let back: StreamDetail = serde_json::from_str(golden).unwrap();
    assert_eq!(back, contract(), "what top reads is what the API wrote");
}

/// A report and the one before it, of a player that rendered 25 pictures in a second.
fn reported(recorder: &mut Recorder) {
    let body = |rendered: u64, stalled: u64| {
        let json = serde_json::json!({
            "v": 1, "stream": "live/cam", "startup_ms": 240, "latency_ms": [[84, 5], [95, 20]],
            "buffer_ms": 90.5, "av_offset_ms": -3, "rendered": rendered, "stalls": 1,
            "stalled_ms": stalled, "dropped": 2, "skips": 1,
        });
        report::Report::parse(json.to_string().as_bytes()).unwrap()
    };
    let (first, second) = (body(100, 50), body(125, 100));
    recorder.on_report(Progress {
        report: &first,
        before: None,
        now_us: 1_000_000,
    });
    recorder.on_report(Progress {
        report: &second,
        before: Some((first.totals, 1_000_000)),
        now_us: 2_000_000,
    });
}

#[test]
fn reports_fill_the_stage_player_and_say_how_the_stream_is_seen() {
    let mut shards = [Recorder::new(0), Recorder::new(0)];
    shards.iter_mut().for_each(reported);
    let snapshot = merge(&shards, 2_000_000).snapshot(facts());
    let player = snapshot.latency_us.player;
    assert_eq!((player.count, player.p50 / 1000), (100, 95));
    let qoe = snapshot.qoe.unwrap();
    assert_eq!((qoe.viewers_reporting, qoe.reports), (1, 4));
    assert_eq!((qoe.startup_ms.count, qoe.startup_ms.p50), (2, 241));
    assert_eq!((qoe.rendered, qoe.dropped, qoe.skips), (250, 4, 2));
    assert_eq!(
        (qoe.stalls, qoe.stalled_ms, qoe.watched_ms),
        (2, 200, 2_000)
    );
    assert!((qoe.stalled_ratio - 0.1).abs() < 1e-9, "{qoe:?}");
    assert_eq!(qoe.buffer_ms.count, 4);
    assert!((90..=92).contains(&qoe.buffer_ms.p50), "{qoe:?}");
    assert_eq!(snapshot.totals.startup.count(), 2);
    let silent = merge([&Recorder::new(0)], 0).snapshot(facts());
    assert_eq!(silent.qoe, None, "nobody reported");
}

#[test]
fn a_stream_without_samples_has_empty_stages() {
    let json = serde_json::to_value(Merged::new(0).snapshot(facts())).unwrap();
    assert_eq!(json["latency_us"]["relay"], serde_json::json!({}));
    assert_eq!(json["arrival_jitter_us"], serde_json::json!({}));
    assert_eq!(json["first_frame_us"], serde_json::json!({}));
    assert_eq!(json["av_skew_us"], serde_json::Value::Null);
}

#[test]
fn stage_names_are_those_of_the_api() {
    let json = serde_json::to_value(StageLatencies::default()).unwrap();
    for stage in Stage::ALL {
        assert!(json.get(stage.name()).is_some(), "{stage:?}");
        assert_eq!(Stage::ALL[stage as usize], stage);
    }
}

#[test]
fn an_idle_recorder_is_small() {
    let bytes = size_of::<Recorder>();
    assert!(bytes <= 6 * 1024, "{bytes} bytes");
}
