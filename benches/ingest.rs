//! A frame into an object, by the calls that the relay's ingest makes.

use bytes::Bytes;
use weir_protocol::body::Body;
use weir_protocol::loc::ObjectProperties;
pub use weir_relay::ingest::{MEDIA_ROOM, ObjectBuilder};
use weir_relay::ring::Object;

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

/// Builds an object in the allocation that its payload arrived in.
pub fn build(builder: &mut ObjectBuilder, id: u64, body: Body, said: &ObjectProperties) -> Object {
    builder.build(id, body, said).at(0, 0)
}
