//! SUBSCRIBE, SUBSCRIBE_OK and TRACK_STATUS.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Body, Context, DecodeError, EncodeError};
use crate::moqt::name::FullTrackName;
use crate::moqt::param::{Params, Scope};
use crate::moqt::properties::Properties;
use crate::wire::{Reader, put_vi64};

/// Asks for the objects of a track from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Names the request in the session.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Filter, priority, order and the like.
    pub params: Params,
}

/// Grants a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOk {
    /// Names the track on data streams.
    pub alias: u64,
    /// The largest object and when the subscription ends.
    pub params: Params,
    /// What holds for the track as a whole.
    pub properties: Properties,
}

/// Asks what is known of a track, without subscribing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStatus {
    /// Names the request in the session.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Tokens.
    pub params: Params,
}

/// The track properties: all that is left of a body.
pub(super) fn rest_properties(body: &mut Reader<'_>) -> Result<Properties, DecodeError> {
    Ok(Properties::new(Bytes::copy_from_slice(body.rest()))?)
}

impl Body for Subscribe {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_vi64(out, self.request_id);
        self.track.encode(out);
        Ok(self.params.encode(cx.version, Scope::Subscribe, out)?)
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: body.vi64()?,
            track: FullTrackName::decode(body)?,
            params: Params::decode(cx.version, Scope::Subscribe, body)?,
        })
    }
}

impl Body for SubscribeOk {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_vi64(out, self.alias);
        self.params.encode(cx.version, Scope::SubscribeOk, out)?;
        out.put_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            alias: body.vi64()?,
            params: Params::decode(cx.version, Scope::SubscribeOk, body)?,
            properties: rest_properties(body)?,
        })
    }
}

impl Body for TrackStatus {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_vi64(out, self.request_id);
        self.track.encode(out);
        Ok(self.params.encode(cx.version, Scope::TrackStatus, out)?)
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: body.vi64()?,
            track: FullTrackName::decode(body)?,
            params: Params::decode(cx.version, Scope::TrackStatus, body)?,
        })
    }
}
