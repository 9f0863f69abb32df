//! Reports: the good one, each way to be bad, and bytes by chance.

use super::*;

const GOOD: &str = concat!(
    r#"{"v":1,"stream":"live/cam","player":"weir-player/0.1.0","state":"live","startup_ms":240,"#,
    r#""latency_ms":[[84,3],[85.5,20]],"clock_error_ms":1.5,"buffer_ms":95,"target_ms":100,"#,
    r#""jitter_ms":4,"rate":1.0,"fps":30.0,"rendered":900,"dropped":1,"stalls":2,"#,
    r#""stalled_ms":3,"skips":4,"av_offset_ms":-3.0}"#,
);

fn parse(body: &str) -> Result<Report, ReportError> {
    Report::parse(body.as_bytes())
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let report = parse(GOOD).unwrap();
    assert_eq!(report.stream, "live/cam");
    assert_eq!(report.player, "weir-player/0.1.0");
    assert_eq!(report.startup_ms, Some(240.0));
    assert_eq!(report.latencies, [(84.0, 3), (85.5, 20)]);
    assert_eq!(report.av_offset_ms, Some(-3.0));
    let totals = report.totals;
    let counts = [
        totals.dropped,
        totals.stalls,
        totals.stalled_ms,
        totals.skips,
    ];
    assert_eq!((totals.rendered, counts), (900, [1, 2, 3, 4]));
}

#[test]
fn what_a_player_does_not_know_is_absent_and_what_we_do_not_know_is_ignored() {
    let report = parse(r#"{"v":1,"stream":"a","buffer_ms":null,"shoe_size":[{}]}"#).unwrap();
    let expected = Report {
        stream: "a".into(),
        ..Report::default()
    };
    assert_eq!(report, expected);
}

#[test]
fn every_number_out_of_range_refuses_the_report() {
    let numbers = [
        "startup_ms",
        "clock_error_ms",
        "buffer_ms",
        "target_ms",
        "jitter_ms",
        "rate",
        "fps",
        "rendered",
        "dropped",
        "stalls",
        "stalled_ms",
        "skips",
    ];
    for name in numbers {
        for value in ["-1", "-0.001", "1e300", "9007199254740993000"] {
            let body = format!(r#"{{"v":1,"stream":"a","{name}":{value}}}"#);
            assert_eq!(parse(&body), Err(ReportError::OutOfRange(name)), "{body}");
        }
        for value in ["NaN", "Infinity", "1e999", "\"1\"", "[]", "true"] {
            let body = format!(r#"{{"v":1,"stream":"a","{name}":{value}}}"#);
            assert!(
                matches!(parse(&body), Err(ReportError::Malformed(_))),
                "{body}"
            );
        }
    }
    let body = r#"{"v":1,"stream":"a","av_offset_ms":-60000.1}"#;
    assert_eq!(parse(body), Err(ReportError::OutOfRange("av_offset_ms")));
}

#[test]
fn latencies_ascend_and_are_few() {
    let with = |latencies: &str| {
        parse(&format!(
            r#"{{"v":1,"stream":"a","latency_ms":{latencies}}}"#
        ))
    };
    assert!(with("[]").is_ok());
    assert!(with("[[0,1],[60000,2399]]").is_ok());
    for bad in [
        "[[5,1],[5,1]]",
        "[[5,1],[4,1]]",
        "[[-1,1]]",
        "[[60001,1]]",
        "[[1,2401]]",
        "[[1,18446744073709551615],[2,1]]",
    ] {
        assert_eq!(with(bad), Err(ReportError::Latencies), "{bad}");
    }
    for bad in [
        "[[1,-1]]",
        "[[1,1.5]]",
        "[[1]]",
        "[1,2]",
        "{}",
        "[[null,1]]",
    ] {
        assert!(matches!(with(bad), Err(ReportError::Malformed(_))), "{bad}");
    }
    let many: Vec<_> = (0..=MAX_LATENCIES).map(|ms| format!("[{ms},1]")).collect();
    assert_eq!(
        with(&format!("[{}]", many.join(","))),
        Err(ReportError::Latencies)
    );
}

#[test]
fn length_version_and_shape_are_checked() {
    let padded = format!("{GOOD}{}", " ".repeat(MAX_REPORT_BYTES));
    assert_eq!(parse(&padded), Err(ReportError::TooLong(padded.len())));
    assert_eq!(
        parse(r#"{"v":2,"stream":"a"}"#),
        Err(ReportError::Version(2))
    );
    for bad in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"v":1}"#,
        r#"{"v":1,"stream":7}"#,
        "\u{0}",
    ] {
        assert!(
            matches!(parse(bad), Err(ReportError::Malformed(_))),
            "{bad:?}"
        );
    }
    assert!(Report::parse(&[0xff; 40]).is_err(), "not UTF-8");
    let nested = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let nested = format!(r#"{{"v":1,"stream":"a","x":{nested}}}"#);
    assert!(
        parse(&nested).is_ok(),
        "what is not known is passed over without a stack"
    );
}

#[test]
fn names_are_cut_and_have_no_control_characters() {
    let long = "x".repeat(900);
    let report = parse(&format!(
        r#"{{"v":1,"stream":"a","player":"\u001b[31m{long}"}}"#
    ))
    .unwrap();
    assert_eq!(report.player.chars().count(), NAME_CHARS);
    assert!(report.player.starts_with("[31mx"), "{}", report.player);
}

#[test]
fn bytes_by_chance_never_break_a_bound() {
    let mut accepted = 0;
    for seed in 1..=20_000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize % bound
        };
        let mut body = GOOD.as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(body.len());
            body[at] = b"0123456789-.eE[]{},:\"na "[next(24)];
        }
        let Ok(report) = Report::parse(&body) else {
            continue;
        };
        accepted += 1;
        let frames: u64 = report.latencies.iter().map(|(_, frames)| frames).sum();
        assert!(frames <= MAX_FRAMES, "seed {seed}");
        assert!(
            report
                .latency_ms(0.99)
                .is_none_or(|ms| (0.0..=MAX_LATENCY_MS).contains(&ms))
        );
        assert!(
            report
                .buffer_ms
                .is_none_or(|ms| (0.0..=MAX_SPAN_MS).contains(&ms))
        );
        assert!(
            report
                .av_offset_ms
                .is_none_or(|ms| ms.abs() <= MAX_LATENCY_MS),
            "seed {seed}"
        );
    }
    assert!(accepted > 1_000, "{accepted} bodies were reports");
}

