//! The latency is true: what is added on the way shows in the stage it belongs to, by the right
//! amount, and nowhere else.
//!
//! The tests run one after the other: each other's load would be measured too.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use support::{Pull, Recipe, Weir, push, recipes, sleep};
use weir_loadtest::impair::{Impairment, LinkConfig};

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::new(());

/// Seed of every link: the same decisions in each run.
const SEED: u64 = 7;

/// What is added.
const DELAY: Duration = Duration::from_millis(50);

/// Time over which a stream is measured.
const MEASURED: Duration = Duration::from_secs(6);

/// What a stage may take on a machine that is busy with other tests, without anything added, in
/// microseconds. The additions below are far larger.
const QUIET_US: u64 = 15_000;

/// Latencies of a stream after [`MEASURED`], with a link in front of the relay and one behind.
struct Measured {
    stream: Value,
    viewer: Value,
    _alone: MutexGuard<'static, ()>,
}

impl Measured {
    #[track_caller]
    fn over(recipe: &Recipe, to_relay: LinkConfig, to_viewer: LinkConfig) -> Self {
        let alone = ALONE.lock();
        let relay = Weir::start();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let open = LinkConfig::default;
        let front = Impairment::tcp(any, relay.rtmp, to_relay, open(), SEED).unwrap();
        let back = Impairment::udp(any, relay.quic, open(), to_viewer, SEED).unwrap();
        let (_source, _push) = push(recipe, &format!("rtmp://{}/live/cam", front.local_addr()));
        relay.wait_live("live/cam", &["video", "audio"]);
        let url = format!("moqt://{}/live/cam", back.local_addr());
        let mut pull = Pull::start(&[&url, "--insecure", "--duration", "60s"]);
        pull.wait_flowing();
        sleep(MEASURED);
        let stream = relay.stream("live/cam").unwrap();
        let viewer = relay.detail("live/cam")["viewers"][0].clone();
        Self {
            stream,
            viewer,
            _alone: alone,
        }
    }

    /// A percentile of a stage in microseconds.
    #[track_caller]
    fn us(&self, stage: &str, point: &str) -> u64 {
        let latency = &self.stream["latency_us"][stage];
        latency[point]
            .as_u64()
            .unwrap_or_else(|| panic!("no {point} of {stage}: {latency}"))
    }

    #[track_caller]
    fn assert_quiet(&self, stages: &[&str]) {
        for stage in stages {
            let p90 = self.us(stage, "p90");
            assert!(
                p90 < QUIET_US,
                "{stage} takes {p90} us: {}",
                self.stream["latency_us"]
            );
        }
    }

    #[track_caller]
    fn assert_between(&self, stage: &str, point: &str, low_ms: u64, high_ms: u64) {
        let us = self.us(stage, point);
        let bounds = low_ms * 1_000..high_ms * 1_000;
        let all = &self.stream["latency_us"];
        assert!(
            bounds.contains(&us),
            "{point} of {stage} is {us} us, not in {bounds:?}: {all}"
        );
    }
}

fn limited(bits_per_second: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: NonZeroU64::new(bits_per_second),
        ..LinkConfig::default()
    }
}

#[test]
fn without_additions_every_stage_is_quiet() {
    let open = LinkConfig::default;
    let measured = Measured::over(&recipes::PLAIN, open(), open());
    measured.assert_quiet(&["ingest", "queue", "send", "relay"]);
    // QUIC may hold an acknowledgement back for 25 ms.
    measured.assert_between("ack", "p50", 0, 40);
}

#[test]
fn a_delay_in_front_of_the_relay_is_none_of_its_own() {
    let open = LinkConfig::default;
    let measured = Measured::over(&recipes::PLAIN, LinkConfig::delayed(DELAY), open());
    measured.assert_quiet(&["ingest", "queue", "send", "relay"]);
    measured.assert_between("ack", "p50", 0, 40);
}

#[test]
fn a_slow_line_in_front_of_the_relay_is_ingest() {
    // A frame of 4 Mbit/s at 30/s has 16.7 kB: 27 ms at 5 Mbit/s; key frames take longer.
    let measured = Measured::over(&recipes::HEAVY, limited(5_000_000), LinkConfig::default());
    measured.assert_between("ingest", "p90", 15, 150);
    measured.assert_quiet(&["queue", "send"]);
    let whole = measured.us("relay", "p90");
    assert!(
        whole >= measured.us("ingest", "p90") * 9 / 10,
        "relay contains ingest: {whole}"
    );
}

#[test]
fn a_delay_behind_the_relay_is_the_acknowledgement() {
    let open = LinkConfig::default;
    let measured = Measured::over(&recipes::PLAIN, open(), LinkConfig::delayed(DELAY));
    measured.assert_quiet(&["ingest", "queue", "send", "relay"]);
    measured.assert_between("ack", "p50", 50, 110);
    let rtt = measured.viewer["rtt_us"].as_u64().unwrap();
    assert!(
        (50_000..90_000).contains(&rtt),
        "the viewer's round trip takes {rtt} us"
    );
}

#[test]
fn a_slow_line_behind_the_relay_is_send() {
    // Half of what the stream needs. The window takes half a second of it at once, the next object
    // waits, and what waits too long is skipped and no sample: the waits are the extreme, and the
    // groups' acknowledgements say the same of every group.
    let measured = Measured::over(&recipes::HEAVY, LinkConfig::default(), limited(2_000_000));
    measured.assert_quiet(&["ingest", "queue"]);
    measured.assert_between("send", "max", 200, 5_000);
    measured.assert_between("ack", "p50", 300, 10_000);
    let (relay, send) = (measured.us("relay", "max"), measured.us("send", "max"));
    assert!(
        relay >= send * 9 / 10,
        "relay contains send: {}",
        measured.stream["latency_us"]
    );
    let skipped = measured.stream["objects_skipped"]["behind"]
        .as_u64()
        .unwrap();
    assert!(
        skipped > 0,
        "a viewer with half the rate misses objects: {}",
        measured.viewer
    );
}
