//! The player in a real browser: what is pushed is seen and heard, in time and together.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "figures are told with the test")]

#[path = "support/support.rs"]
mod support;

use serde_json::{Value, json};
use support::{Browser, DRAWN_FPS, Drawing, PATIENCE, Scratch, Site, Viewer, Weir, wait_for};

/// Pictures that must have followed each other before playing counts as going on.
const PICTURES: usize = 45;

/// The most that sound and picture may be apart, in milliseconds: less than people notice.
const TOGETHER_MS: f64 = 40.0;

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn pure_modules_keep_their_promises() {
    let relay = Weir::start();
    let browser = Browser::start();
    browser.open(&format!("http://{}/watch/none", relay.http));
    let result = browser.run_async(include_str!("browser/units.js"));
    assert_eq!(result["failures"], json!([]), "{result:#}");
    assert!(result["checks"].as_u64().unwrap() > 30, "{result}");
}

#[test]
fn picture_and_sound_are_right_and_together() {
    let relay = Weir::start();
    let _push = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    viewer.unmute();
    let heard = viewer.wait("a difference of sound and picture", |told| {
        told["statistics"]["offsetMs"].is_number()
    });
    let first = heard["statistics"]["offsetMs"].as_f64().unwrap();
    // A busy machine draws late; sound from the ring's beginning would be many seconds away.
    assert!(first.abs() < 1000.0, "at first {first} ms apart");
    // The sound settles within a second or two of being turned on.
    let told = wait_for("sound and picture together", PATIENCE, || {
        let apart = median(viewer.wait_flashes(5));
        let told = viewer.statistics();
        let claimed = told["offsetMs"].as_f64().unwrap_or(f64::NAN);
        match apart.abs() < TOGETHER_MS && claimed.abs() < TOGETHER_MS {
            true => {
                println!("flash - beep {apart:.1} ms, the player says {claimed:.1} ms");
                Ok(told)
            }
            false => Err(format!("{apart} ms apart; {}", viewer.told())),
        }
    });
    let isolated = browser.run("return crossOriginIsolated");
    assert_eq!(isolated, true, "threads may share memory");
    assert_eq!(told["sharedMemory"], true, "{told}");
    let startup = told["firstPictureMs"].as_f64().unwrap();
    println!("first picture {startup:.0} ms after the player began");
    assert!(startup > 0.0, "{told}");
}

#[test]
fn the_latency_that_is_told_is_that_of_the_pixels() {
    let relay = Weir::start();
    let _push = Drawing::SILENT.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    let frame = 1000.0 / f64::from(DRAWN_FPS);
    // What the player cannot know is the way from the drawing to the relay; on a machine that is
    // busy with other things that is longer at times.
    let (seen, told) = wait_for("latency as it is told", PATIENCE, || {
        let seen = median(viewer.wait_pictures(100).iter().map(|p| p.late_ms));
        let told = viewer.statistics();
        match told["totalMs"].as_f64() {
            Some(told) if (seen - told).abs() < frame => Ok((seen, told)),
            _ => Err(format!("{seen} ms in pixels, told {told}")),
        }
    });
    println!("glass to glass {seen:.0} ms in pixels, {told:.0} ms from the relay on as told");
    let reported = wait_for("the viewer's report", PATIENCE, || {
        let detail = relay.detail("live/cam");
        let report = &detail["viewers"][0]["report"];
        match report["latency_p50_ms"].as_f64() {
            Some(reported) => Ok(reported),
            None => Err(detail.to_string()),
        }
    });
    assert!(reported > 0.0 && reported < seen + 1000.0, "{reported} ms");
    let stages = relay.stream("live/cam").unwrap()["latency_us"]["player"].clone();
    assert!(stages["count"].as_u64() > Some(0), "{stages}");
}

#[test]
fn a_viewer_who_wants_no_reports_sends_none() {
    let relay = Weir::start();
    let _push = Drawing::SILENT.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam?reports=off");
    viewer.wait_state("live");
    // The others report after the first picture and every five seconds.
    viewer.wait_pictures(8 * DRAWN_FPS as usize);
    let detail = relay.detail("live/cam");
    assert_eq!(
        detail["qoe"]["reports"].as_u64().unwrap_or(0),
        0,
        "{detail}"
    );
    assert_eq!(
        detail["viewers"].as_array().map(Vec::len),
        Some(1),
        "{detail}"
    );
}

