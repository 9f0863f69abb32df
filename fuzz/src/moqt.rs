//! MoQT: messages, subgroup and FETCH streams, the MSF catalog.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a fuzz target fails by panicking"
)]

use bytes::{Bytes, BytesMut};
use weir_protocol::catalog::msf::{CATALOG_LEN_MAX, Catalog};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::fetch::{FetchEvent, FetchObjectWriter, FetchReader};
use weir_protocol::moqt::message::RequestKind;
use weir_protocol::moqt::object::DataError;
use weir_protocol::moqt::properties::{Properties, TrackProperties};
use weir_protocol::moqt::subgroup::{SubgroupEvent, SubgroupReader, put_object_header};
use weir_protocol::moqt::{GroupOrder, Message, StreamRole, Version};

/// The place in the stream that the first byte says.
fn place(byte: u8) -> StreamRole {
    const KINDS: [RequestKind; 7] = [
        RequestKind::Subscribe,
        RequestKind::Publish,
        RequestKind::Fetch,
        RequestKind::TrackStatus,
        RequestKind::PublishNamespace,
        RequestKind::SubscribeNamespace,
        RequestKind::SubscribeTracks,
    ];
    let kind = KINDS[usize::from(byte >> 4) % KINDS.len()];
    match (byte >> 1) % 5 {
        0 => StreamRole::Control,
        1 => StreamRole::Opening,
        2 => StreamRole::Requester(kind),
        3 => StreamRole::Answer(kind),
        _ => StreamRole::Responder(kind),
    }
}

/// What is read can be written, and is then read as the same, in every draft. The first byte is
/// the place.
pub fn moqt_message(data: &[u8]) {
    let Some((&byte, data)) = data.split_first() else {
        return;
    };
    for version in Version::ALL {
        messages(version, place(byte), data);
    }
}

fn messages(version: Version, role: StreamRole, data: &[u8]) {
    let mut input = BytesMut::from(data);
    while let Ok(Some(message)) = Message::decode(version, role, &mut input) {
        if let Message::SubscribeOk(ok) = &message {
            track_properties(&ok.properties);
        }
        let mut written = BytesMut::new();
        message.encode(version, role, &mut written).unwrap();
        let again = Message::decode(version, role, &mut written);
        assert_eq!(again, Ok(Some(message)));
        assert!(written.is_empty());
    }
}

/// What is known of a track can be written, and is then read as the same.
fn track_properties(block: &Properties) {
    let Ok(mut known) = TrackProperties::parse(block) else {
        return;
    };
    known.unsupported = None;
    assert_eq!(TrackProperties::parse(&known.to_block()), Ok(known));
}

/// As [`track_properties`], of an object. Other timescales round, so they are left out.
fn object_properties(block: &[u8]) {
    let Ok(properties) = ObjectProperties::parse(block) else {
        return;
    };
    if properties.timescale.is_none() {
        let mut written = Vec::new();
        properties.put(Version::Draft18, &mut written);
        assert_eq!(written.len(), properties.block_len(Version::Draft18));
        assert_eq!(ObjectProperties::parse(&written), Ok(properties));
    }
}

/// Objects and the error behind them do not depend on how the bytes are cut, which the first byte
/// says; the objects can be written again.
pub fn subgroup(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else {
        return;
    };
    let read = |piece: usize| {
        let mut reader = SubgroupReader::new();
        let mut events = Vec::new();
        for chunk in data.chunks(piece.max(1)) {
            reader.push(Bytes::copy_from_slice(chunk));
            loop {
                match reader.poll() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Err(error)),
                }
            }
        }
        (events, reader.finish())
    };
    let whole = read(data.len());
    assert_eq!(whole, read(piece.into()));
    let events = whole.0;
    let written = write_subgroup(&events);
    assert_eq!(reread(&written), events);
}

fn write_subgroup(events: &[SubgroupEvent]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut with_properties = false;
    let mut next = 0;
    for event in events {
        match event {
            SubgroupEvent::Header(header) => {
                with_properties = header.properties;
                header.encode(&mut out);
            }
            SubgroupEvent::Object {
                id,
                properties,
                status,
                payload,
            } => {
                object_properties(properties);
                let block = with_properties.then_some(&properties[..]);
                let len = payload.len() as u64;
                put_object_header(&mut out, id - next, block, len, Some(*status));
                out.extend_from_slice(payload);
                next = id.wrapping_add(1);
            }
        }
    }
    out
}

fn reread(stream: &[u8]) -> Vec<SubgroupEvent> {
    let mut reader = SubgroupReader::new();
    reader.push(Bytes::copy_from_slice(stream));
    std::iter::from_fn(|| reader.poll().unwrap()).collect()
}

/// As [`subgroup`]. The first byte is the group order and the cut.
pub fn fetch_stream(data: &[u8]) {
    let Some((&byte, data)) = data.split_first() else {
        return;
    };
    let order = match byte & 1 {
        0 => GroupOrder::Ascending,
        _ => GroupOrder::Descending,
    };
    let whole = read_fetch(order, data, data.len());
    assert_eq!(whole, read_fetch(order, data, usize::from(byte >> 1)));
    let mut writer = FetchObjectWriter::new(order);
    let mut written = vec![5, 0];
    let mut events = Vec::new();
    for event in whole.0 {
        let put = match &event {
            FetchEvent::Header(_) => continue,
            FetchEvent::Object {
                location,
                subgroup,
                priority,
                properties,
                payload,
            } => {
                let Some(subgroup) = *subgroup else { continue };
                let block = (!properties.is_empty()).then_some(&properties[..]);
                let (group, object) = (location.group, location.object);
                let len = payload.len() as u64;
                let out = &mut written;
                let put = writer.put(out, group, subgroup, object, *priority, block, len);
                put.map(|()| written.extend_from_slice(payload))
            }
            FetchEvent::RangeEnd { kind, end } => writer.put_range_end(&mut written, *kind, *end),
        };
        // The reader takes what a writer would not write, as an object that comes twice.
        if put.is_ok() {
            events.push(event);
        }
    }
    let (again, end) = read_fetch(order, &written, written.len());
    assert_eq!(end, Ok(()));
    assert_eq!(again[1..], events);
}

fn read_fetch(
    order: GroupOrder,
    data: &[u8],
    piece: usize,
) -> (Vec<FetchEvent>, Result<(), DataError>) {
    let mut reader = FetchReader::new(order);
    let mut events = Vec::new();
    for chunk in data.chunks(piece.max(1)) {
        reader.push(Bytes::copy_from_slice(chunk));
        loop {
            match reader.poll() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, reader.finish())
}

/// A catalog that is read and written is read as the same, and its configurations can be looked
/// up. Frame rates are left out: a decimal fraction may change in its last digit.
pub fn msf_catalog(data: &[u8]) {
    let Ok(mut catalog) = Catalog::parse(data) else {
        return;
    };
    for track in &mut catalog.tracks {
        track.framerate = None;
    }
    for track in &catalog.tracks {
        let config = catalog.config_of(track);
        assert!(config.is_err() || config.unwrap().is_none_or(|c| c.len() <= data.len()));
    }
    let json = catalog.to_json();
    // What was left out of a catalog at the limit may bring it above.
    if json.len() <= CATALOG_LEN_MAX {
        assert_eq!(Catalog::parse(&json).unwrap(), catalog);
    }
}
