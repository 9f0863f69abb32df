//! What a player is sent next. Pure: no I/O, no clock, no codec.
//!
//! A player reads one stream of bytes, so unlike a subscription it follows both tracks of a stream
//! at once, in the order in which their objects were published. When it is too far behind, both
//! go on at the newest key frame: never a hole inside a GOP, and sound and picture stay together.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::ring::{Group, Object, find};

/// Which of the two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Video,
    Audio,
}

/// The groups of both tracks, as far as the stream has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracks<'a> {
    pub(super) video: Option<&'a VecDeque<Group>>,
    pub(super) audio: Option<&'a VecDeque<Group>>,
    /// Whether nothing will be added.
    pub(super) ended: bool,
}

/// What to do next for a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing until a track changes.
    Wait,
    /// Send this object.
    Send(At),
    /// Go on at the newest key frame; this many objects are given up.
    Skip {
        /// When the key frame was complete.
        to_us: u64,
        /// Objects of both tracks.
        objects: u64,
    },
    /// Everything was sent.
    End,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) kind: Kind,
    pub(super) group: u64,
    pub(super) index: usize,
}

/// Where a player is in both tracks.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    behind_limit_us: u64,
    video: Position,
    audio: Position,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// At the newest key frame there is.
    Newest,
    /// At the first key frame, or sound, that was complete at this time or later.
    From(u64),
    /// At this object.
    At { group: u64, index: usize },
}

/// The next object of one track.
#[derive(Clone, Copy)]
struct Next {
    group: u64,
    index: usize,
    /// 0 when the ring has dropped it.
    complete_us: u64,
}

impl Cursor {
    /// A player that has been sent nothing and may fall `behind_limit_us` behind the newest object.
    pub(super) fn new(behind_limit_us: u64) -> Self {
        Self {
            behind_limit_us,
            video: Position::Newest,
            audio: Position::Newest,
        }
    }

    /// Forgets where the player was: it goes on at the newest key frame.
    pub(super) fn restart(&mut self) {
        (self.video, self.audio) = (Position::Newest, Position::Newest);
    }

    /// What to do.
    pub(super) fn next(&self, tracks: Tracks<'_>) -> Action {
        if let (Position::Newest, Position::Newest) = (self.video, self.audio) {
            return match start(tracks) {
                // Nothing is given up by beginning.
                Some(to_us) => Action::Skip { to_us, objects: 0 },
                None if tracks.ended => Action::End,
                None => Action::Wait,
            };
        }
        let (video, audio) = (self.video_next(tracks), self.audio_next(tracks));
        let (kind, next) = match (video, audio) {
            (Some(video), Some(audio)) if audio.complete_us < video.complete_us => {
                (Kind::Audio, audio)
            }
            (Some(video), _) => (Kind::Video, video),
            (None, Some(audio)) => (Kind::Audio, audio),
            (None, None) if tracks.ended => return Action::End,
            (None, None) => return Action::Wait,
        };
        let leading = match video {
            Some(_) => tracks.video,
            None => tracks.audio,
        };
        let behind_us = newest_us(tracks).saturating_sub(next.complete_us);
        let key_us = leading.and_then(newest_key_us).unwrap_or(0);
        if behind_us > self.behind_limit_us && key_us > next.complete_us {
            let given_up = |next: Option<Next>, groups: Option<&VecDeque<Group>>| {
                next.zip(groups)
                    .map_or(0, |(next, groups)| between(groups, &next, key_us))
            };
            return Action::Skip {
                to_us: key_us,
                objects: given_up(video, tracks.video) + given_up(audio, tracks.audio),
            };
        }
        Action::Send(At {
            kind,
            group: next.group,
            index: next.index,
        })
    }

    /// How far in microseconds the next object is behind the newest one; 0 when all is sent.
    pub(super) fn behind_us(&self, tracks: Tracks<'_>) -> u64 {
        let nexts = [self.video_next(tracks), self.audio_next(tracks)];
        let oldest = nexts.iter().flatten().map(|next| next.complete_us).min();
        oldest.map_or(0, |oldest_us| newest_us(tracks).saturating_sub(oldest_us))
    }

