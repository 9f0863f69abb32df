//! The AV1 sequence header OBU (AV1 bitstream specification, 5.5).

use super::super::bits::Bits;
use super::super::{Error, Size, framerate};

/// What a sequence header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequenceHeader {
    /// The largest frame of the sequence.
    pub size: Size,
    /// Frames per second, where the header has timing for equal intervals.
    pub framerate: Option<f64>,
    /// How samples become colours.
    pub color: Color,
}

/// Colour description, by the code points of ISO/IEC 23091-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    /// `color_primaries`.
    pub primaries: u8,
    /// `transfer_characteristics`.
    pub transfer: u8,
    /// `matrix_coefficients`.
    pub matrix: u8,
    /// Samples use their full range.
    pub full_range: bool,
}

impl Color {
    /// Nothing is said: code point 2 throughout.
    pub const UNSPECIFIED: Self = Self {
        primaries: 2,
        transfer: 2,
        matrix: 2,
        full_range: false,
    };

    /// BT.709 in studio range, or nothing that says otherwise.
    pub(super) fn is_default(&self) -> bool {
        let default = |code| matches!(code, 1 | 2);
        let codes = [self.primaries, self.transfer, self.matrix];
        codes.into_iter().all(default) && !self.full_range
    }
}

impl SequenceHeader {
    pub(super) fn read(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let profile = bits.u(3)?;
        bits.skip(1)?;
        let reduced = bits.flag()?;
        let mut framerate = None;
        if reduced {
            bits.skip(5)?;
        } else {
            framerate = operating_points(bits)?;
        }
        let width_bits = bits.u(4)? + 1;
        let height_bits = bits.u(4)? + 1;
        let size = Size::new(bits.u(width_bits)? + 1, bits.u(height_bits)? + 1)?;
        if !reduced && bits.flag()? {
            bits.skip(7)?;
        }
        bits.skip(3)?;
        if !reduced {
            inter_tools(bits)?;
        }
        bits.skip(3)?;
        let color = color_config(bits, profile)?;
        Ok(Self {
            size,
            framerate,
            color,
        })
    }
}

/// Reads timing, decoder model and operating points: frames per second, if they are constant.
fn operating_points(bits: &mut Bits<'_>) -> Result<Option<f64>, Error> {
    let mut rate = None;
    let mut buffer_delay_bits = None;
    if bits.flag()? {
        let units_in_tick = bits.u(32)?;
        let time_scale = bits.u(32)?;
        if bits.flag()? {
            let ticks = bits.uvlc()?.saturating_add(1);
            rate = framerate(time_scale, units_in_tick, ticks);
        }
        if bits.flag()? {
            buffer_delay_bits = Some(usize::from(bits.byte(5)?) + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delays = bits.flag()?;
    for _ in 0..=bits.u(5)? {
        bits.skip(12)?;
        if bits.u(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = buffer_delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if display_delays && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Ok(rate)
}

/// Skips the tools that a still picture does not have.
fn inter_tools(bits: &mut Bits<'_>) -> Result<(), Error> {
    bits.skip(4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.skip(2)?;
    }
    let choose_screen_content = bits.flag()?;
    let screen_content = choose_screen_content || bits.flag()?;
    if screen_content && !bits.flag()? {
        bits.skip(1)?;
    }
    if order_hint {
        bits.skip(3)?;
    }
    Ok(())
}

fn color_config(bits: &mut Bits<'_>, profile: u32) -> Result<Color, Error> {
    /// sRGB: primaries, transfer and matrix that imply 4:4:4 in full range.
    const SRGB: [u8; 3] = [1, 13, 0];
    let high_depth = bits.flag()?;
    if profile == 2 && high_depth {
        bits.skip(1)?;
    }
    let monochrome = profile != 1 && bits.flag()?;
    let mut color = Color::UNSPECIFIED;
    if bits.flag()? {
        color.primaries = bits.byte(8)?;
        color.transfer = bits.byte(8)?;
        color.matrix = bits.byte(8)?;
    }
    let codes = [color.primaries, color.transfer, color.matrix];
    color.full_range = (!monochrome && codes == SRGB) || bits.flag()?;
    Ok(color)
}
