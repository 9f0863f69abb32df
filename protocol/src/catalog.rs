//! Catalogs: what tracks a stream has and how to decode them.
//!
//! [`msf`] is the catalog of the MOQT Streaming Format, on the track `catalog`. Other formats are
//! further modules beside it: they have their own track names and say the same about a stream.

pub mod msf;