    /// The object was sent, or will be.
    pub(super) fn sent(&mut self, at: At) {
        let position = Position::At {
            group: at.group,
            index: at.index + 1,
        };
        match at.kind {
            Kind::Video => self.video = position,
            Kind::Audio => self.audio = position,
        }
    }

    /// The player goes on at the key frame that was complete at `to_us`.
    pub(super) fn skipped(&mut self, to_us: u64) {
        (self.video, self.audio) = (Position::From(to_us), Position::From(to_us));
    }

    fn video_next(&self, tracks: Tracks<'_>) -> Option<Next> {
        let groups = tracks.video?;
        match self.video {
            Position::Newest => None,
            Position::From(from_us) => {
                let mut keys = groups.iter().filter_map(|group| first_of(group, 0));
                keys.find(|next| next.complete_us >= from_us)
            }
            Position::At { group, index } => following(groups, group, index, tracks.ended),
        }
    }

    fn audio_next(&self, tracks: Tracks<'_>) -> Option<Next> {
        let groups = tracks.audio?;
        match self.audio {
            Position::Newest => None,
            Position::From(from_us) => groups.iter().find_map(|group| {
                let objects = &group.objects;
                let index = objects.partition_point(|object| object.complete_us < from_us);
                first_of(group, index)
            }),
            Position::At { group, index } => following(groups, group, index, tracks.ended),
        }
    }
}

/// When the newest key frame was complete; without a picture, the newest group of sound.
fn start(tracks: Tracks<'_>) -> Option<u64> {
    let key_us = tracks.video.and_then(newest_key_us);
    key_us.or_else(|| tracks.audio.and_then(newest_key_us))
}

fn newest_key_us(groups: &VecDeque<Group>) -> Option<u64> {
    let mut firsts = groups.iter().rev().filter_map(|group| first_of(group, 0));
    firsts.next().map(|first| first.complete_us)
}

fn newest_us(tracks: Tracks<'_>) -> u64 {
    let newest = |groups: &VecDeque<Group>| groups.back().map_or(0, Group::newest_us);
    let of = |groups: Option<&VecDeque<Group>>| groups.map_or(0, newest);
    of(tracks.video).max(of(tracks.audio))
}

/// The object at `index` of `group`, or else the first one behind that group: once it is whole and
/// the next one there, or has had [`OVERTAKEN_US`] to be.
fn following(groups: &VecDeque<Group>, group: u64, index: usize, ended: bool) -> Option<Next> {
    let Some(current) = find(groups, group) else {
        // Dropped while the player was in it: whatever comes next is far behind.
        return groups.back().map(|_| Next {
            group,
            index,
            complete_us: 0,
        });
    };
    first_of(current, index).or_else(|| {
        let newer = || groups.iter().filter(|newer| newer.id > group);
        let next = newer().filter_map(|newer| first_of(newer, 0)).next()?;
        let in_order = current.complete && next.group == group + 1;
        let newest_us = newer().map(Group::newest_us).max().unwrap_or(0);
        let waited = newest_us >= next.complete_us.saturating_add(OVERTAKEN_US);
        (in_order || waited || ended).then_some(next)
    })
}

fn first_of(group: &Group, index: usize) -> Option<Next> {
    let object: &Object = group.objects.get(index)?;
    Some(Next {
        group: group.id,
        index,
        complete_us: object.complete_us,
    })
}

/// Objects from `next` on that were complete before `to_us`.
fn between(groups: &VecDeque<Group>, next: &Next, to_us: u64) -> u64 {
    let objects = groups.iter().flat_map(|group| &group.objects);
    let given_up = objects.filter(|object| (next.complete_us..to_us).contains(&object.complete_us));
    given_up.count() as u64
}

/// How long a group that has been overtaken may hold up newer ones, in microseconds of what comes
/// behind it: publishers over MoQT send groups on streams of their own, a frame each at worst.
const OVERTAKEN_US: u64 = 250_000;
