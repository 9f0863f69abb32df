//! FLV files of real encoders, legacy and enhanced: read, and written again.
//!
//! `data/flv/README.md` says how the files were made.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;

use weir_protocol::codec::{self, AudioCodec, VideoCodec, VideoInfo, audio_info, video_info};
use weir_protocol::flv::demux::{Demuxer, Tag};
use weir_protocol::flv::mux::{Framing, audio_header, file_header, video_header};
use weir_protocol::flv::{AudioPacket, Error, TagKind, VideoPacket, audio, video};

const SAMPLES: [&str; 10] = [
    "ac3",
    "av1_libaom",
    "av1_opus",
    "av1_rav1e",
    "avc_aac",
    "flac",
    "hevc_aac",
    "multitrack",
    "sorenson_mp3",
    "vp9_opus",
];

fn sample(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/flv");
    let path = path.join(name).with_extension("flv");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn tags(file: &[u8], chunk: usize) -> Vec<Tag> {
    let mut demuxer = Demuxer::default();
    let mut tags = Vec::new();
    for bytes in file.chunks(chunk) {
        demuxer
            .handle_bytes(bytes)
            .unwrap_or_else(|e| panic!("{e}"));
        while let Some(tag) = demuxer.next_tag().unwrap_or_else(|e| panic!("{e}")) {
            tags.push(tag);
        }
    }
    assert_eq!(demuxer.buffered(), 0);
    tags
}

/// What the tags of a file come down to.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    video: Option<VideoCodec>,
    video_info: Option<VideoInfo>,
    key_frames: usize,
    frames: usize,
    composition: std::collections::BTreeSet<i32>,
    audio: Option<AudioCodec>,
    audio_info: Option<codec::AudioInfo>,
    audio_frames: usize,
    refused: Vec<Error>,
}

impl Summary {
    fn of(name: &str) -> Self {
        let mut summary = Self::default();
        for tag in tags(&sample(name), 4096) {
            let read = match tag.kind {
                TagKind::Video => summary.video(&tag.body),
                TagKind::Audio => summary.audio(&tag.body),
                TagKind::Script => Ok(()),
            };
            if let Err(error) = read
                && !summary.refused.contains(&error)
            {
                summary.refused.push(error);
            }
        }
        summary
    }

    fn video(&mut self, body: &[u8]) -> Result<(), Error> {
        let tag = video::parse(body)?;
        let payload = &body[tag.payload_at..];
        self.video = Some(tag.codec);
        match tag.packet {
            VideoPacket::Config => match video_info(tag.codec, payload) {
                Err(codec::Error::Empty) => {}
                info => self.video_info = Some(info.unwrap_or_else(|e| panic!("{e}"))),
            },
            VideoPacket::Frame { composition_ms } => {
                self.frames += 1;
                self.composition.insert(composition_ms);
                if tag.key {
                    self.key_frames += 1;
                    let info = self
                        .video_info
                        .as_mut()
                        .unwrap_or_else(|| panic!("no config"));
                    let learned = info.learn_from_key_frame(tag.codec, payload);
                    learned.unwrap_or_else(|e| panic!("{e}"));
                }
            }
            VideoPacket::EndOfSequence | VideoPacket::Metadata => {}
        }
        Ok(())
    }

    fn audio(&mut self, body: &[u8]) -> Result<(), Error> {
        let tag = audio::parse(body)?;
        self.audio = Some(tag.codec);
        match tag.packet {
            AudioPacket::Config => {
                let info = audio_info(tag.codec, &body[tag.payload_at..]);
                self.audio_info = Some(info.unwrap_or_else(|e| panic!("{e}")));
            }
            AudioPacket::Frame => self.audio_frames += 1,
            AudioPacket::EndOfSequence | AudioPacket::MultichannelConfig => {}
        }
        Ok(())
    }

