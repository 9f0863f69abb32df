//! The dashboard in a real browser: what it shows, and that it follows the relay by itself.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::{
    Browser, Process, Publisher, SCHEMES, Source, Weir, contrast, prefer, push, recipes, resize,
    wait_for,
};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A desktop's window and a phone's.
const SIZES: [(u32, u32); 2] = [(1280, 800), (390, 844)];

/// Higher than any page here.
const WHOLE: u32 = 4000;

fn open(relay: &Weir, path: &str) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}{path}", relay.http));
    browser
}

fn text(browser: &Browser) -> String {
    let text = browser.run("return document.querySelector('main').innerText");
    text.as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn wait_text(browser: &Browser, wanted: &str) -> String {
    wait_for(&format!("the page to say {wanted:?}"), LIMIT, || {
        let text = text(browser);
        if text.contains(wanted) {
            Ok(text)
        } else {
            Err(text)
        }
    })
}

fn publish(relay: &Weir, name: &str) -> (Source, Process) {
    let pushing = push(&recipes::PLAIN, &relay.rtmp_url(name));
    relay.wait_live(name, &["video", "audio"]);
    pushing
}

/// Keeps a picture of the page for people to look at, in light and dark, on a desktop and a phone.
/// Also looks whether the page is wider than its window, which no page should be, and whether
/// everything in it can be read.
#[track_caller]
fn picture(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&folder).unwrap();
    for scheme in SCHEMES {
        prefer(browser, scheme);
        let back = browser.run("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(is_dark(&back), scheme == "dark", "{scheme}: {back}");
        for (width, height) in SIZES {
            resize(browser, Some((width, height)));
            let wide = browser.run("return document.documentElement.scrollWidth");
            assert!(
                wide.as_u64() <= Some(width.into()),
                "{name} at {width}: {wide} wide"
            );
            let shot = browser.screenshot();
            fs::write(folder.join(format!("{name}-{scheme}-{width}.png")), shot).unwrap();
            // The whole page at once.
            resize(browser, Some((width, WHOLE)));
            let (seen, faint) = contrast(browser);
            assert!(seen.len() > 10, "{name}, {scheme}: {seen:?}");
            assert!(
                faint.is_empty(),
                "{name}, {scheme}, {width} wide: {faint:#?}"
            );
        }
    }
    resize(browser, None);
}

/// Whether an `rgb(r, g, b)` is nearer to black.
fn is_dark(color: &Value) -> bool {
    let color = color.as_str().unwrap_or_default();
    let digits = color.split(|c: char| !c.is_ascii_digit());
    let parts = digits.filter_map(|part| part.parse::<u32>().ok());
    parts.take(3).sum::<u32>() < 3 * 128
}

#[test]
fn an_empty_relay_says_how_to_push_and_a_stream_appears_by_itself() {
    let relay = Weir::start();
    let browser = open(&relay, "/");
    let empty = wait_text(&browser, "Nothing is live yet");
    let server = format!("rtmp://127.0.0.1:{}/live", relay.rtmp.port());
    assert!(empty.contains(&server), "{empty}");
    assert!(empty.contains("weir serve --demo"), "{empty}");
    picture(&browser, "empty");
    browser.run("window.sameDocument = true");
    let pushing = publish(&relay, "live/cam");
    wait_text(&browser, "live/cam");
    let shown = wait_text(&browser, "H.264 320×180");
    assert!(!shown.contains("Nothing is live"), "{shown}");
    assert!(shown.contains("Publisher connected"), "{shown}");
    drop(pushing);
    wait_text(&browser, "publisher gone");
    assert_eq!(
        browser.run("return window.sameDocument"),
        true,
        "without reloading"
    );
}

#[test]
fn a_streams_page_shows_its_viewers_its_past_and_how_to_share_it() {
    let relay = Weir::start();
    let _pushing = publish(&relay, "live/cam");
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "90s");
    pull.wait_flowing();
    let browser = open(&relay, "/stream/live/cam");
    let shown = wait_text(&browser, "moqt-");
    for words in [
        "Where the time goes",
        "In the relay",
        "In time",
        "Viewer joined",
        &format!("http://{}/watch/live/cam", relay.http),
        "<weir-player src=",
        "No player has reported yet",
    ] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    // The past has a point each five seconds.
    wait_for("the plots", LIMIT, || {
        let plots = browser.run("return document.querySelectorAll('.trend, .heat rect').length");
        if plots.as_u64() > Some(8) {
            Ok(())
        } else {
            Err(plots.to_string())
        }
    });
    let names = browser.run(
        "return [...document.querySelectorAll('svg[role=img]')]
             .map((plot) => plot.getAttribute('aria-label')).filter((label) => !label).length",
    );
    assert_eq!(names, 0, "every plot says what it shows");
    picture(&browser, "stream");
}

