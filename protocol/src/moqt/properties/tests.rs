//! Key-value pairs and track properties.

use super::*;

fn all(block: &[u8]) -> Result<Vec<(u64, Value<'_>)>, PropertyError> {
    Pairs::new(block).collect()
}

#[test]
fn types_are_running_sums_and_parity_gives_the_shape() {
    let block = [0x08, 0xcf, 0x42, 0x40, 0x05, 0x02, b'h', b'i', 0x00, 0x00];
    assert_eq!(
        all(&block),
        Ok(vec![
            (0x08, Value::Int(1_000_000)),
            (0x0d, Value::Bytes(b"hi")),
            (0x0d, Value::Bytes(b"")),
        ])
    );
    let mut out = Vec::new();
    let mut pairs = PairWriter::new(&mut out);
    pairs.int(0x08, 1_000_000);
    pairs.bytes(0x0d, b"hi");
    pairs.bytes(0x0d, b"");
    assert_eq!(out, block);
}

#[test]
fn malformed_blocks_are_refused_by_name() {
    assert_eq!(all(&[0x08]), Err(PropertyError::Incomplete));
    assert_eq!(all(&[0x0d, 0x02, b'h']), Err(PropertyError::Incomplete));
    let mut overflow = vec![0xff; 9];
    overflow.extend([0x00, 0x01]);
    assert_eq!(all(&overflow), Err(PropertyError::TypeOverflow));
    // 65536 as a vi64.
    let too_long = PropertyError::ValueTooLong {
        kind: 1,
        len: 65_536,
    };
    assert_eq!(all(&[0x01, 0xc1, 0x00, 0x00]), Err(too_long));
    assert_eq!(too_long.session_error(), SessionError::ProtocolViolation);
    let mut pairs = Pairs::new(&[0x0d, 0x02]);
    assert_eq!(pairs.next(), Some(Err(PropertyError::Incomplete)));
    assert_eq!(pairs.next(), None, "iteration ends after an error");
}

#[test]
fn a_block_keeps_its_bytes_and_finds_values_in_the_immutable_part() {
    // Type 0x0b holds {0x08: 90000}; a longer encoding than needed is kept as it is.
    let block = [0x80, 0x04, 0x05, 0x07, 0x04, 0x08, 0xc1, 0x5f, 0x90];
    let properties = Properties::new(Bytes::copy_from_slice(&block)).unwrap();
    assert_eq!(properties.as_bytes(), &block[..]);
    assert_eq!(properties.find(TIMESCALE), Some(Value::Int(90_000)));
    assert_eq!(properties.find(MAX_CACHE_DURATION), Some(Value::Int(5)));
    assert_eq!(properties.find(0x30), None);
    let track = TrackProperties::parse(&properties).unwrap();
    assert_eq!(track.timescale, Some(90_000));
    assert_eq!(track.max_cache_duration_ms, Some(5));
    assert_eq!(find(&[0x0b, 0x01, 0x08], 8), Err(PropertyError::BadNesting));
}

#[test]
fn track_properties_round_trip() {
    let track = TrackProperties {
        timescale: Some(1_000_000),
        publisher_priority: Some(255),
        group_order: Some(GroupOrder::Descending),
        dynamic_groups: Some(false),
        max_cache_duration_ms: Some(0),
        object_delivery_timeout_ms: Some(2_000),
        subgroup_delivery_timeout_ms: None,
        unsupported: None,
    };
    assert_eq!(TrackProperties::parse(&track.to_block()), Ok(track));
    let timescale = TrackProperties {
        timescale: Some(1_000_000),
        ..Default::default()
    };
    assert_eq!(
        timescale.to_block().as_bytes(),
        &[0x08, 0xcf, 0x42, 0x40][..]
    );
}

#[test]
fn track_properties_out_of_range_and_unknown_mandatory_ones_are_named() {
    for (kind, value) in [
        (TIMESCALE, 0),
        (DEFAULT_PUBLISHER_PRIORITY, 256),
        (DEFAULT_PUBLISHER_GROUP_ORDER, 0),
        (DEFAULT_PUBLISHER_GROUP_ORDER, 3),
        (DYNAMIC_GROUPS, 2),
    ] {
        let mut out = Vec::new();
        PairWriter::new(&mut out).int(kind, value);
        let block = Properties::new(out.into()).unwrap();
        let error = PropertyError::BadValue { kind, value };
        assert_eq!(TrackProperties::parse(&block), Err(error));
        assert_eq!(error.session_error(), SessionError::KeyValueFormatting);
    }
    let mut out = Vec::new();
    let mut pairs = PairWriter::new(&mut out);
    pairs.int(0x2000, 1);
    pairs.bytes(0x4001, b"must");
    let block = Properties::new(out.into()).unwrap();
    assert_eq!(
        TrackProperties::parse(&block).unwrap().unsupported,
        Some(0x4001)
    );
}
