//! The player in a real browser where things are not as usual: a bad network, other people's pages,
//! tabs in the background, and everything that can be wrong before a picture comes.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "figures are told with the test")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{
    Browser, DRAWN_FPS, Drawing, ELSEWHERE, PATIENCE, Scratch, Site, Viewer, Weir, now, sleep,
    wait_for, weir,
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

/// What a command of `weir` prints.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_stream_for_those_with_a_token_says_who_is_missing_one() {
    let [jwks, config] = ["jwks.json", "weir.toml"].map(Scratch::new);
    fs::write(jwks.path(), printed(&mut weir(&["key", "--set"]))).unwrap();
    let set = jwks.path().to_string_lossy().into_owned();
    let auth = format!("[auth]\nwatch = \"credential\"\n[auth.tokens]\njwks = \"{set}\"\n");
    fs::write(config.path(), auth).unwrap();
    let token = |scope| printed(&mut weir(&["token", "--jwks", &set, "--watch", scope]));
    let relay = Weir::start_with(&["--config", &config.path().to_string_lossy()]);
    let _push = Drawing::SILENT.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video"]);
    let browser = Browser::start();
    for (query, words) in [
        (String::new(), ["a link that has a token", "the whole link"]),
        (
            format!("?token={}", token("other/*")),
            ["does not open this stream", "a new link"],
        ),
    ] {
        let viewer = Viewer::open(&browser, &relay, &format!("live/cam{query}"));
        let told = viewer.wait_state("refused");
        let said = told["words"].as_str().unwrap();
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
        let retry = viewer.run("return player.shadowRoot.getElementById('retry').hidden");
        assert_eq!(retry, false, "one can ask again at once");
    }
    let viewer = Viewer::open(
        &browser,
        &relay,
        &format!("live/cam?token={}", token("live/*")),
    );
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
}

#[test]
fn a_relay_that_dies_is_missed_and_found_again() {
    let mut relay = Weir::start();
    let push = Drawing::SILENT.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    let addresses = [relay.rtmp, relay.quic, relay.http].map(|addr| addr.to_string());
    relay.kill();
    viewer.wait_state("offline");
    drop(push);
    let relay = Weir::start_on(addresses.each_ref().map(String::as_str), &[]);
    // It has another certificate by now, and no stream yet.
    viewer.wait_state("waiting");
    let _push = Drawing::SILENT.push(&relay.rtmp_url("live/cam"));
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
}

#[test]
fn every_control_has_a_key_a_name_and_its_effect() {
    let relay = Weir::start();
    let _push = Drawing::PLAIN.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    let nameless = viewer.run(
        "const controls = player.shadowRoot.querySelectorAll('button, input');
         return [...controls].filter((one) => !one.ariaLabel && !one.textContent.trim())
           .map((one) => one.id)",
    );
    assert_eq!(nameless, serde_json::json!([]), "controls without a name");
    viewer.run("player.focus()");
    let volume = "return Number(player.shadowRoot.getElementById('volume').value)";
    let stats = "return player.shadowRoot.getElementById('stats').hidden";
    let full = "return document.fullscreenElement === player";
    let steps: [(&str, &str, Value); 10] = [
        ("m", "return player.muted", false.into()),
        ("m", "return player.muted", true.into()),
        // Turned down is no longer as it was; up again it is heard.
        ("\u{e015}", volume, 95.into()),
        ("\u{e013}", "return player.muted", false.into()),
        ("i", stats, false.into()),
        ("i", stats, true.into()),
        ("f", full, true.into()),
        ("f", full, false.into()),
        ("k", "return player.paused", true.into()),
        ("l", "return player.paused", false.into()),
    ];
    for (key, script, wanted) in steps {
        browser.press(key);
        wait_for(&format!("the effect of {key}"), PATIENCE, || {
            let found = viewer.run(script);
            match found == wanted {
                true => Ok(()),
                false => Err(format!("{found} instead of {wanted}; {}", viewer.told())),
            }
        });
    }
    viewer.wait_pictures(PICTURES);
}
