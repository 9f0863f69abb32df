//! More comes than the relay takes on: everybody is told so, everything is counted, and those who
//! are served notice nothing.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stderr, reason = "what was measured is told")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use support::{
    FlvTag, Habits, Kind, MoqtClient, Publisher, Pull, Scratch, Weir, flood, now, push, recipes,
    sleep, track_of, wait_for,
};
use weir_protocol::moqt::message::{Subscribe, TrackStatus};
use weir_protocol::moqt::{Params, RequestErrorCode, Version};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A relay with these lines of configuration; the file lives as long as the scratch.
fn configured(lines: &str) -> (Weir, Scratch) {
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), lines).unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy(), "--shards", "1"]);
    (relay, file)
}

/// What the API says of a limit.
#[track_caller]
fn limit(relay: &Weir, name: &str) -> Value {
    let answer = relay.get("/api/v1/limits");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let list: Value = serde_json::from_str(&answer.body).unwrap();
    let limits = list["limits"].as_array().unwrap();
    let found = limits.iter().find(|limit| limit["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("{list}"))
}

#[track_caller]
fn wait_hits(relay: &Weir, name: &str, least: u64) {
    wait_for(name, LIMIT, || {
        let shown = limit(relay, name);
        let hits = shown["hits"].as_u64().unwrap_or_default();
        (hits >= least)
            .then_some(())
            .ok_or_else(|| shown.to_string())
    });
    let metrics = relay.get("/metrics").body;
    let line = format!("weir_limit_hits_total{{limit=\"{name}\"}} ");
    let shown = metrics.lines().find_map(|l| l.strip_prefix(&line));
    assert!(shown.unwrap().parse::<u64>().unwrap() >= least);
}

/// A viewer that is not let in.
#[track_caller]
fn turned_away(relay: &Weir) -> String {
    let url = relay.moqt_url("live/cam");
    let mut pull = Pull::start(&[&url, "--insecure", "--duration", "2s"]);
    assert_eq!(pull.process.exit(LIMIT).code(), Some(1));
    pull.process.stderr()
}

/// Whether the door for RTMP lets one more in.
fn answers(relay: &Weir) -> bool {
    let mut socket = TcpStream::connect(relay.rtmp).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    drop(socket.write_all(&[3; 1537]));
    matches!(socket.read(&mut [0; 1537]), Ok(1..))
}

#[test]
fn sessions_beyond_the_limit_are_refused_and_leave_the_others_alone() {
    let (relay, _file) = configured("[limits]\nsessions = 1\n");
    let mut first = MoqtClient::connect(relay.quic, Version::Draft19);
    wait_for("the session to be counted", LIMIT, || {
        let shown = limit(&relay, "limits.sessions");
        (shown["used"] == 1)
            .then_some(())
            .ok_or_else(|| shown.to_string())
    });
    turned_away(&relay);
    wait_hits(&relay, "limits.sessions", 1);
    let refused = first.subscribe("video", Params::default()).refused();
    assert_eq!(refused.code, RequestErrorCode::DoesNotExist);
    first.leave();
    wait_for("the place to be free", LIMIT, || {
        let shown = limit(&relay, "limits.sessions");
        (shown["used"] == 0)
            .then_some(())
            .ok_or_else(|| shown.to_string())
    });
    drop(MoqtClient::connect(relay.quic, Version::Draft19));
}

#[test]
fn an_address_has_so_many_connections_of_all_kinds() {
    let lines = "[limits]\nconnections_per_address = 3\nexempt = []\n";
    let (relay, _file) = configured(lines);
    let _publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let _viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    // The third is the API's own, which comes and goes.
    wait_for("the viewer's session", LIMIT, || {
        let shown = limit(&relay, "limits.sessions");
        (shown["used"] == 1)
            .then_some(())
            .ok_or_else(|| shown.to_string())
    });
    let third = wait_for("RTMP to be closed", LIMIT, || {
        // The API's own connection may still count: then this one was turned away.
        let third = TcpStream::connect(relay.http).unwrap();
        match answers(&relay) {
            true => Err("it answers".to_owned()),
            false => Ok(third),
        }
    });
    turned_away(&relay);
    drop(third);
    relay.wait_open();
    wait_hits(&relay, "limits.connections_per_address", 2);
}

#[test]
fn an_address_opens_so_many_connections_in_a_second() {
    // Two a second and eight at once; the API's own count, too.
    let (relay, _file) = configured("[limits]\nconnects_per_second = 2\nexempt = []\n");
    let closed = (0..20).filter(|_| !answers(&relay));
    let closed = closed.count();
    assert!((4..=12).contains(&closed), "{closed} of 20 were closed");
    relay.wait_open();
}

#[test]
fn subscriptions_beyond_the_limit_are_told_to_come_later() {
    let (relay, _file) = configured("[limits]\nsubscriptions = 1\n");
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut video = viewer.subscribe("video", Params::default());
    video.subscribed();
    let refused = viewer.subscribe("audio", Params::default()).refused();
    assert_eq!(refused.code, RequestErrorCode::ExcessiveLoad);
    assert_eq!(refused.retry_ms, Some(5_000));
    assert!(refused.reason.contains("limits.subscriptions"));
    wait_hits(&relay, "limits.subscriptions", 1);
    video.cancel();
    wait_for("the place to be free", LIMIT, || {
        let shown = limit(&relay, "limits.subscriptions");
        (shown["used"] == 0)
            .then_some(())
            .ok_or_else(|| shown.to_string())
    });
    viewer.subscribe("audio", Params::default()).subscribed();
}

#[test]
fn requests_beyond_the_pace_are_served_later() {
    let (relay, _file) = configured("[limits]\nrequests_per_second = 2\n");
    let mut hurried = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut asked = Vec::new();
    for _ in 0..12 {
        let request_id = hurried.fresh_id();
        asked.push(hurried.ask(TrackStatus {
            request_id,
            track: track_of("live/nobody", "video"),
            params: Params::default(),
        }));
    }
    for request in &mut asked {
        assert_eq!(request.refused().code, RequestErrorCode::DoesNotExist);
    }
    // Eight at once, the others each at its turn.
    wait_hits(&relay, "limits.requests_per_second", 4);
}

/// A relay that has had too much to do, and is not calm soon: for that it would have to be less
/// late than a timer is at rest.
fn overloaded(lines: &str) -> (Weir, Scratch, Publisher) {
    let (mut relay, file) = configured(&format!("[limits]\nlag_ms = 1\n{lines}"));
    let publisher = Publisher::publish(relay.rtmp, "live", "cam");
    wait_for("the shard to be overloaded", LIMIT, || {
        // Held up for longer than it waits between two looks at the time, it is late at each.
        for _ in 0..12 {
            relay.signal("STOP");
            sleep(Duration::from_millis(150));
            relay.signal("CONT");
        }
        let body = relay.get("/api/v1/limits").body;
        let list: Value = serde_json::from_str(&body).unwrap();
        let is = list["shards"][0]["overloaded"] == true;
        is.then_some(()).ok_or(body)
    });
    (relay, file, publisher)
}

/// Asks until the answer is that there is too much to do: the shard may be calm for a moment.
#[track_caller]
fn refused_for_load(relay: &Weir) -> (RequestErrorCode, String) {
    wait_for("a refusal for load", LIMIT, || {
        let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
        let refused = viewer.subscribe("video", Params::default()).refused();
        if refused.code == RequestErrorCode::DoesNotExist {
            return Err(refused.reason);
        }
        let redirect = refused.redirect.map(|redirect| redirect.uri);
        Ok((refused.code, redirect.unwrap_or_default()))
    })
}

#[test]
fn a_relay_with_too_much_to_do_refuses_new_viewers() {
    let (relay, _file, _publisher) = overloaded("");
    let (code, _) = refused_for_load(&relay);
    assert_eq!(code, RequestErrorCode::ExcessiveLoad);
    wait_hits(&relay, "limits.lag_ms", 1);
    assert!(relay.log().contains("too much to do"), "{}", relay.log());
    assert!(
        relay
            .get("/metrics")
            .body
            .contains("weir_shard_overloaded{shard=\"0\"}")
    );
}

#[test]
fn it_sends_them_elsewhere_where_it_is_told_to() {
    let elsewhere = "moqt://other.example:4443";
    let (relay, _file, _publisher) = overloaded(&format!("redirect = \"{elsewhere}\"\n"));
    let (code, uri) = refused_for_load(&relay);
    assert_eq!(code, RequestErrorCode::Redirect);
    assert_eq!(uri, elsewhere);
}

/// Sends frames of a megabyte after one key frame, as fast as they are taken, until it is refused.
/// Gives how many were taken.
fn gorge(relay: SocketAddr, key: &str, tags: &[FlvTag]) -> u64 {
    let mut publisher = Publisher::connect(relay, "live", key);
    let slice: u32 = 1 << 20;
    let mut body = [&[0x27, 1, 0, 0, 0], slice.to_be_bytes().as_slice(), &[0x41]].concat();
    body.resize(body.len() + slice as usize - 1, 0x5a);
    let frame = FlvTag {
        kind: Kind::Video,
        timestamp_ms: 0,
        body,
    };
    let mut frames = tags.iter().chain(std::iter::repeat_n(&frame, 400));
    let refused = frames.position(|tag| publisher.try_send(tag).is_err());
    refused.unwrap_or(400) as u64
}

#[test]
fn memory_stays_within_its_budget_whatever_peers_do() {
    let (relay, _file) = configured("[limits]\nmemory_mib = 256\n");
    let budget = 256 << 20;
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "15s");
    pull.wait_flowing();
    let mut tags = FlvTag::read_all(&source.path);
    tags.retain(|tag| tag.kind == Kind::Video);
    tags.truncate(2);
    // Viewers that take nothing of what they asked for.
    let deaf = Habits {
        deaf_after: Some(10_000),
        ..Habits::default()
    };
    let viewers = (0..40).map(|number| {
        let mut viewer = MoqtClient::with_habits(relay.quic, Version::Draft19, deaf);
        let asked = ["live/cam", &format!("live/glutton{}", number % 6)].map(|name| {
            let request_id = viewer.fresh_id();
            let (track, params) = (track_of(name, "video"), Params::default());
            viewer.ask(Subscribe {
                request_id,
                track,
                params,
            })
        });
        (viewer, asked)
    });
    let viewers: Vec<_> = viewers.collect();
    let began = now();
    let (relay_at, tags) = (relay.rtmp, &tags);
    let glutton = move |number: usize| {
        let (key, mut taken) = (format!("glutton{number}"), 0);
        while began.elapsed() < Duration::from_secs(8) {
            taken += gorge(relay_at, &key, tags);
        }
        taken
    };
    let taken: u64 = std::thread::scope(|scope| {
        let gluttons: Vec<_> = (0..6).map(|n| scope.spawn(move || glutton(n))).collect();
        gluttons.into_iter().map(|one| one.join().unwrap()).sum()
    });
    drop(viewers);
    let peak = relay.peak_memory();
    eprintln!("{taken} frames of a megabyte, {} MiB at most", peak >> 20);
    assert!(taken > 300, "{taken} frames of a megabyte were taken");
    assert!(peak <= budget, "{} MiB", peak >> 20);
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
}

#[test]
fn an_address_has_to_prove_itself_when_many_come() {
    let (relay, _file) = configured("[limits]\nretry_above = 0\n");
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    for url in [relay.moqt_url("live/cam"), relay.https_url("live/cam")] {
        let mut pull = relay.pull(&url, "1s");
        pull.end(LIMIT);
        pull.media().assert_part_of(&source.media(), source.gop);
    }
    wait_hits(&relay, "limits.retry_above", 2);
}

#[test]
fn ten_thousand_connection_attempts_disturb_nobody() {
    let lines = "[limits]\nretry_above = 8\nhandshakes = 64\nstateless_per_second = 200\n";
    let (relay, _file) = configured(lines);
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "15s");
    pull.wait_flowing();
    flood(relay.quic, 10_000);
    wait_hits(&relay, "limits.retry_above", 100);
    wait_hits(&relay, "limits.stateless_per_second", 100);
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    // Whoever comes afterwards is served.
    let mut late = relay.pull(&relay.moqt_url("live/cam"), "1s");
    late.end(LIMIT);
}
