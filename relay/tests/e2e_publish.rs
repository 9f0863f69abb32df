//! Publishers over MoQT: what they say is what viewers get, and what they do wrong is theirs.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(
    clippy::print_stderr,
    reason = "how long a viewer is held is a figure to read"
)]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use support::{
    Asked, GroupStream, Habits, MoqtClient, Publisher, STRANGE, Scratch, StreamEnd, Weir, head,
    header, now, object, publish, published, push, recipes, track_of, wait_for,
};
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::message::{
    Publish, PublishDone, PublishNamespace, RequestOk, SubscribeOk, SubscribeTracks,
};
use weir_protocol::moqt::object::ObjectStatus;
use weir_protocol::moqt::subgroup::{SubgroupHeader, SubgroupId, put_object_header};
use weir_protocol::moqt::{
    Message, Namespace, Params, Properties, PublishDoneCode, RequestErrorCode, StreamResetCode,
    Version,
};

const LIMIT: Duration = Duration::from_secs(40);

/// A name that the relay has taken.
#[track_caller]
fn announced(client: &mut MoqtClient) -> Asked {
    let request_id = client.fresh_id();
    let mut asked = client.ask(PublishNamespace {
        request_id,
        namespace: Namespace::from_path("live/cam").unwrap(),
        params: Params::default(),
    });
    let answer = asked.next();
    assert!(matches!(answer, Some(Message::RequestOk(_))), "{answer:?}");
    asked
}

#[track_caller]
fn watch(client: &mut MoqtClient, track: &str) -> (Asked, SubscribeOk) {
    let mut asked = client.subscribe(track, Params::default());
    let ok = asked.subscribed();
    (asked, ok)
}

fn payloads(group: &GroupStream) -> Vec<(u64, Vec<u8>)> {
    let objects = group.objects.iter();
    objects
        .map(|object| (object.location.object, object.payload.to_vec()))
        .collect()
}

#[test]
fn what_is_published_passes_through_unchanged() {
    for version in Version::ALL {
        let relay = Weir::start();
        let mut source = MoqtClient::connect(relay.quic, version);
        let mut asked = published(&mut source, "video", 9);
        let mut viewer = MoqtClient::connect(relay.quic, version);
        let (mut subscription, ok) = watch(&mut viewer, "video");
        assert_eq!(ok.properties.as_bytes()[..], [0x0e, 40]);
        let base = SubgroupHeader {
            end_of_group: false,
            ..header(9, 70)
        };
        let layer = SubgroupHeader {
            subgroup: SubgroupId::Explicit(3),
            priority: Some(200),
            ..header(9, 70)
        };
        let mut first = source.open_data(&head(base));
        let mut second = source.open_data(&head(layer));
        source.write(&mut first, &object(0, b"base 0"));
        source.write(&mut second, &object(1, b"layer 1"));
        // Ids that nobody used, a payload of many packets, and an empty one.
        let large = vec![7; 300_000];
        source.write(&mut first, &object(4, &large));
        source.write(&mut first, &object(0, b""));
        let mut end = Vec::new();
        put_object_header(&mut end, 0, Some(&[]), 0, Some(ObjectStatus::EndOfGroup));
        source.write(&mut first, &end);
        first.finish().unwrap();
        second.reset(0x9u32.into()).unwrap();
        let ended = |groups: &[GroupStream]| {
            groups.len() == 2 && groups.iter().all(|group| group.end.is_some())
        };
        let mut groups = viewer.wait_groups("both subgroups", ok.alias, ended);
        groups.sort_by_key(|group| group.header.priority);
        let (base_got, layer_got) = (&groups[0], &groups[1]);
        let expected = SubgroupHeader {
            alias: ok.alias,
            ..base
        };
        assert_eq!(base_got.header, expected);
        let got = payloads(base_got);
        let ids: Vec<u64> = got.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [0, 5, 6, 7]);
        assert_eq!(got[1].1, large);
        assert!(
            base_got.objects[..3]
                .iter()
                .all(|o| o.properties == STRANGE)
        );
        assert_eq!(base_got.end, Some(StreamEnd::Fin));
        let expected = SubgroupHeader {
            alias: ok.alias,
            ..layer
        };
        assert_eq!(layer_got.header, expected);
        assert_eq!(payloads(layer_got), [(1, b"layer 1".to_vec())]);
        assert_eq!(layer_got.end, Some(StreamEnd::Reset(9)));
        asked.say(PublishDone {
            code: PublishDoneCode::TrackEnded,
            stream_count: Some(2),
            reason: String::new(),
        });
        let done = subscription.next();
        let Some(Message::PublishDone(done)) = done else {
            panic!("no PUBLISH_DONE: {done:?}");
        };
        assert_eq!(done.code, PublishDoneCode::TrackEnded);
    }
}

