//! MoQT drafts 18 and 19: messages, streams, names and codes.
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
//! A further draft is a variant of [`Version`] first; then each place that looks at the version
//! decides: the scope table in `param/scope.rs`, the filter's form in `location.rs`, GOAWAY's
//! request id, FETCH's body and LOC's timestamp ids in `loc.rs`. Drafts 20 to 22 change the filter
//! and FETCH; what sessions act on ([`location::Filter`]) has words for theirs already. Peers that
//! deviate from their draft belong in a file of their own beside these, never in the codec.

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
