//! Players' reports: what a viewer says of itself is seen in the API and in the metrics.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use bytes::Bytes;
use serde_json::{Value, json};
use support::{
    ANSWER, Asked, MoqtClient, Process, Publisher, Scratch, Source, Weir, push, recipes, track_of,
    unix_ms, wait_for,
};
use weir_protocol::moqt::message::{Publish, TrackStatus};
use weir_protocol::moqt::{Message, Params, Properties, RequestErrorCode, SessionError, Version};

/// The alias that the player of these tests chooses.
const ALIAS: u64 = 77;

fn publish(client: &mut MoqtClient, track: &str, alias: u64) -> Asked {
    let request_id = client.fresh_id();
    client.ask(Publish {
        request_id,
        track: track_of(".session/weir", track),
        alias,
        params: Params::default(),
        properties: Properties::default(),
    })
}

/// A player that watches the picture and may report.
fn player(relay: &Weir, version: Version) -> (MoqtClient, Asked, Asked) {
    let mut client = MoqtClient::connect(relay.quic, version);
    let mut video = client.subscribe("video", Params::default());
    video.subscribed();
    let mut reports = publish(&mut client, "report", ALIAS);
    let answer = reports.next();
    assert!(matches!(answer, Some(Message::RequestOk(_))), "{answer:?}");
    (client, video, reports)
}

fn report(stream: &str, rendered: u64) -> Bytes {
    let body = json!({
        "v": 1, "stream": stream, "player": "<b>by hand</b>/1", "state": "live",
        "startup_ms": 240, "latency_ms": [[84, 3], [85, 20]], "clock_error_ms": 1.5,
        "buffer_ms": 95, "target_ms": 100, "jitter_ms": 4, "rate": 1, "fps": 30,
        "rendered": rendered, "dropped": 1, "stalls": 0, "stalled_ms": 0, "skips": 0,
        "av_offset_ms": -3,
    });
    body.to_string().into()
}

