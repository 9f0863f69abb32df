//! Weir and `moq-net`, an implementation that shares no line of MoQT with it: the cases of the
//! moq-interop-runner and what players live on, in each draft that both know.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::disallowed_methods, reason = "moq-net is told the time")]

mod edges;
mod peer;
mod sessions;
mod tracks;
mod transport;
#[path = "../../../tests/support/trust.rs"]
mod trust;
