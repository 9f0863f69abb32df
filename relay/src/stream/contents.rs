//! What a stream's tracks carry, as the publisher or its catalog says.

use super::Stream;
use crate::stats::Kind;
use crate::stats::snapshot::TrackSnapshot;

impl Stream {
    /// The tracks as described by their publisher.
    pub fn described_tracks(&self) -> Vec<(Kind, TrackSnapshot)> {
        self.state.lock().described.clone()
    }

    /// What the media track of that name carries, if it is the one of its kind that is measured:
    /// the first. None while nothing is known of the stream's tracks.
    pub fn measured_kind(&self, name: &[u8]) -> Option<Option<Kind>> {
        let state = self.state.lock();
        let described = &state.described;
        let first = |wanted| described.iter().find(|(kind, _)| *kind == wanted);
        let kinds = [Kind::Video, Kind::Audio].into_iter();
        let mut measured = kinds.filter_map(first);
        let measured = measured.find(|(_, track)| track.name.as_bytes() == name);
        (!described.is_empty()).then(|| measured.map(|(kind, _)| *kind))
    }

    /// Says what the tracks carry, for the API.
    pub fn describe(&self, tracks: Vec<(Kind, TrackSnapshot)>) {
        self.state.lock().described = tracks;
    }
}
