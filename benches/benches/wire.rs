//! What is read and written once for each request and each arriving object: FLV headers, control
//! messages of each draft, and the objects of a subgroup stream.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{FRAME_BYTES, GROUP_FRAMES};
use weir_protocol::codec::VideoCodec;
use weir_protocol::flv::{mux, video};
use weir_protocol::moqt::message::{Message, StreamRole, Subscribe};
use weir_protocol::moqt::name::{FullTrackName, Namespace};
use weir_protocol::moqt::param::Params;
use weir_protocol::moqt::subgroup::{
    SubgroupEvent, SubgroupHeader, SubgroupId, SubgroupReader, put_object_header,
};
use weir_protocol::moqt::{Version, location::Filter};

/// What arrives at once from a QUIC stream: about the payload of a packet.
const CHUNK_BYTES: usize = 1_200;

/// The header of a video message, as every frame has one.
fn flv(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flv");
    for (name, codec) in [("legacy", VideoCodec::Avc), ("enhanced", VideoCodec::Av1)] {
        let packet = video::VideoPacket::Frame { composition_ms: 0 };
        let mut body = mux::video_header(codec, true, packet).to_vec();
        body.resize(FRAME_BYTES, 0x17);
        group.bench_function(BenchmarkId::new("video header, read", name), |bencher| {
            bencher.iter(|| video::parse(black_box(&body)));
        });
    }
    group.finish();
}

/// A SUBSCRIBE as a player sends it: written, and read.
fn control(criterion: &mut Criterion) {
    let namespace = Namespace::from_path("live/cam");
    let track = namespace.and_then(|name| FullTrackName::new(name, Bytes::from_static(b"video")));
    let Ok(track) = track else {
        return;
    };
    let message = Message::Subscribe(Subscribe {
        request_id: 4,
        track,
        params: Params {
            subscriber_priority: Some(32),
            filter: Some(Filter::NextObject),
            ..Params::default()
        },
    });
    let mut group = criterion.benchmark_group("control");
    for version in [Version::Draft18, Version::Draft19, Version::Draft22] {
        let mut wire = BytesMut::new();
        assert_eq!(
            message.encode(version, StreamRole::Opening, &mut wire),
            Ok(())
        );
        group.bench_function(BenchmarkId::new("SUBSCRIBE, write", version), |bencher| {
            let mut out = BytesMut::new();
            bencher.iter(|| {
                out.clear();
                message.encode(version, StreamRole::Opening, &mut out)
            });
        });
        group.bench_function(BenchmarkId::new("SUBSCRIBE, read", version), |bencher| {
            let mut buf = BytesMut::new();
            bencher.iter(|| {
                buf.extend_from_slice(&wire);
                Message::decode(version, StreamRole::Opening, &mut buf)
            });
        });
    }
    group.finish();
}

/// A group's stream read by a relay or viewer, in pieces as they arrive. Throughput is objects.
fn subgroup(criterion: &mut Criterion) {
    let header = SubgroupHeader {
        alias: 2,
        group: 1_700_000_000_000,
        subgroup: SubgroupId::Zero,
        priority: Some(128),
        properties: true,
        end_of_group: true,
        first_object: true,
    };
    let mut wire = BytesMut::new();
    header.encode(&mut wire);
    for _ in 0..GROUP_FRAMES {
        put_object_header(&mut wire, 0, Some(&[]), FRAME_BYTES as u64, None);
        wire.resize(wire.len() + FRAME_BYTES, 0x17);
    }
    let mut wire = wire.freeze();
    let mut chunks = Vec::new();
    while !wire.is_empty() {
        chunks.push(wire.split_to(CHUNK_BYTES.min(wire.len())));
    }
    let mut group = criterion.benchmark_group("subgroup");
    group.throughput(Throughput::Elements(GROUP_FRAMES));
    group.bench_function("objects, read", |bencher| {
        bencher.iter(|| {
            let mut reader = SubgroupReader::new();
            let mut objects = 0;
            for chunk in &chunks {
                reader.push(chunk.clone());
                while let Ok(Some(event)) = reader.poll() {
                    objects += u64::from(matches!(event, SubgroupEvent::Object { .. }));
                }
            }
            assert_eq!(objects, GROUP_FRAMES);
        });
    });
    group.bench_function("header, write", |bencher| {
        let mut out = BytesMut::with_capacity(SubgroupHeader::LEN_MAX);
        bencher.iter(|| {
            out.clear();
            black_box(&header).encode(&mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, flv, control, subgroup);
criterion_main!(benches);
