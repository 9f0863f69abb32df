//! Weir: a live media relay.

pub mod stats;
