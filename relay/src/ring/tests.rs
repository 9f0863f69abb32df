//! The ring's promises, one test each.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use weir_protocol::moqt::Location;

use super::{
    Budget, Limits, OBJECT_BYTES, Object, PushError, Reader, Ring, SubgroupEnd, SubgroupOptions,
    Wake, Writer,
};

const WRITER: Writer = Writer(1);

fn object(id: u64, bytes: usize, complete_us: u64) -> Object {
    Object {
        id,
        wire: Bytes::from(vec![0; bytes]),
        header_len: 0,
        properties: Bytes::new(),
        legacy: None,
        first_byte_us: complete_us,
        complete_us,
    }
}

fn small() -> Limits {
    Limits {
        cache_bytes: 3 * OBJECT_BYTES + 64,
        cache_us: 1_000,
        group_bytes: 4_000,
        group_objects: 4,
        group_subgroups: 3,
        open_subgroups: 4,
        groups: 8,
    }
}

fn reader(ring: &Arc<Ring>) -> (Reader, Arc<Wake>) {
    let wake = Arc::new(Wake::default());
    let mut reader = Reader::new(Arc::clone(ring), Arc::clone(&wake));
    reader.sync();
    (reader, wake)
}

fn ids(reader: &Reader) -> Vec<(u64, usize, bool)> {
    let groups = reader.groups().iter();
    groups
        .map(|group| (group.id, group.objects.len(), group.complete))
        .collect()
}

#[test]
fn reader_sees_what_was_written_and_shares_its_bytes() {
    let ring = Arc::new(Ring::new(small()));
    let (mut reader, _) = reader(&ring);
    ring.begin_group(WRITER, 7).unwrap();
    let first = object(0, 10, 1);
    let address = first.wire.as_ptr();
    ring.push(WRITER, first).unwrap();
    assert!(reader.sync());
    assert!(!reader.sync());
    assert_eq!(ids(&reader), [(7, 1, false)]);
    assert_eq!(reader.groups()[0].objects[0].wire.as_ptr(), address);
    ring.begin_group(WRITER, 8).unwrap();
    assert!(reader.sync());
    assert_eq!(ids(&reader), [(7, 1, true)]);
}

#[test]
fn newest_group_is_whole_whatever_the_budget_and_older_ones_are_dropped_by_bytes() {
    let ring = Arc::new(Ring::new(small()));
    for group in 0..5 {
        ring.begin_group(WRITER, group).unwrap();
        for id in 0..2 {
            ring.push(WRITER, object(id, 300, 1)).unwrap();
        }
    }
    let (reader, _) = reader(&ring);
    assert_eq!(ids(&reader), [(3, 2, true), (4, 2, false)]);
    assert_eq!(ring.bytes(), 4 * (300 + OBJECT_BYTES));
}