    fn assert_video(&self, codec: VideoCodec, string: &str, size: (u32, u32), frames: usize) {
        assert_eq!(self.video, Some(codec));
        let info = self
            .video_info
            .as_ref()
            .unwrap_or_else(|| panic!("no config"));
        assert_eq!(info.codec, string);
        assert_eq!(info.size.map(|s| (s.width, s.height)), Some(size));
        assert_eq!(self.frames, frames);
    }

    fn assert_audio(&self, codec: AudioCodec, string: &str, frames: usize) {
        assert_eq!(self.audio, Some(codec));
        let info = self
            .audio_info
            .as_ref()
            .unwrap_or_else(|| panic!("no config"));
        assert_eq!((info.codec.as_str(), info.sample_rate), (string, 48_000));
        assert_eq!(self.audio_frames, frames);
    }
}

#[test]
fn legacy_avc_with_b_frames_and_aac() {
    let summary = Summary::of("avc_aac");
    summary.assert_video(VideoCodec::Avc, "avc1.64000b", (160, 90), 20);
    assert_eq!(summary.key_frames, 2);
    assert!(summary.composition.len() > 1, "{:?}", summary.composition);
    summary.assert_audio(AudioCodec::Aac, "mp4a.40.2", 39);
    assert_eq!(summary.refused, []);
}

#[test]
fn enhanced_hevc_and_legacy_aac() {
    let summary = Summary::of("hevc_aac");
    summary.assert_video(VideoCodec::Hevc, "hvc1.1.6.L30.90", (160, 90), 20);
    assert_eq!(summary.key_frames, 2);
    // Both forms of a frame, with and without a composition time.
    assert!(summary.composition.contains(&0) && summary.composition.len() > 1);
    summary.assert_audio(AudioCodec::Aac, "mp4a.40.2", 39);
    assert_eq!(summary.refused, []);
}

#[test]
fn enhanced_av1_and_opus() {
    let summary = Summary::of("av1_opus");
    summary.assert_video(VideoCodec::Av1, "av01.0.00M.08", (160, 90), 20);
    summary.assert_audio(AudioCodec::Opus, "opus", 41);
    assert_eq!(summary.refused, []);
}

#[test]
fn enhanced_av1_whose_first_record_is_empty() {
    // Made of RGB: sRGB, with its full range implied.
    let summary = Summary::of("av1_libaom");
    let string = "av01.1.00M.08.0.000.01.13.00.1";
    summary.assert_video(VideoCodec::Av1, string, (322, 242), 6);
}

#[test]
fn enhanced_av1_without_a_sequence_header_gets_its_size_from_the_key_frame() {
    let summary = Summary::of("av1_rav1e");
    summary.assert_video(VideoCodec::Av1, "av01.0.31M.08", (160, 90), 3);
}

#[test]
fn enhanced_vp9_gets_its_size_from_the_key_frame() {
    let summary = Summary::of("vp9_opus");
    summary.assert_video(VideoCodec::Vp9, "vp09.00.10.08", (160, 90), 20);
    assert_eq!(summary.key_frames, 2);
    summary.assert_audio(AudioCodec::Opus, "opus", 41);
    assert_eq!(summary.refused, []);
}

#[test]
fn second_track_of_a_multitrack_file_is_refused_beside_the_first() {
    let summary = Summary::of("multitrack");
    summary.assert_video(VideoCodec::Avc, "avc1.64000b", (160, 90), 10);
    assert_eq!(summary.refused, [Error::Multitrack { track: 1 }]);
    assert!(summary.refused[0].is_skippable());
}

#[test]
fn codecs_that_are_not_carried_are_refused_by_name() {
    for (name, names) in [
        ("ac3", &["AC-3"][..]),
        ("flac", &["FLAC"]),
        ("sorenson_mp3", &["MP3", "Sorenson H.263"]),
    ] {
        let summary = Summary::of(name);
        assert_eq!((summary.video, summary.audio), (None, None));
        let mut reasons: Vec<_> = summary.refused.iter().map(Error::to_string).collect();
        reasons.sort();
        assert_eq!(reasons.len(), names.len());
        for (reason, name) in reasons.iter().zip(names) {
            assert!(reason.contains(name), "{reason}");
        }
    }
}

