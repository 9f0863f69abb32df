//! What a frame costs in memory: one allocation and one copy when it comes in, and nothing for
//! each viewer it goes out to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers are test code too"
)]

#[path = "allocations/counting.rs"]
mod counting;

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use counting::{Tally, counted};
use weir_benches::fanout::{Publisher, Pump};
use weir_benches::ingest::{MEDIA_ROOM, ObjectBuilder, build, properties};
use weir_benches::{FRAME_BYTES, GROUP_FRAMES};
use weir_protocol::flv;
use weir_protocol::rtmp::chunk::{ChunkStreamId, Message, MessageKind, Reader, Writer};
use weir_protocol::rtmp::{Limits, StreamId};
use weir_relay::ring::Object;
use weir_relay::stats::{Recorder, Stage};

/// Objects of a run, in five groups.
const OBJECTS: usize = 5 * GROUP_FRAMES as usize;

/// Objects before that, in two groups: lists and histograms reach their size.
const WARM_UP: usize = 2 * GROUP_FRAMES as usize;

/// Bytes that the reference count of an object may take, its second allocation.
const COUNT_BYTES: usize = 64;

/// Hands an object over as chunks of a stream.
type Write = fn(&Object, &mut Vec<Bytes>);

fn write_newest_draft(object: &Object, chunks: &mut Vec<Bytes>) {
    chunks.push(object.wire.clone());
}

fn write_oldest_draft(object: &Object, chunks: &mut Vec<Bytes>) {
    chunks.push(object.legacy.as_ref().unwrap().header.clone());
    chunks.push(object.payload());
}

/// What the other two must not do.
fn write_a_copy(object: &Object, chunks: &mut Vec<Bytes>) {
    chunks.push(Bytes::copy_from_slice(&object.wire));
}

/// What a run cost, and the bytes handed over that are not those that were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    tally: Tally,
    copied_bytes: usize,
}

/// Serves [`OBJECTS`] to `viewers`, and counts neither what is set up nor the [`WARM_UP`].
fn fan_out(viewers: usize, write: Write) -> Cost {
    let mut publisher = Publisher::default();
    let mut pump = Pump::new(publisher.ring(), viewers);
    let mut recorder = Recorder::new(0);
    let mut chunks = Vec::with_capacity(8);
    let published = addresses(publisher.object());
    let mut run = |objects: usize| {
        let mut copied_bytes = 0;
        for _ in 0..objects {
            publisher.publish().unwrap();
            let written = pump.pass(|object| {
                write(object, &mut chunks);
                for chunk in chunks.drain(..) {
                    let shared = published.contains(&(chunk.as_ptr() as usize));
                    copied_bytes += if shared { 0 } else { chunk.len() };
                }
                for stage in [Stage::Queue, Stage::Send, Stage::Relay] {
                    recorder.record(stage, 100, object.complete_us);
                }
            });
            assert_eq!(written, viewers);
        }
        copied_bytes
    };
    run(WARM_UP);
    let (tally, copied_bytes) = counted(|| run(OBJECTS));
    Cost {
        tally,
        copied_bytes,
    }
}

/// The addresses of an object's headers and payload.
fn addresses(object: &Object) -> Range<usize> {
    let first = object.legacy.as_ref().unwrap().header.as_ptr() as usize;
    first..object.wire.as_ptr_range().end as usize
}

/// What [`OBJECTS`] cost for the second hundred of two hundred viewers: allocations, bytes of them,
/// and bytes copied.
fn cost_of_hundred_more(write: Write) -> [usize; 3] {
    let (hundred, two) = (fan_out(100, write), fan_out(200, write));
    [
        two.tally.allocations - hundred.tally.allocations,
        two.tally.bytes - hundred.tally.bytes,
        two.copied_bytes - hundred.copied_bytes,
    ]
}

#[test]
fn an_object_costs_no_allocation_and_no_copy_for_each_viewer() {
    assert_eq!(cost_of_hundred_more(write_newest_draft), [0; 3]);
    assert_eq!(cost_of_hundred_more(write_oldest_draft), [0; 3]);
}

