//! Arbitrary bytes make no MoQT parser panic.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test"
)]

use bytes::{Bytes, BytesMut};
use weir_protocol::catalog::msf::Catalog;
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::fetch::FetchReader;
use weir_protocol::moqt::message::RequestKind;
use weir_protocol::moqt::stream::UniStreamType;
use weir_protocol::moqt::subgroup::SubgroupReader;
use weir_protocol::moqt::{GroupOrder, Message, Namespace, StreamRole, Version};

/// Places in a stream, and the types of messages that may stand there.
const PLACES: [(StreamRole, &[u8]); 4] = [
    (StreamRole::Control, &[0x10]),
    (
        StreamRole::Opening,
        &[0x03, 0x06, 0x0d, 0x16, 0x1d, 0x50, 0x51],
    ),
    (
        StreamRole::Answer(RequestKind::Subscribe),
        &[0x04, 0x05, 0x10],
    ),
    (
        StreamRole::Responder(RequestKind::SubscribeNamespace),
        &[0x05, 0x07, 0x08, 0x0e, 0x10],
    ),
];

/// Bytes from a seed: short numbers and small bytes more often than chance has them.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let len = next() % 64;
    (0..len)
        .map(|_| match next() % 4 {
            0 => next() as u8,
            1 => [0x00, 0x7f, 0x80, 0xff][next() as usize % 4],
            _ => next() as u8 % 16,
        })
        .collect()
}

#[test]
fn arbitrary_bytes_panic_nowhere() {
    let mut messages = 0;
    let mut datagrams = 0;
    for seed in 0..50_000 {
        let bytes = bytes(seed);
        let (role, kinds) = PLACES[seed as usize % PLACES.len()];
        let mut framed = BytesMut::new();
        if let Some((kind, body)) = bytes.split_first() {
            // Without a type that may stand there, nothing behind it is read.
            let kind = kinds[usize::from(*kind) % kinds.len()];
            framed.extend_from_slice(&[kind, 0, body.len() as u8]);
            framed.extend_from_slice(body);
        }
        let version = Version::ALL[seed as usize / PLACES.len() % 2];
        let message = Message::decode(version, role, &mut framed);
        messages += usize::from(matches!(message, Ok(Some(_))));
        let datagram = ObjectDatagram::decode(&Bytes::from(bytes.clone()));
        datagrams += usize::from(matches!(datagram, Ok(Some(_))));
        let _ = UniStreamType::detect(&bytes);
        let _ = ObjectProperties::parse(&bytes);
        let _ = Catalog::parse(&bytes);
        let _ = Namespace::from_path(&String::from_utf8_lossy(&bytes));
    }
    assert!(messages > 100, "only {messages} messages were read");
    assert!(datagrams > 100, "only {datagrams} datagrams were read");
}

#[test]
fn arbitrary_streams_panic_nowhere() {
    let mut objects = 0;
    for seed in 0..50_000 {
        let bytes = bytes(seed);
        let mut subgroup = SubgroupReader::new();
        let kind = 0x10 | (seed as u8 & 0x6d);
        subgroup.push(Bytes::copy_from_slice(&[kind, 0, 0]));
        let mut fetch = FetchReader::new(GroupOrder::Descending);
        fetch.push(Bytes::from_static(&[5, 0]));
        for piece in bytes.chunks(1 + seed as usize % 7) {
            subgroup.push(Bytes::copy_from_slice(piece));
            fetch.push(Bytes::copy_from_slice(piece));
            while let Ok(Some(_)) = subgroup.poll() {
                objects += 1;
            }
            while let Ok(Some(_)) = fetch.poll() {
                objects += 1;
            }
        }
        let _ = (subgroup.finish(), fetch.finish());
    }
    assert!(objects > 10_000, "only {objects} objects were read");
}
