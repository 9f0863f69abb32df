//! What publishers send, and what becomes of it on the tracks.

use weir_protocol::body::Body;
use weir_protocol::catalog::msf::Catalog;
use weir_protocol::flv::AudioPacket;
use weir_protocol::flv::mux;
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::Namespace;
use weir_protocol::rtmp::StreamId;
use weir_protocol::rtmp::server::Media;

use super::*;
use crate::registry::{self, Registry};
use crate::ring::Group;
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::Stream;
use std::sync::Arc;
use weir_protocol::flv::VideoPacket;
use weir_protocol::moqt::Location;

const SMALL: &[u8] =
    include_bytes!("../../../../protocol/tests/data/codec/avc_baseline_320x180.avcc");
const LARGE: &[u8] = include_bytes!("../../../../protocol/tests/data/codec/avc_main_640x360.avcc");
const AAC: &[u8] = include_bytes!("../../../../protocol/tests/data/codec/aac_lc_48000_stereo.asc");
/// Any time will do, as long as it goes on.
const NOW_US: u64 = 5_000_000;

/// A publisher that is being packaged.
struct Input {
    packager: Packager,
    stream: Arc<Stream>,
}

impl Input {
    fn new() -> Self {
        let registry = Registry::new(registry::Config::default(), 1);
        let name = Namespace::from_path("live/cam").unwrap();
        let info = PublisherSnapshot::default();
        let publisher = registry.publish(&name, info, NOW_US).unwrap();
        Self {
            stream: Arc::clone(publisher.stream()),
            packager: Packager::new(publisher),
        }
    }

    fn video(&mut self, ms: u64, key: bool, packet: VideoPacket, payload: &[u8]) {
        let header = mux::video_header(VideoCodec::Avc, key, packet);
        let media = media(ms, &header, payload);
        self.packager.on_video(media, NOW_US + ms * 1000).unwrap();
    }

    fn config(&mut self, ms: u64, record: &[u8]) {
        self.video(ms, true, VideoPacket::Config, record);
    }

    fn frame(&mut self, ms: u64, key: bool, composition_ms: i32) {
        let packet = VideoPacket::Frame { composition_ms };
        self.video(ms, key, packet, &[0, 0, 0, 1, 0x65]);
    }

    fn audio(&mut self, ms: u64, packet: AudioPacket, payload: &[u8]) {
        let header = mux::audio_header(codec::AudioCodec::Aac, packet);
        let media = media(ms, &header, payload);
        self.packager.on_audio(media, NOW_US + ms * 1000).unwrap();
    }

    fn groups(&self, track: &str) -> Vec<Group> {
        let track = self.stream.track(track.as_bytes());
        let everything = Location {
            group: u64::MAX,
            object: u64::MAX,
        };
        track.map_or_else(Vec::new, |track| {
            track.ring.range(Location::default(), everything)
        })
    }

    fn catalogs(&self) -> Vec<Catalog> {
        let groups = self.groups("catalog");
        let objects = groups.iter().map(|group| group.objects[0].payload());
        objects.map(|json| Catalog::parse(&json).unwrap()).collect()
    }
}

fn media(ms: u64, header: &[u8], payload: &[u8]) -> Media {
    let mut body = Body::with_capacity(MEDIA_ROOM, header.len() + payload.len());
    body.append(header);
    body.append(payload);
    Media {
        stream_id: StreamId(1),
        timestamp_ms: ms,
        first_byte_us: NOW_US + ms * 1000,
        body,
    }
}

fn sizes(groups: &[Group]) -> Vec<usize> {
    groups.iter().map(|group| group.objects.len()).collect()
}

fn properties(groups: &[Group]) -> Vec<ObjectProperties> {
    let objects = groups.iter().flat_map(|group| &group.objects);
    objects
        .map(|object| ObjectProperties::parse(&object.properties).unwrap())
        .collect()
}

#[test]
fn group_is_a_gop_and_its_key_frame_carries_the_configuration() {
    let mut input = Input::new();
    input.config(0, SMALL);
    for frame in 0..5 {
        input.frame(frame * 40, frame % 3 == 0, 0);
    }
    let groups = input.groups("video");
    assert_eq!(sizes(&groups), [3, 2]);
    assert_eq!(groups[1].id, groups[0].id + 1);
    let configs: Vec<_> = properties(&groups)
        .into_iter()
        .map(|p| p.video_config)
        .collect();
    let record = Some(Bytes::from_static(SMALL));
    assert_eq!(configs, [record.clone(), None, None, record, None]);
    assert_eq!(groups[0].objects[0].payload(), [0, 0, 0, 1, 0x65][..]);
}

