//! A streamer with OBS Studio.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use support::{Obs, Weir, recipes, wait_for};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn obs_streams_and_is_pulled() {
    let relay = Weir::start();
    let mut obs = Obs::stream(&format!("rtmp://{}/live", relay.rtmp), "cam");
    let stream = relay.wait_live("live/cam", &["video", "audio"]);
    let encoder = stream["publisher"]["encoder"].as_str().unwrap();
    assert!(encoder.contains("libobs"), "{encoder}");
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "6s");
    pull.end(LIMIT);
    let pulled = pull.media();
    assert_eq!(
        (pulled.video().codec.as_str(), pulled.audio().codec.as_str()),
        ("h264", "aac")
    );
    assert!(
        pulled.video().frames.len() >= 120,
        "{} frames",
        pulled.video().frames.len()
    );
    assert!(
        pulled.audio().frames.len() >= 200,
        "{} frames",
        pulled.audio().frames.len()
    );
    recipes::PLAIN.make().assert_decodes(pull.file.path());
    let stream = relay.stream("live/cam").unwrap();
    let video = stream["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|track| track["name"] == "video");
    let video = video.unwrap();
    assert_eq!(
        (&video["width"], &video["height"]),
        (&640.into(), &360.into())
    );
    obs.stop();
    drop(obs);
    wait_for("the end of the stream's publisher", LIMIT, || {
        let state = relay
            .stream("live/cam")
            .map(|stream| stream["state"].to_string());
        if state.as_deref() == Some("\"live\"") {
            Err("still live".to_owned())
        } else {
            Ok(())
        }
    });
}
