//! The aliases by which a session's subscriptions are told apart.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::stream::{Track, next_alias};

/// The tracks whose own alias the session has been told.
///
/// A peer may subscribe to a track again, and the streams of its former subscription may still be
/// under way: moq-relay does so within a millisecond, and took their resets for those of the new
/// one. So the first subscription to a track has the track's alias, and each later one an alias
/// that nothing had before. Drafts allow one alias for all of a track's subscriptions and do not
/// ask for it.
#[derive(Debug, Default)]
pub(super) struct Aliases(Mutex<HashSet<u64>>);

impl Aliases {
    /// An alias for a subscription to the track.
    pub(super) fn of(&self, track: &Track) -> u64 {
        self.fresh(track.alias)
    }

    fn fresh(&self, own: u64) -> u64 {
        let mut told = self.0.lock();
        match told.len() < TOLD_MAX && told.insert(own) {
            true => own,
            false => next_alias(),
        }
    }
}

/// Tracks that are remembered: more than a session has at a time. Beyond, every subscription has an
/// alias of its own, which costs a copy of each datagram.
const TOLD_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_to_a_track_are_told_apart() {
        let aliases = Aliases::default();
        let track = next_alias();
        assert_eq!(aliases.fresh(track), track);
        let (second, third) = (aliases.fresh(track), aliases.fresh(track));
        assert!(second != track && third != track && second != third);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_aliases_stay_apart() {
        let aliases = Aliases::default();
        let tracks: Vec<u64> = (0..TOLD_MAX).map(|_| next_alias()).collect();
        assert!(tracks.iter().all(|track| aliases.fresh(*track) == *track));
        let beyond = next_alias();
        assert_ne!(aliases.fresh(beyond), beyond);
        assert_eq!(aliases.0.lock().len(), TOLD_MAX);
    }
}
