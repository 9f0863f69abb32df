//! A stream looked at once a second: its warnings, its log's lines, its recent past; pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::events::{Event, EventKind};
use super::health::{Change, Health, Vitals, Warning};
use super::snapshot::StreamSnapshot;
use super::{Skipped, Stage, Totals};

/// Looks that the peak of the bitrate remembers: a minute.
const PEAK_LOOKS: usize = 60;

/// Points of a stream's past: six minutes at one every five seconds.
const MAX_POINTS: usize = 72;

/// One moment of a stream's past. Percentiles are those of the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// Media that arrives, in bits per second.
    pub bitrate_bps: u64,
    /// Pictures a second.
    pub fps: Option<f64>,
    /// Viewers.
    pub viewers: u64,
    /// Lateness of arrival, 99th percentile, in microseconds.
    pub jitter_p99_us: Option<u64>,
    /// The relay's own latency, median and 99th percentile, in microseconds.
    pub relay_us: [u64; 2],
    /// The players' latency, the same.
    pub player_us: [u64; 2],
    /// Objects since the point before by their latency in the relay; see `bucket_bounds_us`.
    pub relay_buckets: Vec<u64>,
    /// The same for pictures on screens.
    pub player_buckets: Vec<u64>,
}

/// What a second's look remembers of a stream.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    health: Health,
    bitrates: VecDeque<u64>,
    skipped: Skipped,
    points: VecDeque<Point>,
    relay: Totals,
    player: Totals,
}

impl Watch {
    /// Looks at the stream; returns the lines for its log.
    pub fn look(&mut self, mut vitals: Vitals, skipped: Skipped, now_ms: u64) -> Vec<Event> {
        match vitals.live_us {
            Some(_) => self.bitrates.push_back(vitals.video_bps),
            // The next publisher's bitrate is its own.
            None => self.bitrates.clear(),
        }
        if self.bitrates.len() > PEAK_LOOKS {
            self.bitrates.pop_front();
        }
        vitals.video_peak_bps = self.bitrates.iter().copied().max().unwrap_or(0);
        let mut events: Vec<_> = self
            .health
            .look(&vitals, now_ms)
            .into_iter()
            .map(|change| match change {
                Change::Raised(warning) => Event::new(EventKind::WarningRaised, now_ms)
                    .who(warning.code.name())
                    .detail(warning.message),
                Change::Cleared(code) => {
                    Event::new(EventKind::WarningCleared, now_ms).who(code.name())
                }
            })
            .collect();
        for (reason, now, before) in [
            ("too far behind", skipped.behind, self.skipped.behind),
            ("stopped by the viewer", skipped.reset, self.skipped.reset),
        ] {
            let objects = now.saturating_sub(before);
            if objects > 0 {
                let event = Event::new(EventKind::Skipped, now_ms);
                events.push(event.detail(reason).count(objects));
            }
        }
        self.skipped = skipped;
        events
    }

    /// Adds a point to the stream's past.
    pub fn remember(&mut self, stream: &StreamSnapshot, now_ms: u64) {
        let relay = stream.totals.stages[Stage::Relay as usize];
        let player = stream.totals.stages[Stage::Player as usize];
        let latency = &stream.latency_us;
        self.points.push_back(Point {
            at_ms: now_ms,
            bitrate_bps: stream.tracks.iter().map(|track| track.bitrate_bps).sum(),
            fps: stream.tracks.iter().find_map(|track| track.fps),
            viewers: stream.subscribers,
            jitter_p99_us: stream.arrival_jitter_us.p99,
            relay_us: [latency.relay.p50, latency.relay.p99],
            player_us: [latency.player.p50, latency.player.p99],
            relay_buckets: added(&relay, &self.relay),
            player_buckets: added(&player, &self.player),
        });
        (self.relay, self.player) = (relay, player);
        if self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
    }

    /// What is wrong, the most pressing first.
    pub fn warnings(&self) -> Vec<Warning> {
        self.health.warnings().to_vec()
    }

    /// The stream's past, the oldest first.
    pub fn points(&self) -> Vec<Point> {
        self.points.iter().cloned().collect()
    }
}

fn added(now: &Totals, before: &Totals) -> Vec<u64> {
    let pairs = now.buckets().iter().zip(before.buckets());
    pairs
        .map(|(now, before)| now.saturating_sub(*before))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::health::Code;

    fn live(video_bps: u64) -> Vitals {
        Vitals {
            live_us: Some(60_000_000),
            key_frame_age_us: Some(0),
            video_age_us: Some(0),
            audio_age_us: Some(0),
            video_bps,
            ..Vitals::default()
        }
    }

    #[test]
    fn a_bitrate_that_falls_below_its_own_peak_is_a_collapse() {
        let mut watch = Watch::default();
        let mut lines = Vec::new();
        for second in 0..20 {
            let bps = if second < 10 { 3_000_000 } else { 500_000 };
            lines.extend(watch.look(live(bps), Skipped::default(), second * 1000));
        }
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(
            (lines[0].kind, lines[0].at_ms),
            (EventKind::WarningRaised, 12_000)
        );
        assert_eq!(lines[0].who, Code::BitrateCollapsed.name());
        // After a minute the low bitrate is what this stream has.
        for second in 20..90 {
            lines.extend(watch.look(live(500_000), Skipped::default(), second * 1000));
        }
        assert_eq!(
            lines.last().map(|line| line.kind),
            Some(EventKind::WarningCleared)
        );
        assert_eq!(watch.warnings(), []);
    }

    #[test]
    fn skips_are_told_by_reason_once_a_look() {
        let mut watch = Watch::default();
        let skipped = |behind, reset| Skipped { behind, reset };
        assert_eq!(watch.look(live(0), skipped(0, 0), 0), []);
        let lines = watch.look(live(0), skipped(30, 2), 1000);
        let told: Vec<_> = lines.iter().map(|line| (line.kind, line.count)).collect();
        assert_eq!(told, [(EventKind::Skipped, 30), (EventKind::Skipped, 2)]);
        assert_eq!(watch.look(live(0), skipped(30, 2), 2000), []);
    }

    #[test]
    fn the_past_is_bounded() {
        let mut watch = Watch::default();
        let stream = super::super::Merged::new(0).snapshot(super::super::StreamFacts {
            name: "live/cam".into(),
            state: super::super::snapshot::StreamState::Live,
            since: String::new(),
            publisher: Default::default(),
            tracks: Vec::new(),
            subscribers: 3,
            viewers_reporting: 0,
            warnings: Vec::new(),
        });
        (0..500).for_each(|at| watch.remember(&stream, at));
        let points = watch.points();
        assert_eq!(
            (points.len(), points[0].at_ms),
            (MAX_POINTS, 500 - MAX_POINTS as u64)
        );
        assert_eq!(points[0].viewers, 3);
    }
}
