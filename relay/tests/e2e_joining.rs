//! Viewers come late, stall, and leave, and none of it is another viewer's matter.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use support::{Pull, Scratch, Weir, push, recipes, sleep, wait_for};

/// Longer than any pull here takes.
const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn a_viewer_in_the_middle_of_a_group_starts_at_its_key_frame_at_once() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::LONG_GOP, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    // The next key frame is seven seconds away from here.
    sleep(Duration::from_secs(3));
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "2s");
    pull.end(LIMIT);
    let pulled = pull.media();
    let first = pulled.assert_part_of(&source.media(), source.gop);
    assert_eq!(
        first,
        Some(0),
        "the newest group is whole, its key frame is the first frame"
    );
    // All that lay in the group came at once, not at the pace of the stream.
    assert!(
        pulled.video().frames.len() >= 120,
        "{} frames",
        pulled.video().frames.len()
    );
    let stream = relay.stream("live/cam").unwrap();
    let slowest = stream["first_frame_us"]["p99"].as_u64().unwrap();
    assert!(slowest < 500_000, "first frame after {slowest} us");
    // Three seconds of it were older than the viewer, which is not the relay's delay.
    let longest = stream["latency_us"]["relay"]["max"].as_u64().unwrap();
    assert!(longest < 1_000_000, "the relay added {longest} us");
}

#[test]
fn a_viewer_who_stops_reading_costs_the_other_nothing() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::HEAVY, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let url = relay.moqt_url("live/cam");
    let mut reading = relay.pull(&url, "9s");
    let mut stalled = relay.pull(&url, "60s");
    reading.wait_flowing();
    stalled.wait_flowing();
    stalled.process.signal("STOP");
    reading.end(LIMIT);
    let pulled = reading.media();
    pulled.assert_part_of(&source.media(), source.gop);
    assert!(
        pulled.video().frames.len() >= 240,
        "{} frames",
        pulled.video().frames.len()
    );
}

#[test]
fn a_viewer_who_was_away_goes_on_at_a_key_frame() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::HEAVY, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "13s");
    pull.wait_flowing();
    pull.process.signal("STOP");
    sleep(Duration::from_secs(7));
    let before = pull.bytes();
    pull.process.signal("CONT");
    wait_for("the viewer to go on", LIMIT, || {
        let bytes = pull.bytes();
        if bytes > before + 500_000 {
            Ok(())
        } else {
            Err(format!("{before} then {bytes} bytes"))
        }
    });
    pull.end(LIMIT);
    let pulled = pull.media();
    let runs = pulled.video().runs_in(source.media().video());
    assert!(
        runs.len() >= 2,
        "seven seconds fit no buffer, something was skipped: {runs:?}"
    );
    for (first, _) in &runs {
        assert_eq!(first % source.gop, 0, "a hole inside a group: {runs:?}");
    }
    let skipped = relay.stream("live/cam").unwrap()["objects_skipped"].clone();
    let count = |reason: &str| skipped[reason].as_u64().unwrap();
    assert!(
        count("behind") + count("reset") > 0,
        "a skip is counted: {skipped}"
    );
}

/// Waits until the stream has this many subscribers.
#[track_caller]
fn subscribers(relay: &Weir, wanted: u64) {
    wait_for(&format!("{wanted} subscribers"), LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("no stream")?;
        let seen = &stream["subscribers"];
        if *seen == wanted {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    });
}

#[test]
fn viewers_are_counted_while_they_are_there() {
    let relay = Weir::start();
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    subscribers(&relay, 0);
    let urls = [relay.moqt_url("live/cam"), relay.https_url("live/cam")];
    let mut pulls = urls.map(|url| relay.pull(&url, "60s"));
    pulls.iter_mut().for_each(Pull::wait_flowing);
    subscribers(&relay, 2);
    let viewers = relay.detail("live/cam")["viewers"].clone();
    let mut transports: Vec<&str> = viewers.as_array().unwrap().iter().map(transport).collect();
    transports.sort_unstable();
    assert_eq!(transports, ["quic", "webtransport"]);
    for pull in &mut pulls {
        pull.process.signal("INT");
        pull.end(LIMIT);
    }
    subscribers(&relay, 0);
}

#[test]
fn a_viewer_who_vanishes_is_forgotten_after_the_idle_time() {
    let file = Scratch::new("idle.toml");
    std::fs::write(file.path(), "[viewer]\nidle_timeout_ms = 2000\n").unwrap();
    let relay = Weir::start_with(&["--config", file.path().to_str().unwrap()]);
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "60s");
    pull.wait_flowing();
    subscribers(&relay, 1);
    drop(pull);
    subscribers(&relay, 0);
}

fn transport(viewer: &serde_json::Value) -> &str {
    viewer["transport"].as_str().unwrap()
}
