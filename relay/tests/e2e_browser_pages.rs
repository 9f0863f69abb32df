//! The player in a real browser where things are not as usual: a bad network, other people's pages,
//! tabs in the background, and everything that can be wrong before a picture comes.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "figures are told with the test")]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use serde_json::Value;
use support::{
    Browser, DRAWN_FPS, Drawing, ELSEWHERE, PATIENCE, Site, Viewer, Weir, now, sleep, wait_for,
};
use weir_loadtest::impair::{Impairment, LinkConfig};

/// Pictures that must have followed each other before playing counts as going on.
const PICTURES: usize = 45;

/// Decides which packets are lost.
const SEED: u64 = 20_261_121;

/// Seconds without a stall after which the buffer counts as adapted to its network.
const CALM: u32 = 15;

/// A page with a player for each of `names`, as another site writes it.
fn embedding(relay: &Weir, quic: impl std::fmt::Display, names: &[&str]) -> Site {
    let http = relay.http;
    let players: String = names
        .iter()
        .map(|name| format!("<weir-player src=https://{quic}/{name}></weir-player>"))
        .collect();
    Site::start(&format!(
        "<style>weir-player {{ width: 480px }}</style>
         <script type=module src=http://{http}/player/weir-player.js></script>{players}"
    ))
}

fn count(told: &Value, what: &str) -> u64 {
    told["statistics"][what].as_u64().unwrap_or(0)
}

#[test]
fn a_network_that_loses_packets_stops_the_picture_only_at_first() {
    let relay = Weir::start();
    let _push = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let up = LinkConfig {
        loss: 0.02,
        ..LinkConfig::default()
    };
    let down = LinkConfig {
        delay: Duration::from_millis(50),
        ..up.clone()
    };
    let listen = ([127, 0, 0, 1], 0).into();
    let proxy = Impairment::udp(listen, relay.quic, up, down, SEED).unwrap();
    let site = embedding(&relay, proxy.local_addr(), &["live/cam"]);
    let browser = Browser::start();
    let viewer = Viewer::open_page(&browser, &site.url()).remove(0);
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    let start = now();
    let (mut stalls, mut since) = (0, now());
    let told = wait_for("a time without stalls", 2 * PATIENCE, || {
        let told = viewer.told();
        if count(&told, "stalls") != stalls {
            (stalls, since) = (count(&told, "stalls"), now());
        }
        match since.elapsed().as_secs() >= CALM.into() {
            true => Ok(told),
            false => Err(told.to_string()),
        }
    });
    viewer.wait_pictures((CALM * DRAWN_FPS / 3) as usize);
    println!(
        "calm after {} s and {stalls} stalls: {}",
        (since - start).as_secs(),
        told["statistics"]
    );
    assert_eq!(told["state"], "live", "{told}");
    let link = proxy.counters().down;
    assert!(link.dropped_loss > 0, "packets were lost");
}

#[test]
fn two_players_live_in_a_page_of_another_site() {
    let relay = Weir::start();
    let _first = Drawing::PLAIN.push(&relay.rtmp_url("live/one"));
    let _second = Drawing::SILENT.push(&relay.rtmp_url("live/two"));
    relay.wait_live("live/one", &["video", "audio"]);
    relay.wait_live("live/two", &["video"]);
    let site = embedding(&relay, relay.quic, &["live/one", "live/two"]);
    let browser = Browser::start();
    let viewers = Viewer::open_page(&browser, &site.url());
    assert_eq!(viewers.len(), 2);
    for viewer in &viewers {
        viewer.wait_state("live");
        viewer.wait_pictures(PICTURES);
    }
    // Such a page shares no memory between its threads; sound comes all the same.
    viewers[0].unmute();
    let apart = wait_for("sound with the picture", PATIENCE, || {
        let apart = viewers[0].wait_flashes(3);
        let middle = apart[apart.len() / 2];
        match middle.abs() < 60.0 {
            true => Ok(middle),
            false => Err(format!("{apart:?}; {}", viewers[0].told())),
        }
    });
    println!("without shared memory: flash - beep {apart:.1} ms");
    let told = viewers[0].statistics();
    assert_eq!(told["sharedMemory"], false, "{told}");
}

#[test]
fn a_tab_in_the_background_is_at_live_when_it_comes_back() {
    let relay = Weir::start();
    let _push = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    viewer.unmute();
    viewer.wait_flashes(2);
    let tab = browser.cover_tab();
    // Long enough for a browser to slow a hidden page down.
    sleep(Duration::from_secs(8));
    browser.show_tab(&tab);
    viewer.wait_state("live");
    viewer.wait("a player at live", |told| {
        let [lag, target] = ["lagMs", "targetMs"].map(|what| told["statistics"][what].as_f64());
        lag.zip(target)
            .is_some_and(|(lag, target)| (lag - target).abs() < 100.0)
    });
    viewer.wait_pictures(PICTURES);
    viewer.wait_flashes(2);
}

#[test]
fn whatever_is_wrong_is_said_in_words() {
    let mut relay = Weir::start();
    let browser = Browser::start();
    let says = |viewer: &Viewer<'_>, state: &str, words: &[&str]| {
        let told = viewer.wait_state(state);
        let said = told["words"].as_str().unwrap();
        for word in words {
            assert!(said.contains(word), "{state}: {said}");
        }
        // Whoever does not see the page is told as well.
        let heard =
            viewer.run("return player.shadowRoot.querySelector('[role=status]').textContent");
        assert!(
            !heard.as_str().unwrap().is_empty(),
            "{state} is not announced"
        );
    };
    // An address that browsers do not trust with this.
    let elsewhere = format!("http://{ELSEWHERE}:{}/watch/live/cam", relay.http.port());
    let viewer = Viewer::open_page(&browser, &elsewhere).remove(0);
    says(&viewer, "insecure", &["secure", ELSEWHERE]);
    // A browser that lacks what it takes.
    let module = format!("http://{}/player/weir-player.js", relay.http);
    let old = Site::start(&format!(
        "<script>delete globalThis.VideoDecoder; delete globalThis.WebTransport</script>
         <script type=module src={module}></script>
         <weir-player src=https://{}/live/cam></weir-player>",
        relay.quic
    ));
    let viewer = Viewer::open_page(&browser, &old.url()).remove(0);
    says(&viewer, "browser", &["WebTransport and WebCodecs"]);
    // A player that nobody told what to play.
    let unset = Site::start(&format!(
        "<script type=module src={module}></script><weir-player></weir-player>"
    ));
    let viewer = Viewer::open_page(&browser, &unset.url()).remove(0);
    says(&viewer, "unset", &["src"]);
    // A stream that is not there yet, and then the relay goes, too.
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    says(&viewer, "waiting", &["Waiting for the streamer"]);
    relay.terminate();
    says(&viewer, "offline", &["does not answer", "again"]);
    let retry = viewer.run("return player.shadowRoot.getElementById('retry').hidden");
    assert_eq!(retry, false, "one can ask again at once");
}
