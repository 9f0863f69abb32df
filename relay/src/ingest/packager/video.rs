//! Video messages into GOPs.

use bytes::Bytes;
use tracing::{debug, info};
use weir_protocol::body::Body;
use weir_protocol::codec::{self, VideoCodec, VideoInfo, avc};
use weir_protocol::flv::{self, VideoPacket};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::rtmp::server::Media;

use super::{Frame, MEDIA_ROOM, PackageError, Packager, VIDEO_PRIORITY, media_track, object};
use crate::stats::Kind;
use crate::stream::TrackWriter;

/// The video track, its decoder's configuration, and where its group is.
pub(super) struct Video {
    pub(super) track: TrackWriter,
    pub(super) codec: VideoCodec,
    pub(super) config: Bytes,
    pub(super) info: VideoInfo,
    pub(super) next_object: Option<u64>,
}

impl Packager {
    pub(in crate::ingest) fn on_video(
        &mut self,
        mut media: Media,
        now_us: u64,
    ) -> Result<(), PackageError> {
        let tag = match flv::video::parse(media.body.as_slice()) {
            Ok(tag) => tag,
            Err(error) if error.is_skippable() => {
                debug!(stream = self.name(), %error, "skipped a video message");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        media.body.advance(tag.payload_at);
        match tag.packet {
            VideoPacket::Config => self.on_video_config(tag.codec, media.body.as_slice()),
            VideoPacket::Frame { composition_ms } => {
                let timestamp_us = media.timestamp_ms * 1000 + u64::from(tag.nano_offset / 1000);
                let frame = Frame {
                    timestamp_us,
                    composition_us: i64::from(composition_ms) * 1000,
                    key: tag.key,
                    first_byte_us: media.first_byte_us,
                    body: media.body,
                };
                self.on_video_frame(frame, now_us)
            }
            VideoPacket::EndOfSequence | VideoPacket::Metadata => Ok(()),
        }
    }

    fn on_video_config(&mut self, codec: VideoCodec, record: &[u8]) -> Result<(), PackageError> {
        let info = match codec::video_info(codec, record) {
            Ok(info) => info,
            Err(codec::Error::Empty) => return Ok(()),
            Err(error) => {
                let codec = codec.to_string();
                return Err(PackageError::Config { codec, error });
            }
        };
        let record = match info.length_size {
            Some(size) if size != 4 => avc::rewrite_record(record)
                .map(Bytes::from)
                .map_err(|error| PackageError::Frame { codec, error })?,
            Some(_) | None => Bytes::copy_from_slice(record),
        };
        if let Some(video) = &mut self.video {
            if video.config == record && video.codec == codec {
                return Ok(());
            }
            info!(stream = %self.publisher.stream().namespace, codec = info.codec, "video changed");
            (video.codec, video.config, video.info) = (codec, record, info);
            // Frames of the old configuration that still come cannot be decoded with the new.
            video.next_object = None;
        } else {
            let track = self
                .publisher
                .track("video", media_track(VIDEO_PRIORITY, true));
            self.video = Some(Video {
                track,
                codec,
                config: record,
                info,
                next_object: None,
            });
        }
        self.description.changed = true;
        Ok(())
    }

    fn on_video_frame(&mut self, mut frame: Frame, now_us: u64) -> Result<(), PackageError> {
        let Some(video) = &mut self.video else {
            return self.unusable.on_video();
        };
        let codec = video.codec;
        let malformed = |error| PackageError::Frame { codec, error };
        if frame.key {
            let known = video.info.size;
            let learned = video
                .info
                .learn_from_key_frame(codec, frame.body.as_slice());
            learned.map_err(malformed)?;
            self.description.changed |= video.info.size != known;
        } else if video.next_object.is_none() {
            // Nothing before it: it cannot be decoded by anyone.
            debug!(stream = %self.publisher.stream().namespace, "waiting for a key frame");
            return Ok(());
        }
        if let Some(size @ (1 | 2)) = video.info.length_size {
            let rewritten = avc::rewrite_lengths(frame.body.as_slice(), size).map_err(malformed)?;
            frame.body = Body::copy_from(MEDIA_ROOM, &rewritten);
        }
        self.publish_catalog(now_us)?;
        let dts_us = self.publisher.media_us(frame.timestamp_us, now_us);
        self.record(Kind::Video, &frame, dts_us, now_us);
        let Some(video) = &mut self.video else {
            return Ok(());
        };
        let id = match video.next_object.filter(|_| !frame.key) {
            Some(id) => id,
            None => {
                video.track.begin_group()?;
                if let Some(audio) = &mut self.audio {
                    audio.group = None;
                }
                0
            }
        };
        let properties = ObjectProperties {
            timestamp_us: Some(dts_us.saturating_add_signed(frame.composition_us)),
            video_config: frame.key.then(|| video.config.clone()),
            composition_us: u64::try_from(frame.composition_us).unwrap_or(0),
            ..ObjectProperties::default()
        };
        let object = object::build(id, frame.body, &properties);
        video.next_object = Some(id + 1);
        video.track.push(object.at(frame.first_byte_us, now_us))?;
        Ok(())
    }
}
