//! What is wrong with a stream that its streamer can put right; pure.
//!
//! A look at a stream's [`Vitals`] each second says which [`Code`]s hold. A warning is raised when
//! its condition has held for a while and cleared when it has not for longer, so that it does not
//! flicker; what was raised and cleared goes into the stream's log.

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Longest distance of key frames that joining and recovery bear, in milliseconds.
pub const MAX_GOP_MS: u64 = 4_000;

/// Silence of a track that is more than a slow frame, in microseconds.
const SILENT_US: u64 = 5_000_000;

/// Time that a publisher has to send both tracks and a key frame, in microseconds.
const SETTLING_US: u64 = 8_000_000;

/// No key frame for longer than this is a fault and not a setting, in microseconds.
const NO_KEY_US: u64 = 15_000_000;

/// Lateness of arrival beyond which a player's buffer grows so that it is felt, in microseconds.
pub(super) const MAX_JITTER_US: u64 = 400_000;

/// Distance of picture and sound that people notice (ITU-R BT.1359 has +45 and -125 ms; the
/// arrival of interleaved tracks adds some), in microseconds.
const MAX_SKEW_US: u64 = 200_000;

/// What is left of the bitrate when the uplink has collapsed: a third, 3 of 10.
const COLLAPSED_TENTHS: u64 = 3;

/// Bitrate below which nothing can collapse: a still picture is cheap.
const MIN_PEAK_BPS: u64 = 300_000;

/// Looks in a row at which a condition holds before it is a warning.
const RAISE_AFTER: u8 = 3;

/// Looks in a row at which it does not hold before the warning is over.
const CLEAR_AFTER: u8 = 8;

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// How long the publisher has been connected in microseconds; `None` while none is.
    pub live_us: Option<u64>,
    /// Media time between key frames in milliseconds, once known.
    pub gop_ms: Option<u64>,
    /// Time since the last key frame arrived, in microseconds.
    pub key_frame_age_us: Option<u64>,
    /// Time since the last picture arrived, in microseconds.
    pub video_age_us: Option<u64>,
    /// Time since the last sound arrived, in microseconds.
    pub audio_age_us: Option<u64>,
    /// Lateness of arrival, 99th percentile of the last minute, in microseconds; `None` while no
    /// frame of it was later than a player bears.
    pub jitter_p99_us: Option<u64>,
    /// How much later pictures arrive than sound, in microseconds.
    pub av_skew_us: Option<i64>,
    /// How much later than decoded pictures are shown, at most, in microseconds.
    pub reorder_us: u64,
    /// Bits per second of the pictures now.
    pub video_bps: u64,
    /// The most that they have been in the last minute.
    pub video_peak_bps: u64,
}

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Nothing arrives at all.
    InputStalled,
    /// The bitrate fell to a fraction of what it was.
    BitrateCollapsed,
    /// Frames arrive in bursts.
    InputUnstable,
    /// Key frames are further apart than [`MAX_GOP_MS`].
    KeyFramesApart,
    /// No key frame has come for long.
    NoKeyFrame,
    /// Picture and sound are apart.
    AvDrift,
    /// There is sound only.
    NoVideo,
    /// There are pictures only.
    NoAudio,
    /// The encoder reorders frames, which delays each.
    BFrames,
}