fn fates(relay: &Weir) -> Value {
    let metrics = relay.get("/metrics").body;
    let count = |fate: &str| {
        let line = format!("weir_reports_total{{fate=\"{fate}\"}} ");
        let line = metrics.lines().find_map(|l| l.strip_prefix(&line));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    json!({ "taken": count("taken"), "malformed": count("malformed"),
        "excess": count("excess"), "strange": count("strange") })
}

fn live() -> (Weir, (Source, Process)) {
    let relay = Weir::start();
    let pushing = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    (relay, pushing)
}

#[test]
fn reports_fill_the_stage_player_and_the_viewers_row() {
    let (relay, _pushing) = live();
    for (version, reports) in [(Version::Draft18, 1), (Version::Draft19, 2)] {
        let (client, _video, _publish) = player(&relay, version);
        client.send_object(ALIAS, 0, report("live/cam", 900));
        let seen = wait_for("the report in the API", ANSWER, || {
            let detail = relay.detail("live/cam");
            match detail["qoe"]["reports"].as_u64() {
                Some(count) if count == reports => Ok(detail),
                _ => Err(detail.to_string()),
            }
        });
        assert_eq!(
            seen["latency_us"]["player"]["count"],
            23 * reports,
            "{seen}"
        );
        assert_eq!(seen["qoe"]["rendered"], 900 * reports);
        let rows = seen["viewers"].as_array().unwrap();
        let own = client.local_addr().to_string();
        let row = rows.iter().find(|row| row["addr"] == own.as_str()).unwrap();
        assert_eq!(row["report"]["player"], "<b>by hand</b>/1");
        assert_eq!(row["report"]["latency_p50_ms"], 85.0);
        assert_eq!(row["report"]["buffer_ms"], 95.0);
        client.leave();
    }
    let metrics = relay.get("/metrics").body;
    assert!(metrics.contains("weir_stream_rendered_frames_total{stream=\"live/cam\"} 1800\n"));
    assert!(metrics.contains("weir_stream_startup_seconds_count{stream=\"live/cam\"} 2\n"));
}

#[test]
fn reports_that_are_not_are_counted_and_hurt_nobody() {
    let (relay, _pushing) = live();
    let (client, _video, _publish) = player(&relay, Version::Draft19);
    client.send_object(ALIAS, 0, Bytes::from_static(b"{\"v\":1}"));
    client.send_object(ALIAS, 1, report("live/other", 1));
    client.send_object(ALIAS + 1, 0, report("live/cam", 1));
    for number in 2..20 {
        client.send_object(ALIAS, number, report("live/cam", 1));
    }
    let fates = wait_for("every report's fate", ANSWER, || {
        let fates = fates(&relay);
        let sum: u64 = fates
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum();
        if sum == 20 {
            Ok(fates)
        } else {
            Err(fates.to_string())
        }
    });
    assert_eq!(
        (&fates["malformed"], &fates["strange"]),
        (&json!(1), &json!(1)),
        "{fates}"
    );
    let excess = fates["excess"].as_u64().unwrap();
    assert!(excess > 0, "no more than a burst is taken: {fates}");
    let metrics = relay.get("/metrics").body;
    assert!(
        metrics.contains("weir_unknown_datagrams_total 1\n"),
        "{metrics}"
    );
    assert!(client.is_open(), "the session lives");
}

#[test]
fn a_relay_that_takes_no_reports_says_so() {
    let file = Scratch::new("weir.toml");
    std::fs::write(file.path(), "[player]\nreports = false\n").unwrap();
    let relay = Weir::start_with(&["--config", file.path().to_str().unwrap()]);
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let refusal = publish(&mut client, "report", ALIAS).refused();
    assert_eq!(refusal.code, RequestErrorCode::NotSupported);
    assert!(
        refusal.reason.contains("player.reports"),
        "{}",
        refusal.reason
    );
    assert!(client.is_open());
}

#[test]
fn one_alias_for_two_tracks_ends_the_session() {
    let relay = Weir::start();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut first = publish(&mut client, "report", ALIAS);
    first.next();
    let _second = publish(&mut client, "report", ALIAS);
    let (code, reason) = client.closed();
    assert_eq!(code, SessionError::DuplicateTrackAlias.code(), "{reason}");
}

#[test]
fn a_datagram_that_is_none_ends_its_session() {
    let relay = Weir::start();
    let client = MoqtClient::connect(relay.quic, Version::Draft19);
    client.send_datagram(Bytes::from_static(&[0x3f, 1, 1]));
    let (code, reason) = client.closed();
    assert_eq!(code, SessionError::ProtocolViolation.code(), "{reason}");
}

#[test]
fn the_hop_tells_the_time_and_a_streams_time() {
    let (relay, _pushing) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut ask = |track: &str| {
        let request_id = client.fresh_id();
        client.ask(TrackStatus {
            request_id,
            track: track_of(".session/weir", track),
            params: Params::default(),
        })
    };
    let mut time = |track: &str| match ask(track).next() {
        Some(Message::RequestOk(ok)) => {
            let largest = ok.params.largest.unwrap();
            assert!(largest.object < 1000, "microseconds of a millisecond");
            largest.group
        }
        other => panic!("no time: {other:?}"),
    };
    let before = unix_ms();
    let told = time("clock");
    let after = unix_ms();
    assert!((before..=after).contains(&told), "{before} {told} {after}");
    let first = time("clock/live/cam");
    let second = time("clock/live/cam");
    assert!(
        first >= 1_000 && second >= first,
        "media time goes on: {first} {second}"
    );
    assert!(
        second < 600_000,
        "counted from the stream's start: {second}"
    );
    for absent in ["clock/live/none", "clocks", "report", "clock/live/\\"] {
        assert_eq!(
            ask(absent).refused().code,
            RequestErrorCode::DoesNotExist,
            "{absent}"
        );
    }
}

#[test]
fn nobody_publishes_a_reserved_name() {
    let relay = Weir::start();
    let mut publisher = Publisher::connect(relay.rtmp, ".session", "weir");
    publisher.wait_said("begin with a dot");
}
