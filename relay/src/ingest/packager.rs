//! FLV messages into objects: groups, headers, configuration, catalog.
//!
//! A video group is a GOP; its object 0 is the key frame and carries the decoder's configuration.
//! An audio group is cut at each second and at each video group, so that a viewer that joins at a
//! key frame finds an audio group that begins there too, and a lost stream costs little. A changed
//! configuration is a new catalog before the first frame that uses it.

mod description;
mod object;

use bytes::Bytes;
use tracing::{debug, info, warn};
use weir_protocol::body::Body;
use weir_protocol::codec::{self, AudioCodec, AudioInfo, VideoCodec, VideoInfo, avc};
use weir_protocol::flv::{self, AudioPacket, VideoPacket};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::TrackProperties;
use weir_protocol::rtmp::metadata::Metadata;
use weir_protocol::rtmp::server::Media;

use crate::clock::MICROS_PER_SECOND;
use crate::ring::PushError;
use crate::stats::{Arrival, Kind};
use crate::stream::{Publisher, TrackOptions, TrackWriter};
use description::Description;
use object::ObjectBuilder;

/// Room in front of each media message: two object headers with an HEVC configuration each.
pub(super) const MEDIA_ROOM: usize = 320;

/// Why a stream cannot be carried.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackageError {
    #[error(transparent)]
    Flv(#[from] flv::Error),
    #[error("{codec} configuration: {error}")]
    Config { codec: String, error: codec::Error },
    #[error("a frame of {codec} is malformed: {error}")]
    Frame {
        codec: VideoCodec,
        error: codec::Error,
    },
    #[error(transparent)]
    Push(#[from] PushError),
    #[error("{0} {1} messages came before their configuration")]
    NoConfig(u32, &'static str),
}

/// The media of one publisher on its way into a stream.
pub(super) struct Packager {
    publisher: Publisher,
    objects: ObjectBuilder,
    catalog: TrackWriter,
    description: Description,
    video: Option<Video>,
    audio: Option<Audio>,
    unusable: Unusable,
}

struct Video {
    track: TrackWriter,
    codec: VideoCodec,
    config: Bytes,
    info: VideoInfo,
    next_object: Option<u64>,
}

struct Audio {
    track: TrackWriter,
    codec: AudioCodec,
    config: Bytes,
    info: AudioInfo,
    group: Option<AudioGroup>,
}

struct AudioGroup {
    began_us: u64,
    next_object: u64,
}

/// Messages that came before what makes them decodable.
#[derive(Default)]
struct Unusable {
    video: u32,
    audio: u32,
}

impl Packager {
    pub(super) fn new(publisher: Publisher) -> Self {
        let catalog = publisher.track(
            "catalog",
            TrackOptions {
                properties: Bytes::new(),
                priority: CATALOG_PRIORITY,
                first_frame: false,
            },
        );
        Self {
            publisher,
            objects: ObjectBuilder::default(),
            catalog,
            description: Description::default(),
            video: None,
            audio: None,
            unusable: Unusable::default(),
        }
    }

    pub(super) fn name(&self) -> String {
        self.publisher.stream().namespace.to_string()
    }

    pub(super) async fn superseded(&mut self) {
        self.publisher.superseded().await;
    }

    pub(super) fn set_encoder(&self, encoder: &str) {
        self.publisher.set_encoder(encoder);
    }

    pub(super) fn on_bytes_in(&self, bytes: usize) {
        let mut ingest = self.publisher.stream().ingest.lock();
        ingest.on_bytes_in(bytes as u64);
    }

    pub(super) fn on_metadata(&mut self, metadata: &Metadata) {
        self.description.on_metadata(metadata);
    }

    pub(super) fn on_video(&mut self, mut media: Media, now_us: u64) -> Result<(), PackageError> {
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
        let object = self.objects.build(id, frame.body, &properties);
        video.next_object = Some(id + 1);
        video.track.push(object.at(frame.first_byte_us, now_us))?;
        Ok(())
    }

    pub(super) fn on_audio(&mut self, mut media: Media, now_us: u64) -> Result<(), PackageError> {
        let tag = match flv::audio::parse(media.body.as_slice()) {
            Ok(tag) => tag,
            Err(error) if error.is_skippable() => {
                debug!(stream = self.name(), %error, "skipped an audio message");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        media.body.advance(tag.payload_at);
        match tag.packet {
            AudioPacket::Config => self.on_audio_config(tag.codec, media.body.as_slice()),
            AudioPacket::Frame => {
                let timestamp_us = media.timestamp_ms * 1000 + u64::from(tag.nano_offset / 1000);
                let frame = Frame {
                    timestamp_us,
                    composition_us: 0,
                    key: true,
                    first_byte_us: media.first_byte_us,
                    body: media.body,
                };
                if self.audio.is_none() && tag.codec == AudioCodec::Opus {
                    // Opus needs no configuration, and encoders may send none.
                    self.on_audio_config(tag.codec, &[])?;
                }
                self.on_audio_frame(frame, now_us)
            }
            AudioPacket::EndOfSequence | AudioPacket::MultichannelConfig => Ok(()),
        }
    }

    fn on_audio_config(&mut self, codec: AudioCodec, record: &[u8]) -> Result<(), PackageError> {
        let info = match codec::audio_info(codec, record) {
            Ok(info) => info,
            Err(codec::Error::Empty) => return Ok(()),
            Err(error) => {
                let codec = codec.to_string();
                return Err(PackageError::Config { codec, error });
            }
        };
        let config = Bytes::copy_from_slice(record);
        if let Some(audio) = &mut self.audio {
            if audio.config == config && audio.codec == codec {
                return Ok(());
            }
            info!(stream = %self.publisher.stream().namespace, codec = info.codec, "audio changed");
            (audio.codec, audio.config, audio.info) = (codec, config, info);
            audio.group = None;
        } else {
            let first = self.video.is_none();
            let track = self
                .publisher
                .track("audio", media_track(AUDIO_PRIORITY, first));
            self.audio = Some(Audio {
                track,
                codec,
                config,
                info,
                group: None,
            });
        }
        self.description.changed = true;
        Ok(())
    }

    fn on_audio_frame(&mut self, frame: Frame, now_us: u64) -> Result<(), PackageError> {
        if self.audio.is_none() {
            return self.unusable.on_audio();
        }
        self.publish_catalog(now_us)?;
        let media_us = self.publisher.media_us(frame.timestamp_us, now_us);
        self.record(Kind::Audio, &frame, media_us, now_us);
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        let current = audio.group.take();
        let group = match current.filter(|group| media_us < group.began_us + AUDIO_GROUP_US) {
            Some(group) => group,
            None => {
                audio.track.begin_group()?;
                AudioGroup {
                    began_us: media_us,
                    next_object: 0,
                }
            }
        };
        let id = group.next_object;
        let configured = id == 0 && !audio.config.is_empty();
        let properties = ObjectProperties {
            timestamp_us: Some(media_us),
            audio_config: configured.then(|| audio.config.clone()),
            ..ObjectProperties::default()
        };
        let object = self.objects.build(id, frame.body, &properties);
        audio.group = Some(AudioGroup {
            next_object: id + 1,
            ..group
        });
        audio.track.push(object.at(frame.first_byte_us, now_us))?;
        Ok(())
    }

    fn record(&self, kind: Kind, frame: &Frame, media_us: u64, now_us: u64) {
        let mut ingest = self.publisher.stream().ingest.lock();
        let arrival = Arrival {
            kind,
            media_us,
            bytes: frame.body.len() as u64,
            key_frame: frame.key,
        };
        ingest.on_arrival(arrival, frame.first_byte_us);
        ingest.on_object(now_us.saturating_sub(frame.first_byte_us), now_us);
    }

    /// Publishes the catalog if what it says has changed: one group, one object, complete.
    fn publish_catalog(&mut self, now_us: u64) -> Result<(), PackageError> {
        if !std::mem::take(&mut self.description.changed) {
            return Ok(());
        }
        let video = self
            .video
            .as_ref()
            .map(|video| (&video.info, &video.config));
        let audio = self
            .audio
            .as_ref()
            .map(|audio| (&audio.info, &audio.config));
        let json = self.description.catalog(video, audio);
        self.publisher.describe(Description::tracks(video, audio));
        let body = Body::copy_from(MEDIA_ROOM, &json);
        let object = self.objects.build(0, body, &ObjectProperties::default());
        self.catalog.begin_group()?;
        self.catalog.push(object.at(now_us, now_us))?;
        self.catalog.complete_group()?;
        Ok(())
    }
}

/// An audio or video frame, without its FLV header.
struct Frame {
    timestamp_us: u64,
    composition_us: i64,
    key: bool,
    first_byte_us: u64,
    body: Body,
}

impl Unusable {
    fn on_video(&mut self) -> Result<(), PackageError> {
        self.video += 1;
        Self::check(self.video, "video")
    }

    fn on_audio(&mut self) -> Result<(), PackageError> {
        self.audio += 1;
        Self::check(self.audio, "audio")
    }

    fn check(count: u32, kind: &'static str) -> Result<(), PackageError> {
        if count == 1 {
            warn!(
                kind,
                "frames come before their configuration and are dropped"
            );
        }
        match count > UNUSABLE_LIMIT {
            true => Err(PackageError::NoConfig(count, kind)),
            false => Ok(()),
        }
    }
}

fn media_track(priority: u8, first_frame: bool) -> TrackOptions {
    let properties = TrackProperties {
        timescale: Some(MICROS_PER_SECOND),
        publisher_priority: Some(priority),
        ..TrackProperties::default()
    };
    TrackOptions {
        properties: properties.to_block().as_bytes().clone(),
        priority,
        first_frame,
    }
}

/// Length of an audio group in microseconds: a stream a second costs little beside 47 frames, and
/// skipping one is a gap that a listener notices once.
const AUDIO_GROUP_US: u64 = MICROS_PER_SECOND;

/// Lower is more urgent: the catalog says how to decode the rest, and a gap in the sound is worse
/// than one in the picture.
const CATALOG_PRIORITY: u8 = 32;
const AUDIO_PRIORITY: u8 = 64;
const VIDEO_PRIORITY: u8 = 128;

/// Messages without a configuration before the publisher is told: ten seconds of 60 frames.
const UNUSABLE_LIMIT: u32 = 600;
