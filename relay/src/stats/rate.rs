//! Bitrate over recent arrival time, and frame rate over recent media time.

/// Length in microseconds of a slot of [`ByteRate`].
const SLOT_US: u64 = 1_000_000;

/// Slots of [`ByteRate`]: ten seconds, which levels out the key frames of usual GOPs.
const SLOTS: usize = 10;

/// Frames that [`FrameRate`] looks back over: at 30 frames a second the rounding of RTMP's
/// timestamps to milliseconds is then below 0.01 frames a second.
const FRAMES: usize = 256;

/// The longest distance between two frames that still says something about the frame rate.
const MAX_FRAME_US: u64 = 10_000_000;

/// Bytes of the last [`SLOTS`] slots of arrival time.
#[derive(Clone, Debug, Default)]
pub(super) struct ByteRate {
    first_us: Option<u64>,
    /// Slot number counted from the origin of time, and its bytes.
    slots: [(u64, u64); SLOTS],
}

impl ByteRate {
    pub(super) fn record(&mut self, bytes: u64, now_us: u64) {
        self.first_us.get_or_insert(now_us);
        let epoch = now_us / SLOT_US;
        let slot = &mut self.slots[(epoch % SLOTS as u64) as usize];
        if slot.0 != epoch {
            *slot = (epoch, 0);
        }
        slot.1 += bytes;
    }

    /// Bits per second over the last nine to ten seconds, or since the first byte.
    pub(super) fn bits_per_second(&self, now_us: u64) -> u64 {
        let Some(first_us) = self.first_us else {
            return 0;
        };
        let oldest = (now_us / SLOT_US).saturating_sub(SLOTS as u64 - 1);
        let bytes: u64 = self
            .slots
            .iter()
            .filter(|(epoch, _)| *epoch >= oldest)
            .map(|(_, bytes)| bytes)
            .sum();
        let from_us = first_us.max(oldest * SLOT_US);
        // Less than a second would make a rate of the first burst.
        let elapsed_us = now_us.saturating_sub(from_us).max(SLOT_US);
        let bits = u128::from(bytes) * 8 * 1_000_000 / u128::from(elapsed_us);
        u64::try_from(bits).unwrap_or(u64::MAX)
    }
}

/// Mean frame rate of the last [`FRAMES`] frames, by their decode times.
#[derive(Clone, Debug)]
pub(super) struct FrameRate {
    last_us: Option<u64>,
    deltas: [u32; FRAMES],
    next: usize,
    len: u64,
    sum_us: u64,
}

impl Default for FrameRate {
    fn default() -> Self {
        Self {
            last_us: None,
            deltas: [0; FRAMES],
            next: 0,
            len: 0,
            sum_us: 0,
        }
    }
}

impl FrameRate {
    pub(super) fn record(&mut self, media_us: u64) {
        let last_us = self.last_us.replace(media_us);
        let delta = last_us
            .and_then(|last_us| media_us.checked_sub(last_us))
            .filter(|delta| *delta <= MAX_FRAME_US)
            .and_then(|delta| u32::try_from(delta).ok());
        // A jump of the media clock is not a frame's length.
        let Some(delta) = delta else {
            return;
        };
        let slot = &mut self.deltas[self.next];
        // Slots that were never written hold zero.
        self.sum_us = self.sum_us - u64::from(*slot) + u64::from(delta);
        *slot = delta;
        self.next = (self.next + 1) % FRAMES;
        self.len = (self.len + 1).min(FRAMES as u64);
    }

    /// Frames per second, rounded to hundredths; `None` before the second frame.
    pub(super) fn frames_per_second(&self) -> Option<f64> {
        if self.sum_us == 0 {
            return None;
        }
        let rate = self.len as f64 * 1e6 / self.sum_us as f64;
        Some((rate * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrate_follows_the_last_ten_seconds() {
        let mut rate = ByteRate::default();
        let start_us = 7_300_000;
        for tick in 0..1_000 {
            rate.record(1_000, start_us + tick * 10_000);
        }
        let now_us = start_us + 10_000_000;
        let bps = rate.bits_per_second(now_us);
        assert!((790_000..=810_000).contains(&bps), "{bps}");
        let half_gone = rate.bits_per_second(now_us + 5_000_000);
        assert!((350_000..=450_000).contains(&half_gone), "{half_gone}");
        assert_eq!(rate.bits_per_second(now_us + 11_000_000), 0);
    }

    #[test]
    fn the_first_burst_is_not_taken_for_a_rate() {
        let mut rate = ByteRate::default();
        rate.record(100_000, 5_000_000);
        assert_eq!(rate.bits_per_second(5_000_001), 800_000);
        assert_eq!(ByteRate::default().bits_per_second(5), 0);
    }

    #[test]
    fn frame_rate_is_exact_in_spite_of_millisecond_timestamps() {
        for fps in [24.0, 25.0, 29.97, 30.0, 50.0, 60.0_f64] {
            let mut rate = FrameRate::default();
            for frame in 0..600 {
                let ms = (f64::from(frame) * 1000.0 / fps).floor() as u64;
                rate.record(ms * 1000);
            }
            let measured = rate.frames_per_second().unwrap();
            assert!(
                (measured - fps).abs() <= 0.02,
                "{fps} measured as {measured}"
            );
        }
    }

    #[test]
    fn frame_rate_ignores_jumps_of_the_media_clock() {
        let mut rate = FrameRate::default();
        for start_us in [50_000_000, 0, 900_000_000] {
            for frame in 0..50 {
                rate.record(start_us + frame * 40_000);
            }
        }
        assert_eq!(rate.frames_per_second(), Some(25.0));
    }

    #[test]
    fn frame_rate_follows_a_change() {
        let mut rate = FrameRate::default();
        (0..300).for_each(|frame| rate.record(frame * 40_000));
        (0..300).for_each(|frame| rate.record(12_000_000 + frame * 20_000));
        assert_eq!(rate.frames_per_second(), Some(50.0));
    }

    #[test]
    fn one_frame_has_no_rate() {
        let mut rate = FrameRate::default();
        assert_eq!(rate.frames_per_second(), None);
        rate.record(0);
        assert_eq!(rate.frames_per_second(), None);
    }
}
