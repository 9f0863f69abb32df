//! Objects into RTMP messages: times, FLV headers, decoder configurations.

use bytes::{Buf, Bytes};
use weir_protocol::catalog::hang;
use weir_protocol::flv::mux::{audio_header, video_header};
use weir_protocol::flv::{AudioPacket, VideoPacket};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::properties::PropertyError;
use weir_protocol::rtmp::StreamId;
use weir_protocol::rtmp::chunk::MESSAGE_BYTES_MAX;
use weir_protocol::rtmp::server::MediaWriter;

use super::batch::Batch;
use super::cursor::Kind;
use super::description::Description;
use crate::ring::Object;

/// Why an object cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum MuxError {
    #[error("a frame's properties cannot be read: {0}")]
    Properties(#[from] PropertyError),
    #[error("a frame has no timestamp")]
    NoTimestamp,
    #[error("a frame ends within its timestamp")]
    CutTimestamp,
    #[error("a frame of {0} bytes does not fit a message")]
    TooLong(usize),
}

/// What a player has been told so far.
#[derive(Debug)]
pub(super) struct Muxer {
    media: MediaWriter,
    /// The decoding time that the player's clock begins at.
    origin_us: Option<u64>,
    video: Told,
    audio: Told,
}

/// What was said of one track.
#[derive(Debug, Default)]
struct Told {
    config: Option<Bytes>,
    /// The newest time, which never goes back.
    newest_ms: Option<u64>,
    /// The newest decoding time, where none is told.
    newest_us: u64,
}

/// A frame without what is in front of it.
struct Frame {
    pts_us: u64,
    dts_us: u64,
    payload: Bytes,
}

impl Told {
    fn frame_of(
        &mut self,
        object: &Object,
        properties: &ObjectProperties,
        prefixed: bool,
    ) -> Result<Frame, MuxError> {
        let mut payload = object.payload();
        if !prefixed {
            let pts_us = properties.timestamp_us.ok_or(MuxError::NoTimestamp)?;
            return Ok(Frame {
                pts_us,
                dts_us: pts_us.saturating_sub(properties.composition_us),
                payload,
            });
        }
        let (pts_us, len) = hang::split_prefix(&payload).map_err(|_| MuxError::CutTimestamp)?;
        payload.advance(len);
        // Only when to show it is told, in the order of decoding: time goes on from there.
        self.newest_us = self.newest_us.max(pts_us);
        Ok(Frame {
            pts_us,
            dts_us: self.newest_us,
            payload,
        })
    }
}

impl Muxer {
    pub(super) fn new(stream_id: StreamId) -> Self {
        Self {
            media: MediaWriter::new(stream_id),
            origin_us: None,
            video: Told::default(),
            audio: Told::default(),
        }
    }

    /// The newest time on the player's clock.
    pub(super) fn newest_ms(&self) -> u64 {
        let newest = [self.video.newest_ms, self.audio.newest_ms];
        newest.into_iter().flatten().max().unwrap_or(0)
    }

    /// Sends the configurations that the stream begins with or changes to, where they are known.
    pub(super) fn configure(&mut self, batch: &mut Batch, description: &Description) {
        if let Some(config) = description.video.as_ref().and_then(|v| v.config.clone()) {
            self.configure_video(batch, description, config);
        }
        if let Some(config) = description.audio.as_ref().and_then(|a| a.config.clone()) {
            self.configure_audio(batch, description, config);
        }
    }

    fn configure_video(&mut self, batch: &mut Batch, description: &Description, config: Bytes) {
        let Some(video) = &description.video else {
            return;
        };
        if self.video.config.as_ref() == Some(&config) {
            return;
        }
        let tag = video_header(video.codec, true, VideoPacket::Config);
        let time_ms = self.video.newest_ms.unwrap_or(0);
        batch.push_message(&mut self.media, true, time_ms, &tag, config.clone());
        self.video.config = Some(config);
    }

