//! Messages: vectors, round trips of random ones, cuts, and what is refused where.

mod random;

use bytes::Bytes;

use super::*;
use crate::moqt::error::{PublishDoneCode, RequestErrorCode};
use crate::moqt::location::{Filter, Location};
use crate::moqt::name::{FullTrackName, Namespace};
use crate::moqt::param::Params;
use crate::moqt::properties::{Properties, TrackProperties};
use random::Random;

use RequestKind as Kind;
use Version::{Draft18, Draft19, Draft20, Draft21, Draft22};

fn track(namespace: &str, track: &'static str) -> FullTrackName {
    let namespace = Namespace::from_path(namespace).unwrap();
    FullTrackName::new(namespace, Bytes::from_static(track.as_bytes())).unwrap()
}

fn properties(bytes: &'static [u8]) -> Properties {
    Properties::new(Bytes::from_static(bytes)).unwrap()
}

fn encode(version: Version, on: StreamRole, message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.encode(version, on, &mut out).unwrap();
    out
}

fn decode(version: Version, on: StreamRole, bytes: &[u8]) -> Result<Option<Message>, DecodeError> {
    Message::decode(version, on, &mut BytesMut::from(bytes))
}

/// Encodes to `bytes` and back, and is incomplete at every cut.
fn vector(version: Version, on: StreamRole, message: impl Into<Message>, bytes: &[u8]) {
    let message = message.into();
    assert_eq!(encode(version, on, &message)[..], *bytes, "{message:?}");
    for cut in 0..bytes.len() {
        assert_eq!(decode(version, on, &bytes[..cut]), Ok(None), "cut at {cut}");
    }
    let mut buf = BytesMut::from(bytes);
    buf.extend_from_slice(b"next");
    let decoded = Message::decode(version, on, &mut buf);
    assert_eq!(decoded, Ok(Some(message)));
    assert_eq!(buf[..], *b"next", "one message is consumed");
}

#[test]
fn setup_and_goaway_match_the_vectors() {
    for version in Version::ALL {
        let on = StreamRole::Control;
        vector(version, on, Setup::default(), &[0xaf, 0, 0, 0]);
        let setup = Setup {
            implementation: Some("r/1".to_owned()),
            ..Default::default()
        };
        vector(version, on, setup, b"\xaf\0\0\x05\x07\x03r/1");
    }
    let goaway = |request_id| Goaway {
        timeout_ms: 5000,
        request_id,
        ..Default::default()
    };
    let on = StreamRole::Control;
    let bytes = [0x10, 0, 4, 0, 0x93, 0x88, 0];
    vector(Draft18, on, goaway(Some(0)), &bytes);
    let bytes = [0x10, 0, 3, 0, 0x93, 0x88];
    vector(Draft19, on, goaway(None), &bytes);
    vector(
        Draft18,
        StreamRole::Answer(Kind::Fetch),
        goaway(None),
        &bytes,
    );
}

#[test]
fn subscribe_ok_matches_the_vectors() {
    let on = StreamRole::Answer(Kind::Subscribe);
    let ok = |alias, largest, block| SubscribeOk {
        alias,
        params: Params {
            largest,
            ..Default::default()
        },
        properties: properties(block),
    };
    let timescale = TrackProperties {
        timescale: Some(1_000_000),
        ..Default::default()
    };
    for v in Version::ALL {
        vector(v, on, ok(0, None, b""), &[4, 0, 2, 0, 0]);
        let largest = Some(Location::new(5, 3));
        vector(v, on, ok(0, largest, b""), &[4, 0, 5, 0, 1, 9, 5, 3]);
        let bytes = [4, 0, 6, 0, 0, 8, 0xcf, 0x42, 0x40];
        vector(v, on, ok(0, None, b"\x08\xcf\x42\x40"), &bytes);
        let with_timescale = SubscribeOk {
            properties: timescale.to_block(),
            ..ok(0, None, b"")
        };
        vector(v, on, with_timescale, &bytes);
        let order = ok(42, None, &[0x22, 2]);
        vector(v, on, order, &[4, 0, 4, 0x2a, 0, 0x22, 2]);
    }
}

