//! Control and request messages: framing, and which message may come where.
//!
//! A message is a `vi64` type, a 16-bit length and a body. Each body is a struct of its own in the
//! modules below; [`Message`] is their sum.

mod fetch;
mod goaway;
mod namespace;
mod publish;
mod reply;
mod role;
mod setup;
mod subscribe;

use bytes::{Buf, BufMut, BytesMut};

use super::Version;
use super::error::SessionError;
use super::name::NameError;
use super::param::ParamError;
use super::properties::PropertyError;
use super::token::TokenError;
use crate::wire::{Incomplete, Reader, put_vi64};

pub use fetch::{Fetch, FetchKind, FetchOk, exclusive_end, inclusive_end};
pub use goaway::{Goaway, URI_LEN_MAX};
pub use namespace::{
    NamespaceAdded, NamespaceDone, PublishNamespace, PublishSkipped, SubscribeNamespace,
    SubscribeTracks,
};
pub use publish::{Publish, PublishDone, PublishStateNotify};
pub use reply::{REASON_LEN_MAX, Redirect, RequestError, RequestOk, RequestUpdate};
pub use role::{RequestKind, StreamRole};
pub use setup::{SETUP_TOKENS_MAX, Setup};
pub use subscribe::{Subscribe, SubscribeOk, TrackStatus};

/// Longest body of a message, in bytes: its length is 16 bits wide.
pub const BODY_LEN_MAX: usize = 65_535;

/// Where and in which draft a body is read or written.
#[derive(Clone, Copy, Debug)]
struct Context {
    version: Version,
    on: StreamRole,
}

/// A message's body, without type and length.
trait Body: Sized {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError>;
    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Why a message cannot be read. Each is the peer's fault and ends the session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A type that the draft does not have.
    #[error("unknown message type {0:#x}")]
    UnknownType(u64),
    /// A message that may not come here.
    #[error("{message} is not allowed {on}")]
    Misplaced {
        /// The message.
        message: &'static str,
        /// Where it came.
        on: StreamRole,
    },
    /// The body ends inside a field.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// The body goes on after the last field.
    #[error("{len} bytes follow the last field of {message}")]
    Trailing {
        /// The message.
        message: &'static str,
        /// How many bytes.
        len: usize,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A parameter that cannot be.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// Properties or setup options that cannot be read.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A setup option's token that cannot be read.
    #[error("in SETUP: {0}")]
    Token(#[from] TokenError),
    /// A token alias that refers to an earlier message, in the first one.
    #[error("a token of SETUP refers to an alias")]
    AliasInSetup,
    /// Properties on a message that has none.
    #[error("{0} carries no track properties")]
    UnexpectedProperties(&'static str),
    /// More tokens in SETUP than [`SETUP_TOKENS_MAX`].
    #[error("SETUP carries more than {SETUP_TOKENS_MAX} tokens")]
    TooManyTokens,
    /// A setup option that may come once and came twice.
    #[error("setup option {0:#x} is repeated")]
    RepeatedOption(u64),
    /// PATH that is not text.
    #[error("the PATH option is not UTF-8")]
    MalformedPath,
    /// AUTHORITY that is not text.
    #[error("the AUTHORITY option is not UTF-8")]
    MalformedAuthority,
    /// A reason phrase longer than [`REASON_LEN_MAX`].
    #[error("a reason of {0} bytes is longer than {REASON_LEN_MAX}")]
    ReasonTooLong(usize),
    /// A URI longer than [`URI_LEN_MAX`].
    #[error("a URI of {0} bytes is longer than {URI_LEN_MAX}")]
    UriTooLong(usize),
    /// A URI that is not text.
    #[error("a URI is not UTF-8")]
    MalformedUri,
    /// A kind of FETCH that the draft does not have.
    #[error("unknown fetch type {0:#x}")]
    UnknownFetchType(u64),
    /// A flag that is neither 0 nor 1.
    #[error("the end-of-track flag of FETCH_OK is {0}")]
    BadEndOfTrack(u8),
    /// A redirect of a namespace that names a track.
    #[error("the redirect of a namespace request names a track")]
    TrackInRedirect,
}

impl DecodeError {
    /// A body knows that it is cut short, but not its own name.
    fn named(self, message: &'static str) -> Self {
        let truncated = matches!(
            self,
            Self::Truncated(_)
                | Self::Name(NameError::Incomplete)
                | Self::Param(ParamError::Incomplete | ParamError::Name(NameError::Incomplete))
        );
        if truncated {
            Self::Truncated(message)
        } else {
            self
        }
    }

    /// The code to close the session with.
    pub fn session_error(&self) -> SessionError {
        match self {
            Self::Property(error) => error.session_error(),
            Self::Token(_) | Self::Param(ParamError::Token(_)) => SessionError::KeyValueFormatting,
            Self::MalformedPath => SessionError::MalformedPath,
            Self::MalformedAuthority => SessionError::MalformedAuthority,
            Self::UnknownType(_)
            | Self::Misplaced { .. }
            | Self::Truncated(_)
            | Self::Trailing { .. }
            | Self::Name(_)
            | Self::Param(_)
            | Self::AliasInSetup
            | Self::TooManyTokens
            | Self::UnexpectedProperties(_)
            | Self::RepeatedOption(_)
            | Self::ReasonTooLong(_)
            | Self::UriTooLong(_)
            | Self::MalformedUri
            | Self::UnknownFetchType(_)
            | Self::BadEndOfTrack(_)
            | Self::TrackInRedirect => SessionError::ProtocolViolation,
        }
    }
}

/// Why a message cannot be written. Each is our own fault; nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A message that may not go there.
    #[error("{message} is not allowed {on}")]
    Misplaced {
        /// The message.
        message: &'static str,
        /// Where it was to go.
        on: StreamRole,
    },
    /// A parameter that may not be sent.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A body longer than [`BODY_LEN_MAX`].
    #[error("{message} of {len} bytes is longer than {BODY_LEN_MAX}")]
    TooLong {
        /// The message.
        message: &'static str,
        /// Its length.
        len: usize,
    },
    /// A reason phrase longer than [`REASON_LEN_MAX`].
    #[error("a reason of {0} bytes is longer than {REASON_LEN_MAX}")]
    ReasonTooLong(usize),
    /// A URI longer than [`URI_LEN_MAX`].
    #[error("a URI of {0} bytes is longer than {URI_LEN_MAX}")]
    UriTooLong(usize),
    /// Properties on a message that has none.
    #[error("{0} carries no track properties")]
    UnexpectedProperties(&'static str),
    /// A field that only another draft has, or a field of this draft that is missing.
    #[error("GOAWAY's request id belongs on the control stream of draft 18 and only there")]
    GoawayRequestId,
    /// A FETCH in a form that the draft does not have.
    #[error("{0} has no FETCH of this form")]
    FetchNotInDraft(Version),
    /// A redirect with another code than REDIRECT, or the code without a redirect.
    #[error("a redirect and the code REDIRECT come together or not at all")]
    RedirectMismatch,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident($body:ident) = $id:literal, $name:literal;)*) => {
        /// Any message of a control or request stream.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $($(#[$doc])* $variant($body),)*
        }

        impl Message {
            /// The type on the wire.
            pub fn type_id(&self) -> u64 {
                match self {
                    $(Self::$variant(_) => $id,)*
                }
            }

            /// The name in the draft.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            fn encode_body(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant(body) => body.encode(cx, out),)*
                }
            }

