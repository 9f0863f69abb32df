//! Aggregate messages: several messages in the form of FLV tags (RTMP 1.0 section 7.1.6).

use super::{Error, Session};
use crate::body::Body;
use crate::rtmp::chunk::{Message, MessageKind};

/// Type, length, timestamp in two parts, and a stream id that repeats the aggregate's.
const TAG_HEADER_LEN: usize = 11;

/// The length of the tag, once more.
const BACK_POINTER_LEN: usize = 4;

impl Session {
    /// Splits an aggregate. Its parts' timestamps count from that of the first part, which stands
    /// for the aggregate's own.
    pub(super) fn on_aggregate(&mut self, aggregate: &Message) -> Result<(), Error> {
        let mut bytes = aggregate.body.as_slice();
        let mut first_ms = None;
        while let Some((header, rest)) = bytes.split_first_chunk::<TAG_HEADER_LEN>() {
            let [type_id, l2, l1, l0, t2, t1, t0, t3, ..] = *header;
            let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            let tag_ms = u32::from_be_bytes([t3, t2, t1, t0]);
            let (payload, rest) = rest
                .split_at_checked(length)
                .ok_or(Error::AggregateCutOff)?;
            let first_ms = *first_ms.get_or_insert(tag_ms);
            let ahead = i64::from(tag_ms.wrapping_sub(first_ms).cast_signed());
            let kind = MessageKind::from_type_id(type_id);
            if matches!(
                kind,
                MessageKind::Audio | MessageKind::Video | MessageKind::DataAmf0
            ) {
                self.on_message(Message {
                    kind,
                    timestamp_ms: aggregate.timestamp_ms.saturating_add_signed(ahead),
                    body: Body::copy_from(self.config.media_room, payload),
                    ..*aggregate
                })?;
            }
            // The last back pointer is left out by some.
            bytes = rest.get(BACK_POINTER_LEN..).unwrap_or_default();
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(Error::AggregateCutOff)
        }
    }
}
