//! Codec configuration records: what the decoder needs and what a person wants to know.
//!
//! A publisher sends one record before its first frame. The record travels to the decoder
//! unchanged; what is read here describes it in catalogs and on the dashboard: the codec string of
//! RFC 6381, the size of the picture, the sample rate.

pub mod aac;
pub mod av1;
pub mod avc;
mod bits;
pub mod hevc;
pub mod opus;
pub mod vp9;

use std::fmt;

/// The largest width or height, in pixels, that is believed: twice 8K, and above every level.
pub const MAX_DIMENSION: u32 = 16_384;

/// Video codecs that Weir carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264, ITU-T H.264 | ISO/IEC 14496-10.
    Avc,
    /// H.265, ITU-T H.265 | ISO/IEC 23008-2.
    Hevc,
    /// AOMedia Video 1.
    Av1,
    /// VP9.
    Vp9,
}

/// Audio codecs that Weir carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC, ISO/IEC 14496-3.
    Aac,
    /// Opus, RFC 6716.
    Opus,
}

impl VideoCodec {
    /// The codec of a codec string (RFC 6381), such as `avc1.64001f`.
    pub fn from_codec_string(codec: &str) -> Option<Self> {
        match codec.split('.').next()? {
            "avc1" | "avc3" => Some(Self::Avc),
            "hvc1" | "hev1" => Some(Self::Hevc),
            "av01" => Some(Self::Av1),
            "vp09" => Some(Self::Vp9),
            _ => None,
        }
    }

    /// Its FourCC in Enhanced RTMP.
    pub fn fourcc(self) -> &'static str {
        match self {
            Self::Avc => "avc1",
            Self::Hevc => "hvc1",
            Self::Av1 => "av01",
            Self::Vp9 => "vp09",
        }
    }
}

impl AudioCodec {
    /// The codec of a codec string (RFC 6381), such as `mp4a.40.2`.
    pub fn from_codec_string(codec: &str) -> Option<Self> {
        match codec.split('.').next()? {
            "mp4a" => Some(Self::Aac),
            "opus" | "Opus" => Some(Self::Opus),
            _ => None,
        }
    }

    /// Its FourCC in Enhanced RTMP.
    pub fn fourcc(self) -> &'static str {
        match self {
            Self::Aac => "mp4a",
            Self::Opus => "Opus",
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
        })
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aac => "AAC",
            Self::Opus => "Opus",
        })
    }
}

/// Width and height of the picture in pixels, after cropping. Neither is 0 or above
/// [`MAX_DIMENSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Size`] when a side is 0 or above [`MAX_DIMENSION`].
    pub fn new(width: u32, height: u32) -> Result<Self, Error> {
        let bounds = 1..=MAX_DIMENSION;
        if bounds.contains(&width) && bounds.contains(&height) {
            Ok(Self { width, height })
        } else {
            Err(Error::Size { width, height })
        }
    }
}

/// What a catalog says about a video track.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoInfo {
    /// The codec string of RFC 6381, as WebCodecs takes it: `avc1.64001f`.
    pub codec: String,
    /// Size of the picture. `None` when the record does not say it (VP9, and AV1 without a
    /// sequence header): the first key frame does, see [`VideoInfo::learn_from_key_frame`].
    pub size: Option<Size>,
    /// Frames per second, when the record says so.
    pub framerate: Option<f64>,
    /// Bytes of the length in front of each NAL unit of a frame (1, 2 or 4) of AVC and HEVC.
    /// Players expect 4: see [`avc::rewrite_lengths`].
    pub length_size: Option<u8>,
}

impl VideoInfo {
    /// Takes the size from a key frame where the record left it open; does nothing otherwise.
    ///
    /// # Errors
    /// [`Error`] when the frame is malformed or its size refused.
    pub fn learn_from_key_frame(&mut self, codec: VideoCodec, frame: &[u8]) -> Result<(), Error> {
        if self.size.is_some() {
            return Ok(());
        }
        match codec {
            VideoCodec::Avc | VideoCodec::Hevc => {}
            VideoCodec::Vp9 => self.size = Some(vp9::key_frame_size(frame)?),
            VideoCodec::Av1 => {
                if let Some(header) = av1::sequence_header(frame)? {
                    self.size = Some(header.size);
                    self.framerate = self.framerate.or(header.framerate);
                }
            }
        }
        Ok(())
    }
}

