//! The report of a run: what makes it invalid, and its percentiles.

use std::time::Duration;

use super::{super::Relay, *};

fn plan() -> Plan {
    let addr = ([127, 0, 0, 1], 1).into();
    Plan {
        relay: Relay::Running {
            rtmp: addr,
            moqt: addr,
            pid: None,
        },
        stream: "live/load".into(),
        viewers: 2,
        frame_bytes: 1_000,
        fps: 10,
        gop: 10,
        window: Duration::from_secs(1),
    }
}

fn measured() -> Measured {
    let cpu = Cpu {
        user: Duration::from_millis(30),
        system: Duration::from_millis(10),
    };
    Measured {
        rss_before: Some(10_000_000),
        rss_with_viewers: Some(10_260_000),
        server_cpu: Some(cpu),
        client_cpu: cpu,
        bytes: 20_000_000,
        objects: 20,
        window: Duration::from_secs(1),
        frames: 5..15,
        failures: Vec::new(),
    }
}

fn tally(frames: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    tally.first_frame_us = Some(1_500);
    frames.for_each(|index| tally.on_frame(index));
    tally
}

fn on_time() -> ClientLag {
    lag(1_000)
}

fn lag(p99: u64) -> ClientLag {
    let lag = Percentiles {
        count: 100,
        p99,
        ..Percentiles::default()
    };
    ClientLag {
        viewer_lag: lag,
        publisher_lag: lag,
    }
}

fn report(measured: &Measured, tallies: &[Tally], lag: ClientLag) -> Report {
    Report::new(&plan(), measured, tallies, Percentiles::default(), lag)
}

#[test]
fn a_complete_run_has_no_problems_and_says_what_it_cost() {
    let report = report(&measured(), &[tally(0..20), tally(3..16)], on_time());
    assert_eq!(report.problems, [""; 0]);
    let server = report.server.unwrap();
    assert_eq!(server.cpu_s_per_gb, 2.0);
    assert_eq!(server.rss_per_viewer_bytes, 130_000);
    assert_eq!((report.delivery.expected, report.delivery.lost), (20, 0));
    assert!(report.to_string().contains("2.00 CPU s/GB"), "{report}");
}

#[test]
fn frames_that_a_viewer_misses_inside_the_window_make_the_run_invalid() {
    let lossy = tally((0..20).filter(|index| index % 4 != 0));
    let report = report(&measured(), &[tally(0..20), lossy], on_time());
    assert_eq!(report.problems, ["2 of 20 frames were lost"]);
    assert!(report.to_string().contains("INVALID: 2 of 20"), "{report}");
}

#[test]
fn a_tester_that_ran_late_makes_the_run_invalid() {
    let report = report(
        &measured(),
        &[tally(0..20), tally(0..20)],
        lag(LAG_LIMIT_US + 1),
    );
    assert_eq!(report.problems.len(), 2);
    assert!(
        report.problems[0].contains("too slow"),
        "{:?}",
        report.problems
    );
}

#[test]
fn a_window_without_frames_is_no_result() {
    let empty = Measured {
        frames: 5..5,
        bytes: 0,
        ..measured()
    };
    let report = report(&empty, &[tally(0..20), tally(0..20)], on_time());
    assert_eq!(report.problems, ["no frame was sent inside the window"]);
}

#[test]
fn the_json_has_the_numbers_under_stable_names() {
    let report = report(&measured(), &[tally(0..20), tally(0..20)], on_time());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["problems"], serde_json::json!([]));
    assert_eq!(json["plan"]["viewers"], 2);
    assert_eq!(json["delivery"]["lost"], 0);
    assert_eq!(json["server"]["cpu_s_per_gb"], 2.0);
    assert_eq!(json["client"]["viewer_lag_us"]["p99"], 1_000);
    for name in ["window_s", "latency_us", "first_frame_us"] {
        assert!(!json[name].is_null(), "{name}");
    }
}
