//! What is pulled is what was pushed, bit for bit: each codec, each transport.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use support::{FlvTag, Kind, Publisher, Pull, Recipe, Weir, opus_tags, push, recipes};

/// Longer than any pull here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Pushes the recipe, pulls it over `url` for four seconds and compares frame by frame.
#[track_caller]
fn carries(recipe: &Recipe, tracks: &[&str], url: fn(&Weir, &str) -> String) {
    let relay = Weir::start();
    let (source, _push) = push(recipe, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", tracks);
    let mut pull = relay.pull(&url(&relay, "live/cam"), "4s");
    pull.end(LIMIT);
    let pulled = source.read(pull.file.path());
    pulled.assert_part_of(&source.media(), source.gop);
    // Three of the four seconds are surely there.
    if tracks.contains(&"video") {
        assert!(
            pulled.video().frames.len() >= 90,
            "{} frames",
            pulled.video().frames.len()
        );
    }
    if tracks.contains(&"audio") {
        assert!(
            pulled.audio().frames.len() >= 130,
            "{} frames",
            pulled.audio().frames.len()
        );
    }
    source.assert_decodes(pull.file.path());
}

#[test]
fn h264_and_aac_over_raw_quic() {
    carries(&recipes::PLAIN, &["video", "audio"], Weir::moqt_url);
}

#[test]
fn h264_and_aac_over_webtransport() {
    carries(&recipes::PLAIN, &["video", "audio"], Weir::https_url);
}

#[test]
fn b_frames_keep_their_composition_times() {
    carries(&recipes::B_FRAMES, &["video", "audio"], Weir::moqt_url);
}

#[test]
fn a_stream_of_only_video() {
    carries(&recipes::VIDEO_ONLY, &["video"], Weir::moqt_url);
}

#[test]
fn a_stream_of_only_audio() {
    carries(&recipes::AUDIO_ONLY, &["audio"], Weir::moqt_url);
}

#[test]
fn hevc_by_enhanced_rtmp() {
    carries(&recipes::HEVC, &["video", "audio"], Weir::moqt_url);
}

#[test]
fn av1_by_enhanced_rtmp() {
    carries(&recipes::AV1, &["video", "audio"], Weir::moqt_url);
}

#[test]
fn hevc_and_opus_by_enhanced_rtmp() {
    let relay = Weir::start();
    let mut tags = FlvTag::read_all(&recipes::HEVC.make().path);
    tags.retain(|tag| tag.kind == Kind::Video && tag.timestamp_ms < 8_000);
    tags.extend(opus_tags(8));
    tags.sort_by_key(|tag| tag.timestamp_ms);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let pushed = tags.clone();
    let pushing = std::thread::spawn(move || publisher.play(&pushed));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "4s");
    pull.end(LIMIT);
    let pulled = FlvTag::read_all(pull.file.path());
    for (kind, at_least) in [(Kind::Video, 90), (Kind::Audio, 150)] {
        let source = frames(&tags, kind);
        let pulled = frames(&pulled, kind);
        assert!(
            pulled.len() >= at_least,
            "{} frames of {kind:?}",
            pulled.len()
        );
        let same = |window: &[&[u8]]| window == pulled.as_slice();
        let found = source.windows(pulled.len()).any(same);
        assert!(found, "{kind:?} is no unbroken part of the source");
    }
    drop(relay);
    drop(pushing.join());
}

fn frames(tags: &[FlvTag], kind: Kind) -> Vec<&[u8]> {
    tags.iter()
        .filter(|tag| tag.kind == kind)
        .filter_map(FlvTag::frame)
        .collect()
}

#[test]
fn the_certificate_is_accepted_by_its_hash() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let answer = relay.get("/certificate.sha256");
    assert_eq!(answer.status, 200);
    let hash = answer.body.trim();
    assert!(
        hash.len() == 64
            && hash
                .chars()
                .all(|c| c.is_ascii_hexdigit() && !c.is_uppercase())
    );
    for url in [relay.moqt_url("live/cam"), relay.https_url("live/cam")] {
        let mut pull = Pull::start(&[&url, "--cert-sha256", hash, "--duration", "2s"]);
        pull.end(LIMIT);
        source
            .read(pull.file.path())
            .assert_part_of(&source.media(), source.gop);
    }
    let other = "0".repeat(64);
    let url = relay.moqt_url("live/cam");
    let mut pull = Pull::start(&[&url, "--cert-sha256", &other, "--duration", "2s"]);
    assert_eq!(pull.process.exit(LIMIT).code(), Some(1));
}

#[test]
fn names_have_as_many_parts_as_the_publisher_likes() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("studio/one/cam-2"));
    relay.wait_live("studio/one/cam-2", &["video"]);
    let mut pull = relay.pull(&relay.moqt_url("studio/one/cam-2"), "2s");
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
}

#[test]
fn every_shard_serves_the_same_stream() {
    for shards in ["1", "3"] {
        let relay = Weir::start_with(&["--shards", shards]);
        let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
        relay.wait_live("live/cam", &["video", "audio"]);
        let url = relay.moqt_url("live/cam");
        // Eight connections on three shards: each shard has some, near enough to surely.
        let mut pulls: Vec<Pull> = (0..8).map(|_| relay.pull(&url, "3s")).collect();
        for pull in &mut pulls {
            pull.end(LIMIT);
            pull.media().assert_part_of(&source.media(), source.gop);
        }
    }
}
