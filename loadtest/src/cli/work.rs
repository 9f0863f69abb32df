//! What to send to whom: the arguments that make a [`Plan`].

use std::{num::NonZeroU64, time::Duration};

use anyhow::bail;
use clap::{Args, ValueEnum, value_parser};
use weir_protocol::moqt::Version;

use crate::{
    load::{
        self, Churn, DEFAULT_PROFILE, Interleave, Kind, MAX_FRAME_BYTES, MIN_FRAME_BYTES, Plan,
        Profile, Publish, Slow, Track, Transport,
    },
    units,
};

/// Viewers at most: each has a socket, and descriptors are limited.
const MAX_VIEWERS: u64 = 50_000;

/// Streams at most: each has a connection.
const MAX_STREAMS: u64 = 10_000;

/// Threads at most: more than any machine has cores.
const MAX_THREADS: u64 = 256;

/// Viewers that come in a second, at most.
const CHURN_MAX: f64 = 1_000.0;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Work")]
pub(super) struct WorkArgs {
    /// A workload by name; what else is given changes it (`weir-loadtest profiles` lists them)
    /// [default: fanout]
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// Application and key of the stream; several streams are numbered
    #[arg(long, value_name = "APP/KEY", default_value = "live/load", value_parser = stream_name)]
    stream: String,
    /// How many streams
    #[arg(long, value_parser = value_parser!(u64).range(1..=MAX_STREAMS))]
    streams: Option<u64>,
    /// How many viewers, spread over the streams
    #[arg(long, value_parser = value_parser!(u64).range(1..=MAX_VIEWERS))]
    pub(super) viewers: Option<u64>,
    /// Mean bytes of a video frame
    #[arg(long, value_parser = frame_bytes(), conflicts_with = "bitrate")]
    frame_bytes: Option<u64>,
    /// Rate of the video instead, as in 4mbit
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    bitrate: Option<NonZeroU64>,
    /// Frames per second
    #[arg(long, value_parser = value_parser!(u32).range(1..=1_000))]
    fps: Option<u32>,
    /// Frames per group
    #[arg(long, value_parser = value_parser!(u32).range(1..=100_000))]
    gop: Option<u32>,
    /// How the sizes of video frames vary
    #[arg(long, value_enum)]
    sizes: Option<Sizes>,
    /// Rate of AAC audio beside the video, as in 128kbit; 0 is none
    #[arg(long, value_name = "RATE", value_parser = rate_or_none)]
    audio: Option<u64>,
    /// When audio is written
    #[arg(long, value_enum, default_value_t = Pattern::Even)]
    interleave: Pattern,
    /// From the first viewer's start to the last one's
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::duration)]
    ramp: Duration,
    /// From everybody's first frame to the measured window
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::duration)]
    warm_up: Duration,
    /// Length of the measured window
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Share of viewers that read too slowly, as in 10%
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = units::share)]
    slow: f64,
    /// How fast those read
    #[arg(long, value_name = "RATE", default_value = "500kbit", value_parser = units::rate)]
    slow_rate: NonZeroU64,
    /// Further viewers that come each second, and go again
    #[arg(long, value_name = "PER_SECOND", default_value_t = 0.0, value_parser = churn_rate)]
    churn: f64,
    /// How long those stay
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    churn_stay: Duration,
    /// A viewer is kept whose own p99 is below this, and who has 99 % of the frames
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    kept_below: Duration,
    /// More viewers than can be served: who is refused or has no frame is counted as not kept, and
    /// ends nothing
    #[arg(long)]
    storm: bool,
    /// MoQT draft that viewers and MoQT publishers speak [default: the newest of the relay]
    #[arg(long, value_parser = draft)]
    draft: Option<u64>,
    /// Threads of the viewers
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=MAX_THREADS))]
    threads: u64,
    /// Viewers that share a UDP socket
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u64).range(1..=1_000))]
    viewers_per_socket: u64,
    /// Decides everything that varies
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How the sizes of video frames vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sizes {
    /// All of one size
    Constant,
    /// Large key frames, and others that vary, as an encoder makes them
    Encoder,
}

/// When audio is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pattern {
    /// Each frame when it is due
    Even,
    /// With the next video frame, as ffmpeg's muxer does
    Muxed,
}

fn frame_bytes() -> clap::builder::RangedU64ValueParser {
    value_parser!(u64).range(MIN_FRAME_BYTES as u64..=MAX_FRAME_BYTES as u64 / 8)
}

fn stream_name(text: &str) -> Result<String, &'static str> {
    match text.split_once('/') {
        Some((app, key)) if !app.is_empty() && !key.is_empty() => Ok(text.into()),
        Some(_) | None => Err("a stream is named by application and key, as in live/load"),
    }
}

