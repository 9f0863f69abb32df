//! Audio headers of every kind, byte by byte.

use super::*;

fn tag(codec: AudioCodec, packet: AudioPacket, payload_at: usize) -> AudioTag {
    AudioTag {
        codec,
        packet,
        nano_offset: 0,
        payload_at,
    }
}

#[test]
fn legacy_aac() {
    let config = tag(AudioCodec::Aac, AudioPacket::Config, 2);
    assert_eq!(parse(&[0xaf, 0, 0x11, 0x90]), Ok(config));
    let frame = tag(AudioCodec::Aac, AudioPacket::Frame, 2);
    assert_eq!(parse(&[0xa0, 1, 0x21]), Ok(frame));
    assert_eq!(parse(&[0xaf, 2]), Err(Error::UnknownPacketType(2)));
    assert_eq!(parse(&[0xaf]), Err(Error::Truncated("packet type")));
}

#[test]
fn enhanced_packets_of_aac_and_opus() {
    for (fourcc, codec) in [(b"mp4a", AudioCodec::Aac), (b"Opus", AudioCodec::Opus)] {
        for (packet_type, packet) in [
            (0, AudioPacket::Config),
            (1, AudioPacket::Frame),
            (2, AudioPacket::EndOfSequence),
            (4, AudioPacket::MultichannelConfig),
        ] {
            let body = [&[0x90 | packet_type], &fourcc[..], &[1, 2]].concat();
            assert_eq!(parse(&body), Ok(tag(codec, packet, 5)));
        }
    }
    assert_eq!(parse(b"\x93Opus"), Err(Error::UnknownPacketType(3)));
}

#[test]
fn modifiers_and_tracks_are_read_as_in_video() {
    let expected = AudioTag {
        nano_offset: 0x01_0203,
        ..tag(AudioCodec::Opus, AudioPacket::Frame, 12)
    };
    let body = b"\x97\x02\x01\x02\x03\x05\x01Opus\x00x";
    assert_eq!(parse(body), Ok(expected));
    assert_eq!(
        parse(b"\x95\x01mp4a\x01x"),
        Err(Error::Multitrack { track: 1 })
    );
    assert_eq!(parse(b"\x95\x11mp4a\x00"), Err(Error::ManyTracks));
}

#[test]
fn silence_is_skippable() {
    assert_eq!(parse(&[]), Err(Error::Silence));
    assert!(Error::Silence.is_skippable());
}

#[test]
fn codecs_that_are_not_carried_are_refused_by_name() {
    for (format, name) in [
        (0, "PCM"),
        (1, "ADPCM"),
        (2, "MP3"),
        (3, "PCM"),
        (4, "Nellymoser 16 kHz"),
        (5, "Nellymoser 8 kHz"),
        (6, "Nellymoser"),
        (7, "G.711 A-law"),
        (8, "G.711 mu-law"),
        (11, "Speex"),
        (14, "MP3 8 kHz"),
        (15, "native"),
    ] {
        let refused = Err(Error::UnsupportedAudioCodec(name));
        assert_eq!(parse(&[format << 4, 1]), refused);
    }
    for (fourcc, name) in [
        (b"ac-3", "AC-3"),
        (b"ec-3", "E-AC-3"),
        (b".mp3", "MP3"),
        (b"fLaC", "FLAC"),
    ] {
        let body = [&[0x91], &fourcc[..]].concat();
        assert_eq!(parse(&body), Err(Error::UnsupportedAudioCodec(name)));
    }
    assert_eq!(parse(&[0xc0]), Err(Error::UnknownAudioFormat(12)));
    assert_eq!(
        parse(b"\x91avc1"),
        Err(Error::UnknownFourCc(FourCc(*b"avc1")))
    );
}
