//! How regularly a track arrives, measured against its media clock.
//!
//! A frame's *transit* is its arrival time less its media time. The two clocks have different
//! origins, so only differences of transits mean something. Jitter here is how much later a frame
//! arrived than the promptest frame of the last half minute: the buffer that a player needs to
//! hide the publisher's side, which RFC 3550's smoothed difference of neighbours does not tell.
//! The half minute bounds what drifting clocks add: 100 ppm is 3 ms.

/// Length in microseconds of a slice of the baseline.
const SLICE_US: u64 = 5_000_000;

/// Slices of the baseline: half a minute, longer than a stall that a live stream survives.
const SLICES: usize = 6;

/// Weight of a new transit in the smoothed one: settles within two seconds of audio or video.
const SMOOTHING: f64 = 1.0 / 32.0;

/// A media clock that falls back by more than this was restarted.
const MAX_BACKWARD_US: u64 = 1_000_000;

/// A media clock that leaps ahead by more than this was restarted.
const MAX_FORWARD_US: u64 = 10_000_000;

/// The transits of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct Transit {
    last_media_us: Option<u64>,
    /// Slice number counted from the origin of time, and the smallest transit in it.
    least: [Option<(u64, i64)>; SLICES],
    smoothed: Option<f64>,
}

impl Transit {
    /// Takes an arrival; returns how late it is in microseconds.
    pub(super) fn record(&mut self, media_us: u64, now_us: u64) -> u64 {
        if self
            .last_media_us
            .is_some_and(|last| restarted(last, media_us))
        {
            self.forget();
        }
        self.last_media_us = Some(media_us);

        let transit = (i128::from(now_us) - i128::from(media_us))
            .clamp(i128::from(i64::MIN / 2), i128::from(i64::MAX / 2)) as i64;
        let smoothed = self.smoothed.get_or_insert(transit as f64);
        *smoothed += (transit as f64 - *smoothed) * SMOOTHING;

        let epoch = now_us / SLICE_US;
        let slot = &mut self.least[(epoch % SLICES as u64) as usize];
        *slot = match *slot {
            Some((e, least)) if e == epoch => Some((epoch, least.min(transit))),
            _ => Some((epoch, transit)),
        };
        let baseline = self
            .least
            .iter()
            .flatten()
            .filter(|(e, _)| epoch.saturating_sub(*e) < SLICES as u64)
            .map(|(_, least)| *least)
            .min();
        transit.abs_diff(baseline.unwrap_or(transit))
    }

    /// Drops the baseline: the next arrival is on another media clock.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The smoothed transit in microseconds; `None` before the first arrival.
    pub(super) fn smoothed_us(&self) -> Option<f64> {
        self.smoothed
    }
}

fn restarted(last_us: u64, media_us: u64) -> bool {
    last_us.saturating_sub(media_us) > MAX_BACKWARD_US
        || media_us.saturating_sub(last_us) > MAX_FORWARD_US
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_arrival_is_not_late() {
        let mut transit = Transit::default();
        for frame in 0..100 {
            assert_eq!(
                transit.record(frame * 33_000, 5_000_000 + frame * 33_000),
                0
            );
        }
        assert_eq!(transit.smoothed_us(), Some(5_000_000.0));
    }

    #[test]
    fn a_late_frame_is_late_by_its_delay() {
        let mut transit = Transit::default();
        transit.record(0, 1_000_000);
        assert_eq!(transit.record(33_000, 1_033_000 + 7_000), 7_000);
        assert_eq!(transit.record(66_000, 1_066_000), 0);
    }

    #[test]
    fn a_lasting_delay_becomes_the_baseline_after_half_a_minute() {
        let mut transit = Transit::default();
        transit.record(0, 0);
        let late =
            |transit: &mut Transit, s: u64| transit.record(s * 1_000_000, s * 1_000_000 + 50_000);
        for second in 1..30 {
            assert_eq!(late(&mut transit, second), 50_000, "second {second}");
        }
        assert_eq!(late(&mut transit, 30), 0);
    }

    #[test]
    fn a_restarted_media_clock_is_not_jitter() {
        let mut transit = Transit::default();
        transit.record(60_000_000, 60_000_000);
        assert_eq!(transit.record(0, 61_000_000), 0, "backward");
        assert_eq!(transit.record(90_000_000, 62_000_000), 0, "forward");
        assert_eq!(transit.record(90_033_000, 62_033_500), 500);
    }

    #[test]
    fn extreme_clocks_do_not_overflow() {
        let mut transit = Transit::default();
        transit.record(u64::MAX, 0);
        transit.record(0, u64::MAX);
        transit.record(u64::MAX, u64::MAX);
        assert!(transit.smoothed_us().is_some());
    }
}
