//! Vectors and properties of the integer encodings.

use super::*;

/// Encoding, value; the first is longer than needed.
const VECTORS: [(&[u8], u64); 8] = [
    (&[0x80, 0x25], 37),
    (&[0x25], 37),
    (&[0xbb, 0xbd], 15_293),
    (&[0xed, 0x7f, 0x3e, 0x7d], 226_442_877),
    (&[0xfa, 0xa1, 0xa0, 0xe4, 0x03, 0xd8], 2_893_212_287_960),
    (
        &[0xfc, 0x89, 0x98, 0xab, 0xc6, 0x6b, 0xc0],
        151_288_809_941_952,
    ),
    (
        &[0xfe, 0xfa, 0x31, 0x8f, 0xa8, 0xe3, 0xca, 0x11],
        70_423_237_261_249_041,
    ),
    (&[0xff; 9], u64::MAX),
];

#[test]
fn vi64_matches_the_vectors_of_the_draft() {
    for (index, (bytes, value)) in VECTORS.into_iter().enumerate() {
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.vi64(), Ok(value));
        assert!(reader.is_empty());
        if index > 0 {
            let mut out = Vec::new();
            put_vi64(&mut out, value);
            assert_eq!(out, bytes);
        }
    }
}

#[test]
fn vi64_round_trips_at_every_length_boundary() {
    for bits in 0..=64_u32 {
        let edge = 1_u64.checked_shl(bits).unwrap_or(0);
        for value in [edge.wrapping_sub(1), edge, edge.wrapping_add(1)] {
            let mut out = Vec::new();
            put_vi64(&mut out, value);
            assert_eq!(out.len(), vi64_len(value), "length of {value}");
            assert_eq!(vi64_len_of(out[0]), out.len());
            assert_eq!(Reader::new(&out).vi64(), Ok(value));
            for cut in 0..out.len() {
                let mut reader = Reader::new(&out[..cut]);
                assert_eq!(reader.vi64(), Err(Incomplete));
                assert_eq!(reader.position(), 0, "a failed read moves nothing");
            }
        }
    }
}

#[test]
fn both_integer_forms_agree_below_64_only() {
    for value in 0..64_u8 {
        assert_eq!(Reader::new(&[value]).vi64(), Ok(u64::from(value)));
        assert_eq!(Reader::new(&[value]).varint(), Ok(u64::from(value)));
    }
    assert_eq!(Reader::new(&[0x40, 0x25]).varint(), Ok(37));
    assert_eq!(Reader::new(&[0x40, 0x25]).vi64(), Ok(64));
    let quic = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
    assert_eq!(Reader::new(&quic).varint(), Ok(151_288_809_941_952_652));
    assert_eq!(Reader::new(&quic[..7]).varint(), Err(Incomplete));
}

#[test]
fn prefixed_bytes_longer_than_the_input_are_incomplete() {
    let mut reader = Reader::new(&[3, b'a', b'b', b'c', 1]);
    assert_eq!(reader.prefixed(), Ok(&b"abc"[..]));
    assert_eq!(reader.prefixed(), Err(Incomplete));
    assert_eq!(reader.remaining(), 1);
    assert_eq!(Reader::new(&[0xff; 9]).prefixed(), Err(Incomplete));
}

#[test]
fn fixed_width_reads_are_big_endian() {
    let mut reader = Reader::new(&[1, 2, 3, 4]);
    assert_eq!(reader.u16(), Ok(0x0102));
    assert_eq!(reader.u8(), Ok(3));
    assert_eq!(reader.u16(), Err(Incomplete));
    assert_eq!(reader.rest(), &[4]);
    assert_eq!(reader.u8(), Err(Incomplete));
}
