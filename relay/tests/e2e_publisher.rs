//! A publisher's life: it comes, vanishes, returns, is taken over, and says rubbish.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{FlvTag, Kind, Process, Publisher, Scratch, Weir, push, recipes, sleep, wait_for};

/// Longer than any pull here takes.
const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn a_viewer_goes_on_when_the_publisher_returns() {
    let relay = Weir::start();
    let url = relay.rtmp_url("live/cam");
    let (source, first) = push(&recipes::PLAIN, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "10s");
    pull.wait_flowing();
    sleep(Duration::from_secs(2));
    drop(first);
    wait_for("the relay to notice", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("the stream is gone")?;
        if stream["state"] == "lingering" {
            Ok(())
        } else {
            Err(stream.to_string())
        }
    });
    let _second = source.push(&url);
    let stream = relay.wait_live("live/cam", &["video", "audio"]);
    assert_eq!(stream["publisher"]["reconnects"], 1);
    pull.end(LIMIT);
    let media = pull.media();
    let runs = media.video().group_runs_in(&source);
    assert_eq!(runs.len(), 2, "one pause and no other break: {runs:?}");
    assert_eq!(
        runs[1].0, 0,
        "the second push starts from its first frame: {runs:?}"
    );
    assert!(runs[1].1 >= 60, "the viewer goes on: {runs:?}");
    let times: Vec<i64> = media.video().frames.iter().map(|frame| frame.dts).collect();
    assert!(times.is_sorted(), "time goes on upward");
}

#[test]
fn a_second_publisher_takes_over_while_the_first_is_still_connected() {
    let relay = Weir::start();
    let url = relay.rtmp_url("live/cam");
    let (source, mut first) = push(&recipes::PLAIN, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "8s");
    pull.wait_flowing();
    sleep(Duration::from_secs(1));
    // Stopped, it is the connection of an encoder whose network went away.
    first.signal("STOP");
    let _second = source.push(&url);
    wait_for("the takeover", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("the stream is gone")?;
        let taken = stream["publisher"]["reconnects"] == 1;
        if taken {
            Ok(())
        } else {
            Err(stream.to_string())
        }
    });
    pull.end(LIMIT);
    let runs = pull.media().video().group_runs_in(&source);
    assert_eq!(runs.len(), 2, "one break: {runs:?}");
    first.signal("CONT");
    first.exit(LIMIT);
}

#[test]
fn a_stream_ends_for_its_viewers_when_nobody_returns() {
    let file = Scratch::new("linger.toml");
    fs::write(file.path(), "[stream]\nlinger_ms = 2000\n").unwrap();
    let relay = Weir::start_with(&["--config", file.path().to_str().unwrap()]);
    let (source, first) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "120s");
    pull.wait_flowing();
    drop(first);
    sleep(Duration::from_secs(1));
    assert!(pull.process.is_running(), "the publisher may still return");
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    assert!(relay.stream("live/cam").is_none(), "it is withdrawn");
}

#[test]
fn garbage_on_the_rtmp_port_disturbs_nobody() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "5s");
    pull.wait_flowing();
    let _silent = TcpStream::connect(relay.rtmp).unwrap();
    for hello in [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(),
        &[0x16, 3, 1, 2, 0, 1, 0, 1],
        &[0; 4000],
        &[0xff; 70_000],
    ] {
        let mut socket = TcpStream::connect(relay.rtmp).unwrap();
        drop(socket.write_all(hello));
    }
    // Rubbish behind a proper handshake, and a message that never ends.
    let mut chunks = Publisher::connect(relay.rtmp, "live", "noise");
    drop(chunks.raw(&[0xff; 100_000]));
    assert!(chunks.is_closed(), "nonsense is not listened to");
    let mut endless = Publisher::publish(relay.rtmp, "live", "endless");
    endless
        .raw(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0])
        .unwrap();
    pull.end(LIMIT);
    let pulled = pull.media();
    pulled.assert_part_of(&source.media(), source.gop);
    assert!(
        pulled.video().frames.len() >= 110,
        "{} frames",
        pulled.video().frames.len()
    );
}