#[test]
fn an_edges_page_says_where_a_stream_comes_from_and_how_long_that_takes() {
    let origin = Weir::start();
    let _pushing = publish(&origin, "live/cam");
    let upstream = format!("moqt://{}?insecure", origin.quic);
    let edge = Weir::start_with(&["--upstream", &upstream]);
    let mut pull = edge.pull(&edge.moqt_url("live/cam"), "90s");
    pull.wait_flowing();
    let browser = open(&edge, "/stream/live/cam");
    let line = wait_for("the way to the edge", LIMIT, || {
        let shown = text(&browser);
        let line = shown
            .lines()
            .find(|line| line.contains("from the upstream"));
        line.map(ToOwned::to_owned).ok_or(shown)
    });
    let hop = edge.stream("live/cam").unwrap()["publisher"].clone();
    let address = origin.quic.to_string();
    for part in [hop["encoder"].as_str().unwrap(), &address] {
        assert!(!part.is_empty() && line.contains(part), "{part} in {line}");
    }
    let (_, way) = line.rsplit_once(" · ").unwrap();
    let latency: Vec<&str> = way.split(" ± ").collect();
    let digits = |text: &&str| text.starts_with(|first: char| first.is_ascii_digit());
    assert!(latency.len() == 2 && latency.iter().all(digits), "{way}");
}

#[test]
fn a_stream_that_is_not_there_appears_when_it_comes() {
    let relay = Weir::start();
    let browser = open(&relay, "/stream/live/later");
    wait_text(&browser, "This stream is not there");
    let _pushing = publish(&relay, "live/later");
    wait_text(&browser, "Where the time goes");
}

#[test]
fn names_from_the_network_are_text() {
    let relay = Weir::start();
    let name = "<img src=x onerror=window.broken=1>";
    let key = format!("{name}&\"'");
    let publisher = Publisher::publish(relay.rtmp, "<script>window.broken=2", &key);
    let browser = open(&relay, "/");
    wait_text(&browser, name);
    wait_text(&browser, "<script>window.broken=2");
    let inside = browser.run("return document.querySelectorAll('main img, main script').length");
    assert_eq!(inside, 0);
    browser.run("document.querySelector('.stream h2 a').click()");
    wait_text(&browser, "Share and push");
    let title = wait_for("the stream's page", LIMIT, || {
        let title = browser.run("return document.querySelector('h1')?.textContent");
        let is = title.as_str().is_some_and(|title| title.contains(&key));
        if is {
            Ok(title)
        } else {
            Err(title.to_string())
        }
    });
    assert!(title.as_str().unwrap().starts_with("<script>"), "{title}");
    assert_eq!(browser.run("return window.broken ?? null"), Value::Null);
    drop(publisher);
}

#[test]
fn a_streamer_is_warned_with_a_remedy() {
    let relay = Weir::start();
    let mut pushing = support::ffmpeg(false);
    pushing.args([
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=320x180:r=25",
    ]);
    pushing.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "150",
        "-keyint_min",
        "150",
    ]);
    pushing.args([
        "-sc_threshold",
        "0",
        "-bf",
        "2",
        "-f",
        "flv",
        &relay.rtmp_url("live/cam"),
    ]);
    let _pushing = Process::spawn("ffmpeg-push", &mut pushing);
    // A busy machine may add warnings of its own.
    wait_for("the warnings in the API", LIMIT, || {
        let stream = relay.stream("live/cam").unwrap_or_default();
        let warnings = stream["warnings"].as_array().cloned().unwrap_or_default();
        let raised = |code: &str| warnings.iter().any(|warning| warning["code"] == code);
        match ["key_frames_apart", "no_audio", "b_frames"]
            .into_iter()
            .all(raised)
        {
            true => Ok(()),
            false => Err(stream.to_string()),
        }
    });
    let browser = open(&relay, "/");
    wait_text(&browser, "Key frames are 6.0 s apart");
    let shown = wait_text(&browser, "Set the key-frame interval to 2 s");
    assert!(shown.contains("no sound"), "{shown}");
    picture(&browser, "warnings");
}
