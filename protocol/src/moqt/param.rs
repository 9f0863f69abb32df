//! Message parameters: which there are, what each carries, and on which message it is allowed.
//!
//! Unlike key-value pairs a parameter's shape is fixed by its type alone and not by parity, so an
//! unknown one cannot be skipped: it ends the session (draft 18, "Message Parameters").

mod codec;
mod scope;

use bytes::Bytes;

use super::location::{Filter, FilterError, GroupOrder, Location};
use super::name::{NameError, Namespace};
use super::token::{Token, TokenError};
use crate::wire::Incomplete;
pub use scope::Scope;

/// Most parameters of one message. A limit of ours: the draft has 18 types, and only tokens and
/// range filters repeat.
pub const PARAMS_MAX: u64 = 64;

/// The numbers of the parameters (draft 19, "Message Parameters" registry).
pub mod id {
    /// [`Params::object_delivery_timeout_ms`](super::Params::object_delivery_timeout_ms).
    pub const OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
    /// [`Params::auth_tokens`](super::Params::auth_tokens).
    pub const AUTHORIZATION_TOKEN: u64 = 0x03;
    /// [`Params::rendezvous_timeout_ms`](super::Params::rendezvous_timeout_ms).
    pub const RENDEZVOUS_TIMEOUT: u64 = 0x04;
    /// [`Params::subgroup_delivery_timeout_ms`](super::Params::subgroup_delivery_timeout_ms).
    pub const SUBGROUP_DELIVERY_TIMEOUT: u64 = 0x06;
    /// [`Params::expires_ms`](super::Params::expires_ms).
    pub const EXPIRES: u64 = 0x08;
    /// [`Params::largest`](super::Params::largest).
    pub const LARGEST_OBJECT: u64 = 0x09;
    /// [`Params::fill_timeout_ms`](super::Params::fill_timeout_ms).
    pub const FILL_TIMEOUT: u64 = 0x0a;
    /// [`Params::forward`](super::Params::forward).
    pub const FORWARD: u64 = 0x10;
    /// [`Params::subscriber_priority`](super::Params::subscriber_priority).
    pub const SUBSCRIBER_PRIORITY: u64 = 0x20;
    /// [`Params::filter`](super::Params::filter).
    pub const FILTER: u64 = 0x21;
    /// [`Params::group_order`](super::Params::group_order).
    pub const GROUP_ORDER: u64 = 0x22;
    /// [`Params::fill`](super::Params::fill).
    pub const FILL_PARAMETERS: u64 = 0x23;
    /// The first kind of [`RangeFilter`](super::RangeFilter): subgroup ids.
    pub const SUBGROUP_FILTER: u64 = 0x25;
    /// The last kind of [`RangeFilter`](super::RangeFilter): track properties.
    pub const TRACK_PROPERTY_FILTER: u64 = 0x29;
    /// [`Params::new_group_request`](super::Params::new_group_request).
    pub const NEW_GROUP_REQUEST: u64 = 0x32;
    /// [`Params::namespace_prefix`](super::Params::namespace_prefix).
    pub const TRACK_NAMESPACE_PREFIX: u64 = 0x34;
    /// [`Params::include_properties`](super::Params::include_properties).
    pub const INCLUDE_PROPERTIES: u64 = 0x35;
}

/// The parameters of one message. What is `None` or empty is not in the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// How long an object may wait, in ms; 0 is without limit.
    pub object_delivery_timeout_ms: Option<u64>,
    /// What the sender shows to be let in.
    pub auth_tokens: Vec<Token>,
    /// How long to wait for a publisher, in ms; absent or 0 is not at all.
    pub rendezvous_timeout_ms: Option<u64>,
    /// How long a finished subgroup may wait, in ms; 0 is without limit.
    pub subgroup_delivery_timeout_ms: Option<u64>,
    /// When the sender will end the request, in ms from now; 0 is never.
    pub expires_ms: Option<u64>,
    /// The largest object known to the sender; absent when nothing has been published.
    pub largest: Option<Location>,
    /// How long a FETCH may wait for what is not there yet, in ms.
    pub fill_timeout_ms: Option<u64>,
    /// Whether objects are to be sent; absent is yes, except in an update.
    pub forward: Option<bool>,
    /// Lower is more urgent; absent is 128.
    pub subscriber_priority: Option<u8>,
    /// Which objects are wanted; absent is all that are published from now on.
    pub filter: Option<Filter>,
    /// The order of groups; absent is the track's preference, for FETCH ascending.
    pub group_order: Option<GroupOrder>,
    /// Asks for objects of the past beside the subscription, on a FETCH stream with its request
    /// id (draft 20). Within are the filter, the priority, the order and the time for it; without
    /// a filter it is the subscription's.
    pub fill: Option<Box<Self>>,
    /// Filters over ids and properties (draft 19).
    pub range_filters: Vec<RangeFilter>,
    /// Asks for a new group: the largest group known plus one, or 0.
    pub new_group_request: Option<u64>,
    /// The new prefix of a namespace or tracks subscription.
    pub namespace_prefix: Option<Namespace>,
    /// Whether the answer is to carry the track's properties (draft 20); absent is yes.
    pub include_properties: Option<bool>,
}

impl Params {
    /// What FILL_PARAMETERS say that ask for the group that is being published.
    pub fn current_group() -> Self {
        Self {
            filter: Some(Filter::Relative(1)),
            group_order: Some(GroupOrder::Ascending),
            ..Self::default()
        }
    }
}

/// A range filter of draft 19, unread: a peer may send one only after MAX_FILTER_RANGES of ours,
/// so a relay that announces none answers INVALID_FILTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeFilter {
    /// The parameter type, 0x25 to 0x29.
    pub kind: u64,
    /// Set id, property type and ranges; empty removes the filter.
    pub value: Bytes,
}

/// Why the parameters of a message cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// A type that the draft does not have.
    #[error("unknown parameter {0:#x}")]
    Unknown(u64),
    /// A type that the draft has, on a message where it is not allowed.
    #[error("parameter {param:#x} is not allowed on {scope}")]
    Forbidden {
        /// The parameter.
        param: u64,
        /// The message.
        scope: Scope,
    },
    /// Bytes after the last one within a parameter that holds others.
    #[error("bytes follow the last parameter within {0:#x}")]
    Trailing(u64),
    /// A parameter that may come once and came twice.
    #[error("parameter {0:#x} is repeated")]
    Duplicate(u64),
    /// A running type past the largest number.
    #[error("a parameter's type overflows")]
    TypeOverflow,
    /// More than [`PARAMS_MAX`].
    #[error("{0} parameters are more than {PARAMS_MAX}")]
    TooMany(u64),
    /// A value that the parameter cannot have.
    #[error("parameter {param:#x} cannot have the value {value}")]
    BadValue {
        /// The parameter.
        param: u64,
        /// The value found.
        value: u64,
    },
    /// The message ends inside a parameter.
    #[error("a parameter is cut short")]
    Incomplete,
    /// A token that cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A filter that cannot be read or written.
    #[error(transparent)]
    Filter(FilterError),
    /// A namespace prefix that is none.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl From<FilterError> for ParamError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Incomplete => Self::Incomplete,
            error @ (FilterError::UnknownType(_)
            | FilterError::EndOverflow
            | FilterError::EndBeforeStart
            | FilterError::NotInDraft(_)
            | FilterError::Trailing) => Self::Filter(error),
        }
    }
}

impl From<Incomplete> for ParamError {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

#[cfg(test)]
mod tests;
