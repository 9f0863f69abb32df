//! One run: the events of all actors in the order of their times, and the checks behind each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Once};

use tokio::runtime::Runtime;

use super::chance::Chance;
use super::ledger::Ledger;
use super::source::{Source, TRACKS};
use super::viewer::{Deed, Delivered, Viewer};
use super::wire::{Ack, Frame, Wire};
use crate::clock::virtual_time;
use crate::registry::{self, Registry};
use crate::ring::Limits;
use crate::sender::Fanout;
use crate::stream;

/// How long publishers publish, in microseconds.
const SHOW_US: u64 = 12_000_000;

/// How long everything has then to arrive.
const DRAIN_US: u64 = 40_000_000;

/// How long a stream waits for its publisher.
const LINGER_US: u64 = 1_000_000;

/// How often streams are looked at that wait for theirs.
const SWEEP_US: u64 = 250_000;

/// What a run shows.
pub(super) struct Outcome {
    pub(super) delivered: BTreeMap<u64, Vec<Delivered>>,
    pub(super) sum: Sum,
}

/// How much happened, so that a simulation of nothing is seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) steps: u64,
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) skipped: u64,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) log_max: u64,
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.published += other.published;
        self.delivered += other.delivered;
        self.skipped += other.skipped;
        self.packets += other.packets;
        self.lost += other.lost;
        self.log_max = self.log_max.max(other.log_max);
    }
}

enum Event {
    Publish,
    Sweep,
    Do(usize, Deed),
    Arrive(usize, u64, u64, Frame),
    Ack(usize, u64, Ack),
    Timer(usize, u64),
}

pub(super) struct World {
    now_us: u64,
    end_us: u64,
    runtime: Runtime,
    limits: Limits,
    registry: Registry,
    fanout: Arc<Fanout<Wire>>,
    ledger: Ledger,
    source: Source,
    viewers: Vec<(u64, Viewer)>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    sum: Sum,
}

