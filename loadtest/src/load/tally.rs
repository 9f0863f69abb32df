//! What a viewer received, frame by frame; pure.

use std::ops::Range;

use super::media::Kind;

/// The highest frame number that is believed: four days at 30 frames/s, 1.3 MB of memory a viewer.
const MAX_INDEX: u64 = 10_000_000;

/// What one viewer received.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    video: Received,
    audio: Received,
    /// Frames whose bytes were not those that were sent, or that belong to another stream.
    pub(super) corrupt: u64,
    /// Frames received again.
    pub(super) duplicates: u64,
    /// Objects that came behind a later one of their stream.
    pub(super) misordered: u64,
    /// Places in a stream where object ids are missing.
    pub(super) gaps: u64,
    /// Streams that ended other than by their end: reset, or cut inside an object.
    pub(super) streams_broken: u64,
    /// Frames that were due inside the window, and those of them that came later than a viewer
    /// may get them who is kept.
    pub(super) due: u64,
    pub(super) late: u64,
    /// From the start of the connection to the first whole frame.
    pub(super) first_frame_us: Option<u64>,
}

/// The frames of one track.
#[derive(Clone, Debug, Default)]
struct Received {
    /// A bit a frame.
    frames: Vec<u64>,
    /// The group that the viewer joined: its first objects may be missing, since a subscription
    /// begins with what is published after it.
    joined_group: Option<u64>,
}

impl Tally {
    fn track(&self, kind: Kind) -> &Received {
        match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        }
    }

    fn track_mut(&mut self, kind: Kind) -> &mut Received {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    /// Notes frame `index` of a track.
    pub(super) fn on_frame(&mut self, kind: Kind, index: u64) {
        if index > MAX_INDEX {
            self.corrupt += 1;
            return;
        }
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        let frames = &mut self.track_mut(kind).frames;
        if frames.len() <= word {
            frames.resize(word + 1, 0);
        }
        if let Some(word) = frames.get_mut(word) {
            let again = *word & bit != 0;
            *word |= bit;
            self.duplicates += u64::from(again);
        }
    }

    /// Notes a frame that was due inside the window and came so much later.
    pub(super) fn on_due(&mut self, late_us: u64, bound_us: u64) {
        self.due += 1;
        self.late += u64::from(late_us > bound_us);
    }

    /// Whether a viewer was kept that misses `missing` of the `sent` frames of the window: it has
    /// 99 of 100, and 99 of 100 of these came in time.
    pub(super) fn is_kept(&self, missing: u64, sent: u64) -> bool {
        sent > 0 && missing * 100 <= sent && self.late * 100 <= self.due
    }

    /// How many frames of `range` of a track were not received.
    pub(super) fn missing(&self, kind: Kind, range: Range<u64>) -> u64 {
        let track = self.track(kind);
        range.filter(|index| !track.has(*index)).count() as u64
    }
}

impl Received {
    fn has(&self, index: u64) -> bool {
        let word = self.frames.get((index / 64) as usize);
        word.is_some_and(|word| word & 1 << (index % 64) != 0)
    }
}

/// The order of the objects of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamOrder {
    group: u64,
    /// Object id and frame number of the last object.
    last: Option<(u64, u64)>,
}

impl StreamOrder {
    /// A stream of which only the header has arrived.
    pub(super) fn new(group: u64) -> Self {
        Self { group, last: None }
    }

    /// Notes the stream's next object, which is frame `index` of a track.
    pub(super) fn on_object(&mut self, kind: Kind, id: u64, index: u64, tally: &mut Tally) {
        let track = tally.track_mut(kind);
        let joined = *track.joined_group.get_or_insert(self.group);
        match self.last.replace((id, index)) {
            Some((last_id, last_index)) => {
                tally.misordered += u64::from(index <= last_index);
                tally.gaps += u64::from(id != last_id + 1);
            }
            None => tally.gaps += u64::from(id != 0 && self.group > joined),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: Kind = Kind::Video;

    #[test]
    fn missing_frames_are_counted_within_the_range_only() {
        let mut tally = Tally::default();
        for index in [3, 4, 6, 70, 4] {
            tally.on_frame(VIDEO, index);
        }
        assert_eq!(tally.missing(VIDEO, 3..7), 1);
        assert_eq!(tally.missing(VIDEO, 0..3), 3);
        assert_eq!(tally.missing(VIDEO, 60..80), 19);
        assert_eq!(tally.missing(VIDEO, 1_000..1_002), 2);
        assert_eq!(tally.missing(Kind::Audio, 3..7), 4);
        assert_eq!((tally.duplicates, tally.corrupt), (1, 0));
        tally.on_frame(VIDEO, u64::MAX);
        assert_eq!(tally.corrupt, 1);
    }

    #[test]
    fn a_viewer_is_kept_as_long_as_one_of_a_hundred_is_missing_or_late() {
        let mut tally = Tally::default();
        assert!(!tally.is_kept(0, 0), "nothing was sent");
        for nth in 0..100 {
            tally.on_due(if nth < 1 { 501 } else { 500 }, 500);
        }
        assert!(tally.is_kept(1, 100));
        assert!(!tally.is_kept(2, 100));
        tally.on_due(501, 500);
        assert!(!tally.is_kept(0, 101), "two are late");
    }

    #[test]
    fn gaps_and_disorder_of_a_stream_are_told_apart() {
        let mut tally = Tally::default();
        let mut order = StreamOrder::new(8);
        for (id, index) in [(0, 60), (1, 61), (3, 63), (4, 62)] {
            order.on_object(VIDEO, id, index, &mut tally);
        }
        assert_eq!((tally.gaps, tally.misordered), (1, 1));
    }

    #[test]
    fn only_the_group_that_was_joined_may_begin_in_its_middle() {
        let mut tally = Tally::default();
        for (group, id, gaps) in [(8, 5, 0), (9, 0, 0), (7, 59, 0), (10, 1, 1)] {
            StreamOrder::new(group).on_object(VIDEO, id, 60 * group + id, &mut tally);
            assert_eq!(tally.gaps, gaps, "group {group}");
        }
        StreamOrder::new(30).on_object(Kind::Audio, 3, 9, &mut tally);
        assert_eq!(tally.gaps, 1, "another track is joined elsewhere");
    }
}