fn rate_or_none(text: &str) -> Result<u64, units::UnitError> {
    match text {
        "0" => Ok(0),
        _ => units::rate(text).map(NonZeroU64::get),
    }
}

/// A time that is one.
fn duration(text: &str) -> Result<Duration, String> {
    let time = units::duration(text).map_err(|error| error.to_string())?;
    match time.is_zero() {
        true => Err("it must be longer than nothing".into()),
        false => Ok(time),
    }
}

fn churn_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=CHURN_MAX).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err(format!("a number of viewers, from 0 to {CHURN_MAX}")),
    }
}

fn draft(text: &str) -> Result<u64, String> {
    let known = || Version::ALL.map(Version::number);
    let number = text.parse().ok().filter(|number| known().contains(number));
    number.ok_or_else(|| format!("one of {:?}", known()))
}

impl WorkArgs {
    /// The plan, over raw QUIC and published by RTMP.
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        self.plan_of(self.profile.as_deref().unwrap_or(DEFAULT_PROFILE))
    }

    /// The same of another profile.
    pub(super) fn plan_of(&self, name: &str) -> anyhow::Result<Plan> {
        let Some(profile) = load::profile(name) else {
            let names: Vec<_> = load::profiles()
                .iter()
                .map(|profile| profile.name)
                .collect();
            bail!("no profile {name:?}; there are {}", names.join(", "));
        };
        let tracks = self.tracks(&profile);
        if tracks.is_empty() {
            bail!("a stream without tracks: leave --audio away, or give it a rate");
        }
        Ok(Plan {
            label: name.into(),
            stream: self.stream.clone(),
            streams: self
                .streams
                .map_or(profile.streams, |streams| streams as usize),
            viewers: self
                .viewers
                .map_or(profile.viewers, |viewers| viewers as usize),
            tracks,
            transport: Transport::Quic,
            draft: self.draft,
            publish: Publish::Rtmp,
            interleave: match self.interleave {
                Pattern::Even => Interleave::Even,
                Pattern::Muxed => Interleave::Muxed,
            },
            ramp: self.ramp,
            warm_up: self.warm_up,
            window: self.duration,
            threads: self.threads as usize,
            viewers_per_socket: self.viewers_per_socket as usize,
            slow: (self.slow > 0.0).then_some(Slow {
                share: self.slow,
                rate_bps: self.slow_rate.get(),
            }),
            churn: (self.churn > 0.0).then_some(Churn {
                per_second: self.churn,
                stay: self.churn_stay,
            }),
            kept_below: self.kept_below,
            storm: self.storm,
            seed: self.seed,
        })
    }

    fn tracks(&self, profile: &Profile) -> Vec<Track> {
        let of = |kind| move |track: &&Track| track.kind == kind;
        let video = profile.tracks.iter().find(of(Kind::Video)).copied();
        let audio = profile.tracks.iter().find(of(Kind::Audio)).copied();
        let video = if self.changes_video() {
            Some(self.video(video))
        } else {
            video
        };
        let audio = match self.audio {
            Some(0) => None,
            Some(rate_bps) => Some(Track::aac(rate_bps)),
            None => audio,
        };
        video.into_iter().chain(audio).collect()
    }

    fn changes_video(&self) -> bool {
        let numbers = self.frame_bytes.is_some() || self.bitrate.is_some();
        numbers || self.fps.is_some() || self.gop.is_some() || self.sizes.is_some()
    }

    /// The profile's video, or the usual one, as the arguments change it.
    fn video(&self, video: Option<Track>) -> Track {
        let video = video.unwrap_or_else(|| Track::constant(30.0, 60, 16_000));
        let fps = self.fps.map_or(1e9 / video.interval_ns as f64, f64::from);
        let group = self.gop.unwrap_or(video.group);
        let mean = match (self.frame_bytes, self.bitrate) {
            (Some(bytes), _) => bytes as f64,
            (None, Some(rate)) => rate.get() as f64 / 8.0 / fps,
            (None, None) => video.bitrate_bps() / 8.0 * video.interval_ns as f64 / 1e9,
        };
        let bytes = mean
            .round()
            .clamp(MIN_FRAME_BYTES as f64, MAX_FRAME_BYTES as f64 / 8.0) as u32;
        let varied = self
            .sizes
            .map_or(video.varied, |sizes| sizes == Sizes::Encoder);
        match varied {
            true => Track::encoder(fps, group, bytes),
            false => Track::constant(fps, group, bytes),
        }
    }
}
