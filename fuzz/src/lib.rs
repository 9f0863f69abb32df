//! The bodies of the fuzz targets, so that tests can replay the corpora.
//!
//! A target is a function of bytes that panics when something is wrong. Most compare two ways that
//! must agree, because a parser that never panics can still be wrong.

mod codec;
mod flv;
mod moqt;
mod rtmp;

pub use codec::codec;
pub use flv::flv;
pub use moqt::{fetch_stream, moqt_message, msf_catalog, subgroup};
pub use rtmp::{amf0, chunk, handshake, rtmp_session};

/// A target's name, which is also its corpus's, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("amf0", amf0),
    ("chunk", chunk),
    ("codec", codec),
    ("fetch_stream", fetch_stream),
    ("flv", flv),
    ("handshake", handshake),
    ("moqt_message", moqt_message),
    ("msf_catalog", msf_catalog),
    ("rtmp_session", rtmp_session),
    ("subgroup", subgroup),
];
