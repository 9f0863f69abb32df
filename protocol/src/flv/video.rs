//! The header of a video message, legacy and extended.
//!
//! Sources: Adobe's "Video File Format Specification" version 10, E.4.3; Enhanced RTMP v2,
//! "Enhanced Video".

use super::extended::{self, FourCc, Track};
use super::{Error, byte_at, bytes_at};
use crate::codec::VideoCodec;

/// What the header of a video message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoTag {
    /// The codec of the payload.
    pub codec: VideoCodec,
    /// Whether the frame can be decoded without any before it.
    pub key: bool,
    /// What the payload is.
    pub packet: VideoPacket,
    /// Nanoseconds below one millisecond to add to the message's timestamp (ModEx); usually 0.
    pub nano_offset: u32,
    /// Index in the message of the first byte of the payload.
    pub payload_at: usize,
}

/// What the payload of a video message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoPacket {
    /// The codec's configuration record, see [`crate::codec`].
    Config,
    /// One frame (access unit).
    Frame {
        /// Presentation time minus decoding time, in milliseconds. The message's timestamp is the
        /// decoding time.
        composition_ms: i32,
    },
    /// No further frame uses the configuration. No payload.
    EndOfSequence,
    /// An AMF0 pair such as `colorInfo`.
    Metadata,
}

/// Reads the header of the video message `body`.
///
/// # Errors
/// [`Error`]; those that are [skippable](Error::is_skippable) leave the track as it is.
pub fn parse(body: &[u8]) -> Result<VideoTag, Error> {
    let first = *body.first().ok_or(Error::EmptyVideo)?;
    if first & 0x80 == 0 {
        legacy(body, first >> 4, first & 0x0f)
    } else {
        enhanced(body, (first >> 4) & 0x07, first & 0x0f)
    }
}

fn legacy(body: &[u8], frame_type: u8, codec_id: u8) -> Result<VideoTag, Error> {
    let codec = match codec_id {
        7 => VideoCodec::Avc,
        // Not in any specification: what encoders of the HEVC-in-FLV agreement send.
        12 => VideoCodec::Hevc,
        2 => return Err(Error::UnsupportedVideoCodec("Sorenson H.263")),
        3 => return Err(Error::UnsupportedVideoCodec("Screen video")),
        4 => return Err(Error::UnsupportedVideoCodec("VP6")),
        5 => return Err(Error::UnsupportedVideoCodec("VP6 with alpha")),
        6 => return Err(Error::UnsupportedVideoCodec("Screen video 2")),
        other => return Err(Error::UnknownVideoCodec(other)),
    };
    let key = is_key(frame_type)?;
    let packet = match byte_at(body, 1, "packet type")? {
        0 => VideoPacket::Config,
        1 => VideoPacket::Frame {
            composition_ms: signed24(bytes_at(body, 2, "composition time")?),
        },
        2 => VideoPacket::EndOfSequence,
        other => return Err(Error::UnknownPacketType(other)),
    };
    Ok(VideoTag {
        codec,
        key,
        packet,
        nano_offset: 0,
        // An end of sequence may leave its meaningless composition time out.
        payload_at: body.len().min(5),
    })
}

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2_TS_SEQUENCE_START: u8 = 5;
const MULTITRACK: u8 = 6;

fn enhanced(body: &[u8], frame_type: u8, packet_type: u8) -> Result<VideoTag, Error> {
    let modified = extended::modifiers(body, packet_type)?;
    // The frame type of metadata carries no meaning.
    let key = modified.packet_type != METADATA && is_key(frame_type)?;
    let track = match modified.packet_type {
        MULTITRACK => extended::multitrack(body, modified.at)?,
        other => extended::single_track(body, other, modified.at)?,
    };
    let codec = codec_of(track.fourcc)?;
    let (packet, payload_at) = packet_of(body, codec, &track)?;
    Ok(VideoTag {
        codec,
        key: key && packet != VideoPacket::Metadata,
        packet,
        nano_offset: modified.nano_offset,
        payload_at,
    })
}

fn packet_of(body: &[u8], codec: VideoCodec, track: &Track) -> Result<(VideoPacket, usize), Error> {
    let frame = |composition_ms| VideoPacket::Frame { composition_ms };
    Ok(match track.packet_type {
        SEQUENCE_START => (VideoPacket::Config, track.at),
        CODED_FRAMES => match codec {
            VideoCodec::Avc | VideoCodec::Hevc => {
                let time = bytes_at(body, track.at, "composition time")?;
                (frame(signed24(time)), track.at + 3)
            }
            VideoCodec::Av1 | VideoCodec::Vp9 => (frame(0), track.at),
        },
        SEQUENCE_END => (VideoPacket::EndOfSequence, track.at),
        CODED_FRAMES_X => (frame(0), track.at),
        METADATA => (VideoPacket::Metadata, track.at),
        MPEG2_TS_SEQUENCE_START => {
            return Err(Error::UnsupportedPacketType("MPEG-2 TS sequence start"));
        }
        other => return Err(Error::UnknownPacketType(other)),
    })
}

fn codec_of(fourcc: FourCc) -> Result<VideoCodec, Error> {
    match &fourcc.0 {
        b"avc1" => Ok(VideoCodec::Avc),
        b"hvc1" => Ok(VideoCodec::Hevc),
        b"av01" => Ok(VideoCodec::Av1),
        b"vp09" => Ok(VideoCodec::Vp9),
        b"vp08" => Err(Error::UnsupportedVideoCodec("VP8")),
        b"vvc1" => Err(Error::UnsupportedVideoCodec("VVC")),
        _ => Err(Error::UnknownFourCc(fourcc)),
    }
}

fn is_key(frame_type: u8) -> Result<bool, Error> {
    match frame_type {
        // 4 is a key frame that a server made.
        1 | 4 => Ok(true),
        2 | 3 => Ok(false),
        5 => Err(Error::Command),
        other => Err(Error::UnknownFrameType(other)),
    }
}

fn signed24([a, b, c]: [u8; 3]) -> i32 {
    i32::from_be_bytes([a, b, c, 0]) >> 8
}

#[cfg(test)]
mod tests;
