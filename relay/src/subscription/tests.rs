//! The policy's scenarios, with a ring in miniature and virtual time.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use weir_protocol::moqt::Location;

use super::{Action, End, Options, Subscription};
use crate::ring::{Limits, Object, Reader, Ring, Wake, Writer};

const SECOND: u64 = 1_000_000;
const WRITER: Writer = Writer(1);

/// A track with a 2 s GOP of 10 objects a second, and a reader of it.
struct Track {
    ring: Arc<Ring>,
    reader: Reader,
    now_us: u64,
    next: u64,
}

impl Track {
    fn new() -> Self {
        let ring = Arc::new(Ring::new(Limits::default()));
        let reader = Reader::new(Arc::clone(&ring), Arc::new(Wake::default()));
        Self {
            ring,
            reader,
            now_us: SECOND,
            next: 0,
        }
    }

    fn publish(&mut self, objects: u64) {
        for _ in 0..objects {
            let id = self.next % 20;
            if id == 0 {
                self.ring.begin_group(WRITER, self.next / 20).unwrap();
            }
            let object = Object {
                id,
                wire: Bytes::from_static(b"object"),
                header_len: 0,
                properties: Bytes::new(),
                legacy: None,
                first_byte_us: self.now_us,
                complete_us: self.now_us,
            };
            self.ring.push(WRITER, object).unwrap();
            self.next += 1;
            self.now_us += SECOND / 10;
        }
        self.reader.sync();
    }
}

/// A viewer that does at most `budget` writes a turn, and notes what it did.
struct Viewer {
    subscription: Subscription,
    log: Vec<String>,
    received: Vec<Location>,
}

impl Viewer {
    fn new(start: Location) -> Self {
        let subscription = Subscription::new(Options {
            start,
            end_group: None,
            forward: true,
            behind_limit_us: SECOND,
        });
        Self {
            subscription,
            log: Vec::new(),
            received: Vec::new(),
        }
    }

    fn turn(&mut self, track: &Track, mut budget: usize) -> Action {
        loop {
            let action = self
                .subscription
                .next(track.reader.groups(), track.reader.is_ended());
            match action {
                Action::Wait | Action::End(_) => return action,
                Action::Open { group, index } => {
                    self.log.push(format!("open {group}+{index}"));
                    self.subscription.opened(group, index);
                }
                Action::Write { group, index } => {
                    if budget == 0 {
                        return action;
                    }
                    budget -= 1;
                    let groups = track.reader.groups();
                    let found = groups.iter().find(|g| g.id == group).unwrap();
                    self.received.push(Location {
                        group,
                        object: found.objects[index].id,
                    });
                    self.subscription.wrote(1);
                }
                Action::Finish { group } => {
                    self.log.push(format!("finish {group}"));
                    self.subscription.finished();
                }
                Action::Skip { group, objects } => {
                    self.log.push(format!("skip {objects} to {group}"));
                    self.subscription.skipped(group);
                }
            }
        }
    }

    /// Within a group, objects come without a hole, from the first one sent on.
    fn assert_no_hole(&self) {
        for pair in self.received.windows(2) {
            let same_group = pair[0].group == pair[1].group;
            let follows = pair[1].object == pair[0].object + 1;
            let restarts = pair[1].group > pair[0].group && pair[1].object == 0;
            assert!(same_group && follows || restarts, "{pair:?}");
        }
    }
}

fn at(group: u64, object: u64) -> Location {
    Location { group, object }
}

#[test]
fn viewer_that_keeps_up_gets_everything_in_order() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    for _ in 0..60 {
        track.publish(1);
        assert_eq!(viewer.turn(&track, 8), Action::Wait);
    }
    assert_eq!(viewer.received.len(), 60);
    viewer.assert_no_hole();
    assert_eq!(
        viewer.log,
        ["open 0+0", "finish 0", "open 1+0", "finish 1", "open 2+0"]
    );
}

