//! What the extended audio and video headers share: FourCC, modifiers, tracks.
//!
//! Source: Enhanced RTMP v2, "Enhanced Audio" and "Enhanced Video".

use std::fmt;

use super::{Error, byte_at, bytes_at};

/// Modifiers in front of one packet. One is defined; the rest is room for what comes.
pub(super) const MAX_MOD_EX: usize = 16;

/// The packet type that announces a modifier, the same for audio and video.
pub(super) const MOD_EX: u8 = 7;

/// The one modifier that is defined: nanoseconds to add to the message's timestamp.
const MOD_EX_TIMESTAMP_OFFSET_NANO: u8 = 0;

/// The offset stays below the millisecond that the message's timestamp counts in.
const MAX_NANO_OFFSET: u32 = 999_999;

/// Four characters that name a codec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The packet type behind the modifiers, and what the modifiers said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Modified {
    pub(super) packet_type: u8,
    pub(super) nano_offset: u32,
    /// Where the header goes on.
    pub(super) at: usize,
}

/// Reads the modifiers of a packet whose first byte, at index 0, says `packet_type`.
pub(super) fn modifiers(body: &[u8], packet_type: u8) -> Result<Modified, Error> {
    const PART: &str = "modifier";
    let mut modified = Modified {
        packet_type,
        nano_offset: 0,
        at: 1,
    };
    for _ in 0..MAX_MOD_EX {
        if modified.packet_type != MOD_EX {
            return Ok(modified);
        }
        let mut at = modified.at;
        let mut size = usize::from(byte_at(body, at, PART)?) + 1;
        at += 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(bytes_at(body, at, PART)?)) + 1;
            at += 2;
        }
        let data = body.get(at..at + size).ok_or(Error::Truncated(PART))?;
        at += size;
        let kinds = byte_at(body, at, PART)?;
        if kinds >> 4 == MOD_EX_TIMESTAMP_OFFSET_NANO {
            let [a, b, c] = bytes_at(data, 0, "timestamp offset")?;
            modified.nano_offset = u32::from_be_bytes([0, a, b, c]).min(MAX_NANO_OFFSET);
        }
        modified.packet_type = kinds & 0x0f;
        modified.at = at + 1;
    }
    if modified.packet_type == MOD_EX {
        return Err(Error::TooManyModifiers);
    }
    Ok(modified)
}

/// The track header of a packet: its type, its codec, and where its body begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) packet_type: u8,
    pub(super) fourcc: FourCc,
    pub(super) at: usize,
}

/// Reads the FourCC at `at` of a packet that is not multitrack.
pub(super) fn single_track(body: &[u8], packet_type: u8, at: usize) -> Result<Track, Error> {
    let fourcc = FourCc(bytes_at(body, at, "FourCC")?);
    Ok(Track {
        packet_type,
        fourcc,
        at: at + 4,
    })
}

/// Reads the multitrack header at `at`: one track with the id 0 is an ordinary packet.
pub(super) fn multitrack(body: &[u8], at: usize) -> Result<Track, Error> {
    let kinds = byte_at(body, at, "multitrack header")?;
    match kinds >> 4 {
        0 => {}
        1 | 2 => return Err(Error::ManyTracks),
        other => return Err(Error::UnknownMultitrackType(other)),
    }
    let track = single_track(body, kinds & 0x0f, at + 1)?;
    match byte_at(body, track.at, "track id")? {
        0 => Ok(Track {
            at: track.at + 1,
            ..track
        }),
        id => Err(Error::Multitrack { track: id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_modifier_has_a_sixteen_bit_size() {
        let mut body = vec![0x97, 0xff, 0x01, 0x2b];
        body.extend_from_slice(&[0; 300]);
        body.push(0x10 | 3);
        let modified = modifiers(&body, MOD_EX);
        let expected = Modified {
            packet_type: 3,
            nano_offset: 0,
            at: 305,
        };
        assert_eq!(modified, Ok(expected));
    }

    #[test]
    fn endless_modifiers_are_refused() {
        let mut body = vec![0x97];
        for _ in 0..100 {
            body.extend_from_slice(&[0, 0, 0x10 | MOD_EX]);
        }
        assert_eq!(modifiers(&body, MOD_EX), Err(Error::TooManyModifiers));
    }

    #[test]
    fn fourcc_shows_bytes_that_do_not_print() {
        assert_eq!(FourCc(*b"a\x00'1").to_string(), r"'a\x00\'1'");
    }
}