#[test]
fn data_that_overtakes_its_request_waits_for_it() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut early = source.open_data(&head(header(5, 0)));
    source.write(&mut early, &object(0, b"early"));
    let _asked = published(&mut source, "video", 5);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_held, ok) = watch(&mut viewer, "video");
    source.write(&mut early, &object(0, b"next"));
    let came = |groups: &[GroupStream]| {
        let objects = groups.iter().flat_map(|group| &group.objects);
        objects
            .last()
            .is_some_and(|last| last.payload == b"next"[..])
    };
    viewer.wait_groups("the next object", ok.alias, came);
    assert!(source.is_open() && viewer.is_open());
}

#[test]
fn announced_track_is_subscribed_once_and_given_up_after_its_last_viewer() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _announced = announced(&mut source);
    let mut viewers: Vec<_> = (0..3)
        .map(|_| MoqtClient::connect(relay.quic, Version::Draft19))
        .collect();
    let mut asked: Vec<Asked> = viewers
        .iter_mut()
        .map(|viewer| viewer.subscribe("video", Params::default()))
        .collect();
    let mut request = source.next_request();
    let Message::Subscribe(subscribe) = &request.message else {
        panic!("not SUBSCRIBE: {:?}", request.message);
    };
    assert_eq!(subscribe.track, track_of("live/cam", "video"));
    request.say(
        true,
        SubscribeOk {
            alias: 77,
            params: Params::default(),
            properties: Properties::default(),
        },
    );
    let aliases: Vec<u64> = asked.iter_mut().map(|one| one.subscribed().alias).collect();
    let mut group = source.open_data(&head(header(77, 4)));
    source.write(&mut group, &object(0, b"for all"));
    for (viewer, alias) in viewers.iter().zip(aliases) {
        let came = |groups: &[GroupStream]| {
            groups
                .first()
                .is_some_and(|group| !group.objects.is_empty())
        };
        let groups = viewer.wait_groups("the object", alias, came);
        assert_eq!(payloads(&groups[0]), [(0, b"for all".to_vec())]);
    }
    assert!(
        !source.is_asked_within(Duration::from_millis(500)),
        "asked twice"
    );
    drop(asked);
    viewers.iter().for_each(MoqtClient::leave);
    request.wait_cancelled(LIMIT);
}

#[test]
fn refusal_of_the_publisher_is_the_viewers_refusal() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _announced = announced(&mut source);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut asked = viewer.subscribe("nothing", Params::default());
    let mut request = source.next_request();
    let refusal = weir_protocol::moqt::message::RequestError::new(
        RequestErrorCode::DoesNotExist,
        "there is no such track",
    );
    request.say(true, refusal);
    let refused = asked.refused();
    assert_eq!(refused.code, RequestErrorCode::DoesNotExist);
    assert_eq!(refused.reason, "there is no such track");
}

#[test]
fn name_has_one_owner_and_the_other_is_told_who() {
    let relay = Weir::start();
    let (_source, pushing) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let refused = publish(&mut source, "video", 1).refused();
    assert_eq!(refused.code, RequestErrorCode::Uninterested);
    assert!(refused.reason.contains("over rtmp"), "{}", refused.reason);
    drop(pushing);
    wait_for("the relay to notice", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("the stream is gone")?;
        match stream["state"] == "lingering" {
            true => Ok(()),
            false => Err(stream.to_string()),
        }
    });
    let _owner = published(&mut source, "video", 2);
    let mut encoder = Publisher::connect(relay.rtmp, "live", "cam");
    encoder.wait_said("over moqt");
    let stream = relay.stream("live/cam").unwrap();
    assert_eq!(stream["publisher"]["protocol"], "moqt");
}

