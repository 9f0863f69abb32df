//! Weir: a live media relay.
