//! MoQT as a stranger's player speaks it, message by message, in every draft.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::time::Duration;

use support::{
    ANSWER, Asked, FlvTag, GroupStream, Habits, Kind, MoqtClient, MoqtObject, Process, Scratch,
    Source, StreamEnd, Weir, push, recipes, sleep, track_of, wait_for,
};
use weir_protocol::moqt::fetch::RangeKind;
use weir_protocol::moqt::location::LAST_OBJECT;
use weir_protocol::moqt::message::{FetchKind, Subscribe, TrackStatus};
use weir_protocol::moqt::{
    Filter, GroupOrder, Location, Message, Params, PublishDoneCode, RequestErrorCode, SessionError,
    TrackProperties, Version,
};

/// For runs that must outlast their source.
const LIMIT: Duration = Duration::from_secs(40);

/// A relay with `live/cam` on it, pushed in real time.
#[track_caller]
fn live() -> (Weir, Source, Process) {
    live_on(Weir::start())
}

#[track_caller]
fn live_on(relay: Weir) -> (Weir, Source, Process) {
    let (source, push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    (relay, source, push)
}

fn params() -> Params {
    Params::default()
}

/// Does the same in every draft, at the same time: a source does not last for one after another.
fn in_every_draft(check: impl Fn(Version) + Sync) {
    in_drafts(&Version::ALL, check);
}

fn in_drafts(drafts: &[Version], check: impl Fn(Version) + Sync) {
    std::thread::scope(|scope| {
        let check = &check;
        for &version in drafts {
            scope.spawn(move || check(version));
        }
    });
}

/// Subscribes to a track for as long as the request is held; gives the alias too.
#[track_caller]
fn watch(client: &mut MoqtClient, track: &str) -> (Asked, u64) {
    let mut asked = client.subscribe(track, params());
    let alias = asked.subscribed().alias;
    (asked, alias)
}

/// Objects of several groups in the order of the groups.
fn objects(groups: &[GroupStream]) -> Vec<MoqtObject> {
    let mut groups: Vec<_> = groups.iter().collect();
    groups.sort_by_key(|group| group.header.group);
    let objects = groups.into_iter().flat_map(|group| &group.objects);
    objects.cloned().collect()
}

/// Asserts that each object is the next one of its group, or the first of the next group.
#[track_caller]
fn assert_contiguous(objects: &[MoqtObject]) {
    let locations: Vec<Location> = objects.iter().map(|object| object.location).collect();
    for pair in locations.windows(2) {
        let next = Location::new(pair[0].group, pair[0].object + 1);
        let fresh = Location::new(pair[0].group + 1, 0);
        assert!(pair[1] == next || pair[1] == fresh, "a hole: {locations:?}");
    }
}

/// Asserts that the payloads are an unbroken part of the frames that were pushed.
#[track_caller]
fn assert_frames_of(source: &Source, kind: Kind, objects: &[MoqtObject]) {
    let tags = FlvTag::read_all(&source.path);
    let tags: Vec<_> = tags.iter().filter(|tag| tag.kind == kind).collect();
    let frames: Vec<&[u8]> = tags.iter().filter_map(|tag| tag.frame()).collect();
    let payloads: Vec<&[u8]> = objects.iter().map(|object| &object.payload[..]).collect();
    assert!(!payloads.is_empty(), "no objects");
    assert!(
        frames
            .windows(payloads.len())
            .any(|window| window == payloads),
        "{} objects are no unbroken part of the source",
        payloads.len()
    );
}

/// Whether as many groups as this were finished.
fn whole(count: usize) -> impl Fn(&[GroupStream]) -> bool {
    move |groups| groups.iter().filter(|group| group.is_whole()).count() >= count
}

#[test]
fn goaway_is_heard_when_the_relay_is_told_to_stop() {
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), "[limits]\ndrain_ms = 2500\n").unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    let (mut relay, _source, _push) = live_on(relay);
    let mut clients = Version::ALL.map(|version| MoqtClient::connect(relay.quic, version));
    let mut subscribed = clients.each_mut().map(|client| {
        let mut asked = client.subscribe("video", params());
        asked.subscribed();
        asked
    });
    relay.terminate();
    for (client, version) in clients.iter().zip(Version::ALL) {
        let goaway = wait_for("GOAWAY", ANSWER, || {
            let heard = client.heard();
            let goaway = heard.iter().find_map(|message| {
                let Message::Goaway(goaway) = message else {
                    return None;
                };
                Some(goaway.clone())
            });
            goaway.ok_or_else(|| format!("{heard:?}"))
        });
        assert_eq!(goaway.uri, "", "it is to come back to the same place");
        assert_eq!(goaway.timeout_ms, 2_500, "as long as the relay waits");
        // The one request had id 0, so the next one, which is not served, has 2.
        let unserved = (version == Version::Draft18).then_some(2);
        assert_eq!(goaway.request_id, unserved, "{version}");
        assert!(
            matches!(client.heard()[0], Message::Setup(_)),
            "SETUP is first"
        );
    }
    for asked in &mut subscribed {
        let Some(Message::PublishDone(done)) = asked.next() else {
            panic!("the subscription ends with PUBLISH_DONE");
        };
        assert_eq!(done.code, PublishDoneCode::TrackEnded);
    }
    for client in &clients {
        client.leave();
    }
    assert_eq!(relay.exit().code(), Some(0), "{}", relay.log());
}

