//! The registries' numbers, pinned.

use super::*;

macro_rules! pin {
    ($name:ident, $($variant:ident = $code:literal),* $(,)?) => {
        let pinned = [$(($name::$variant, $code)),*];
        assert_eq!(pinned.len(), $name::ALL.len(), "every code is pinned");
        for (value, code) in pinned {
            assert_eq!(value.code(), code, "{value}");
            assert_eq!($name::from_code(code), value);
            assert!($name::ALL.contains(&value));
        }
        let unknown = $name::from_code(0x9d + 0x7f * 3);
        assert_eq!(unknown, $name::Unknown(0x21a));
        assert_eq!(unknown.code(), 0x21a);
        assert_eq!(unknown.to_string(), "code 0x21a");
    };
}

#[test]
fn session_errors_have_their_numbers() {
    pin!(
        SessionError,
        NoError = 0,
        Internal = 1,
        Unauthorized = 2,
        ProtocolViolation = 3,
        InvalidRequestId = 4,
        DuplicateTrackAlias = 5,
        KeyValueFormatting = 6,
        InvalidPath = 8,
        MalformedPath = 9,
        GoawayTimeout = 16,
        ControlMessageTimeout = 17,
        DataStreamTimeout = 18,
        AuthTokenCacheOverflow = 19,
        DuplicateAuthTokenAlias = 20,
        VersionNegotiationFailed = 21,
        MalformedAuthToken = 22,
        UnknownAuthTokenAlias = 23,
        ExpiredAuthToken = 24,
        InvalidAuthority = 25,
        MalformedAuthority = 26,
        TooManyRequestUpdates = 27,
    );
}

#[test]
fn request_errors_have_their_numbers() {
    pin!(
        RequestErrorCode,
        Internal = 0,
        Unauthorized = 1,
        Timeout = 2,
        NotSupported = 3,
        MalformedAuthToken = 4,
        ExpiredAuthToken = 5,
        GoingAway = 6,
        ExcessiveLoad = 9,
        DoesNotExist = 16,
        InvalidRange = 17,
        MalformedTrack = 18,
        DuplicateSubscription = 25,
        Uninterested = 32,
        PrefixOverlap = 48,
        NamespaceTooLarge = 49,
        InvalidJoiningRequestId = 50,
        UnsupportedExtension = 51,
        Redirect = 52,
        ConflictingFilters = 53,
        InvalidFilter = 54,
    );
}

#[test]
fn publish_done_codes_have_their_numbers() {
    pin!(
        PublishDoneCode,
        Internal = 0,
        Unauthorized = 1,
        TrackEnded = 2,
        SubscriptionEnded = 3,
        GoingAway = 4,
        TooFarBehind = 5,
        Expired = 6,
        UpdateFailed = 8,
        ExcessiveLoad = 9,
        MalformedTrack = 18,
    );
}

#[test]
fn stream_reset_codes_have_their_numbers() {
    pin!(
        StreamResetCode,
        Internal = 0,
        Cancelled = 1,
        DeliveryTimeout = 2,
        SessionClosed = 3,
        GoingAway = 4,
        TooFarBehind = 5,
        UnknownObjectStatus = 6,
        ExpiredAuthToken = 7,
        ExcessiveLoad = 9,
        MalformedTrack = 18,
    );
}

#[test]
fn grease_is_recognised() {
    assert!(is_grease(0x9d));
    assert!(is_grease(0x9d + 0x7f * 1000));
    assert!(!is_grease(0x9c));
    assert!(!is_grease(0x9e));
    assert!(!is_grease(0x10));
}