impl Code {
    /// Every code, the most pressing first.
    pub const ALL: [Self; 9] = [
        Self::InputStalled,
        Self::BitrateCollapsed,
        Self::InputUnstable,
        Self::KeyFramesApart,
        Self::NoKeyFrame,
        Self::AvDrift,
        Self::NoVideo,
        Self::NoAudio,
        Self::BFrames,
    ];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputStalled => "input_stalled",
            Self::BitrateCollapsed => "bitrate_collapsed",
            Self::InputUnstable => "input_unstable",
            Self::KeyFramesApart => "key_frames_apart",
            Self::NoKeyFrame => "no_key_frame",
            Self::AvDrift => "av_drift",
            Self::NoVideo => "no_video",
            Self::NoAudio => "no_audio",
            Self::BFrames => "b_frames",
        }
    }

    /// Whether it may be meant so: a hint and no warning.
    const fn level(self) -> Level {
        match self {
            Self::NoVideo | Self::NoAudio | Self::BFrames => Level::Hint,
            Self::InputStalled
            | Self::BitrateCollapsed
            | Self::InputUnstable
            | Self::KeyFramesApart
            | Self::NoKeyFrame
            | Self::AvDrift => Level::Warning,
        }
    }

    /// Whether it holds.
    fn holds(self, vitals: &Vitals) -> bool {
        let Some(live_us) = vitals.live_us else {
            return false;
        };
        let settled = live_us > SETTLING_US;
        let silent = |age: Option<u64>| age.is_none_or(|age_us| age_us > SILENT_US);
        let (no_video, no_audio) = (silent(vitals.video_age_us), silent(vitals.audio_age_us));
        match self {
            Self::InputStalled => settled && no_video && no_audio,
            Self::BitrateCollapsed => {
                let peak = vitals.video_peak_bps;
                !no_video && peak >= MIN_PEAK_BPS && vitals.video_bps * 10 < peak * COLLAPSED_TENTHS
            }
            Self::InputUnstable => vitals.jitter_p99_us.is_some_and(|us| us > MAX_JITTER_US),
            Self::KeyFramesApart => vitals.gop_ms.is_some_and(|ms| ms > MAX_GOP_MS),
            Self::NoKeyFrame => {
                let age_us = vitals.key_frame_age_us.unwrap_or(live_us);
                !no_video && age_us > NO_KEY_US
            }
            Self::AvDrift => vitals
                .av_skew_us
                .is_some_and(|us| us.unsigned_abs() > MAX_SKEW_US),
            Self::NoVideo => settled && no_video && !no_audio,
            Self::NoAudio => settled && no_audio && !no_video,
            Self::BFrames => vitals.reorder_us > 0,
        }
    }

    /// What is wrong, with the figures of now, and what to do about it.
    fn words(self, vitals: &Vitals) -> (String, &'static str) {
        let seconds = |us: u64| us as f64 / 1e6;
        match self {
            Self::InputStalled => (
                "The publisher is connected, but nothing arrives.".to_owned(),
                "Look at the encoder and its network; the stream goes on by itself.",
            ),
            Self::BitrateCollapsed => (
                format!(
                    "The video bitrate fell to {} kbit/s from {} kbit/s.",
                    vitals.video_bps / 1000,
                    vitals.video_peak_bps / 1000
                ),
                "If the picture did not become simpler, the uplink is too slow: lower the bitrate.",
            ),
            Self::InputUnstable => (
                format!(
                    "Frames arrive up to {:.1} s late: viewers need that much more buffer.",
                    seconds(vitals.jitter_p99_us.unwrap_or(0))
                ),
                "Use a cable instead of Wi-Fi, lower the bitrate, or ease the encoder's load.",
            ),
            Self::KeyFramesApart => (
                format!(
                    "Key frames are {:.1} s apart: who joins or lost data waits for the next one.",
                    vitals.gop_ms.unwrap_or(0) as f64 / 1e3
                ),
                "Set the key-frame interval to 2 s (OBS: Settings, Output, Advanced).",
            ),
            Self::NoKeyFrame => (
                format!(
                    "No key frame for {:.0} s: nobody can join.",
                    seconds(vitals.key_frame_age_us.or(vitals.live_us).unwrap_or(0))
                ),
                "Set the key-frame interval to 2 s; 0 leaves it to the encoder.",
            ),
            Self::AvDrift => {
                let late_us = vitals.av_skew_us.unwrap_or(0);
                let later = if late_us > 0 { "pictures" } else { "sound" };
                let ms = late_us.unsigned_abs() / 1000;
                (
                    format!("The {later} arrive {ms} ms after what belongs to them."),
                    "Set the sync offset of the source in the encoder, or restart the stream.",
                )
            }
            Self::NoVideo => (
                "There is sound, but no picture.".to_owned(),
                "Check the scene and its video source, unless it is meant so.",
            ),
            Self::NoAudio => (
                "There is a picture, but no sound.".to_owned(),
                "Check the audio sources and their mute buttons, unless it is meant so.",
            ),
            Self::BFrames => (
                format!(
                    "The encoder uses B-frames: each picture is {} ms late before it is sent.",
                    vitals.reorder_us / 1000
                ),
                "For the lowest latency set B-frames to 0, or the tune to zerolatency.",
            ),
        }
    }
}

/// How much a warning matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Viewers suffer.
    Warning,
    /// It may be meant so.
    Hint,
}

/// What the API says of something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// For programs.
    pub code: Code,
    /// How much it matters.
    pub level: Level,
    /// Since when, Unix time in milliseconds.
    pub since_ms: u64,
    /// What is wrong, with figures.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// What a look changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A warning that was not there.
    Raised(Warning),
    /// A warning that is there no longer.
    Cleared(Code),
}

#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    /// Looks in a row at which it was otherwise than `since_ms` says.
    otherwise: u8,
    since_ms: Option<u64>,
}

/// The warnings of one stream.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: [Condition; Code::ALL.len()],
    warnings: Vec<Warning>,
}

impl Health {
    /// Looks at the stream at Unix time `now_ms`; called about once a second.
    pub fn look(&mut self, vitals: &Vitals, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut warnings = Vec::new();
        for (code, condition) in Code::ALL.into_iter().zip(&mut self.conditions) {
            let holds = code.holds(vitals);
            let raised = condition.since_ms.is_some();
            condition.otherwise = match holds == raised {
                true => 0,
                false => condition.otherwise.saturating_add(1),
            };
            // Without a publisher there is nothing to warn about, and no need to wait.
            let patience = match (raised, vitals.live_us.is_some()) {
                (false, _) => RAISE_AFTER,
                (true, true) => CLEAR_AFTER,
                (true, false) => 1,
            };
            let turns = condition.otherwise >= patience;
            if turns {
                condition.otherwise = 0;
                condition.since_ms = (!raised).then_some(now_ms);
            }
            let warning = condition.since_ms.map(|since_ms| {
                let (message, remedy) = code.words(vitals);
                Warning {
                    code,
                    level: code.level(),
                    since_ms,
                    message,
                    remedy: remedy.to_owned(),
                }
            });
            match (&warning, turns) {
                (Some(warning), true) => changes.push(Change::Raised(warning.clone())),
                (None, true) => changes.push(Change::Cleared(code)),
                (_, false) => {}
            }
            // While it is on its way out, the words with the last bad figures stay.
            let before = self.warnings.iter().find(|w| w.code == code && !holds);
            warnings.extend(warning.map(|warning| before.cloned().unwrap_or(warning)));
        }
        self.warnings = warnings;
        changes
    }

    /// What is wrong, the most pressing first.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