#[test]
fn presentation_is_decoding_plus_composition() {
    let mut input = Input::new();
    input.config(0, SMALL);
    for (ms, key, composition_ms) in [(0, true, 80), (40, false, 160), (80, false, 0)] {
        input.frame(ms, key, composition_ms);
    }
    let times: Vec<_> = properties(&input.groups("video"))
        .iter()
        .map(|p| (p.timestamp_us.unwrap() - p.composition_us, p.composition_us))
        .collect();
    let origin = times[0].0;
    assert_eq!(
        times,
        [
            (origin, 80_000),
            (origin + 40_000, 160_000),
            (origin + 80_000, 0)
        ]
    );
}

#[test]
fn frames_that_nobody_can_decode_are_dropped() {
    let mut input = Input::new();
    input.frame(0, true, 0);
    input.config(40, SMALL);
    input.frame(80, false, 0);
    assert!(input.groups("video").is_empty());
    input.frame(120, true, 0);
    assert_eq!(sizes(&input.groups("video")), [1]);
}

#[test]
fn changed_configuration_is_a_new_catalog_before_its_key_frame() {
    let mut input = Input::new();
    input.config(0, SMALL);
    input.frame(0, true, 0);
    input.config(40, SMALL);
    input.frame(40, true, 0);
    assert_eq!(input.catalogs().len(), 1, "the same record changes nothing");
    input.config(80, LARGE);
    assert_eq!(input.catalogs().len(), 1);
    input.frame(80, false, 0);
    assert_eq!(
        sizes(&input.groups("video")),
        [1, 1],
        "a frame of the old configuration is not sent with the new"
    );
    input.frame(120, true, 0);
    let widths = input.catalogs();
    let widths: Vec<_> = widths
        .iter()
        .map(|catalog| catalog.tracks[0].width)
        .collect();
    assert_eq!(widths, [Some(320), Some(640)]);
    assert_eq!(sizes(&input.groups("video")), [1, 1, 1]);
}

#[test]
fn audio_groups_end_with_the_second_and_with_the_video_group() {
    let mut input = Input::new();
    input.audio(0, AudioPacket::Config, AAC);
    for frame in 0..15 {
        input.audio(frame * 100, AudioPacket::Frame, b"aac");
    }
    assert_eq!(sizes(&input.groups("audio")), [10, 5]);
    input.config(1500, SMALL);
    input.frame(1500, true, 0);
    input.audio(1500, AudioPacket::Frame, b"aac");
    let groups = input.groups("audio");
    assert_eq!(sizes(&groups), [10, 5, 1]);
    let configs = properties(&groups);
    let configured = configs.iter().filter(|p| p.audio_config.is_some()).count();
    assert_eq!(configured, groups.len(), "each group can be decoded alone");
}

#[test]
fn catalog_lists_what_there_is() {
    let mut input = Input::new();
    input.audio(0, AudioPacket::Config, AAC);
    input.audio(0, AudioPacket::Frame, b"aac");
    input.config(20, SMALL);
    input.frame(20, true, 0);
    let catalogs = input.catalogs();
    let names = |catalog: &Catalog| -> Vec<String> {
        let tracks = catalog.tracks.iter();
        tracks.map(|track| track.name.clone()).collect()
    };
    assert_eq!(names(&catalogs[0]), ["audio"]);
    assert_eq!(names(&catalogs[1]), ["video", "audio"]);
    let video = catalogs[1].track_of("video").unwrap();
    let config = catalogs[1].config_of(video).unwrap();
    assert_eq!(config, Some(Bytes::from_static(SMALL)));
    assert!(input.stream.track(b"audio").unwrap().first_frame);
}

#[test]
fn stream_of_frames_without_configuration_is_refused_in_the_end() {
    let mut input = Input::new();
    let mut refused = None;
    for ms in 0..2 * u64::from(UNUSABLE_LIMIT) {
        let packet = VideoPacket::Frame { composition_ms: 0 };
        let header = mux::video_header(VideoCodec::Avc, true, packet);
        let result = input
            .packager
            .on_video(media(ms, &header, b"frame"), NOW_US);
        refused = refused.or_else(|| result.err());
    }
    assert!(matches!(refused, Some(PackageError::NoConfig(_, "video"))));
}