/// Runs ffmpeg until the relay has turned it away, and gives what it told its user.
#[track_caller]
fn refused_ffmpeg(codec: &[&str], url: &str) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i"]);
    command.arg("testsrc2=size=320x180:rate=30");
    command.args(codec).args(["-t", "30", "-f", "flv", url]);
    let mut push = Process::run("ffmpeg-refused", &mut command, LIMIT);
    let said = push.stderr();
    assert!(!push.exit(LIMIT).success(), "ffmpeg was let in: {said}");
    said
}

/// A relay with these lines in its configuration.
#[track_caller]
fn configured(lines: &str) -> (Weir, Scratch) {
    let file = Scratch::new("limits.toml");
    fs::write(file.path(), lines).unwrap();
    let relay = Weir::start_with(&["--config", file.path().to_str().unwrap()]);
    (relay, file)
}

#[test]
fn an_address_without_a_key_is_refused_with_the_remedy() {
    let relay = Weir::start();
    let mut publisher = Publisher::connect(relay.rtmp, "live", "");
    publisher.wait_said("NetStream.Publish.BadName");
    publisher.wait_said("rtmp://host/live/cam");
    assert!(publisher.is_closed(), "then the close");
    let said = refused_ffmpeg(&["-c:v", "libx264"], &relay.rtmp_url("live"));
    assert!(said.contains("stream key"), "{said}");
    assert_eq!(relay.streams()["streams"], serde_json::json!([]));
}

#[test]
fn a_codec_that_is_not_carried_is_refused_by_name() {
    let relay = Weir::start();
    let tag = |kind, first: u8| FlvTag {
        kind,
        timestamp_ms: 0,
        body: [&[first], [0; 40].as_slice()].concat(),
    };
    // Sorenson's H.263 and MP3, in the numbers of FLV.
    for (tag, name, remedy) in [
        (tag(Kind::Video, 0x12), "H.263", "use H.264"),
        (tag(Kind::Audio, 0x2f), "MP3", "use AAC"),
    ] {
        let mut publisher = Publisher::publish(relay.rtmp, "live", name);
        publisher.send(&tag);
        publisher.wait_said(name);
        publisher.wait_said(remedy);
        assert!(publisher.is_closed(), "then the close");
    }
    let said = refused_ffmpeg(&["-c:v", "flv"], &relay.rtmp_url("live/cam"));
    assert!(
        said.contains("H.263") && said.contains("use H.264"),
        "{said}"
    );
}

#[test]
fn a_publisher_beyond_the_limits_hears_which_one() {
    let (relay, _file) = configured("[limits]\nstreams = 1\n");
    let _first = Publisher::publish(relay.rtmp, "live", "one");
    let mut second = Publisher::connect(relay.rtmp, "live", "two");
    second.wait_said("NetStream.Publish.Rejected");
    second.wait_said("limit of 1 streams");
    assert!(second.is_closed(), "then the close");
    // The stream that is there may be taken over: it is no further one.
    let _again = Publisher::publish(relay.rtmp, "live", "one");

    let (relay, _file) = configured("[limits]\npublishers = 1\n");
    let first = Publisher::publish(relay.rtmp, "live", "one");
    let mut second = Publisher::connect(relay.rtmp, "live", "two");
    second.wait_said("NetStream.Publish.Rejected");
    second.wait_said("limit of 1 publishers");
    assert!(second.is_closed(), "then the close");
    let said = refused_ffmpeg(&["-c:v", "libx264"], &relay.rtmp_url("live/two"));
    assert!(said.contains("limit of 1 publishers"), "{said}");
    drop(first);
    wait_for("the place to be free", LIMIT, || {
        let stream = relay.stream("live/one").ok_or("the stream is gone")?;
        let lingers = stream["state"] == "lingering";
        lingers.then_some(()).ok_or_else(|| stream.to_string())
    });
    let _third = Publisher::publish(relay.rtmp, "live", "three");
}

