//! Discovery: PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE, SUBSCRIBE_TRACKS and what follows them.

use bytes::{Bytes, BytesMut};

use super::{Body, Context, DecodeError, EncodeError};
use crate::moqt::name::{FullTrackName, Namespace};
use crate::moqt::param::{Params, Scope};
use crate::wire::{Reader, put_vi64};

/// Announces a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishNamespace {
    /// Names the request in the session.
    pub request_id: u64,
    /// The namespace.
    pub namespace: Namespace,
    /// Tokens.
    pub params: Params,
}

/// Asks for the namespaces below a prefix, now and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeNamespace {
    /// Names the request in the session.
    pub request_id: u64,
    /// The prefix; without fields it matches all.
    pub prefix: Namespace,
    /// Tokens.
    pub params: Params,
}

/// Asks for PUBLISH of all tracks below a prefix, now and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeTracks {
    /// Names the request in the session.
    pub request_id: u64,
    /// The prefix; without fields it matches all.
    pub prefix: Namespace,
    /// Tokens and what holds for the subscriptions that follow.
    pub params: Params,
}

/// NAMESPACE: a namespace below the prefix appeared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceAdded {
    /// What follows the prefix; without fields it is the prefix itself.
    pub suffix: Namespace,
}

/// A namespace below the prefix is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceDone {
    /// What follows the prefix.
    pub suffix: Namespace,
}

/// A track below the prefix will not be published. Draft 18 calls it PUBLISH_BLOCKED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSkipped {
    /// What follows the prefix.
    pub suffix: Namespace,
    /// The track's name.
    pub track: Bytes,
}

macro_rules! namespace_request {
    ($name:ident, $field:ident) => {
        impl Body for $name {
            fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
                put_vi64(out, self.request_id);
                self.$field.encode(out);
                Ok(self.params.encode(cx.version, Scope::$name, out)?)
            }

            fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self {
                    request_id: body.vi64()?,
                    $field: Namespace::decode(body)?,
                    params: Params::decode(cx.version, Scope::$name, body)?,
                })
            }
        }
    };
}

namespace_request!(PublishNamespace, namespace);
namespace_request!(SubscribeNamespace, prefix);
namespace_request!(SubscribeTracks, prefix);

macro_rules! namespace_event {
    ($name:ident) => {
        impl Body for $name {
            fn encode(&self, _: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
                self.suffix.encode(out);
                Ok(())
            }

            fn decode(_: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let suffix = Namespace::decode(body)?;
                Ok(Self { suffix })
            }
        }
    };
}

namespace_event!(NamespaceAdded);
namespace_event!(NamespaceDone);

impl Body for PublishSkipped {
    fn encode(&self, _: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.suffix.encode(out);
        crate::wire::put_prefixed(out, &self.track);
        Ok(())
    }

    fn decode(_: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // The suffix and the name are within the limits of a full name together.
        let name = FullTrackName::decode(body)?;
        Ok(Self {
            suffix: name.namespace().clone(),
            track: name.track().clone(),
        })
    }
}
