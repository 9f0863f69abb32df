//! Playing over RTMP what came over MoQT: with the catalog of MSF, and with that of hang.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use support::{
    Asked, FlvTag, MoqtClient, Player, Scratch, Weir, head, header, object_with, published,
    wait_for,
};
use weir_protocol::catalog::hang::{self, put_prefix};
use weir_protocol::catalog::msf::{Catalog, ROLE_VIDEO, Track};
use weir_protocol::loc::TIMESTAMP;
use weir_protocol::moqt::Version;
use weir_protocol::moqt::properties::PairWriter;

/// Longer than any play here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// The decoder's configuration of what is published.
const RECORD: &[u8] = include_bytes!("../../protocol/tests/data/codec/avc_main_640x360.avcc");

const FRAMES: [&[u8]; 3] = [b"a key frame", b"the next", b"and one more"];

/// One group of a track that is published: its objects with their properties.
fn publish_group(source: &MoqtClient, alias: u64, group: u64, objects: &[(&[u8], &[u8])]) {
    let mut bytes = head(header(alias, group));
    for (properties, payload) in objects {
        bytes.extend(object_with(properties, 0, payload));
    }
    source.open_data(&bytes).finish().unwrap();
}

/// A catalog of one track of pictures.
fn catalog(codec: &str, config: Option<&[u8]>) -> Catalog {
    let mut catalog = Catalog::live(0);
    let pictures = Track {
        width: Some(640),
        height: Some(360),
        ..Track::live("pictures", ROLE_VIDEO, codec)
    };
    catalog.push(pictures, config);
    catalog
}

/// Waits until the API shows that the track carries something.
#[track_caller]
fn described(relay: &Weir) -> serde_json::Value {
    wait_for("the track in the API", LIMIT, || {
        let tracks = relay.stream("live/cam").unwrap()["tracks"].clone();
        match tracks[0]["codec"].as_str() {
            Some(codec) if !codec.is_empty() => Ok(tracks[0].clone()),
            _ => Err(tracks.to_string()),
        }
    })
}

/// Plays three frames; their times and composition times too, in milliseconds.
#[track_caller]
fn plays_frames(relay: &Weir) -> Vec<(u32, i32)> {
    let mut player = Player::connect(relay.rtmp, "live", "cam", &[], None);
    player.until_said("onMetaData");
    let played = player.media(FRAMES.len());
    let records = played.iter().filter(|tag| tag.body.ends_with(RECORD));
    assert_eq!(records.count(), 1, "the decoder's configuration");
    let frames = played.iter().filter(|tag| tag.frame().is_some());
    let bodies: Vec<_> = frames.clone().filter_map(FlvTag::frame).collect();
    assert_eq!(bodies, FRAMES);
    let times = frames.map(|tag| {
        let ahead = &tag.body[2..5];
        let ahead = i32::from_be_bytes([ahead[0], ahead[1], ahead[2], 0]) >> 8;
        (tag.timestamp_ms, ahead)
    });
    times.collect()
}

#[test]
fn what_comes_over_moqt_is_described_and_played() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let tracks = [("catalog", 1), ("pictures", 2)];
    let _publishing = tracks.map(|(track, alias)| published(&mut source, track, alias));
    let json = catalog("avc1.4d401e", Some(RECORD)).to_json();
    publish_group(&source, 1, 5, &[(&[], &json)]);
    let timestamps = [0, 1, 2].map(|at| {
        let mut block = BytesMut::new();
        PairWriter::new(&mut block).int(TIMESTAMP, at * 40_000);
        block
    });
    let objects = [0, 1, 2].map(|at| (&timestamps[at][..], FRAMES[at]));
    publish_group(&source, 2, 70, &objects);
    let described = described(&relay);
    assert_eq!(described["name"], "pictures", "{described}");
    assert_eq!(described["codec"], "avc1.4d401e", "{described}");
    assert_eq!(described["width"], 640, "{described}");
    assert_eq!(plays_frames(&relay), [(0, 0), (40, 0), (80, 0)]);
}

/// A source that has a hang catalog only, with this one and frames shown at these times.
fn hang_source(relay: &Weir, json: &[u8], shown_us: [u64; 3]) -> (MoqtClient, [Asked; 2]) {
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let tracks = [(hang::TRACK_NAME, 1), ("pictures", 2)];
    let publishing = tracks.map(|(track, alias)| published(&mut source, track, alias));
    publish_group(&source, 1, 5, &[(&[], json)]);
    let payloads = [0, 1, 2].map(|at| {
        let mut payload = Vec::new();
        put_prefix(&mut payload, shown_us[at]);
        payload.put_slice(FRAMES[at]);
        payload
    });
    let objects = payloads.each_ref().map(|payload| (&[][..], &payload[..]));
    publish_group(&source, 2, 70, &objects);
    (source, publishing)
}

fn hang_catalog(codec: &str, config: Option<&[u8]>) -> Vec<u8> {
    hang::from_msf(&catalog(codec, config), str::to_owned)
}

#[test]
fn what_has_a_hang_catalog_only_is_played_too() {
    let relay = Weir::start();
    let json = hang_catalog("avc1.4d401e", Some(RECORD));
    // Only when to show a frame is told, in the order of decoding.
    let _source = hang_source(&relay, &json, [1_000_000, 1_080_000, 1_040_000]);
    assert_eq!(described(&relay)["width"], 640);
    assert_eq!(plays_frames(&relay), [(0, 0), (80, 0), (80, -40)]);
}

/// What a player of `live/cam` is told instead of being given the stream.
#[track_caller]
fn refused(relay: &Weir, words: &str) {
    let mut player = Player::connect(relay.rtmp, "live", "cam", &[], None);
    assert!(player.until_said(words).is_empty());
}

#[test]
fn what_rtmp_cannot_carry_is_refused_by_what_it_lacks() {
    let sets = hang_catalog("avc3.4d401e", None);
    let container = br#"{"video":{"renditions":{"pictures":{"codec":"avc1.4d401e",
        "container":{"kind":"cmaf"}}}}}"#;
    for (json, words) in [
        (&sets[..], "configuration within the frames"),
        (&container[..], "the packaging \"cmaf\""),
    ] {
        let relay = Weir::start();
        let _source = hang_source(&relay, json, [0; 3]);
        described(&relay);
        refused(&relay, words);
    }
}

#[test]
fn a_stream_without_catalog_is_not_said_to_be_missing() {
    let file = Scratch::new("weir.toml");
    std::fs::write(file.path(), "[viewer]\nplay_wait_ms = 200\n").unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _publishing = published(&mut source, "pictures", 1);
    refused(&relay, "live/cam has no catalog");
}
