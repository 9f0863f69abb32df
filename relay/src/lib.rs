//! Weir: a live media relay.

pub mod cli;
pub mod http;
pub mod stats;
