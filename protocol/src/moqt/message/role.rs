//! Which message may come on which stream, from which side, and when.

use std::fmt;

use super::is_in;
use crate::moqt::Version;
use crate::moqt::param::Scope;

/// What a request stream was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// By SUBSCRIBE.
    Subscribe,
    /// By PUBLISH.
    Publish,
    /// By FETCH.
    Fetch,
    /// By TRACK_STATUS.
    TrackStatus,
    /// By PUBLISH_NAMESPACE.
    PublishNamespace,
    /// By SUBSCRIBE_NAMESPACE.
    SubscribeNamespace,
    /// By SUBSCRIBE_TRACKS.
    SubscribeTracks,
}

impl RequestKind {
    pub(super) fn opened_by(id: u64) -> Option<Self> {
        Some(match id {
            0x03 => Self::Subscribe,
            0x1d => Self::Publish,
            0x16 => Self::Fetch,
            0x0d => Self::TrackStatus,
            0x06 => Self::PublishNamespace,
            0x50 => Self::SubscribeNamespace,
            0x51 => Self::SubscribeTracks,
            _ => return None,
        })
    }

    /// Whether the request is about a namespace and not about a track.
    pub fn is_namespace(self) -> bool {
        matches!(
            self,
            Self::PublishNamespace | Self::SubscribeNamespace | Self::SubscribeTracks
        )
    }
}

/// The place of a message: which stream, whose half of it, and at which point.
///
/// The two halves of a request stream carry different messages, and the first answer is another
/// one than those that follow. The reader of a half and its writer name the same role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// A control stream: SETUP, then GOAWAY.
    Control,
    /// The first message of a request stream.
    Opening,
    /// What the requester sends after the first message.
    Requester(RequestKind),
    /// The first message of the responder, besides GOAWAY: the answer.
    Answer(RequestKind),
    /// What the responder sends after its answer.
    Responder(RequestKind),
}

const REQUEST_UPDATE: u64 = 0x02;
const SUBSCRIBE_OK: u64 = 0x04;
const REQUEST_ERROR: u64 = 0x05;
const REQUEST_OK: u64 = 0x07;
const NAMESPACE: u64 = 0x08;
const PUBLISH_DONE: u64 = 0x0b;
const NAMESPACE_DONE: u64 = 0x0e;
const PUBLISH_SKIPPED: u64 = 0x0f;
const GOAWAY: u64 = 0x10;
const FETCH_OK: u64 = 0x18;
pub(super) const PUBLISH_STATE_NOTIFY: u64 = 0x22;
const SETUP: u64 = 0x2f00;

impl StreamRole {
    /// Whether a message of type `id` may stand here.
    pub(super) fn allows(self, version: Version, id: u64) -> bool {
        use RequestKind as Kind;
        let among: &[u64] = match self {
            Self::Control => return matches!(id, SETUP | GOAWAY),
            Self::Opening => return RequestKind::opened_by(id).is_some(),
            Self::Requester(Kind::Publish) => &[
                REQUEST_UPDATE,
                REQUEST_OK,
                REQUEST_ERROR,
                PUBLISH_DONE,
                PUBLISH_STATE_NOTIFY,
            ],
            Self::Requester(Kind::TrackStatus) | Self::Responder(Kind::TrackStatus) => &[],
            Self::Requester(_) => &[REQUEST_UPDATE],
            Self::Answer(Kind::Subscribe) => &[SUBSCRIBE_OK, REQUEST_ERROR],
            Self::Answer(Kind::Fetch) => &[FETCH_OK, REQUEST_ERROR],
            Self::Answer(_) => &[REQUEST_OK, REQUEST_ERROR],
            Self::Responder(Kind::Subscribe) => &[
                REQUEST_OK,
                REQUEST_ERROR,
                PUBLISH_DONE,
                PUBLISH_STATE_NOTIFY,
            ],
            Self::Responder(Kind::Publish) => &[REQUEST_UPDATE, REQUEST_OK, REQUEST_ERROR],
            Self::Responder(Kind::SubscribeNamespace) => {
                &[REQUEST_OK, REQUEST_ERROR, NAMESPACE, NAMESPACE_DONE]
            }
            Self::Responder(Kind::SubscribeTracks) => &[REQUEST_OK, REQUEST_ERROR, PUBLISH_SKIPPED],
            Self::Responder(Kind::Fetch | Kind::PublishNamespace) => &[REQUEST_OK, REQUEST_ERROR],
        };
        id == GOAWAY || among.contains(&id) && is_in(version, id)
    }

    /// What a REQUEST_OK that stands here answers.
    pub(super) fn ok_scope(self) -> Scope {
        match self {
            Self::Answer(RequestKind::Publish) => Scope::PublishOk,
            Self::Answer(RequestKind::TrackStatus) => Scope::TrackStatusOk,
            Self::Answer(kind) if kind.is_namespace() => Scope::NamespaceOk,
            Self::Control
            | Self::Opening
            | Self::Requester(_)
            | Self::Answer(_)
            | Self::Responder(_) => Scope::UpdateOk,
        }
    }

    /// What a REQUEST_UPDATE that stands here updates.
    pub(super) fn update_scope(self) -> Scope {
        match self.kind() {
            Some(RequestKind::SubscribeNamespace | RequestKind::SubscribeTracks) => {
                Scope::PrefixUpdate
            }
            _ => Scope::Update,
        }
    }

    /// What the stream was opened for, when that is known.
    pub(super) fn kind(self) -> Option<RequestKind> {
        match self {
            Self::Control | Self::Opening => None,
            Self::Requester(kind) | Self::Answer(kind) | Self::Responder(kind) => Some(kind),
        }
    }
}

impl fmt::Display for StreamRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("on the control stream"),
            Self::Opening => f.write_str("as the first message of a request stream"),
            Self::Requester(kind) => write!(f, "after the request {kind:?}"),
            Self::Answer(kind) => write!(f, "as the answer to {kind:?}"),
            Self::Responder(kind) => write!(f, "after the answer to {kind:?}"),
        }
    }
}