#[test]
fn replies_match_the_vectors() {
    for v in Version::ALL {
        let on = StreamRole::Answer(Kind::SubscribeNamespace);
        vector(v, on, RequestOk::default(), &[7, 0, 1, 0]);
        let error = RequestError::new(RequestErrorCode::DoesNotExist, "");
        vector(v, on, error, &[5, 0, 3, 0x10, 0, 0]);
        let on = StreamRole::Responder(Kind::SubscribeNamespace);
        let suffix = Namespace::empty();
        vector(v, on, NamespaceAdded { suffix }, &[8, 0, 1, 0]);
        let done = PublishDone {
            code: PublishDoneCode::TrackEnded,
            stream_count: Some(3),
            reason: String::new(),
        };
        let on = StreamRole::Responder(Kind::Subscribe);
        vector(v, on, done, &[0x0b, 0, 3, 2, 3, 0]);
    }
}

#[test]
fn requests_match_the_vectors() {
    let on = StreamRole::Opening;
    for v in Version::ALL {
        let publish = Publish {
            request_id: 1,
            track: track("ns", "video"),
            alias: 42,
            params: Params {
                forward: Some(true),
                ..Default::default()
            },
            properties: properties(&[0x22, 2]),
        };
        let bytes = b"\x1d\0\x11\x01\x01\x02ns\x05video\x2a\x01\x10\x01\x22\x02";
        vector(v, on, publish, bytes);
        let subscribe = SubscribeNamespace {
            request_id: 0,
            prefix: Namespace::empty(),
            params: Params::default(),
        };
        vector(v, on, subscribe, &[0x50, 0, 3, 0, 0, 0]);
    }
}

fn fetch(kind: FetchKind, filter: Option<Filter>) -> Fetch {
    Fetch {
        request_id: 2,
        kind,
        params: Params {
            filter,
            ..Default::default()
        },
    }
}

#[test]
fn fetch_matches_the_vectors_of_its_draft() {
    let on = StreamRole::Opening;
    let joining = FetchKind::RelativeJoining {
        joining_request_id: 0,
        groups: 0,
    };
    let filtered = FetchKind::Filtered {
        track: track("ns", "video"),
    };
    for v in [Draft18, Draft19] {
        let bytes = [0x16, 0, 5, 2, 2, 0, 0, 0];
        vector(v, on, fetch(joining.clone(), None), &bytes);
        let other = Message::from(fetch(filtered.clone(), None));
        let error = other.encode(v, on, &mut BytesMut::new());
        assert_eq!(error, Err(EncodeError::FetchNotInDraft(v)));
    }
    for v in [Draft20, Draft21, Draft22] {
        let everything = fetch(filtered.clone(), None);
        vector(v, on, everything, b"\x16\0\x0c\x02\x01\x02ns\x05video\0");
        let other = Message::from(fetch(joining.clone(), None));
        let error = other.encode(v, on, &mut BytesMut::new());
        assert_eq!(error, Err(EncodeError::FetchNotInDraft(v)));
    }
    let current = || fetch(filtered.clone(), Some(Filter::Relative(1)));
    let bytes = b"\x16\0\x0f\x02\x01\x02ns\x05video\x01\x21\x01\x01";
    vector(Draft20, on, current(), bytes);
    vector(Draft22, on, current(), bytes);
}

#[test]
fn the_end_of_a_fetch_is_written_as_its_draft_counts() {
    let on = StreamRole::Answer(Kind::Fetch);
    let ok = |object| FetchOk {
        end_of_track: false,
        end: Location::new(5, object),
        params: Params::default(),
        properties: Properties::default(),
    };
    for (v, written) in [(Draft18, 3), (Draft19, 3), (Draft20, 2), (Draft22, 2)] {
        vector(v, on, ok(3), &[0x18, 0, 4, 0, 5, written, 0]);
    }
    let mut whole_group = vec![0x18, 0, 12, 0, 5];
    whole_group.extend([0xff; 9]);
    whole_group.push(0);
    vector(Draft20, on, ok(0), &whole_group);
    assert_eq!(inclusive_end(exclusive_end(Location::new(1, 0))).object, 0);
}

