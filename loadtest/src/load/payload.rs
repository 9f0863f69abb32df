//! Synthetic frames that know when they were due and show whether they were changed.
//!
//! ```text
//!  video:  length of the NAL unit (4) | its header (1) | body
//!  audio:                                               body
//!  body:   stream and track (5) | length (5) | number (10) | due (10) | filler
//! ```
//!
//! The filler is a part of one long sequence, and all four numbers decide where it begins: a
//! number that was changed does not fit the filler that follows, nor does a changed filler.
//! Every byte of a body has its high bit set, so that no start code can appear in it and nothing
//! that looks into a NAL unit is misled.

use super::media::{Kind, mix};

/// A configuration record as x264 writes it for 640x360, baseline profile, level 3.0.
pub(super) const AVC_CONFIG: &[u8] = &[
    0x01, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f,
    0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2e,
    0x48, 0x01, 0x00, 0x05, 0x68, 0xcb, 0x83, 0xcb, 0x20,
];

/// The configuration of AAC-LC at 48 kHz, stereo.
pub(super) const AAC_CONFIG: &[u8] = &[0x11, 0x90];

/// NAL unit types (ITU-T H.264, table 7-1).
const NAL_SLICE: u8 = 1;
const NAL_SLICE_IDR: u8 = 5;

/// `nal_ref_idc` of a picture that others refer to.
const NAL_REF_IDC: u8 = 0x60;

/// A 64-bit number in bytes of 7 bits each, and one of 35 bits.
const LONG: usize = 10;
const SHORT: usize = 5;

/// Numbers in front of the filler.
const BODY_HEAD_BYTES: usize = 2 * SHORT + 2 * LONG;

/// What stands in front of a video frame's body.
const NAL_HEAD_BYTES: usize = 4 + 1;

/// The shortest frame: its numbers and some filler that can be checked.
pub const MIN_FRAME_BYTES: usize = 64;

/// The longest frame: what fits the relay's message limit with room to spare.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Length of the filler before it repeats. A prime, so that frames do not align with it.
const FILLER_BYTES: usize = 65_537;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    /// Which stream it belongs to.
    pub(super) stream: u32,
    /// Which of its tracks.
    pub(super) kind: Kind,
    /// Its number in the track, from 0 on.
    pub(super) index: u64,
    /// When it was due to be written, in microseconds on the run's clock.
    pub(super) due_us: u64,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Corrupt {
    /// No picture among its NAL units, or a length that leads out of the frame.
    #[error("there is no picture in it")]
    NoPicture,
    /// Longer or shorter than what was sent.
    #[error("its length is wrong")]
    Length,
    /// Bytes that are not the frame's.
    #[error("its bytes are wrong")]
    Bytes,
}

/// Makes frames and checks them.
#[derive(Debug)]
pub(super) struct Frames {
    filler: Vec<u8>,
}

impl Frames {
    pub(super) fn new() -> Self {
        // Any sequence without short repetitions: a shifted or swapped block must not compare
        // equal.
        let filler = (0..FILLER_BYTES as u32).map(|i| 0x80 | (i.wrapping_mul(i) >> 9) as u8);
        Self {
            filler: filler.collect(),
        }
    }

    /// Replaces what is in `out` by a frame of `bytes`, at least [`MIN_FRAME_BYTES`]. A `key`
    /// picture is one to join at.
    pub(super) fn write(&self, stamp: Stamp, key: bool, bytes: usize, out: &mut Vec<u8>) {
        out.clear();
        let mut body_bytes = bytes.max(MIN_FRAME_BYTES);
        if stamp.kind == Kind::Video {
            let nal_bytes = u32::try_from(body_bytes - 4).unwrap_or(u32::MAX);
            out.extend(nal_bytes.to_be_bytes());
            out.push(NAL_REF_IDC | if key { NAL_SLICE_IDR } else { NAL_SLICE });
            body_bytes -= NAL_HEAD_BYTES;
        }
        out.extend(number::<SHORT>(stamp.origin()));
        out.extend(number::<SHORT>(body_bytes as u64));
        out.extend(number::<LONG>(stamp.index));
        out.extend(number::<LONG>(stamp.due_us));
        for piece in self.filler(stamp, body_bytes) {
            out.extend_from_slice(piece);
        }
    }

    /// Reads a frame back. Parameter sets and the like in front of a picture are skipped: a relay
    /// may put them there.
    pub(super) fn check(&self, kind: Kind, payload: &[u8]) -> Result<Stamp, Corrupt> {
        let body = match kind {
            Kind::Video => picture(payload).ok_or(Corrupt::NoPicture)?.get(1..),
            Kind::Audio => Some(payload),
        };
        let body = body.ok_or(Corrupt::Length)?;
        let (origin, rest) = body.split_first_chunk().ok_or(Corrupt::Length)?;
        let (body_bytes, rest) = rest.split_first_chunk().ok_or(Corrupt::Length)?;
        let (index, rest) = rest.split_first_chunk().ok_or(Corrupt::Length)?;
        let (due_us, mut rest) = rest.split_first_chunk().ok_or(Corrupt::Length)?;
        if parse_number::<SHORT>(body_bytes) != Ok(body.len() as u64) {
            return Err(Corrupt::Length);
        }
        let (stream, kind) = origin_of(parse_number::<SHORT>(origin)?);
        let stamp = Stamp {
            stream,
            kind,
            index: parse_number::<LONG>(index)?,
            due_us: parse_number::<LONG>(due_us)?,
        };
        if number::<SHORT>(stamp.origin()) != *origin {
            return Err(Corrupt::Bytes);
        }
        for piece in self.filler(stamp, body.len()) {
            rest = rest.strip_prefix(piece).ok_or(Corrupt::Bytes)?;
        }
        Ok(stamp)
    }