#[test]
fn group_ids_rise_when_the_publisher_returns() {
    let (relay, source, first) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_video, alias) = watch(&mut client, "video");
    client.wait_groups("two groups", alias, whole(2));
    drop(first);
    wait_for("the relay to notice", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("the stream is gone")?;
        let lingers = stream["state"] == "lingering";
        lingers.then_some(()).ok_or_else(|| stream.to_string())
    });
    let before = client.groups(alias).len();
    let _second = source.push(&relay.rtmp_url("live/cam"));
    let groups = client.wait_groups("two more groups", alias, whole(before + 2));
    let ids: Vec<u64> = groups.iter().map(|group| group.header.group).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids rise: {ids:?}");
    for group in &groups[1..] {
        assert!(group.header.first_object, "{:?}", group.summary());
        assert_eq!(group.objects[0].location.object, 0, "{:?}", group.summary());
    }
    let times: Vec<_> = objects(&groups)
        .iter()
        .map(|object| object.timestamps().0.unwrap())
        .collect();
    assert!(times.is_sorted(), "media time goes on upward: {times:?}");
}

#[test]
fn a_track_that_is_not_there_does_not_exist() {
    let (relay, _source, _push) = live();
    for version in Version::ALL {
        let mut client = MoqtClient::connect(relay.quic, version);
        for (namespace, track) in [("live/nobody", "video"), ("live/cam", "subtitles")] {
            let request_id = client.fresh_id();
            let mut subscribe = client.ask(Subscribe {
                request_id,
                track: track_of(namespace, track),
                params: params(),
            });
            let request_id = client.fresh_id();
            let mut status = client.ask(TrackStatus {
                request_id,
                track: track_of(namespace, track),
                params: params(),
            });
            let track = track_of(namespace, track);
            let (from, to) = (Location::new(0, 0), Location::new(1, LAST_OBJECT));
            let mut fetch = client.fetch_range(&track, from, to, params());
            for asked in [&mut subscribe, &mut status, &mut fetch] {
                let error = asked.refused();
                assert_eq!(error.code, RequestErrorCode::DoesNotExist, "{error:?}");
                assert!(error.reason.contains(namespace), "{error:?}");
            }
        }
        assert!(client.is_open(), "a refusal ends a request, not a session");
    }
}

#[test]
fn a_subscription_waits_for_its_publisher_as_long_as_it_says() {
    let relay = Weir::start();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let patience = |ms| Params {
        rendezvous_timeout_ms: Some(ms),
        ..params()
    };
    let mut catalog = client.subscribe("catalog", patience(30_000));
    let mut video = client.subscribe("video", patience(30_000));
    let mut impatient = client.subscribe("video", patience(300));
    assert_eq!(impatient.refused().code, RequestErrorCode::Timeout);
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    catalog.subscribed();
    let alias = video.subscribed().alias;
    let groups = client.wait_groups("a group", alias, whole(1));
    assert_frames_of(&source, Kind::Video, &objects(&groups));
}