#[test]
fn a_live_join_matches_the_vectors_of_drafts_since_20() {
    let on = StreamRole::Opening;
    let subscribe = || Subscribe {
        request_id: 0,
        track: track("a", "v"),
        params: Params {
            filter: Some(Filter::NextObject),
            fill: Some(Box::new(Params {
                filter: Some(Filter::Relative(1)),
                ..Default::default()
            })),
            include_properties: Some(false),
            ..Default::default()
        },
    };
    // Three parameters: 0x21, 0x23, 0x35.
    let counted = b"\x03\0\x13\0\x01\x01a\x01v\x03\x21\x02\0\0\x02\x04\x01\x21\x01\x01\x12\0";
    let typed = b"\x03\0\x11\0\x01\x01a\x01v\x03\x21\x05\x02\x04\x01\x21\x01\x01\x12\0";
    vector(Draft20, on, subscribe(), counted);
    vector(Draft21, on, subscribe(), counted);
    vector(Draft22, on, subscribe(), typed);
    let error = Message::from(subscribe()).encode(Draft19, on, &mut BytesMut::new());
    assert!(error.is_err(), "draft 19 has neither parameter");
}

#[test]
fn a_notice_of_the_publishers_is_there_since_draft_20() {
    let on = StreamRole::Responder(Kind::Subscribe);
    let notice = || PublishStateNotify {
        params: Params {
            forward: Some(false),
            ..Default::default()
        },
    };
    let bytes = [0x22, 0, 3, 1, 0x10, 0];
    vector(Draft20, on, notice(), &bytes);
    vector(
        Draft22,
        StreamRole::Requester(Kind::Publish),
        notice(),
        &bytes,
    );
    let unknown = Err(DecodeError::UnknownType(0x22));
    assert_eq!(decode(Draft19, on, &bytes), unknown);
    let to_fetch = decode(Draft20, StreamRole::Responder(Kind::Fetch), &bytes);
    assert!(matches!(to_fetch, Err(DecodeError::Misplaced { .. })));
}

