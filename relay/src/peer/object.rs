//! An object as it arrives, into the form in which it goes out.

use bytes::{Bytes, BytesMut};
use weir_protocol::body::Body;
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::object::ObjectStatus;
use weir_protocol::moqt::subgroup::{object_header_len, put_object_header};
use weir_protocol::wire::vi64_len;

use crate::ring::Object;

/// An object of which not everything has arrived.
pub(super) struct Partial {
    id: u64,
    properties: Bytes,
    status: ObjectStatus,
    body: Body,
    missing: usize,
    first_byte_us: u64,
}

impl Partial {
    /// An object whose head arrived at `now_us`. Its one allocation has room for our header.
    pub(super) fn new(
        id: u64,
        properties: Bytes,
        status: ObjectStatus,
        payload_len: usize,
        now_us: u64,
    ) -> Self {
        let room = object_header_len(0, Some(&properties), payload_len as u64);
        Self {
            id,
            properties,
            status,
            body: Body::with_capacity(room, payload_len),
            missing: payload_len,
            first_byte_us: now_us,
        }
    }

    /// Takes the next bytes of the payload.
    pub(super) fn append(&mut self, piece: &[u8]) {
        self.body.append(piece);
        self.missing = self.missing.saturating_sub(piece.len());
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// The object, complete at `now_us`. The properties are the bytes that came.
    pub(super) fn finish(mut self, now_us: u64) -> Object {
        let payload_len = self.body.len();
        let mut header = BytesMut::new();
        let block = &self.properties[..];
        let status = Some(self.status);
        put_object_header(&mut header, 0, Some(block), payload_len as u64, status);
        let fits = self.body.prepend(&header);
        debug_assert!(fits, "the room was made for the header");
        let wire = self.body.freeze();
        let start = 1 + vi64_len(block.len() as u64);
        Object {
            id: self.id,
            properties: wire.slice(start..start + block.len()),
            header_len: wire.len() - payload_len,
            wire,
            legacy: None,
            first_byte_us: self.first_byte_us,
            complete_us: now_us,
        }
    }
}

/// An object that came in a datagram, as the datagram that goes out under `alias`.
pub(super) fn from_datagram(object: &ObjectDatagram, alias: u64, now_us: u64) -> Object {
    let datagram = ObjectDatagram {
        alias,
        ..object.clone()
    };
    let mut wire = BytesMut::with_capacity(object.payload.len() + DATAGRAM_HEADER_BYTES);
    datagram.encode(&mut wire);
    let wire = wire.freeze();
    Object {
        id: object.object,
        properties: object.properties.clone(),
        header_len: wire.len() - object.payload.len(),
        wire,
        legacy: None,
        first_byte_us: now_us,
        complete_us: now_us,
    }
}

/// Type, alias, group, object, priority and a few properties.
const DATAGRAM_HEADER_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_one_allocation_with_its_properties_as_they_came() {
        let properties = Bytes::from_static(&[0x10, 7, 0x0b, 2, b'x', b'y']);
        let mut partial = Partial::new(4, properties.clone(), ObjectStatus::Normal, 6, 10);
        partial.append(b"pay");
        assert!(!partial.is_whole());
        partial.append(b"ood");
        assert!(partial.is_whole());
        let object = partial.finish(20);
        assert_eq!(object.wire[..], *b"\0\x06\x10\x07\x0b\x02xy\x06payood");
        assert_eq!(object.properties, properties);
        assert_eq!(object.payload(), b"payood"[..]);
        assert!(!object.is_status());
        assert_eq!((object.first_byte_us, object.complete_us), (10, 20));
    }

    #[test]
    fn status_and_empty_object_are_told_apart() {
        let object = |status| Partial::new(0, Bytes::new(), status, 0, 0).finish(0);
        assert!(!object(ObjectStatus::Normal).is_status());
        assert!(object(ObjectStatus::EndOfGroup).is_status());
        assert_eq!(object(ObjectStatus::EndOfTrack).wire[..], [0, 0, 0, 4]);
    }
}
