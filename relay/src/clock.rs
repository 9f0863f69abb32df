//! The only place that reads a clock: everything else takes `now_us`.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the process first asked, monotonic.
///
/// Starts at one second so that "a second ago" is a number too.
#[expect(clippy::disallowed_methods, reason = "the one driver of time")]
pub fn now_us() -> u64 {
    #[cfg(test)]
    if let Some(now_us) = virtual_time::now_us() {
        return now_us;
    }
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    micros(start.elapsed()) + MICROS_PER_SECOND
}

/// Milliseconds since the Unix epoch: for what people and other machines read, never for intervals.
pub fn unix_ms() -> u64 {
    unix_us() / 1000
}

/// Microseconds since the Unix epoch, as [`unix_ms`] tells it.
#[expect(clippy::disallowed_methods, reason = "the one driver of time")]
pub fn unix_us() -> u64 {
    #[cfg(test)]
    if let Some(now_us) = virtual_time::now_us() {
        return virtual_time::EPOCH_US + now_us;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, micros)
}

/// A duration in whole microseconds; saturates after half a million years.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC, with seconds: `2026-11-20T15:00:00Z`.
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Days since 1970-01-01 as year, month, day of the proleptic Gregorian calendar, by counting
/// 400-year cycles that begin on 1 March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let cycle = days / 146_097;
    let of_cycle = days % 146_097;
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + cycle * 400 + u64::from(month <= 2), month, day)
}

/// Microseconds in a second.
pub const MICROS_PER_SECOND: u64 = 1_000_000;

/// The moment that is so many seconds after 1970, as far from now as the system's clock says; one
/// that is past is now.
pub fn instant_of_unix_s(unix_s: u64) -> tokio::time::Instant {
    let left_ms = unix_s.saturating_mul(1000).saturating_sub(unix_ms());
    // A timer further away than a year is never waited for.
    tokio::time::Instant::now() + Duration::from_millis(left_ms.min(YEAR_MS))
}

const YEAR_MS: u64 = 366 * 24 * 3_600_000;

/// The time of a simulation, which its thread lives in.
#[cfg(test)]
pub(crate) mod virtual_time {
    use std::cell::Cell;

    /// When the simulations' clocks were at zero, in Unix microseconds.
    pub(crate) const EPOCH_US: u64 = 1_700_000_000_000_000;

    thread_local! {
        static NOW_US: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(crate) fn now_us() -> Option<u64> {
        NOW_US.get()
    }

    pub(crate) fn set(now_us: u64) {
        NOW_US.set(Some(now_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_186_923_456), "2026-11-20T15:02:03Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn time_goes_on() {
        let before = now_us();
        assert!(before >= MICROS_PER_SECOND);
        assert!(now_us() >= before);
    }
}
