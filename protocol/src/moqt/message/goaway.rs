//! GOAWAY.

use bytes::BytesMut;

use super::{Body, Context, DecodeError, EncodeError, StreamRole};
use crate::moqt::Version;
use crate::wire::{Reader, put_prefixed, put_vi64};

/// Longest URI of a new session, in bytes (draft 18, "GOAWAY").
pub const URI_LEN_MAX: usize = 8192;

/// Asks the peer to leave the session, or on a request stream to move that request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goaway {
    /// Where to go; empty is the same place. A client always sends it empty.
    pub uri: String,
    /// After how many ms the sender closes; 0 is at its discretion.
    pub timeout_ms: u64,
    /// Draft 18, control stream only: the smallest request id that may not have been processed.
    pub request_id: Option<u64>,
}

fn has_request_id(cx: Context) -> bool {
    cx.version == Version::Draft18 && cx.on == StreamRole::Control
}

pub(super) fn encode_uri(uri: &str, out: &mut BytesMut) -> Result<(), EncodeError> {
    if uri.len() > URI_LEN_MAX {
        return Err(EncodeError::UriTooLong(uri.len()));
    }
    put_prefixed(out, uri.as_bytes());
    Ok(())
}

pub(super) fn decode_uri(body: &mut Reader<'_>) -> Result<String, DecodeError> {
    let uri = body.prefixed()?;
    if uri.len() > URI_LEN_MAX {
        return Err(DecodeError::UriTooLong(uri.len()));
    }
    let uri = std::str::from_utf8(uri).map_err(|_| DecodeError::MalformedUri)?;
    Ok(uri.to_owned())
}

impl Body for Goaway {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.request_id.is_some() != has_request_id(cx) {
            return Err(EncodeError::GoawayRequestId);
        }
        encode_uri(&self.uri, out)?;
        put_vi64(out, self.timeout_ms);
        if let Some(request_id) = self.request_id {
            put_vi64(out, request_id);
        }
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            uri: decode_uri(body)?,
            timeout_ms: body.vi64()?,
            request_id: match has_request_id(cx) {
                true => Some(body.vi64()?),
                false => None,
            },
        })
    }
}