#[test]
fn a_viewer_goes_where_the_relay_sends_it_and_does_not_notice() {
    let origin = Weir::start();
    let _push = Drawing::PLAIN.push(&origin.rtmp_url("live/cam"));
    origin.wait_live("live/cam", &["video", "audio"]);
    let upstream = format!("moqt://{}?insecure", origin.quic);
    let second = Weir::start_with(&["--upstream", &upstream]);
    let certificate = second.get("/certificate.sha256").body;
    let to = format!("moqt://{}?cert-sha256={}", second.quic, certificate.trim());
    // Time enough for a busy machine; it is over when the viewer has left.
    let file = Scratch::new("weir.toml");
    std::fs::write(file.path(), "[limits]\ndrain_ms = 30000\n").unwrap();
    let config = file.path().to_string_lossy();
    let args = [
        "--upstream",
        &upstream,
        "--drain-to",
        &to,
        "--config",
        &config,
    ];
    let mut first = Weir::start_with(&args);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &first, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    let before = viewer.told()["states"].clone();
    first.terminate();
    wait_for("the viewer at the second edge", PATIENCE, || {
        let stream = second.stream("live/cam").unwrap_or_default();
        match stream["subscribers"].as_u64() {
            Some(1..) => Ok(()),
            _ => Err(format!("{stream}; {}", viewer.told())),
        }
    });
    assert_eq!(first.exit().code(), Some(0), "{}", first.log());
    viewer.wait_pictures(PICTURES);
    let told = viewer.told();
    assert_eq!(told["states"], before, "{told}");
    let words = "the picture went on over the change";
    assert_eq!(told["statistics"]["skips"], 0, "{words}: {told}");
}

#[test]
fn no_viewer_holds_up_a_relay_that_ends() {
    let mut relay = Weir::start();
    let _push = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let (http, quic) = (relay.http, relay.quic);
    let players = ["cam", "later"]
        .map(|key| format!("<weir-player src=https://{quic}/live/{key}></weir-player>"));
    let site = Site::start(&format!(
        "<script type=module src=http://{http}/player/weir-player.js></script>{}",
        players.concat()
    ));
    let browser = Browser::start();
    let viewers = Viewer::open_page(&browser, &site.url());
    viewers[0].wait_state("live");
    viewers[0].wait_pictures(PICTURES);
    viewers[1].wait_state("waiting");
    relay.terminate();
    // There is nowhere to go, and both have let it go in the usual time for that.
    assert_eq!(relay.exit().code(), Some(0), "{}", relay.log());
    for viewer in &viewers {
        viewer.wait_state("offline");
    }
}

#[test]
fn a_page_that_was_open_first_and_a_publisher_that_returns() {
    let relay = Weir::start();
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("waiting");
    let first = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    viewer.unmute();
    assert!(median(viewer.wait_flashes(3)).abs() < 2.0 * TOGETHER_MS);
    drop(first);
    viewer.wait_state("interrupted");
    let second = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    let apart = wait_for("sound and picture together again", PATIENCE, || {
        let apart = median(viewer.wait_flashes(3));
        match apart.abs() < TOGETHER_MS {
            true => Ok(apart),
            false => Err(format!("{apart} ms apart; {}", viewer.told())),
        }
    });
    println!("after the publisher's return: flash - beep {apart:.1} ms");
    // After the linger time the stream is over, and the player asks for the next one.
    drop(second);
    viewer.wait("the player to notice the end", |told| {
        told["states"]
            .as_array()
            .unwrap()
            .contains(&Value::from("gone"))
    });
    let _third = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    // Until it returned, the stream was said to be over, and not that one had never begun.
    let told = viewer.told();
    let states = told["states"].as_array().unwrap();
    let gone = states.iter().rposition(|state| state == "gone").unwrap();
    assert_eq!(states[gone..], ["gone", "live"], "{told}");
}
