//! The chunk reader beside that of the `rtmp` package, on the same bytes as a socket gives them.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rtmp::chunk::unpacketizer::{ChunkUnpacketizer, UnpackResult};
use weir_protocol::rtmp::chunk::{ChunkStreamId, MessageKind, Reader, Writer};
use weir_protocol::rtmp::{Limits, StreamId};

/// Frames in one pass: four seconds of a stream of 3.84 Mbit/s.
const FRAMES: usize = 120;

const FRAME_BYTES: usize = 16_000;

/// What one read of a socket gives.
const READ_BYTES: usize = 16 << 10;

/// Room for the header of an object.
const ROOM: usize = 64;

/// Video messages behind the Set Chunk Size that they are cut by.
fn stream(chunk_bytes: u32) -> Vec<u8> {
    let mut wire = BytesMut::new();
    let mut writer = Writer::default();
    let set = MessageKind::SetChunkSize;
    let field = chunk_bytes.to_be_bytes();
    writer.write(
        &mut wire,
        ChunkStreamId::CONTROL,
        set,
        StreamId(0),
        0,
        &[&field],
    );
    writer.set_chunk_bytes(chunk_bytes as usize);
    let frame = vec![0x17; FRAME_BYTES];
    for index in 0..FRAMES {
        let (id, kind) = (ChunkStreamId::VIDEO, MessageKind::Video);
        writer.write(
            &mut wire,
            id,
            kind,
            StreamId(1),
            index as u64 * 33,
            &[&frame],
        );
    }
    wire.to_vec()
}

/// Bytes of media that our reader finds.
fn ours(wire: &[u8]) -> usize {
    let mut reader = Reader::new(Limits::default(), ROOM);
    let mut bytes = 0;
    for mut input in wire.chunks(READ_BYTES) {
        while let Ok(Some(message)) = reader.read(&mut input, 0) {
            bytes += if message.kind.is_media() {
                message.body.len()
            } else {
                0
            };
        }
    }
    bytes
}

/// Bytes of media that the package's reader finds.
fn theirs(wire: &[u8]) -> usize {
    let mut reader = ChunkUnpacketizer::new();
    let mut bytes = 0;
    for input in wire.chunks(READ_BYTES) {
        reader.extend_data(input);
        while let Ok(UnpackResult::ChunkInfo(chunk)) = reader.read_chunk() {
            match (
                chunk.message_header.msg_type_id,
                chunk.payload.first_chunk::<4>(),
            ) {
                (1, Some(field)) => {
                    reader.update_max_chunk_size(u32::from_be_bytes(*field) as usize);
                }
                _ => bytes += chunk.payload.len(),
            }
        }
    }
    bytes
}

fn chunk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk");
    group.throughput(Throughput::Bytes((FRAMES * FRAME_BYTES) as u64));
    for chunk_bytes in [128, 4096] {
        let wire = stream(chunk_bytes);
        for (name, read) in [
            ("weir", ours as fn(&[u8]) -> usize),
            ("rtmp package", theirs),
        ] {
            assert_eq!(read(&wire), FRAMES * FRAME_BYTES, "{name}");
            group.bench_function(BenchmarkId::new(name, chunk_bytes), |bencher| {
                bencher.iter(|| read(&wire));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, chunk);
criterion_main!(benches);
