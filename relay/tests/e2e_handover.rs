//! The way down: everybody is told, and a newer relay takes over without a closed door.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stderr, reason = "what was measured is told")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use support::{FlvTag, MoqtClient, Publisher, Pull, Scratch, Weir, now, recipes, sleep, wait_for};
use weir_protocol::moqt::{Message, Params, Version};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// An encoder that comes back whenever its connection ends.
struct Encoder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Encoder {
    fn start(relay: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let tags = FlvTag::read_all(&recipes::PLAIN.make().path);
        let thread = thread::spawn(move || {
            let mut connections = 0;
            while !stopped.load(Ordering::Relaxed) {
                connections += 1;
                let mut publisher = Publisher::publish(relay, "live", "cam");
                let began = now();
                for tag in &tags {
                    let due = Duration::from_millis(tag.timestamp_ms.into());
                    sleep(due.saturating_sub(began.elapsed()));
                    let over = publisher.has_ended() || stopped.load(Ordering::Relaxed);
                    if over || publisher.try_send(tag).is_err() {
                        break;
                    }
                }
            }
            connections
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// How often it connected.
    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Subscribes to the video, as soon as it is there.
#[track_caller]
fn watch(relay: SocketAddr) -> (MoqtClient, support::Asked, u64) {
    let mut viewer = MoqtClient::connect(relay, Version::Draft19);
    let params = Params {
        rendezvous_timeout_ms: Some(30_000),
        ..Params::default()
    };
    let mut asked = viewer.subscribe("video", params);
    let alias = asked.subscribed().alias;
    (viewer, asked, alias)
}

#[test]
fn a_newer_relay_takes_over_and_nobody_finds_a_closed_door() {
    let path = Scratch::new("t.sock");
    let place = path.path().to_string_lossy().into_owned();
    // Time enough for a busy machine; it is over when everybody has left.
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), "[limits]\ndrain_ms = 30000\n").unwrap();
    let config = file.path().to_string_lossy().into_owned();
    let args = ["--takeover", &place, "--shards", "2", "--config", &config];
    let mut older = Weir::start_with(&args);
    let encoder = Encoder::start(older.rtmp);
    older.wait_live("live/cam", &["video"]);
    let (viewer, _asked, alias) = watch(older.quic);
    viewer.wait_groups("frames", alias, |groups| groups.len() > 1);
    let certificate = older.get("/certificate.sha256").body;

    let newer = Weir::start_with(&args);
    assert_eq!(
        (newer.rtmp, newer.quic, newer.http),
        (older.rtmp, older.quic, older.http)
    );
    assert_eq!(newer.get("/certificate.sha256").body, certificate);
    wait_for("GOAWAY to the place itself", LIMIT, || {
        let heard = viewer.heard();
        let goaway = heard
            .iter()
            .any(|message| matches!(message, Message::Goaway(goaway) if goaway.uri.is_empty()));
        goaway.then_some(()).ok_or_else(|| format!("{heard:?}"))
    });
    let told = now();
    // It still is served over the old connection, and the new one reaches the newer relay.
    assert!(viewer.is_open());
    let (next, _asked, alias) = watch(newer.quic);
    next.wait_groups("frames of the newer relay", alias, |groups| {
        !groups.is_empty()
    });
    let gap = told.elapsed();
    eprintln!("frames {} ms after GOAWAY", gap.as_millis());
    let stream = newer.stream("live/cam").unwrap();
    assert_eq!(stream["state"], "live", "{stream}");
    viewer.leave();
    assert_eq!(older.exit().code(), Some(0), "{}", older.log());
    assert!(
        older.log().contains("everyone left in time"),
        "{}",
        older.log()
    );
    // The sockets of the older one have left the group; the newer goes on, and can be followed.
    wait_for("the newer relay to be alone", LIMIT, || {
        let log = newer.log();
        log.contains("the older relay has ended")
            .then_some(())
            .ok_or(log)
    });
    let more = next.groups(alias).len() + 2;
    next.wait_groups("frames on", alias, |groups| groups.len() >= more);
    let (late, _asked, alias) = watch(newer.quic);
    late.wait_groups("frames for a late viewer", alias, |groups| {
        !groups.is_empty()
    });
    let third = Weir::start_with(&args);
    assert_eq!(third.quic, newer.quic);
    let (last, _asked, alias) = watch(third.quic);
    last.wait_groups("frames of the third", alias, |groups| !groups.is_empty());
    // Its film is over after twenty seconds, and begins again.
    let connections = encoder.end();
    assert!((3..=6).contains(&connections), "{connections} connections");
}

#[test]
fn a_pull_goes_on_at_the_newer_relay() {
    let path = Scratch::new("t.sock");
    let place = path.path().to_string_lossy().into_owned();
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), "[limits]\ndrain_ms = 30000\n").unwrap();
    let config = file.path().to_string_lossy().into_owned();
    let args = ["--takeover", &place, "--config", &config];
    let mut older = Weir::start_with(&args);
    let encoder = Encoder::start(older.rtmp);
    older.wait_live("live/cam", &["video"]);
    let url = older.moqt_url("live/cam");
    let mut pull = Pull::start(&["--insecure", "--duration", "60s", &url]);
    pull.wait_flowing();
    let newer = Weir::start_with(&args);
    assert_eq!(older.exit().code(), Some(0), "{}", older.log());
    let before = pull.bytes();
    wait_for("the pull at the newer relay", LIMIT, || {
        let stream = newer.stream("live/cam").unwrap_or_default();
        let watched = stream["subscribers"].as_u64().unwrap_or(0) > 0;
        let more = pull.bytes() > before + 50_000;
        (watched && more)
            .then_some(())
            .ok_or_else(|| stream.to_string())
    });
    assert!(pull.process.is_running(), "{}", pull.process.stderr());
    encoder.end();
}

#[test]
fn a_relay_says_whether_it_had_to_cut_somebody_off() {
    let mut relay = Weir::start();
    let viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    wait_for("the session", LIMIT, || {
        let body = relay.get("/metrics").body;
        let line = "weir_limit_used{limit=\"limits.sessions\"} 1";
        body.contains(line).then_some(()).ok_or(body)
    });
    relay.terminate();
    assert_eq!(relay.exit().code(), Some(3));
    assert!(relay.log().contains("had to be cut"), "{}", relay.log());
    drop(viewer);
}
