//! Chunk headers by byte vectors, limits by name, and any split of any input.

use super::*;
use crate::rtmp::chunk::Writer;
use bytes::BytesMut;

/// What a test looks at: chunk stream, message stream, type, time and payload.
type Seen = (u32, u32, u8, u64, Vec<u8>);

fn seen(message: &Message) -> Seen {
    let payload = message.body.as_slice().to_vec();
    let (chunk_stream, stream) = (message.chunk_stream.0, message.stream_id.0);
    (
        chunk_stream,
        stream,
        message.kind.type_id(),
        message.timestamp_ms,
        payload,
    )
}

fn read_all(reader: &mut Reader, mut input: &[u8]) -> Result<Vec<Seen>, Error> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input, 0)? {
        messages.push(seen(&message));
    }
    assert!(input.is_empty());
    Ok(messages)
}

fn read(input: &[u8]) -> Result<Vec<Seen>, Error> {
    read_all(&mut Reader::new(Limits::default(), 0), input)
}

/// A type 0 header on chunk stream 6, message stream 1.
fn full(time: u32, length: u32, type_id: u8) -> Vec<u8> {
    let mut bytes = vec![6];
    bytes.extend_from_slice(&time.min(0xff_ffff).to_be_bytes()[1..]);
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[type_id, 1, 0, 0, 0]);
    if time >= 0xff_ffff {
        bytes.extend_from_slice(&time.to_be_bytes());
    }
    bytes
}

fn times(input: &[u8]) -> Vec<u64> {
    read(input)
        .unwrap()
        .into_iter()
        .map(|message| message.3)
        .collect()
}

#[test]
fn four_header_types_each_leave_out_what_is_the_same() {
    let input = [
        &full(1000, 2, 9)[..],
        b"aa",
        &[0x46, 0, 0, 40, 0, 0, 3, 8], // type 1: 40 ms later, three bytes of audio
        b"bbb",
        &[0x86, 0, 0, 20], // type 2: 20 ms later
        b"ccc",
        &[0xc6], // type 3: 20 ms later again
        b"ddd",
    ];
    let expected = [
        (6, 1, 9, 1000, b"aa".to_vec()),
        (6, 1, 8, 1040, b"bbb".to_vec()),
        (6, 1, 8, 1060, b"ccc".to_vec()),
        (6, 1, 8, 1080, b"ddd".to_vec()),
    ];
    assert_eq!(read(&input.concat()).unwrap(), expected);
}

#[test]
fn basic_header_has_one_two_or_three_bytes() {
    for (basic, id) in [
        (&[0x02][..], 2),
        (&[0x3f], 63),
        (&[0x00, 0], 64),
        (&[0x00, 255], 319),
        (&[0x01, 0, 0], 64),
        (&[0x01, 0, 1], 320),
        (&[0x01, 255, 255], 65599),
    ] {
        let message = [basic, &[0, 0, 7, 0, 0, 1, 18, 0, 0, 0, 0], b"x"].concat();
        assert_eq!(read(&message).unwrap(), [(id, 0, 18, 7, b"x".to_vec())]);
    }
}

#[test]
fn the_message_stream_id_is_little_endian() {
    let message = [&[3, 0, 0, 0, 0, 0, 1, 20, 1, 2, 0, 0][..], b"x"].concat();
    assert_eq!(read(&message).unwrap()[0].1, 0x201);
}

#[test]
fn type_3_behind_type_0_adds_its_time_again() {
    let input = [&full(40, 1, 9)[..], b"a", &[0xc6], b"b", &[0xc6], b"c"].concat();
    assert_eq!(times(&input), [40, 80, 120]);
}

#[test]
fn a_message_of_several_chunks_continues_with_type_3() {
    let payload: Vec<u8> = (0..300u32).map(|i| i as u8).collect();
    let input = [
        &full(5, 300, 9)[..],
        &payload[..128],
        &[0xc6],
        &payload[128..256],
        &[0xc6],
        &payload[256..],
        // The continuation has added nothing to the time.
        &[0x86, 0, 0, 1],
        &payload[..128],
        &[0xc6],
        &payload[128..256],
        &[0xc6],
        &payload[256..],
    ]
    .concat();
    assert_eq!(
        read(&input).unwrap(),
        [(6, 1, 9, 5, payload.clone()), (6, 1, 9, 6, payload)]
    );
}

