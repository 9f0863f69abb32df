//! What a publisher sends: tracks, when each of their frames is due, and how large it is. Pure:
//! the same seed gives the same frames.

use serde::{Deserialize, Serialize};

/// How much larger a key frame is than the mean of the others, where sizes vary as an encoder's
/// do: x264 at a constant rate and groups of two seconds makes them six to ten times as large.
const KEY_RATIO: f64 = 8.0;

/// Spread of the sizes of an encoder's predicted frames: the standard deviation of their
/// logarithm. Talking heads are below, sports above.
const SIZE_SIGMA: f64 = 0.35;

/// A frame of varied size is at most this many times the mean of its kind, and at least one of
/// this many parts.
const SIZE_SPREAD_MAX: f64 = 3.0;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// H.264 pictures.
    Video,
    /// AAC frames.
    Audio,
}

impl Kind {
    /// The name of the track.
    pub fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// A track: its frames' times and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// What it carries.
    pub kind: Kind,
    /// From one frame to the next, in nanoseconds; not 0.
    pub interval_ns: u64,
    /// Frames of a group, at least 1.
    pub group: u32,
    /// Mean size of a group's first frame, in bytes.
    pub first_bytes: u32,
    /// Mean size of the others, in bytes.
    pub rest_bytes: u32,
    /// Whether sizes vary around the mean, as an encoder's do.
    pub varied: bool,
    /// Whether a publisher that speaks MoQT sends it as datagrams.
    pub datagrams: bool,
}

impl Track {
    /// Video in frames of one size.
    pub fn constant(fps: f64, group: u32, frame_bytes: u32) -> Self {
        Self {
            kind: Kind::Video,
            interval_ns: (1e9 / fps) as u64,
            group,
            first_bytes: frame_bytes,
            rest_bytes: frame_bytes,
            varied: false,
            datagrams: false,
        }
    }

    /// Video of the same rate as [`constant`](Self::constant), in sizes like an encoder's: large
    /// key frames, and predicted frames that vary.
    pub fn encoder(fps: f64, group: u32, mean_bytes: u32) -> Self {
        let parts = f64::from(group) - 1.0 + KEY_RATIO;
        let rest = f64::from(mean_bytes) * f64::from(group) / parts;
        Self {
            first_bytes: (rest * KEY_RATIO) as u32,
            rest_bytes: rest as u32,
            varied: group > 1,
            ..Self::constant(fps, group, mean_bytes)
        }
    }

    /// AAC at 48 kHz: frames of 1024 samples, each a place to join.
    pub fn aac(bitrate_bps: u64) -> Self {
        let frame_bytes = bitrate_bps * AAC_SAMPLES / AAC_RATE / 8;
        Self {
            kind: Kind::Audio,
            interval_ns: AAC_SAMPLES * 1_000_000_000 / AAC_RATE,
            group: AAC_GROUP,
            first_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
            rest_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
            varied: false,
            datagrams: false,
        }
    }

    /// When frame `index` is due, in nanoseconds after the track's first.
    pub fn due_ns(&self, index: u64) -> u64 {
        index.saturating_mul(self.interval_ns)
    }

    /// Whether frame `index` begins a group.
    pub fn is_first(&self, index: u64) -> bool {
        index.is_multiple_of(u64::from(self.group))
    }

    /// The group of frame `index`, and its place in it.
    pub fn place(&self, index: u64) -> (u64, u64) {
        let group = u64::from(self.group);
        (index / group, index % group)
    }

    /// Size of frame `index` in bytes, at least `min`.
    pub fn bytes(&self, seed: u64, index: u64, min: usize) -> usize {
        let mean = match self.is_first(index) {
            true => self.first_bytes,
            false => self.rest_bytes,
        };
        let bytes = match self.varied {
            true => (f64::from(mean) * spread(seed, index)) as usize,
            false => mean as usize,
        };
        bytes.max(min)
    }

    /// What the track takes, in bits per second of payload.
    pub fn bitrate_bps(&self) -> f64 {
        let rest = f64::from(self.group) - 1.0;
        let group = f64::from(self.first_bytes) + rest * f64::from(self.rest_bytes);
        group * 8.0 / f64::from(self.group) * 1e9 / self.interval_ns as f64
    }
}

/// Samples of an AAC frame.
const AAC_SAMPLES: u64 = 1024;

/// Samples per second of the audio that is published.
const AAC_RATE: u64 = 48_000;

/// Audio frames of a group where the publisher chooses: about a third of a second, as Weir does.
const AAC_GROUP: u32 = 16;

/// A factor whose mean is 1: a lognormal variable, cut off on both sides.
fn spread(seed: u64, index: u64) -> f64 {
    let normal: f64 = (0..12).map(|i| fraction(seed, index, i)).sum::<f64>() - 6.0;
    let factor = (SIZE_SIGMA * normal - SIZE_SIGMA * SIZE_SIGMA / 2.0).exp();
    factor.clamp(1.0 / SIZE_SPREAD_MAX, SIZE_SPREAD_MAX)
}

fn fraction(seed: u64, index: u64, draw: u64) -> f64 {
    (mix(seed ^ mix(index ^ (draw << 56))) >> 11) as f64 / (1u64 << 53) as f64
}

/// Spreads the bits of a number: SplitMix64's finisher.
pub(super) fn mix(value: u64) -> u64 {
    let mut bits = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(track: &Track, frames: u64) -> Vec<usize> {
        (0..frames).map(|index| track.bytes(7, index, 64)).collect()
    }

    #[test]
    fn an_encoders_sizes_have_large_key_frames_and_keep_the_rate() {
        let track = Track::encoder(30.0, 60, 16_000);
        let sizes = sizes(&track, 6_000);
        let keys: Vec<f64> = sizes.iter().step_by(60).map(|&size| size as f64).collect();
        let mean = |sizes: &[f64]| sizes.iter().sum::<f64>() / sizes.len() as f64;
        assert!(mean(&keys) > 5.0 * 14_000.0, "{}", mean(&keys));
        let all = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        assert!((15_200.0..16_800.0).contains(&all), "{all}");
        assert!((track.bitrate_bps() / 3_840_000.0 - 1.0).abs() < 0.01);
        let distinct: std::collections::HashSet<_> = sizes.iter().collect();
        assert!(distinct.len() > 1_000, "sizes vary");
    }

    #[test]
    fn a_seed_gives_the_same_sizes_again_and_another_seed_others() {
        let track = Track::encoder(30.0, 60, 16_000);
        assert_eq!(sizes(&track, 100), sizes(&track, 100));
        assert_ne!(track.bytes(7, 1, 64), track.bytes(8, 1, 64));
    }

    #[test]
    fn constant_frames_are_of_one_size_and_never_too_small() {
        let track = Track::constant(30.0, 60, 4_000);
        assert!(sizes(&track, 200).iter().all(|&size| size == 4_000));
        assert_eq!(Track::constant(30.0, 60, 10).bytes(1, 5, 64), 64);
        assert_eq!(track.place(125), (2, 5));
        assert!(track.is_first(120) && !track.is_first(121));
    }

    #[test]
    fn aac_frames_are_due_47_times_a_second() {
        let track = Track::aac(128_000);
        assert_eq!(track.rest_bytes, 341);
        assert_eq!(track.due_ns(375) / 1_000_000, 7_999);
        assert!((track.bitrate_bps() / 128_000.0 - 1.0).abs() < 0.01);
    }
}
