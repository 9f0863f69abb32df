//! A viewer and a relay talk MoQT through the public codec, in both drafts: subscribe, join, play.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test"
)]

use bytes::{Bytes, BytesMut};
use weir_protocol::body::Body;
use weir_protocol::catalog::msf::{Catalog, ROLE_VIDEO, Track};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::fetch::{FetchEvent, FetchHeader, FetchObjectWriter, FetchReader};
use weir_protocol::moqt::message::{
    Fetch, FetchKind, FetchOk, RequestKind, Setup, Subscribe, SubscribeOk,
};
use weir_protocol::moqt::param::Params;
use weir_protocol::moqt::properties::{Properties, TrackProperties};
use weir_protocol::moqt::request::{RequestIds, Side};
use weir_protocol::moqt::stream::UniStreamType;
use weir_protocol::moqt::subgroup::{
    SubgroupEvent, SubgroupHeader, SubgroupReader, object_header_in,
};
use weir_protocol::moqt::{
    Filter, FullTrackName, GroupOrder, Location, Message, Namespace, StreamRole, Version,
};

/// Room in front of a message for its object header.
const ROOM: usize = 64;

/// What one side writes and the other reads, in pieces of three bytes.
fn carry(version: Version, on: StreamRole, message: impl Into<Message>) -> Message {
    let mut wire = BytesMut::new();
    message.into().encode(version, on, &mut wire).unwrap();
    let mut buf = BytesMut::new();
    let mut arrived = None;
    for piece in wire.chunks(3) {
        assert!(arrived.is_none(), "a message is there before its end");
        buf.extend_from_slice(piece);
        arrived = Message::decode(version, on, &mut buf).unwrap();
    }
    arrived.unwrap()
}

fn set_up(version: Version) {
    let hello = Setup {
        implementation: Some("weir".to_owned()),
        ..Default::default()
    };
    let arrived = carry(version, StreamRole::Control, hello.clone());
    assert_eq!(arrived, Message::Setup(hello));
}

fn video() -> FullTrackName {
    let namespace = Namespace::from_path("live/cam").unwrap();
    FullTrackName::new(namespace, Bytes::from_static(b"video")).unwrap()
}

/// The viewer asks for what comes next; the relay says where that is.
fn subscribe(version: Version, ids: &mut RequestIds, largest: Location) -> (u64, Location) {
    let track = video();
    let request = Subscribe {
        request_id: ids.next_id(),
        track: track.clone(),
        params: Params {
            filter: Some(Filter::NextObject),
            ..Default::default()
        },
    };
    let opening = carry(version, StreamRole::Opening, request);
    assert_eq!(opening.request_kind(), Some(RequestKind::Subscribe));
    let Message::Subscribe(request) = opening else {
        panic!("{opening:?}");
    };
    assert_eq!(request.track, track);
    let ok = SubscribeOk {
        alias: request.request_id,
        params: Params {
            largest: Some(largest),
            ..Default::default()
        },
        properties: TrackProperties {
            timescale: Some(1_000_000),
            ..Default::default()
        }
        .to_block(),
    };
    let answer = carry(version, StreamRole::Answer(RequestKind::Subscribe), ok);
    let Message::SubscribeOk(ok) = answer else {
        panic!("{answer:?}");
    };
    let start = request.params.filter.unwrap().start(ok.params.largest);
    (request.request_id, start)
}

/// The relay's objects as it keeps them: header, properties and payload in one allocation.
fn object(version: Version, timestamp_us: u64, payload: &[u8]) -> Bytes {
    let mut block = Vec::new();
    let properties = ObjectProperties {
        timestamp_us: Some(timestamp_us),
        ..Default::default()
    };
    properties.put(version, &mut block);
    let mut body = Body::copy_from(ROOM, payload);
    let len = body.len() as u64;
    let mut room = [0; ROOM];
    let header = object_header_in(&mut room, 0, Some(&block), len, None).unwrap();
    assert!(body.prepend(header));
    body.freeze()
}

#[test]
fn a_viewer_joins_in_the_middle_of_a_group_and_plays_without_a_gap() {
    for version in Version::ALL {
        set_up(version);
        let mut ids = RequestIds::new(Side::Client);
        let mut relay = RequestIds::new(Side::Server);
        let (joining_request_id, start) = subscribe(version, &mut ids, Location::new(7, 1));
        relay.accept(joining_request_id).unwrap();
        assert_eq!(start, Location::new(7, 2));

        let mut played = fetch(version, ids.next_id(), joining_request_id, start);
        played.extend(live(version, start));
        let expected = (0..4).map(|id| (Location::new(7, id), id * 33_333));
        assert_eq!(played, expected.collect::<Vec<_>>(), "{version}");
    }
}

