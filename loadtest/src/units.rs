//! Quantities as people write them on a command line: `50ms`, `2%`, `5mbit`, `256kB`.

use std::{net::SocketAddr, num::NonZeroU64, str::FromStr, time::Duration};

use crate::impair::Window;

/// A quantity that was not understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// No known unit after the number.
    #[error("{text:?} needs a unit, as in {example}")]
    Unit {
        /// What was written.
        text: String,
        /// What would have been understood.
        example: &'static str,
    },
    /// No number, or a negative one, or one that is too large.
    #[error("{text:?} does not begin with a number that fits, as in {example}")]
    Number {
        /// What was written.
        text: String,
        /// What would have been understood.
        example: &'static str,
    },
    /// Not between nothing and everything.
    #[error("{0:?} is not a share between 0% and 100%")]
    Share(String),
    /// Not a span of time.
    #[error("{0:?} is not a span of time that ends after it begins, as in 2s..3500ms")]
    Span(String),
    /// Not two addresses.
    #[error("{0:?} is not LISTEN=TARGET, as in 127.0.0.1:5000=127.0.0.1:4443")]
    Route(String),
}

/// Parses `50ms`, `1.5s`, `200us`, `2m` or `0`.
///
/// # Errors
/// When the number or the unit is not understood.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    const UNITS: &[(&str, f64)] = &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    const EXAMPLE: &str = "50ms, 1.5s or 200us";
    let seconds = scaled(text, UNITS, EXAMPLE)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| UnitError::Number {
        text: text.into(),
        example: EXAMPLE,
    })
}

/// Parses `5mbit`, `800kbit`, `1gbit`, `64000bit`: bits per second, powers of ten.
///
/// # Errors
/// When the number or the unit is not understood, or the rate is below one bit per second.
pub fn rate(text: &str) -> Result<NonZeroU64, UnitError> {
    const UNITS: &[(&str, f64)] = &[("bit", 1.0), ("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
    const EXAMPLE: &str = "5mbit, 800kbit or 1gbit";
    let bits = scaled(text, UNITS, EXAMPLE)?;
    NonZeroU64::new(bits as u64).ok_or_else(|| UnitError::Number {
        text: text.into(),
        example: EXAMPLE,
    })
}

/// Parses `256kB`, `1MB`, `3000B`: bytes, powers of ten.
///
/// # Errors
/// When the number or the unit is not understood.
pub fn bytes(text: &str) -> Result<u64, UnitError> {
    const UNITS: &[(&str, f64)] = &[("b", 1.0), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9)];
    scaled(text, UNITS, "256kB, 1MB or 3000B").map(|bytes| bytes as u64)
}

/// Parses `2%` or `0.02` to a share of one.
///
/// # Errors
/// When it is not a number, or not between nothing and everything.
pub fn share(text: &str) -> Result<f64, UnitError> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match f64::from_str(number.trim()).map(|value| value / scale) {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err(UnitError::Share(text.into())),
    }
}

/// Parses `2s..3500ms`, or `2s..` without an end.
///
/// # Errors
/// When either time is not understood, or the end is not after the beginning.
pub fn span(text: &str) -> Result<Window, UnitError> {
    let not_a_span = || UnitError::Span(text.into());
    let (from, to) = text.split_once("..").ok_or_else(not_a_span)?;
    let micros = |text| Ok(u64::try_from(duration(text)?.as_micros()).unwrap_or(u64::MAX));
    let from_us = micros(from)?;
    let to_us = if to.is_empty() { u64::MAX } else { micros(to)? };
    if from_us < to_us {
        Ok(Window { from_us, to_us })
    } else {
        Err(not_a_span())
    }
}

/// Where a proxy listens and where it carries to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The server behind the proxy.
    pub target: SocketAddr,
}

impl FromStr for Route {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parse = || {
            let (listen, target) = text.split_once('=')?;
            Some(Self {
                listen: listen.parse().ok()?,
                target: target.parse().ok()?,
            })
        };
        parse().ok_or_else(|| UnitError::Route(text.into()))
    }
}

/// The number in front of a unit, times what the unit is worth. Case does not matter; zero needs
/// no unit.
fn scaled(text: &str, units: &[(&str, f64)], example: &'static str) -> Result<f64, UnitError> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let value = match f64::from_str(number.trim()) {
        Ok(value) if value >= 0.0 && value.is_finite() => value,
        Ok(_) | Err(_) => {
            return Err(UnitError::Number {
                text: text.into(),
                example,
            });
        }
    };
    if unit.is_empty() && value == 0.0 {
        return Ok(0.0);
    }
    match units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
    {
        Some((_, scale)) => Ok(value * scale),
        None => Err(UnitError::Unit {
            text: text.into(),
            example,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("200 us"), Ok(Duration::from_micros(200)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(rate("5mbit").map(NonZeroU64::get), Ok(5_000_000));
        assert_eq!(rate("2.5Gbit").map(NonZeroU64::get), Ok(2_500_000_000));
        assert_eq!(bytes("256kB"), Ok(256_000));
        assert_eq!(share("2%"), Ok(0.02));
        assert_eq!(share("0.5"), Ok(0.5));
        assert_eq!(
            span("2s..3500ms"),
            Ok(Window {
                from_us: 2_000_000,
                to_us: 3_500_000
            })
        );
        assert_eq!(span("0..").map(|window| window.to_us), Ok(u64::MAX));
    }

    #[test]
    fn what_is_not_understood_says_what_would_be() {
        let told = |error: UnitError| error.to_string();
        assert_eq!(
            told(duration("50").unwrap_err()),
            "\"50\" needs a unit, as in 50ms, 1.5s or 200us"
        );
        assert!(told(duration("-5ms").unwrap_err()).contains("as in 50ms"));
        assert!(told(duration("99999999999999999999s").unwrap_err()).contains("fits"));
        assert!(told(rate("5mb").unwrap_err()).contains("as in 5mbit"));
        assert!(told(rate("0").unwrap_err()).contains("as in 5mbit"));
        assert!(told(share("120%").unwrap_err()).contains("between 0% and 100%"));
        assert!(told(span("3s..2s").unwrap_err()).contains("ends after"));
        assert!(told("127.0.0.1:1".parse::<Route>().unwrap_err()).contains("LISTEN=TARGET"));
    }

    #[test]
    fn a_route_is_two_addresses() {
        let route: Route = "127.0.0.1:0=[::1]:4443".parse().unwrap();
        assert_eq!(route.listen.port(), 0);
        assert!(route.target.is_ipv6());
    }
}
