//! Subgroup streams: vectors, every split, limits.

use bytes::Bytes;

use super::*;
use crate::body::Body;
use crate::moqt::object::{PAYLOAD_LEN_MAX, Remedy};
use crate::moqt::properties::PropertyError;

/// Alias 2, group 7, the track's priority, first object, end of group, objects "a" and "b".
const PLAIN: [u8; 9] = [0x78, 2, 7, 0, 1, b'a', 0, 1, b'b'];
/// The same with property 0x10 = 1000000 on the first object.
const WITH_PROPERTY: [u8; 15] = [
    0x79, 2, 7, 0, 4, 0x10, 0xcf, 0x42, 0x40, 1, b'a', 0, 0, 1, b'b',
];

const HEADER: SubgroupHeader = SubgroupHeader {
    alias: 2,
    group: 7,
    subgroup: SubgroupId::Zero,
    priority: None,
    properties: false,
    end_of_group: true,
    first_object: true,
};

fn object(id: u64, properties: &'static [u8], payload: &'static [u8]) -> SubgroupEvent {
    SubgroupEvent::Object {
        id,
        properties: Bytes::from_static(properties),
        status: ObjectStatus::Normal,
        payload: Bytes::from_static(payload),
    }
}

/// Reads a stream that arrives in the given chunks.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<SubgroupEvent>, DataError> {
    let mut reader = SubgroupReader::new();
    let mut events = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = reader.poll()? {
            events.push(event);
        }
    }
    reader.finish().map(|()| events)
}

fn read_at_every_split(stream: &[u8]) -> Result<Vec<SubgroupEvent>, DataError> {
    let whole = read([stream]);
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(read([left, right]), whole, "split at {cut}");
    }
    assert_eq!(read(stream.chunks(1)), whole, "byte by byte");
    whole
}

#[test]
fn the_vectors_are_written_and_read_at_every_split() {
    let mut plain = Vec::new();
    HEADER.encode(&mut plain);
    for payload in [b"a", b"b"] {
        put_object_header(&mut plain, 0, None, 1, None);
        plain.extend_from_slice(payload);
    }
    assert_eq!(plain, PLAIN);
    let objects = [object(0, b"", b"a"), object(1, b"", b"b")];
    let mut events = vec![SubgroupEvent::Header(HEADER)];
    events.extend(objects);
    assert_eq!(read_at_every_split(&PLAIN), Ok(events));

    let property = &[0x10, 0xcf, 0x42, 0x40];
    let header = SubgroupHeader {
        properties: true,
        ..HEADER
    };
    let mut with = Vec::new();
    header.encode(&mut with);
    put_object_header(&mut with, 0, Some(property), 1, None);
    with.push(b'a');
    put_object_header(&mut with, 0, Some(&[]), 1, None);
    with.push(b'b');
    assert_eq!(with, WITH_PROPERTY);
    let objects = [object(0, property, b"a"), object(1, b"", b"b")];
    let mut events = vec![SubgroupEvent::Header(header)];
    events.extend(objects);
    assert_eq!(read_at_every_split(&WITH_PROPERTY), Ok(events));
}

#[test]
fn every_type_of_stream_round_trips_and_the_others_are_refused() {
    let mut seen = 0;
    for kind in 0..=0xff_u8 {
        let stream = [kind, 3, 5, 9, 200];
        let valid = kind & 0x90 == 0x10 && kind & 0x06 != 0x06;
        assert_eq!(is_subgroup_type(u64::from(kind)), valid, "{kind:#x}");
        if !valid {
            continue;
        }
        seen += 1;
        let mut reader = Reader::new(&stream);
        let header = SubgroupHeader::decode(&mut reader).unwrap().unwrap();
        assert_eq!(header.stream_type(), kind);
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, stream[..reader.position()]);
        assert!(out.len() <= SubgroupHeader::LEN_MAX);
    }
    assert_eq!(seen, 48);
    assert_eq!(
        read([&[0x16, 0][..]]),
        Err(DataError::UnknownStreamType(0x16))
    );
    assert_eq!(
        read([&[0x05, 0][..]]),
        Err(DataError::UnknownStreamType(0x05))
    );
}

#[test]
fn ids_are_deltas_and_do_not_overflow() {
    let mut stream = vec![0x30, 0, 0, 5, 1, b'x', 2, 1, b'y'];
    let events = read_at_every_split(&stream).unwrap();
    assert_eq!(events[1..], [object(5, b"", b"x"), object(8, b"", b"y")]);
    stream.extend([0xff; 9]);
    stream.extend([1, b'z']);
    assert_eq!(read([&stream[..]]), Err(DataError::IdOverflow));
}

