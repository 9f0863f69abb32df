//! Whole runs against a small relay that does well, or misbehaves on purpose: the tester must tell.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "support/relay.rs"]
mod relay;

use std::{
    fs::File,
    process::{Command, Output, Stdio},
    time::Duration,
};

use relay::{Fault, Relay as TestRelay};
use weir_loadtest::load::{
    self, Churn, Door, Interleave, LoadError, Plan, Publish, Relay, Report, Slow, Track, Transport,
};

fn plan() -> Plan {
    Plan {
        label: "test".into(),
        stream: "live/load".into(),
        streams: 1,
        viewers: 3,
        tracks: vec![Track::constant(50.0, 10, 5_000)],
        transport: Transport::Quic,
        draft: None,
        publish: Publish::Rtmp,
        interleave: Interleave::Even,
        ramp: Duration::from_millis(100),
        warm_up: Duration::from_millis(200),
        window: Duration::from_secs(2),
        threads: 1,
        viewers_per_socket: 1,
        slow: None,
        churn: None,
        kept_below: Duration::from_secs(5),
        storm: false,
        seed: 1,
    }
}

fn running(relay: &TestRelay) -> Relay {
    Relay::Running {
        publish: Door::local(relay.rtmp),
        watch: Door::local(relay.quic),
        pid: Some(std::process::id()),
    }
}

fn report_of(plan: &Plan, fault: Fault) -> Report {
    let relay = TestRelay::start(fault);
    load::run(plan, &running(&relay), &mut |_| ()).unwrap()
}

fn report(fault: Fault) -> Report {
    report_of(&plan(), fault)
}

/// What was found, apart from lateness: tests share the machine.
fn problems(report: &Report) -> Vec<&str> {
    let about_relay = |problem: &&str| !problem.contains("the tester was");
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
    // 50 frames a second for two seconds, to three viewers; the machine may be slow to look.
    assert!(delivery.expected >= 280, "{delivery:?}");
    assert_eq!(delivery.lost, 0);
    assert_eq!(delivery.bytes, delivery.objects * 5_000);
    assert_eq!(report.latency_us.count, delivery.expected);
    assert!(report.latency_us.p50 > 10, "{report}");
    let bars: u64 = report.latency_bars.iter().map(|bar| bar.count).sum();
    assert_eq!(bars, delivery.expected);
    assert!(report.intervals.len() >= 2, "{:?}", report.intervals);
    let seen: u64 = report.intervals.iter().map(|i| i.latency_us.count).sum();
    assert!(seen > 0 && seen <= delivery.expected, "{seen}");
    assert_eq!(report.first_frame_us.count, 3);
    let server = report.server.unwrap();
    assert!(server.rss_with_viewers_bytes > 1_000_000, "{server:?}");
    assert!(report.client.cpu_s > 0.0);
}

#[test]
fn several_threads_and_shared_sockets_deliver_as_one_does() {
    let plan = Plan {
        viewers: 5,
        threads: 2,
        viewers_per_socket: 3,
        ..plan()
    };
    let report = report_of(&plan, Fault::None);
    assert_eq!(problems(&report), [""; 0]);
    assert_eq!(report.first_frame_us.count, 5);
    assert_eq!(report.latency_us.count, report.delivery.expected);
}

#[test]
fn frames_of_sizes_like_an_encoders_arrive_as_they_were_sent() {
    let plan = Plan {
        tracks: vec![Track::encoder(50.0, 10, 5_000)],
        ..plan()
    };
    let report = report_of(&plan, Fault::None);
    assert_eq!(problems(&report), [""; 0]);
    let mean = report.delivery.bytes / report.delivery.objects;
    assert!((4_000..6_000).contains(&mean), "{mean}");
}

#[test]
fn a_relay_that_delays_is_found_out_by_the_time_when_frames_were_due() {
    let report = report(Fault::Delay(5, 150));
    // A frame of each group waits, and what comes behind it waits for the rest.
    assert!(report.latency_us.p99 >= 140_000, "{report}");
    assert_eq!(report.delivery.lost, 0);
}

#[test]
fn a_relay_that_gives_groups_up_is_found_out() {
    let report = report(Fault::Reset(7));
    let delivery = report.delivery;
    assert!(
        delivery.streams_broken > 0 && delivery.lost > 0,
        "{delivery:?}"
    );
    assert!(
        problems(&report)
            .iter()
            .any(|problem| problem.contains("reset or cut")),
        "{:?}",
        report.problems
    );
}

#[test]
fn viewers_that_come_and_go_are_counted_beside_those_that_stay() {
    let plan = Plan {
        churn: Some(Churn {
            per_second: 5.0,
            stay: Duration::from_millis(600),
        }),
        ..plan()
    };
    let report = report_of(&plan, Fault::None);
    assert_eq!(problems(&report), [""; 0]);
    assert_eq!(report.delivery.lost, 0);
    let churn = report.churn.unwrap();
    assert!(churn.joined >= 3 && churn.failed == 0, "{churn:?}");
    assert_eq!(churn.first_frame_us.count, churn.joined);
}

#[test]
fn viewers_that_read_slowly_are_kept_out_of_loss_and_latency() {
    let plan = Plan {
        viewers: 4,
        slow: Some(Slow {
            share: 0.25,
            rate_bps: 200_000,
        }),
        ..plan()
    };
    let report = report_of(&plan, Fault::None);
    assert_eq!(problems(&report), [""; 0]);
    let slow = report.slow.unwrap();
    assert_eq!(slow.viewers, 1);
    // A tenth of what is sent: it cannot have all of it.
    assert!(slow.missed > slow.expected / 4, "{slow:?}");
    // Frames are counted by number and latencies by time, so a frame that is due as the window
    // opens or closes may be in one of them only: at each end one for each steady viewer.
    let (timed, expected) = (report.latency_us.count, report.delivery.expected);
    assert!(timed.abs_diff(expected) <= 2 * 3, "{timed} of {expected}");
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
    let running = running(&relay);
    drop(relay);
    match load::run(&plan(), &running, &mut |_| ()) {
        Err(LoadError::Publish(error)) => assert!(error.to_string().contains("127.0.0.1:")),
        other => panic!("{other:?}"),
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-loadtest"));
    command.arg("run").args(args);
    command
}

fn run_command(args: &[&str]) -> Output {
    command(args).output().unwrap()
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
    let rest = ["--gop", "5", "--duration", "1s", "--json", "-"];
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
fn a_report_that_finds_no_room_is_no_success_and_says_where() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let nowhere = Stdio::null;
    for (file, out, told) in [
        (
            &["--json", "/dev/full"][..],
            nowhere(),
            "cannot write /dev/full",
        ),
        (
            &["--html", "/dev/full"],
            nowhere(),
            "cannot write /dev/full",
        ),
        (&[], full().into(), "standard output: No space left"),
    ] {
        let relay = TestRelay::start(Fault::None);
        let (rtmp, quic) = (relay.rtmp.to_string(), relay.quic.to_string());
        let mut command = command(&["--rtmp", &rtmp, "--moqt", &quic, "--viewers", "1"]);
        command.args([
            "--ramp",
            "100ms",
            "--warm-up",
            "100ms",
            "--duration",
            "500ms",
        ]);
        let output = command.args(file).stdout(out).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file:?}: {said}");
        assert!(said.contains(told), "{file:?}: {said}");
    }
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