/// Asks for what came before `start` in its group.
fn joining(version: Version, request_id: u64, joining_request_id: u64, start: Location) -> Fetch {
    // Since draft 20 there is no joining FETCH: the range is a filter.
    let (kind, filter) = match version.has_fill() {
        false => (
            FetchKind::RelativeJoining {
                joining_request_id,
                groups: 0,
            },
            None,
        ),
        true => (
            FetchKind::Filtered { track: video() },
            Some(Filter::Absolute {
                start: Location::new(start.group, 0),
                end: Some(Location::new(start.group, start.object - 1)),
            }),
        ),
    };
    Fetch {
        request_id,
        kind,
        params: Params {
            filter,
            ..Params::default()
        },
    }
}

/// What came before `start` in its group, on a FETCH stream.
fn fetch(
    version: Version,
    request_id: u64,
    joining_request_id: u64,
    start: Location,
) -> Vec<(Location, u64)> {
    let request = joining(version, request_id, joining_request_id, start);
    let params = Params::default();
    carry(version, StreamRole::Opening, request);
    let ok = FetchOk {
        end_of_track: false,
        end: start,
        params,
        properties: Properties::default(),
    };
    carry(version, StreamRole::Answer(RequestKind::Fetch), ok);

    let mut stream = Vec::new();
    FetchHeader { request_id }.encode(&mut stream);
    let mut writer = FetchObjectWriter::new(GroupOrder::Ascending);
    for id in 0..start.object {
        let mut block = Vec::new();
        let properties = ObjectProperties {
            timestamp_us: Some(id * 33_333),
            ..Default::default()
        };
        properties.put(version, &mut block);
        let put = writer.put(&mut stream, start.group, 0, id, 128, Some(&block), 4);
        put.unwrap();
        stream.extend_from_slice(b"past");
    }
    assert_eq!(
        UniStreamType::detect(&stream),
        Ok(Some(UniStreamType::Fetch))
    );
    let mut reader = FetchReader::new(GroupOrder::Ascending);
    reader.push(stream.into());
    let mut played = Vec::new();
    while let Some(event) = reader.poll().unwrap() {
        if let FetchEvent::Object {
            location,
            properties,
            ..
        } = event
        {
            let media = ObjectProperties::parse(&properties).unwrap();
            played.push((location, media.timestamp_us.unwrap()));
        }
    }
    reader.finish().unwrap();
    played
}

/// Two objects from `start` on, on a subgroup stream.
fn live(version: Version, start: Location) -> Vec<(Location, u64)> {
    let mut stream = Vec::new();
    let header = SubgroupHeader {
        group: start.group,
        properties: true,
        end_of_group: true,
        ..Default::default()
    };
    header.encode(&mut stream);
    // The stored objects say "the next id"; the first on a stream must say its id.
    for (index, id) in (start.object..start.object + 2).enumerate() {
        let stored = object(version, id * 33_333, b"now");
        match index {
            0 => {
                stream.push(id as u8);
                stream.extend_from_slice(&stored[1..]);
            }
            _ => stream.extend_from_slice(&stored),
        }
    }
    assert_eq!(
        UniStreamType::detect(&stream),
        Ok(Some(UniStreamType::Subgroup))
    );
    let mut reader = SubgroupReader::new();
    let mut played = Vec::new();
    for piece in stream.chunks(5) {
        reader.push(Bytes::copy_from_slice(piece));
        while let Some(event) = reader.poll().unwrap() {
            if let SubgroupEvent::Object {
                id,
                properties,
                payload,
                ..
            } = event
            {
                assert_eq!(&payload[..], b"now");
                let media = ObjectProperties::parse(&properties).unwrap();
                let location = Location::new(start.group, id);
                played.push((location, media.timestamp_us.unwrap()));
            }
        }
    }
    reader.finish().unwrap();
    played
}

#[test]
fn a_catalog_is_an_object_like_any_other() {
    let mut catalog = Catalog::live(0);
    let track = Track::live("video", ROLE_VIDEO, "avc1.42c01f");
    catalog.push(track, Some(&[1, 0x42, 0xc0, 0x1f]));
    let mut stream = Vec::new();
    SubgroupHeader::default().encode(&mut stream);
    let json = catalog.to_json();
    let mut room = [0; ROOM];
    let header = object_header_in(&mut room, 0, None, json.len() as u64, None).unwrap();
    stream.extend_from_slice(header);
    stream.extend_from_slice(&json);
    let mut reader = SubgroupReader::new();
    reader.push(stream.into());
    reader.poll().unwrap();
    let Some(SubgroupEvent::Object { payload, .. }) = reader.poll().unwrap() else {
        panic!("an object is there");
    };
    assert_eq!(Catalog::parse(&payload).unwrap(), catalog);
}