#[test]
fn a_request_id_cannot_be_used_twice_nor_be_the_relays() {
    let relay = Weir::start();
    for version in Version::ALL {
        for second in [0, 1] {
            let mut client = MoqtClient::connect(relay.quic, version);
            let status = |request_id| TrackStatus {
                request_id,
                track: track_of("live/cam", "video"),
                params: params(),
            };
            client.ask(status(0)).refused();
            let _second = client.ask(status(second));
            let (code, reason) = client.closed();
            assert_eq!(code, SessionError::InvalidRequestId.code(), "{reason}");
            assert!(reason.contains(&format!("request id {second}")), "{reason}");
        }
    }
}

#[test]
fn nonsense_ends_the_session_as_a_protocol_violation() {
    let (relay, source, _push) = live();
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_video, alias) = watch(&mut viewer, "video");
    type Offence = fn(&mut MoqtClient);
    let offences: [(&str, Offence); 7] = [
        ("a stream of no known type", |c| {
            drop(c.open_data(&[0x07, 1, 2]))
        }),
        ("garbage on the control stream", |c| c.say(&[0x3f; 40])),
        ("a second SETUP", |c| c.say(&[0xaf, 0, 0, 0])),
        ("the control stream's end", MoqtClient::finish_control),
        ("garbage as a request", |c| {
            drop(c.open_request(&[0x3f; 40]))
        }),
        ("GOAWAY as a request", |c| {
            drop(c.open_request(&[0x10, 0, 2, 0, 0]))
        }),
        ("SUBSCRIBE that is cut short", |c| {
            let (mut send, _recv) = c.open_request(&[3, 0, 9, 0]);
            send.finish().unwrap();
            drop(send);
        }),
    ];
    for version in Version::ALL {
        for (what, offence) in offences {
            let mut client = MoqtClient::connect(relay.quic, version);
            offence(&mut client);
            let (code, reason) = client.closed();
            let violation = SessionError::ProtocolViolation.code();
            assert_eq!(code, violation, "{what}: {reason}");
            assert_ne!(reason, "", "{what}");
        }
    }
    let groups = viewer.wait_groups("two groups", alias, whole(2));
    assert_frames_of(&source, Kind::Video, &objects(&groups));
}

#[test]
fn a_session_without_setup_is_closed_and_a_stream_nobody_asked_for_is_not_read() {
    let relay = Weir::start();
    let silent = Habits {
        silent: true,
        ..Habits::default()
    };
    let silent = MoqtClient::with_habits(relay.quic, Version::Draft19, silent);
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    // Padding is drained, objects of no subscription are stopped; both leave the session alone.
    let _padding = client.open_data(&[0xf0, 0x13, 0x2b, 0x3e, 0x28, 0, 0, 0]);
    let objects = client.open_data(&[0x78, 2, 7, 0, 1, 0x61]);
    client.wait_stopped(&objects);
    let (code, reason) = silent.closed();
    assert_eq!(code, SessionError::ControlMessageTimeout.code(), "{reason}");
    let error = client.subscribe("video", params()).refused();
    assert_eq!(error.code, RequestErrorCode::DoesNotExist);
}

