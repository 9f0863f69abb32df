//! A publisher over MoQT by hand: its tracks, and the bytes of its streams.

use bytes::Bytes;
use weir_protocol::moqt::message::Publish;
use weir_protocol::moqt::subgroup::{SubgroupHeader, put_object_header};
use weir_protocol::moqt::{Message, Params, Properties};

use super::moqt::{Asked, MoqtClient, track_of};

/// A property that no draft has.
pub(crate) const STRANGE: &[u8] = &[0xbf, 0xfe, 5];

/// Asks to publish a track of `live/cam`.
#[track_caller]
pub(crate) fn publish(client: &mut MoqtClient, track: &str, alias: u64) -> Asked {
    let request_id = client.fresh_id();
    client.ask(Publish {
        request_id,
        track: track_of("live/cam", track),
        alias,
        params: Params::default(),
        properties: Properties::new(Bytes::from_static(&[0x0e, 40])).unwrap(),
    })
}

/// A track that the relay has taken.
#[track_caller]
pub(crate) fn published(client: &mut MoqtClient, track: &str, alias: u64) -> Asked {
    let mut asked = publish(client, track, alias);
    let answer = asked.next();
    assert!(matches!(answer, Some(Message::RequestOk(_))), "{answer:?}");
    asked
}

/// The header of a whole group.
pub(crate) fn header(alias: u64, group: u64) -> SubgroupHeader {
    SubgroupHeader {
        alias,
        group,
        properties: true,
        end_of_group: true,
        first_object: true,
        ..SubgroupHeader::default()
    }
}

/// The bytes of a header.
pub(crate) fn head(header: SubgroupHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes
}

/// The bytes of an object with these properties.
pub(crate) fn object_with(properties: &[u8], delta: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let len = payload.len() as u64;
    put_object_header(&mut bytes, delta, Some(properties), len, None);
    bytes.extend_from_slice(payload);
    bytes
}

/// The bytes of an object with a [`STRANGE`] property.
pub(crate) fn object(delta: u64, payload: &[u8]) -> Vec<u8> {
    object_with(STRANGE, delta, payload)
}