#[test]
fn a_viewer_who_is_given_copies_is_caught() {
    let [allocations, bytes, copied] = cost_of_hundred_more(write_a_copy);
    assert!(allocations >= 100 * OBJECTS, "{allocations}");
    assert!(bytes >= 100 * OBJECTS * FRAME_BYTES, "{bytes}");
    assert!(copied >= 100 * OBJECTS * FRAME_BYTES, "{copied}");
}

#[test]
fn an_object_costs_the_shard_less_than_one_allocation() {
    let Cost { tally, .. } = fan_out(100, write_newest_draft);
    // The lists of the ring and of the mirror grow with each group.
    assert!(tally.allocations < OBJECTS / 2, "{tally:?}");
}

/// Video messages of `FRAME_BYTES` in chunks of `chunk_bytes`, as a publisher sends them.
fn video(chunk_bytes: usize, messages: u64) -> BytesMut {
    let mut wire = BytesMut::new();
    let mut writer = Writer::default();
    let size = u32::try_from(chunk_bytes).unwrap().to_be_bytes();
    let (id, kind) = (ChunkStreamId::CONTROL, MessageKind::SetChunkSize);
    writer.write(&mut wire, id, kind, StreamId(0), 0, &[&size]);
    writer.set_chunk_bytes(chunk_bytes);
    // An inter frame of AVC, presented when it is decoded.
    let tag = [0x27, 1, 0, 0, 0];
    let payload = [0x41; FRAME_BYTES];
    let (id, kind) = (ChunkStreamId::VIDEO, MessageKind::Video);
    for message in 0..messages {
        let time_ms = message * 33;
        writer.write(&mut wire, id, kind, StreamId(1), time_ms, &[&tag, &payload]);
    }
    wire
}

/// The next video message of `wire`, read `read_bytes` at a time from `at` on.
fn next_video(reader: &mut Reader, wire: &[u8], at: &mut usize, read_bytes: usize) -> Message {
    loop {
        let end = wire.len().min(*at + read_bytes);
        let mut input = &wire[*at..end];
        assert!(!input.is_empty(), "the wire ended before the message did");
        let message = reader.read(&mut input, 0).unwrap();
        *at = end - input.len();
        if let Some(message) = message.filter(|message| message.kind == MessageKind::Video) {
            return message;
        }
    }
}

fn object(builder: &mut ObjectBuilder, mut message: Message) -> Object {
    let tag = flv::video::parse(message.body.as_slice()).unwrap();
    message.body.advance(tag.payload_at);
    let said = properties(message.timestamp_ms * 1000, tag.key);
    build(builder, 1, message.body, &said)
}

#[test]
fn a_frame_is_allocated_and_copied_once() {
    for (chunk_bytes, read_bytes) in [(128, 16 << 10), (128, 1), (4096, 1460), (65_536, 64 << 10)] {
        let case = format!("chunks of {chunk_bytes}, reads of {read_bytes}");
        let wire = video(chunk_bytes, 4);
        let mut reader = Reader::new(Limits::default(), MEDIA_ROOM);
        let mut builder = ObjectBuilder::default();
        let mut at = 0;
        for _ in 0..2 {
            let message = next_video(&mut reader, &wire, &mut at, read_bytes);
            object(&mut builder, message);
        }
        let (read, message) = counted(|| next_video(&mut reader, &wire, &mut at, read_bytes));
        assert_eq!(read.allocations, 1, "{case}");
        // One buffer for all of the message: its payload has no place to be copied to again.
        assert_eq!(read.bytes, MEDIA_ROOM + message.body.len(), "{case}");
        let body = message.body.as_slice().as_ptr_range();
        let (built, object) = counted(|| object(&mut builder, message));
        assert!(built.allocations <= 1, "{case}: {built:?}");
        assert!(built.bytes <= COUNT_BYTES, "{case}: {built:?}");
        let payload = object.payload();
        assert_eq!(payload, [0x41; FRAME_BYTES][..], "{case}");
        assert_eq!(payload.as_ptr_range().end, body.end, "{case}");
        let (published, ()) = counted(|| drop((object.wire.clone(), object.payload())));
        assert_eq!(published, Tally::default(), "{case}");
    }
}