#[test]
fn an_unknown_number_of_streams_is_written_as_the_draft_says() {
    let on = StreamRole::Responder(Kind::Subscribe);
    let done = |version| {
        let done = PublishDone {
            code: PublishDoneCode::TrackEnded,
            stream_count: None,
            reason: String::new(),
        };
        encode(version, on, &done.into())
    };
    let unknown = [0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(done(Draft19)[4..13], unknown);
    assert_eq!(done(Draft20)[4..13], [0xff; 9]);
}

#[test]
fn an_unknown_number_of_streams_is_none_in_either_spelling() {
    let on = StreamRole::Responder(Kind::Subscribe);
    for count in [(1 << 62) - 1, u64::MAX] {
        let mut bytes = vec![0x0b, 0, 0, 2];
        put_vi64(&mut bytes, count);
        bytes.push(0);
        bytes[2] = (bytes.len() - 3) as u8;
        let Ok(Some(Message::PublishDone(done))) = decode(Draft18, on, &bytes) else {
            panic!("{count} is read");
        };
        assert_eq!(done.stream_count, None);
    }
}

#[test]
fn messages_out_of_place_are_refused_by_name_before_their_body_is_there() {
    let misplaced = |on, bytes: &[u8], message| {
        let error = decode(Draft19, on, bytes).unwrap_err();
        assert_eq!(error, DecodeError::Misplaced { message, on });
        assert_eq!(error.session_error(), SessionError::ProtocolViolation);
    };
    misplaced(StreamRole::Control, &[0x03], "SUBSCRIBE");
    misplaced(StreamRole::Opening, &[0x04], "SUBSCRIBE_OK");
    misplaced(StreamRole::Opening, &[0x10], "GOAWAY");
    misplaced(StreamRole::Answer(Kind::Subscribe), &[7], "REQUEST_OK");
    misplaced(StreamRole::Answer(Kind::Subscribe), &[0x0b], "PUBLISH_DONE");
    misplaced(
        StreamRole::Requester(Kind::TrackStatus),
        &[2],
        "REQUEST_UPDATE",
    );
    misplaced(
        StreamRole::Answer(Kind::SubscribeNamespace),
        &[8],
        "NAMESPACE",
    );
    misplaced(StreamRole::Requester(Kind::Subscribe), &[3], "SUBSCRIBE");
    for unknown in [0x00, 0x01, 0x1e, 0x20, 0x40] {
        let error = decode(Draft18, StreamRole::Opening, &[unknown]);
        assert_eq!(error, Err(DecodeError::UnknownType(unknown.into())));
    }
    let message = Message::from(RequestOk::default());
    let mut out = BytesMut::new();
    let on = StreamRole::Control;
    let error = message.encode(Draft19, on, &mut out).unwrap_err();
    let message = "REQUEST_OK";
    assert_eq!(error, EncodeError::Misplaced { message, on });
    assert!(out.is_empty());
}

#[test]
fn bodies_that_do_not_fit_their_length_are_refused_by_name() {
    let on = StreamRole::Opening;
    let message = "SUBSCRIBE_NAMESPACE";
    let refused = |bytes: &[u8]| decode(Draft19, on, bytes).unwrap_err();
    assert_eq!(
        refused(&[0x50, 0, 2, 0, 0]),
        DecodeError::Truncated(message)
    );
    assert_eq!(refused(&[0x50, 0, 1, 0]), DecodeError::Truncated(message));
    assert_eq!(
        refused(&[0x50, 0, 3, 0, 1, 4]),
        DecodeError::Truncated(message)
    );
    assert_eq!(
        refused(&[0x50, 0, 4, 0, 0, 0, 9]),
        DecodeError::Trailing { message, len: 1 }
    );
    assert_eq!(
        refused(&[0x16, 0, 2, 0, 4]),
        DecodeError::UnknownFetchType(4)
    );
    let on = StreamRole::Answer(Kind::Publish);
    let properties = decode(Draft19, on, &[7, 0, 3, 0, 8, 1]).unwrap_err();
    assert_eq!(properties, DecodeError::UnexpectedProperties("REQUEST_OK"));
    let on = StreamRole::Answer(Kind::Fetch);
    let flag = decode(Draft19, on, &[0x18, 0, 4, 2, 0, 0, 0]).unwrap_err();
    assert_eq!(flag, DecodeError::BadEndOfTrack(2));
}

#[test]
fn limits_are_refused_by_name_in_both_directions() {
    let on = StreamRole::Answer(Kind::Subscribe);
    let long = "r".repeat(REASON_LEN_MAX + 1);
    let error = Message::from(RequestError::new(RequestErrorCode::Internal, long));
    let mut out = BytesMut::new();
    let too_long = Err(EncodeError::ReasonTooLong(1025));
    assert_eq!(error.encode(Draft19, on, &mut out), too_long);
    let mut bytes = vec![5, 4, 5, 0, 0, 0x84, 0x01];
    bytes.resize(3 + 0x405, b'r');
    let too_long = Err(DecodeError::ReasonTooLong(1025));
    assert_eq!(decode(Draft19, on, &bytes), too_long);

    let on = StreamRole::Control;
    let uri = "u".repeat(URI_LEN_MAX + 1);
    let goaway = Message::from(Goaway {
        uri,
        ..Default::default()
    });
    let too_long = Err(EncodeError::UriTooLong(8193));
    assert_eq!(goaway.encode(Draft19, on, &mut out), too_long);
    let implementation = Some("i".repeat(65_530));
    let setup = Message::from(Setup {
        implementation,
        ..Default::default()
    });
    assert!(setup.encode(Draft19, on, &mut out).is_ok());
    out.clear();
    let implementation = Some("i".repeat(65_535));
    let setup = Message::from(Setup {
        implementation,
        ..Default::default()
    });
    let (message, len) = ("SETUP", 65_539);
    let too_long = Err(EncodeError::TooLong { message, len });
    assert_eq!(setup.encode(Draft19, on, &mut out), too_long);
    assert!(out.is_empty());
    let goaway = Message::from(Goaway::default());
    let needs_id = Err(EncodeError::GoawayRequestId);
    assert_eq!(goaway.encode(Draft18, on, &mut out), needs_id);
}

#[test]
fn setup_options_are_checked_and_unknown_ones_ignored() {
    let setup = |version, options: &[u8]| {
        let mut bytes = vec![0xaf, 0, 0, options.len() as u8];
        bytes.extend_from_slice(options);
        decode(version, StreamRole::Control, &bytes)
    };
    // Grease 0x9d (odd) and, from draft 18, an option that only draft 19 has.
    let ok = setup(Draft18, b"\x06\x07\x80\x97\x01x").unwrap();
    assert_eq!(ok, Some(Setup::default().into()));
    let limits = Setup {
        max_filter_ranges: Some(7),
        max_request_updates: Some(1),
        ..Default::default()
    };
    assert_eq!(setup(Draft19, &[6, 7, 2, 1]), Ok(Some(limits.into())));
    let close = |options: &[u8]| setup(Draft19, options).unwrap_err();
    assert_eq!(close(b"\x01\x01/\0\x01/"), DecodeError::RepeatedOption(1));
    assert_eq!(close(b"\x01\x01\xff"), DecodeError::MalformedPath);
    assert_eq!(close(b"\x05\x01\xff"), DecodeError::MalformedAuthority);
    assert_eq!(close(b"\x03\x02\x02\x01"), DecodeError::AliasInSetup);
    let token = close(b"\x03\x01\x09");
    assert_eq!(token.session_error(), SessionError::KeyValueFormatting);
    let mut tokens = vec![3, 2, 3, 0];
    (0..64).for_each(|_| tokens.extend([0, 2, 3, 0]));
    let mut bytes = vec![0xaf, 0, 1, 4];
    bytes.extend(tokens);
    let error = decode(Draft19, StreamRole::Control, &bytes);
    assert_eq!(error, Err(DecodeError::TooManyTokens));
    let path = DecodeError::MalformedPath.session_error();
    assert_eq!(path, SessionError::MalformedPath);
}

#[test]
fn a_redirect_goes_with_its_code_and_names_no_track_of_a_namespace() {
    let on = StreamRole::Answer(Kind::Subscribe);
    let redirect = RequestError {
        code: RequestErrorCode::Redirect,
        retry_ms: Some(0),
        reason: "elsewhere".to_owned(),
        redirect: Some(Box::new(Redirect {
            uri: "moqt://other".to_owned(),
            track: track("live/cam", "video"),
        })),
    };
    let message = Message::from(redirect.clone());
    let bytes = encode(Draft19, on, &message);
    assert_eq!(decode(Draft19, on, &bytes), Ok(Some(message)));
    let on = StreamRole::Answer(Kind::SubscribeTracks);
    let error = decode(Draft19, on, &bytes);
    assert_eq!(error, Err(DecodeError::TrackInRedirect));
    let mismatch = Message::from(RequestError {
        code: RequestErrorCode::Internal,
        ..redirect
    });
    let error = mismatch.encode(Draft19, on, &mut BytesMut::new());
    assert_eq!(error, Err(EncodeError::RedirectMismatch));
}

#[test]
fn every_message_tells_its_request() {
    let mut random = Random(1);
    let mut kinds = Vec::new();
    for _ in 0..500 {
        let (on, message) = random.message(Draft20);
        assert_eq!(message.request_kind().is_some(), on == StreamRole::Opening);
        let takes_id = on == StreamRole::Opening || matches!(message, Message::RequestUpdate(_));
        assert_eq!(message.request_id().is_some(), takes_id);
        kinds.push(message.name());
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 19, "the generator makes every message");
}

#[test]
fn random_messages_round_trip_in_every_draft_and_wait_at_every_cut() {
    for version in Version::ALL {
        for seed in 0..2_000 {
            let (on, message) = Random(seed).message(version);
            let bytes = encode(version, on, &message);
            let decoded = decode(version, on, &bytes);
            assert_eq!(decoded, Ok(Some(message)), "seed {seed} {version}");
            for cut in 0..bytes.len() {
                let cut = decode(version, on, &bytes[..cut]);
                assert_eq!(cut, Ok(None), "seed {seed} {version}");
            }
        }
    }
}

#[test]
fn corrupted_messages_never_panic_and_what_is_accepted_round_trips() {
    let mut accepted = 0;
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let version = random.pick(Version::ALL);
        let (on, message) = random.message(version);
        let mut bytes = encode(version, on, &message);
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        if let Ok(Some(message)) = Message::decode(version, on, &mut bytes) {
            accepted += 1;
            let again = encode(version, on, &message);
            let decoded = decode(version, on, &again);
            assert_eq!(decoded, Ok(Some(message)), "seed {seed} {version}");
        }
    }
    assert!(accepted > 1_000, "only {accepted} were worth the test");
}
