//! The H.264 sequence parameter set, as far as the picture's size and rate.

use super::super::bits::{Bits, unescape};
use super::super::{Error, Size, framerate};

/// `nal_unit_type` of a sequence parameter set.
const NAL_SPS: u8 = 7;

/// `aspect_ratio_idc` that is followed by an explicit ratio.
const EXTENDED_SAR: u8 = 255;

/// `num_ref_frames_in_pic_order_cnt_cycle` is at most 255 (7.4.2.1.1).
const MAX_POC_CYCLE: u32 = 255;

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sps {
    /// The picture after cropping.
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
        let (header, payload) = nal.split_first().ok_or(Error::Missing("SPS"))?;
        if header & 0x1f != NAL_SPS {
            return Err(Error::Invalid("SPS (NAL unit type)"));
        }
        let payload = unescape(payload);
        let mut bits = Bits::new(&payload, "SPS");
        let profile = bits.byte(8)?;
        bits.skip(16)?;
        bits.ue()?;
        let chroma = if has_chroma_format(profile) {
            Chroma::read(&mut bits)?
        } else {
            Chroma::YUV420
        };
        picture_order(&mut bits)?;
        bits.ue()?;
        bits.skip(1)?;
        let size = picture_size(&mut bits, chroma)?;
        // A VUI that cannot be read costs its frame rate, which is a hint, and nothing else.
        let framerate = timing(&mut bits).unwrap_or_default();
        Ok(Self { size, framerate })
    }
}

fn has_chroma_format(profile: u8) -> bool {
    matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

/// Pixels that one unit of cropping stands for.
#[derive(Clone, Copy)]
struct Chroma {
    crop_width: u32,
    crop_height: u32,
}

impl Chroma {
    const YUV420: Self = Self {
        crop_width: 2,
        crop_height: 2,
    };

    /// Reads from `chroma_format_idc` through the scaling matrix.
    fn read(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let format = bits.ue()?;
        let separate_planes = format == 3 && bits.flag()?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        let (crop_width, crop_height) = match format {
            1 => (2, 2),
            2 => (2, 1),
            3 if separate_planes => (1, 1),
            0 | 3 => (1, 1),
            _ => return Err(Error::Invalid("chroma format")),
        };
        Ok(Self {
            crop_width,
            crop_height,
        })
    }
}

fn scaling_list(bits: &mut Bits<'_>, len: usize) -> Result<(), Error> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.se()?.rem_euclid(256)) % 256;
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn picture_order(bits: &mut Bits<'_>) -> Result<(), Error> {
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue()?;
            if cycle > MAX_POC_CYCLE {
                return Err(Error::Invalid("picture order count cycle"));
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return Err(Error::Invalid("picture order count type")),
    }
    Ok(())
}

fn picture_size(bits: &mut Bits<'_>, chroma: Chroma) -> Result<Size, Error> {
    let width_in_blocks = bits.ue()?.saturating_add(1);
    let height_in_blocks = bits.ue()?.saturating_add(1);
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let width = width_in_blocks.saturating_mul(16);
    let height = height_in_blocks.saturating_mul(16 * fields);
    let (mut crop_x, mut crop_y) = (0u32, 0u32);
    if bits.flag()? {
        crop_x = bits.ue()?.saturating_add(bits.ue()?);
        crop_y = bits.ue()?.saturating_add(bits.ue()?);
    }
    Size::new(
        width.saturating_sub(crop_x.saturating_mul(chroma.crop_width)),
        height.saturating_sub(crop_y.saturating_mul(chroma.crop_height * fields)),
    )
}

/// Frames per second, from the VUI's `num_units_in_tick` and `time_scale` (annex E): a tick is a
/// field, so that a frame takes two.
fn timing(bits: &mut Bits<'_>) -> Result<Option<f64>, Error> {
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
    if !bits.flag()? {
        return Ok(None);
    }
    let units_in_tick = bits.u(32)?;
    let time_scale = bits.u(32)?;
    Ok(framerate(time_scale, units_in_tick, 2))
}
