//! The header of an audio message, legacy and extended.
//!
//! Sources: Adobe's "Video File Format Specification" version 10, E.4.2; Enhanced RTMP v2,
//! "Enhanced Audio".

use super::extended::{self, FourCc};
use super::{Error, byte_at};
use crate::codec::AudioCodec;

/// What the header of an audio message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioTag {
    /// The codec of the payload.
    pub codec: AudioCodec,
    /// What the payload is.
    pub packet: AudioPacket,
    /// Nanoseconds below one millisecond to add to the message's timestamp (ModEx); usually 0.
    pub nano_offset: u32,
    /// Index in the message of the first byte of the payload.
    pub payload_at: usize,
}

/// What the payload of an audio message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioPacket {
    /// The codec's configuration, see [`crate::codec`].
    Config,
    /// One frame.
    Frame,
    /// No further frame uses the configuration. No payload.
    EndOfSequence,
    /// The order of the channels, for codecs that do not say it. AAC and Opus do, so that it can
    /// be dropped.
    MultichannelConfig,
}

/// Reads the header of the audio message `body`.
///
/// # Errors
/// [`Error`]; those that are [skippable](Error::is_skippable) leave the track as it is.
pub fn parse(body: &[u8]) -> Result<AudioTag, Error> {
    let first = *body.first().ok_or(Error::Silence)?;
    match first >> 4 {
        9 => enhanced(body, first & 0x0f),
        10 => aac(body),
        format => Err(refusal(format)),
    }
}

fn aac(body: &[u8]) -> Result<AudioTag, Error> {
    let packet = match byte_at(body, 1, "packet type")? {
        0 => AudioPacket::Config,
        1 => AudioPacket::Frame,
        other => return Err(Error::UnknownPacketType(other)),
    };
    Ok(AudioTag {
        codec: AudioCodec::Aac,
        packet,
        nano_offset: 0,
        payload_at: 2,
    })
}

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;

fn enhanced(body: &[u8], packet_type: u8) -> Result<AudioTag, Error> {
    let modified = extended::modifiers(body, packet_type)?;
    let track = match modified.packet_type {
        MULTITRACK => extended::multitrack(body, modified.at)?,
        other => extended::single_track(body, other, modified.at)?,
    };
    let codec = codec_of(track.fourcc)?;
    let packet = match track.packet_type {
        SEQUENCE_START => AudioPacket::Config,
        CODED_FRAMES => AudioPacket::Frame,
        SEQUENCE_END => AudioPacket::EndOfSequence,
        MULTICHANNEL_CONFIG => AudioPacket::MultichannelConfig,
        other => return Err(Error::UnknownPacketType(other)),
    };
    Ok(AudioTag {
        codec,
        packet,
        nano_offset: modified.nano_offset,
        payload_at: track.at,
    })
}

fn codec_of(fourcc: FourCc) -> Result<AudioCodec, Error> {
    match &fourcc.0 {
        b"mp4a" => Ok(AudioCodec::Aac),
        b"Opus" => Ok(AudioCodec::Opus),
        b"ac-3" => Err(Error::UnsupportedAudioCodec("AC-3")),
        b"ec-3" => Err(Error::UnsupportedAudioCodec("E-AC-3")),
        b".mp3" => Err(Error::UnsupportedAudioCodec("MP3")),
        b"fLaC" => Err(Error::UnsupportedAudioCodec("FLAC")),
        _ => Err(Error::UnknownFourCc(fourcc)),
    }
}

fn refusal(format: u8) -> Error {
    Error::UnsupportedAudioCodec(match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 => "MP3",
        4 => "Nellymoser 16 kHz",
        5 => "Nellymoser 8 kHz",
        6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        11 => "Speex",
        14 => "MP3 8 kHz",
        15 => "native",
        other => return Error::UnknownAudioFormat(other),
    })
}

#[cfg(test)]
mod tests;
