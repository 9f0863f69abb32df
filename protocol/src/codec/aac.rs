//! AAC: the AudioSpecificConfig.
//!
//! Source: ISO/IEC 14496-3, 1.6.2.1, 1.6.5 and 4.4.1.

use super::bits::Bits;
use super::{AudioInfo, Error};

/// The highest sample rate, in Hz, that is believed: no profile goes above 96 kHz before SBR.
const MAX_SAMPLE_RATE: u32 = 192_000;

/// Sample rates by `samplingFrequencyIndex` (table 1.18).
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The index that is followed by the rate itself.
const ESCAPED_RATE: usize = 15;

/// Audio object types (table 1.17) that say something of their own.
const TYPE_SBR: u8 = 5;
const TYPE_ER_BSAC: u8 = 22;
const TYPE_PS: u8 = 29;
const TYPE_ESCAPE: u8 = 31;

/// `syncExtensionType` in front of SBR, and of parametric stereo, said behind the base config.
const SYNC_SBR: u32 = 0x2b7;
const SYNC_PS: u32 = 0x548;

/// What an AudioSpecificConfig says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Audio object type of the base layer: 2 is AAC-LC.
    pub object_type: u8,
    /// Samples per second of the base layer, in Hz.
    pub sample_rate: u32,
    /// Channels of the base layer.
    pub channels: u8,
    /// Spectral band replication (HE-AAC) is announced, and doubles the rate to this many Hz.
    pub sbr_sample_rate: Option<u32>,
    /// Parametric stereo (HE-AAC v2) is announced: one channel becomes two.
    pub parametric_stereo: bool,
}

impl Config {
    /// Reads a configuration, with SBR and parametric stereo announced either way (1.6.6.1).
    ///
    /// # Errors
    /// [`Error`] when it is malformed, or says a rate or channels that no decoder puts out.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits::new(record, "AudioSpecificConfig");
        let bits = &mut bits;
        let mut object_type = object_type(bits)?;
        let rate = sample_rate(bits)?;
        let channel_config = bits.byte(4)?;
        let mut sbr_sample_rate = None;
        let parametric_stereo = object_type == TYPE_PS;
        if object_type == TYPE_SBR || parametric_stereo {
            sbr_sample_rate = Some(sample_rate(bits)?);
            object_type = self::object_type(bits)?;
            if object_type == TYPE_ER_BSAC {
                bits.skip(4)?;
            }
        }
        let in_band = general_audio(bits, object_type, channel_config)?;
        let channels = match in_band {
            Some(channels) => channels,
            None => channels_of(channel_config)?,
        };
        let mut config = Self {
            object_type,
            sample_rate: rate,
            channels,
            sbr_sample_rate,
            parametric_stereo,
        };
        if sbr_sample_rate.is_none() {
            config.read_extension(bits)?;
        }
        Ok(config)
    }

    /// Reads what may follow the base configuration for decoders that know more than LC.
    fn read_extension(&mut self, bits: &mut Bits<'_>) -> Result<(), Error> {
        // Encoders pad with anything: only a whole and known announcement counts.
        if bits.left() < 16 || bits.u(11)? != SYNC_SBR {
            return Ok(());
        }
        if object_type(bits)? != TYPE_SBR || !bits.flag()? {
            return Ok(());
        }
        self.sbr_sample_rate = Some(sample_rate(bits)?);
        if bits.left() >= 12 && bits.u(11)? == SYNC_PS {
            self.parametric_stereo = bits.flag()?;
        }
        Ok(())
    }

    /// `mp4a.40.N` (RFC 6381, 3.3), N the type that decodes all of it: 5 with SBR, 29 with
    /// parametric stereo.
    pub fn codec_string(&self) -> String {
        let object_type = match (self.parametric_stereo, self.sbr_sample_rate) {
            (true, _) => TYPE_PS,
            (false, Some(_)) => TYPE_SBR,
            (false, None) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }

    /// What a catalog says.
    pub fn info(&self) -> AudioInfo {
        AudioInfo {
            codec: self.codec_string(),
            sample_rate: self.sbr_sample_rate.unwrap_or(self.sample_rate),
            channels: match self.parametric_stereo {
                true => self.channels.max(2),
                false => self.channels,
            },
        }
    }
}

fn object_type(bits: &mut Bits<'_>) -> Result<u8, Error> {
    match bits.byte(5)? {
        0 => Err(Error::Invalid("audio object type")),
        TYPE_ESCAPE => Ok(32 + bits.byte(6)?),
        object_type => Ok(object_type),
    }
}

fn sample_rate(bits: &mut Bits<'_>) -> Result<u32, Error> {
    let index = usize::from(bits.byte(4)?);
    let rate = match SAMPLE_RATES.get(index) {
        Some(&rate) => rate,
        None if index == ESCAPED_RATE => bits.u(24)?,
        None => return Err(Error::Invalid("sampling frequency index")),
    };
    if rate == 0 || rate > MAX_SAMPLE_RATE {
        return Err(Error::SampleRate(rate));
    }
    Ok(rate)
}

/// Channels by `channelConfiguration` (table 1.19).
fn channels_of(config: u8) -> Result<u8, Error> {
    match config {
        1..=6 => Ok(config),
        7 | 12 | 14 => Ok(8),
        11 => Ok(7),
        13 => Ok(24),
        _ => Err(Error::Invalid("channel configuration")),
    }
}

/// Skips `GASpecificConfig()` (4.4.1) of the types that have one: what follows it can be read, and
/// channel configuration 0 puts the channels here, as a program config element.
fn general_audio(
    bits: &mut Bits<'_>,
    object_type: u8,
    channel_config: u8,
) -> Result<Option<u8>, Error> {
    if !matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
        return Ok(None);
    }
    bits.skip(1)?;
    if bits.flag()? {
        bits.skip(14)?;
    }
    let extension = bits.flag()?;
    let channels = match channel_config {
        0 => Some(program_config_channels(bits)?),
        _ => None,
    };
    if matches!(object_type, 6 | 20) {
        bits.skip(3)?;
    }
    if extension {
        if object_type == TYPE_ER_BSAC {
            bits.skip(16)?;
        }
        if matches!(object_type, 17 | 19 | 20 | 23) {
            bits.skip(3)?;
        }
        bits.skip(1)?;
    }
    Ok(channels)
}

/// Counts the channels of a `program_config_element()` (4.4.1.1).
fn program_config_channels(bits: &mut Bits<'_>) -> Result<u8, Error> {
    bits.skip(4 + 2 + 4)?;
    let positioned = bits.u(4)? + bits.u(4)? + bits.u(4)?;
    let lfe = bits.u(2)?;
    let data = bits.u(3)?;
    let coupled = bits.u(4)?;
    for mixdown_bits in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(mixdown_bits)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..positioned {
        channels += if bits.flag()? { 2 } else { 1 };
        bits.skip(4)?;
    }
    for _ in 0..lfe + data {
        bits.skip(4)?;
    }
    for _ in 0..coupled {
        bits.skip(5)?;
    }
    bits.align();
    let comment = bits.u(8)?;
    for _ in 0..comment {
        bits.skip(8)?;
    }
    match u8::try_from(channels) {
        Ok(0) | Err(_) => Err(Error::Invalid("channel configuration")),
        Ok(channels) => Ok(channels),
    }
}
