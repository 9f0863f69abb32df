//! PUBLISH and PUBLISH_DONE.

use bytes::{BufMut, BytesMut};

use super::reply::{decode_reason, encode_reason};
use super::subscribe::rest_properties;
use super::{Body, Context, DecodeError, EncodeError};
use crate::moqt::Version;
use crate::moqt::error::PublishDoneCode;
use crate::moqt::name::FullTrackName;
use crate::moqt::param::{Params, Scope};
use crate::moqt::properties::Properties;
use crate::wire::{Reader, put_vi64};

/// How drafts 18 and 19 write an unknown number of streams; since draft 20 it is the largest
/// number.
const STREAM_COUNT_UNKNOWN: u64 = (1 << 62) - 1;

/// Offers a track to a subscriber who has not asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Names the request in the session.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Names the track on data streams.
    pub alias: u64,
    /// The largest object, tokens and the like.
    pub params: Params,
    /// What holds for the track as a whole.
    pub properties: Properties,
}

/// Ends a subscription: the publisher's last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishDone {
    /// Why.
    pub code: PublishDoneCode,
    /// How many data streams were opened; `None` when the publisher does not know. Some peers
    /// write 0 for that, so the count is a hint.
    pub stream_count: Option<u64>,
    /// For people.
    pub reason: String,
}

/// Says what has changed about a subscription without the subscriber's doing; to know, not to
/// answer. The drafts have it since 20.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishStateNotify {
    /// The largest object, and what has changed.
    pub params: Params,
}

impl Body for PublishStateNotify {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        Ok(self.params.encode(cx.version, Scope::StateNotify, out)?)
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let params = Params::decode(cx.version, Scope::StateNotify, body)?;
        Ok(Self { params })
    }
}

impl Body for Publish {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_vi64(out, self.request_id);
        self.track.encode(out);
        put_vi64(out, self.alias);
        self.params.encode(cx.version, Scope::Publish, out)?;
        out.put_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: body.vi64()?,
            track: FullTrackName::decode(body)?,
            alias: body.vi64()?,
            params: Params::decode(cx.version, Scope::Publish, body)?,
            properties: rest_properties(body)?,
        })
    }
}

impl Body for PublishDone {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        let unknown = match cx.version >= Version::Draft20 {
            true => u64::MAX,
            false => STREAM_COUNT_UNKNOWN,
        };
        put_vi64(out, self.code.code());
        put_vi64(out, self.stream_count.unwrap_or(unknown));
        encode_reason(&self.reason, out)
    }

    fn decode(_: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            code: PublishDoneCode::from_code(body.vi64()?),
            // No track has that many streams: the numbers of both drafts mean "unknown".
            stream_count: Some(body.vi64()?).filter(|&count| count < STREAM_COUNT_UNKNOWN),
            reason: decode_reason(body)?,
        })
    }
}
