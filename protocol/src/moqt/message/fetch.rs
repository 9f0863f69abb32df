//! FETCH and FETCH_OK.

use bytes::{BufMut, BytesMut};

use super::subscribe::rest_properties;
use super::{Body, Context, DecodeError, EncodeError};
use crate::moqt::location::Location;
use crate::moqt::name::FullTrackName;
use crate::moqt::param::{Params, Scope};
use crate::moqt::properties::Properties;
use crate::wire::{Reader, put_vi64};

/// Asks for objects of the past, on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Names the request in the session and its data stream.
    pub request_id: u64,
    /// Which objects.
    pub kind: FetchKind,
    /// Priority, order and tokens; since draft 20 the filter.
    pub params: Params,
}

/// Which objects a FETCH asks for. Drafts 18 and 19 have the first three forms, drafts since 20
/// the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// A range of a track.
    Standalone {
        /// The track.
        track: FullTrackName,
        /// The first object.
        start: Location,
        /// The group of the last object and that object's id plus one; object 0 asks for the
        /// whole group.
        end: Location,
    },
    /// What came before a subscription, from a group counted back from where it joined.
    RelativeJoining {
        /// The SUBSCRIBE's request id.
        joining_request_id: u64,
        /// How many groups before the one of joining; 0 is that group.
        groups: u64,
    },
    /// What came before a subscription, from a given group.
    AbsoluteJoining {
        /// The SUBSCRIBE's request id.
        joining_request_id: u64,
        /// The first group.
        group: u64,
    },
    /// What the filter among the parameters lets pass; without one, all there is.
    Filtered {
        /// The track.
        track: FullTrackName,
    },
}

/// Grants a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOk {
    /// Whether `end` is the end of the track.
    pub end_of_track: bool,
    /// The end of what will be sent, in the form of [`FetchKind::Standalone`]'s. On the wire it is
    /// the last object itself since draft 20.
    pub end: Location,
    /// None is defined in these drafts.
    pub params: Params,
    /// What holds for the track as a whole.
    pub properties: Properties,
}

impl Body for Fetch {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_vi64(out, self.request_id);
        let filtered = matches!(self.kind, FetchKind::Filtered { .. });
        if filtered != cx.version.has_fill() {
            return Err(EncodeError::FetchNotInDraft(cx.version));
        }
        match &self.kind {
            FetchKind::Filtered { track } => track.encode(out),
            FetchKind::Standalone { track, start, end } => {
                put_vi64(out, 1);
                track.encode(out);
                start.encode(out);
                end.encode(out);
            }
            FetchKind::RelativeJoining {
                joining_request_id,
                groups,
            } => {
                put_vi64(out, 2);
                put_vi64(out, *joining_request_id);
                put_vi64(out, *groups);
            }
            FetchKind::AbsoluteJoining {
                joining_request_id,
                group,
            } => {
                put_vi64(out, 3);
                put_vi64(out, *joining_request_id);
                put_vi64(out, *group);
            }
        }
        Ok(self.params.encode(cx.version, Scope::Fetch, out)?)
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: body.vi64()?,
            kind: FetchKind::decode(cx, body)?,
            params: Params::decode(cx.version, Scope::Fetch, body)?,
        })
    }
}

impl FetchKind {
    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if cx.version.has_fill() {
            let track = FullTrackName::decode(body)?;
            return Ok(Self::Filtered { track });
        }
        Ok(match body.vi64()? {
            1 => Self::Standalone {
                track: FullTrackName::decode(body)?,
                start: Location::decode(body)?,
                end: Location::decode(body)?,
            },
            2 => Self::RelativeJoining {
                joining_request_id: body.vi64()?,
                groups: body.vi64()?,
            },
            3 => Self::AbsoluteJoining {
                joining_request_id: body.vi64()?,
                group: body.vi64()?,
            },
            other => return Err(DecodeError::UnknownFetchType(other)),
        })
    }
}

/// The last location of a range in the form that drafts before 20 have for it: object 0 is the
/// whole group, any other number is one more than the last object's id.
pub fn exclusive_end(last: Location) -> Location {
    Location {
        object: last.object.wrapping_add(1),
        ..last
    }
}

/// The reverse of [`exclusive_end`]: the whole group is [`LAST_OBJECT`](crate::moqt::location).
pub fn inclusive_end(end: Location) -> Location {
    Location {
        object: end.object.wrapping_sub(1),
        ..end
    }
}

impl Body for FetchOk {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(self.end_of_track.into());
        match cx.version.has_fill() {
            true => inclusive_end(self.end).encode(out),
            false => self.end.encode(out),
        }
        self.params.encode(cx.version, Scope::FetchOk, out)?;
        out.put_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            end_of_track: match body.u8()? {
                0 => false,
                1 => true,
                other => return Err(DecodeError::BadEndOfTrack(other)),
            },
            end: match cx.version.has_fill() {
                true => exclusive_end(Location::decode(body)?),
                false => Location::decode(body)?,
            },
            params: Params::decode(cx.version, Scope::FetchOk, body)?,
            properties: rest_properties(body)?,
        })
    }
}
