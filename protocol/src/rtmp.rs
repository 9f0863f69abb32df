//! RTMP: handshake, chunks, commands and sessions.
//!
//! The sources are Adobe's RTMP 1.0 specification (2012, sections 5 to 7 of part 1), AMF0, the
//! Enhanced RTMP documents for what `connect` negotiates, and what encoders really send.
//!
//! ```text
//! bytes ─► handshake ─► chunk::Reader ─► Message ─► command / metadata ─► server::Session ─► Event
//!                        one copy, into the Body
//! ```
//!
//! [`server::Session`] takes a publisher, [`client::Session`] is one. Both are driven alike: give
//! them what the socket read with `handle_input`, then drain `poll_event` and write what
//! `poll_output` returns. An error ends the session: no status can be trusted to reach a peer
//! whose bytes are not understood, so the driver closes the connection.

pub mod amf0;
pub mod chunk;
pub mod client;
pub mod command;
pub mod control;
pub mod handshake;
pub mod limits;
pub mod metadata;
mod outbox;
pub mod server;

pub use limits::Limits;

/// Names one message stream of a connection: what `createStream` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);