#[test]
fn where_the_file_is_cut_into_reads_does_not_matter() {
    for name in SAMPLES {
        let file = sample(name);
        let whole = tags(&file, file.len());
        for chunk in [1, 2, 3, 10, 11, 12, 13, 1000] {
            assert_eq!(tags(&file, chunk), whole, "{name} by {chunk}");
        }
    }
}

#[test]
fn file_written_again_is_the_same_bytes() {
    for name in [
        "av1_libaom",
        "av1_opus",
        "av1_rav1e",
        "avc_aac",
        "hevc_aac",
        "vp9_opus",
    ] {
        let file = sample(name);
        let mut written = file_header(file[4] & 4 != 0, file[4] & 1 != 0).to_vec();
        for tag in tags(&file, 4096) {
            append_again(&mut written, &tag);
        }
        assert_eq!(written.len(), file.len(), "{name}");
        let differs = written.iter().zip(&file).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}");
    }
}

fn append_again(written: &mut Vec<u8>, tag: &Tag) {
    let body = &tag.body;
    let header = match tag.kind {
        TagKind::Video => video::parse(body).map(|read| {
            let header = video_header(read.codec, read.key, read.packet);
            (
                header,
                read.payload_at,
                read.packet == VideoPacket::Metadata,
            )
        }),
        TagKind::Audio => audio::parse(body).map(|read| {
            (
                audio_header(read.codec, read.packet),
                read.payload_at,
                false,
            )
        }),
        TagKind::Script => Err(Error::Command),
    };
    // The frame type of metadata carries no meaning, and ffmpeg writes another one.
    if let Ok((header, payload_at, is_metadata)) = header
        && !is_metadata
    {
        assert_eq!(&header[..], &body[..payload_at]);
    }
    let framing = Framing::body(tag.kind, tag.timestamp_ms, body.len());
    framing
        .unwrap_or_else(|e| panic!("{e}"))
        .append_to(written, body);
}

#[test]
fn truncated_bodies_do_not_panic() {
    for name in SAMPLES {
        for tag in tags(&sample(name), 4096) {
            for len in 0..=tag.body.len().min(80) {
                read_anything(&tag.body[..len]);
            }
        }
    }
}

#[test]
fn arbitrary_bodies_do_not_panic() {
    const FIRST: [u8; 10] = [0x17, 0x1c, 0x90, 0x91, 0x93, 0x96, 0x97, 0xa1, 0xaf, 0x95];
    const FOURCC: [&[u8; 4]; 6] = [b"avc1", b"hvc1", b"av01", b"vp09", b"mp4a", b"Opus"];
    for seed in 1..=20_000u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as usize
        };
        let mut body = vec![FIRST[random() % FIRST.len()]];
        if random() % 2 == 0 {
            body.extend_from_slice(FOURCC[random() % FOURCC.len()]);
        }
        for _ in 0..random() % 40 {
            body.push(random() as u8);
        }
        read_anything(&body);
    }
}

/// Reads `body` as every kind of message, down to its payload.
fn read_anything(body: &[u8]) {
    if let Ok(tag) = video::parse(body) {
        assert!(tag.payload_at <= body.len(), "{tag:?} of {body:02x?}");
        let payload = &body[tag.payload_at..];
        if let Ok(mut info) = video_info(tag.codec, payload) {
            let _ = info.learn_from_key_frame(tag.codec, payload);
        }
        let _ = codec::vp9::key_frame_size(payload);
        let _ = codec::av1::sequence_header(payload);
        let _ = codec::avc::rewrite_lengths(payload, 2);
    }
    if let Ok(tag) = audio::parse(body) {
        assert!(tag.payload_at <= body.len(), "{tag:?} of {body:02x?}");
        let _ = audio_info(tag.codec, &body[tag.payload_at..]);
    }
}