            fn decode_body(
                id: u64,
                cx: Context,
                body: &mut Reader<'_>,
            ) -> Result<Self, DecodeError> {
                match id {
                    $($id => Body::decode(cx, body).map(Self::$variant),)*
                    id => Err(DecodeError::UnknownType(id)),
                }
            }
        }

        $(
            impl From<$body> for Message {
                fn from(body: $body) -> Self {
                    Self::$variant(body)
                }
            }
        )*

        fn name_of(id: u64) -> Option<&'static str> {
            match id {
                $($id => Some($name),)*
                _ => None,
            }
        }
    };
}

messages! {
    /// Changes a request.
    RequestUpdate(RequestUpdate) = 0x02, "REQUEST_UPDATE";
    /// Asks for a track from now on.
    Subscribe(Subscribe) = 0x03, "SUBSCRIBE";
    /// Grants a subscription.
    SubscribeOk(SubscribeOk) = 0x04, "SUBSCRIBE_OK";
    /// Refuses a request.
    RequestError(RequestError) = 0x05, "REQUEST_ERROR";
    /// Announces a namespace.
    PublishNamespace(PublishNamespace) = 0x06, "PUBLISH_NAMESPACE";
    /// Grants a request.
    RequestOk(RequestOk) = 0x07, "REQUEST_OK";
    /// A namespace below the prefix appeared.
    Namespace(NamespaceAdded) = 0x08, "NAMESPACE";
    /// Ends a subscription.
    PublishDone(PublishDone) = 0x0b, "PUBLISH_DONE";
    /// Asks what is known of a track.
    TrackStatus(TrackStatus) = 0x0d, "TRACK_STATUS";
    /// A namespace below the prefix is gone.
    NamespaceDone(NamespaceDone) = 0x0e, "NAMESPACE_DONE";
    /// A track below the prefix will not be published.
    PublishSkipped(PublishSkipped) = 0x0f, "PUBLISH_SKIPPED";
    /// Asks the peer to leave.
    Goaway(Goaway) = 0x10, "GOAWAY";
    /// Asks for objects of the past.
    Fetch(Fetch) = 0x16, "FETCH";
    /// Grants a fetch.
    FetchOk(FetchOk) = 0x18, "FETCH_OK";
    /// Offers a track.
    Publish(Publish) = 0x1d, "PUBLISH";
    /// Says what has changed about a subscription (draft 20).
    PublishStateNotify(PublishStateNotify) = 0x22, "PUBLISH_STATE_NOTIFY";
    /// Asks for the namespaces below a prefix.
    SubscribeNamespace(SubscribeNamespace) = 0x50, "SUBSCRIBE_NAMESPACE";
    /// Asks for the tracks below a prefix.
    SubscribeTracks(SubscribeTracks) = 0x51, "SUBSCRIBE_TRACKS";
    /// Opens the session.
    Setup(Setup) = 0x2f00, "SETUP";
}

