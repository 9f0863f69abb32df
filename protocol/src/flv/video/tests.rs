//! Video headers of every kind, byte by byte.

use super::*;

fn tag(codec: VideoCodec, key: bool, packet: VideoPacket, payload_at: usize) -> VideoTag {
    VideoTag {
        codec,
        key,
        packet,
        nano_offset: 0,
        payload_at,
    }
}

fn frame(composition_ms: i32) -> VideoPacket {
    VideoPacket::Frame { composition_ms }
}

#[test]
fn legacy_headers_of_avc_and_hevc() {
    for (id, codec) in [(7, VideoCodec::Avc), (12, VideoCodec::Hevc)] {
        let config = tag(codec, true, VideoPacket::Config, 5);
        assert_eq!(parse(&[0x10 | id, 0, 0, 0, 0, 1]), Ok(config));
        let key = tag(codec, true, frame(80), 5);
        assert_eq!(parse(&[0x10 | id, 1, 0, 0, 80, 1]), Ok(key));
        let inter = tag(codec, false, frame(-2), 5);
        assert_eq!(parse(&[0x20 | id, 1, 0xff, 0xff, 0xfe, 1]), Ok(inter));
        let end = tag(codec, true, VideoPacket::EndOfSequence, 5);
        assert_eq!(parse(&[0x10 | id, 2, 0, 0, 0]), Ok(end));
    }
    let short_end = tag(VideoCodec::Avc, true, VideoPacket::EndOfSequence, 2);
    assert_eq!(parse(&[0x17, 2]), Ok(short_end));
}

#[test]
fn composition_time_spans_24_signed_bits() {
    let largest = tag(VideoCodec::Avc, false, frame(0x7f_ffff), 5);
    assert_eq!(parse(&[0x27, 1, 0x7f, 0xff, 0xff]), Ok(largest));
    let smallest = tag(VideoCodec::Avc, false, frame(-0x80_0000), 5);
    assert_eq!(parse(&[0x27, 1, 0x80, 0, 0]), Ok(smallest));
}

#[test]
fn only_avc_and_hevc_have_a_composition_time_in_coded_frames() {
    let hevc = tag(VideoCodec::Hevc, true, frame(40), 8);
    assert_eq!(parse(b"\x91hvc1\x00\x00\x28x"), Ok(hevc));
    let avc = tag(VideoCodec::Avc, false, frame(40), 8);
    assert_eq!(parse(b"\xa1avc1\x00\x00\x28x"), Ok(avc));
    let without = tag(VideoCodec::Hevc, false, frame(0), 5);
    assert_eq!(parse(b"\xa3hvc1x"), Ok(without));
    let av1 = tag(VideoCodec::Av1, true, frame(0), 5);
    assert_eq!(parse(b"\x91av01x"), Ok(av1));
    let vp9 = tag(VideoCodec::Vp9, true, frame(0), 5);
    assert_eq!(parse(b"\x91vp09"), Ok(vp9));
}

#[test]
fn metadata_has_no_frame_type() {
    let metadata = tag(VideoCodec::Hevc, false, VideoPacket::Metadata, 5);
    assert_eq!(parse(b"\xd4hvc1\x02"), Ok(metadata));
    assert_eq!(parse(b"\x94hvc1\x02"), Ok(metadata));
}

#[test]
fn modifiers_are_skipped_and_their_offset_kept() {
    // An unknown modifier of one byte, then 999 999 ns, then a frame.
    let body = b"\x97\x00\xee\x17\x02\x0f\x42\x3f\x03hvc1x";
    let expected = VideoTag {
        nano_offset: 999_999,
        ..tag(VideoCodec::Hevc, true, frame(0), 13)
    };
    assert_eq!(parse(body), Ok(expected));
    let short_offset = b"\x97\x01\x0f\x42\x03hvc1x";
    assert_eq!(
        parse(short_offset),
        Err(Error::Truncated("timestamp offset"))
    );
}

#[test]
fn one_track_with_id_zero_is_an_ordinary_packet() {
    let config = tag(VideoCodec::Avc, true, VideoPacket::Config, 7);
    assert_eq!(parse(b"\x96\x00avc1\x00\x01"), Ok(config));
    let coded = tag(VideoCodec::Hevc, false, frame(40), 10);
    assert_eq!(parse(b"\xa6\x01hvc1\x00\x00\x00\x28x"), Ok(coded));
}

#[test]
fn other_tracks_are_refused_by_name() {
    let second = Error::Multitrack { track: 1 };
    assert_eq!(parse(b"\x96\x00avc1\x01\x01"), Err(second));
    assert!(second.is_skippable());
    let many = parse(b"\x96\x11avc1\x00\x00\x00\x01x");
    assert_eq!(many, Err(Error::ManyTracks));
    assert_eq!(parse(b"\x96\x21\x00avc1"), Err(Error::ManyTracks));
    assert_eq!(parse(b"\x96\x31"), Err(Error::UnknownMultitrackType(3)));
    // Multitrack inside multitrack.
    let nested = parse(b"\x96\x06avc1\x00x");
    assert_eq!(nested, Err(Error::UnknownPacketType(6)));
}

#[test]
fn commands_and_empty_messages_are_skippable() {
    assert_eq!(parse(&[]), Err(Error::EmptyVideo));
    assert_eq!(parse(&[0x57, 0]), Err(Error::Command));
    assert_eq!(parse(&[0xd1, 0]), Err(Error::Command));
    assert!(Error::Command.is_skippable() && Error::EmptyVideo.is_skippable());
}

#[test]
fn codecs_that_are_not_carried_are_refused_by_name() {
    let name = |body: &[u8]| parse(body).unwrap_err().to_string();
    assert!(name(&[0x12, 0]).contains("Sorenson H.263"));
    assert!(name(&[0x13, 0]).contains("Screen video"));
    assert!(name(&[0x14, 0]).contains("VP6"));
    assert!(name(&[0x15, 0]).contains("VP6 with alpha"));
    assert!(name(&[0x16, 0]).contains("Screen video 2"));
    assert!(name(b"\x90vp08").contains("VP8"));
    assert!(name(b"\x90xyz\x00").contains(r"'xyz\x00'"));
    assert_eq!(parse(&[0x18, 0]), Err(Error::UnknownVideoCodec(8)));
    assert_eq!(parse(&[0x67, 1, 0, 0, 0]), Err(Error::UnknownFrameType(6)));
    assert_eq!(parse(&[0x17, 3, 0, 0, 0]), Err(Error::UnknownPacketType(3)));
    assert!(name(b"\x95av01").contains("MPEG-2 TS"));
    assert!(!Error::UnsupportedVideoCodec("VP8").is_skippable());
}

#[test]
fn every_truncation_of_a_header_is_an_error() {
    for header in [
        &[0x17, 1, 0, 0, 0][..],
        b"\x91hvc1\x00\x00\x00",
        b"\x97\x00\xee\x17\x02\x0f\x42\x3f\x03hvc1",
        b"\xa6\x01hvc1\x00\x00\x00\x28",
    ] {
        assert!(parse(header).is_ok());
        for len in 0..header.len() {
            assert!(parse(&header[..len]).is_err(), "{len} of {header:02x?}");
        }
    }
}