#[test]
fn chunk_streams_interleave() {
    let video = [7; 200];
    let audio = [8; 130];
    let input = [
        &full(10, 200, 9)[..],
        &video[..128],
        &[4, 0, 0, 12, 0, 0, 130, 8, 1, 0, 0, 0],
        &audio[..128],
        &[0xc6],
        &video[128..],
        &[0xc4],
        &audio[128..],
    ]
    .concat();
    let expected = [(6, 1, 9, 10, video.to_vec()), (4, 1, 8, 12, audio.to_vec())];
    assert_eq!(read(&input).unwrap(), expected);
}

#[test]
fn extended_timestamp_is_read_in_every_header_type() {
    let time = 0x0100_0000_u32;
    let delta = [0xff, 0xff, 0xff];
    let input = [
        &full(time, 1, 9)[..],
        b"a",
        &[0x46],
        &delta,
        &[0, 0, 1, 9, 0x01, 0, 0, 0], // type 1, a difference of 0x1000000
        b"b",
        &[0x86],
        &delta,
        &[0x01, 0, 0, 0],
        b"c",
        &[0xc6, 0x01, 0, 0, 0],
        b"d",
    ]
    .concat();
    let t = u64::from(time);
    assert_eq!(times(&input), [t, 2 * t, 3 * t, 4 * t]);
}

#[test]
fn extended_timestamp_of_exactly_24_bits_is_extended() {
    let input = [
        &full(0xff_ffff, 1, 9)[..],
        b"a",
        &full(0xff_fffe, 1, 9),
        b"b",
    ]
    .concat();
    assert_eq!(times(&input), [0xff_ffff, 0xff_fffe]);
}

/// Continuations of a message with an extended timestamp, in the three ways of senders.
#[test]
fn continuation_repeats_the_extended_timestamp_or_not() {
    let payload: Vec<u8> = (0..=255).collect();
    let time = 0x0123_4567_u32;
    let message = |repeated: &[u8]| {
        [
            &full(time, 256, 9)[..],
            &payload[..128],
            &[0xc6],
            repeated,
            &payload[128..],
        ]
        .concat()
    };
    let expected = [(6, 1, 9, u64::from(time), payload.clone())];
    assert_eq!(read(&message(&time.to_be_bytes())).unwrap(), expected);
    assert_eq!(read(&message(&[])).unwrap(), expected);

    // A difference in the header, the absolute time in the continuation.
    let start = [&full(1, 1, 9)[..], b"a"].concat();
    let begin = [0x46, 0xff, 0xff, 0xff, 0, 1, 0, 9, 0x01, 0, 0, 0];
    let absolute = 0x0100_0001_u32.to_be_bytes();
    let input = [
        &start,
        &begin[..],
        &payload[..128],
        &[0xc6],
        &absolute,
        &payload[128..],
    ]
    .concat();
    let messages = read(&input).unwrap();
    assert_eq!(messages[1], (6, 1, 9, 0x0100_0001, payload));
}

/// The last bytes of a payload are fewer than a timestamp, and like its beginning.
#[test]
fn short_payload_that_resembles_the_timestamp_stays_payload() {
    let time = 0x0123_4567_u32;
    let mut payload = vec![9; 128];
    payload.extend_from_slice(&[0x01, 0x23]);
    let input = [
        &full(time, 130, 9)[..],
        &payload[..128],
        &[0xc6],
        &payload[128..],
    ]
    .concat();
    let next = [&full(time + 1, 1, 9)[..], b"n"].concat();
    let expected = [
        (6, 1, 9, u64::from(time), payload.clone()),
        (6, 1, 9, u64::from(time) + 1, b"n".to_vec()),
    ];
    let input = [input, next].concat();
    assert_eq!(read(&input).unwrap(), expected);
    for size in 1..input.len() {
        assert_eq!(
            read_in_pieces(&input, size).unwrap(),
            expected,
            "pieces of {size}"
        );
    }
}

