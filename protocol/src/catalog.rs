//! Catalogs: what tracks a stream has and how to decode them.
//!
//! [`msf`] is the catalog of the MOQT Streaming Format, on the track `catalog`; [`hang`] the one of
//! moq-dev's players. Other formats are further modules beside them: they have their own track
//! names and say the same about a stream.

pub mod hang;
pub mod msf;

/// Whether a track of that name carries a catalog, of whatever format: one whose newest group is
/// all that there is to know.
pub fn is_track_name(name: &[u8]) -> bool {
    TRACK_NAMES.iter().any(|known| known.as_bytes() == name)
}

/// MSF's, hang's and MediaMTX's.
const TRACK_NAMES: [&str; 3] = [msf::TRACK_NAME, hang::TRACK_NAME, ".catalog"];
