//! REQUEST_OK, REQUEST_ERROR and REQUEST_UPDATE.

use bytes::{BufMut, BytesMut};

use super::goaway::{decode_uri, encode_uri};
use super::subscribe::rest_properties;
use super::{Body, Context, DecodeError, EncodeError, RequestKind};
use crate::moqt::error::RequestErrorCode;
use crate::moqt::name::FullTrackName;
use crate::moqt::param::{Params, Scope};
use crate::moqt::properties::Properties;
use crate::wire::{Reader, put_prefixed, put_vi64};

/// Longest reason phrase, in bytes (draft 18, "Reason Phrase Structure").
pub const REASON_LEN_MAX: usize = 1024;

/// Grants a request that has no answer of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOk {
    /// What the granted request may say back.
    pub params: Params,
    /// What holds for the track as a whole; only in the answer to TRACK_STATUS.
    pub properties: Properties,
}

/// Refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// Why.
    pub code: RequestErrorCode,
    /// After how many ms it may be tried again; `None` when it is of no use.
    pub retry_ms: Option<u64>,
    /// For people.
    pub reason: String,
    /// Where to ask; with the code REDIRECT and only then. Boxed, since hardly any refusal has it.
    pub redirect: Option<Box<Redirect>>,
}

/// Where a redirected request may be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The session to ask in; empty is this one.
    pub uri: String,
    /// The name to ask for; for a request about a namespace its track name is empty.
    pub track: FullTrackName,
}

/// Changes a request: what is not among the parameters stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUpdate {
    /// Names the update in the session.
    pub request_id: u64,
    /// What changes.
    pub params: Params,
}

impl RequestError {
    /// A refusal that is final and redirects nowhere.
    pub fn new(code: RequestErrorCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            retry_ms: None,
            reason: reason.into(),
            redirect: None,
        }
    }
}

pub(super) fn encode_reason(reason: &str, out: &mut BytesMut) -> Result<(), EncodeError> {
    if reason.len() > REASON_LEN_MAX {
        return Err(EncodeError::ReasonTooLong(reason.len()));
    }
    put_prefixed(out, reason.as_bytes());
    Ok(())
}

/// Reads a reason. It is for people: what is not UTF-8 in it is replaced and ends no session.
pub(super) fn decode_reason(body: &mut Reader<'_>) -> Result<String, DecodeError> {
    let reason = body.prefixed()?;
    if reason.len() > REASON_LEN_MAX {
        return Err(DecodeError::ReasonTooLong(reason.len()));
    }
    Ok(String::from_utf8_lossy(reason).into_owned())
}

impl Body for RequestOk {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        let scope = cx.on.ok_scope();
        if scope != Scope::TrackStatusOk && !self.properties.is_empty() {
            return Err(EncodeError::UnexpectedProperties("REQUEST_OK"));
        }
        self.params.encode(cx.version, scope, out)?;
        out.put_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let scope = cx.on.ok_scope();
        let params = Params::decode(cx.version, scope, body)?;
        if scope != Scope::TrackStatusOk && !body.is_empty() {
            return Err(DecodeError::UnexpectedProperties("REQUEST_OK"));
        }
        let properties = rest_properties(body)?;
        Ok(Self { params, properties })
    }
}

impl Body for RequestError {
    fn encode(&self, _: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.redirect.is_some() != (self.code == RequestErrorCode::Redirect) {
            return Err(EncodeError::RedirectMismatch);
        }
        put_vi64(out, self.code.code());
        put_vi64(out, self.retry_ms.map_or(0, |ms| ms.saturating_add(1)));
        encode_reason(&self.reason, out)?;
        if let Some(redirect) = &self.redirect {
            encode_uri(&redirect.uri, out)?;
            redirect.track.encode(out);
        }
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = RequestErrorCode::from_code(body.vi64()?);
        let retry_ms = body.vi64()?.checked_sub(1);
        let reason = decode_reason(body)?;
        let redirect = if code == RequestErrorCode::Redirect {
            let uri = decode_uri(body)?;
            let track = FullTrackName::decode(body)?;
            Some(Box::new(Redirect { uri, track }))
        } else {
            None
        };
        let of_namespace = cx.on.kind().is_some_and(RequestKind::is_namespace);
        let track = redirect.as_ref().map(|redirect| redirect.track.track());
        if of_namespace && track.is_some_and(|track| !track.is_empty()) {
            return Err(DecodeError::TrackInRedirect);
        }
        Ok(Self {
            code,
            retry_ms,
            reason,
            redirect,
        })
    }
}

impl Body for RequestUpdate {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_vi64(out, self.request_id);
        let scope = cx.on.update_scope();
        Ok(self.params.encode(cx.version, scope, out)?)
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: body.vi64()?,
            params: Params::decode(cx.version, cx.on.update_scope(), body)?,
        })
    }
}
