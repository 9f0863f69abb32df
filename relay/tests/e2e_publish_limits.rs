//! What a publisher over MoQT may leave open, and what becomes of the rest: whoever goes beyond a
//! limit is told so, and nobody else is disturbed.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use support::{
    Asked, MoqtClient, STRANGE, Weir, head, header, object, publish, published, track_of, wait_for,
};
use weir_protocol::moqt::message::PublishNamespace;
use weir_protocol::moqt::subgroup::put_object_header;
use weir_protocol::moqt::{
    Location, Message, Namespace, Params, RequestErrorCode, StreamResetCode, Version,
};

const LIMIT: Duration = Duration::from_secs(40);

/// Asserts that an object of `source`'s track reaches a viewer.
#[track_caller]
fn goes_on(relay: &Weir, source: &MoqtClient, track: &str, alias: u64, group: u64) {
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut asked = viewer.subscribe(track, Params::default());
    let ok = asked.subscribed();
    let mut data = source.open_data(&head(header(alias, group)));
    source.write(&mut data, &object(0, b"still taken"));
    viewer.wait_groups("the object", ok.alias, |groups| {
        groups.iter().any(|group| !group.objects.is_empty())
    });
}

#[test]
fn tracks_beyond_the_limit_are_refused_and_the_others_go_on() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _tracks: Vec<Asked> = (0..64)
        .map(|at| published(&mut source, &format!("track {at}"), at))
        .collect();
    let refused = publish(&mut source, "one more", 64).refused();
    assert_eq!(refused.code, RequestErrorCode::ExcessiveLoad);
    assert!(refused.reason.contains("64 tracks"), "{}", refused.reason);
    goes_on(&relay, &source, "track 63", 63, 1);
}

#[test]
fn questions_that_a_publisher_leaves_open_are_bounded() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let request_id = source.fresh_id();
    let mut announced = source.ask(PublishNamespace {
        request_id,
        namespace: Namespace::from_path("live/cam").unwrap(),
        params: Params::default(),
    });
    assert!(matches!(announced.next(), Some(Message::RequestOk(_))));
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let _open: Vec<_> = (0..64)
        .map(|at| {
            let asked = viewer.subscribe(&format!("track {at}"), Params::default());
            (asked, source.next_request())
        })
        .collect();
    let refused = viewer.subscribe("one more", Params::default()).refused();
    assert_eq!(refused.code, RequestErrorCode::ExcessiveLoad);
    assert!(viewer.is_open() && source.is_open());
}

#[test]
fn objects_that_a_publisher_leaves_unfinished_are_bounded() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _tracks = [("large", 1), ("small", 2)].map(|(name, at)| published(&mut source, name, at));
    // Two of nearly the largest leave room for small ones only in what a peer may have under way.
    const LARGE: u64 = (16 << 20) - 4096;
    let open = |group: u64| {
        let mut bytes = head(header(1, group));
        put_object_header(&mut bytes, 0, Some(STRANGE), LARGE, None);
        bytes.extend_from_slice(b"the first of many bytes");
        source.open_data(&bytes)
    };
    let mut streams: Vec<_> = (0..3).map(open).collect();
    let stopped = source.first_stopped(&mut streams, LIMIT);
    assert_eq!(stopped, Some(StreamResetCode::ExcessiveLoad.code()));
    assert_eq!(streams.len(), 2, "the others wait for the rest");
    goes_on(&relay, &source, "small", 2, 1);
    assert!(source.is_open());
    // What is given up makes room.
    streams.remove(0).reset(0_u32.into()).unwrap();
    wait_for("room for another one", LIMIT, || {
        streams.push(open(9));
        match source.first_stopped(&mut streams, Duration::from_secs(1)) {
            None => Ok(()),
            Some(code) => Err(format!("stopped with {code:#x}")),
        }
    });
}

#[test]
fn streams_that_nobody_explains_are_bounded_and_the_rest_wait_for_their_track() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _known = published(&mut source, "known", 0);
    // Those that wait are given up after two seconds, which a busy machine may miss.
    let passed = (1..6).find_map(|alias| {
        let mut streams: Vec<_> = (0..80)
            .map(|group| {
                let bytes = [head(header(alias, group)), object(0, b"early")].concat();
                source.open_data(&bytes)
            })
            .collect();
        let stopped = source.first_stopped(&mut streams, LIMIT);
        assert_eq!(stopped, Some(StreamResetCode::Cancelled.code()));
        let track = format!("track {alias}");
        let _late = published(&mut source, &track, alias);
        // Those that were stopped cannot be.
        streams.iter_mut().for_each(|stream| drop(stream.finish()));
        let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
        let (start, end) = (Location::new(0, 0), Location::new(79, 0));
        let name = track_of("live/cam", &track);
        let asked = viewer.fetch_range(&name, start, end, Params::default());
        let count = viewer.wait_fetched(&asked).objects.len();
        (count > 0).then_some(count)
    });
    let passed = passed.unwrap();
    assert!(passed <= 64, "{passed} of 80 streams waited");
    goes_on(&relay, &source, "known", 0, 1);
}