#[test]
fn new_message_by_type_3_repeats_an_absolute_extended_time() {
    let time = 0x0123_4567_u32;
    let input = [
        &full(time, 1, 9)[..],
        b"a",
        &[0xc6],
        &time.to_be_bytes(),
        b"b",
    ]
    .concat();
    assert_eq!(times(&input), [u64::from(time); 2]);
}

#[test]
fn time_goes_on_past_24_and_32_bits() {
    let input = [
        &full(0xff_fffe, 1, 9)[..],
        b"a",
        &[0x86, 0, 0, 1],
        b"b",
        &[0x86, 0, 0, 1],
        b"c",
        &full(0xffff_fff0, 1, 9),
        b"d",
    ];
    assert_eq!(
        times(&input.concat()),
        [0xff_fffe, 0xff_ffff, 0x100_0000, 0xffff_fff0]
    );

    let wrap = [
        &full(0xffff_fff0, 1, 9)[..],
        b"a",
        &[0x86, 0, 0, 0x20],
        b"b",
        // The audio of the same message stream, on its own chunk stream, still in front of it.
        &[
            4, 0xff, 0xff, 0xff, 0, 0, 1, 8, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
        ],
        b"c",
        &[0x46, 0, 0, 5, 0, 0, 1, 9],
        b"d",
    ];
    let day_49 = 1u64 << 32;
    assert_eq!(
        times(&wrap.concat()),
        [day_49 - 16, day_49 + 16, day_49 - 1, day_49 + 21]
    );
}

#[test]
fn message_streams_have_their_own_clocks() {
    let other = [5, 0, 0, 9, 0, 0, 1, 9, 2, 0, 0, 0];
    let input = [&full(0xffff_ffff, 1, 9)[..], b"a", &other, b"b"].concat();
    assert_eq!(times(&input), [0xffff_ffff, 9]);
}

#[test]
fn first_byte_time_is_that_of_the_header_s_first_byte() {
    let mut reader = Reader::new(Limits::default(), 0);
    let input = [&full(0, 2, 9)[..], b"ab", &full(0, 1, 9), b"c"].concat();
    let (mut first, mut second, mut third) = (&input[..5], &input[5..13], &input[13..]);
    assert!(reader.read(&mut first, 100).unwrap().is_none());
    assert!(reader.read(&mut second, 200).unwrap().is_none());
    assert_eq!(
        reader.read(&mut third, 300).unwrap().unwrap().first_byte_us,
        100
    );
    assert_eq!(
        reader.read(&mut third, 300).unwrap().unwrap().first_byte_us,
        300
    );
}

#[test]
fn set_chunk_size_holds_from_the_next_chunk_on() {
    let set = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 1, 0];
    let payload = [3; 200];
    let input = [
        &full(0, 200, 9)[..],
        &payload[..128],
        &set,
        // The rest of the video message is shorter than a chunk either way.
        &[0xc6],
        &payload[128..],
        &[0xc6],
        &payload,
    ];
    let messages = read(&input.concat()).unwrap();
    assert_eq!(
        messages
            .iter()
            .map(|message| message.4.len())
            .collect::<Vec<_>>(),
        [4, 200, 200]
    );
}

#[test]
fn abort_forgets_a_partial_message() {
    let mut reader = Reader::new(Limits::default(), 0);
    let abort = [2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 6];
    let begun = [&full(0, 200, 9)[..], &[1; 128]].concat();
    assert_eq!(read_all(&mut reader, &begun).unwrap(), []);
    assert_eq!(reader.partial_bytes(), 200);
    assert_eq!(read_all(&mut reader, &abort).unwrap().len(), 1);
    assert_eq!(reader.partial_bytes(), 0);
    let next = [&full(1, 1, 9)[..], b"x"].concat();
    assert_eq!(
        read_all(&mut reader, &next).unwrap(),
        [(6, 1, 9, 1, b"x".to_vec())]
    );
}

#[test]
fn empty_message_is_complete_with_its_header() {
    let input = [&full(0, 0, 9)[..], &[0xc6], &[0xc6]].concat();
    assert_eq!(read(&input).unwrap().len(), 3);
}

#[test]
fn librtmp_may_begin_a_chunk_stream_with_type_1() {
    let ping = [0x42, 0, 0, 0, 0, 0, 6, 4, 0, 7, 1, 2, 3, 4];
    assert_eq!(read(&ping).unwrap(), [(2, 0, 4, 0, vec![0, 7, 1, 2, 3, 4])]);
}

