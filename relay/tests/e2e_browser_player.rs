//! The player in a real browser as its viewer handles it: certificates, distance, controls by hand
//! and by keyboard, and what it says when a browser does not let it.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;

use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use serde_json::json;
use sha2::{Digest, Sha256};
use support::{Browser, Drawing, PATIENCE, Process, Scratch, Site, Viewer, Weir, wait_for, weir};

/// Pictures that must have followed each other before playing counts as going on.
const PICTURES: usize = 45;

/// Keys as WebDriver names them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A relay with a stream that has sound, and a browser.
fn stage() -> (Weir, support::Drawn, Browser) {
    let (relay, push) = Drawing::PLAIN.live();
    (relay, push, Browser::start())
}

/// A certificate for this machine of an authority of the test's own, as files for the relay; and
/// the hash of the authority's key, by which a browser is told to trust it.
fn certificate_of_an_authority(chain: &Scratch, key: &Scratch) -> String {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = KeyPair::generate().unwrap();
    let root = authority.self_signed(&own).unwrap();
    let hash = Sha256::digest(own.subject_public_key_info());
    // Valid for longer than browsers allow where a certificate is known by its hash.
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let pair = KeyPair::generate().unwrap();
    let signed = leaf.signed_by(&pair, &Issuer::new(authority, own)).unwrap();
    fs::write(chain.path(), signed.pem() + &root.pem()).unwrap();
    fs::write(key.path(), pair.serialize_pem()).unwrap();
    base64::engine::general_purpose::STANDARD.encode(hash)
}

#[test]
fn a_certificate_that_the_browser_trusts_needs_no_hash() {
    let [chain, key] = ["chain.pem", "key.pem"].map(Scratch::new);
    let hash = certificate_of_an_authority(&chain, &key);
    let [cert_file, key_file] = [&chain, &key].map(|file| file.path().to_string_lossy());
    let free = "127.0.0.1:0";
    let mut serve = weir(&["serve", "--rtmp", free, "--quic", free, "--http", free]);
    serve.args(["--tls-cert", &cert_file, "--tls-key", &key_file]);
    let relay = Weir::adopt(Process::spawn("weir", serve.env("WEIR_LOG", "debug")));
    let _push = Drawing::SILENT.push(&relay.rtmp_url("live/cam"));
    // For WebTransport browsers trust nobody but the authorities that they came with.
    let trust = format!("--ignore-certificate-errors-spki-list={hash}");
    let browser = Browser::start_with(&[&trust, "--webtransport-developer-mode"]);
    let (http, quic) = (relay.http, relay.quic);
    let page = format!("https://{http}/watch/live/cam");
    let viewer = Viewer::open_page(&browser, &page).remove(0);
    viewer.wait_state("live");
    viewer.wait_pictures(PICTURES);
    // The same in a page of somebody else.
    let site = Site::start(&format!(
        "<script type=module src=https://{http}/player/weir-player.js></script>
         <weir-player src=https://{quic}/live/cam></weir-player>"
    ));
    let viewer = Viewer::open_page(&browser, &site.url()).remove(0);
    viewer.wait_state("live");
    let log = relay.log();
    assert!(!log.contains("no session"), "no attempt fails: {log}");
    assert!(log.contains(" session "), "attempts are told: {log}");
}

#[test]
fn a_distance_that_is_asked_for_is_kept() {
    let (relay, _push, browser) = stage();
    let viewer = Viewer::open(&browser, &relay, "live/cam?latency=900");
    viewer.wait_state("live");
    viewer.wait("a player at its distance", |told| {
        let [lag, target] = ["lagMs", "targetMs"].map(|name| told["statistics"][name].as_f64());
        target == Some(900.0) && lag.is_some_and(|lag| (lag - 900.0).abs() < 100.0)
    });
    let early = viewer.wait_pictures(PICTURES);
    let early = early.iter().filter(|picture| picture.late_ms < 800.0);
    assert_eq!(early.count(), 0, "{}", viewer.told());
    // Another wish holds from then on.
    viewer.run("player.setAttribute('latency', '100')");
    viewer.wait("a player nearer to live", |told| {
        told["state"] == "live" && told["statistics"]["lagMs"].as_f64() < Some(400.0)
    });
    viewer.wait_pictures(PICTURES);
}