#[test]
fn a_subscription_to_a_range_ends_with_it() {
    let (relay, source, _push) = live();
    in_every_draft(|version| {
        let mut client = MoqtClient::connect(relay.quic, version);
        let (_video, alias) = watch(&mut client, "video");
        let now = client.wait_groups("a group", alias, |groups| !groups.is_empty());
        let newest = now[now.len() - 1].header.group;
        let mut client = MoqtClient::connect(relay.quic, version);
        let range = |first, last| Params {
            filter: Some(Filter::Absolute {
                start: Location::new(first, 0),
                end: Some(Location::new(last, LAST_OBJECT)),
            }),
            ..params()
        };
        let error = client.subscribe("video", range(0, 5)).refused();
        assert_eq!(error.code, RequestErrorCode::InvalidRange, "{error:?}");
        let mut asked = client.subscribe("video", range(newest + 1, newest + 2));
        let alias = asked.subscribed().alias;
        if version < Version::Draft20 {
            let Some(Message::PublishDone(done)) = asked.next() else {
                panic!("no PUBLISH_DONE");
            };
            assert_eq!(done.code, PublishDoneCode::SubscriptionEnded);
            assert_eq!(asked.next(), None, "PUBLISH_DONE is the last message");
            assert_eq!(done.stream_count, Some(2));
        }
        let groups = client.wait_groups("both groups", alias, whole(2));
        assert_eq!(groups.len(), 2);
        assert_frames_of(&source, Kind::Video, &objects(&groups));
        assert_eq!(objects(&groups).len(), 2 * source.gop);
        if version >= Version::Draft20 {
            // No code says that a range is over, so another one may follow.
            let id = client.fresh_id();
            let answer = asked.update(id, range(newest + 4, newest + 4));
            assert!(matches!(answer, Message::RequestOk(_)), "{answer:?}");
            let groups = client.wait_groups("the third group", alias, whole(3));
            assert_eq!(groups[2].header.group, newest + 4);
        }
    });
}

#[test]
fn a_range_may_end_within_a_group_since_draft_20() {
    let (relay, _source, _push) = live();
    in_drafts(&[Version::Draft20, Version::Draft22], |version| {
        let mut client = MoqtClient::connect(relay.quic, version);
        let (_video, alias) = watch(&mut client, "video");
        let now = client.wait_groups("a group", alias, |groups| !groups.is_empty());
        let next = now[now.len() - 1].header.group + 1;
        let mut client = MoqtClient::connect(relay.quic, version);
        let part = Params {
            filter: Some(Filter::Absolute {
                start: Location::new(next, 0),
                end: Some(Location::new(next, 4)),
            }),
            ..params()
        };
        let mut asked = client.subscribe("video", part);
        let alias = asked.subscribed().alias;
        let groups = client.wait_groups("the part", alias, |groups| {
            groups.iter().any(|group| group.end.is_some())
        });
        let part = &groups[0];
        assert_eq!(
            part.summary(),
            (next, Some(0), Some(4), Some(StreamEnd::Fin))
        );
        assert!(!part.header.end_of_group, "the group goes on");
    });
}

#[test]
fn a_group_that_the_viewer_stops_is_not_opened_again() {
    let (relay, source, _push) = live();
    let stops = Habits {
        stops_stream: Some(1),
        ..Habits::default()
    };
    let mut client = MoqtClient::with_habits(relay.quic, Version::Draft19, stops);
    let (_video, alias) = watch(&mut client, "video");
    let groups = client.wait_groups("two groups after it", alias, |groups| {
        groups.iter().skip(2).filter(|g| g.is_whole()).count() >= 2
    });
    assert_eq!(groups[1].end, Some(StreamEnd::Stopped));
    let ids: Vec<u64> = groups.iter().map(|group| group.header.group).collect();
    let unbroken: Vec<u64> = (ids[0]..).take(ids.len()).collect();
    assert_eq!(ids, unbroken, "each group once");
    assert_frames_of(&source, Kind::Video, &objects(&groups[2..]));
    let skipped = relay.stream("live/cam").unwrap()["objects_skipped"].clone();
    assert!(skipped["reset"].as_u64().unwrap() > 0, "{skipped}");
    assert_eq!(skipped["behind"], 0, "{skipped}");
}

#[test]
fn track_status_says_what_is_known_of_a_track() {
    let (relay, _source, _push) = live();
    in_every_draft(|version| {
        let mut client = MoqtClient::connect(relay.quic, version);
        let mut largest = Vec::new();
        for _ in 0..2 {
            let request_id = client.fresh_id();
            let mut asked = client.ask(TrackStatus {
                request_id,
                track: track_of("live/cam", "video"),
                params: params(),
            });
            let Some(Message::RequestOk(ok)) = asked.next() else {
                panic!("no REQUEST_OK");
            };
            let properties = TrackProperties::parse(&ok.properties).unwrap();
            assert_eq!(properties.timescale, Some(1_000_000));
            largest.push(ok.params.largest.unwrap());
            assert_eq!(asked.next(), None, "one answer and the end");
            sleep(Duration::from_millis(300));
        }
        assert!(largest[0] < largest[1], "the track goes on: {largest:?}");
    });
}

