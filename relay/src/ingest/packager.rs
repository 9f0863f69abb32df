//! FLV messages into objects: groups, headers, configuration, catalog.
//!
//! A video group is a GOP; its object 0 is the key frame and carries the decoder's configuration.
//! An audio group is cut at each second and at each video group, so that a viewer that joins at a
//! key frame finds an audio group that begins there too, and a lost stream costs little. A changed
//! configuration is a new catalog before the first frame that uses it.

mod audio;
mod description;
mod object;
#[cfg(test)]
mod tests;
mod video;

use bytes::Bytes;
use tracing::warn;
use weir_protocol::body::Body;
use weir_protocol::codec::{self, VideoCodec};
use weir_protocol::flv;
use weir_protocol::loc::ObjectProperties;
use weir_protocol::moqt::TrackProperties;
use weir_protocol::rtmp::metadata::Metadata;

use crate::clock::MICROS_PER_SECOND;
use crate::ring::PushError;
use crate::stats::events::Event;
use crate::stats::{Arrival, Kind, Received};
use crate::stream::{Publisher, TrackOptions, TrackWriter};
use audio::Audio;
use description::Description;
pub use object::{ObjectBuilder, Untimed};
use video::Video;

/// Room in front of each media message: two object headers with an HEVC configuration each.
pub const MEDIA_ROOM: usize = 320;

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
    catalog: TrackWriter,
    description: Description,
    video: Option<Video>,
    audio: Option<Audio>,
    unusable: Unusable,
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

    /// Waits until another publisher takes over or the stream is ended.
    pub(super) fn superseded(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.publisher.superseded()
    }

    /// Says what happened, in the stream's log.
    pub(super) fn log(&self, event: Event) {
        self.publisher.stream().log(event);
    }

    pub(super) fn set_encoder(&self, encoder: &str) {
        self.publisher.set_encoder(encoder);
    }

    pub(super) fn on_bytes_in(&self, bytes: usize) {
        self.publisher.stream().on_bytes_in(bytes);
    }

    pub(super) fn on_metadata(&mut self, metadata: &Metadata) {
        self.description.on_metadata(metadata);
    }

    fn record(&self, kind: Kind, frame: &Frame, media_us: u64, now_us: u64) {
        let media = Arrival {
            kind,
            media_us,
            bytes: frame.body.len() as u64,
            key_frame: frame.key,
        };
        self.publisher.stream().on_received(Received {
            media: Some(media),
            reorder_us: u64::try_from(frame.composition_us).unwrap_or(0),
            first_byte_us: frame.first_byte_us,
            complete_us: now_us,
        });
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
        self.publisher
            .stream()
            .describe(Description::tracks(video, audio));
        let body = Body::copy_from(MEDIA_ROOM, &json);
        let object = object::build(0, body, &ObjectProperties::default());
        self.catalog.begin_group()?;
        self.catalog.push(object.at(now_us, now_us))?;
        self.catalog.complete_group()?;
        self.publisher.announce();
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

/// Lower is more urgent: the catalog says how to decode the rest, and a gap in the sound is worse
/// than one in the picture.
const CATALOG_PRIORITY: u8 = 32;
const AUDIO_PRIORITY: u8 = 64;
const VIDEO_PRIORITY: u8 = 128;

/// Messages without a configuration before the publisher is told: ten seconds of 60 frames.
const UNUSABLE_LIMIT: u32 = 600;
