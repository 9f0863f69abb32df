//! What a stream says about itself: its catalog, and its tracks for the API.

use bytes::Bytes;
use weir_protocol::catalog::msf::{self, Catalog, Track};
use weir_protocol::codec::{AudioInfo, VideoInfo};
use weir_protocol::rtmp::metadata::Metadata;

use crate::clock;
use crate::stats::Kind;
use crate::stats::snapshot::TrackSnapshot;

/// What the encoder's metadata adds to what the codecs' configurations say.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// Whether the catalog is to be published anew.
    pub(super) changed: bool,
    framerate: Option<f64>,
    video_bps: Option<u64>,
    audio_bps: Option<u64>,
    size: Option<(u32, u32)>,
}

/// A media track: its codec's facts and its configuration record.
type Described<'a, Info> = Option<(&'a Info, &'a Bytes)>;

impl Description {
    pub(super) fn on_metadata(&mut self, metadata: &Metadata) {
        let sane = |value: Option<f64>, most: f64| value.filter(|v| *v > 0.0 && *v <= most);
        let kbps = |value| sane(value, MAX_KBPS).map(|kbps| (kbps * 1000.0) as u64);
        let side = |value| sane(value, MAX_SIDE).map(|pixels| pixels as u32);
        self.framerate = sane(metadata.framerate(), MAX_FRAMERATE);
        self.video_bps = kbps(metadata.video_data_rate_kbps());
        self.audio_bps = kbps(metadata.audio_data_rate_kbps());
        self.size = side(metadata.width()).zip(side(metadata.height()));
        self.changed = true;
    }

    /// The catalog as JSON.
    pub(super) fn catalog(
        &self,
        video: Described<'_, VideoInfo>,
        audio: Described<'_, AudioInfo>,
    ) -> Vec<u8> {
        let mut catalog = Catalog::live(clock::unix_ms());
        if let Some((info, config)) = video {
            let size = info
                .size
                .map(|size| (size.width, size.height))
                .or(self.size);
            let track = Track {
                width: size.map(|(width, _)| width.into()),
                height: size.map(|(_, height)| height.into()),
                framerate: self.framerate.or(info.framerate),
                bitrate: self.video_bps,
                ..Track::live("video", msf::ROLE_VIDEO, info.codec.as_str())
            };
            catalog.push(track, Some(config));
        }
        if let Some((info, config)) = audio {
            let track = Track {
                samplerate: Some(info.sample_rate.into()),
                channel_config: Some(info.channels.to_string()),
                bitrate: self.audio_bps,
                ..Track::live("audio", msf::ROLE_AUDIO, info.codec.as_str())
            };
            catalog.push(track, Some(&config[..]).filter(|config| !config.is_empty()));
        }
        catalog.to_json()
    }

    /// The tracks as the API shows them, without their rates.
    pub(super) fn tracks(
        video: Described<'_, VideoInfo>,
        audio: Described<'_, AudioInfo>,
    ) -> Vec<(Kind, TrackSnapshot)> {
        let video = video.map(|(info, _)| TrackSnapshot {
            name: "video".to_owned(),
            codec: info.codec.clone(),
            width: info.size.map(|size| size.width),
            height: info.size.map(|size| size.height),
            ..TrackSnapshot::default()
        });
        let audio = audio.map(|(info, _)| TrackSnapshot {
            name: "audio".to_owned(),
            codec: info.codec.clone(),
            samplerate: Some(info.sample_rate),
            channels: Some(u32::from(info.channels)),
            ..TrackSnapshot::default()
        });
        let video = video.map(|video| (Kind::Video, video));
        let audio = audio.map(|audio| (Kind::Audio, audio));
        video.into_iter().chain(audio).collect()
    }
}

/// Bounds of what metadata is believed.
const MAX_FRAMERATE: f64 = 1000.0;
const MAX_KBPS: f64 = 10_000_000.0;
const MAX_SIDE: f64 = 16_384.0;
