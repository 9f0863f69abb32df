//! MoQT drafts 18 to 22: messages, streams, names and codes.
//!
//! One codec serves all drafts, with the negotiated [`Version`] as a parameter. What arrives is
//! parsed into values that are valid by their type; what leaves is checked by the same tables, so
//! that neither side can put a parameter where the draft forbids it.
//!
//! | module | holds |
//! |---|---|
//! | [`version`] | the drafts and their ALPNs |
//! | [`name`], [`location`] | what tracks and objects are called; filters over locations |
//! | [`message`], [`param`], [`token`] | control and request streams |
//! | [`properties`] | key-value pairs of setup, tracks and objects |
//! | [`stream`], [`subgroup`], [`fetch`], [`datagram`], [`object`] | objects on the wire |
//! | [`request`] | request ids |
//! | [`error`] | the code registries |
//!
//! # Where a draft is added
//!
//! A further draft is a variant of [`Version`], with its ALPN and number, at the head of
//! [`Version::ALL`]. What is generic over that list follows by itself: negotiation on raw QUIC and
//! WebTransport, `weir pull`, random messages, fuzzing and the end-to-end tests that run in every
//! draft. Then each place that looks at the version decides:
//!
//! | place | decides |
//! |---|---|
//! | `param/scope.rs` | which parameter is allowed on which message |
//! | [`location::Filter`] | the form of a filter: tagged (18), counted (20), typed (22) |
//! | `message/fetch.rs` | FETCH: a range or a join (18), a filter (20); FETCH_OK's end |
//! | `message/goaway.rs`, `message/setup.rs` | GOAWAY's request id (18), options of 19 |
//! | `message/publish.rs`, `message.rs` | the unknown count, PUBLISH_STATE_NOTIFY (20) |
//! | `loc.rs` | the ids of LOC's properties |
//! | `relay/src/session` | FIN on a request (18), joining FETCH or fill ([`Version::has_fill`]) |
//! | `relay/web/moqt.js` | the same for the browser's player |
//!
//! Sessions act on [`location::Filter`], which can say what any draft can. Draft 20 cost about 530
//! lines that way, its sessions included, draft 21 six and draft 22 fifty; the tests as much again.
//!
//! Peers that deviate from their draft belong in a file of their own beside the session, never in
//! the codec.

mod chunks;
pub mod datagram;
pub mod error;
pub mod fetch;
pub mod location;
pub mod message;
pub mod name;
pub mod object;
pub mod param;
pub mod properties;
pub mod request;
pub mod stream;
pub mod subgroup;
pub mod token;
pub mod version;

pub use error::{PublishDoneCode, RequestErrorCode, SessionError, StreamResetCode};
pub use location::{Filter, GroupOrder, Location};
pub use message::{DecodeError, Message, RequestKind, StreamRole};
pub use name::{FullTrackName, NameError, Namespace};
pub use param::Params;
pub use properties::{Properties, TrackProperties};
pub use request::{RequestIdError, RequestIds, Side};
pub use stream::UniStreamType;
pub use version::Version;
