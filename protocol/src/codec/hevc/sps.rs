//! The HEVC sequence parameter set, as far as the picture's size and rate.

use super::super::bits::{Bits, unescape};
use super::super::{Error, Size, framerate};
use super::NAL_SPS;

/// `aspect_ratio_idc` that is followed by an explicit ratio.
const EXTENDED_SAR: u8 = 255;

/// `num_short_term_ref_pic_sets` is at most 64 (7.4.3.2.1).
const MAX_SHORT_TERM_SETS: u32 = 64;

/// Pictures of one set; `sps_max_dec_pic_buffering_minus1` is at most 16 (7.4.8).
const MAX_SET_PICTURES: u32 = 16;

/// `num_long_term_ref_pics_sps` is at most 32 (7.4.3.2.1).
const MAX_LONG_TERM_PICTURES: u32 = 32;

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sps {
    /// The picture after cropping to the conformance window.
    pub size: Size,
    /// Frames per second of the VUI, where it has timing.
    pub framerate: Option<f64>,
}

impl Sps {
    /// Reads the NAL unit `nal`, its header included.
    ///
    /// # Errors
    /// [`Error`] when it is malformed, or its size refused.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        let (header, payload) = nal
            .split_first_chunk::<2>()
            .ok_or(Error::Truncated("SPS"))?;
        if header[0] >> 1 & 0x3f != NAL_SPS {
            return Err(Error::Invalid("SPS (NAL unit type)"));
        }
        let payload = unescape(payload);
        let mut bits = Bits::new(&payload, "SPS");
        bits.skip(4)?;
        let sub_layers = bits.u(3)?;
        bits.skip(1)?;
        profile_tier_level(&mut bits, sub_layers)?;
        bits.ue()?;
        let size = picture_size(&mut bits)?;
        // A VUI that cannot be read costs its frame rate, which is a hint, and nothing else.
        let framerate = timing(&mut bits, sub_layers).unwrap_or_default();
        Ok(Self { size, framerate })
    }
}

/// Skips `profile_tier_level(1, sub_layers)` (7.3.3).
fn profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Result<(), Error> {
    bits.skip(88 + 8)?;
    if sub_layers == 0 {
        return Ok(());
    }
    let mut profiles = 0;
    let mut levels = 0;
    for _ in 0..sub_layers {
        profiles += usize::from(bits.flag()?);
        levels += usize::from(bits.flag()?);
    }
    for _ in sub_layers..8 {
        bits.skip(2)?;
    }
    bits.skip(88 * profiles + 8 * levels)
}

fn picture_size(bits: &mut Bits<'_>) -> Result<Size, Error> {
    let format = bits.ue()?;
    let separate_planes = format == 3 && bits.flag()?;
    let (crop_width, crop_height) = match format {
        1 => (2, 2),
        2 => (2, 1),
        3 if separate_planes => (1, 1),
        0 | 3 => (1, 1),
        _ => return Err(Error::Invalid("chroma format")),
    };
    let (width, height) = (bits.ue()?, bits.ue()?);
    let (mut crop_x, mut crop_y) = (0u32, 0u32);
    if bits.flag()? {
        crop_x = bits.ue()?.saturating_add(bits.ue()?);
        crop_y = bits.ue()?.saturating_add(bits.ue()?);
    }
    Size::new(
        width.saturating_sub(crop_x.saturating_mul(crop_width)),
        height.saturating_sub(crop_y.saturating_mul(crop_height)),
    )
}

/// Frames per second by the VUI, which lies behind everything else (7.3.2.2.1, E.2.1).
fn timing(bits: &mut Bits<'_>, sub_layers: u32) -> Result<Option<f64>, Error> {
    coding_tools(bits, sub_layers)?;
    if !bits.flag()? {
        return Ok(None);
    }
    if bits.flag()? && bits.byte(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    bits.skip(3)?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if !bits.flag()? {
        return Ok(None);
    }
    let units_in_tick = bits.u(32)?;
    let time_scale = bits.u(32)?;
    Ok(framerate(time_scale, units_in_tick, 1))
}

/// Skips from the bit depths to the flag that announces the VUI.
fn coding_tools(bits: &mut Bits<'_>, sub_layers: u32) -> Result<(), Error> {
    bits.ue()?;
    bits.ue()?;
    let poc_bits = bits.ue()?.saturating_add(4);
    let layers = if bits.flag()? { sub_layers + 1 } else { 1 };
    for _ in 0..3 * layers + 6 {
        bits.ue()?;
    }
    if bits.flag()? && bits.flag()? {
        scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    short_term_sets(bits)?;
    if bits.flag()? {
        let count = bits.ue()?;
        if count > MAX_LONG_TERM_PICTURES || poc_bits > 16 {
            return Err(Error::Invalid("long-term reference pictures"));
        }
        for _ in 0..count {
            bits.u(poc_bits + 1)?;
        }
    }
    bits.skip(2)
}

/// Skips `scaling_list_data()` (7.3.4).
fn scaling_lists(bits: &mut Bits<'_>) -> Result<(), Error> {
    for size in 0..4 {
        let step = if size == 3 { 3 } else { 1 };
        for _ in (0..6).step_by(step) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            let dc = usize::from(size > 1);
            for _ in 0..coefficients + dc {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// Skips the `st_ref_pic_set()`s (7.3.7), of which one may lean on the one before it.
fn short_term_sets(bits: &mut Bits<'_>) -> Result<(), Error> {
    let sets = bits.ue()?;
    if sets > MAX_SHORT_TERM_SETS {
        return Err(Error::Invalid("number of reference picture sets"));
    }
    let mut pictures = 0;
    for set in 0..sets {
        pictures = if set > 0 && bits.flag()? {
            bits.skip(1)?;
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.flag()?;
                kept += u32::from(used || bits.flag()?);
            }
            kept
        } else {
            let (negative, positive) = (bits.ue()?, bits.ue()?);
            let sum = negative.saturating_add(positive);
            for _ in 0..sum.min(MAX_SET_PICTURES + 1) {
                bits.ue()?;
                bits.skip(1)?;
            }
            sum
        };
        if pictures > MAX_SET_PICTURES {
            return Err(Error::Invalid("reference picture set"));
        }
    }
    Ok(())
}