    /// The filler of a frame, in the pieces that the repetition cuts it into.
    fn filler(&self, stamp: Stamp, body_bytes: usize) -> impl Iterator<Item = &[u8]> {
        let mut left = body_bytes.saturating_sub(BODY_HEAD_BYTES);
        let mut at = (stamp.digest(body_bytes) % FILLER_BYTES as u64) as usize;
        std::iter::from_fn(move || {
            let piece = self.filler.get(at..)?;
            let piece = piece.get(..left).unwrap_or(piece);
            left -= piece.len();
            at = 0;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

impl Stamp {
    /// Stream and track as one number.
    fn origin(self) -> u64 {
        u64::from(self.stream) << 1 | u64::from(self.kind == Kind::Audio)
    }

    fn digest(self, body_bytes: usize) -> u64 {
        let numbers = [self.origin(), body_bytes as u64, self.index, self.due_us];
        numbers
            .into_iter()
            .fold(0, |digest, number| mix(digest ^ number))
    }
}

fn origin_of(number: u64) -> (u32, Kind) {
    let kind = match number & 1 {
        0 => Kind::Video,
        _ => Kind::Audio,
    };
    ((number >> 1) as u32, kind)
}

/// The first NAL unit that is a picture.
fn picture(mut payload: &[u8]) -> Option<&[u8]> {
    loop {
        let (len, rest) = payload.split_first_chunk()?;
        let (nal, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        if matches!(nal.first()? & 0x1f, NAL_SLICE | NAL_SLICE_IDR) {
            return Some(nal);
        }
        payload = rest;
    }
}

fn number<const N: usize>(value: u64) -> [u8; N] {
    std::array::from_fn(|i| 0x80 | (value >> (7 * i)) as u8)
}

/// Reads a number back; one that would not be written like this has been changed.
fn parse_number<const N: usize>(bytes: &[u8; N]) -> Result<u64, Corrupt> {
    let bits = bytes.iter().rev();
    let value = bits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    match number::<N>(value) == *bytes {
        true => Ok(value),
        false => Err(Corrupt::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(kind: Kind, index: u64) -> Stamp {
        Stamp {
            stream: 70_000,
            kind,
            index,
            due_us: u64::MAX - index,
        }
    }

    fn frame(kind: Kind, bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        Frames::new().write(stamp(kind, 7), false, bytes, &mut out);
        out
    }

    #[test]
    fn a_frame_has_its_size_and_tells_its_stamp() {
        let frames = Frames::new();
        let mut out = Vec::new();
        for bytes in [MIN_FRAME_BYTES, 341, 16_000, FILLER_BYTES + 4_000, 200_000] {
            for kind in [Kind::Video, Kind::Audio] {
                for index in [0, 1, 59, 60, 123_456_789] {
                    frames.write(stamp(kind, index), index == 60, bytes, &mut out);
                    assert_eq!(out.len(), bytes);
                    assert_eq!(frames.check(kind, &out), Ok(stamp(kind, index)));
                }
            }
        }
    }

    #[test]
    fn no_start_code_can_appear() {
        let bytes = frame(Kind::Video, 70_000);
        assert!(bytes[5..].iter().all(|byte| byte & 0x80 != 0));
    }

    #[test]
    fn every_changed_byte_of_the_body_is_noticed() {
        let frames = Frames::new();
        for (kind, head) in [(Kind::Video, NAL_HEAD_BYTES), (Kind::Audio, 0)] {
            let good = frame(kind, 300);
            for at in head..good.len() {
                for bit in 0..7 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    assert!(frames.check(kind, &bad).is_err(), "byte {at}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_frame_that_was_cut_or_grew_is_noticed() {
        let frames = Frames::new();
        for kind in [Kind::Video, Kind::Audio] {
            let good = frame(kind, 300);
            for len in 0..300 {
                assert!(frames.check(kind, &good[..len]).is_err(), "{len} bytes");
            }
        }
        let mut longer = frame(Kind::Audio, 300);
        longer.push(0x80);
        assert_eq!(frames.check(Kind::Audio, &longer), Err(Corrupt::Length));
    }

    #[test]
    fn parameter_sets_in_front_are_skipped() {
        let mut bytes = vec![0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x68];
        bytes.extend(frame(Kind::Video, 100));
        let index = Frames::new().check(Kind::Video, &bytes).map(|s| s.index);
        assert_eq!(index, Ok(7));
    }
}
