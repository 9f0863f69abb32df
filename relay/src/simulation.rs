//! The relay's core in virtual time: publishers, rings, policies and pumps as they are, and viewers
//! behind a network that loses, delays and reorders, all from one seed.
//!
//! ```text
//!  source ─► registry, stream, ring ─► pump, policy, sender ─► wire ═ link ═► viewer
//!     │            as they are              as they are        model  model     │
//!     └─► ledger: what was published ◄───────── held against ───────────────────┘
//! ```
//!
//! At every step:
//!
//! - within a group no viewer misses an object, from the first on that it got of a stream;
//! - ids rise, over all publishers of a track;
//! - rings and connections hold no more than their limits;
//! - what was published since a viewer joined was written to it, or skipped with a reason, or
//!   waits because its connection takes no more;
//! - nothing is skipped for a viewer whose network carries everything, but what the ring dropped
//!   before anybody could read it;
//! - who has been replaced publishes nothing.
//!
//! At the end everything that was written has arrived, unless its stream was given up; every
//! subscription is told that its track is over; and a second run with only half of the viewers
//! shows those the same objects in the same microseconds: nobody has any influence on another.
//!
//! # What it found
//!
//! Of the first 530 worlds 18 failed. In the relay, both with publishers over MoQT, who may have
//! several groups open and send them in any order:
//!
//! - The ring drops the oldest group first, which may lie in the log behind newer ones. A viewer
//!   that was about to be sent objects of such a group passed over them unseen: they were not
//!   counted as skipped, and a batch that its stream had begun to take was confirmed at the wrong
//!   place, so that the next group reached it with a hole. It goes on at the newest group now, like
//!   everyone whose objects were dropped ([`subscription`](crate::subscription)).
//! - Two groups that had just begun made the ring drop the newest one with objects, and nobody
//!   could join until the next arrived. It stays now ([`ring`](crate::ring)).
//!
//! - An update that ended a subscription in front of what its stream had half taken left that in
//!   place, and a later one that widened it again was confirmed at the wrong place: the next group
//!   came with a hole. So did a stream that went on behind objects that were passed over. Nothing
//!   follows on such a stream any more ([`sender`](crate::sender)).
//!
//! In the model: a runtime whose tasks' order depends on how many ran before, what a viewer may
//! expect of groups that were dropped before it came, and what may be skipped for a viewer whose
//! first key frame is larger than its connection takes.
//!
//! # Running it
//!
//! `WEIR_SEED=N cargo test --workspace --lib simulation` runs that seed alone; `WEIR_SEEDS=N` as
//! many, from 0; `make simulate` 5000, optimised.

mod chance;
mod ledger;
mod rope;
mod source;
mod viewer;
mod wire;
mod witness;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use world::{Outcome, World};

/// Seeds of an ordinary run of the tests: half a minute on two cores that are busy otherwise.
const SEEDS: u64 = 64;

/// Threads that run seeds: each has its own time.
const THREADS: u64 = 2;

/// A seed is run with all of its viewers and with every other one.
fn run(seed: u64) -> Outcome {
    let all = World::new(seed, |_| true).run();
    let half = World::new(seed, |index| index % 2 == 0).run();
    for (index, alone) in &half.delivered {
        let among = &all.delivered[index];
        let differs = alone
            .iter()
            .zip(among)
            .position(|(alone, among)| alone != among);
        assert!(
            differs.is_none() && alone.len() == among.len(),
            "viewer {index} is influenced by others: {:?} alone, {:?} among them, of {} and {}",
            differs.map(|at| alone[at]),
            differs.map(|at| among[at]),
            alone.len(),
            among.len()
        );
    }
    all
}

#[test]
fn every_seed_keeps_the_relays_promises() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    if let Some(seed) = number("WEIR_SEED") {
        println!("{:?}", run(seed).sum);
        return;
    }
    let seeds = number("WEIR_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let (failed, sum) = (Mutex::new(Vec::new()), Mutex::new(world::Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failed.lock().len() >= 20 {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                        Ok(outcome) => sum.lock().add(&outcome.sum),
                        Err(_) => {
                            println!("WEIR_SEED={seed} fails");
                            failed.lock().push(seed);
                        }
                    }
                }
            });
        }
    });
    println!("{seeds} seeds: {:?}", sum.lock());
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "run one with WEIR_SEED=N: {failed:?}");
}
