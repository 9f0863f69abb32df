//! HEVC: the HEVCDecoderConfigurationRecord and the sequence parameter set in it.
//!
//! Sources: ISO/IEC 14496-15, 8.3.3.1 and annex E; ITU-T H.265, 7.3.2.2 and annex E.

use std::fmt::Write as _;

use super::bits::{array, take};
use super::{Error, VideoInfo, avc};

mod sps;

pub use sps::Sps;

const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;

/// Index of the byte of the record whose low two bits are the length size.
const LENGTHS_AT: usize = 21;

/// What an HEVCDecoderConfigurationRecord says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `general_profile_space`, 0 to 3.
    pub profile_space: u8,
    /// `general_tier_flag`: high tier when set, main tier when not.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_profile_compatibility_flags`.
    pub compatibility: u32,
    /// `general_constraint_indicator_flags`, 48 bits.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
    /// Frames per second by `avgFrameRate`, where it is given.
    pub average_framerate: Option<f64>,
    /// Bytes of the length in front of each NAL unit: 1, 2 or 4.
    pub length_size: u8,
    /// The first sequence parameter set, read.
    pub sps: Sps,
}

impl Config {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Error`] when the record or its first SPS is malformed, or a parameter set is missing.
    pub fn parse(mut record: &[u8]) -> Result<Self, Error> {
        const RECORD: &str = "HEVCDecoderConfigurationRecord";
        let data = &mut record;
        let [version, profile] = array(data, RECORD)?;
        if version != 1 {
            return Err(Error::Version {
                record: RECORD,
                version,
            });
        }
        let compatibility = u32::from_be_bytes(array(data, RECORD)?);
        let constraints = array(data, RECORD)?;
        let [level] = array(data, RECORD)?;
        // Spatial segmentation, parallelism, chroma format and bit depths: the SPS has them.
        let _: [u8; 6] = array(data, RECORD)?;
        let average = u16::from_be_bytes(array(data, RECORD)?);
        let [lengths, arrays] = array(data, RECORD)?;
        Ok(Self {
            profile_space: profile >> 6,
            high_tier: profile & 0x20 != 0,
            profile: profile & 0x1f,
            compatibility,
            constraints,
            level,
            average_framerate: super::framerate(u32::from(average), 256, 1),
            length_size: avc::length_size(lengths)?,
            sps: first_sps(data, arrays)?,
        })
    }

    /// `hvc1.` and profile, compatibility, tier and level, and constraints (ISO/IEC 14496-15,
    /// annex E.3): `hvc1.1.6.L93.b0`.
    pub fn codec_string(&self) -> String {
        let mut codec = String::from("hvc1.");
        match self.profile_space {
            1 => codec.push('A'),
            2 => codec.push('B'),
            3 => codec.push('C'),
            _ => {}
        }
        let compatibility = self.compatibility.reverse_bits();
        let tier = if self.high_tier { 'H' } else { 'L' };
        // Writing to a String cannot fail.
        let _ = write!(
            codec,
            "{}.{compatibility:x}.{tier}{}",
            self.profile, self.level
        );
        let used = self.constraints.iter().rposition(|&byte| byte != 0);
        for byte in self.constraints.iter().take(used.map_or(0, |at| at + 1)) {
            let _ = write!(codec, ".{byte:x}");
        }
        codec
    }

    /// What a catalog says.
    pub fn info(&self) -> VideoInfo {
        VideoInfo {
            codec: self.codec_string(),
            size: Some(self.sps.size),
            framerate: self.sps.framerate.or(self.average_framerate),
            length_size: Some(self.length_size),
        }
    }
}

/// The record with its length size set to 4, to go with frames that [`avc::rewrite_lengths`]
/// wrote.
///
/// # Errors
/// [`Error::Truncated`] when the record has no length size.
pub fn rewrite_record(record: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rewritten = record.to_vec();
    let lengths = rewritten
        .get_mut(LENGTHS_AT)
        .ok_or(Error::Truncated("length size"))?;
    *lengths |= 3;
    Ok(rewritten)
}

/// Walks the arrays of parameter sets, of which all three kinds must be there.
fn first_sps(data: &mut &[u8], arrays: u8) -> Result<Sps, Error> {
    const PART: &str = "parameter set arrays";
    let (mut vps, mut sps, mut pps) = (None, None, None);
    for _ in 0..arrays {
        let [kind] = array(data, PART)?;
        let count = u16::from_be_bytes(array(data, PART)?);
        for _ in 0..count {
            let len = u16::from_be_bytes(array(data, PART)?);
            let unit = take(data, usize::from(len), PART)?;
            let place = match kind & 0x3f {
                NAL_VPS => &mut vps,
                NAL_SPS => &mut sps,
                NAL_PPS => &mut pps,
                _ => continue,
            };
            place.get_or_insert(unit);
        }
    }
    vps.ok_or(Error::Missing("VPS"))?;
    pps.ok_or(Error::Missing("PPS"))?;
    Sps::parse(sps.ok_or(Error::Missing("SPS"))?)
}
