//! How a viewer joins: a connection, and a subscription to each track.

use std::sync::Arc;

use weir_protocol::moqt::{Filter, GroupOrder, Location, Namespace, Version};

use super::subscribed::Subscribed;
use super::{BEHIND_LIMIT_US, Viewer};
use crate::registry::Registry;
use crate::sender::{Fanout, ViewerOptions};
use crate::simulation::ledger::Ledger;
use crate::simulation::source::TRACKS;
use crate::simulation::wire::Wire;
use crate::stream::{Stream, Track, ViewerCounters};
use crate::subscription::Options;

impl Viewer {
    /// Subscribes to what it has not. Returns whether it has to come again.
    pub(in crate::simulation) fn join(
        &mut self,
        registry: &Registry,
        fanout: &Arc<Fanout<Wire>>,
        ledger: &mut Ledger,
        now_us: u64,
    ) -> bool {
        if self.wire.as_ref().is_none_or(|wire| wire.is_lost()) {
            self.leave();
            self.connection += 1;
            let seed = self.seed.wrapping_add(self.connection);
            let (down, up) = (self.down.clone(), self.up.clone());
            self.wire = Some(Arc::new(Wire::new(down, up, seed, self.grants, now_us)));
        }
        let Some(wire) = self.wire.clone() else {
            return true;
        };
        self.subscriptions.retain(|subscribed| !subscribed.over);
        let name = Namespace::from_path("live/cam").unwrap();
        let Some(stream) = registry.stream(&name) else {
            return true;
        };
        for track_name in TRACKS.into_iter().take(self.tracks) {
            let has = |subscribed: &Subscribed| subscribed.name == track_name;
            if self.subscriptions.iter().any(has) {
                continue;
            }
            let track = stream.track(track_name.as_bytes());
            let Some(track) = track.filter(|track| !track.ring.is_ended()) else {
                continue;
            };
            self.subscribe(&stream, &track, track_name, &wire, fanout, ledger);
        }
        self.subscriptions.len() < self.tracks
    }

    fn subscribe(
        &mut self,
        stream: &Arc<Stream>,
        track: &Arc<Track>,
        name: &'static str,
        wire: &Arc<Wire>,
        fanout: &Arc<Fanout<Wire>>,
        ledger: &mut Ledger,
    ) {
        let largest = track.ring.largest();
        let start = self.start(track.replayed, largest);
        let counters = Arc::<ViewerCounters>::default();
        let options = ViewerOptions {
            connection: Arc::clone(wire),
            version: Version::Draft19,
            alias: track.alias,
            subscription: Options {
                start,
                end: None,
                waits_at_end: self.seed & 2 == 0,
                forward: true,
                behind_limit_us: BEHIND_LIMIT_US,
            },
            subscriber_priority: 128,
            group_order: self
                .chance
                .pick(&[GroupOrder::Ascending, GroupOrder::Descending]),
            counters: Arc::clone(&counters),
            join: None,
        };
        let Some(book) = ledger.books.get_mut(&track.alias) else {
            panic!("a track without a book");
        };
        let (next, start) = book.begin((start.group, start.object));
        let (handle, done) = fanout.subscribe(stream, track, options);
        self.subscriptions.push(Subscribed {
            name,
            alias: track.alias,
            handle,
            done,
            counters,
            start,
            expected: 0,
            next,
            caught_up: None,
            doubled: false,
            written_before: wire.written(track.alias),
            unread_before: book.unread,
            changed: false,
            over: false,
        });
    }

    fn start(&mut self, whole: bool, largest: Option<Location>) -> Location {
        let newest = largest.map(|largest| Location::new(largest.group, 0));
        let filter = match self.chance.below(4) {
            0 => Filter::NextObject,
            1 => Filter::NextObject,
            2 => Filter::Absolute {
                start: Location::new(largest.map_or(0, |largest| largest.group + 1), 0),
                end: None,
            },
            _ => Filter::Unfiltered,
        };
        match newest.filter(|_| whole || self.chance.one_in(2)) {
            Some(newest) => newest,
            None => filter.start(largest),
        }
    }
}
