//! One object to N viewers of a shard, up to the handle that a viewer's stream is given.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::GROUP_FRAMES;
use weir_benches::fanout::{Publisher, Pump};

/// Viewers of a track on one shard.
const VIEWERS: [usize; 3] = [1, 100, 1000];

/// Shards that read a ring; none is the publisher's share alone.
const READERS: [usize; 4] = [0, 1, 2, 8];

/// Throughput is objects written to viewers.
fn fanout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout");
    for viewers in VIEWERS {
        let mut publisher = Publisher::default();
        let mut pump = Pump::new(publisher.ring(), viewers);
        group.throughput(Throughput::Elements(viewers as u64));
        group.bench_function(BenchmarkId::new("viewers", viewers), |bencher| {
            bencher.iter(|| {
                assert_eq!(publisher.publish(), Ok(()));
                let written = pump.pass(|object| drop(black_box(object.wire.clone())));
                assert_eq!(written, viewers);
            });
        });
    }
    group.finish();
}

/// Throughput is objects published. The readers bring their mirrors up to date.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(1));
    for readers in READERS {
        let mut publisher = Publisher::default();
        let ring = publisher.ring();
        let mut pumps: Vec<Pump> = (0..readers).map(|_| Pump::new(ring, 0)).collect();
        group.bench_function(BenchmarkId::new("publish, readers", readers), |bencher| {
            bencher.iter(|| {
                assert_eq!(publisher.publish(), Ok(()));
                for pump in &mut pumps {
                    pump.pass(|_| ());
                }
            });
        });
    }
    group.finish();
}

/// A viewer joins a group that has all of its frames but the last. Throughput is viewers.
fn join(criterion: &mut Criterion) {
    let mut publisher = Publisher::default();
    let mut pump = Pump::new(publisher.ring(), 0);
    for _ in 0..2 * GROUP_FRAMES - 1 {
        assert_eq!(publisher.publish(), Ok(()));
    }
    pump.pass(|_| ());
    let mut group = criterion.benchmark_group("join");
    group.throughput(Throughput::Elements(1));
    group.bench_function("viewers", |bencher| {
        bencher.iter(|| {
            let written = pump.join(|object| drop(black_box(object.wire.clone())));
            assert_eq!(written as u64, GROUP_FRAMES - 1);
        });
    });
    group.finish();
}

criterion_group!(benches, fanout, publish, join);
criterion_main!(benches);
