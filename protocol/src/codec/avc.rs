//! H.264: the AVCDecoderConfigurationRecord and the sequence parameter set in it.
//!
//! Sources: ISO/IEC 14496-15, 5.3.3.1; ITU-T H.264, 7.3.2.1.1 and annex E.

use super::bits::{array, take};
use super::{Error, VideoInfo};

mod sps;

pub use sps::Sps;

/// What an AVCDecoderConfigurationRecord says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// `profile_compatibility`: the constraint flags.
    pub constraints: u8,
    /// `AVCLevelIndication`: ten times the level.
    pub level: u8,
    /// Bytes of the length in front of each NAL unit: 1, 2 or 4.
    pub length_size: u8,
    /// The sequence parameter sets, each a NAL unit.
    pub sequence_parameter_sets: Vec<Vec<u8>>,
    /// The picture parameter sets, each a NAL unit.
    pub picture_parameter_sets: Vec<Vec<u8>>,
    /// The first sequence parameter set, read.
    pub sps: Sps,
}

impl Config {
    /// Reads a record. What follows the picture parameter sets repeats the SPS and is skipped.
    ///
    /// # Errors
    /// [`Error`] when the record or its first SPS is malformed, or a parameter set is missing.
    pub fn parse(mut record: &[u8]) -> Result<Self, Error> {
        const RECORD: &str = "AVCDecoderConfigurationRecord";
        let data = &mut record;
        let [version, profile, constraints, level, lengths, sps_count] = array(data, RECORD)?;
        if version != 1 {
            return Err(Error::Version {
                record: RECORD,
                version,
            });
        }
        let length_size = length_size(lengths)?;
        let sequence_parameter_sets = nal_units(data, sps_count & 0x1f, "SPS")?;
        let [pps_count] = array(data, RECORD)?;
        let picture_parameter_sets = nal_units(data, pps_count, "PPS")?;
        let first = sequence_parameter_sets
            .first()
            .ok_or(Error::Missing("SPS"))?;
        if picture_parameter_sets.is_empty() {
            return Err(Error::Missing("PPS"));
        }
        let sps = Sps::parse(first)?;
        Ok(Self {
            profile,
            constraints,
            level,
            length_size,
            sequence_parameter_sets,
            picture_parameter_sets,
            sps,
        })
    }

    /// `avc1.PPCCLL` (RFC 6381, 3.3).
    pub fn codec_string(&self) -> String {
        let (profile, constraints, level) = (self.profile, self.constraints, self.level);
        format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
    }

    /// What a catalog says.
    pub fn info(&self) -> VideoInfo {
        VideoInfo {
            codec: self.codec_string(),
            size: Some(self.sps.size),
            framerate: self.sps.framerate,
            length_size: Some(self.length_size),
        }
    }
}

/// The length size of the low two bits of `lengths`, for AVC and HEVC records alike.
pub(super) fn length_size(lengths: u8) -> Result<u8, Error> {
    match lengths & 3 {
        2 => Err(Error::Invalid("NAL unit length size of 3")),
        minus_one => Ok(minus_one + 1),
    }
}

/// Reads `count` NAL units, each behind its 16-bit length.
fn nal_units(data: &mut &[u8], count: u8, part: &'static str) -> Result<Vec<Vec<u8>>, Error> {
    let mut units = Vec::new();
    for _ in 0..count {
        let len = u16::from_be_bytes(array(data, part)?);
        units.push(take(data, usize::from(len), part)?.to_vec());
    }
    Ok(units)
}

/// The record with its length size set to 4, to go with frames that [`rewrite_lengths`] wrote.
///
/// # Errors
/// [`Error::Truncated`] when the record has no length size.
pub fn rewrite_record(record: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rewritten = record.to_vec();
    let lengths = rewritten
        .get_mut(4)
        .ok_or(Error::Truncated("length size"))?;
    *lengths |= 3;
    Ok(rewritten)
}

/// The frame with 4-byte NAL unit lengths in place of lengths of `from_size` bytes.
///
/// Lengths of other sizes are legal and rare; players are written for 4. The result is at most
/// four times as long as the frame.
///
/// # Errors
/// [`Error::NalLength`] when the lengths do not add up to the frame, [`Error::Invalid`] when
/// `from_size` is not 1, 2 or 4.
pub fn rewrite_lengths(frame: &[u8], from_size: u8) -> Result<Vec<u8>, Error> {
    if !matches!(from_size, 1 | 2 | 4) {
        return Err(Error::Invalid("NAL unit length size"));
    }
    // A frame is a handful of slices: room for eight longer lengths avoids most second copies.
    let mut rewritten = Vec::with_capacity(frame.len() + 8 * 3);
    let mut rest = frame;
    while !rest.is_empty() {
        let length = take(&mut rest, usize::from(from_size), "").map_err(|_| Error::NalLength)?;
        let length = length.iter().fold(0, |sum, &b| sum << 8 | u32::from(b));
        let count = usize::try_from(length).map_err(|_| Error::NalLength)?;
        let unit = take(&mut rest, count, "").map_err(|_| Error::NalLength)?;
        rewritten.extend_from_slice(&length.to_be_bytes());
        rewritten.extend_from_slice(unit);
    }
    Ok(rewritten)
}
