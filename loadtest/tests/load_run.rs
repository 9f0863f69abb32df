//! Whole runs against a small relay that does well, or misbehaves on purpose: the tester must tell.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "support/relay.rs"]
mod relay;

use std::{
    process::{Command, Output},
    time::Duration,
};

use relay::{Fault, Relay as TestRelay};
use weir_loadtest::load::{self, LoadError, Plan, Relay, Report};

fn plan(relay: &TestRelay) -> Plan {
    Plan {
        relay: Relay::Running {
            rtmp: relay.rtmp,
            moqt: relay.quic,
            pid: Some(std::process::id()),
        },
        stream: "live/load".into(),
        viewers: 3,
        frame_bytes: 5_000,
        fps: 50,
        gop: 10,
        window: Duration::from_secs(1),
    }
}

fn report(fault: Fault) -> Report {
    let relay = TestRelay::start(fault);
    load::run(&plan(&relay)).unwrap()
}

/// What was found, apart from lateness: tests share the machine.
fn problems(report: &Report) -> Vec<&str> {
    let about_relay = |problem: &&str| !problem.contains("ran late");
    report
        .problems
        .iter()
        .map(String::as_str)
        .filter(about_relay)
        .collect()
}

#[test]
fn a_good_relay_is_measured() {
    let report = report(Fault::None);
    assert_eq!(problems(&report), [""; 0]);
    let delivery = report.delivery;
    // 50 frames a second for a second, to three viewers.
    assert!((140..=165).contains(&delivery.expected), "{delivery:?}");
    assert_eq!(delivery.lost, 0);
    assert_eq!(delivery.bytes, delivery.objects * 5_000);
    assert_eq!(report.latency_us.count, delivery.expected);
    assert!(
        report.latency_us.p50 > 10 && report.latency_us.p50 < 100_000,
        "{report}"
    );
    assert_eq!(report.first_frame_us.count, 3);
    let server = report.server.unwrap();
    assert!(server.rss_with_viewers_bytes > 1_000_000, "{server:?}");
}

#[test]
fn a_relay_that_drops_an_object_of_each_group_is_found_out() {
    let report = report(Fault::Drop(4));
    let delivery = report.delivery;
    // One frame of ten; where the window cuts a group, a viewer may have one more or less.
    let tenth = delivery.expected / 10;
    assert!(
        (tenth - 3..=tenth + 3).contains(&delivery.lost),
        "{delivery:?}"
    );
    assert!(delivery.gaps > 0 && delivery.corrupt == 0, "{delivery:?}");
    assert!(
        problems(&report)[0].contains("were lost"),
        "{:?}",
        report.problems
    );
}

#[test]
fn a_relay_that_flips_a_bit_is_found_out() {
    let report = report(Fault::Corrupt(9));
    let delivery = report.delivery;
    assert!(
        delivery.corrupt > 0 && delivery.lost > 0 && delivery.gaps == 0,
        "{delivery:?}"
    );
}

#[test]
fn a_relay_that_repeats_an_object_is_found_out() {
    let report = report(Fault::Repeat(2));
    let delivery = report.delivery;
    assert!(
        delivery.duplicates > 0 && delivery.misordered > 0,
        "{delivery:?}"
    );
    assert_eq!((delivery.lost, delivery.corrupt), (0, 0));
}

#[test]
fn nobody_listening_is_an_error_that_names_the_address() {
    let relay = TestRelay::start(Fault::None);
    let plan = plan(&relay);
    drop(relay);
    match load::run(&plan) {
        Err(LoadError::Publish(error)) => assert!(error.to_string().contains("127.0.0.1:")),
        other => panic!("{other:?}"),
    }
}

fn run_command(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir-loadtest"))
        .arg("run")
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn the_command_reports_as_json_and_says_by_its_exit_code_that_frames_were_lost() {
    let relay = TestRelay::start(Fault::Drop(1));
    let (rtmp, quic) = (relay.rtmp.to_string(), relay.quic.to_string());
    let args = [
        "--rtmp",
        &rtmp,
        "--moqt",
        &quic,
        "--viewers",
        "1",
        "--frame-bytes",
        "1000",
    ];
    let rest = ["--gop", "5", "--duration", "500ms", "--json", "-"];
    let output = run_command(&[&args[..], &rest].concat());
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["delivery"]["lost"].as_u64().unwrap() > 0, "{report}");
    assert!(
        report["problems"][0]
            .as_str()
            .unwrap()
            .contains("were lost")
    );
}

#[test]
fn bad_usage_is_exit_64() {
    for args in [
        &["--viewers", "0"][..],
        &["--rtmp", "127.0.0.1:1935"],
        &["--frame-bytes", "10"],
        &["--duration", "10"],
        &["--stream", "cam"],
    ] {
        let output = run_command(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
    }
}