#[test]
fn each_limit_refuses_by_its_name() {
    let limits = Limits {
        media_bytes: 1000,
        command_bytes: 100,
        chunk_bytes: 500,
        chunk_streams: 2,
        message_streams: 2,
        partial_bytes: 1500,
        ..Limits::default()
    };
    let read = |input: &[u8]| read_all(&mut Reader::new(limits.clone(), 0), input).unwrap_err();
    let too_long = |kind, length, limit| Error::MessageTooLong {
        kind,
        length,
        limit,
    };
    assert_eq!(
        read(&full(0, 1001, 9)),
        too_long(MessageKind::Video, 1001, 1000)
    );
    assert_eq!(
        read(&full(0, 101, 20)),
        too_long(MessageKind::CommandAmf0, 101, 100)
    );
    assert_eq!(
        read(&full(0, 101, 77)),
        too_long(MessageKind::Other(77), 101, 100)
    );

    let set = |bytes: [u8; 4]| read(&[&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &bytes].concat());
    assert_eq!(set([0; 4]), Error::ChunkSize(0, 500));
    assert_eq!(set([0, 0, 1, 245]), Error::ChunkSize(501, 500));
    assert_eq!(set([0x80, 0, 0, 1]), Error::ChunkSize(0x8000_0001, 500));
    let short = [2, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(read(&short), Error::ShortControl(MessageKind::SetChunkSize));

    let on = |id: u8, length: u16, stream: u8| {
        let [high, low] = length.to_be_bytes();
        vec![id, 0, 0, 0, 0, high, low, 9, stream, 0, 0, 0]
    };
    let three = [on(3, 0, 1), on(4, 0, 1), on(5, 0, 1)].concat();
    assert_eq!(read(&three), Error::TooManyChunkStreams(2));
    let three = [on(3, 0, 1), on(3, 0, 2), on(3, 0, 3)].concat();
    assert_eq!(read(&three), Error::TooManyMessageStreams(2));
    let unfinished = [&on(3, 1000, 1)[..], &[0; 128], &on(4, 501, 1)].concat();
    assert_eq!(read(&unfinished), Error::PartialBytes(1501, 1500));

    assert_eq!(read(&[0x83]), Error::NoEarlierHeader(ChunkStreamId(3), 2));
    assert_eq!(read(&[0xc3]), Error::NoEarlierHeader(ChunkStreamId(3), 3));
    let inside = [&full(0, 200, 9)[..], &[0; 128], &full(0, 200, 9)].concat();
    assert_eq!(read(&inside), Error::HeaderInsideMessage(ChunkStreamId(6)));
}

#[test]
fn a_declared_length_alone_allocates_little() {
    let mut reader = Reader::new(Limits::default(), 16);
    read_all(&mut reader, &full(0, 8 << 20, 9)).unwrap();
    let body = reader.streams[0].partial.take().unwrap().body;
    let allocated = body.freeze().try_into_mut().unwrap().capacity();
    assert!(
        allocated <= Limits::default().first_allocation + 16,
        "{allocated}"
    );
}

#[test]
fn an_ordinary_frame_is_allocated_once_with_room_in_front() {
    let mut reader = Reader::new(Limits::default(), 16);
    let frame = vec![5; 100_000];
    let mut wire = BytesMut::new();
    let (id, kind) = (ChunkStreamId::VIDEO, MessageKind::Video);
    Writer::default().write(&mut wire, id, kind, StreamId(1), 0, &[&frame]);
    let (mut head, mut tail) = wire.split_at(200);
    reader.read(&mut head, 0).unwrap();
    let at = reader.streams[0]
        .partial
        .as_ref()
        .unwrap()
        .body
        .as_slice()
        .as_ptr();
    let message = reader.read(&mut tail, 0).unwrap().unwrap();
    assert_eq!(message.body.as_slice().as_ptr(), at);
    assert_eq!(
        (message.body.room(), message.body.as_slice()),
        (16, &frame[..])
    );
}

/// Compares long lists without printing them.
#[track_caller]
fn assert_same(messages: &[Seen], expected: &[Seen], case: &str) {
    let brief = |seen: &Seen| (seen.0, seen.1, seen.2, seen.3, seen.4.len());
    for (index, (message, expected)) in messages.iter().zip(expected).enumerate() {
        assert_eq!(brief(message), brief(expected), "{case}, message {index}");
        assert!(message.4 == expected.4, "{case}, payload {index}");
    }
    assert_eq!(messages.len(), expected.len(), "{case}");
}

fn read_in_pieces(input: &[u8], size: usize) -> Result<Vec<Seen>, Error> {
    let mut reader = Reader::new(Limits::default(), 0);
    let mut messages = Vec::new();
    for piece in input.chunks(size) {
        messages.extend(read_all(&mut reader, piece)?);
    }
    Ok(messages)
}

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Random messages of three chunk streams, written with random chunk sizes.
fn random_stream(random: &mut Random) -> (Vec<u8>, Vec<Seen>) {
    let mut writer = Writer::default();
    let mut wire = BytesMut::new();
    let mut expected = Vec::new();
    let mut time = [0, 0xff_ff00, 0xffff_ff00][random.next(3) as usize];
    for index in 0..40 {
        if random.next(8) == 0 {
            let bytes = 1 + random.next(300) as u32;
            let (id, kind) = (ChunkStreamId::CONTROL, MessageKind::SetChunkSize);
            let field = bytes.to_be_bytes();
            writer.write(&mut wire, id, kind, StreamId(0), 0, &[&field]);
            writer.set_chunk_bytes(bytes as usize);
            expected.push((2, 0, 1, 0, field.to_vec()));
        }
        let step = [0, 1, 33, 33, 33, 0xff_ffff][random.next(6) as usize];
        time += if index == 0 { 0 } else { step };
        let id = [4, 64, 320][random.next(3) as usize];
        let kind = [MessageKind::Audio, MessageKind::Video][random.next(2) as usize];
        let length = [0, 1, 100, 129, 1000][random.next(5) as usize];
        let payload: Vec<u8> = (0..length).map(|_| random.next(256) as u8).collect();
        let (head, tail) = payload.split_at(payload.len() / 3);
        writer.write(
            &mut wire,
            ChunkStreamId(id),
            kind,
            StreamId(1),
            time,
            &[head, tail],
        );
        expected.push((id, 1, kind.type_id(), time, payload));
    }
    (wire.to_vec(), expected)
}

#[test]
fn what_the_writer_writes_is_read_in_pieces_of_any_size() {
    for seed in 0..60 {
        let (wire, expected) = random_stream(&mut Random(seed));
        for size in [1, 2, 3, 7, 128, 1000, usize::MAX] {
            let messages = read_in_pieces(&wire, size).unwrap();
            assert_same(
                &messages,
                &expected,
                &format!("seed {seed}, pieces of {size}"),
            );
        }
    }
}

#[test]
fn a_split_at_every_byte_boundary_changes_nothing() {
    for seed in 100..104 {
        let (wire, expected) = random_stream(&mut Random(seed));
        for at in 0..=wire.len() {
            let mut reader = Reader::new(Limits::default(), 0);
            let mut messages = read_all(&mut reader, &wire[..at]).unwrap();
            messages.extend(read_all(&mut reader, &wire[at..]).unwrap());
            assert_same(&messages, &expected, &format!("seed {seed}, split at {at}"));
        }
    }
}

#[test]
fn arbitrary_bytes_do_not_panic_and_hold_no_more_than_the_limits() {
    for seed in 0..1000 {
        let mut random = Random(seed);
        let (mut wire, _) = random_stream(&mut random);
        for _ in 0..1 + random.next(20) {
            let at = random.next(wire.len() as u64) as usize;
            wire[at] = random.next(256) as u8;
        }
        let limits = Limits {
            partial_bytes: 10_000,
            ..Limits::default()
        };
        let mut reader = Reader::new(limits, 0);
        for piece in wire.chunks(1 + random.next(500) as usize) {
            let mut input = piece;
            while let Ok(Some(_)) = reader.read(&mut input, 0) {}
            assert!(reader.partial_bytes() <= 10_000, "seed {seed}");
        }
    }
}
