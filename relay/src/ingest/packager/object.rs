//! A media message into an object, in the allocation that it arrived in.

use std::cell::RefCell;

use bytes::BytesMut;
use weir_protocol::body::Body;
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::Version;
use weir_protocol::moqt::subgroup::put_object_header;
use weir_protocol::wire::vi64_len;

use crate::ring::{LegacyHeader, Object};

/// Builds objects. Keeps its scratch space, so that a frame costs no allocation but its own.
#[derive(Debug, Default)]
pub struct ObjectBuilder {
    properties: BytesMut,
    header: BytesMut,
}

thread_local! {
    /// What all packagers of a thread write headers in: one of each would be out of the core's
    /// cache by its publisher's next frame.
    static BUILDER: RefCell<ObjectBuilder> = RefCell::default();
}

/// Builds an object with the thread's builder.
pub(super) fn build(id: u64, payload: Body, properties: &ObjectProperties) -> Untimed {
    BUILDER.with_borrow_mut(|builder| builder.build(id, payload, properties))
}

/// An object whose times are not known yet.
#[derive(Clone, Debug)]
pub struct Untimed(Object);

impl Untimed {
    /// Sets when the first byte was read and when the object was complete.
    pub fn at(self, first_byte_us: u64, complete_us: u64) -> Object {
        Object {
            first_byte_us,
            complete_us,
            ..self.0
        }
    }
}

impl ObjectBuilder {
    /// Writes the headers into the room in front of `payload`: the one of draft 19 directly, the
    /// one of draft 18 in front of that.
    pub fn build(&mut self, id: u64, payload: Body, properties: &ObjectProperties) -> Untimed {
        let payload_len = payload.len();
        let mut body = payload;
        let (header, inner) = self.prepend(&mut body, payload_len, properties, Version::Draft19);
        let (old_header, old_inner) =
            self.prepend(&mut body, payload_len, properties, Version::Draft18);
        let bytes = body.freeze();
        let wire = bytes.slice(old_header..);
        Untimed(Object {
            id,
            properties: wire.slice(inner),
            header_len: header,
            wire,
            legacy: Some(LegacyHeader {
                header: bytes.slice(..old_header),
                properties: bytes.slice(old_inner),
                prefix_len: 0,
                always: false,
            }),
            first_byte_us: 0,
            complete_us: 0,
        })
    }

    /// Prepends one header; returns its length and where in it the properties are.
    fn prepend(
        &mut self,
        body: &mut Body,
        payload_len: usize,
        properties: &ObjectProperties,
        version: Version,
    ) -> (usize, std::ops::Range<usize>) {
        self.properties.clear();
        properties.put(version, &mut self.properties);
        self.header.clear();
        let block = Some(&self.properties[..]);
        put_object_header(&mut self.header, 0, block, payload_len as u64, None);
        if !body.prepend(&self.header) {
            // A configuration larger than any codec's usual one: costs a copy, once a group.
            let room = super::MEDIA_ROOM + self.header.len();
            *body = Body::copy_from(room, body.as_slice());
            let fits = body.prepend(&self.header);
            debug_assert!(fits, "the room was made for the header");
        }
        let header_len = self.header.len();
        let tail = payload_len_bytes(payload_len);
        let end = header_len - tail;
        (header_len, end - self.properties.len()..end)
    }
}

/// Bytes that the payload's length, and its status when it is empty, take at the header's end.
fn payload_len_bytes(payload_len: usize) -> usize {
    let len = payload_len as u64;
    vi64_len(len) + usize::from(len == 0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn properties(config: usize) -> ObjectProperties {
        ObjectProperties {
            timestamp_us: Some(1_000_000),
            video_config: Some(Bytes::from(vec![1; config])),
            ..ObjectProperties::default()
        }
    }

    fn block(version: Version, properties: &ObjectProperties) -> BytesMut {
        let mut block = BytesMut::new();
        properties.put(version, &mut block);
        block
    }

    #[test]
    fn both_headers_are_in_the_allocation_of_the_payload() {
        let properties = properties(40);
        let body = Body::copy_from(super::super::MEDIA_ROOM, b"payload");
        let address = body.as_slice().as_ptr();
        let object = ObjectBuilder::default()
            .build(3, body, &properties)
            .at(1, 2);
        assert_eq!(object.payload(), b"payload"[..]);
        assert_eq!(object.payload().as_ptr(), address);
        assert_eq!(object.properties, block(Version::Draft19, &properties));
        let legacy = object.legacy.unwrap();
        assert_eq!(legacy.properties, block(Version::Draft18, &properties));
        assert_eq!(legacy.header.as_ptr_range().end, object.wire.as_ptr());
    }

    #[test]
    fn configuration_that_does_not_fit_the_room_is_carried_all_the_same() {
        let properties = properties(5000);
        let body = Body::copy_from(super::super::MEDIA_ROOM, b"payload");
        let object = ObjectBuilder::default()
            .build(0, body, &properties)
            .at(1, 2);
        assert_eq!(object.payload(), b"payload"[..]);
        assert_eq!(object.properties, block(Version::Draft19, &properties));
    }
}
