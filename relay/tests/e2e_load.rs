//! The load tester against the relay itself: small runs of each way in and out, asserting that
//! everything arrives, and never how fast.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::PathBuf, time::Duration};

use weir_loadtest::load::{
    self, Churn, Interleave, Kind, Plan, Publish, Relay, Report, Slow, Track, Transport,
};

/// Twenty viewers of a small stream with audio.
fn plan() -> Plan {
    Plan {
        label: "smoke".into(),
        stream: "live/load".into(),
        streams: 1,
        viewers: 20,
        tracks: vec![Track::encoder(25.0, 25, 2_000), Track::aac(64_000)],
        transport: Transport::Quic,
        draft: None,
        publish: Publish::Rtmp,
        interleave: Interleave::Even,
        ramp: Duration::from_millis(500),
        warm_up: Duration::from_millis(500),
        window: Duration::from_secs(3),
        threads: 1,
        viewers_per_socket: 1,
        slow: None,
        churn: None,
        kept_below: Duration::from_secs(5),
        storm: false,
        seed: 1,
    }
}

fn run(plan: &Plan) -> Report {
    let relay = Relay::Start {
        program: PathBuf::from(env!("CARGO_BIN_EXE_weir")),
        args: Vec::new(),
    };
    load::run(plan, &relay, &mut |_| ()).unwrap()
}

/// What the relay did wrong: how late the tester ran on a busy machine is not its fault.
fn assert_delivered(report: &Report) {
    let faults = report.tester_faults();
    let problems = report.problems.iter();
    let relays: Vec<_> = problems
        .filter(|problem| !faults.contains(problem))
        .collect();
    assert!(relays.is_empty(), "{report}");
    assert!(report.delivery.expected > 0, "{report}");
}

#[test]
fn twenty_viewers_get_every_frame_of_video_and_audio() {
    let report = run(&plan());
    assert_delivered(&report);
    assert_eq!(report.latency_us.count, report.delivery.expected);
    let server = report.server.unwrap();
    assert!(server.user_s + server.system_s > 0.0, "{server:?}");
}

#[test]
fn viewers_over_webtransport_get_every_frame() {
    let plan = Plan {
        transport: Transport::WebTransport,
        viewers: 5,
        ..plan()
    };
    assert_delivered(&run(&plan));
}

#[test]
fn viewers_of_the_older_draft_get_every_frame() {
    let plan = Plan {
        draft: Some(18),
        viewers: 3,
        ..plan()
    };
    assert_delivered(&run(&plan));
}

#[test]
fn several_streams_reach_their_own_viewers() {
    let plan = Plan {
        streams: 4,
        viewers: 8,
        ..plan()
    };
    assert_delivered(&run(&plan));
}

#[test]
fn slow_viewers_and_those_who_come_and_go_cost_the_others_nothing() {
    let plan = Plan {
        viewers: 10,
        tracks: vec![Track::constant(25.0, 25, 8_000)],
        slow: Some(Slow {
            share: 0.2,
            rate_bps: 200_000,
        }),
        churn: Some(Churn {
            per_second: 3.0,
            stay: Duration::from_secs(1),
        }),
        ..plan()
    };
    let report = run(&plan);
    assert_delivered(&report);
    assert_eq!(report.slow.map(|slow| slow.viewers), Some(2));
    assert!(report.churn.is_some_and(|churn| churn.joined > 0));
}

#[test]
fn audio_alone_arrives() {
    let plan = Plan {
        viewers: 3,
        tracks: vec![Track::aac(128_000)],
        ..plan()
    };
    assert_eq!(plan.tracks[0].kind, Kind::Audio);
    assert_delivered(&run(&plan));
}
