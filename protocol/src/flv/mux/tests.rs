//! What is written is what the readers read.

use super::*;
use crate::flv::demux::Demuxer;
use crate::flv::{AudioTag, VideoTag, audio, video};

#[test]
fn video_headers_read_back_as_written() {
    for codec in [
        VideoCodec::Avc,
        VideoCodec::Hevc,
        VideoCodec::Av1,
        VideoCodec::Vp9,
    ] {
        let has_composition = matches!(codec, VideoCodec::Avc | VideoCodec::Hevc);
        let mut packets = vec![
            (true, VideoPacket::Config),
            (true, VideoPacket::EndOfSequence),
            (false, VideoPacket::Metadata),
        ];
        for composition_ms in [0, 40, -1, 0x7f_ffff, -0x80_0000] {
            if has_composition || composition_ms == 0 {
                packets.push((true, VideoPacket::Frame { composition_ms }));
                packets.push((false, VideoPacket::Frame { composition_ms }));
            }
        }
        for (key, packet) in packets {
            let header = video_header(codec, key, packet);
            let expected = VideoTag {
                codec,
                key,
                packet,
                nano_offset: 0,
                payload_at: header.len(),
            };
            assert_eq!(video::parse(&header), Ok(expected), "{header:02x?}");
        }
    }
}

#[test]
fn audio_headers_read_back_as_written() {
    for codec in [AudioCodec::Aac, AudioCodec::Opus] {
        for packet in [
            AudioPacket::Config,
            AudioPacket::Frame,
            AudioPacket::EndOfSequence,
            AudioPacket::MultichannelConfig,
        ] {
            let header = audio_header(codec, packet);
            let expected = AudioTag {
                codec,
                packet,
                nano_offset: 0,
                payload_at: header.len(),
            };
            assert_eq!(audio::parse(&header), Ok(expected), "{header:02x?}");
        }
    }
}

#[test]
fn avc_and_aac_are_legacy_for_every_player() {
    let frame = VideoPacket::Frame {
        composition_ms: -40,
    };
    let avc = video_header(VideoCodec::Avc, false, frame);
    assert_eq!(&avc[..], [0x27, 1, 0xff, 0xff, 0xd8]);
    let aac = audio_header(AudioCodec::Aac, AudioPacket::Config);
    assert_eq!(&aac[..], [0xaf, 0]);
}

#[test]
fn tag_has_its_extension_byte_and_its_size_behind_it() {
    let framing = Framing::audio(AudioCodec::Aac, AudioPacket::Frame, 0x1234_5678, 3).unwrap();
    let mut out = Vec::new();
    framing.append_to(&mut out, b"abc");
    let expected = b"\x08\x00\x00\x05\x34\x56\x78\x12\x00\x00\x00\xaf\x01abc\x00\x00\x00\x10";
    assert_eq!(out, expected);
}

#[test]
fn longest_body_is_written_and_a_longer_one_refused() {
    let framing = |len| Framing::body(TagKind::Video, 0, len);
    let longest = framing(MAX_BODY).unwrap();
    assert_eq!(&longest.prefix[..4], [9, 0xff, 0xff, 0xff]);
    assert_eq!(longest.suffix, [1, 0, 0, 10]);
    assert_eq!(framing(MAX_BODY + 1), Err(Error::BodyTooLong(MAX_BODY + 1)));
    assert!(Framing::audio(AudioCodec::Aac, AudioPacket::Frame, 0, usize::MAX).is_err());
}

#[test]
fn metadata_is_an_ecma_array() {
    let body = metadata(&[
        ("width", Value::Number(640.0)),
        ("stereo", Value::Boolean(true)),
        ("encoder", Value::Text("weir")),
    ])
    .unwrap();
    let mut expected = b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x03".to_vec();
    expected.extend_from_slice(b"\x00\x05width\x00\x40\x84\x00\x00\x00\x00\x00\x00");
    expected.extend_from_slice(b"\x00\x06stereo\x01\x01");
    expected.extend_from_slice(b"\x00\x07encoder\x02\x00\x04weir\x00\x00\x09");
    assert_eq!(body, expected);
    let long = "x".repeat(65_536);
    let refused = metadata(&[("a", Value::Text(&long))]);
    assert_eq!(refused, Err(Error::TextTooLong(65_536)));
}

#[test]
fn file_reads_back_tag_by_tag() {
    let mut file = file_header(true, true).to_vec();
    assert_eq!(file[4], 5);
    let script = metadata(&[]).unwrap();
    let framing = Framing::body(TagKind::Script, 0, script.len()).unwrap();
    framing.append_to(&mut file, &script);
    let packet = VideoPacket::Frame { composition_ms: 0 };
    let framing = Framing::video(VideoCodec::Vp9, true, packet, u32::MAX, 4).unwrap();
    framing.append_to(&mut file, b"data");
    let mut demuxer = Demuxer::default();
    demuxer.handle_bytes(&file).unwrap();
    let first = demuxer.next_tag().unwrap().unwrap();
    assert_eq!(
        (first.kind, &first.body[..]),
        (TagKind::Script, &script[..])
    );
    let second = demuxer.next_tag().unwrap().unwrap();
    assert_eq!(second.timestamp_ms, u32::MAX);
    assert_eq!(&second.body[..], b"\x91vp09data");
    assert_eq!(demuxer.next_tag(), Ok(None));
    assert_eq!(demuxer.buffered(), 0);
}