#[test]
fn fetch_gives_whole_groups_of_the_past_bit_for_bit() {
    let (relay, _source, _push) = live();
    in_every_draft(|version| {
        let mut client = MoqtClient::connect(relay.quic, version);
        let (_video, alias) = watch(&mut client, "video");
        let live = client.wait_groups("three groups", alias, whole(3));
        // The first group may have been joined in its middle.
        let (first, second) = (live[1].header.group, live[2].header.group);
        let track = track_of("live/cam", "video");
        let from = Location::new(first, 0);
        let to = Location::new(second, LAST_OBJECT);
        let mut fetch = client.fetch_range(&track, from, to, params());
        let ok = fetch.fetching();
        assert_eq!(ok.end, Location::new(second, 0), "all of the last group");
        assert!(!ok.end_of_track);
        let fetched = client.wait_fetched(&fetch);
        assert_eq!(fetched.end, Some(StreamEnd::Fin));
        assert_eq!(fetched.ranges, [], "nothing is missing");
        assert_eq!(fetched.objects, objects(&live[1..3]), "{version}");
        let (from, to) = (Location::new(first, 5), Location::new(first, 7));
        let mut part = client.fetch_range(&track, from, to, params());
        assert_eq!(part.fetching().end, Location::new(first, 8));
        let part = client.wait_fetched(&part);
        assert_eq!(part.objects, live[1].objects[5..8], "{version}");
    });
}

#[test]
fn fetch_gives_the_newest_group_first_when_asked_to() {
    let (relay, _source, _push) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_video, alias) = watch(&mut client, "video");
    let live = client.wait_groups("three groups", alias, whole(3));
    let (first, second) = (live[1].header.group, live[2].header.group);
    let descending = || Params {
        group_order: Some(GroupOrder::Descending),
        ..params()
    };
    let back_to = |start| FetchKind::Standalone {
        track: track_of("live/cam", "video"),
        start,
        end: Location::new(second, 0),
    };
    let mut fetch = client.fetch(back_to(Location::new(first, 0)), descending());
    fetch.fetching();
    let fetched = client.wait_fetched(&fetch);
    let backwards = [live[2].objects.clone(), live[1].objects.clone()].concat();
    assert_eq!(fetched.objects, backwards);
    assert_eq!(fetched.ranges, []);
    let mut fetch = client.fetch(back_to(Location::new(0, 0)), descending());
    fetch.fetching();
    let fetched = client.wait_fetched(&fetch);
    assert!(fetched.objects.starts_with(&backwards));
    let unknown = (RangeKind::Unknown, Location::new(0, 0));
    assert_eq!(fetched.ranges, [unknown], "what was before is not known");
}

#[test]
fn fetch_of_what_is_not_there_says_so() {
    let (relay, _source, _push) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_video, alias) = watch(&mut client, "video");
    let live = client.wait_groups("a group", alias, whole(1));
    let group = live[0].header.group;
    let standalone = |start, end| FetchKind::Standalone {
        track: track_of("live/cam", "video"),
        start,
        end,
    };
    let future = standalone(
        Location::new(group + 1000, 0),
        Location::new(group + 1001, 0),
    );
    let error = client.fetch(future, params()).refused();
    assert_eq!(error.code, RequestErrorCode::InvalidRange, "{error:?}");
    let stranger = FetchKind::RelativeJoining {
        joining_request_id: 4000,
        groups: 0,
    };
    let error = client.fetch(stranger, params()).refused();
    let code = RequestErrorCode::InvalidJoiningRequestId;
    assert_eq!(error.code, code, "{error:?}");
    // Before the first group: not known, which is not the same as empty.
    let past = standalone(Location::new(0, 0), Location::new(3, 0));
    let mut fetch = client.fetch(past, params());
    fetch.fetching();
    let fetched = client.wait_fetched(&fetch);
    let unknown = (RangeKind::Unknown, Location::new(3, u64::MAX));
    assert_eq!((fetched.objects.len(), fetched.ranges), (0, vec![unknown]));
    assert!(client.is_open());
}