#[test]
fn tracks_below_a_prefix_are_published_to_who_asks_for_them() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let request_id = viewer.fresh_id();
    let mut asked = viewer.ask(SubscribeTracks {
        request_id,
        prefix: Namespace::from_path("live").unwrap(),
        params: Params::default(),
    });
    assert!(matches!(asked.next(), Some(Message::RequestOk(_))));
    let mut publishing = published(&mut source, "video", 4);
    let mut offered = viewer.next_request();
    let Message::Publish(offer) = offered.message.clone() else {
        panic!("not PUBLISH: {:?}", offered.message);
    };
    assert_eq!(offer.track, track_of("live/cam", "video"));
    assert_eq!(offer.properties.as_bytes()[..], [0x0e, 40]);
    offered.say(true, RequestOk::default());
    wait_for("the viewer to be counted", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("no stream")?;
        let watching = stream["subscribers"] == 1;
        watching.then_some(()).ok_or_else(|| stream.to_string())
    });
    let mut group = source.open_data(&head(header(4, 0)));
    source.write(&mut group, &object(0, b"pushed"));
    group.finish().unwrap();
    let whole = |groups: &[GroupStream]| groups.iter().any(GroupStream::is_whole);
    let groups = viewer.wait_groups("the group", offer.alias, whole);
    assert_eq!(payloads(&groups[0]), [(0, b"pushed".to_vec())]);
    publishing.say(PublishDone {
        code: PublishDoneCode::TrackEnded,
        stream_count: Some(1),
        reason: String::new(),
    });
    assert!(
        !source.is_asked_within(Duration::from_millis(300)),
        "its own"
    );
}

#[test]
fn malformed_track_is_ended_for_its_viewers_and_its_publisher() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _asked = published(&mut source, "video", 1);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let (mut subscription, _) = watch(&mut viewer, "video");
    let mut group = source.open_data(&head(header(1, 0)));
    source.write(&mut group, &object(0, b"one"));
    let mut again = source.open_data(&head(header(1, 0)));
    source.write(&mut again, &object(0, b"another"));
    let done = subscription.next();
    let Some(Message::PublishDone(done)) = done else {
        panic!("no PUBLISH_DONE: {done:?}");
    };
    assert_eq!(done.code, PublishDoneCode::MalformedTrack);
    source.wait_stopped(&again);
    assert!(source.is_open() && viewer.is_open());
}

#[test]
fn datagrams_go_out_as_datagrams_at_an_edge_too() {
    let relay = Weir::start();
    let upstream = format!("moqt://{}?insecure", relay.quic);
    let edge = Weir::start_with(&["--upstream", &upstream]);
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _asked = published(&mut source, "audio", 6);
    let viewers = [&relay, &edge].map(|relay| {
        let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
        let (held, ok) = watch(&mut viewer, "audio");
        (viewer, held, ok)
    });
    for group in 0..3 {
        let sent = ObjectDatagram {
            alias: 6,
            group,
            object: 2,
            priority: Some(9),
            properties: Bytes::from_static(STRANGE),
            payload: Bytes::from_static(b"a packet"),
            ..ObjectDatagram::default()
        };
        let mut bytes = Vec::new();
        sent.encode(&mut bytes);
        source.send_datagram(bytes.into());
        for (viewer, _, ok) in &viewers {
            let got = ObjectDatagram::decode(&viewer.next_datagram()).unwrap();
            let expected = ObjectDatagram {
                alias: ok.alias,
                ..sent.clone()
            };
            assert_eq!(got, Some(expected));
        }
    }
    // Another subscription is told apart from the first by its alias.
    let [(mut viewer, _held, ok), _] = viewers;
    let (_again, other) = watch(&mut viewer, "audio");
    assert_ne!(ok.alias, other.alias);
    source.send_object(6, 9, Bytes::from_static(b"twice"));
    let mut aliases = [0, 1].map(|_| {
        let got = ObjectDatagram::decode(&viewer.next_datagram()).unwrap();
        let got = got.unwrap();
        assert_eq!(got.payload[..], *b"twice");
        got.alias
    });
    aliases.sort_unstable();
    assert_eq!(aliases, [ok.alias, other.alias]);
}

