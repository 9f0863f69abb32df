//! Our chunk reader and handshake beside those of the `rtmp` package (0.6.6): the same bytes into
//! both, the same messages out, and the cases where the package is wrong.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers are test code too"
)]

use bytes::BytesMut;
use rtmp::chunk::unpacketizer::{ChunkUnpacketizer, UnpackResult};
use rtmp::handshake::digest::DigestProcessor;
use weir_protocol::rtmp::Limits;
use weir_protocol::rtmp::StreamId;
use weir_protocol::rtmp::chunk::{ChunkStreamId, MessageKind, Reader, Writer};
use weir_protocol::rtmp::handshake::digest::{self, Layout, Side};
use weir_protocol::rtmp::server::{MediaWriter, PLAY_CHUNK_BYTES};

const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";

/// Chunk stream, message stream, type, 32-bit time and payload.
type Seen = (u32, u32, u8, u32, Vec<u8>);

fn ours(mut input: &[u8]) -> Vec<Seen> {
    let mut reader = Reader::new(Limits::default(), 0);
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input, 0).unwrap() {
        let payload = message.body.as_slice().to_vec();
        let (id, stream) = (message.chunk_stream.0, message.stream_id.0);
        messages.push((
            id,
            stream,
            message.kind.type_id(),
            message.timestamp_ms as u32,
            payload,
        ));
    }
    messages
}

fn theirs(input: &[u8]) -> Vec<Seen> {
    let mut reader = ChunkUnpacketizer::new();
    reader.extend_data(input);
    let mut messages = Vec::new();
    while let Ok(UnpackResult::ChunkInfo(chunk)) = reader.read_chunk() {
        let header = chunk.message_header;
        if header.msg_type_id == 1 {
            let bytes = u32::from_be_bytes(chunk.payload[..4].try_into().unwrap());
            reader.update_max_chunk_size(bytes as usize);
        }
        messages.push((
            chunk.basic_header.chunk_stream_id,
            header.msg_streamd_id,
            header.msg_type_id,
            header.timestamp,
            chunk.payload.to_vec(),
        ));
    }
    messages
}

fn brief(seen: &Seen) -> (u32, u32, u8, u32, usize) {
    (seen.0, seen.1, seen.2, seen.3, seen.4.len())
}

#[track_caller]
fn assert_same(input: &[u8], case: &str) -> usize {
    let (ours, theirs) = (ours(input), theirs(input));
    for (index, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(brief(our), brief(their), "{case}, message {index}");
        assert!(our.4 == their.4, "{case}, payload {index}");
    }
    assert_eq!(ours.len(), theirs.len(), "{case}");
    ours.len()
}

