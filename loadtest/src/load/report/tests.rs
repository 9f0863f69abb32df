//! The report of a run: what makes it invalid, what it cost, and its JSON.

use std::{ops::Range, time::Duration};

use super::{
    super::{Churn, Kind, Slow, plan::tests::plan, process::Cpu},
    *,
};

/// The relay used this much CPU in the window, and the tester as much.
fn usage() -> Usage {
    Usage {
        cpu: Cpu {
            user: Duration::from_millis(300),
            system: Duration::from_millis(100),
        },
        rss_bytes: 10_260_000,
        switches: 500,
        udp_drops: Some(0),
    }
}

fn measured() -> Measured {
    let lag = Percentiles {
        count: 100,
        p99: 1_000,
        ..NONE
    };
    Measured {
        rss_before: Some(10_000_000),
        begin: Reading {
            server: Some(Usage::default()),
            ..Reading::default()
        },
        end: Reading {
            at_us: 1_000_000,
            server: Some(usage()),
            client: usage(),
            bytes: 200_000_000,
            objects: 20,
            ..Reading::default()
        },
        frames: vec![vec![5..15]],
        viewer_lag: lag,
        ..Measured::default()
    }
}

fn tally(frames: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    tally.first_frame_us = Some(1_500);
    frames.for_each(|index| tally.on_frame(Kind::Video, index));
    tally
}

fn found(tallies: Vec<Tally>) -> Found {
    let range: Range<u64> = 5..15;
    let missing = |tally: &Tally| tally.missing(Kind::Video, range.clone());
    Found {
        latency: Times::new().unwrap(),
        lost: tallies.iter().map(missing).sum(),
        tallies,
        churn: ChurnUse::default(),
    }
}

fn report_of(plan: &Plan, measured: &Measured, tallies: Vec<Tally>) -> Report {
    let (host, lag) = (Host::default(), measured.viewer_lag);
    Report::new(plan, host, measured, &found(tallies), Ok(lag))
}

fn report(measured: &Measured, tallies: Vec<Tally>) -> Report {
    report_of(&plan(), measured, tallies)
}

fn all() -> Vec<Tally> {
    vec![tally(0..20), tally(3..16)]
}

#[test]
fn a_complete_run_has_no_problems_and_says_what_it_cost() {
    let report = report(&measured(), all());
    assert_eq!(report.problems, [""; 0]);
    let server = report.server.unwrap();
    assert_eq!(server.cpu_s_per_gb, 2.0);
    assert_eq!(server.cpu_us_per_object, 20_000.0);
    assert_eq!(server.rss_per_viewer_bytes, 130_000);
    assert_eq!((report.delivery.expected, report.delivery.lost), (20, 0));
    assert_eq!(report.delivery.bytes_published, 10_000);
    assert!(report.to_string().contains("2.00 CPU s/GB"), "{report}");
}

#[test]
fn frames_that_a_viewer_misses_inside_the_window_make_the_run_invalid() {
    let lossy = tally((0..20).filter(|index| index % 4 != 0));
    let report = report(&measured(), vec![tally(0..20), lossy]);
    assert_eq!(report.problems, ["2 of 20 frames were lost"]);
    assert!(report.to_string().contains("INVALID: 2 of 20"), "{report}");
}

#[test]
fn a_tester_that_ran_late_or_was_busy_makes_the_run_invalid() {
    let mut late = measured();
    late.viewer_lag.p99 = 20_001;
    let problems = report(&late, all()).problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("too slow"), "{problems:?}");

    let mut busy = measured();
    busy.begin.crew = vec![Cpu::default()];
    busy.end.crew = vec![Cpu {
        user: Duration::from_millis(950),
        ..Cpu::default()
    }];
    let problems = report(&busy, all()).problems;
    assert!(problems[0].contains("95 % of a core"), "{problems:?}");
}

#[test]
fn a_window_without_frames_is_no_result() {
    let empty = Measured {
        frames: vec![vec![5..5]],
        ..measured()
    };
    let mut found = found(all());
    found.lost = 0;
    let report = Report::new(&plan(), Host::default(), &empty, &found, Ok(NONE));
    assert_eq!(report.problems, ["no frame was sent inside the window"]);
}