#[test]
fn viewer_that_joins_after_the_largest_object_starts_in_the_middle_of_the_group() {
    let mut track = Track::new();
    track.publish(25);
    let mut viewer = Viewer::new(at(1, 5));
    assert_eq!(viewer.turn(&track, 8), Action::Wait);
    track.publish(1);
    viewer.turn(&track, 8);
    assert_eq!(viewer.received, [at(1, 5)]);
    assert_eq!(viewer.log, ["open 1+5"]);
}

#[test]
fn joining_at_the_very_end_of_a_group_goes_on_with_the_next() {
    let mut track = Track::new();
    track.publish(20);
    let mut viewer = Viewer::new(at(0, 20));
    assert_eq!(viewer.turn(&track, 8), Action::Wait);
    track.publish(1);
    viewer.turn(&track, 8);
    assert_eq!(viewer.received, [at(1, 0)]);
}

#[test]
fn slow_viewer_skips_to_the_newest_group_and_never_gets_a_hole() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    for _ in 0..200 {
        track.publish(2);
        viewer.turn(&track, 1);
    }
    viewer.assert_no_hole();
    assert!(viewer.log.iter().any(|line| line.starts_with("skip")));
    let last = viewer.received.last().unwrap();
    let newest = track.reader.groups().back().unwrap().id;
    assert!(last.group + 1 >= newest, "{last:?} of {newest}");
}

#[test]
fn viewer_within_its_limit_is_not_skipped_even_across_groups() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(15);
    viewer.turn(&track, 15);
    track.publish(9);
    viewer.turn(&track, 100);
    assert_eq!(viewer.received.len(), 24);
    assert!(viewer.log.iter().all(|line| !line.starts_with("skip")));
}

#[test]
fn viewer_far_behind_waits_for_a_newer_group_before_it_gives_up_its_own() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(20);
    let action = viewer.turn(&track, 1);
    assert_eq!(action, Action::Write { group: 0, index: 1 });
    assert_eq!(
        viewer.subscription.behind_us(track.reader.groups()),
        18 * SECOND / 10
    );
    track.publish(1);
    viewer.turn(&track, 1);
    assert_eq!(viewer.log, ["open 0+0", "skip 19 to 1", "open 1+0"]);
}

#[test]
fn viewer_whose_group_was_dropped_by_the_ring_goes_on_at_the_newest() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(5);
    viewer.turn(&track, 2);
    let groups: VecDeque<_> = {
        track.publish(40);
        track.reader.groups().iter().skip(2).cloned().collect()
    };
    let action = viewer.subscription.next(&groups, false);
    assert_eq!(
        action,
        Action::Skip {
            group: 2,
            objects: 0
        }
    );
}

#[test]
fn ended_track_is_sent_to_its_last_object_and_then_ends() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(3);
    track.ring.end();
    track.reader.sync();
    assert_eq!(viewer.turn(&track, 8), Action::End(End::Track));
    assert_eq!(viewer.received.len(), 3);
    assert_eq!(viewer.log, ["open 0+0", "finish 0"]);
}

#[test]
fn subscription_with_an_end_group_ends_after_it() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    viewer.subscription.update(true, None, Some(0));
    track.publish(30);
    assert_eq!(viewer.turn(&track, 99), Action::End(End::Range));
    assert_eq!(viewer.received.len(), 20);
}

#[test]
fn paused_subscription_sends_nothing_and_resumes_where_it_is_told() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    viewer.subscription.update(false, None, None);
    track.publish(30);
    assert_eq!(viewer.turn(&track, 8), Action::Wait);
    viewer.subscription.update(true, Some(at(1, 10)), None);
    track.publish(1);
    viewer.turn(&track, 8);
    assert_eq!(viewer.received, [at(1, 10)]);
}

#[test]
fn viewer_that_stops_a_group_gets_the_next_one() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(5);
    viewer.turn(&track, 2);
    assert_eq!(viewer.subscription.refused(track.reader.groups()), 3);
    track.publish(16);
    viewer.turn(&track, 8);
    assert_eq!(viewer.received, [at(0, 0), at(0, 1), at(1, 0)]);
}