#[test]
fn captures_are_the_same_messages_to_both() {
    for (name, at_least) in [
        ("ffmpeg_audio_only", 40),
        ("ffmpeg_bframes", 30),
        ("ffmpeg_enhanced_hevc_opus", 60),
        ("ffmpeg_extended_timestamp", 15),
        ("ffmpeg_h264_aac", 110),
        ("ffmpeg_play", 5),
        ("obs", 150),
        ("rtmp_package", 121),
    ] {
        let path = format!("{}/tests/data/rtmp/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let count = assert_same(&bytes[1 + 2 * 1536..], name);
        assert!(count >= at_least, "{name}: {count}");
    }
}

#[test]
fn our_writer_is_read_the_same_by_both() {
    for seed in 0..50_u64 {
        let mut state = seed;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut writer = Writer::default();
        let mut wire = BytesMut::new();
        let mut time = 0;
        for _ in 0..60 {
            time += [0, 20, 33, 0x100_0000][random(4)];
            let id = ChunkStreamId([4, 6, 70, 400][random(4)]);
            let kind = [MessageKind::Audio, MessageKind::Video][random(2)];
            let payload = vec![random(256) as u8; 1 + random(700)];
            writer.write(&mut wire, id, kind, StreamId(1), time, &[&payload]);
        }
        assert_eq!(assert_same(&wire, &format!("seed {seed}")), 60);
    }
}

#[test]
fn play_is_read_the_same_by_both() {
    let mut media = MediaWriter::new(StreamId(1));
    let mut wire = Vec::new();
    wire.extend([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
    wire.extend((PLAY_CHUNK_BYTES as u32).to_be_bytes());
    let mut messages = 1;
    for frame in 0..30_u64 {
        let payload = vec![frame as u8; 1 + (frame as usize * 104_729) % (3 * PLAY_CHUNK_BYTES)];
        let time_ms = 0xff_fff0 + frame * 33;
        let between = media.begin(&mut wire, frame % 2 == 0, time_ms, payload.len());
        for (index, chunk) in payload.chunks(PLAY_CHUNK_BYTES).enumerate() {
            if index > 0 {
                between.put(&mut wire);
            }
            wire.extend(chunk);
        }
        messages += 1;
    }
    assert_eq!(assert_same(&wire, "a play"), messages);
}

#[test]
fn digests_are_the_same_to_both() {
    for seed in 0..30_u64 {
        let mut state = seed;
        let random: [u8; 1536] = std::array::from_fn(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        });
        for (side, key) in [(Side::Client, CLIENT_KEY), (Side::Server, SERVER_KEY)] {
            let mut packet = random;
            digest::sign(&mut packet, side, Layout::DigestFirst);
            let (_, ours) = digest::find(&packet, side).unwrap();
            let mut processor = DigestProcessor::new(packet[..].into(), key.into());
            let (theirs, _) = processor
                .read_digest()
                .unwrap_or_else(|_| panic!("seed {seed}"));
            assert_eq!(theirs[..], ours, "seed {seed}");
        }
    }
}

/// 128 bytes of a video message, then a whole audio message, then the rest of the video.
fn interleaved() -> Vec<u8> {
    [
        &[6, 0, 0, 0, 0, 0, 200, 9, 1, 0, 0, 0][..],
        &[7; 128],
        &[4, 0, 0, 0, 0, 0, 10, 8, 1, 0, 0, 0],
        &[8; 10],
        &[0xc6],
        &[7; 72],
    ]
    .concat()
}

/// The package has one payload buffer for all chunk streams. Without overflow checks the length
/// that is left becomes huge instead and the connection hangs.
#[test]
fn the_package_panics_on_interleaved_chunk_streams() {
    let bytes = interleaved();
    let expected = [(4, 1, 8, 0, vec![8; 10]), (6, 1, 9, 0, vec![7; 200])];
    assert_eq!(ours(&bytes), expected);
    let theirs = std::panic::catch_unwind(|| theirs(&bytes));
    assert!(theirs.is_err_and(|panic| {
        panic
            .downcast_ref::<&str>()
            .is_some_and(|text| text.contains("subtract with overflow"))
    }));
}

/// A type 3 header behind a type 0 one adds that header's time (RTMP 1.0 section 5.3.1.2.4), as
/// ffmpeg writes; the package adds nothing.
#[test]
fn the_package_stands_still_on_type_3_behind_type_0() {
    let bytes = [
        &[6, 0, 0, 40, 0, 0, 1, 9, 1, 0, 0, 0][..],
        b"a",
        &[0xc6],
        b"b",
    ]
    .concat();
    let times = |messages: Vec<Seen>| messages.iter().map(|seen| seen.3).collect::<Vec<_>>();
    assert_eq!(times(ours(&bytes)), [40, 80]);
    assert_eq!(times(theirs(&bytes)), [40, 40]);
}

/// Some senders do not repeat an extended timestamp in the chunks that continue a message; the
/// package takes four bytes of payload for it.
#[test]
fn the_package_needs_the_extended_timestamp_repeated() {
    let header = [6, 0xff, 0xff, 0xff, 0, 0, 200, 9, 1, 0, 0, 0, 1, 0, 0, 0];
    let message = |repeated: &[u8]| {
        [
            &header[..],
            &[7; 128],
            &[0xc6],
            repeated,
            &[8; 72],
            &[4, 0, 0, 0],
        ]
        .concat()
    };
    let payload = [[7; 128].as_slice(), &[8; 72]].concat();
    let expected = [(6, 1, 9, 0x100_0000, payload)];
    let (repeated, bare) = (message(&[1, 0, 0, 0]), message(&[]));
    assert_eq!(ours(&repeated)[..], expected);
    assert_eq!(theirs(&repeated)[..], expected);
    assert_eq!(ours(&bare)[..], expected);
    assert_ne!(theirs(&bare)[..], expected);
}
