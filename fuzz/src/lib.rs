//! The bodies of the fuzz targets, so that tests can replay the corpora.

mod codec;
mod flv;
pub use codec::codec;
pub use flv::flv;
/// A target's name, which is also its corpus's, and its body.
pub type Target = (&'static str, fn(&[u8]));
/// Every target.
pub const TARGETS: &[Target] = &[("codec", codec), ("flv", flv)];
//!
//! A target is a function of bytes that panics when something is wrong. Most compare two ways that
//! must agree, because a parser that never panics can still be wrong.
mod rtmp;
pub use rtmp::{amf0, chunk, handshake, rtmp_session};
/// Panics when something is wrong with what becomes of the bytes.
pub type Target = fn(&[u8]);
/// Every target with the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("amf0", amf0),
    ("chunk", chunk),
    ("handshake", handshake),
    ("rtmp_session", rtmp_session),
];
