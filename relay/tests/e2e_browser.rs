//! The player in a real browser: what is pushed is seen and heard, and comes back after a loss.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Browser, Process, Scratch, Weir, ffmpeg, wait_for};

/// Longer than anything here takes, encoding on a busy machine included.
const LIMIT: Duration = Duration::from_secs(60);

/// Length of the pushed file in seconds; a push that reaches its end would end the test's stream.
const SECONDS: u32 = 180;

/// Pictures that must have followed each other before playing counts as going on.
const PICTURES: usize = 45;

/// The tone that is pushed, in hertz.
const TONE: f64 = 440.0;

/// A file whose pictures are their own number: sixteen blocks side by side, bright for each bit
/// that is set, lowest bit on the left; and a tone.
fn numbered() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("numbered.flv");
    if path.exists() {
        return path;
    }
    let part = Scratch::new("part.flv");
    let bits = "nullsrc=size=320x96:rate=30,format=yuv420p,\
        geq=lum='16+219*mod(floor(N/pow(2,floor(X/20))),2)':cb=128:cr=128";
    let tone = format!("sine=frequency={TONE}:r=48000");
    let mut command = ffmpeg(false);
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", bits]);
    command.args(["-f", "lavfi", "-i", &tone, "-t", &SECONDS.to_string()]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "60"]);
    command.args([
        "-tune",
        "zerolatency",
        "-c:a",
        "aac",
        "-b:a",
        "96k",
        "-ac",
        "2",
        "-f",
        "flv",
    ]);
    Process::succeed("encode", command.arg(part.path()), LIMIT);
    // Tests run side by side; a rename makes the file appear whole or not at all.
    fs::rename(part.path(), &path).unwrap();
    path
}

fn push(relay: &Weir) -> Process {
    let path = numbered();
    let mut command: Command = ffmpeg(false);
    command.args(["-v", "error", "-re", "-i"]).arg(path);
    command.args(["-c", "copy", "-f", "flv", &relay.rtmp_url("live/cam")]);
    Process::spawn("ffmpeg-push", &mut command)
}

/// The player's page, with a look at each of its pictures.
fn watch(relay: &Weir) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}/watch/live/cam", relay.http));
    browser.run(include_str!("browser/watch.js"));
    browser
}

#[track_caller]
fn wait_state(browser: &Browser, wanted: &str) {
    wait_for(&format!("the player to be {wanted}"), LIMIT, || {
        let state = browser.run("return document.querySelector('weir-player').state");
        if state == wanted {
            Ok(())
        } else {
            Err(seen(browser).to_string())
        }
    });
}

fn seen(browser: &Browser) -> Value {
    browser.run(
        "const { statistics, state } = document.querySelector('weir-player');
         return { state, statistics, ...window.watched };",
    )
}

/// Waits for pictures that go on upward, and looks at every one of them.
#[track_caller]
fn wait_pictures(browser: &Browser) {
    browser.run("window.watched.numbers = []; window.watched.blurred = 0;");
    let seen = wait_for("pictures that go on", LIMIT, || {
        let seen = seen(browser);
        match seen["numbers"].as_array() {
            Some(numbers) if numbers.len() >= PICTURES => Ok(seen),
            _ => Err(seen.to_string()),
        }
    });
    let numbers = seen["numbers"].as_array().unwrap();
    // The screen may still have had the picture from before.
    let numbers = numbers.iter().skip(1);
    let numbers: Vec<u64> = numbers.map(|n| n.as_u64().unwrap()).collect();
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "not one after the other: {numbers:?}"
    );
    assert!(
        numbers.iter().all(|n| *n < u64::from(SECONDS) * 30),
        "no such picture: {numbers:?}"
    );
    assert_eq!(seen["blurred"], 0, "{seen}");
}

#[test]
fn pure_modules_keep_their_promises() {
    let relay = Weir::start();
    let browser = Browser::start();
    browser.open(&format!("http://{}/watch/none", relay.http));
    let result = browser.run_async(include_str!("browser/units.js"));
    assert_eq!(result["failures"], json!([]), "{result:#}");
    assert!(result["checks"].as_u64().unwrap() > 20, "{result}");
}

#[test]
fn pictures_are_seen_and_the_tone_is_heard() {
    let relay = Weir::start();
    let _push = push(&relay);
    relay.wait_live("live/cam", &["video", "audio"]);
    let browser = watch(&relay);
    wait_state(&browser, "live");
    wait_pictures(&browser);
    // `m` turns the sound on, as the first key or tap of a person.
    browser.run("document.querySelector('weir-player').focus()");
    browser.press("m");
    browser.run_async(
        "const player = document.querySelector('weir-player');
         while (!player.audioNode) await new Promise((resolve) => setTimeout(resolve, 50));
         const { context } = player.audioNode;
         window.analyser = new AnalyserNode(context, { fftSize: 8192 });
         player.audioNode.connect(window.analyser);",
    );
    let tone = wait_for("the tone", LIMIT, || {
        let loudest = browser.run(
            "const levels = new Float32Array(window.analyser.frequencyBinCount);
             window.analyser.getFloatFrequencyData(levels);
             const top = levels.reduce((best, level, at) => level > levels[best] ? at : best, 0);
             const { sampleRate } = window.analyser.context;
             return [top * sampleRate / window.analyser.fftSize, levels[top]];",
        );
        match (loudest[0].as_f64(), loudest[1].as_f64()) {
            (Some(hertz), Some(decibels)) if decibels > -40.0 => Ok(hertz),
            _ => Err(format!("{loudest}; {}", seen(&browser))),
        }
    });
    assert!((tone - TONE).abs() < 12.0, "{tone} Hz");
    wait_pictures(&browser);
    let isolated = browser.run("return crossOriginIsolated");
    assert_eq!(
        isolated, true,
        "the page may share memory between its threads"
    );
}

#[test]
fn a_page_that_was_open_first_and_a_publisher_that_returns() {
    let relay = Weir::start();
    let browser = watch(&relay);
    wait_state(&browser, "waiting");
    let first = push(&relay);
    wait_state(&browser, "live");
    wait_pictures(&browser);
    drop(first);
    wait_state(&browser, "interrupted");
    let second = push(&relay);
    wait_state(&browser, "live");
    wait_pictures(&browser);
    // After the linger time the stream is over, and the player asks for the next one.
    drop(second);
    wait_for("the stream's end", LIMIT, || {
        match relay.stream("live/cam") {
            None => Ok(()),
            Some(stream) => Err(stream.to_string()),
        }
    });
    wait_for("the player to notice", LIMIT, || {
        let states = seen(&browser)["states"].to_string();
        if states.contains("gone") {
            Ok(())
        } else {
            Err(states)
        }
    });
    let _third = push(&relay);
    wait_state(&browser, "live");
    wait_pictures(&browser);
}
