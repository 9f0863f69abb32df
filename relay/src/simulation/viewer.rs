//! Viewers: how they join, what their networks do, how they misbehave, and what they received.

mod joining;
mod kind;
mod receiving;
mod subscribed;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot::error::TryRecvError;
use weir_loadtest::impair::LinkConfig;
use weir_protocol::moqt::{Location, Namespace};

use kind::KINDS;
pub(super) use kind::{Deed, Kind};
use receiving::Receiving;
use subscribed::Subscribed;

use super::chance::Chance;
use super::ledger::Ledger;
use super::wire::{Ack, Grants, Wire};
use crate::registry::Registry;
use crate::sender::Update;

/// How far a viewer may be behind, in microseconds.
pub(super) const BEHIND_LIMIT_US: u64 = 1_000_000;

/// An object that was delivered: when, of which track, and which.
pub(super) type Delivered = (u64, &'static str, u64, u64);

pub(super) struct Viewer {
    pub(super) kind: Kind,
    chance: Chance,
    seed: u64,
    down: LinkConfig,
    up: LinkConfig,
    grants: Grants,
    /// How many of the tracks it wants.
    tracks: usize,
    pub(super) wire: Option<Arc<Wire>>,
    pub(super) timer: bool,
    pub(super) subscriptions: Vec<Subscribed>,
    receiving: BTreeMap<u64, Receiving>,
    consumed: u64,
    ended_streams: u64,
    stalled: bool,
    /// Connections of this viewer so far: what is on its way for an older one is not its own.
    pub(super) connection: u64,
    pub(super) delivered: Vec<Delivered>,
}

impl Viewer {
    pub(super) fn new(seed: u64, index: u64, rate_bps: u64, tracks: usize) -> Self {
        let mut chance = Chance::new(seed, 1_000 + index);
        let kind = chance.pick(&KINDS);
        let (down, up, grants) = kind.network(&mut chance, rate_bps);
        Self {
            kind,
            seed: chance.bits(),
            chance,
            down,
            up,
            grants,
            tracks,
            wire: None,
            timer: false,
            subscriptions: Vec::new(),
            receiving: BTreeMap::new(),
            consumed: 0,
            ended_streams: 0,
            stalled: false,
            connection: 0,
            delivered: Vec::new(),
        }
    }

    /// What it will do, and when.
    pub(super) fn deeds(&mut self, end_us: u64) -> Vec<(u64, Deed)> {
        let chance = &mut self.chance;
        let joins_us = chance.between(0, end_us / 2);
        let mut deeds = vec![(joins_us, Deed::Join)];
        match self.kind {
            Kind::Stalls => {
                let from_us = joins_us + chance.between(100_000, 3_000_000);
                deeds.push((from_us, Deed::Stall(true)));
                if chance.one_in(2) {
                    let to_us = from_us + chance.between(100_000, 5_000_000);
                    deeds.push((to_us, Deed::Stall(false)));
                }
            }
            Kind::Fickle => {
                for _ in 0..chance.between(1, 12) {
                    deeds.push((chance.between(joins_us, end_us), Deed::Update));
                }
            }
            Kind::Perfect | Kind::Rough | Kind::Slow => {}
            Kind::Blackhole | Kind::Stingy | Kind::Picky => {}
        }
        if chance.one_in(4) {
            let leaves_us = chance.between(joins_us, end_us);
            deeds.push((leaves_us, Deed::Leave));
            if chance.one_in(2) {
                deeds.push((chance.between(leaves_us, end_us), Deed::Join));
            }
        }
        deeds
    }

    pub(super) fn leave(&mut self) {
        if let Some(wire) = self.wire.take() {
            // The connection closes before its session is gone, or after.
            match self.chance.one_in(2) {
                true => {
                    wire.lose();
                    self.subscriptions.clear();
                }
                false => {
                    self.subscriptions.clear();
                    wire.lose();
                }
            }
        }
        self.subscriptions.clear();
        self.receiving.clear();
        (self.consumed, self.ended_streams) = (0, 0);
        self.timer = false;
    }

    pub(super) fn stall(&mut self, stalled: bool) -> Option<Ack> {
        self.stalled = stalled;
        (!stalled).then(|| self.ack(None, None))
    }

    /// The network is as good as it gets, and everything is read.
    pub(super) fn heal(&mut self) -> Ack {
        let perfect = LinkConfig::delayed(self.down.delay);
        (self.down, self.up) = (perfect.clone(), perfect.clone());
        (self.stalled, self.grants.streams) = (false, 10_000);
        self.grants.credit = 1 << 30;
        if let Some(wire) = &self.wire {
            wire.heal(perfect);
        }
        self.ack(None, None)
    }

    /// A REQUEST_UPDATE: pause, go on, another start, another end.
    pub(super) fn update(&mut self, registry: &Registry) {
        let name = Namespace::from_path("live/cam").unwrap();
        let Some(stream) = registry.stream(&name) else {
            return;
        };
        for subscribed in &mut self.subscriptions {
            let track = stream.track(subscribed.name.as_bytes());
            let largest = track.and_then(|track| track.ring.largest());
            let restart = largest.filter(|_| self.chance.one_in(3));
            // What is being written may be behind it.
            let end = largest.filter(|_| self.chance.one_in(3)).map(|largest| {
                let back = self.chance.below(3);
                Location::new(largest.group.saturating_sub(back), self.chance.below(8))
            });
            subscribed.changed = true;
            subscribed.handle.update(Update {
                forward: !self.chance.one_in(3),
                restart,
                end,
                subscriber_priority: self.chance.below(256) as u8,
            });
        }
    }

    /// How long the way to the viewer is.
    pub(super) fn delay_us(&self) -> u64 {
        crate::clock::micros(self.down.delay)
    }

    /// Looks whether subscriptions are over.
    pub(super) fn poll_done(&mut self) -> bool {
        let mut any = false;
        for subscribed in &mut self.subscriptions {
            let over = !matches!(subscribed.done.try_recv(), Err(TryRecvError::Empty));
            any |= over && !subscribed.over;
            subscribed.over |= over;
        }
        any
    }

    /// The accounts of each subscription: what was published for it was written, skipped with a
    /// reason, or waits for room.
    pub(super) fn check(&mut self, ledger: &Ledger) {
        let Some(wire) = &self.wire else { return };
        if wire.is_lost() {
            return;
        }
        for subscribed in &mut self.subscriptions {
            subscribed.follow(ledger);
            if subscribed.changed || subscribed.over {
                continue;
            }
            subscribed.check(wire, self.kind, &ledger.books[&subscribed.alias]);
        }
    }

    /// At the end, with a good network: everything that was written has arrived, or its stream
    /// was given up.
    pub(super) fn check_arrived(&self) {
        let Some(wire) = self.wire.as_ref().filter(|wire| !wire.is_lost()) else {
            return;
        };
        assert!(
            wire.is_quiet(),
            "{:?}: something is still on its way",
            self.kind
        );
        assert_eq!(wire.tally().abandoned, 0, "a stream without an end");
        for (id, objects, given_up, acked) in wire.streams() {
            let receiving = self.receiving.get(&id);
            let arrived = receiving.map_or(0, |stream| stream.witness.objects.len());
            let whole = arrived == objects && acked;
            let kind = self.kind;
            assert!(
                given_up || whole,
                "{kind:?}: stream {id}: {arrived} of {objects} arrived, ended: {acked}"
            );
        }
    }
}
