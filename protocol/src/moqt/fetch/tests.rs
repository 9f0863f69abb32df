//! FETCH streams: vectors, round trips, every split.

use bytes::Bytes;

use super::*;
use crate::moqt::location::{GroupOrder, Location};

use GroupOrder::{Ascending, Descending};

fn read<'a>(
    order: GroupOrder,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<FetchEvent>, DataError> {
    let mut reader = FetchReader::new(order);
    let mut events = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = reader.poll()? {
            events.push(event);
        }
    }
    reader.finish().map(|()| events)
}

fn read_at_every_split(order: GroupOrder, stream: &[u8]) -> Result<Vec<FetchEvent>, DataError> {
    let whole = read(order, [stream]);
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(read(order, [left, right]), whole, "split at {cut}");
    }
    assert_eq!(read(order, stream.chunks(1)), whole, "byte by byte");
    whole
}

fn object(
    (group, object): (u64, u64),
    subgroup: Option<u64>,
    priority: u8,
    properties: &'static [u8],
    payload: &'static [u8],
) -> FetchEvent {
    FetchEvent::Object {
        location: Location::new(group, object),
        subgroup,
        priority,
        properties: Bytes::from_static(properties),
        payload: Bytes::from_static(payload),
    }
}

#[test]
fn the_vectors_are_written_and_read() {
    let mut stream = Vec::new();
    FetchHeader { request_id: 2 }.encode(&mut stream);
    assert_eq!(stream, [5, 2]);
    let mut writer = FetchObjectWriter::new(Ascending);
    let mut first = Vec::new();
    writer
        .put(&mut first, 4, 0, 0, 0, Some(&[2, 0x40]), 1)
        .unwrap();
    assert_eq!(first, [0x3c, 4, 0, 0, 2, 2, 0x40, 1]);
    let mut next = Vec::new();
    writer.put(&mut next, 4, 0, 1, 0, Some(&[]), 2).unwrap();
    assert_eq!(next, [0x20, 0, 2]);
    stream.extend(first);
    stream.push(b'a');
    stream.extend(next);
    stream.extend(b"bc");
    let events = [
        FetchEvent::Header(FetchHeader { request_id: 2 }),
        object((4, 0), Some(0), 0, &[2, 0x40], b"a"),
        object((4, 1), Some(0), 0, b"", b"bc"),
    ];
    assert_eq!(read_at_every_split(Ascending, &stream), Ok(events.into()));
    let empty = read_at_every_split(Ascending, &[5, 2]);
    assert_eq!(empty.map(|events| events.len()), Ok(1));
}

/// Group, subgroup, object, priority.
type Row = (u64, u64, u64, u8);

fn round_trip(order: GroupOrder, rows: &[Row]) {
    let mut stream = Vec::new();
    FetchHeader { request_id: 0 }.encode(&mut stream);
    let mut writer = FetchObjectWriter::new(order);
    for &(group, subgroup, object, priority) in rows {
        let put = writer.put(&mut stream, group, subgroup, object, priority, None, 1);
        put.unwrap();
        stream.push(b'p');
    }
    let events = read_at_every_split(order, &stream).unwrap();
    let expected = rows.iter().map(|&(group, subgroup, id, priority)| {
        object((group, id), Some(subgroup), priority, b"", b"p")
    });
    assert_eq!(events[1..], expected.collect::<Vec<_>>());
}

#[test]
fn objects_round_trip_in_both_orders() {
    let group = |group| {
        [
            (group, 0, 0, 128),
            (group, 0, 1, 128),
            (group, 7, 2, 128),
            (group, 7, 5, 0),
            (group, 8, 6, 0),
            (group, 3, 300, 255),
        ]
    };
    let ascending = [0, 1, 300, u64::MAX].map(group);
    round_trip(Ascending, &ascending.concat());
    let descending = [u64::MAX, 300, 299, 0].map(group);
    round_trip(Descending, &descending.concat());
}

#[test]
fn random_objects_round_trip() {
    for seed in 0..200_u64 {
        let mut state = seed;
        let mut next = |end: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % end
        };
        let mut rows = Vec::new();
        let mut at = Location::new(next(5), next(5));
        for _ in 0..next(20) {
            rows.push((at.group, next(3), at.object, next(2) as u8));
            at = match next(3) {
                0 => Location::new(at.group + 1 + next(200), next(200)),
                _ => Location::new(at.group, at.object + 1 + next(3)),
            };
        }
        println!("seed {seed}");
        round_trip(Ascending, &rows);
    }
}