#[test]
fn the_past_ends_where_the_subscription_begins() {
    let (relay, source, _push) = live();
    in_every_draft(|version| {
        sleep(Duration::from_millis(1400));
        let mut client = MoqtClient::connect(relay.quic, version);
        let track = track_of("live/cam", "video");
        let (mut subscribe, mut fetch) = client.subscribe_and_join(track);
        let ok = subscribe.subscribed();
        let joined = ok.params.largest.unwrap();
        let after = Location::new(joined.group, joined.object + 1);
        if let Some(fetch) = &mut fetch {
            let past = fetch.fetching();
            assert_eq!(past.end, after, "the FETCH ends at the largest object");
        }
        let fetched = client.wait_fetched(fetch.as_ref().unwrap_or(&subscribe));
        let groups = client.wait_groups("two groups", ok.alias, whole(2));
        assert_eq!(groups[0].objects[0].location, after, "{version}");
        let all = [fetched.objects, objects(&groups)].concat();
        assert_eq!(all[0].location, Location::new(joined.group, 0));
        assert_contiguous(&all);
        assert_frames_of(&source, Kind::Video, &all);
    });
}

#[test]
fn an_update_pauses_and_resumes() {
    let (relay, source, _push) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut asked = client.subscribe("video", params());
    let alias = asked.subscribed().alias;
    client.wait_groups("a group", alias, whole(1));
    let forward = |forward| Params {
        forward: Some(forward),
        ..params()
    };
    let id = client.fresh_id();
    assert!(matches!(
        asked.update(id, forward(false)),
        Message::RequestOk(_)
    ));
    let count = |groups: &[GroupStream]| objects(groups).len();
    // What was on its way may still come.
    sleep(Duration::from_millis(200));
    let paused = count(&client.groups(alias));
    sleep(Duration::from_millis(1500));
    assert_eq!(count(&client.groups(alias)), paused, "it is paused");
    let id = client.fresh_id();
    let Message::RequestOk(ok) = asked.update(id, forward(true)) else {
        panic!("no REQUEST_OK");
    };
    let joined = ok
        .params
        .largest
        .expect("a resumed subscription says where");
    let seen = client.groups(alias).len();
    let groups = client.wait_groups("groups again", alias, |groups| {
        groups[seen..]
            .iter()
            .filter(|group| group.is_whole())
            .count()
            >= 2
    });
    let resumed = objects(&groups[seen..]);
    let after = Location::new(joined.group, joined.object + 1);
    let fresh = Location::new(joined.group + 1, 0);
    let first = resumed[0].location;
    assert!(
        first == after || first == fresh,
        "{first:?} after {joined:?}"
    );
    assert_contiguous(&resumed);
    assert_frames_of(&source, Kind::Video, &resumed);
}

/// The viewers in the API.
#[track_caller]
fn wait_viewers(relay: &Weir, wanted: usize) -> Vec<serde_json::Value> {
    wait_for(&format!("{wanted} viewers"), ANSWER, || {
        let detail = relay.detail("live/cam");
        let viewers = detail["viewers"].as_array().unwrap();
        let there = viewers.len() == wanted && detail["subscribers"] == wanted;
        there
            .then(|| viewers.clone())
            .ok_or_else(|| detail.to_string())
    })
}