impl World {
    /// The world of a seed, with those of its viewers that `takes_part` names.
    pub(super) fn new(seed: u64, takes_part: impl Fn(u64) -> bool) -> Self {
        virtual_time::set(START_US);
        // Aliases are the process's; from here on all of them are equally long on the wire.
        static LONG: Once = Once::new();
        LONG.call_once(|| while stream::next_alias() < 1 << 14 {});
        let mut chance = Chance::new(seed, 0);
        let limits = Limits {
            cache_bytes: chance.pick(&[0, 100_000, 2_000_000]),
            cache_us: chance.pick(&[500_000, 2_000_000, 30_000_000]),
            group_bytes: chance.pick(&[300_000, 4_000_000]),
            group_objects: chance.pick(&[40, 10_000]),
            group_subgroups: chance.pick(&[3, 100]),
            open_subgroups: chance.pick(&[2, 8]),
            groups: chance.pick(&[3, 8, 100]),
        };
        let config = registry::Config {
            max_streams: 4,
            cache_bytes: chance.pick(&[usize::MAX, usize::MAX, 1_000_000]),
            stream: stream::Config {
                linger_us: LINGER_US,
                ring: limits,
            },
        };
        let source = Source::new(Chance::new(seed, 1));
        // Now and then more than the pump serves in one go. With one track each: in which order
        // two tracks reach a viewer in the same microsecond depends on how many others there are.
        let (crowd, tracks) = match chance.one_in(50) {
            true => (90, 1),
            false => (chance.between(2, 7), TRACKS.len()),
        };
        let viewers = (0..crowd).filter(|index| takes_part(*index));
        let rate_bps = source.rate_bps();
        let viewers = viewers.map(|index| (index, Viewer::new(seed, index, rate_bps, tracks)));
        let mut world = Self {
            now_us: START_US,
            end_us: START_US + SHOW_US,
            runtime: runtime(),
            limits,
            registry: Registry::new(config, 1),
            fanout: Arc::new(Fanout::new(0)),
            ledger: Ledger::default(),
            source,
            viewers: viewers.collect(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            sum: Sum::default(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.at(START_US, Event::Publish);
        self.at(START_US, Event::Sweep);
        for index in 0..self.viewers.len() {
            for (at_us, deed) in self.viewers[index].1.deeds(SHOW_US) {
                self.at(START_US + at_us, Event::Do(index, deed));
            }
        }
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.queue.push(Reverse((at_us, self.sequence)));
        self.events.insert(self.sequence, event);
        self.sequence += 1;
    }

    pub(super) fn run(mut self) -> Outcome {
        let mut stopped = false;
        while let Some(Reverse((at_us, key))) = self.queue.pop() {
            if at_us > self.end_us + DRAIN_US {
                break;
            }
            if at_us >= self.end_us && !stopped {
                stopped = true;
                self.now_us = self.end_us;
                virtual_time::set(self.now_us);
                self.stop();
            }
            self.now_us = at_us;
            virtual_time::set(at_us);
            let Some(event) = self.events.remove(&key) else {
                continue;
            };
            let touched = match &event {
                Event::Publish | Event::Sweep => None,
                Event::Do(index, _) => Some(*index),
                Event::Arrive(index, ..) | Event::Ack(index, ..) | Event::Timer(index, _) => {
                    Some(*index)
                }
            };
            self.handle(event);
            self.settle(touched);
            self.check(touched);
        }
        self.finish()
    }

    fn handle(&mut self, event: Event) {
        self.sum.steps += 1;
        let now_us = self.now_us;
        match event {
            Event::Publish if now_us < self.end_us => {
                let next = self.source.step(&self.registry, &mut self.ledger, now_us);
                self.at(next, Event::Publish);
            }
            Event::Publish => {}
            Event::Sweep => {
                self.registry.sweep(now_us);
                self.at(now_us + SWEEP_US, Event::Sweep);
            }
            Event::Do(index, deed) => self.act(index, deed),
            Event::Arrive(index, connection, number, frame) => {
                let (_, viewer) = &mut self.viewers[index];
                if viewer.connection != connection || viewer.wire.is_none() {
                    return;
                }
                let ack = viewer.on_frame(number, frame, &self.ledger, now_us);
                let wire = viewer.wire.as_ref();
                let answer = wire.and_then(|wire| wire.answer(now_us));
                if let Some(at_us) = answer {
                    self.at(at_us, Event::Ack(index, connection, ack));
                }
            }
            Event::Ack(index, connection, ack) => {
                let (_, viewer) = &self.viewers[index];
                if let Some(wire) = viewer
                    .wire
                    .as_ref()
                    .filter(|_| viewer.connection == connection)
                {
                    wire.on_ack(ack, now_us);
                }
            }
            Event::Timer(index, connection) => {
                let (_, viewer) = &mut self.viewers[index];
                if viewer.connection != connection {
                    return;
                }
                viewer.timer = false;
                let next = viewer.wire.as_ref().and_then(|wire| wire.on_timer(now_us));
                if let Some(at_us) = next {
                    viewer.timer = true;
                    self.at(at_us, Event::Timer(index, connection));
                }
            }
        }
    }

    fn act(&mut self, index: usize, deed: Deed) {
        let now_us = self.now_us;
        let (_, viewer) = &mut self.viewers[index];
        match deed {
            Deed::Join if now_us < self.end_us => {
                let _context = self.runtime.enter();
                let again = viewer.join(&self.registry, &self.fanout, &mut self.ledger, now_us);
                if again {
                    self.at(now_us + 200_000, Event::Do(index, Deed::Join));
                }
            }
            Deed::Join => {}
            Deed::Leave => viewer.leave(),
            Deed::Update => viewer.update(&self.registry),
            Deed::Stall(stalled) => {
                let ack = viewer.stall(stalled);
                let (at_us, connection) = (now_us + viewer.delay_us(), viewer.connection);
                if let Some(ack) = ack {
                    self.at(at_us, Event::Ack(index, connection, ack));
                }
            }
        }
    }

    /// Lets every task run, and every connection send that an event has touched, until there is
    /// nothing to do any more.
    fn settle(&mut self, touched: Option<usize>) {
        loop {
            self.runtime.block_on(async {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            });
            let mut sent = Vec::new();
            for (index, (_, viewer)) in of(&mut self.viewers, touched) {
                let Some(wire) = &viewer.wire else { continue };
                let connection = viewer.connection;
                for (at_us, number, frame) in wire.transmit(self.now_us) {
                    sent.push((at_us, Event::Arrive(index, connection, number, frame)));
                }
                if !viewer.timer && !wire.is_lost() && !wire.is_quiet() {
                    viewer.timer = true;
                    sent.push((self.now_us + 200_000, Event::Timer(index, connection)));
                }
            }
            if sent.is_empty() {
                return;
            }
            for (at_us, event) in sent {
                self.at(at_us, event);
            }
        }
    }

    fn check(&mut self, touched: Option<usize>) {
        if touched.is_none() {
            let kept = self.ledger.check_rings(&self.limits);
            assert_eq!(self.registry.budget().used(), kept, "the budget's sum");
        }
        let mut again = Vec::new();
        for (index, (_, viewer)) in of(&mut self.viewers, touched) {
            viewer.check(&self.ledger);
            if viewer.poll_done() && viewer.wire.is_some() {
                again.push(index);
            }
        }
        for index in again {
            let later = self.now_us + 300_000;
            self.at(later, Event::Do(index, Deed::Join));
        }
    }

    /// The show is over: no publisher, and networks that let what is left arrive.
    fn stop(&mut self) {
        self.source.stop();
        for index in 0..self.viewers.len() {
            let (_, viewer) = &mut self.viewers[index];
            let ack = viewer.heal();
            let (at_us, connection) = (self.now_us + viewer.delay_us(), viewer.connection);
            self.at(at_us, Event::Ack(index, connection, ack));
        }
    }

    fn finish(mut self) -> Outcome {
        for (_, viewer) in &mut self.viewers {
            viewer.check_arrived();
            let kind = viewer.kind;
            let lost = viewer.wire.as_ref().is_none_or(|wire| wire.is_lost());
            for subscribed in &viewer.subscriptions {
                let name = subscribed.name;
                assert!(
                    subscribed.over || lost,
                    "{kind:?} {name}: not told of the end"
                );
                self.sum.skipped += subscribed.skipped();
            }
            if let Some(wire) = &viewer.wire {
                self.sum.packets += wire.tally().packets;
                self.sum.lost += wire.tally().lost;
            }
            self.sum.delivered += viewer.delivered.len() as u64;
        }
        for book in self.ledger.books.values() {
            self.sum.published += book.entries.len() as u64;
            self.sum.log_max = self.sum.log_max.max(book.log_len());
        }
        for (_, viewer) in &mut self.viewers {
            viewer.leave();
        }
        self.settle(None);
        assert_eq!(Arc::strong_count(&self.fanout), 1, "a pump is left over");
        let delivered = self.viewers.into_iter();
        Outcome {
            delivered: delivered
                .map(|(index, viewer)| (index, in_order(viewer.delivered)))
                .collect(),
            sum: self.sum,
        }
    }
}

/// Tracks that reach a viewer in the same microsecond in the order of their names: which comes
/// first depends on how many other viewers there are, and makes no difference to it.
fn in_order(mut delivered: Vec<Delivered>) -> Vec<Delivered> {
    delivered.sort_by_key(|&(at_us, name, ..)| (at_us, name));
    delivered
}

/// A runtime whose tasks run in an order that depends on who wakes whom and on nothing else: by
/// default the one whose turn it is depends on how many ran before.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.global_queue_interval(u32::MAX);
    builder.event_interval(u32::MAX);
    builder.build().unwrap()
}

/// One of the viewers, or all.
fn of<T>(all: &mut [T], touched: Option<usize>) -> impl Iterator<Item = (usize, &mut T)> {
    let range = touched.map_or(0..all.len(), |one| one..one + 1);
    let first = range.start;
    let some = all[range].iter_mut().enumerate();
    some.map(move |(index, one)| (first + index, one))
}

/// When a world begins: what was before is a number, too.
const START_US: u64 = 5_000_000;
