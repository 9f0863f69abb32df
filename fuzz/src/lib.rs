//! The bodies of the fuzz targets, so that tests can replay the corpora.
//!
//! A target is a function of bytes that panics when something is wrong. Most compare two ways that
//! must agree, because a parser that never panics can still be wrong.

mod choices;
mod codec;
mod commands;
mod flv;
mod moqt;
mod relay;
mod rtmp;
mod session;

pub use codec::codec;
pub use commands::{command, rtmp_client, rtmp_operations};
pub use flv::flv;
pub use moqt::{fetch_stream, moqt_message, msf_catalog, subgroup};
pub use relay::{claims, config, credentials, key_set, report, webhook};
pub use rtmp::{amf0, chunk, handshake, rtmp_session};
pub use session::{datagram, hang_catalog, moqt_requests, name, vi64};

/// A target's name, which is also its corpus's, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("amf0", amf0),
    ("chunk", chunk),
    ("claims", claims),
    ("codec", codec),
    ("command", command),
    ("config", config),
    ("credentials", credentials),
    ("datagram", datagram),
    ("fetch_stream", fetch_stream),
    ("flv", flv),
    ("handshake", handshake),
    ("hang_catalog", hang_catalog),
    ("key_set", key_set),
    ("moqt_message", moqt_message),
    ("moqt_requests", moqt_requests),
    ("msf_catalog", msf_catalog),
    ("name", name),
    ("report", report),
    ("rtmp_client", rtmp_client),
    ("rtmp_operations", rtmp_operations),
    ("rtmp_session", rtmp_session),
    ("subgroup", subgroup),
    ("vi64", vi64),
    ("webhook", webhook),
];
