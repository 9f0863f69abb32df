//! Weir's load tester and impairment proxy.
//!
//! [`impair`] makes a network worse on purpose, repeatably.

pub mod cli;
pub mod clock;
pub mod impair;
pub mod units;
