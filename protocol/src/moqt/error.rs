//! The four code registries of MoQT, and grease.
//!
//! A code that is not in its registry is kept as `Unknown`: it is treated as an internal error of
//! its context and never closes a session (draft 18, section "Error Codes").

use std::fmt;

macro_rules! codes {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $label:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A code that the registry does not have.
            Unknown(u64),
        }

        impl $name {
            /// Every registered code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            pub fn code(self) -> u64 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Unknown(code) => code,
                }
            }

            /// The meaning of a number from the wire.
            pub fn from_code(code: u64) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    code => Self::Unknown(code),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($label),)*
                    Self::Unknown(code) => write!(f, "code {code:#x}"),
                }
            }
        }
    };
}

codes! {
    /// Why a session ends: the code of CONNECTION_CLOSE or CLOSE_WEBTRANSPORT_SESSION.
    SessionError {
        /// An orderly end.
        NoError = 0x0, "no error";
        /// A fault of our own.
        Internal = 0x1, "internal error";
        /// The client may not use the session.
        Unauthorized = 0x2, "unauthorized";
        /// The peer broke a rule of the protocol.
        ProtocolViolation = 0x3, "protocol violation";
        /// A request id of the wrong parity, or used twice.
        InvalidRequestId = 0x4, "invalid request id";
        /// One alias for two tracks.
        DuplicateTrackAlias = 0x5, "duplicate track alias";
        /// A known key with a value of another form.
        KeyValueFormatting = 0x6, "key-value formatting error";
        /// PATH where it is not allowed, or of an unknown resource.
        InvalidPath = 0x8, "invalid path";
        /// PATH that is not a path.
        MalformedPath = 0x9, "malformed path";
        /// The peer did not leave in time after GOAWAY.
        GoawayTimeout = 0x10, "GOAWAY timeout";
        /// A control message did not arrive in time.
        ControlMessageTimeout = 0x11, "control message timeout";
        /// A data stream's header did not arrive in time.
        DataStreamTimeout = 0x12, "data stream timeout";
        /// More registered tokens than the cache holds.
        AuthTokenCacheOverflow = 0x13, "auth token cache overflow";
        /// A token alias registered twice.
        DuplicateAuthTokenAlias = 0x14, "duplicate auth token alias";
        /// No draft in common.
        VersionNegotiationFailed = 0x15, "version negotiation failed";
        /// A token that its type does not allow.
        MalformedAuthToken = 0x16, "malformed auth token";
        /// A token alias that is not registered.
        UnknownAuthTokenAlias = 0x17, "unknown auth token alias";
        /// A token past its time.
        ExpiredAuthToken = 0x18, "expired auth token";
        /// AUTHORITY where it is not allowed, or of an unknown host.
        InvalidAuthority = 0x19, "invalid authority";
        /// AUTHORITY that is not an authority.
        MalformedAuthority = 0x1a, "malformed authority";
        /// More unanswered REQUEST_UPDATEs than MAX_REQUEST_UPDATES (draft 19).
        TooManyRequestUpdates = 0x1b, "too many request updates";
    }
}

codes! {
    /// Why a request is refused: the code of REQUEST_ERROR.
    RequestErrorCode {
        /// A fault of our own.
        Internal = 0x0, "internal error";
        /// The requester may not do this.
        Unauthorized = 0x1, "unauthorized";
        /// Nothing turned up in the time given.
        Timeout = 0x2, "timeout";
        /// The request is not implemented.
        NotSupported = 0x3, "not supported";
        /// A token that its type does not allow.
        MalformedAuthToken = 0x4, "malformed auth token";
        /// A token past its time.
        ExpiredAuthToken = 0x5, "expired auth token";
        /// The session is draining.
        GoingAway = 0x6, "going away";
        /// The endpoint has too much to do.
        ExcessiveLoad = 0x9, "excessive load";
        /// No such track or namespace.
        DoesNotExist = 0x10, "does not exist";
        /// A range that cannot be served.
        InvalidRange = 0x11, "invalid range";
        /// The track breaks the rules of tracks.
        MalformedTrack = 0x12, "malformed track";
        /// A second subscription to a track (draft 18 only).
        DuplicateSubscription = 0x19, "duplicate subscription";
        /// The subscriber does not want what is offered.
        Uninterested = 0x20, "uninterested";
        /// Two prefixes of which one contains the other.
        PrefixOverlap = 0x30, "prefix overlap";
        /// Too many tracks below the prefix.
        NamespaceTooLarge = 0x31, "namespace too large";
        /// A joining FETCH of a request that is not a subscription (until draft 19).
        InvalidJoiningRequestId = 0x32, "invalid joining request id";
        /// A mandatory track property that is not understood.
        UnsupportedExtension = 0x33, "unsupported extension";
        /// Ask elsewhere.
        Redirect = 0x34, "redirect";
        /// Filters that contradict each other (draft 19).
        ConflictingFilters = 0x35, "conflicting filters";
        /// A filter that cannot be applied (draft 19).
        InvalidFilter = 0x36, "invalid filter";
    }
}

codes! {
    /// Why a subscription ends: the code of PUBLISH_DONE.
    PublishDoneCode {
        /// A fault of our own.
        Internal = 0x0, "internal error";
        /// The subscriber may no longer have the track.
        Unauthorized = 0x1, "unauthorized";
        /// The track is over.
        TrackEnded = 0x2, "track ended";
        /// The end of the filter's range is reached (until draft 19).
        SubscriptionEnded = 0x3, "subscription ended";
        /// The session is draining.
        GoingAway = 0x4, "going away";
        /// The subscriber is too slow.
        TooFarBehind = 0x5, "too far behind";
        /// The time given by EXPIRES is over.
        Expired = 0x6, "expired";
        /// A REQUEST_UPDATE was refused.
        UpdateFailed = 0x8, "update failed";
        /// The endpoint has too much to do.
        ExcessiveLoad = 0x9, "excessive load";
        /// The track breaks the rules of tracks.
        MalformedTrack = 0x12, "malformed track";
    }
}

codes! {
    /// Why a stream is abandoned: the code of RESET_STREAM and STOP_SENDING.
    StreamResetCode {
        /// A fault of our own.
        Internal = 0x0, "internal error";
        /// Nobody wants it any more.
        Cancelled = 0x1, "cancelled";
        /// A delivery timeout passed.
        DeliveryTimeout = 0x2, "delivery timeout";
        /// The session is closing.
        SessionClosed = 0x3, "session closed";
        /// The session is draining.
        GoingAway = 0x4, "going away";
        /// The reader is too slow.
        TooFarBehind = 0x5, "too far behind";
        /// Whether objects of a FETCH exist is not known.
        UnknownObjectStatus = 0x6, "unknown object status";
        /// A token past its time.
        ExpiredAuthToken = 0x7, "expired auth token";
        /// The endpoint has too much to do, or a limit of its own is reached.
        ExcessiveLoad = 0x9, "excessive load";
        /// The track breaks the rules of tracks.
        MalformedTrack = 0x12, "malformed track";
    }
}

/// Whether `code` is reserved for greasing (`0x7f * N + 0x9d`): it occurs in setup options,
/// properties, token types and all code registries, and means nothing.
pub fn is_grease(code: u64) -> bool {
    code.checked_sub(0x9d)
        .is_some_and(|above| above.is_multiple_of(0x7f))
}

#[cfg(test)]
mod tests;
