//! Weir's load tester and impairment proxy.
//!
//! [`impair`] makes a network worse on purpose, repeatably. [`load`] publishes a stream, watches it
//! many times, and reports what that cost the relay. [`peers`] does so with other relays beside it.

pub mod cli;
pub mod clock;
pub mod impair;
pub mod load;
pub mod peers;
pub mod units;
