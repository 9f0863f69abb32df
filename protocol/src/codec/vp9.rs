//! VP9: the VPCodecConfigurationRecord and the header of a key frame.
//!
//! Sources: "VP Codec ISO Media File Format Binding" 1.0; VP9 bitstream specification, 6.2 and 7.2.

use super::bits::{Bits, array};
use super::{Error, Size, VideoInfo};

/// What a VPCodecConfigurationRecord says. The size of the picture is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Ten times the level; 0 when unknown.
    pub level: u8,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// `chromaSubsampling`: 0 and 1 are 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_subsampling: u8,
    /// Samples use their full range.
    pub full_range: bool,
    /// `colourPrimaries`, by ISO/IEC 23091-2, as are the next two.
    pub primaries: u8,
    /// `transferCharacteristics`.
    pub transfer: u8,
    /// `matrixCoefficients`.
    pub matrix: u8,
}

impl Config {
    /// Reads a record, with or without the version and flags that a `vpcC` box puts in front.
    ///
    /// # Errors
    /// [`Error`] when the record is malformed.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        const RECORD: &str = "VPCodecConfigurationRecord";
        // Profile 1 at level 0 with no depth is no record: these four are version and flags.
        let mut data = record.strip_prefix(&[1, 0, 0, 0]).unwrap_or(record);
        let [profile, level, depth, primaries, transfer, matrix] = array(&mut data, RECORD)?;
        let bit_depth = depth >> 4;
        if profile > 3 {
            return Err(Error::Invalid("VP9 profile"));
        }
        if !matches!(bit_depth, 8 | 10 | 12) {
            return Err(Error::Invalid("VP9 bit depth"));
        }
        Ok(Self {
            profile,
            level,
            bit_depth,
            chroma_subsampling: depth >> 1 & 7,
            full_range: depth & 1 != 0,
            primaries,
            transfer,
            matrix,
        })
    }

    /// `vp09.PP.LL.DD`, and `.CC.cp.tc.mc.FF` where one of these is not its default (binding,
    /// "Codecs Parameter String"). Colour that is unspecified counts as the default, as do both
    /// places of a 4:2:0 colour sample. An unknown level is written as 1.0, the lowest: players
    /// refuse a string with a level that does not exist.
    pub fn codec_string(&self) -> String {
        let level = self.level.max(10);
        let (profile, depth) = (self.profile, self.bit_depth);
        let base = format!("vp09.{profile:02}.{level:02}.{depth:02}");
        let default = |code| matches!(code, 1 | 2);
        let codes = [self.primaries, self.transfer, self.matrix];
        let plain = self.chroma_subsampling < 2 && !self.full_range;
        if plain && codes.into_iter().all(default) {
            return base;
        }
        let [primaries, transfer, matrix] = codes;
        format!(
            "{base}.{:02}.{primaries:02}.{transfer:02}.{matrix:02}.{:02}",
            self.chroma_subsampling,
            u8::from(self.full_range),
        )
    }

    /// What a catalog says.
    pub fn info(&self) -> VideoInfo {
        VideoInfo {
            codec: self.codec_string(),
            size: None,
            framerate: None,
            length_size: None,
        }
    }
}

/// Reads the size of the picture from the uncompressed header of a key frame.
///
/// # Errors
/// [`Error`] when the header is malformed or not a key frame's, or the size refused.
pub fn key_frame_size(frame: &[u8]) -> Result<Size, Error> {
    const SYNC_CODE: u32 = 0x49_83_42;
    const COLOR_SPACE_RGB: u32 = 7;
    let mut bits = Bits::new(frame, "VP9 frame header");
    if bits.u(2)? != 2 {
        return Err(Error::Invalid("VP9 frame marker"));
    }
    let profile = bits.u(1)? | bits.u(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let shows_existing = bits.flag()?;
    let is_inter = bits.flag()?;
    if shows_existing || is_inter {
        return Err(Error::Invalid("VP9 key frame"));
    }
    bits.skip(2)?;
    if bits.u(24)? != SYNC_CODE {
        return Err(Error::Invalid("VP9 sync code"));
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let subsampling_is_coded = profile == 1 || profile == 3;
    if bits.u(3)? != COLOR_SPACE_RGB {
        bits.skip(if subsampling_is_coded { 4 } else { 1 })?;
    } else if subsampling_is_coded {
        bits.skip(1)?;
    } else {
        return Err(Error::Invalid("VP9 color space"));
    }
    Size::new(bits.u(16)? + 1, bits.u(16)? + 1)
}
