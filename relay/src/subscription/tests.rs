//! The policy's scenarios, with a ring in miniature and virtual time.

use std::sync::Arc;

use bytes::Bytes;
use weir_protocol::moqt::Location;
use weir_protocol::moqt::location::LAST_OBJECT;

use super::{Action, End, Options, Subscription};
use crate::ring::{Entry, Limits, Object, Reader, Ring, SubgroupOptions, Wake, Writer};

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
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let ring = Arc::new(Ring::new(limits));
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
            self.ring.push(WRITER, object(id, self.now_us)).unwrap();
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
        Self::with(start, false)
    }

    fn waiting_at_end(start: Location) -> Self {
        Self::with(start, true)
    }

    fn with(start: Location, waits_at_end: bool) -> Self {
        let subscription = Subscription::new(Options {
            start,
            end: None,
            waits_at_end,
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
            let mirror = track.reader.mirror();
            let action = self.subscription.next(mirror);
            match action {
                Action::Wait | Action::End(_) => return action,
                Action::Write(entry) => {
                    if budget == 0 {
                        return action;
                    }
                    budget -= 1;
                    self.received.push(Location {
                        group: entry.group,
                        object: mirror.object(entry).unwrap().id,
                    });
                    self.subscription.wrote(1);
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

fn object(id: u64, now_us: u64) -> Object {
    Object {
        id,
        wire: Bytes::from_static(b"object"),
        header_len: 0,
        properties: Bytes::new(),
        legacy: None,
        first_byte_us: now_us,
        complete_us: now_us,
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
    assert_eq!(viewer.log, [] as [&str; 0]);
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
    assert_eq!(action, Action::Write(Entry { group: 0, index: 1 }));
    assert_eq!(
        viewer.subscription.behind_us(track.reader.mirror()),
        18 * SECOND / 10
    );
    track.publish(1);
    viewer.turn(&track, 1);
    assert_eq!(viewer.log, ["skip 19 to 1"]);
    assert_eq!(viewer.received, [at(0, 0), at(1, 0)]);
}

#[test]
fn viewer_whose_group_was_dropped_by_the_ring_goes_on_at_the_newest() {
    let mut track = Track::with(Limits {
        groups: 2,
        ..Limits::default()
    });
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(5);
    viewer.turn(&track, 2);
    track.publish(70);
    viewer.turn(&track, 2);
    let why = "18 of group 0 and all of 1, which were dropped, and all of 2";
    assert_eq!(viewer.log, ["skip 58 to 3"], "{why}");
    assert_eq!(viewer.received[2..], [at(3, 0), at(3, 1)]);
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
}

#[test]
fn subscription_to_a_range_ends_after_it() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    viewer
        .subscription
        .update(true, None, Some(at(0, LAST_OBJECT)));
    track.publish(30);
    assert_eq!(viewer.turn(&track, 99), Action::End(End::Range));
    assert_eq!(viewer.received.len(), 20);
}

#[test]
fn range_that_ends_within_a_group_gives_the_objects_up_to_there() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(0, 0));
    viewer.subscription.update(true, None, Some(at(1, 4)));
    track.publish(20);
    assert_eq!(viewer.turn(&track, 99), Action::Wait);
    track.publish(10);
    assert_eq!(viewer.turn(&track, 99), Action::Wait, "the group goes on");
    track.publish(11);
    assert_eq!(viewer.turn(&track, 99), Action::End(End::Range));
    assert_eq!(viewer.received.last(), Some(&at(1, 4)));
    assert_eq!(viewer.received.len(), 25);
}

#[test]
fn subscription_that_waits_at_its_end_goes_on_with_another_range() {
    let mut track = Track::new();
    let mut viewer = Viewer::waiting_at_end(at(0, 0));
    viewer
        .subscription
        .update(true, None, Some(at(0, LAST_OBJECT)));
    track.publish(30);
    assert_eq!(viewer.turn(&track, 99), Action::Wait);
    assert_eq!(viewer.received.len(), 20);
    viewer
        .subscription
        .update(true, Some(at(1, 0)), Some(at(1, 9)));
    assert_eq!(viewer.turn(&track, 99), Action::Wait);
    assert_eq!(viewer.received.last(), Some(&at(1, 9)));
    assert_eq!(viewer.received.len(), 30);
    track.ring.end();
    track.publish(0);
    assert_eq!(viewer.turn(&track, 99), Action::End(End::Track));
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
fn what_arrives_out_of_order_is_sent_once_and_in_the_order_of_its_arrival() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(7, 1));
    let open = |group, id| {
        let options = SubgroupOptions {
            id,
            ..SubgroupOptions::WHOLE
        };
        track.ring.open_subgroup(WRITER, group, options, 0).unwrap()
    };
    let (late, base, layer) = (open(7, 0), open(8, 0), open(8, 1));
    let arrivals = [
        (7, 0, &late),
        (8, 0, &base),
        (7, 1, &late),
        (8, 2, &layer),
        (8, 1, &base),
    ];
    for (group, id, subgroup) in arrivals {
        let object = object(id, SECOND);
        track.ring.push_to(WRITER, group, subgroup, object).unwrap();
        track.reader.sync();
        viewer.turn(&track, 8);
    }
    assert_eq!(viewer.received, [at(8, 0), at(7, 1), at(8, 2), at(8, 1)]);
    let mut again = Viewer::new(at(8, 0));
    again.turn(&track, 8);
    assert_eq!(again.received, [at(8, 0), at(8, 2), at(8, 1)]);
}

#[test]
fn what_comes_late_for_a_group_that_was_given_up_is_counted_once() {
    let mut track = Track::new();
    let mut viewer = Viewer::new(at(7, 1));
    let open = |group| {
        let options = SubgroupOptions::WHOLE;
        track.ring.open_subgroup(WRITER, group, options, 0).unwrap()
    };
    let (older, newer) = (open(7), open(8));
    let mut publish = |group, id, now_us| {
        let subgroup = if group == 7 { &older } else { &newer };
        let object = object(id, now_us);
        track.ring.push_to(WRITER, group, subgroup, object).unwrap();
        track.reader.sync();
        viewer.turn(&track, usize::from(group == 8));
        viewer.subscription.take_late()
    };
    assert_eq!(publish(7, 0, SECOND), 0, "before what was asked for");
    assert_eq!(publish(7, 1, SECOND), 0);
    assert_eq!(
        publish(8, 0, 9 * SECOND),
        0,
        "the skip counts what is there"
    );
    assert_eq!(publish(7, 2, 9 * SECOND), 1);
    assert_eq!(publish(7, 3, 9 * SECOND), 1);
    assert_eq!(publish(8, 1, 9 * SECOND), 0);
    assert_eq!(viewer.log, ["skip 1 to 8"]);
    assert_eq!(viewer.received, [at(8, 0), at(8, 1)]);
}

#[test]
fn viewer_whose_group_was_dropped_for_ones_that_are_still_empty_gives_it_up() {
    let limits = Limits {
        groups: 2,
        ..Limits::default()
    };
    let mut track = Track::with(limits);
    let mut viewer = Viewer::new(at(0, 0));
    track.publish(2);
    assert!(matches!(viewer.turn(&track, 1), Action::Write(entry) if entry.index == 1));
    for group in [1, 2] {
        let opened = track
            .ring
            .open_subgroup(WRITER, group, SubgroupOptions::WHOLE, 0);
        opened.unwrap();
    }
    track.reader.sync();
    assert_eq!(viewer.turn(&track, 8), Action::Wait);
    assert_eq!(viewer.log, ["skip 1 to 1"]);
}

#[test]
fn viewer_whose_late_group_was_dropped_among_newer_ones_goes_on_at_the_newest() {
    let limits = Limits {
        groups: 2,
        ..Limits::default()
    };
    let mut track = Track::with(limits);
    let mut viewer = Viewer::new(at(0, 0));
    let open = |group| {
        let opened = track
            .ring
            .open_subgroup(WRITER, group, SubgroupOptions::WHOLE, 0);
        opened.unwrap()
    };
    let push = |group, id, subgroup| {
        let object = object(id, SECOND);
        track.ring.push_to(WRITER, group, subgroup, object).unwrap();
    };
    let (newer, late) = (open(5), open(3));
    push(5, 0, &newer);
    push(3, 0, &late);
    push(3, 1, &late);
    push(5, 1, &newer);
    track.reader.sync();
    // It has been sent one object, and the late group waits for its stream.
    assert!(matches!(viewer.turn(&track, 1), Action::Write(entry) if entry.group == 3));
    let newest = open(6);
    push(6, 0, &newest);
    track.reader.sync();
    viewer.turn(&track, 8);
    assert_eq!(viewer.log, ["skip 3 to 6"]);
    assert_eq!(viewer.received, [at(5, 0), at(6, 0)]);
    // Who comes now has missed nothing, and gets what is there.
    let mut joining = Viewer::new(at(0, 0));
    joining.turn(&track, 8);
    assert!(joining.log.is_empty());
    assert_eq!(joining.received, [at(5, 0), at(5, 1), at(6, 0)]);
}
