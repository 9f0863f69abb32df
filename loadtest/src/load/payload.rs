//! Synthetic frames that know when they were sent and show whether they were changed.
//!
//! A frame is an access unit as RTMP carries H.264: one NAL unit behind its 32-bit length. Behind
//! the NAL unit's header byte stand the frame's number, the time it was sent, and filler that
//! depends on the number. Every byte of those has its high bit set, so that no start code can
//! appear and nothing that looks into the NAL unit is misled.

/// A configuration record as x264 writes it for 640x360, baseline profile, level 3.0.
pub(super) const AVC_CONFIG: &[u8] = &[
    0x01, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f,
    0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2e,
    0x48, 0x01, 0x00, 0x05, 0x68, 0xcb, 0x83, 0xcb, 0x20,
];

/// NAL unit types (ITU-T H.264, table 7-1).
const NAL_SLICE: u8 = 1;
const NAL_SLICE_IDR: u8 = 5;

/// `nal_ref_idc` of a picture that others refer to.
const NAL_REF_IDC: u8 = 0x60;

/// A 64-bit number in bytes of 7 bits each.
const NUMBER_BYTES: usize = 10;

/// The NAL unit's length, its header byte, and two numbers.
const HEAD_BYTES: usize = 4 + 1 + 2 * NUMBER_BYTES;

/// The shortest frame: its head and some filler that can be checked.
pub const MIN_FRAME_BYTES: usize = 64;

/// The longest frame: what fits the relay's message limit with room to spare.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Length of the filler before it repeats. A prime, so that frames do not align with it.
const FILLER_BYTES: usize = 65_537;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    /// Its number, from 0 on.
    pub(super) index: u64,
    /// When it was sent, in microseconds since the Unix epoch.
    pub(super) sent_us: u64,
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

/// Makes frames of one size and checks them.
#[derive(Debug)]
pub(super) struct Frames {
    filler: Vec<u8>,
    frame_bytes: usize,
}

impl Frames {
    pub(super) fn new(frame_bytes: usize) -> Self {
        // Any sequence without short repetitions: a shifted or swapped block must not compare
        // equal.
        let filler = (0..FILLER_BYTES as u32).map(|i| 0x80 | (i.wrapping_mul(i) >> 9) as u8);
        Self {
            filler: filler.collect(),
            frame_bytes,
        }
    }

    /// Replaces what is in `out` by a frame.
    pub(super) fn write(&self, stamp: Stamp, key: bool, out: &mut Vec<u8>) {
        out.clear();
        let nal_bytes = u32::try_from(self.frame_bytes.saturating_sub(4)).unwrap_or(u32::MAX);
        out.extend(nal_bytes.to_be_bytes());
        out.push(NAL_REF_IDC | if key { NAL_SLICE_IDR } else { NAL_SLICE });
        out.extend(number(stamp.index));
        out.extend(number(stamp.sent_us));
        for piece in self.filler(stamp.index) {
            out.extend_from_slice(piece);
        }
    }

    /// Reads a frame back. Parameter sets and the like in front of it are skipped: a relay may put
    /// them there.
    pub(super) fn check(&self, payload: &[u8]) -> Result<Stamp, Corrupt> {
        let nal = picture(payload).ok_or(Corrupt::NoPicture)?;
        if nal.len() + 4 != self.frame_bytes {
            return Err(Corrupt::Length);
        }
        let (_, body) = nal.split_first().ok_or(Corrupt::Length)?;
        let (index, body) = body.split_first_chunk().ok_or(Corrupt::Length)?;
        let (sent_us, mut body) = body.split_first_chunk().ok_or(Corrupt::Length)?;
        let stamp = Stamp {
            index: parse_number(index),
            sent_us: parse_number(sent_us),
        };
        for piece in self.filler(stamp.index) {
            body = body.strip_prefix(piece).ok_or(Corrupt::Bytes)?;
        }
        Ok(stamp)
    }

    /// The filler of a frame, in the pieces that the repetition cuts it into.
    fn filler(&self, index: u64) -> impl Iterator<Item = &[u8]> {
        let mut left = self.frame_bytes.saturating_sub(HEAD_BYTES);
        let mut at = (index.wrapping_mul(7_919) % FILLER_BYTES as u64) as usize;
        std::iter::from_fn(move || {
            let piece = self.filler.get(at..)?;
            let piece = piece.get(..left).unwrap_or(piece);
            left -= piece.len();
            at = 0;
            (!piece.is_empty()).then_some(piece)
        })
    }
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

fn number(value: u64) -> [u8; NUMBER_BYTES] {
    std::array::from_fn(|i| 0x80 | (value >> (7 * i)) as u8)
}

fn parse_number(bytes: &[u8; NUMBER_BYTES]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(frames: &Frames, index: u64) -> Vec<u8> {
        let mut out = Vec::new();
        frames.write(
            Stamp {
                index,
                sent_us: u64::MAX - index,
            },
            index.is_multiple_of(60),
            &mut out,
        );
        out
    }

    #[test]
    fn a_frame_has_its_size_and_tells_its_stamp() {
        for size in [MIN_FRAME_BYTES, 16_000, FILLER_BYTES + 4_000, 200_000] {
            let frames = Frames::new(size);
            for index in [0, 1, 59, 60, 123_456_789] {
                let bytes = frame(&frames, index);
                assert_eq!(bytes.len(), size);
                let stamp = Stamp {
                    index,
                    sent_us: u64::MAX - index,
                };
                assert_eq!(frames.check(&bytes), Ok(stamp));
            }
        }
    }

    #[test]
    fn no_start_code_can_appear() {
        let bytes = frame(&Frames::new(70_000), 0);
        assert!(bytes[5..].iter().all(|byte| byte & 0x80 != 0));
    }

    #[test]
    fn every_changed_byte_of_the_filler_is_noticed() {
        let frames = Frames::new(300);
        let good = frame(&frames, 7);
        for at in HEAD_BYTES..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(frames.check(&bad), Err(Corrupt::Bytes), "byte {at}");
        }
    }

    #[test]
    fn a_frame_with_another_number_or_length_is_noticed() {
        let frames = Frames::new(300);
        let mut bad = frame(&frames, 7);
        bad[5] ^= 1;
        assert_eq!(frames.check(&bad), Err(Corrupt::Bytes));
        assert_eq!(
            frames.check(&frame(&Frames::new(301), 7)),
            Err(Corrupt::Length)
        );
        for len in 0..300 {
            assert!(
                frames.check(&frame(&frames, 7)[..len]).is_err(),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn parameter_sets_in_front_are_skipped() {
        let frames = Frames::new(100);
        let mut bytes = vec![0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x68];
        bytes.extend(frame(&frames, 3));
        assert_eq!(frames.check(&bytes).map(|stamp| stamp.index), Ok(3));
    }
}