#[test]
fn a_refused_encoder_that_goes_on_sending_still_hears_why() {
    let relay = Weir::start();
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let bad = FlvTag {
        kind: Kind::Video,
        timestamp_ms: 0,
        body: [&[0x12], [0; 30_000].as_slice()].concat(),
    };
    // As encoders do, it has sent much more before it looks at the answer.
    for _ in 0..100 {
        publisher.send(&bad);
    }
    publisher.wait_said("NetStream.Publish.Rejected");
    assert!(publisher.is_closed(), "then the close");
}

#[test]
fn a_publisher_is_told_that_the_relay_stops() {
    let mut relay = Weir::start();
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    relay.terminate();
    publisher.wait_said("the server is stopping");
    assert_eq!(relay.exit().code(), Some(0), "{}", relay.log());
}

/// A stream after one viewer watched it for some seconds.
#[track_caller]
fn watched() -> Value {
    let relay = Weir::start();
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "5s");
    pull.end(LIMIT);
    relay.stream("live/cam").unwrap()
}

#[test]
fn the_api_says_who_publishes_and_what() {
    let stream = watched();
    let publisher = &stream["publisher"];
    assert_eq!(publisher["protocol"], "rtmp");
    assert!(
        publisher["addr"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:"),
        "{publisher}"
    );
    assert!(
        publisher["encoder"].as_str().unwrap().starts_with("Lavf"),
        "{publisher}"
    );
    assert_eq!(publisher["reconnects"], 0);
    assert!(stream["since"].as_str().unwrap().ends_with('Z'), "{stream}");
    let track = |name: &str| {
        let tracks = stream["tracks"].as_array().unwrap();
        tracks
            .iter()
            .find(|track| track["name"] == name)
            .unwrap()
            .clone()
    };
    let video = track("video");
    assert!(
        video["codec"].as_str().unwrap().starts_with("avc1.42"),
        "{video}"
    );
    assert_eq!(
        (&video["width"], &video["height"]),
        (&320.into(), &180.into())
    );
    between("fps", &video["fps"], 29.0, 31.0);
    between("gop", &video["gop_ms"], 900.0, 1100.0);
    between("bitrate", &video["bitrate_bps"], 100_000.0, 1_500_000.0);
    let audio = track("audio");
    assert_eq!(audio["codec"], "mp4a.40.2");
    assert_eq!(
        (&audio["samplerate"], &audio["channels"]),
        (&48_000.into(), &2.into())
    );
}

#[test]
fn the_api_says_what_was_delivered_and_how_long_it_took() {
    let stream = watched();
    for bytes in ["bytes_in", "bytes_out"] {
        between(bytes, &stream[bytes], 100_000.0, 10_000_000.0);
    }
    for reason in ["behind", "reset"] {
        assert_eq!(stream["objects_skipped"][reason], 0, "{stream}");
    }
    assert!(stream["arrival_jitter_us"]["p99"].is_u64(), "{stream}");
    assert!(stream["av_skew_us"].is_i64(), "{stream}");
    between("first frames", &stream["first_frame_us"]["count"], 1.0, 1.0);
    for stage in ["ingest", "queue", "send", "relay", "ack"] {
        let latency = &stream["latency_us"][stage];
        between(stage, &latency["count"], 4.0, 10_000.0);
        let at = |point: &str| latency[point].as_u64().unwrap();
        assert!(
            at("p50") <= at("p90") && at("p90") <= at("p99"),
            "{stage}: {latency}"
        );
        assert!(at("p99") <= at("max"), "{stage}: {latency}");
    }
    assert_eq!(
        stream["latency_us"]["player"],
        serde_json::json!({}),
        "no player reports"
    );
}

#[track_caller]
fn between(what: &str, value: &Value, low: f64, high: f64) {
    let number = value
        .as_f64()
        .unwrap_or_else(|| panic!("{what} is {value}"));
    assert!(
        (low..=high).contains(&number),
        "{what} is {number}, not in {low}..={high}"
    );
}