#[test]
fn newest_group_with_objects_stays_while_newer_ones_have_only_begun() {
    let ring = Ring::new(small());
    let full = ring.open_subgroup(WRITER, 0, options(0), 0).unwrap();
    // More than may be kept beside the newest.
    let large = object(0, 3 * OBJECT_BYTES, 1);
    ring.push_to(WRITER, 0, &full, large).unwrap();
    let newer = [1, 2, 3].map(|group| ring.open_subgroup(WRITER, group, options(0), 0).unwrap());
    assert_eq!(ring.largest().map(|largest| largest.group), Some(0));
    // It goes when another one has objects.
    ring.push_to(WRITER, 2, &newer[1], object(0, 20, 2))
        .unwrap();
    let all = ring.range(Location::default(), Location::new(9, 9));
    let full = all.iter().filter(|group| !group.objects.is_empty());
    assert_eq!(full.map(|group| group.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn older_groups_are_dropped_by_age() {
    let ring = Arc::new(Ring::new(small()));
    for group in 0..4 {
        ring.begin_group(WRITER, group).unwrap();
        ring.push(WRITER, object(0, 1, group * 600)).unwrap();
    }
    let (reader, _) = reader(&ring);
    assert_eq!(reader.groups()[0].id, 1, "group 0 is 1200 us older than 2");
}

#[test]
fn a_reader_that_slept_through_the_budget_loses_its_group_and_not_its_place() {
    let ring = Arc::new(Ring::new(small()));
    let (mut reader, _) = reader(&ring);
    ring.begin_group(WRITER, 0).unwrap();
    ring.push(WRITER, object(0, 300, 1)).unwrap();
    reader.sync();
    for group in 1..6 {
        ring.begin_group(WRITER, group).unwrap();
        ring.push(WRITER, object(0, 300, 1)).unwrap();
    }
    assert!(reader.sync());
    assert_eq!(ids(&reader), [(4, 1, true), (5, 1, false)]);
}

#[test]
fn older_writer_is_refused_after_a_takeover_and_ids_go_on_upward() {
    let ring = Ring::new(small());
    ring.begin_group(WRITER, 10).unwrap();
    ring.push(WRITER, object(0, 1, 1)).unwrap();
    ring.take_over(Writer(2));
    let refused = ring.push(WRITER, object(1, 1, 1));
    assert_eq!(refused, Err(PushError::Superseded));
    assert_eq!(ring.begin_group(Writer(2), 0), Ok(11));
}

#[test]
fn a_group_without_end_is_refused() {
    let ring = Ring::new(small());
    assert_eq!(ring.push(WRITER, object(0, 1, 1)), Err(PushError::NoGroup));
    ring.begin_group(WRITER, 0).unwrap();
    for id in 0..4 {
        ring.push(WRITER, object(id, 1, 1)).unwrap();
    }
    let refused = ring.push(WRITER, object(4, 1, 1));
    assert_eq!(refused, Err(PushError::GroupTooLarge(4_000, 4)));
    ring.begin_group(WRITER, 1).unwrap();
    let refused = ring.push(WRITER, object(0, 4_000, 1));
    assert!(matches!(refused, Err(PushError::GroupTooLarge(..))));
}

#[test]
fn ended_track_takes_nothing_and_tells_its_readers() {
    let ring = Arc::new(Ring::new(small()));
    let (mut reader, _) = reader(&ring);
    ring.begin_group(WRITER, 0).unwrap();
    ring.end();
    assert!(reader.sync());
    assert!(reader.is_ended());
    assert_eq!(ring.push(WRITER, object(0, 1, 1)), Err(PushError::Ended));
}

#[test]
fn range_is_inclusive_and_clipped_to_what_is_kept() {
    let ring = Ring::new(small());
    for group in 0..2 {
        ring.begin_group(WRITER, group).unwrap();
        for id in 0..3 {
            ring.push(WRITER, object(id, 1, 1)).unwrap();
        }
    }
    let at = |group, object| Location { group, object };
    let range = ring.range(at(0, 1), at(1, 0));
    let ids: Vec<_> = range
        .iter()
        .map(|group| (group.id, group.objects.iter().map(|o| o.id).collect()))
        .collect();
    assert_eq!(ids, [(0, vec![1, 2]), (1, vec![0])]);
    assert_eq!(ring.largest(), Some(at(1, 2)));
}

#[test]
fn largest_is_the_newest_object_even_when_a_newer_group_is_still_empty() {
    let ring = Ring::new(small());
    assert_eq!(ring.largest(), None);
    ring.begin_group(WRITER, 4).unwrap();
    ring.push(WRITER, object(0, 1, 1)).unwrap();
    ring.begin_group(WRITER, 5).unwrap();
    let largest = ring.largest();
    assert_eq!(
        largest,
        Some(Location {
            group: 4,
            object: 0
        })
    );
}

#[test]
fn one_wake_for_many_objects() {
    let ring = Arc::new(Ring::new(small()));
    let (_reader, wake) = reader(&ring);
    assert!(!wake.take(Waker::noop()));
    ring.begin_group(WRITER, 0).unwrap();
    ring.push(WRITER, object(0, 1, 1)).unwrap();
    ring.push(WRITER, object(1, 1, 1)).unwrap();
    assert!(wake.take(Waker::noop()));
    assert!(!wake.take(Waker::noop()));
}

fn options(id: u64) -> SubgroupOptions {
    SubgroupOptions {
        id,
        end_of_group: false,
        ..SubgroupOptions::WHOLE
    }
}

#[test]
fn a_subgroup_that_was_left_is_continued_and_what_it_has_is_refused() {
    let ring = Ring::new(small());
    let first = ring.open_subgroup(WRITER, 3, options(0), 0).unwrap();
    ring.push_to(WRITER, 3, &first, object(0, 10, 1)).unwrap();
    ring.push_to(WRITER, 3, &first, object(1, 10, 1)).unwrap();
    ring.leave_subgroup(3, &first);
    let second = ring.open_subgroup(WRITER, 3, options(0), 1).unwrap();
    assert!(
        Arc::ptr_eq(&first, &second),
        "viewers go on on the same stream"
    );
    let again = ring.push_to(WRITER, 3, &second, object(1, 10, 2));
    assert_eq!(again, Err(PushError::Duplicate));
    let other = ring.push_to(WRITER, 3, &second, object(1, 11, 2));
    assert_eq!(other, Err(PushError::Conflict));
    ring.push_to(WRITER, 3, &second, object(2, 10, 2)).unwrap();
    assert_eq!(
        ring.largest(),
        Some(Location {
            group: 3,
            object: 2
        })
    );
}

#[test]
fn a_subgroup_ends_where_its_reader_has_read_it_all() {
    let ring = Arc::new(Ring::new(small()));
    let (mut reader, wake) = reader(&ring);
    let subgroup = ring.open_subgroup(WRITER, 3, options(0), 0).unwrap();
    ring.push_to(WRITER, 3, &subgroup, object(0, 10, 1))
        .unwrap();
    reader.sync();
    wake.take(Waker::noop());
    ring.end_subgroup(3, &subgroup, SubgroupEnd::Reset(9));
    assert!(wake.take(Waker::noop()) && reader.sync(), "an end is news");
    assert_eq!(subgroup.end_at(0), None);
    assert_eq!(subgroup.end_at(1), Some(SubgroupEnd::Reset(9)));
    assert_eq!(ids(&reader), [(3, 1, false)], "more of it may come");
    ring.open_subgroup(WRITER, 4, options(0), 0).unwrap();
    reader.sync();
    assert_eq!(ids(&reader), [(3, 1, true)]);
}

#[test]
fn subgroups_are_limited_in_a_group_and_the_oldest_open_one_gives_way() {
    let ring = Ring::new(small());
    let oldest = ring.open_subgroup(WRITER, 0, options(0), 0).unwrap();
    for id in 1..3 {
        ring.open_subgroup(WRITER, 0, options(id), 0).unwrap();
    }
    let refused = ring.open_subgroup(WRITER, 0, options(3), 0);
    assert_eq!(refused.map(drop), Err(PushError::TooManySubgroups(3)));
    ring.open_subgroup(WRITER, 1, options(0), 0).unwrap();
    assert_eq!(oldest.end_at(0), None);
    ring.open_subgroup(WRITER, 1, options(1), 0).unwrap();
    assert_eq!(oldest.end_at(0), Some(SubgroupEnd::Reset(2)));
    let late = ring.push_to(WRITER, 0, &oldest, object(0, 1, 1));
    assert_eq!(late, Err(PushError::TooLate));
}

#[test]
fn a_group_older_than_what_is_kept_comes_too_late() {
    let ring = Ring::new(small());
    for group in 10..30 {
        let subgroup = ring.open_subgroup(WRITER, group, options(0), 0).unwrap();
        ring.push_to(WRITER, group, &subgroup, object(0, 90, 1))
            .unwrap();
        ring.end_subgroup(group, &subgroup, SubgroupEnd::Fin);
    }
    let late = ring.open_subgroup(WRITER, 11, options(0), 0);
    assert_eq!(late.map(drop), Err(PushError::TooLate));
    assert!(ring.open_subgroup(WRITER, 9, options(0), 0).is_err());
}

#[test]
fn a_publisher_that_goes_leaves_a_whole_group_whole_and_any_other_cut() {
    let ring = Ring::new(small());
    let cut = ring.open_subgroup(WRITER, 0, options(0), 0).unwrap();
    ring.take_over(Writer(2));
    assert_eq!(cut.end_at(0), Some(SubgroupEnd::Reset(1)));
    let refused = ring.push_to(WRITER, 0, &cut, object(0, 1, 1));
    assert_eq!(refused, Err(PushError::Superseded));
}

#[test]
fn rings_share_a_budget_and_the_largest_gives_way() {
    let kept = |id, bytes, complete_us| object(id, bytes - OBJECT_BYTES, complete_us);
    let budget = Arc::new(Budget::new(9_000));
    let limits = Limits {
        cache_bytes: 30_000,
        group_bytes: 30_000,
        ..small()
    };
    let large = Ring::within(limits, Arc::clone(&budget));
    for group in 0..3 {
        large.begin_group(WRITER, group).unwrap();
        large.push(WRITER, kept(0, 2_700, group)).unwrap();
    }
    assert_eq!((large.bytes(), budget.used()), (8_100, 8_100));
    let other = Ring::within(limits, Arc::clone(&budget));
    other.begin_group(WRITER, 0).unwrap();
    // Beyond the budget, and within its share of it.
    other.push(WRITER, kept(0, 1_800, 5)).unwrap();
    assert_eq!(budget.used(), 9_900);
    // The larger one gives up what is older than its newest two groups.
    large.push(WRITER, kept(1, 600, 6)).unwrap();
    assert_eq!((large.bytes(), budget.used()), (6_000, 7_800));
    let refused = large.push(WRITER, kept(2, 1_800, 7));
    assert_eq!(refused, Err(PushError::OverBudget(0)));
    assert_eq!(budget.hits(), 2);
    drop(large);
    assert_eq!(budget.used(), 1_800);
    assert!(!other.trim());
}

/// A group of one object, which is complete.
fn publish(ring: &Ring, group: u64) {
    let subgroup = ring.open_subgroup(WRITER, group, options(0), 0).unwrap();
    let object = object(0, 1, group);
    ring.push_to(WRITER, group, &subgroup, object).unwrap();
    ring.end_subgroup(group, &subgroup, SubgroupEnd::Fin);
}

#[test]
fn a_group_with_a_high_id_does_not_hold_the_log_of_those_that_come_after_it() {
    const HIGH: u64 = 1 << 40;
    let ring = Arc::new(Ring::new(small()));
    let (mut reader, _) = reader(&ring);
    publish(&ring, HIGH);
    for group in 0..20_000 {
        publish(&ring, group);
        if group % 100 == 0 {
            reader.sync();
        }
    }
    reader.sync();
    let mirror = reader.mirror();
    let log = mirror.end() - mirror.first();
    assert_eq!(mirror.end(), 20_001);
    assert!(log < 1_100, "{log} entries for a handful of objects");
    assert_eq!(reader.groups().back().unwrap().id, 19_999);
    // It is begun anew, and what was known of it is not taken for what it is now.
    publish(&ring, HIGH);
    reader.sync();
    assert_eq!(reader.groups().back().unwrap().id, HIGH);
    let mirror = reader.mirror();
    let log = (mirror.first()..mirror.end()).filter_map(|at| mirror.entry(at));
    let its = log.filter(|entry| entry.group == HIGH && mirror.object(*entry).is_some());
    assert_eq!(its.count(), 1);
}

#[test]
fn what_an_object_takes_beside_its_bytes_counts_against_the_limits() {
    let ring = Ring::new(Limits {
        groups: 1_000,
        ..small()
    });
    (0..100).for_each(|group| publish(&ring, group));
    let first = ring.range(Location::default(), Location::new(100, 0));
    assert!(
        first.len() <= 5,
        "{} groups of a byte are kept",
        first.len()
    );
    assert!(ring.bytes() <= 5 * (1 + OBJECT_BYTES), "{}", ring.bytes());
}
