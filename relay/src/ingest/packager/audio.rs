//! Audio messages into groups of at most a second.

use bytes::Bytes;
use tracing::{debug, info};
use weir_protocol::codec::{self, AudioCodec, AudioInfo};
use weir_protocol::flv::{self, AudioPacket};
use weir_protocol::loc::ObjectProperties;
use weir_protocol::rtmp::server::Media;

use super::{AUDIO_PRIORITY, Frame, PackageError, Packager, media_track, object};
use crate::clock::MICROS_PER_SECOND;
use crate::stats::Kind;
use crate::stream::TrackWriter;

/// The audio track, its decoder's configuration, and its group.
pub(super) struct Audio {
    pub(super) track: TrackWriter,
    pub(super) codec: AudioCodec,
    pub(super) config: Bytes,
    pub(super) info: AudioInfo,
    pub(super) group: Option<AudioGroup>,
}

/// A group that is being written.
pub(super) struct AudioGroup {
    began_us: u64,
    next_object: u64,
}

impl Packager {
    pub(in crate::ingest) fn on_audio(
        &mut self,
        mut media: Media,
        now_us: u64,
    ) -> Result<(), PackageError> {
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
        let object = object::build(id, frame.body, &properties);
        audio.group = Some(AudioGroup {
            next_object: id + 1,
            ..group
        });
        audio.track.push(object.at(frame.first_byte_us, now_us))?;
        Ok(())
    }
}

/// Length of an audio group in microseconds: a stream a second costs little beside 47 frames, and
/// skipping one is a gap that a listener notices once.
const AUDIO_GROUP_US: u64 = MICROS_PER_SECOND;
