//! Relays that chain: an origin, edges of it, bad links between them, and upstreams that go.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(
    clippy::print_stderr,
    reason = "the gaps that viewers see are figures to read"
)]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use support::{
    Asked, MoqtClient, MoqtObject, Process, Pull, Scratch, Source, Weir, now, push, recipes, sleep,
    track_of, wait_for,
};
use weir_loadtest::impair::{Impairment, LinkConfig};
use weir_protocol::moqt::message::{Subscribe, SubscribeNamespace};
use weir_protocol::moqt::{Location, Message, Namespace, Params, RequestErrorCode, Version};

/// For runs that must outlast their source.
const LIMIT: Duration = Duration::from_secs(60);

fn insecure(addr: SocketAddr) -> String {
    format!("moqt://{addr}?insecure")
}

/// An edge of these relays.
#[track_caller]
fn edge(upstreams: &[SocketAddr]) -> Weir {
    let urls: Vec<String> = upstreams.iter().map(|addr| insecure(*addr)).collect();
    let args = urls.iter().flat_map(|url| ["--upstream", url]);
    Weir::start_with(&args.collect::<Vec<_>>())
}

#[track_caller]
fn origin() -> (Weir, Source, Process) {
    let relay = Weir::start();
    let (source, push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    (relay, source, push)
}

/// A viewer of a track, for as long as it is held.
struct Viewer {
    client: MoqtClient,
    _asked: Asked,
    alias: u64,
}

impl Viewer {
    #[track_caller]
    fn new(relay: &Weir, track: &str) -> Self {
        let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
        let mut asked = client.subscribe(track, Params::default());
        let alias = asked.subscribed().alias;
        Self {
            client,
            _asked: asked,
            alias,
        }
    }

    /// What it got, by location.
    fn objects(&self) -> Vec<MoqtObject> {
        let groups = self.client.groups(self.alias);
        let mut objects: Vec<_> = groups.into_iter().flat_map(|group| group.objects).collect();
        objects.sort_by_key(|object| object.location);
        objects
    }

    fn newest(&self) -> Option<Location> {
        self.objects().last().map(|object| object.location)
    }

    /// Waits until it has got objects of this many further groups.
    #[track_caller]
    fn wait_groups_more(&self, groups: u64) -> Location {
        let from = self.newest().map_or(0, |newest| newest.group);
        let what = format!("{groups} groups after {from}");
        wait_for(&what, LIMIT, || match self.newest() {
            Some(newest) if from == 0 || newest.group >= from + groups => Ok(newest),
            other => Err(format!("{other:?}")),
        })
    }

    /// Asserts that what it got is what the other one got, each object once and none missing,
    /// from the first that both have to the last that both have.
    #[track_caller]
    fn assert_same(&self, reference: &Self) {
        let (got, expected) = (self.objects(), reference.objects());
        let from = got[0].location.max(expected[0].location);
        let to = got.last().unwrap().location;
        let to = to.min(expected.last().unwrap().location);
        let part = |objects: &[MoqtObject]| {
            let within = objects.iter().filter(|o| (from..=to).contains(&o.location));
            within.cloned().collect::<Vec<_>>()
        };
        let (got, expected) = (part(&got), part(&expected));
        let locations = |objects: &[MoqtObject]| {
            objects
                .iter()
                .map(|o| (o.location.group, o.location.object))
                .collect::<Vec<_>>()
        };
        assert_eq!(locations(&got), locations(&expected));
        assert!(got == expected, "the same places, but other objects");
        assert!(got.len() > 60, "{} objects are no proof", got.len());
    }
}

/// The longest time between two objects that come to a viewer while `event` takes place.
fn gap_during(viewer: &Viewer, groups: u64, event: impl FnOnce()) -> Duration {
    let count = || {
        viewer
            .client
            .groups(viewer.alias)
            .iter()
            .map(|g| g.objects.len())
            .sum()
    };
    let mut event = Some(event);
    let from = viewer.newest().map_or(0, |newest| newest.group);
    let (mut seen, mut last, mut longest): (usize, _, _) = (count(), now(), Duration::ZERO);
    let start = now();
    while viewer
        .newest()
        .is_none_or(|newest| newest.group < from + groups)
    {
        assert!(
            start.elapsed() < LIMIT,
            "the viewer got no further: {:?}",
            viewer.newest()
        );
        if start.elapsed() > Duration::from_millis(700)
            && let Some(event) = event.take()
        {
            event();
        }
        let counted: usize = count();
        if counted > seen {
            longest = longest.max(last.elapsed());
            (seen, last) = (counted, now());
        }
        sleep(Duration::from_millis(5));
    }
    longest
}

#[test]
fn track_is_subscribed_once_whatever_the_number_of_viewers_at_the_edges() {
    let (origin, _source, _push) = origin();
    let bad = LinkConfig {
        loss: 0.02,
        ..LinkConfig::delayed(Duration::from_millis(30))
    };
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let links = [1, 2]
        .map(|seed| Impairment::udp(free, origin.quic, bad.clone(), bad.clone(), seed).unwrap());
    let edges = [&links[0], &links[1]].map(|link| edge(&[link.local_addr()]));
    let reference = Viewer::new(&origin, "video");
    let viewers: Vec<Viewer> = edges
        .iter()
        .flat_map(|edge| (0..3).map(|_| Viewer::new(edge, "video")))
        .collect();
    for viewer in &viewers {
        viewer.wait_groups_more(3);
    }
    for viewer in &viewers {
        viewer.assert_same(&reference);
    }
    let rows = origin.detail("live/cam")["viewers"].clone();
    let rows = rows.as_array().unwrap();
    let relays = rows.iter().filter(|row| {
        let name = row["implementation"].as_str().unwrap();
        name.starts_with("weir/") && row["tracks"] == serde_json::json!(["video"])
    });
    assert_eq!((relays.count(), rows.len()), (2, 3), "{rows:?}");
    let subscribers = edges.iter().map(|edge| edge.stream("live/cam").unwrap());
    for stream in subscribers {
        assert_eq!(stream["subscribers"], 3, "{stream}");
        assert_eq!(stream["publisher"]["protocol"], "upstream", "{stream}");
    }
}

#[test]
fn track_that_nobody_watches_is_kept_a_linger_time_and_then_given_up() {
    let (origin, _source, _push) = origin();
    let config = Scratch::new("weir.toml");
    fs::write(config.path(), "[edge]\nlinger_ms = 3000\n").unwrap();
    let (url, config) = (insecure(origin.quic), config.path().to_string_lossy());
    let edge = Weir::start_with(&["--upstream", &url, "--config", &config]);
    let asks = || origin.stream("live/cam").unwrap()["subscribers"].clone();
    let viewer = Viewer::new(&edge, "video");
    viewer.wait_groups_more(1);
    assert_eq!(asks(), 1);
    viewer.client.leave();
    // Whoever comes back in time finds it there, with what came meanwhile.
    let again = Viewer::new(&edge, "video");
    again.wait_groups_more(1);
    assert_eq!(asks(), 1);
    again.client.leave();
    wait_for("the origin to be left", LIMIT, || {
        let subscribers = asks();
        (subscribers == 0)
            .then_some(())
            .ok_or_else(|| subscribers.to_string())
    });
    Viewer::new(&edge, "video").wait_groups_more(1);
    assert_eq!(asks(), 1);
}

#[test]
fn viewers_go_on_without_a_hole_when_the_first_upstream_dies() {
    let (origin, _source, _push) = origin();
    let middle = edge(&[origin.quic]);
    let edge = edge(&[middle.quic, origin.quic]);
    let reference = Viewer::new(&origin, "video");
    let viewer = Viewer::new(&edge, "video");
    viewer.wait_groups_more(2);
    assert!(
        middle.stream("live/cam").is_some(),
        "it goes through the middle"
    );
    let gap = gap_during(&viewer, 4, || drop(middle));
    eprintln!("an upstream was killed: the longest gap between objects was {gap:?}");
    viewer.wait_groups_more(1);
    viewer.assert_same(&reference);
}

#[test]
fn viewers_do_not_notice_that_an_upstream_goes_away() {
    let (origin, _source, _push) = origin();
    let second = edge(&[origin.quic]);
    let url = insecure(second.quic);
    let upstream = insecure(origin.quic);
    let mut first = Weir::start_with(&["--upstream", &upstream, "--drain-to", &url]);
    let edge = edge(&[first.quic]);
    let reference = Viewer::new(&origin, "video");
    let viewer = Viewer::new(&edge, "video");
    viewer.wait_groups_more(2);
    assert!(
        second
            .stream("live/cam")
            .is_none_or(|s| s["subscribers"] == 0)
    );
    let gap = gap_during(&viewer, 4, || first.terminate());
    eprintln!("an upstream went away: the longest gap between objects was {gap:?}");
    viewer.wait_groups_more(1);
    viewer.assert_same(&reference);
    assert_eq!(second.stream("live/cam").unwrap()["subscribers"], 1);
}

#[test]
fn pull_goes_where_its_relay_sends_it() {
    let (origin, source, _push) = origin();
    let second = edge(&[origin.quic]);
    let (url, upstream) = (insecure(second.quic), insecure(origin.quic));
    // Time enough for a busy machine; it is over when the pull has left.
    let config = Scratch::new("weir.toml");
    fs::write(config.path(), "[limits]\ndrain_ms = 30000\n").unwrap();
    let config = config.path().to_string_lossy();
    let args = [
        "--upstream",
        &upstream,
        "--drain-to",
        &url,
        "--config",
        &config,
    ];
    let mut first = Weir::start_with(&args);
    let address = first.moqt_url("live/cam");
    let mut pull = Pull::start(&["--insecure", "--duration", "10s", &address]);
    pull.wait_flowing();
    first.terminate();
    pull.end(LIMIT);
    let pulled = pull.media();
    pulled.assert_part_of(&source.media(), source.gop);
    let frames = pulled.video().frames.len();
    assert!(
        frames > 200,
        "{frames} frames in ten seconds at 30 a second"
    );
    assert_eq!(first.exit().code(), Some(0), "{}", first.log());
    let stream = second.stream("live/cam").unwrap();
    assert!(stream["bytes_out"].as_u64().unwrap() > 100_000, "{stream}");
}

#[test]
fn relays_that_are_each_others_upstream_refuse_what_neither_has() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    let first = edge(&[addr]);
    drop(free);
    let addr = addr.to_string();
    let second = Weir::start_at(&addr, &["--upstream", &insecure(first.quic)]);
    wait_for("the relays to link", LIMIT, || {
        let linked = [&first, &second]
            .iter()
            .all(|relay| relay.log().contains("linked"));
        linked.then_some(()).ok_or_else(|| first.log())
    });
    let mut client = MoqtClient::connect(first.quic, Version::Draft19);
    let request_id = client.fresh_id();
    let mut asked = client.ask(Subscribe {
        request_id,
        track: track_of("live/nowhere", "video"),
        params: Params::default(),
    });
    let refused = asked.refused();
    assert_eq!(refused.code, RequestErrorCode::DoesNotExist);
    assert!(refused.reason.contains("a loop"), "{}", refused.reason);
}