#[test]
fn percentiles_are_those_of_the_frames() {
    let report = parse(r#"{"v":1,"stream":"a","latency_ms":[[10,98],[50,1],[90,1]]}"#).unwrap();
    assert_eq!(report.latency_ms(0.5), Some(10.0));
    assert_eq!(report.latency_ms(0.99), Some(50.0));
    assert_eq!(report.latency_ms(1.0), Some(90.0));
    assert_eq!(Report::default().latency_ms(0.5), None);
}

#[test]
fn totals_are_told_apart_and_a_new_count_is_taken_whole() {
    let earlier = ReportTotals {
        rendered: 100,
        stalls: 2,
        ..ReportTotals::default()
    };
    let later = ReportTotals {
        rendered: 130,
        stalls: 1,
        ..ReportTotals::default()
    };
    let since = later.since(&earlier);
    assert_eq!((since.rendered, since.stalls), (30, 1));
}

#[test]
fn one_report_a_second_after_a_burst_of_five() {
    let mut allowance = Allowance::new(0);
    let at_once = (0..20).filter(|_| allowance.take(0)).count();
    assert_eq!(at_once, 5);
    let in_ten_seconds = (0..100)
        .filter(|tick| allowance.take(tick * 100_000))
        .count();
    assert!((9..=10).contains(&in_ten_seconds), "{in_ten_seconds}");
    assert!(allowance.take(3_600_000_000));
    assert!(
        !Allowance {
            tokens: 0.0,
            at_us: 9
        }
        .take(5),
        "a clock that went back earns nothing"
    );
}