#[test]
fn who_unsubscribes_is_no_viewer_any_more() {
    for version in [Version::Draft18, Version::Draft19, Version::Draft22] {
        let (relay, _source, _push) = live();
        let mut client = MoqtClient::connect(relay.quic, version);
        let mut video = client.subscribe("video", params());
        let alias = video.subscribed().alias;
        let mut audio = client.subscribe("audio", params());
        audio.subscribed();
        client.wait_groups("an object", alias, |groups| !groups.is_empty());
        let viewer = &wait_viewers(&relay, 1)[0];
        assert_eq!(viewer["draft"], version.alpn());
        assert_eq!(viewer["implementation"], "by hand");
        video.cancel();
        wait_for("the video's end", ANSWER, || {
            let tracks = wait_viewers(&relay, 1)[0]["tracks"].clone();
            let audio_only = tracks == serde_json::json!(["audio"]);
            audio_only.then_some(()).ok_or_else(|| tracks.to_string())
        });
        audio.cancel();
        wait_viewers(&relay, 0);
        assert!(client.is_open(), "the session stays");
        // A second subscription to the same track is welcome, in draft 18 too.
        let (_again, _) = watch(&mut client, "video");
        wait_viewers(&relay, 1);
        client.leave();
        wait_viewers(&relay, 0);
    }
}

#[test]
fn draft_18_has_one_subscription_to_a_track_and_draft_19_any_number() {
    let (relay, _source, _push) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft18);
    let mut first = client.subscribe("audio", params());
    first.subscribed();
    let error = client.subscribe("audio", params()).refused();
    assert_eq!(error.code, RequestErrorCode::DuplicateSubscription);
    // One that overtakes the end of the former.
    let mut next = client.subscribe("audio", params());
    first.cancel();
    next.subscribed();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut first = client.subscribe("audio", params());
    let mut second = client.subscribe("audio", params());
    first.subscribed();
    second.subscribed();
}

#[test]
fn draft_18_is_told_the_time_under_the_older_id_too() {
    let (relay, _source, _push) = live();
    in_every_draft(|version| {
        let mut client = MoqtClient::connect(relay.quic, version);
        for track in ["video", "audio"] {
            let (_watched, alias) = watch(&mut client, track);
            let groups = client.wait_groups("two groups", alias, whole(2));
            let group = groups[1].header.group;
            let track_name = track_of("live/cam", track);
            let (from, to) = (Location::new(group, 0), Location::new(group, LAST_OBJECT));
            let mut fetch = client.fetch_range(&track_name, from, to, params());
            fetch.fetching();
            let fetched = client.wait_fetched(&fetch).objects;
            for object in [objects(&groups), fetched].concat() {
                let (new, old) = object.timestamps();
                let expected = new.filter(|_| version == Version::Draft18);
                assert!(new.is_some(), "{version} {track} {:?}", object.location);
                assert_eq!(old, expected, "{version} {track} {:?}", object.location);
            }
        }
    });
}

#[test]
fn a_viewer_who_reads_nothing_is_skipped_and_the_other_loses_nothing() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::HEAVY, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let deaf = Habits {
        deaf_after: Some(100_000),
        ..Habits::default()
    };
    let mut stalled = MoqtClient::with_habits(relay.quic, Version::Draft19, deaf);
    let (_stalled, _) = watch(&mut stalled, "video");
    let mut reading = MoqtClient::connect(relay.quic, Version::Draft19);
    let (_video, alias) = watch(&mut reading, "video");
    let groups = reading.wait_groups("six groups", alias, whole(6));
    let all = objects(&groups);
    assert_contiguous(&all);
    assert_frames_of(&source, Kind::Video, &all);
    let addr = |client: &MoqtClient| client.local_addr().to_string();
    let detail = wait_for("a skip", ANSWER, || {
        let detail = relay.detail("live/cam");
        let skipped = detail["objects_skipped"]["behind"].as_u64().unwrap();
        (skipped > 0)
            .then(|| detail.clone())
            .ok_or_else(|| detail.to_string())
    });
    for viewer in detail["viewers"].as_array().unwrap() {
        let skipped = viewer["objects_skipped"]["behind"].as_u64().unwrap();
        let is_stalled = viewer["addr"] == addr(&stalled);
        assert_eq!(skipped > 0, is_stalled, "{viewer}");
        assert!(is_stalled || viewer["addr"] == addr(&reading), "{viewer}");
    }
}
