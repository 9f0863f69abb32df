//! Writes FLV: message headers for publishers, whole tags for files.
//!
//! Headers are legacy where legacy can say it (H.264 and AAC), so that every player reads them, and
//! extended otherwise. What goes in front of a payload and what goes behind it are written apart,
//! so that the payload is not copied.
//!
//! Sources: Adobe's "Video File Format Specification" version 10, annex E; Enhanced RTMP v2.

use std::ops::Deref;

use super::{AudioPacket, MAX_BODY, TAG_HEADER, TagKind, VideoPacket};
use crate::codec::{AudioCodec, VideoCodec};

/// The longest header of a message: extended, with a composition time.
const MAX_MESSAGE_HEADER: usize = 8;

/// `SoundFormat` AAC; the rate, size and channels beside it are fixed, as its configuration says
/// them (E.4.2.1).
const LEGACY_AAC: u8 = 0xaf;

const LEGACY_AVC: u8 = 7;

/// The empty name and the marker that end an AMF0 object.
const OBJECT_END: [u8; 3] = [0, 0, 9];

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body of a tag would be longer than its length can say.
    #[error("a body of {0} bytes does not fit a tag of at most {MAX_BODY}")]
    BodyTooLong(usize),
    /// A name or a text of the metadata would be longer than its length can say.
    #[error("a text of {0} bytes does not fit the metadata")]
    TextTooLong(usize),
}

/// A few bytes that go in front of a payload, without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; TAG_HEADER + MAX_MESSAGE_HEADER],
    len: usize,
}

impl Prefix {
    const EMPTY: Self = Self {
        bytes: [0; TAG_HEADER + MAX_MESSAGE_HEADER],
        len: 0,
    };

    /// Appends `bytes`. Callers stay within the longest prefix there is.
    fn with(mut self, bytes: &[u8]) -> Self {
        let end = self.len + bytes.len();
        debug_assert!(end <= self.bytes.len(), "prefix of {end} bytes");
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
        self
    }
}

impl Deref for Prefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The header of a video message: the message is this and the payload.
pub fn video_header(codec: VideoCodec, key: bool, packet: VideoPacket) -> Prefix {
    let frame_type = if key { 0x10 } else { 0x20 };
    let composition_ms = match packet {
        VideoPacket::Frame { composition_ms } => composition_ms,
        VideoPacket::Config | VideoPacket::EndOfSequence | VideoPacket::Metadata => 0,
    };
    let [_, high, middle, low] = composition_ms.to_be_bytes();
    let packet_type = match packet {
        VideoPacket::Config => 0,
        VideoPacket::Frame { .. } => 1,
        VideoPacket::EndOfSequence => 2,
        VideoPacket::Metadata => 4,
    };
    let extended = 0x80 | frame_type | packet_type;
    let has_composition = matches!(packet, VideoPacket::Frame { .. });
    let prefix = Prefix::EMPTY;
    match codec {
        VideoCodec::Avc if packet == VideoPacket::Metadata => {
            prefix.with(&[extended]).with(b"avc1")
        }
        VideoCodec::Avc => prefix.with(&[frame_type | LEGACY_AVC, packet_type, high, middle, low]),
        VideoCodec::Hevc if has_composition && composition_ms != 0 => prefix
            .with(&[extended])
            .with(b"hvc1")
            .with(&[high, middle, low]),
        // Packet type 3 is a frame whose composition time is 0 and left out.
        VideoCodec::Hevc if has_composition => prefix.with(&[extended | 3]).with(b"hvc1"),
        VideoCodec::Hevc => prefix.with(&[extended]).with(b"hvc1"),
        VideoCodec::Av1 => prefix.with(&[extended]).with(b"av01"),
        VideoCodec::Vp9 => prefix.with(&[extended]).with(b"vp09"),
    }
}

/// The header of an audio message: the message is this and the payload.
pub fn audio_header(codec: AudioCodec, packet: AudioPacket) -> Prefix {
    let packet_type = match packet {
        AudioPacket::Config => 0,
        AudioPacket::Frame => 1,
        AudioPacket::EndOfSequence => 2,
        AudioPacket::MultichannelConfig => 4,
    };
    let prefix = Prefix::EMPTY;
    match (codec, packet) {
        (AudioCodec::Aac, AudioPacket::Config | AudioPacket::Frame) => {
            prefix.with(&[LEGACY_AAC, packet_type])
        }
        (AudioCodec::Aac, _) => prefix.with(&[0x90 | packet_type]).with(b"mp4a"),
        (AudioCodec::Opus, _) => prefix.with(&[0x90 | packet_type]).with(b"Opus"),
    }
}

