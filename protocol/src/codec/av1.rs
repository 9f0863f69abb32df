//! AV1: the AV1CodecConfigurationRecord and the sequence header OBU.
//!
//! Sources: "AV1 Codec ISO Media File Format Binding", 2.3 and 5; AV1 bitstream specification,
//! 5.3 to 5.5.

use super::bits::{Bits, array, take};
use super::{Error, VideoInfo};

mod sequence;

pub use sequence::{Color, SequenceHeader};

/// `obu_type` of a sequence header.
const OBU_SEQUENCE_HEADER: u8 = 1;

/// What an AV1CodecConfigurationRecord says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `seq_profile`: 0 Main, 1 High, 2 Professional.
    pub profile: u8,
    /// `seq_level_idx_0`.
    pub level: u8,
    /// `seq_tier_0`: high tier when set, main tier when not.
    pub high_tier: bool,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// No colour planes.
    pub monochrome: bool,
    /// Half the colour samples across.
    pub subsampling_x: bool,
    /// Half the colour samples down.
    pub subsampling_y: bool,
    /// `chroma_sample_position`, 0 to 3.
    pub chroma_sample_position: u8,
    /// The sequence header of `configOBUs`, where the record has it.
    pub sequence: Option<SequenceHeader>,
}

impl Config {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Error`] when the record or its sequence header is malformed, or the size refused.
    pub fn parse(mut record: &[u8]) -> Result<Self, Error> {
        const RECORD: &str = "AV1CodecConfigurationRecord";
        let [version, level, format, _delay] = array(&mut record, RECORD)?;
        if version != 0x81 {
            return Err(Error::Version {
                record: RECORD,
                version,
            });
        }
        let profile = level >> 5;
        if profile > 2 {
            return Err(Error::Invalid("AV1 profile"));
        }
        Ok(Self {
            profile,
            level: level & 0x1f,
            high_tier: format & 0x80 != 0,
            bit_depth: match (format & 0x40 != 0, format & 0x20 != 0) {
                (false, _) => 8,
                (true, false) => 10,
                (true, true) => 12,
            },
            monochrome: format & 0x10 != 0,
            subsampling_x: format & 0x08 != 0,
            subsampling_y: format & 0x04 != 0,
            chroma_sample_position: format & 0x03,
            sequence: sequence_header(record)?,
        })
    }

    /// `av01.P.LLT.DD`, and `.M.CCC.cp.tc.mc.F` where one of these is not its default (binding,
    /// section 5). Colour that the sequence header leaves unspecified counts as the default.
    pub fn codec_string(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let (profile, level, depth) = (self.profile, self.level, self.bit_depth);
        let base = format!("av01.{profile}.{level:02}{tier}.{depth:02}");
        let color = self.sequence.map_or(Color::UNSPECIFIED, |s| s.color);
        let half = (self.subsampling_x, self.subsampling_y);
        let position = match half {
            (true, true) => self.chroma_sample_position,
            _ => 0,
        };
        let plain = !self.monochrome && half == (true, true) && position == 0;
        if plain && color.is_default() {
            return base;
        }
        format!(
            "{base}.{}.{}{}{position}.{:02}.{:02}.{:02}.{}",
            u8::from(self.monochrome),
            u8::from(half.0),
            u8::from(half.1),
            color.primaries,
            color.transfer,
            color.matrix,
            u8::from(color.full_range),
        )
    }

    /// What a catalog says.
    pub fn info(&self) -> VideoInfo {
        VideoInfo {
            codec: self.codec_string(),
            size: self.sequence.map(|sequence| sequence.size),
            framerate: self.sequence.and_then(|sequence| sequence.framerate),
            length_size: None,
        }
    }
}

/// Finds and reads the sequence header among `obus` (a temporal unit, or `configOBUs`).
///
/// # Errors
/// [`Error`] when an OBU is malformed, or the size refused.
pub fn sequence_header(mut obus: &[u8]) -> Result<Option<SequenceHeader>, Error> {
    const PART: &str = "OBU";
    let data = &mut obus;
    while !data.is_empty() {
        let [header] = array(data, PART)?;
        if header & 0x80 != 0 {
            return Err(Error::Invalid("OBU header"));
        }
        if header & 0x04 != 0 {
            let [_extension] = array(data, PART)?;
        }
        let size = if header & 0x02 != 0 {
            leb128(data)?
        } else {
            data.len()
        };
        let payload = take(data, size, PART)?;
        if header >> 3 & 0x0f == OBU_SEQUENCE_HEADER {
            let mut bits = Bits::new(payload, "AV1 sequence header");
            return SequenceHeader::read(&mut bits).map(Some);
        }
    }
    Ok(None)
}

/// `leb128()` (4.10.5): at most eight bytes, and a value below 2^32.
fn leb128(data: &mut &[u8]) -> Result<usize, Error> {
    const INVALID: Error = Error::Invalid("OBU size");
    let mut value = 0u64;
    for index in 0..8 {
        let [byte] = array(data, "OBU size")?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| INVALID)?;
            return usize::try_from(value).map_err(|_| INVALID);
        }
    }
    Err(INVALID)
}