#[test]
fn an_object_without_payload_has_a_status() {
    let mut stream = vec![0x30, 0, 0];
    for status in [ObjectStatus::Normal, ObjectStatus::EndOfTrack] {
        put_object_header(&mut stream, 0, None, 0, Some(status));
    }
    let statuses = read_at_every_split(&stream).unwrap().split_off(1);
    let empty = |id, status| SubgroupEvent::Object {
        id,
        properties: Bytes::new(),
        status,
        payload: Bytes::new(),
    };
    let expected = [
        empty(0, ObjectStatus::Normal),
        empty(1, ObjectStatus::EndOfTrack),
    ];
    assert_eq!(statuses, expected);
    let unknown = [0x30, 0, 0, 0, 0, 1];
    assert_eq!(read([&unknown[..]]), Err(DataError::UnknownStatus(1)));
    let with_properties = [0x31, 0, 0, 0, 2, 8, 1, 0, 3];
    assert_eq!(
        read_at_every_split(&with_properties),
        Err(DataError::PropertiesOnStatus)
    );
}

#[test]
fn a_stream_that_ends_inside_an_object_is_truncated() {
    for cut in 0..PLAIN.len() {
        let whole_objects = matches!(cut, 3 | 6);
        assert_eq!(read([&PLAIN[..cut]]).is_ok(), whole_objects, "cut at {cut}");
    }
    assert_eq!(read([&PLAIN[..4]]), Err(DataError::Truncated));
}

#[test]
fn limits_are_refused_by_name_before_anything_is_buffered() {
    let mut stream = vec![0x31, 0, 0, 0];
    put_vi64(&mut stream, 65_537);
    let error = read([&stream[..]]).unwrap_err();
    assert_eq!(error, DataError::PropertiesTooLong(65_537));
    assert!(matches!(error.remedy(), Remedy::Stop(_)));
    let mut stream = vec![0x30, 0, 0, 0];
    put_vi64(&mut stream, PAYLOAD_LEN_MAX + 1);
    assert_eq!(
        read([&stream[..]]),
        Err(DataError::PayloadTooLong(PAYLOAD_LEN_MAX + 1))
    );
    let malformed = [0x31, 0, 0, 0, 1, 8, 1, b'x'];
    assert_eq!(
        read([&malformed[..]]),
        Err(DataError::Property(PropertyError::Incomplete))
    );
}

#[test]
fn a_payload_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(&PLAIN);
    let mut reader = SubgroupReader::new();
    reader.push(chunk.clone());
    reader.poll().unwrap();
    assert_eq!(reader.header(), Some(&HEADER));
    let Some(SubgroupEvent::Object { payload, .. }) = reader.poll().unwrap() else {
        panic!("an object is there");
    };
    assert_eq!(payload.as_ptr(), chunk[5..].as_ptr());
}

#[test]
fn an_object_header_is_written_in_front_of_a_body_without_allocating() {
    let block = [0x10, 0xcf, 0x42, 0x40];
    let mut body = Body::copy_from(16, b"payload");
    let mut room = [0; 16];
    let len = body.len() as u64;
    let header = object_header_in(&mut room, 0, Some(&block), len, None).unwrap();
    assert!(body.prepend(header));
    assert_eq!(&body.freeze()[..], b"\x00\x04\x10\xcf\x42\x40\x07payload");
    assert_eq!(
        object_header_in(&mut room[..6], 0, Some(&block), len, None),
        None
    );
    for (delta, payload) in [(0, 0), (300, 0), (0, 300), (u64::MAX, 1 << 40)] {
        for properties in [None, Some(&[][..]), Some(&block[..])] {
            let mut out = Vec::new();
            put_object_header(&mut out, delta, properties, payload, None);
            assert_eq!(out.len(), object_header_len(delta, properties, payload));
        }
    }
}

#[test]
fn pieces_are_what_the_events_are_however_the_stream_is_cut() {
    let header = SubgroupHeader {
        group: 3,
        properties: true,
        ..SubgroupHeader::default()
    };
    let mut wire = Vec::new();
    header.encode(&mut wire);
    for (id, payload) in [(0_u8, &b"first"[..]), (1, b""), (2, b"the third")] {
        let block = [2, id];
        put_object_header(&mut wire, 0, Some(&block), payload.len() as u64, None);
        wire.extend_from_slice(payload);
    }
    for cut in 1..wire.len() {
        let mut reader = SubgroupReader::new();
        let mut objects: Vec<(u64, Vec<u8>, usize)> = Vec::new();
        for chunk in wire.chunks(cut) {
            reader.push(Bytes::copy_from_slice(chunk));
            while let Some(piece) = reader.poll_piece().unwrap() {
                match piece {
                    SubgroupPiece::Header(read) => assert_eq!(read, header),
                    SubgroupPiece::Object {
                        id, payload_len, ..
                    } => objects.push((id, Vec::new(), payload_len)),
                    SubgroupPiece::Payload(piece) => {
                        objects.last_mut().unwrap().1.extend_from_slice(&piece);
                    }
                }
            }
        }
        assert_eq!(reader.finish(), Ok(()));
        let expected = [
            (0, b"first".to_vec(), 5),
            (1, Vec::new(), 0),
            (2, b"the third".to_vec(), 9),
        ];
        assert_eq!(objects, expected, "cut at {cut}");
    }
}
