//! What players of others get: catalogs and tracks in their words, and patience with their faults.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use support::{
    Asked, GroupStream, Habits, MoqtClient, MoqtObject, Process, Source, Weir, push, recipes,
    track_of,
};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::location::LAST_OBJECT;
use weir_protocol::moqt::{Location, Params, RequestKind, TrackProperties, Version};

#[track_caller]
fn live() -> (Weir, Source, Process) {
    let relay = Weir::start();
    let (source, push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    (relay, source, push)
}

/// The timestamp in front of a chunk, a QUIC variable-length integer, and the chunk.
fn split(payload: &Bytes) -> (u64, Bytes) {
    let len = 1 << (payload[0] >> 6);
    let value = payload[..len]
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let bits = u64::MAX >> (64 - 8 * len + 2);
    (value & bits, payload.slice(len..))
}

fn by_location(objects: impl IntoIterator<Item = MoqtObject>) -> BTreeMap<Location, MoqtObject> {
    let placed = |object: MoqtObject| (object.location, object);
    objects.into_iter().map(placed).collect()
}

/// The objects of the whole groups of a subscription.
fn whole_groups(groups: Vec<GroupStream>) -> BTreeMap<Location, MoqtObject> {
    let whole = groups.into_iter().filter(GroupStream::is_whole);
    by_location(whole.flat_map(|group| group.objects))
}

fn some_whole(groups: &[GroupStream]) -> bool {
    groups.iter().filter(|group| group.is_whole()).count() >= 2
}

#[test]
fn hang_catalog_names_tracks_that_hold_the_same_chunks_behind_a_timestamp() {
    let (relay, _source, _push) = live();
    std::thread::scope(|scope| {
        for version in Version::ALL {
            let relay = &relay;
            scope.spawn(move || check_hang(relay, version));
        }
    });
}

fn check_hang(relay: &Weir, version: Version) {
    let mut client = MoqtClient::connect(relay.quic, version);
    let mut asked = client.subscribe("catalog.json", Params::default());
    let alias = asked.subscribed().alias;
    let groups = client.wait_groups("the catalog", alias, |groups| {
        groups
            .first()
            .is_some_and(|group| !group.objects.is_empty())
    });
    let catalog: Value = serde_json::from_slice(&groups[0].objects[0].payload).unwrap();
    for kind in ["video", "audio"] {
        let renditions = catalog[kind]["renditions"].as_object().unwrap();
        let (name, rendition) = renditions.iter().next().unwrap();
        assert_eq!(rendition["container"]["kind"], "legacy");
        assert!(rendition["description"].is_string(), "{rendition}");
        let mut shown = client.subscribe(name, Params::default());
        let mut plain = client.subscribe(kind, Params::default());
        let (shown, plain) = (shown_as(&mut shown), shown_as(&mut plain));
        let views = whole_groups(client.wait_groups("the view", shown, some_whole));
        let plain = whole_groups(client.wait_groups("the track", plain, some_whole));
        let newest = *views.keys().next_back().unwrap();
        let mut compared = 0;
        for (location, view) in &views {
            let (timestamp_us, chunk) = split(&view.payload);
            let Some(original) = plain.get(location) else {
                continue;
            };
            let said = ObjectProperties::parse(&original.properties).unwrap();
            assert_eq!(
                said.timestamp_us,
                Some(timestamp_us),
                "{version} {location:?}"
            );
            assert_eq!(chunk, original.payload, "{version} {location:?}");
            compared += 1;
        }
        assert!(
            compared > 10,
            "{version}: {compared} objects of {kind} in common"
        );
        let from = Location::new(newest.group, 0);
        let to = Location::new(newest.group, LAST_OBJECT);
        let track = track_of("live/cam", name);
        let fetch = client.fetch_range(&track, from, to, Params::default());
        let fetched = by_location(client.wait_fetched(&fetch).objects);
        let live: BTreeMap<_, _> = views.range(from..=to).collect();
        assert!(fetched.iter().eq(live), "{version}: FETCH gives the same");
    }
}

/// The alias of a subscription that stays for the rest of the test.
#[track_caller]
fn shown_as(asked: &mut Asked) -> u64 {
    let ok = asked.subscribed();
    let properties = TrackProperties::parse(&ok.properties).unwrap();
    assert_eq!(properties.timescale, Some(1_000_000));
    ok.alias
}

#[test]
fn a_track_of_no_such_form_does_not_exist() {
    let (relay, _source, _push) = live();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft22);
    for name in [
        ".hang",
        "nothing.hang",
        "video.hang.hang",
        "catalog.json.hang",
    ] {
        client.subscribe(name, Params::default()).refused();
    }
    assert!(client.is_open());
}

/// `@moq/watch` 0.4.6 writes priority 155 as a variable-length integer, takes LARGEST_OBJECT for
/// something else, and has no use for a group that it does not get from its beginning.
#[test]
fn the_javascript_player_is_understood_and_gets_whole_groups() {
    let (relay, _source, _push) = live();
    let habits = Habits {
        implementation: Some("moq-lite-js/0.2.8"),
        ..Habits::default()
    };
    for version in [Version::Draft18, Version::Draft19] {
        let client = MoqtClient::with_habits(relay.quic, version, habits);
        let mut subscribe = b"\x03\x00\x1c\x00\x02\x04live\x03cam\x05video".to_vec();
        subscribe.extend(b"\x04\x10\x01\x10\x80\x9b\x01\x01\x02\x01\x02");
        let mut asked = client.ask_in_bytes(0, RequestKind::Subscribe, &subscribe);
        let ok = asked.subscribed();
        assert_eq!(ok.params.largest, None);
        let groups = client.wait_groups("a group", ok.alias, |groups| {
            groups
                .first()
                .is_some_and(|group| !group.objects.is_empty())
        });
        assert_eq!(
            groups[0].objects.first().map(|first| first.location.object),
            Some(0)
        );
        let stranger = MoqtClient::connect(relay.quic, version);
        let (_send, _recv) = stranger.open_request(&subscribe);
        let (code, reason) = stranger.closed();
        assert_eq!(
            code, 3,
            "who has another name has to keep the draft: {reason}"
        );
    }
}
