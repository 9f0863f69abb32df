//! Media time that only goes on: publishers' clocks mapped onto one timeline a stream.

/// Maps the timestamps of successive publishers, and of one publisher whose clock jumps, onto a
/// timeline that a player can follow.
///
/// Within a publisher's time differences are kept exactly. A new publisher, or a jump of more than
/// `JUMP_US` against the wall clock, is placed where the timeline would be by now.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Added to the publisher's time.
    offset_us: i64,
    /// Media time and arrival of the newest timestamp, on the timeline.
    newest: Option<(u64, u64)>,
    anchored: bool,
}

impl Timeline {
    /// A new publisher will count from a zero of its own.
    pub fn restart(&mut self) {
        self.anchored = false;
    }

    /// The publisher's `timestamp_us` on the timeline, where it arrived at `now_us`.
    pub fn map(&mut self, timestamp_us: u64, now_us: u64) -> u64 {
        let timestamp_us = i64::try_from(timestamp_us).unwrap_or(i64::MAX);
        let due_us = match self.newest {
            // Room below zero: composition times may be negative.
            None => ORIGIN_US,
            Some((media_us, arrived_us)) => media_us + now_us.saturating_sub(arrived_us),
        };
        let due_us = i64::try_from(due_us).unwrap_or(i64::MAX);
        let mapped_us = timestamp_us.saturating_add(self.offset_us);
        let jumped = mapped_us < 0 || mapped_us.abs_diff(due_us) > JUMP_US;
        let mapped_us = match !self.anchored || jumped {
            true => {
                self.offset_us = due_us.saturating_sub(timestamp_us);
                self.anchored = true;
                due_us
            }
            false => mapped_us,
        };
        let media_us = u64::try_from(mapped_us).unwrap_or(0);
        if self
            .newest
            .is_none_or(|(newest_us, _)| media_us >= newest_us)
        {
            self.newest = Some((media_us, now_us));
        }
        media_us
    }
}

/// Where a stream's media time begins, in microseconds.
const ORIGIN_US: u64 = 1_000_000;

/// A difference between media time and wall clock that is a jump and not drift, in microseconds:
/// more than the longest burst that encoders send after a stall of their uplink.
const JUMP_US: u64 = 30_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn differences_are_kept_exactly() {
        let mut timeline = Timeline::default();
        let start = timeline.map(500_000, SECOND);
        assert_eq!(start, ORIGIN_US);
        for (timestamp_us, now_us) in [
            (533_000, SECOND),
            (521_000, 2 * SECOND),
            (567_000, 3 * SECOND),
        ] {
            let mapped = timeline.map(timestamp_us, now_us);
            assert_eq!(mapped - start, timestamp_us - 500_000);
        }
    }

    #[test]
    fn returning_publisher_continues_after_the_pause() {
        let mut timeline = Timeline::default();
        timeline.map(0, SECOND);
        timeline.map(4 * SECOND, 5 * SECOND);
        timeline.restart();
        let resumed = timeline.map(0, 8 * SECOND);
        assert_eq!(resumed, ORIGIN_US + 7 * SECOND);
        assert_eq!(timeline.map(SECOND, 9 * SECOND), resumed + SECOND);
    }

    #[test]
    fn clock_that_jumps_is_put_back_where_it_should_be() {
        let mut timeline = Timeline::default();
        timeline.map(1000 * SECOND, SECOND);
        let back = timeline.map(0, 2 * SECOND);
        assert_eq!(back, ORIGIN_US + SECOND);
        let forward = timeline.map(5_000 * SECOND, 3 * SECOND);
        assert_eq!(forward, ORIGIN_US + 2 * SECOND);
    }

    #[test]
    fn late_burst_is_not_a_jump() {
        let mut timeline = Timeline::default();
        timeline.map(0, SECOND);
        assert_eq!(timeline.map(SECOND, 11 * SECOND), ORIGIN_US + SECOND);
    }
}
