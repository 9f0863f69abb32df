//! What to load, and how.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use weir_protocol::moqt::Version;

use super::media::Track;

/// What to load, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What to call it in reports.
    pub label: String,
    /// The stream's name, application and key, as in `live/load`. Several streams are called
    /// `live/load-0`, `live/load-1` and so on.
    pub stream: String,
    /// How many streams, each with a publisher of its own; at least 1.
    pub streams: usize,
    /// How many viewers, spread evenly over the streams.
    pub viewers: usize,
    /// The tracks of each stream; at least one.
    pub tracks: Vec<Track>,
    /// What carries the viewers.
    pub transport: Transport,
    /// The number of the MoQT draft that viewers and MoQT publishers speak; without one, the
    /// newest that the relay does.
    pub draft: Option<u64>,
    /// What carries the publishers.
    pub publish: Publish,
    /// When publishers write audio. Reports of before this could be chosen lack it.
    #[serde(default)]
    pub interleave: Interleave,
    /// From the first viewer's start to the last one's.
    pub ramp: Duration,
    /// From everybody's first frame to the window's begin.
    pub warm_up: Duration,
    /// Length of the measured window.
    pub window: Duration,
    /// Threads of the viewers.
    pub threads: usize,
    /// How many viewers share a UDP socket.
    pub viewers_per_socket: usize,
    /// Viewers that read too slowly on purpose.
    pub slow: Option<Slow>,
    /// Viewers that come and go beside the others.
    pub churn: Option<Churn>,
    /// A viewer is kept whose latencies are below this at its own 99th percentile, and who has 99
    /// of 100 frames. Reports of before this was counted lack it.
    #[serde(default = "kept_below")]
    pub kept_below: Duration,
    /// Whether there are to be more viewers than can be served: who is refused, or has no frame,
    /// is counted and ends nothing.
    #[serde(default)]
    pub storm: bool,
    /// Decides everything that varies.
    pub seed: u64,
}

/// What carries viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// MoQT on QUIC.
    Quic,
    /// MoQT on WebTransport.
    WebTransport,
    /// RTMP, to compare with.
    Rtmp,
}

/// What carries publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// RTMP.
    Rtmp,
    /// MoQT: PUBLISH_NAMESPACE, and tracks to those who subscribe.
    Moqt,
}

/// When publishers write the audio frames of a stream that has video. What comes together costs a
/// viewer one packet, what comes apart two. ffmpeg's muxer lets nine of ten audio frames go within
/// 1 ms of a video frame; from OBS four of ten come within 5 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interleave {
    /// Each when it is due: nearly every frame on its own.
    #[default]
    Even,
    /// With the next video frame.
    Muxed,
}

/// Viewers that read too slowly on purpose. They are expected to miss frames; the others are not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// How many of the viewers, of 1.
    pub share: f64,
    /// How much each reads, in bits per second.
    pub rate_bps: u64,
}

/// Viewers that come and go beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// How many come each second; as many go.
    pub per_second: f64,
    /// How long each stays.
    pub stay: Duration,
}

/// Without another bound: what a player has buffered that plays half a second behind.
const fn kept_below() -> Duration {
    Duration::from_millis(500)
}

impl Plan {
    /// The name of a stream.
    pub fn stream_name(&self, stream: usize) -> String {
        match self.streams {
            1 => self.stream.clone(),
            _ => format!("{}-{stream}", self.stream),
        }
    }

    /// The drafts that are offered, newest first.
    pub fn drafts(&self) -> Vec<Version> {
        let wanted = |version: &Version| self.draft.is_none_or(|draft| draft == version.number());
        Version::ALL.into_iter().filter(wanted).collect()
    }

    /// Whether viewer `viewer` of the steady ones reads slowly; slow ones are spread evenly.
    pub fn is_slow(&self, viewer: usize) -> bool {
        self.slow.is_some_and(|slow| {
            let before = (viewer as f64 * slow.share).floor();
            ((viewer + 1) as f64 * slow.share).floor() > before
        })
    }

    /// What all viewers together are sent, in bits per second of payload.
    pub fn offered_bps(&self) -> f64 {
        let stream: f64 = self.tracks.iter().map(Track::bitrate_bps).sum();
        stream * self.viewers as f64
    }
}

/// The relay of a run.
#[derive(Clone, Debug)]
pub enum Relay {
    /// One that runs.
    Running {
        /// Where it takes publishers.
        publish: Door,
        /// Where it serves viewers.
        watch: Door,
        /// Its process, when it is on this machine; without it its cost is unknown.
        pid: Option<u32>,
    },
    /// `weir` to start for this run.
    Start {
        /// The program.
        program: PathBuf,
        /// What it is given besides addresses.
        args: Vec<String>,
    },
}

/// An address of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it is called: in TLS, in the session's AUTHORITY and in RTMP's `tcUrl`.
    pub host: String,
    /// The path of the session, for MoQT: `/` and what follows.
    pub path: String,
}

impl Door {
    /// A relay on this machine.
    pub fn local(addr: SocketAddr) -> Self {
        Self {
            addr,
            host: "localhost".into(),
            path: "/".into(),
        }
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.addr.port())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small run.
    pub(in crate::load) fn plan() -> Plan {
        Plan {
            label: "test".into(),
            stream: "live/load".into(),
            streams: 1,
            viewers: 2,
            tracks: vec![Track::constant(10.0, 10, 1_000)],
            transport: Transport::Quic,
            draft: None,
            publish: Publish::Rtmp,
            interleave: Interleave::Even,
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            window: Duration::from_secs(1),
            threads: 1,
            viewers_per_socket: 1,
            slow: None,
            churn: None,
            kept_below: kept_below(),
            storm: false,
            seed: 1,
        }
    }

    #[test]
    fn slow_viewers_are_as_many_as_their_share_and_spread_evenly() {
        let mut plan = plan();
        assert!(!(0..100).any(|viewer| plan.is_slow(viewer)));
        plan.slow = Some(Slow {
            share: 0.1,
            rate_bps: 1,
        });
        let slow: Vec<usize> = (0..100).filter(|&viewer| plan.is_slow(viewer)).collect();
        assert_eq!(slow.len(), 10, "{slow:?}");
        assert!(
            slow.windows(2)
                .all(|pair| (9..=11).contains(&(pair[1] - pair[0])))
        );
    }

    #[test]
    fn a_plan_is_the_same_after_json() {
        let plan = plan();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn several_streams_are_numbered() {
        let mut plan = plan();
        assert_eq!(plan.stream_name(0), "live/load");
        plan.streams = 2;
        assert_eq!(plan.stream_name(1), "live/load-1");
    }
}