/// The first bytes of a file, through the size of the tag before the first one.
pub fn file_header(has_audio: bool, has_video: bool) -> [u8; 13] {
    let flags = u8::from(has_audio) << 2 | u8::from(has_video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// What goes around a payload to make it a tag of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// In front of the payload: the tag's header and the message's.
    pub prefix: Prefix,
    /// Behind the payload: the tag's size.
    pub suffix: [u8; 4],
}

impl Framing {
    /// Frames a payload of `payload_len` bytes behind the message header `header`. The timestamp
    /// is the decoding time in milliseconds.
    ///
    /// # Errors
    /// [`Error::BodyTooLong`] when header and payload exceed [`MAX_BODY`].
    fn new(
        kind: TagKind,
        timestamp_ms: u32,
        header: &[u8],
        payload_len: usize,
    ) -> Result<Self, Error> {
        let body = header.len().saturating_add(payload_len);
        if body > MAX_BODY {
            return Err(Error::BodyTooLong(body));
        }
        let [.., l0, l1, l2] = body.to_be_bytes();
        let [t0, t1, t2, t3] = timestamp_ms.to_be_bytes();
        let [.., s0, s1, s2, s3] = (TAG_HEADER + body).to_be_bytes();
        Ok(Self {
            prefix: Prefix::EMPTY
                .with(&[kind.id(), l0, l1, l2, t1, t2, t3, t0, 0, 0, 0])
                .with(header),
            suffix: [s0, s1, s2, s3],
        })
    }

    /// Frames the payload of a video message.
    ///
    /// # Errors
    /// [`Error::BodyTooLong`] when header and payload exceed [`MAX_BODY`].
    pub fn video(
        codec: VideoCodec,
        key: bool,
        packet: VideoPacket,
        timestamp_ms: u32,
        payload_len: usize,
    ) -> Result<Self, Error> {
        let header = video_header(codec, key, packet);
        Self::new(TagKind::Video, timestamp_ms, &header, payload_len)
    }

    /// Frames the payload of an audio message.
    ///
    /// # Errors
    /// [`Error::BodyTooLong`] when header and payload exceed [`MAX_BODY`].
    pub fn audio(
        codec: AudioCodec,
        packet: AudioPacket,
        timestamp_ms: u32,
        payload_len: usize,
    ) -> Result<Self, Error> {
        let header = audio_header(codec, packet);
        Self::new(TagKind::Audio, timestamp_ms, &header, payload_len)
    }

    /// Frames a whole body, its message header included.
    ///
    /// # Errors
    /// [`Error::BodyTooLong`] when the body exceeds [`MAX_BODY`].
    pub fn body(kind: TagKind, timestamp_ms: u32, body_len: usize) -> Result<Self, Error> {
        Self::new(kind, timestamp_ms, &[], body_len)
    }

    /// Appends the tag: the payload between prefix and suffix.
    pub fn append_to(&self, out: &mut Vec<u8>, payload: &[u8]) {
        out.reserve(self.prefix.len() + payload.len() + self.suffix.len());
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(payload);
        out.extend_from_slice(&self.suffix);
    }
}

/// A value of the metadata.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A text of at most 65535 bytes.
    Text(&'a str),
}

/// The body of a script tag that says `onMetaData` and `entries`. A publisher puts the AMF0 string
/// `@setDataFrame` in front.
///
/// # Errors
/// [`Error::TextTooLong`] when a name or a text exceeds 65535 bytes.
pub fn metadata(entries: &[(&str, Value<'_>)]) -> Result<Vec<u8>, Error> {
    const NUMBER: u8 = 0;
    const BOOLEAN: u8 = 1;
    const STRING: u8 = 2;
    const ECMA_ARRAY: u8 = 8;
    let mut body = vec![STRING];
    append_text(&mut body, "onMetaData")?;
    body.push(ECMA_ARRAY);
    // The count is a hint: the end marker ends the array.
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&count.to_be_bytes());
    for (name, value) in entries {
        append_text(&mut body, name)?;
        match value {
            Value::Number(number) => {
                body.push(NUMBER);
                body.extend_from_slice(&number.to_be_bytes());
            }
            Value::Boolean(boolean) => body.extend_from_slice(&[BOOLEAN, u8::from(*boolean)]),
            Value::Text(text) => {
                body.push(STRING);
                append_text(&mut body, text)?;
            }
        }
    }
    body.extend_from_slice(&OBJECT_END);
    Ok(body)
}

fn append_text(body: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let len = u16::try_from(text.len()).map_err(|_| Error::TextTooLong(text.len()))?;
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
