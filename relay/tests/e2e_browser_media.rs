//! The player in a real browser with other media than the usual: codecs, long groups, B-frames,
//! one track only, and data that no decoder takes.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "figures are told with the test")]

#[path = "support/support.rs"]
mod support;

use serde_json::Value;
use support::{Browser, Drawing, Publisher, Viewer, Weir, opus_tags};

/// Pictures that must have followed each other before playing counts as going on.
const PICTURES: usize = 40;

/// A relay, a push to it and a browser.
fn stage(drawing: Drawing) -> (Weir, support::Drawn, Browser) {
    let (relay, push) = drawing.live();
    (relay, push, Browser::start())
}

#[test]
fn b_frames_are_shown_in_their_order_and_long_groups_are_joined_in_the_middle() {
    let (relay, _push, browser) = stage(Drawing {
        video: &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-bf",
            "2",
            "-b_strategy",
            "0",
            "-rc-lookahead",
            "0",
        ],
        gop: 300,
        ..Drawing::PLAIN
    });
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    let first = viewer.wait_pictures(PICTURES);
    let told = viewer.statistics();
    println!("joined at picture {}: {told}", first[0].number);
    // A second viewer joins long after the only key frame so far.
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
}

#[test]
fn av1_is_played() {
    let (relay, _push, browser) = stage(Drawing {
        newer: true,
        video: &[
            "-c:v",
            "libaom-av1",
            "-cpu-used",
            "8",
            "-usage",
            "realtime",
            "-lag-in-frames",
            "0",
            // With a target bitrate it passes blocks over that have changed.
            "-crf",
            "20",
            "-b:v",
            "0",
        ],
        ..Drawing::PLAIN
    });
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    viewer.unmute();
    viewer.wait_flashes(2);
    let told = viewer.statistics();
    assert!(
        told["videoCodec"].as_str().unwrap().starts_with("av01"),
        "{told}"
    );
}

#[test]
fn vp9_is_played() {
    let (relay, _push, browser) = stage(Drawing {
        newer: true,
        video: &[
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-lag-in-frames",
            "0",
        ],
        audio: None,
        ..Drawing::PLAIN
    });
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    let told = viewer.statistics();
    assert!(
        told["videoCodec"].as_str().unwrap().starts_with("vp09"),
        "{told}"
    );
}

#[test]
fn a_codec_that_the_browser_lacks_is_named() {
    let (relay, _push, browser) = stage(Drawing {
        newer: true,
        video: &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-x265-params",
            "log-level=error",
        ],
        audio: None,
        ..Drawing::PLAIN
    });
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    let told = viewer.wait_state("codec");
    let words = told["words"].as_str().unwrap();
    assert!(words.contains("HEVC (H.265)"), "{words}");
    assert!(words.contains("H.264"), "what to do: {words}");
    // The relay names it as browsers do, and the player takes it as it is.
    let codec = relay.stream("live/cam").unwrap()["tracks"][0]["codec"].clone();
    assert!(codec.as_str().unwrap().starts_with("hvc1."), "{codec}");
    viewer.wait("the codec's string in the statistics", |told| {
        told["statistics"]["videoCodec"] == codec
    });
}

#[test]
fn damaged_frames_cost_no_more_than_their_group() {
    let (relay, _push, browser) = stage(Drawing {
        // The last fifteen frames of each group are noise.
        video: &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-bsf:v",
            "noise=amount='if(gt(mod(n,60),44),1,0)'",
        ],
        ..Drawing::SILENT
    });
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    let pictures = viewer.wait_pictures(150);
    let groups = pictures.windows(2);
    let groups = groups.filter(|pair| pair[1].number / 60 > pair[0].number / 60);
    assert!(
        groups.count() >= 2,
        "it goes on with each group: {pictures:?}"
    );
    let damaged = pictures.iter().filter(|picture| picture.number % 60 > 46);
    assert_eq!(damaged.count(), 0, "{pictures:?}");
}

/// Waits until a stream of sound alone is heard, and gives the player's statistics.
#[track_caller]
fn hears(relay: &Weir) -> Value {
    relay.wait_live("live/cam", &["audio"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, relay, "live/cam");
    viewer.wait_state("live");
    viewer.unmute();
    let told = viewer.wait("sound", |told| {
        told["statistics"]["level"].as_f64() > Some(0.01)
    });
    let hidden = viewer.run("return player.shadowRoot.getElementById('silent').hidden");
    assert_eq!(hidden, false, "it is said that there is no picture");
    told["statistics"].clone()
}

#[test]
fn sound_alone_is_heard() {
    let relay = Weir::start();
    let recipe = &support::recipes::AUDIO_ONLY;
    let (_source, _push) = support::push(recipe, &relay.rtmp_url("live/cam"));
    hears(&relay);
}

#[test]
fn opus_is_heard() {
    let relay = Weir::start();
    let tags = opus_tags(60);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let pushing = std::thread::spawn(move || publisher.play(&tags));
    let told = hears(&relay);
    assert_eq!(told["audioCodec"], "opus", "{told}");
    // The end of the relay ends the push.
    drop(relay);
    drop(pushing.join());
}
