//! What a frame costs once, its properties and headers, and a viewer's times, once per object.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::ingest::{MEDIA_ROOM, ObjectBuilder, build, properties};
use weir_benches::{FRAME_BYTES, FRAME_US};
use weir_protocol::body::Body;
use weir_protocol::moqt::Version;
use weir_relay::clock;
use weir_relay::stats::{Recorder, Stage};

/// Viewers who share a recorder, and so the turns of its windows.
const VIEWERS: u64 = 100;

const KINDS: [(&str, bool); 2] = [("key frame", true), ("frame", false)];

/// The LOC properties alone.
fn loc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loc properties");
    for (name, key) in KINDS {
        let said = properties(3_600_000_000, key);
        let mut block = BytesMut::with_capacity(MEDIA_ROOM);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                block.clear();
                black_box(&said).put(Version::Draft19, &mut block);
                black_box(block.len())
            });
        });
    }
    group.finish();
}

/// Both drafts' headers, from a body that arrived to the object that is published.
fn object(criterion: &mut Criterion) {
    let payload = vec![0x17; FRAME_BYTES];
    let mut group = criterion.benchmark_group("object");
    group.throughput(Throughput::Elements(1));
    for (name, key) in KINDS {
        let mut builder = ObjectBuilder::default();
        let said = properties(3_600_000_000, key);
        group.bench_function(BenchmarkId::new("headers", name), |bencher| {
            bencher.iter_batched(
                || Body::copy_from(MEDIA_ROOM, &payload),
                |body| build(&mut builder, 7, body, black_box(&said)),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("body alone", |bencher| {
        bencher.iter(|| Body::copy_from(MEDIA_ROOM, black_box(&payload)));
    });
    group.finish();
}

/// What a viewer adds to the statistics for one object: the clock once, then three stages.
fn statistics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stats");
    group.bench_function("clock", |bencher| bencher.iter(clock::now_us));
    let mut recorder = Recorder::new(0);
    let mut now_us = 0;
    group.bench_function("one stage", |bencher| {
        bencher.iter(|| {
            now_us += FRAME_US / VIEWERS;
            recorder.record(Stage::Queue, black_box(70 + now_us % 512), now_us);
        });
    });
    let mut recorder = Recorder::new(clock::now_us());
    group.bench_function("an object", |bencher| {
        bencher.iter(|| {
            let now_us = clock::now_us();
            for (stage, micros) in [(Stage::Queue, 70), (Stage::Send, 30), (Stage::Relay, 250)] {
                recorder.record(stage, black_box(micros + now_us % 512), now_us);
            }
            recorder.on_bytes_out(FRAME_BYTES as u64, 1);
        });
    });
    group.finish();
}

criterion_group!(benches, loc, object, statistics);
criterion_main!(benches);