#[test]
fn publisher_that_vanishes_cuts_its_object_short_and_may_return() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _asked = published(&mut source, "video", 1);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_held, ok) = watch(&mut viewer, "video");
    let mut group = source.open_data(&head(header(1, 10)));
    source.write(&mut group, &object(0, b"whole"));
    source.write(&mut group, &object(0, b"half of it")[..8]);
    let came = |groups: &[GroupStream]| groups.iter().any(|group| !group.objects.is_empty());
    viewer.wait_groups("the whole object", ok.alias, came);
    source.leave();
    let cut = |groups: &[GroupStream]| matches!(groups[0].end, Some(StreamEnd::Reset(_)));
    let groups = viewer.wait_groups("the end of its group", ok.alias, cut);
    assert_eq!(payloads(&groups[0]), [(0, b"whole".to_vec())]);
    let mut returned = MoqtClient::connect(relay.quic, Version::Draft19);
    let request_id = returned.fresh_id();
    let mut asked = returned.ask(Publish {
        request_id,
        track: track_of("live/cam", "video"),
        alias: 3,
        params: Params {
            largest: Some(weir_protocol::moqt::Location::new(10, 4)),
            ..Params::default()
        },
        properties: Properties::default(),
    });
    assert!(matches!(
        asked.next(),
        Some(Message::RequestOk(RequestOk { .. }))
    ));
    let mut group = returned.open_data(&head(header(3, 11)));
    returned.write(&mut group, &object(0, b"again"));
    let came = |groups: &[GroupStream]| groups.iter().any(|group| group.header.group == 11);
    viewer.wait_groups("the next group", ok.alias, came);
}

#[test]
fn a_stream_that_a_viewer_leaves_unread_holds_its_track_until_it_is_behind_and_no_other_viewers() {
    let file = Scratch::new("weir.toml");
    std::fs::write(file.path(), "[viewer]\nbehind_limit_ms = 1000\n").unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _asked = published(&mut source, "video", 9);
    let habits = Habits {
        unread: Some(3),
        ..Habits::default()
    };
    let mut viewer = MoqtClient::with_habits(relay.quic, Version::Draft19, habits);
    let mut other = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_held, ok) = watch(&mut viewer, "video");
    let (_free, _) = watch(&mut other, "video");
    let mut base = source.open_data(&head(header(9, 70)));
    source.write(&mut base, &object(0, b"base 0"));
    let first = |groups: &[GroupStream]| groups.iter().any(|group| !group.objects.is_empty());
    viewer.wait_groups("the first object", ok.alias, first);
    let mut layer = source.open_data(&head(SubgroupHeader {
        subgroup: SubgroupId::Explicit(3),
        ..header(9, 70)
    }));
    // More than a stream's window, of which the viewer reads nothing.
    let large = vec![7; 100_000];
    (0..30).for_each(|at: u64| {
        let delta = u64::from(at == 0);
        source.write(&mut layer, &object(delta, &large));
    });
    let all = |groups: &[GroupStream]| groups.iter().any(|group| group.objects.len() == 30);
    other.wait_groups("the other viewer's layer", ok.alias, all);
    source.write(&mut base, &object(98, b"base 99"));
    let behind = |groups: &[GroupStream]| {
        let mut objects = groups.iter().flat_map(|group| &group.objects);
        objects.any(|object| object.payload[..] == *b"base 99")
    };
    other.wait_groups("the other viewer's base", ok.alias, behind);
    let since = now();
    let (mut at, mut streams) = (71, Vec::new());
    let came = wait_for("the viewer that was held to go on", LIMIT, || {
        let mut data = source.open_data(&head(header(9, at)));
        source.write(&mut data, &object(0, b"newer"));
        streams.push(data);
        at += 1;
        let groups = viewer.groups(ok.alias);
        let mut newer = groups.iter().filter(|group| group.header.group > 70);
        match newer.any(|group| !group.objects.is_empty()) {
            true => Ok(groups),
            false => Err("held".to_owned()),
        }
    });
    eprintln!(
        "a stream left unread held the others for {:?}",
        since.elapsed()
    );
    assert!(!behind(&came), "what came after it was held");
    let ended = came.iter().find(|group| group.header.group == 70).unwrap();
    let timeout = StreamResetCode::DeliveryTimeout.code();
    assert_eq!(ended.end, Some(StreamEnd::Reset(timeout)));
    let skipped = &relay.stream("live/cam").unwrap()["objects_skipped"]["behind"];
    assert!(skipped.as_u64().unwrap() > 0, "{skipped}");
}
