//! The bodies of the fuzz targets, so that tests can replay the corpora.

mod codec;
mod flv;

pub use codec::codec;
pub use flv::flv;

/// A target's name, which is also its corpus's, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[("codec", codec), ("flv", flv)];
