//! Weir: a live media relay.

pub mod http;
pub mod stats;
