//! Objects into frames: tracks in order, interleaved by decoding time.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_protocol::catalog::hang;
use weir_protocol::catalog::msf::{self, Catalog};
use weir_protocol::loc::ObjectProperties;

use super::client::Subscription;
use super::flv::{Codec, Description, Frame};
use super::order::{Object, Ordered};
use super::streams::Event;
use crate::clock;

/// A stream that is being played.
pub(super) struct Media {
    events: mpsc::Receiver<Event>,
    description: Description,
    tracks: Vec<Track>,
    /// When the last event came after every track had ended.
    ending: bool,
}

struct Track {
    subscription: Subscription,
    codec: Codec,
    /// Whether payloads begin with their timestamp.
    prefixed: bool,
    /// The latest decoding time, where none is told.
    latest_us: u64,
    /// The configuration that the catalog gives, for tracks whose objects do not.
    config: Option<Bytes>,
    ordered: Ordered,
    frames: VecDeque<(Frame, u64)>,
    done: bool,
}

impl Media {
    pub(super) fn new(
        events: mpsc::Receiver<Event>,
        catalog: &Catalog,
        subscribed: Vec<(Subscription, &msf::Track)>,
    ) -> anyhow::Result<Self> {
        let mut description = Description::default();
        let mut tracks = Vec::new();
        for (subscription, track) in subscribed {
            let codec = track.codec.as_deref().unwrap_or_default();
            let known = Codec::from_string(codec);
            let codec = known.with_context(|| format!("FLV cannot carry the codec {codec:?}"))?;
            describe(&mut description, codec, track);
            let prefixed = match track.packaging.as_str() {
                msf::PACKAGING_LOC => false,
                hang::PACKAGING_LEGACY => true,
                other => bail!("{}: the packaging {other:?} cannot be read", track.name),
            };
            tracks.push(Track {
                subscription,
                codec,
                prefixed,
                latest_us: 0,
                config: catalog.config_of(track)?,
                ordered: Ordered::default(),
                frames: VecDeque::new(),
                done: false,
            });
        }
        Ok(Self {
            events,
            description,
            tracks,
            ending: false,
        })
    }

    pub(super) fn description(&self) -> Description {
        self.description.clone()
    }

    /// The next frame, or `None` when the stream has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            let now_us = clock::now_us();
            for track in &mut self.tracks {
                track.advance(now_us)?;
            }
            if let Some(frame) = self.pop(now_us) {
                return Ok(Some(frame));
            }
            let wait = if self.ending { LAST_WORDS } else { TICK };
            match timeout(wait, self.events.recv()).await {
                Ok(Some(event)) => self.on_event(event)?,
                Ok(None) => bail!("the connection was lost"),
                // Everything that was under way has arrived.
                Err(_) if self.ending && self.is_empty() => return Ok(None),
                Err(_) => {}
            }
        }
    }

    fn on_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Object(source, object) => {
                let mut tracks = self.tracks.iter_mut();
                if let Some(track) = tracks.find(|track| track.subscription.owns(source)) {
                    track.ordered.push(object);
                }
            }
            Event::GroupEnd(alias, group) => {
                let mut tracks = self.tracks.iter_mut();
                if let Some(track) = tracks.find(|track| track.subscription.alias == alias) {
                    track.ordered.end_group(group);
                }
            }
            Event::Done(request) => {
                for track in &mut self.tracks {
                    track.done |= track.subscription.request_id == request;
                }
                self.ending = self.tracks.iter().all(|track| track.done);
            }
            Event::Lost(_) if self.ending => {}
            Event::Lost(reason) => bail!("the connection was lost: {reason}"),
        }
        Ok(())
    }

    /// The frame with the earliest decoding time, once every track has shown its next one, or has
    /// had [`INTERLEAVE_US`] to do so.
    fn pop(&mut self, now_us: u64) -> Option<Frame> {
        let complete = self.tracks.iter().all(|track| !track.frames.is_empty());
        let with_frames = self
            .tracks
            .iter_mut()
            .filter(|track| !track.frames.is_empty());
        let first = with_frames.min_by_key(|track| track.frames[0].0.dts_us)?;
        let waited_us = now_us.saturating_sub(first.frames[0].1);
        match complete || self.ending || waited_us >= INTERLEAVE_US {
            true => first.frames.pop_front().map(|(frame, _)| frame),
            false => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.tracks.iter().all(|track| track.frames.is_empty())
    }
}

impl Track {
    fn advance(&mut self, now_us: u64) -> anyhow::Result<()> {
        while let Some(object) = self.ordered.next(now_us) {
            let frame = self.frame(object)?;
            // One without a chunk ends a track in the legacy container.
            if !frame.payload.is_empty() {
                self.frames.push_back((frame, now_us));
            }
        }
        Ok(())
    }

    fn frame(&mut self, object: Object) -> anyhow::Result<Frame> {
        let properties = ObjectProperties::parse(&object.properties);
        let properties = properties.context("an object's properties")?;
        let mut payload = object.payload;
        let (dts_us, composition_us) = match self.prefixed {
            true => {
                let prefix = hang::split_prefix(&payload).context("an object without timestamp")?;
                payload.advance(prefix.1);
                // Only when to show it is told, in the order of decoding: time goes on from there.
                self.latest_us = self.latest_us.max(prefix.0);
                (self.latest_us, signed(prefix.0) - signed(self.latest_us))
            }
            false => {
                let shown_us = properties.timestamp_us;
                let shown_us = shown_us.context("an object without timestamp")?;
                let composition_us = properties.composition_us;
                (
                    shown_us.saturating_sub(composition_us),
                    signed(composition_us),
                )
            }
        };
        let first = object.id == 0;
        let (key, config) = match self.codec {
            Codec::Video(_) => (first, properties.video_config),
            Codec::Audio(_) => (true, properties.audio_config),
        };
        // The catalog's configuration is for publishers that give no other, and goes first.
        let fallback = self.config.take();
        Ok(Frame {
            codec: self.codec,
            key,
            dts_us,
            composition_us,
            config: config.or(fallback),
            payload,
        })
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn describe(description: &mut Description, codec: Codec, track: &msf::Track) {
    let numbers = &mut description.numbers;
    let mut add = |name, value: Option<f64>| numbers.extend(value.map(|value| (name, value)));
    match codec {
        Codec::Video(_) => {
            add("width", track.width.map(|width| width as f64));
            add("height", track.height.map(|height| height as f64));
            add("framerate", track.framerate);
            description.has_video = true;
        }
        Codec::Audio(_) => {
            add("audiosamplerate", track.samplerate.map(|rate| rate as f64));
            description.has_audio = true;
        }
    }
}

/// How long a frame waits for an earlier one of another track, in microseconds.
const INTERLEAVE_US: u64 = 200_000;

/// How often frames that wait are looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long after the end of every track objects may still be under way.
const LAST_WORDS: Duration = Duration::from_millis(300);