/// What a catalog says about an audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioInfo {
    /// The codec string of RFC 6381, as WebCodecs takes it: `mp4a.40.2`.
    pub codec: String,
    /// Samples per second of what the decoder puts out, in Hz.
    pub sample_rate: u32,
    /// Channels of what the decoder puts out.
    pub channels: u8,
}

/// Reads what a catalog says from the configuration record of a video track.
///
/// # Errors
/// [`Error`] when the record is malformed, or says something that no player takes;
/// [`Error::Empty`] is to be ignored, as it changes nothing.
pub fn video_info(codec: VideoCodec, record: &[u8]) -> Result<VideoInfo, Error> {
    if record.is_empty() {
        return Err(Error::Empty);
    }
    Ok(match codec {
        VideoCodec::Avc => avc::Config::parse(record)?.info(),
        VideoCodec::Hevc => hevc::Config::parse(record)?.info(),
        VideoCodec::Av1 => av1::Config::parse(record)?.info(),
        VideoCodec::Vp9 => vp9::Config::parse(record)?.info(),
    })
}

/// Reads what a catalog says from the configuration of an audio track.
///
/// # Errors
/// [`Error`] when the configuration is malformed, or says something that no player takes;
/// [`Error::Empty`] is to be ignored, as it changes nothing.
pub fn audio_info(codec: AudioCodec, record: &[u8]) -> Result<AudioInfo, Error> {
    if record.is_empty() && codec != AudioCodec::Opus {
        return Err(Error::Empty);
    }
    Ok(match codec {
        AudioCodec::Aac => aac::Config::parse(record)?.info(),
        AudioCodec::Opus => opus::Config::parse(record)?.info(),
    })
}

/// The highest frame rate, per second, that is believed; above it the timing is a placeholder.
const MAX_FRAMERATE: f64 = 1000.0;

/// `time_scale / units_in_tick / ticks`, where that is a rate.
fn framerate(time_scale: u32, units_in_tick: u32, ticks: u32) -> Option<f64> {
    let rate = f64::from(time_scale) / (f64::from(units_in_tick) * f64::from(ticks));
    (rate > 0.0 && rate <= MAX_FRAMERATE).then_some(rate)
}

/// Why a configuration record, or a frame that is looked into, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The record has no bytes. ffmpeg sends such a one ahead of the real one when its encoder
    /// makes the record along with the first frame (libaom): it changes nothing.
    #[error("codec configuration is empty")]
    Empty,
    /// The record ends inside the named part.
    #[error("codec configuration ends inside its {0}")]
    Truncated(&'static str),
    /// The record has a version that no specification assigns.
    #[error("{record} has version {version}")]
    Version {
        /// The record's name.
        record: &'static str,
        /// Its version byte.
        version: u8,
    },
    /// The named field has a value that its specification forbids.
    #[error("codec configuration has an invalid {0}")]
    Invalid(&'static str),
    /// The record lacks a parameter set, so that nothing can be decoded.
    #[error("codec configuration has no {0}")]
    Missing(&'static str),
    /// A picture without area, or larger than [`MAX_DIMENSION`].
    #[error("picture size {width}x{height} is outside 1x1 to {MAX_DIMENSION}x{MAX_DIMENSION}")]
    Size {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A sample rate of 0 or above 192 kHz.
    #[error("sample rate {0} Hz is outside 1 to 192000 Hz")]
    SampleRate(u32),
    /// A frame whose NAL unit lengths do not add up to its size.
    #[error("NAL unit lengths do not fit the frame")]
    NalLength,
}

#[cfg(test)]
mod tests;