impl Message {
    /// Appends the whole message to `out`, or nothing on an error.
    pub fn encode(
        &self,
        version: Version,
        on: StreamRole,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let message = self.name();
        if !on.allows(version, self.type_id()) {
            return Err(EncodeError::Misplaced { message, on });
        }
        let mut body = BytesMut::new();
        self.encode_body(Context { version, on }, &mut body)?;
        let len = body.len();
        let Ok(short) = u16::try_from(len) else {
            return Err(EncodeError::TooLong { message, len });
        };
        put_vi64(out, self.type_id());
        out.put_u16(short);
        out.put_slice(&body);
        Ok(())
    }

    /// Takes one whole message off the front of `buf`; `None` when it is not all there yet. What
    /// is wrong with the type or its place is said as soon as the type is there.
    pub fn decode(
        version: Version,
        on: StreamRole,
        buf: &mut BytesMut,
    ) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(buf);
        let Ok(id) = reader.vi64() else {
            return Ok(None);
        };
        let known = name_of(id).filter(|_| is_in(version, id));
        let message = known.ok_or(DecodeError::UnknownType(id))?;
        if !on.allows(version, id) {
            return Err(DecodeError::Misplaced { message, on });
        }
        let Ok(body) = reader.u16().and_then(|len| reader.bytes(len.into())) else {
            return Ok(None);
        };
        let len = reader.position();
        let mut body = Reader::new(body);
        let decoded = Self::decode_body(id, Context { version, on }, &mut body);
        let decoded = decoded.map_err(|error| error.named(message))?;
        if !body.is_empty() {
            let len = body.remaining();
            return Err(DecodeError::Trailing { message, len });
        }
        buf.advance(len);
        Ok(Some(decoded))
    }

    /// The request id, of those messages that use one up.
    pub fn request_id(&self) -> Option<u64> {
        match self {
            Self::Subscribe(message) => Some(message.request_id),
            Self::Publish(message) => Some(message.request_id),
            Self::Fetch(message) => Some(message.request_id),
            Self::TrackStatus(message) => Some(message.request_id),
            Self::PublishNamespace(message) => Some(message.request_id),
            Self::SubscribeNamespace(message) => Some(message.request_id),
            Self::SubscribeTracks(message) => Some(message.request_id),
            Self::RequestUpdate(message) => Some(message.request_id),
            Self::SubscribeOk(_)
            | Self::RequestError(_)
            | Self::RequestOk(_)
            | Self::Namespace(_)
            | Self::PublishDone(_)
            | Self::PublishStateNotify(_)
            | Self::NamespaceDone(_)
            | Self::PublishSkipped(_)
            | Self::Goaway(_)
            | Self::FetchOk(_)
            | Self::Setup(_) => None,
        }
    }

    /// The kind of request that this message opens, if it opens one.
    pub fn request_kind(&self) -> Option<RequestKind> {
        RequestKind::opened_by(self.type_id())
    }
}

/// Whether the draft has a message of that type.
fn is_in(version: Version, id: u64) -> bool {
    id != role::PUBLISH_STATE_NOTIFY || version >= Version::Draft20
}

impl From<Incomplete> for DecodeError {
    fn from(_: Incomplete) -> Self {
        Self::Truncated("a message")
    }
}

#[cfg(test)]
mod tests;