#[test]
fn a_publisher_or_a_viewer_that_ended_early_makes_the_run_invalid() {
    let failed = Measured {
        failures: vec![super::super::ViewError::Done("PUBLISH_DONE".into())],
        ..measured()
    };
    let closed = Err(PublishError::Closed);
    let report = Report::new(&plan(), Host::default(), &failed, &found(all()), closed);
    assert_eq!(report.problems.len(), 2);
    assert!(report.problems[0].starts_with("1 viewers ended early"));
    assert!(report.problems[1].starts_with("a publisher ended early"));
}

#[test]
fn a_storm_is_valid_and_says_how_many_viewers_were_kept() {
    let mut plan = plan();
    plan.storm = true;
    let refused = Measured {
        failures: vec![super::super::ViewError::Refused("EXCESSIVE_LOAD".into())],
        ..measured()
    };
    let report = report_of(&plan, &refused, vec![tally(0..20), Tally::default()]);
    assert_eq!(report.problems, [""; 0]);
    let kept = report.kept.clone().unwrap();
    assert_eq!((kept.kept, kept.viewers), (1, 2));
    assert_eq!((kept.without_frame, kept.failed), (1, 1));
    let text = report.to_string();
    assert!(text.contains("kept         1 of 2 viewers"), "{text}");
    assert!(text.contains("EXCESSIVE_LOAD"), "{text}");
}

#[test]
fn slow_viewers_are_not_among_those_who_are_kept() {
    let mut plan = plan();
    plan.slow = Some(Slow {
        share: 0.5,
        rate_bps: 1_000,
    });
    let kept = report_of(&plan, &measured(), all()).kept.unwrap();
    assert_eq!((kept.kept, kept.viewers), (1, 1));
}

#[test]
fn slow_viewers_may_miss_frames_and_are_counted_apart() {
    let mut plan = plan();
    plan.slow = Some(Slow {
        share: 0.5,
        rate_bps: 1_000,
    });
    let mut found = found(vec![tally(0..20), tally(0..8)]);
    found.lost = 0;
    let host = Host::default();
    let report = Report::new(&plan, host, &measured(), &found, Ok(NONE));
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(report.delivery.expected, 10);
    let slow = report.slow.unwrap();
    assert_eq!((slow.viewers, slow.expected, slow.missed), (1, 10, 7));
}

#[test]
fn those_who_came_and_saw_nothing_make_the_run_invalid() {
    let mut plan = plan();
    plan.churn = Some(Churn {
        per_second: 1.0,
        stay: Duration::from_secs(1),
    });
    let mut found = found(all());
    found.churn.joined = 5;
    found.churn.failed = 1;
    found.churn.first_failure = Some("it left without a frame".into());
    let report = Report::new(&plan, Host::default(), &measured(), &found, Ok(NONE));
    assert!(report.problems[0].contains("1 of 5 viewers that came and went"));
}

#[test]
fn the_json_has_the_numbers_under_stable_names_and_is_read_back() {
    let report = report(&measured(), all());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["problems"], serde_json::json!([]));
    assert_eq!(json["plan"]["viewers"], 2);
    assert_eq!(json["delivery"]["lost"], 0);
    assert_eq!(json["server"]["cpu_s_per_gb"], 2.0);
    assert_eq!(json["client"]["viewer_lag_us"]["p99"], 1_000);
    for name in ["window_s", "latency_us", "first_frame_us", "host"] {
        assert!(!json[name].is_null(), "{name}");
    }
    let lines = format!("{json}\n{json}\n");
    let read = compare::read(&lines).unwrap();
    assert_eq!(read, [report.clone(), report]);
}

#[test]
fn two_runs_are_compared_measure_by_measure() {
    let base = report(&measured(), all());
    let mut new = base.clone();
    if let Some(server) = &mut new.server {
        server.cpu_s_per_gb = 3.0;
    }
    let rows = compare::compare(&[base], &[new]);
    let cpu = rows.first().unwrap();
    assert_eq!((cpu.measure.name, cpu.measure.unit), ("relay CPU", "s/GB"));
    assert_eq!(cpu.ratio.map(|ratio| ratio.median), Some(1.5));
    // Nothing was lost, so there is nothing to divide by.
    assert!(
        rows.iter()
            .any(|row| row.measure.name == "lost" && row.ratio.is_none())
    );
}