#[test]
fn the_picture_goes_on_in_a_picture_while_its_tab_is_hidden() {
    let (relay, _push, browser) = stage();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    let hidden = viewer.run("return player.shadowRoot.getElementById('pip').hidden");
    let able = browser.run("return document.pictureInPictureEnabled");
    assert_eq!((able, hidden), (true.into(), false.into()));
    viewer.run("player.focus()");
    browser.press("p");
    let inside = "return document.pictureInPictureElement?.getVideoPlaybackQuality()
         .totalVideoFrames ?? null";
    wait_for("a picture in a picture", PATIENCE, || {
        match browser.run(inside).as_u64() {
            Some(frames) if frames > 0 => Ok(()),
            frames => Err(format!("{frames:?}; {}", viewer.told())),
        }
    });
    let pressed = "return player.shadowRoot.getElementById('pip').ariaPressed";
    assert_eq!(viewer.run(pressed), "true");
    browser.run(
        "window.unseen = 0;
         document.addEventListener('visibilitychange', () => {
             const video = document.pictureInPictureElement;
             if (!document.hidden || !video) return;
             const begun = video.getVideoPlaybackQuality().totalVideoFrames;
             setInterval(() => {
                 if (!document.hidden) return;
                 window.unseen = video.getVideoPlaybackQuality().totalVideoFrames - begun;
             }, 200);
         });",
    );
    let tab = browser.cover_tab();
    support::sleep(std::time::Duration::from_secs(5));
    browser.show_tab(&tab);
    let unseen = browser.run("return window.unseen");
    assert!(unseen.as_u64() > Some(10), "{unseen} pictures while hidden");
    viewer.run("player.focus()");
    browser.press("p");
    browser.wait_true(
        "the picture in its page again",
        "return document.pictureInPictureElement === null",
    );
    assert_eq!(viewer.run(pressed), "false");
}

#[test]
fn a_browser_that_lets_no_picture_out_of_its_page_says_so() {
    let (relay, _push, browser) = stage();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    browser.run("HTMLVideoElement.prototype.requestPictureInPicture = () => Promise.reject()");
    viewer.run("player.focus()");
    browser.press("p");
    let notice = "const notice = player.shadowRoot.getElementById('notice');
         return notice.hidden ? '' : notice.textContent";
    wait_for("a notice", PATIENCE, || {
        let said = viewer.run(notice);
        let said = said.as_str().unwrap();
        match said.contains("not possible") {
            true => Ok(()),
            false => Err(said.to_owned()),
        }
    });
    viewer.wait_pictures(PICTURES);
}

/// What has the focus, inside the player too: its id, and whether the eye can see that.
const FOCUSED: &str = "
    let one = document.activeElement;
    while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    const ring = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
    return [one.id || one.tagName, ring && box.width > 0 && box.height > 0];";

#[test]
fn a_keyboard_is_enough() {
    let (relay, _push, browser) = stage();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    let mut way = Vec::new();
    browser.run("document.activeElement.blur()");
    for _ in 0..12 {
        browser.press(TAB);
        let focused = browser.run(FOCUSED);
        assert_eq!(focused[1], true, "the focus on {} is seen", focused[0]);
        way.push(focused[0].as_str().unwrap().to_owned());
        if way.last().is_some_and(|last| last == "A") {
            break;
        }
    }
    let order = "WEIR-PLAYER unmute play mute volume live info pip full A";
    assert_eq!(way.join(" "), order);
    let effects = [
        ("unmute", "return player.muted", json!(false)),
        ("mute", "return player.muted", json!(true)),
        ("play", "return player.paused", json!(true)),
        ("live", "return player.paused", json!(false)),
        (
            "info",
            "return player.shadowRoot.getElementById('stats').hidden",
            json!(false),
        ),
        (
            "full",
            "return document.fullscreenElement === player",
            json!(true),
        ),
    ];
    for (control, effect, wanted) in effects {
        viewer.run(&format!(
            "player.shadowRoot.getElementById('{control}').focus()"
        ));
        browser.press(ENTER);
        wait_for(&format!("the effect of {control}"), PATIENCE, || {
            let found = viewer.run(effect);
            match found == wanted {
                true => Ok(()),
                false => Err(format!("{found}; {}", viewer.told())),
            }
        });
    }
}

#[test]
fn a_page_that_forbids_threads_is_told_what_failed() {
    let relay = Weir::start();
    let (http, quic) = (relay.http, relay.quic);
    let site = Site::start(&format!(
        "<meta http-equiv=Content-Security-Policy content=\"worker-src 'none'\">
         <script type=module src=http://{http}/player/weir-player.js></script>
         <weir-player src=https://{quic}/live/cam></weir-player>"
    ));
    let browser = Browser::start();
    let viewer = Viewer::open_page(&browser, &site.url()).remove(0);
    let told = viewer.wait_state("broken");
    let words = told["words"].as_str().unwrap();
    assert!(words.contains("failed"), "{words}");
}