    fn configure_audio(&mut self, batch: &mut Batch, description: &Description, config: Bytes) {
        let Some(audio) = &description.audio else {
            return;
        };
        if self.audio.config.as_ref() == Some(&config) {
            return;
        }
        let tag = audio_header(audio.codec, AudioPacket::Config);
        let time_ms = self.audio.newest_ms.unwrap_or(0);
        batch.push_message(&mut self.media, false, time_ms, &tag, config.clone());
        self.audio.config = Some(config);
    }

    /// Adds the object's messages to the batch. Returns whether there are any: sound from before
    /// the first picture is left out.
    pub(super) fn push(
        &mut self,
        batch: &mut Batch,
        description: &Description,
        kind: Kind,
        first: bool,
        object: &Object,
        timescale: u64,
    ) -> Result<bool, MuxError> {
        if object.is_status() {
            return Ok(false);
        }
        let block = &object.properties;
        let properties = ObjectProperties::parse_with_timescale(block, timescale)?;
        let told = match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        let frame = told.frame_of(object, &properties, description.is_prefixed(kind))?;
        let Frame {
            pts_us,
            dts_us,
            payload,
        } = frame;
        if payload.len() > MESSAGE_BYTES_MAX - TAG_BYTES_MAX {
            return Err(MuxError::TooLong(payload.len()));
        }
        // One without a chunk ends a track in the legacy container.
        if payload.is_empty() && description.is_prefixed(kind) {
            return Ok(false);
        }
        let origin_us = *self.origin_us.get_or_insert(dts_us);
        if dts_us < origin_us && told.newest_ms.is_none() && kind == Kind::Audio {
            return Ok(false);
        }
        let due_ms = dts_us.saturating_sub(origin_us) / 1000;
        let time_ms = due_ms.max(told.newest_ms.unwrap_or(0));
        told.newest_ms = Some(time_ms);
        match (kind, &description.video, &description.audio) {
            (Kind::Video, Some(video), _) => {
                if let Some(config) = properties.video_config.filter(|_| first) {
                    self.configure_video(batch, description, config);
                }
                let composition_ms = composition_ms(pts_us, origin_us, time_ms);
                let packet = VideoPacket::Frame { composition_ms };
                let tag = video_header(video.codec, first, packet);
                batch.push_message(&mut self.media, true, time_ms, &tag, payload);
            }
            (Kind::Audio, _, Some(audio)) => {
                if let Some(config) = properties.audio_config {
                    self.configure_audio(batch, description, config);
                }
                let tag = audio_header(audio.codec, AudioPacket::Frame);
                batch.push_message(&mut self.media, false, time_ms, &tag, payload);
            }
            // The stream does not say what it is.
            (Kind::Video, None, _) | (Kind::Audio, _, None) => return Ok(false),
        }
        Ok(true)
    }
}

/// How much later than at `time_ms` a frame is shown; FLV has 24 bits, with a sign.
fn composition_ms(pts_us: u64, origin_us: u64, time_ms: u64) -> i32 {
    let shown_ms = i64::try_from(pts_us.saturating_sub(origin_us) / 1000).unwrap_or(i64::MAX);
    let ahead_ms = shown_ms.saturating_sub_unsigned(time_ms);
    let bounded = ahead_ms.clamp(-COMPOSITION_MAX_MS, COMPOSITION_MAX_MS);
    i32::try_from(bounded).unwrap_or(0)
}

/// The longest FLV header of a message.
const TAG_BYTES_MAX: usize = 8;

/// What 24 bits with a sign can say.
const COMPOSITION_MAX_MS: i64 = (1 << 23) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composition_time_is_kept_and_may_be_negative() {
        assert_eq!(composition_ms(1_080_000, 1_000_000, 40), 40);
        assert_eq!(composition_ms(1_040_000, 1_000_000, 80), -40);
        assert_eq!(composition_ms(u64::MAX, 0, 0), COMPOSITION_MAX_MS as i32);
    }
}
