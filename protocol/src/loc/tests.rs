//! LOC properties: bytes per draft, precedence, units.

use super::*;

use Version::{Draft18, Draft19};

fn block(properties: &ObjectProperties, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    properties.put(version, &mut out);
    assert_eq!(out.len(), properties.block_len(version));
    out
}

fn at(timestamp_us: u64) -> ObjectProperties {
    ObjectProperties {
        timestamp_us: Some(timestamp_us),
        ..Default::default()
    }
}

#[test]
fn the_timestamp_has_both_ids_on_draft_18_and_one_on_19() {
    let properties = at(1_000_000);
    let new = [0x10, 0xcf, 0x42, 0x40];
    assert_eq!(block(&properties, Draft19), new);
    let both = [0x06, 0xcf, 0x42, 0x40, 0x0a, 0xcf, 0x42, 0x40];
    assert_eq!(block(&properties, Draft18), both);
    for version in Version::ALL {
        let parsed = ObjectProperties::parse(&block(&properties, version));
        assert_eq!(parsed, Ok(properties.clone()));
    }
    assert!(block(&ObjectProperties::default(), Draft18).is_empty());
}

#[test]
fn everything_round_trips_in_ascending_order() {
    let properties = ObjectProperties {
        timestamp_us: Some(66_667),
        timescale: None,
        video_config: Some(Bytes::from_static(b"avcC")),
        audio_config: Some(Bytes::from_static(b"\x11\x90")),
        composition_us: 33_333,
    };
    for version in Version::ALL {
        let block = block(&properties, version);
        assert_eq!(ObjectProperties::parse(&block), Ok(properties.clone()));
    }
    let expected = b"\x0d\x04avcC\x02\x02\x11\x90\x01\xc1\x04\x6b\xb7\xf0\xc0\x82\x35";
    assert_eq!(block(&properties, Draft19), expected);
}

#[test]
fn the_newer_timestamp_wins_and_the_older_one_is_better_than_none() {
    let parse = |block: &[u8]| ObjectProperties::parse(block).unwrap().timestamp_us;
    assert_eq!(parse(&[0x06, 5, 0x0a, 9]), Some(9));
    assert_eq!(parse(&[0x06, 5]), Some(5));
    assert_eq!(parse(&[]), None);
}

#[test]
fn other_timescales_become_microseconds() {
    let ticks_90k = [0x10, 0xc1, 0x5f, 0x90];
    let parsed = ObjectProperties::parse_with_timescale(&ticks_90k, 90_000);
    assert_eq!(parsed.unwrap().timestamp_us, Some(1_000_000));
    let properties = ObjectProperties {
        timescale: Some(90_000),
        ..at(1_000_000)
    };
    let block = block(&properties, Draft19);
    assert_eq!(block, [0x08, 0xc1, 0x5f, 0x90, 0x08, 0xc1, 0x5f, 0x90]);
    let parsed = ObjectProperties::parse_with_timescale(&block, 48_000);
    assert_eq!(parsed, Ok(properties), "the object's timescale wins");
    assert_eq!(scale(u64::MAX, 1, MICROSECONDS), u64::MAX);
}

#[test]
fn unknown_properties_are_skipped_and_immutable_ones_searched() {
    // 0x02, then 0x0b {0x08: 1000, 0x10: 7}, then 0x3e.
    let block = [0x02, 9, 0x09, 5, 0x08, 0x83, 0xe8, 0x08, 7, 0x33, 1];
    let parsed = ObjectProperties::parse(&block).unwrap();
    assert_eq!(parsed.timescale, Some(1_000));
    assert_eq!(parsed.timestamp_us, Some(7_000));
    let deep = [0x0b, 4, 0x0b, 2, 0x10, 7];
    assert_eq!(
        ObjectProperties::parse(&deep),
        Ok(ObjectProperties::default())
    );
}

#[test]
fn malformed_blocks_are_refused_by_name() {
    let parse = ObjectProperties::parse;
    assert_eq!(parse(&[0x10]), Err(PropertyError::Incomplete));
    assert_eq!(parse(&[0x0b, 1, 0x10]), Err(PropertyError::BadNesting));
    let (kind, value) = (TIMESCALE, 0);
    assert_eq!(
        parse(&[0x08, 0]),
        Err(PropertyError::BadValue { kind, value })
    );
}

#[test]
fn a_configuration_too_long_for_a_pair_is_left_out() {
    let properties = ObjectProperties {
        video_config: Some(Bytes::from(vec![0; VALUE_LEN_MAX + 1])),
        ..at(1)
    };
    assert_eq!(block(&properties, Draft19), [0x10, 1]);
}
