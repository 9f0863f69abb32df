//! MoQT beyond messages: numbers, names, datagrams, catalogs, and requests in any order.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a fuzz target fails by panicking"
)]

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use weir_protocol::catalog::{hang, msf};
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::message::RequestKind;
use weir_protocol::moqt::request::{RequestIdError, RequestIds, Side, WINDOW};
use weir_protocol::moqt::stream::UniStreamType;
use weir_protocol::moqt::{Message, Namespace, StreamRole, Version};
use weir_protocol::wire::{Reader, VI64_LEN_MAX, put_vi64, vi64_len, vi64_len_of};

use crate::choices::Choices;

/// Every number that is read can be written in no more bytes, and every number can be written.
pub fn vi64(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut at = 0;
    while let Ok(value) = reader.vi64() {
        let read = reader.position() - at;
        assert_eq!(read, vi64_len_of(data[at]));
        at = reader.position();
        let mut written = Vec::new();
        put_vi64(&mut written, value);
        assert!(written.len() == vi64_len(value) && written.len() <= read);
        assert_eq!(Reader::new(&written).vi64(), Ok(value));
    }
    assert_eq!(reader.position(), at, "a failed read leaves the cursor");
    assert!(reader.remaining() < VI64_LEN_MAX);
    let mut words = data.chunks_exact(8);
    for word in words.by_ref() {
        let value = u64::from_be_bytes(word.try_into().unwrap());
        let mut written = Vec::new();
        put_vi64(&mut written, value);
        assert_eq!(Reader::new(&written).vi64(), Ok(value));
    }
    let mut reader = Reader::new(data);
    while reader.varint().is_ok() {}
    let mut reader = Reader::new(data);
    while reader.prefixed().is_ok() {}
}

/// A name that is read from a path is shown as one that is read as the same.
pub fn name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(name) = Namespace::from_path(text) else {
        return;
    };
    assert_eq!(Namespace::from_path(&name.to_string()), Ok(name.clone()));
    let mut wire = Vec::new();
    name.encode(&mut wire);
    assert_eq!(Namespace::decode(&mut Reader::new(&wire)), Ok(name.clone()));
    let Some((_, above)) = name.fields().split_last() else {
        return;
    };
    let parent = Namespace::new(above.iter().cloned()).unwrap();
    assert!(name.starts_with(&parent));
    assert_eq!(name.suffix_after(&parent).unwrap().fields().len(), 1);
}

/// A datagram that is read can be written, and is then read as the same.
pub fn datagram(data: &[u8]) {
    let _ = UniStreamType::detect(data);
    let Ok(Some(object)) = ObjectDatagram::decode(&Bytes::copy_from_slice(data)) else {
        return;
    };
    let mut written = BytesMut::new();
    object.encode(&mut written);
    assert_eq!(ObjectDatagram::decode(&written.freeze()), Ok(Some(object)));
}

/// What another player gets of a catalog is JSON with no more tracks than there are.
pub fn hang_catalog(data: &[u8]) {
    let Ok(catalog) = msf::Catalog::parse(data) else {
        return;
    };
    let json = hang::from_msf(&catalog, str::to_owned);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let count = |kind: &str| {
        let renditions = json.get(kind).and_then(|kind| kind.get("renditions"));
        let renditions = renditions.and_then(serde_json::Value::as_object);
        renditions.map_or(0, serde_json::Map::len)
    };
    assert!(count("video") + count("audio") <= catalog.tracks.len());
}

/// A peer's requests on many streams, in any order, in each draft: every message stands where the
/// draft has it, and no request id is taken twice.
///
/// An operation is a byte that chooses the stream and what is done there, and a message.
pub fn moqt_requests(data: &[u8]) {
    for version in Version::ALL {
        requests(version, Choices(data));
    }
}

/// Request streams that are open at a time.
const STREAMS: usize = 8;

fn requests(version: Version, mut choices: Choices<'_>) {
    let mut ids = RequestIds::new(Side::Server);
    let mut used = BTreeSet::new();
    let mut streams: [Option<(RequestKind, bool)>; STREAMS] = [None; STREAMS];
    while !choices.is_empty() {
        let choice = choices.byte();
        let stream = &mut streams[usize::from(choice) % STREAMS];
        let role = match (*stream, choice >> 3 & 3) {
            (_, 3) => {
                *stream = None;
                continue;
            }
            (None, _) => StreamRole::Opening,
            (Some((kind, _)), 0) => StreamRole::Requester(kind),
            (Some((kind, false)), _) => StreamRole::Answer(kind),
            (Some((kind, true)), _) => StreamRole::Responder(kind),
        };
        let mut input = BytesMut::from(choices.bytes());
        let Ok(Some(message)) = Message::decode(version, role, &mut input) else {
            continue;
        };
        if let Some(id) = message.request_id() {
            accept(&mut ids, &mut used, id);
        }
        let goaway = matches!(message, Message::Goaway(_));
        match (role, message.request_kind()) {
            (StreamRole::Opening, Some(kind)) => *stream = Some((kind, false)),
            (StreamRole::Opening, None) => panic!("{message:?} opens a request"),
            (StreamRole::Answer(kind), _) if !goaway => *stream = Some((kind, true)),
            _ => {}
        }
        let mut written = BytesMut::new();
        message.encode(version, role, &mut written).unwrap();
        let again = Message::decode(version, role, &mut written);
        assert_eq!(again, Ok(Some(message)));
    }
}

/// The ids agree with a set, as far back as they are remembered.
fn accept(ids: &mut RequestIds, used: &mut BTreeSet<u64>, id: u64) {
    let newest = used.last().copied().unwrap_or(0).max(id);
    let remembered = newest / 2 - id / 2 < WINDOW as u64;
    let fresh = id.is_multiple_of(2) && remembered && !used.contains(&id);
    match ids.accept(id) {
        Ok(()) => assert!(fresh && used.insert(id), "{id} was taken"),
        Err(RequestIdError::WrongParity(_)) => assert!(!id.is_multiple_of(2)),
        Err(RequestIdError::Duplicate(_)) => assert!(!fresh, "{id} was refused"),
    }
    let next = ids.peer_next();
    assert!(
        used.last()
            .is_none_or(|last| next > *last || *last > u64::MAX - 4)
    );
}
