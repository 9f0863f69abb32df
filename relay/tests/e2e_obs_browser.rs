//! From a streamer's OBS to a viewer's eye: real programs at both ends, and the demo.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use support::{Browser, Obs, Weir, wait_for};

/// Longer than anything here takes, software rendering on a busy machine included.
const LIMIT: Duration = Duration::from_secs(120);

/// Pictures that differ before the picture counts as moving.
const PICTURES: u64 = 30;

/// Looks at every picture of the page: how many were another than the one before.
const WATCH: &str = "
    await customElements.whenDefined('weir-player');
    const player = document.querySelector('weir-player');
    const small = new OffscreenCanvas(16, 9).getContext('2d', { willReadFrequently: true });
    window.moved = 0;
    let before = '';
    function look() {
        const canvas = player.shadowRoot.querySelector('canvas');
        if (player.state === 'live' && canvas?.width) {
            small.drawImage(canvas, 0, 0, 16, 9);
            const now = small.getImageData(0, 0, 16, 9).data.join();
            if (before && now !== before) window.moved += 1;
            before = now;
        }
        requestAnimationFrame(look);
    }
    look();";

fn watch(relay: &Weir, name: &str) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}/watch/{name}", relay.http));
    browser.run_async(WATCH);
    browser
}

#[track_caller]
fn wait_moving(browser: &Browser, pictures: u64) {
    wait_for("a picture that moves", LIMIT, || {
        let seen = browser.run(
            "const { state, statistics } = document.querySelector('weir-player');
             return [window.moved, state, statistics];",
        );
        match seen[0].as_u64() {
            Some(moved) if moved >= pictures => Ok(()),
            _ => Err(seen.to_string()),
        }
    });
}

/// Turns the sound on as a person does, and waits until something is heard.
#[track_caller]
fn wait_sound(browser: &Browser) {
    browser.run("document.querySelector('weir-player').focus()");
    browser.press("m");
    browser.run_async(
        "const player = document.querySelector('weir-player');
         while (!player.audioNode) await new Promise((resolve) => setTimeout(resolve, 50));
         const { context } = player.audioNode;
         window.analyser = new AnalyserNode(context, { fftSize: 8192 });
         player.audioNode.connect(window.analyser);",
    );
    wait_for("the sound", LIMIT, || {
        let level = browser.run(
            "const samples = new Float32Array(window.analyser.fftSize);
             window.analyser.getFloatTimeDomainData(samples);
             return samples.reduce((top, sample) => Math.max(top, Math.abs(sample)), 0);",
        );
        match level.as_f64() {
            Some(level) if level > 0.02 => Ok(()),
            level => Err(format!("{level:?}")),
        }
    });
}

#[test]
fn obs_streams_and_chromium_shows_and_plays_it() {
    let relay = Weir::start();
    // Something that moves and sounds, in OBS.
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo.flv");
    let server = format!("rtmp://{}/live", relay.rtmp);
    let mut obs = Obs::stream_clip(&server, "cam", Some(&clip));
    let stream = relay.wait_live("live/cam", &["video", "audio"]);
    let encoder = stream["publisher"]["encoder"].as_str().unwrap();
    assert!(encoder.contains("libobs"), "{encoder}");
    let browser = watch(&relay, "live/cam");
    wait_moving(&browser, PICTURES);
    wait_sound(&browser);
    wait_moving(&browser, 2 * PICTURES);
    obs.stop();
}

#[test]
fn the_demo_is_seen_and_heard_on_the_first_run() {
    let relay = Weir::start_with(&["--demo"]);
    let stream = relay.wait_live("live/demo", &["video", "audio"]);
    assert!(relay.log().contains("/watch/live/demo"), "{}", relay.log());
    assert_eq!(stream["publisher"]["protocol"], "rtmp");
    let browser = watch(&relay, "live/demo");
    wait_moving(&browser, PICTURES);
    wait_sound(&browser);
    // The clip is ten seconds long: it goes on behind its end without a seam in its times.
    let mut pull = relay.pull(&relay.moqt_url("live/demo"), "12s");
    pull.end(LIMIT);
    let times: Vec<_> = pull.media().video().frames.iter().map(|f| f.dts).collect();
    let widest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        times.len() > 330,
        "{} pictures in twelve seconds",
        times.len()
    );
    assert!(
        widest.is_some_and(|ms| ms < 100),
        "{widest:?} ms between two pictures"
    );
    let stream = relay.stream("live/demo").unwrap();
    assert_eq!(stream["publisher"]["reconnects"], 0, "{stream}");
}
