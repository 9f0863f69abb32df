//! Warnings: each from the figures that call for it, none from those of a good stream.

use super::*;

/// Thirty seconds into a stream as it should be.
fn good() -> Vitals {
    Vitals {
        live_us: Some(30_000_000),
        gop_ms: Some(2_000),
        key_frame_age_us: Some(900_000),
        video_age_us: Some(20_000),
        audio_age_us: Some(10_000),
        jitter_p99_us: Some(20_000),
        av_skew_us: Some(-15_000),
        reorder_us: 0,
        video_bps: 2_500_000,
        video_peak_bps: 2_700_000,
    }
}

/// What is raised after a while of looking at `vitals`.
fn raised(vitals: &Vitals) -> Vec<Code> {
    let mut health = Health::default();
    (0..RAISE_AFTER).for_each(|look| drop(health.look(vitals, u64::from(look) * 1000)));
    health
        .warnings()
        .iter()
        .map(|warning| warning.code)
        .collect()
}

#[test]
fn a_good_stream_has_no_warnings() {
    assert_eq!(raised(&good()), []);
    assert_eq!(
        raised(&Vitals::default()),
        [],
        "nor has one without a publisher"
    );
    let young = Vitals {
        live_us: Some(1_000_000),
        ..Vitals::default()
    };
    assert_eq!(raised(&young), [], "nor has one that has just begun");
}

#[test]
fn each_fault_raises_its_own_warning() {
    type Fault = fn(&mut Vitals);
    let faults: [(Code, Fault); 10] = [
        (Code::KeyFramesApart, |v| v.gop_ms = Some(4_001)),
        (Code::NoKeyFrame, |v| v.key_frame_age_us = Some(16_000_000)),
        (Code::NoKeyFrame, |v| v.key_frame_age_us = None),
        (Code::InputUnstable, |v| v.jitter_p99_us = Some(500_000)),
        (Code::BitrateCollapsed, |v| v.video_bps = 400_000),
        (Code::AvDrift, |v| v.av_skew_us = Some(-260_000)),
        (Code::NoVideo, |v| v.video_age_us = None),
        (Code::NoAudio, |v| v.audio_age_us = Some(6_000_000)),
        (Code::BFrames, |v| v.reorder_us = 66_000),
        (Code::InputStalled, |v| {
            v.audio_age_us = Some(6_000_000);
            v.video_age_us = Some(6_000_000);
        }),
    ];
    for (code, fault) in faults {
        let mut vitals = good();
        fault(&mut vitals);
        assert_eq!(raised(&vitals), [code], "{vitals:?}");
    }
}

#[test]
fn the_bounds_themselves_are_no_fault() {
    let vitals = Vitals {
        gop_ms: Some(MAX_GOP_MS),
        jitter_p99_us: Some(MAX_JITTER_US),
        av_skew_us: Some(MAX_SKEW_US as i64),
        key_frame_age_us: Some(NO_KEY_US),
        ..good()
    };
    assert_eq!(raised(&vitals), []);
}

#[test]
fn a_warning_does_not_flicker_and_keeps_its_beginning() {
    let bad = Vitals {
        gop_ms: Some(10_000),
        ..good()
    };
    let mut health = Health::default();
    let mut changes = Vec::new();
    for second in 0..60_u64 {
        // Wrong at two looks of three, from the tenth second to the thirtieth.
        let wrong = (10..30).contains(&second) && second % 3 != 0;
        let vitals = if wrong { bad } else { good() };
        for change in health.look(&vitals, second * 1000) {
            changes.push((second, change));
        }
    }
    assert_eq!(changes, [], "two looks in a row are not enough");
    for second in 60..70 {
        let change = health.look(&bad, second * 1000);
        assert_eq!(change.len(), usize::from(second == 62), "{change:?}");
    }
    let warning = &health.warnings()[0];
    assert_eq!(
        (warning.code, warning.since_ms),
        (Code::KeyFramesApart, 62_000)
    );
    assert!(
        warning.message.contains("10.0 s apart"),
        "{}",
        warning.message
    );
    for second in 70..77 {
        assert_eq!(health.look(&good(), second * 1000), []);
        let message = &health.warnings()[0].message;
        assert!(
            message.contains("10.0 s apart"),
            "the bad figures: {message}"
        );
    }
    let cleared = health.look(&good(), 77_000);
    assert_eq!(cleared, [Change::Cleared(Code::KeyFramesApart)]);
    assert_eq!(health.warnings(), []);
}

#[test]
fn warnings_end_with_their_publisher() {
    let mut health = Health::default();
    let bad = Vitals {
        reorder_us: 40_000,
        ..good()
    };
    (0..5).for_each(|look| drop(health.look(&bad, look)));
    let gone = health.look(&Vitals::default(), 5);
    assert_eq!(gone, [Change::Cleared(Code::BFrames)]);
}

#[test]
fn every_code_has_a_name_words_and_a_remedy() {
    for code in Code::ALL {
        let json = serde_json::to_value(code).unwrap();
        assert_eq!(json, code.name());
        let (message, remedy) = code.words(&good());
        assert!(message.ends_with('.') && remedy.ends_with('.'), "{code:?}");
    }
}