#[test]
fn names_are_told_down_the_chain() {
    let (origin, _source, _push) = origin();
    let middle = edge(&[origin.quic]);
    let edge = edge(&[middle.quic]);
    let mut client = MoqtClient::connect(edge.quic, Version::Draft19);
    let request_id = client.fresh_id();
    let mut asked = client.ask(SubscribeNamespace {
        request_id,
        prefix: Namespace::from_path("live").unwrap(),
        params: Params::default(),
    });
    assert!(matches!(asked.next(), Some(Message::RequestOk(_))));
    let Some(Message::Namespace(added)) = asked.next() else {
        panic!("no NAMESPACE");
    };
    assert_eq!(added.suffix.to_string(), "cam");
}

#[test]
fn pull_from_an_edge_is_a_pull_from_the_origin() {
    let (origin, source, _push) = origin();
    let edge = edge(&[origin.quic]);
    for url in [edge.moqt_url("live/cam"), edge.https_url("live/cam")] {
        let mut pull = edge.pull(&url, "4s");
        pull.end(LIMIT);
        let pulled = pull.media();
        pulled.assert_part_of(&source.media(), source.gop);
        assert!(pulled.video().frames.len() > 60);
    }
    // The catalog that passed tells the edge what it carries.
    let described = |relay: &Weir| {
        let tracks = relay.stream("live/cam").unwrap()["tracks"].clone();
        let tracks = tracks.as_array().unwrap().iter();
        tracks
            .map(|track| {
                let known = ["name", "codec", "width", "height", "samplerate", "channels"];
                known.map(|key| track[key].clone())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(described(&edge), described(&origin));
    let video = edge.stream("live/cam").unwrap()["tracks"][0].clone();
    assert!(video["fps"].as_f64().unwrap() > 10.0, "{video}");
    assert!(video["bitrate_bps"].as_u64().unwrap() > 10_000, "{video}");
}

#[test]
fn edge_says_how_long_the_way_to_it_takes() {
    let (origin, _source, _push) = origin();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let late = || LinkConfig::delayed(Duration::from_millis(40));
    let link = Impairment::udp(free, origin.quic, late(), late(), 5).unwrap();
    let middle = edge(&[link.local_addr()]);
    let last = edge(&[middle.quic]);
    let viewer = Viewer::new(&last, "video");
    viewer.wait_groups_more(2);
    let hop = wait_for("the way over two hops", LIMIT, || {
        let hop = last.stream("live/cam").unwrap()["publisher"]["hop"].clone();
        match hop["hops"].as_u64() {
            Some(2) => Ok(hop),
            _ => Err(hop.to_string()),
        }
    });
    let first = middle.stream("live/cam").unwrap()["publisher"]["hop"].clone();
    assert_eq!(first["hops"], 1, "{first}");
    // The delay is the link's; what it is measured by is wrong by its error at most.
    let us = |hop: &serde_json::Value, key: &str| hop[key].as_u64().unwrap();
    assert!(us(&first, "rtt_us") >= 75_000, "{first}");
    assert!(
        us(&first, "latency_us") + us(&first, "error_us") >= 40_000,
        "{first}"
    );
    assert!(us(&first, "latency_us") >= 20_000, "{first}");
    assert!(
        us(&hop, "path_us") >= 20_000 + us(&hop, "latency_us"),
        "{hop} after {first}"
    );
    let metrics = last.get("/metrics").body;
    let line = "weir_stream_hop_latency_seconds{stream=\"live/cam\"}";
    assert!(metrics.contains(line), "{metrics}");
}
