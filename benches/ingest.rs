//! A frame into an object, by the calls that the relay's ingest makes.

use bytes::{Bytes, BytesMut};
use weir_protocol::body::Body;
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::Version;
use weir_protocol::moqt::subgroup::put_object_header;
use weir_protocol::wire::vi64_len;
use weir_relay::ring::{LegacyHeader, Object};

/// Room in bytes that the relay leaves in front of a media message.
pub const ROOM: usize = 320;

/// An avcC record of a usual length: what a key frame carries besides its timestamp.
const CONFIG_BYTES: usize = 40;

/// What the relay says of a frame that is presented at `timestamp_us`.
pub fn properties(timestamp_us: u64, key: bool) -> ObjectProperties {
    ObjectProperties {
        timestamp_us: Some(timestamp_us),
        video_config: key.then(|| Bytes::from_static(&[1; CONFIG_BYTES])),
        ..ObjectProperties::default()
    }
}

/// Builds objects in the allocation that their payload arrived in.
#[derive(Debug, Default)]
pub struct Builder {
    properties: BytesMut,
    header: BytesMut,
}

impl Builder {
    /// Puts both drafts' headers into the room in front of `body`. `None` when it is too small.
    pub fn build(&mut self, id: u64, mut body: Body, said: &ObjectProperties) -> Option<Object> {
        let payload_len = body.len();
        let header_len = self.prepend(&mut body, said, payload_len, Version::Draft19)?;
        let properties_len = self.properties.len();
        let legacy_len = self.prepend(&mut body, said, payload_len, Version::Draft18)?;
        let legacy_properties_len = self.properties.len();
        let tail = vi64_len(payload_len as u64);
        let bytes = body.freeze();
        let wire = bytes.slice(legacy_len..);
        let block = |end: usize, len: usize| end - tail - len..end - tail;
        Some(Object {
            id,
            properties: wire.slice(block(header_len, properties_len)),
            wire,
            header_len,
            legacy: Some(LegacyHeader {
                header: bytes.slice(..legacy_len),
                properties: bytes.slice(block(legacy_len, legacy_properties_len)),
            }),
            first_byte_us: 0,
            complete_us: 0,
        })
    }

    fn prepend(
        &mut self,
        body: &mut Body,
        said: &ObjectProperties,
        payload_len: usize,
        version: Version,
    ) -> Option<usize> {
        self.properties.clear();
        said.put(version, &mut self.properties);
        self.header.clear();
        let block = Some(&self.properties[..]);
        put_object_header(&mut self.header, 0, block, payload_len as u64, None);
        body.prepend(&self.header).then_some(self.header.len())
    }
}
