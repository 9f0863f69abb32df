//! Frames into FLV.

use std::io::{self, Write};

use bytes::Bytes;
use weir_protocol::codec::{AudioCodec, VideoCodec};
use weir_protocol::flv::mux::{self, Framing, Value};
use weir_protocol::flv::{AudioPacket, TagKind, VideoPacket};

/// A track's codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Video(VideoCodec),
    Audio(AudioCodec),
}

impl Codec {
    /// From a codec string of RFC 6381; `None` for one that FLV does not carry.
    pub(super) fn from_string(codec: &str) -> Option<Self> {
        let video = VideoCodec::from_codec_string(codec).map(Self::Video);
        video.or_else(|| AudioCodec::from_codec_string(codec).map(Self::Audio))
    }
}

/// What the file's header says.
#[derive(Clone, Debug, Default)]
pub(super) struct Description {
    pub(super) has_video: bool,
    pub(super) has_audio: bool,
    /// Entries of `onMetaData`.
    pub(super) numbers: Vec<(&'static str, f64)>,
}

/// A frame to be written.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) codec: Codec,
    pub(super) key: bool,
    pub(super) dts_us: u64,
    pub(super) composition_us: i64,
    /// The decoder's configuration from this frame on, if it says one.
    pub(super) config: Option<Bytes>,
    pub(super) payload: Bytes,
}

/// Writes an FLV file as its frames come.
pub(super) struct FlvWriter<W> {
    output: W,
    description: Option<Description>,
    /// The decoding time that the file's clock begins at.
    origin_us: Option<u64>,
    video_config: Option<Bytes>,
    audio_config: Option<Bytes>,
}

impl<W: Write> FlvWriter<W> {
    pub(super) fn new(output: W, description: Description) -> Self {
        Self {
            output,
            description: Some(description),
            origin_us: None,
            video_config: None,
            audio_config: None,
        }
    }

    /// Writes a frame, and in front of it what must come first. Flushes, so that a player at the
    /// other end of a pipe has the frame.
    pub(super) fn write(&mut self, frame: &Frame) -> io::Result<()> {
        if let Some(description) = self.description.take() {
            self.begin(&description)?;
        }
        let origin_us = *self.origin_us.get_or_insert(frame.dts_us);
        let ms = frame.dts_us.saturating_sub(origin_us) / 1000;
        // FLV's clock is 32 bits wide and wraps after 49 days.
        let timestamp_ms = (ms & u64::from(u32::MAX)) as u32;
        if let Some(config) = &frame.config {
            self.configure(frame.codec, config, timestamp_ms)?;
        }
        let len = frame.payload.len();
        let framing = match frame.codec {
            Codec::Video(codec) => {
                let composition_ms = i32::try_from(frame.composition_us / 1000);
                let packet = VideoPacket::Frame {
                    composition_ms: composition_ms.unwrap_or(0),
                };
                Framing::video(codec, frame.key, packet, timestamp_ms, len)
            }
            Codec::Audio(codec) => Framing::audio(codec, AudioPacket::Frame, timestamp_ms, len),
        };
        self.tag(framing, &frame.payload)?;
        self.output.flush()
    }

    /// Writes what is buffered.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn begin(&mut self, description: &Description) -> io::Result<()> {
        let header = mux::file_header(description.has_audio, description.has_video);
        self.output.write_all(&header)?;
        let entries = description.numbers.iter();
        let entries: Vec<_> = entries
            .map(|(name, number)| (*name, Value::Number(*number)))
            .collect();
        let body = mux::metadata(&entries).map_err(io::Error::other)?;
        self.tag(Framing::body(TagKind::Script, 0, body.len()), &body)
    }

    fn configure(&mut self, codec: Codec, config: &Bytes, timestamp_ms: u32) -> io::Result<()> {
        let (current, framing) = match codec {
            Codec::Video(codec) => (
                &mut self.video_config,
                Framing::video(codec, true, VideoPacket::Config, timestamp_ms, config.len()),
            ),
            Codec::Audio(codec) => (
                &mut self.audio_config,
                Framing::audio(codec, AudioPacket::Config, timestamp_ms, config.len()),
            ),
        };
        if current.as_ref() == Some(config) {
            return Ok(());
        }
        *current = Some(config.clone());
        self.tag(framing, config)
    }

    fn tag(&mut self, framing: Result<Framing, mux::Error>, payload: &[u8]) -> io::Result<()> {
        let framing = framing.map_err(io::Error::other)?;
        self.output.write_all(&framing.prefix)?;
        self.output.write_all(payload)?;
        self.output.write_all(&framing.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_protocol::flv::demux::Demuxer;

    fn frame(codec: Codec, dts_us: u64, config: Option<&'static [u8]>) -> Frame {
        Frame {
            codec,
            key: config.is_some(),
            dts_us,
            composition_us: 40_000,
            config: config.map(Bytes::from_static),
            payload: Bytes::from_static(b"frame"),
        }
    }

    #[test]
    fn file_has_a_header_each_configuration_once_and_frames_from_time_zero() {
        let mut output = Vec::new();
        let description = Description {
            has_video: true,
            ..Description::default()
        };
        let mut writer = FlvWriter::new(&mut output, description);
        let codec = Codec::Video(VideoCodec::Avc);
        writer
            .write(&frame(codec, 5_000_000, Some(b"one")))
            .unwrap();
        writer.write(&frame(codec, 5_040_000, None)).unwrap();
        writer
            .write(&frame(codec, 7_000_000, Some(b"one")))
            .unwrap();
        writer
            .write(&frame(codec, 9_000_000, Some(b"two")))
            .unwrap();
        writer.finish().unwrap();
        let mut demuxer = Demuxer::default();
        demuxer.handle_bytes(&output).unwrap();
        let mut tags = Vec::new();
        while let Some(tag) = demuxer.next_tag().unwrap() {
            tags.push((tag.kind, tag.timestamp_ms, tag.body.len()));
        }
        let video = |ms, len: usize| (TagKind::Video, ms, 5 + len);
        assert_eq!(tags[0].0, TagKind::Script);
        assert_eq!(
            tags[1..],
            [
                video(0, 3),
                video(0, 5),
                video(40, 5),
                video(2000, 5),
                video(4000, 3),
                video(4000, 5),
            ]
        );
    }
}