#[test]
fn ranges_stand_between_objects_and_objects_refer_across_them() {
    let mut stream = vec![5, 0];
    let mut writer = FetchObjectWriter::new(Ascending);
    let unknown = RangeKind::Unknown;
    let end = Location::new(3, 9);
    writer.put_range_end(&mut stream, unknown, end).unwrap();
    assert_eq!(stream[2..], [0x81, 0x0c, 3, 9]);
    writer.put(&mut stream, 3, 1, 10, 7, None, 0).unwrap();
    let gap = RangeKind::NonExistent;
    let gap_end = Location::new(4, 0);
    writer.put_range_end(&mut stream, gap, gap_end).unwrap();
    writer.put(&mut stream, 4, 1, 1, 7, None, 0).unwrap();
    let events = [
        FetchEvent::RangeEnd { kind: unknown, end },
        object((3, 10), Some(1), 7, b"", b""),
        FetchEvent::RangeEnd {
            kind: gap,
            end: gap_end,
        },
        object((4, 1), Some(1), 7, b"", b""),
    ];
    let read = read_at_every_split(Ascending, &stream).unwrap();
    assert_eq!(read[1..], events);
    let same_group = writer.put_range_end(&mut stream, unknown, Location::new(4, 8));
    assert_eq!(same_group, Err(FetchOrderError::RangeInSameGroup(4)));
}

#[test]
fn what_is_out_of_order_is_not_written() {
    let mut out = Vec::new();
    let mut writer = FetchObjectWriter::new(Descending);
    writer.put(&mut out, 5, 0, 3, 0, None, 0).unwrap();
    let written = out.len();
    let prior = Location::new(5, 3);
    for (group, object) in [(5, 3), (5, 2), (6, 9)] {
        let location = Location::new(group, object);
        let error = writer.put(&mut out, group, 0, object, 0, None, 0);
        assert_eq!(error, Err(FetchOrderError::OutOfOrder { prior, location }));
    }
    assert_eq!(out.len(), written);
    assert!(writer.put(&mut out, 4, 0, 0, 0, None, 0).is_ok());
}

#[test]
fn datagrams_have_no_subgroup_and_its_bits_are_ignored() {
    let stream = [5, 0, 0x5f, 1, 2, 9, 1, b'x'];
    let events = read_at_every_split(Ascending, &stream).unwrap();
    assert_eq!(events[1..], [object((1, 2), None, 9, b"", b"x")]);
}

#[test]
fn streams_that_break_the_rules_are_refused_by_name() {
    let refused = |order, bytes: &[u8]| {
        let stream = [&[5, 0], bytes].concat();
        read_at_every_split(order, &stream).unwrap_err()
    };
    let no_prior = DataError::NoPriorObject;
    assert_eq!(refused(Ascending, &[0x18, 1, 9, 0]), no_prior);
    assert_eq!(refused(Ascending, &[0x14, 1, 9, 0]), no_prior);
    assert_eq!(refused(Ascending, &[0x0c, 1, 1, 0]), no_prior);
    assert_eq!(refused(Ascending, &[0x1d, 1, 1, 9, 0]), no_prior);
    let first_then = |more: &[u8]| [&[0x1c, 1, 0, 9, 0], more].concat();
    let below = refused(Descending, &first_then(&[0x08, 1, 0]));
    assert_eq!(below, DataError::IdOverflow);
    assert_eq!(
        refused(Ascending, &[0x80, 0x80]),
        DataError::UnknownFetchFlags(0x80)
    );
    // The next bit is nobody's yet.
    assert_eq!(
        refused(Ascending, &[0x84, 0x0c, 0, 0]),
        DataError::UnknownFetchFlags(0x40c)
    );
    assert_eq!(
        refused(Ascending, &first_then(&[0x00])),
        DataError::Truncated
    );
    assert_eq!(
        read(Ascending, [&[0x10, 0][..]]),
        Err(DataError::UnknownStreamType(0x10))
    );
    assert_eq!(
        refused(Ascending, &[0x3c, 1, 0, 9, 0xc1, 0, 1]),
        DataError::PropertiesTooLong(65_537)
    );
}
