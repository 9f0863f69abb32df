//! What to send to one viewer next. Pure: no I/O, no clock, no codec.
//!
//! A subscription is a position in the log of what arrived on the track. What it does not want is
//! passed over: objects before its start, after its end, or of groups that it has given up.
//!
//! ```text
//!            Write ──────────────► wrote: on to the next position
//!   next ──┬─Skip ───────────────► skipped: nothing older than that group is wanted any more
//!          ├─Wait, until the ring changes
//!          └─End
//! ```
//!
//! [`Subscription::next`] looks at the reader's mirror and says what to do; the sender does it and
//! confirms with [`wrote`](Subscription::wrote) or [`skipped`](Subscription::skipped). What was not
//! confirmed did not happen, so a blocked stream needs no undo. When a subgroup's stream ends is
//! the sender's to see ([`Subgroup::end_at`](crate::ring::Subgroup::end_at)).
//!
//! There is never a hole inside a group: a viewer that is too far behind has the streams of its
//! groups reset and goes on at the newest group.

#[cfg(test)]
mod tests;

use weir_protocol::moqt::Location;

use crate::ring::{Entry, Mirror};

/// What a viewer asked for and what it is granted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The first object to send.
    pub start: Location,
    /// The last object to send, inclusive; without it the subscription ends with the track.
    pub end: Option<Location>,
    /// Whether a subscription whose range is over waits for another one instead of ending, as in
    /// drafts since 20.
    pub waits_at_end: bool,
    /// Whether objects are sent at all (MoQT's FORWARD).
    pub forward: bool,
    /// How far in microseconds the next object to send may be behind the newest one before the
    /// subscription gives up its group for the newest.
    pub behind_limit_us: u64,
}

/// What to do next for a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the ring changes.
    Wait,
    /// Write the object of this entry, and if they fit those that follow it in the log and are
    /// [wanted](Subscription::wants), as long as they are of the same subgroup.
    Write(Entry),
    /// Reset the open streams of older groups, and go on at `group`.
    Skip {
        /// The newest group.
        group: u64,
        /// Objects that the viewer will not get on this subscription.
        objects: u64,
    },
    /// Everything was sent.
    End(End),
}

/// Why a subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The track ended.
    Track,
    /// The last object that the viewer asked for was sent.
    Range,
}

/// The state of one viewer's subscription to one track.
#[derive(Clone, Debug)]
pub struct Subscription {
    options: Options,
    /// Where in the log the next object is looked for; none before the first look.
    position: Option<u64>,
    /// Objects before this location are not wanted.
    floor: Location,
    /// What is passed over from this position on was not counted when its group was given up.
    counted: u64,
    /// Objects that came for groups that were given up, since they were last asked for.
    late: u64,
}

impl Subscription {
    /// A subscription that has sent nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            position: None,
            floor: options.start,
            counted: 0,
            late: 0,
        }
    }

    /// The position in the log of the next object to send.
    pub fn position(&self) -> u64 {
        self.position.unwrap_or(0)
    }

    /// Whether an object is one that the viewer is to get.
    pub fn wants(&self, group: u64, object: u64) -> bool {
        let location = Location { group, object };
        location >= self.floor && self.options.end.is_none_or(|end| location <= end)
    }

    /// What to do, given what the reader sees of the track.
    pub fn next(&mut self, mirror: &Mirror) -> Action {
        if !self.options.forward {
            return match mirror.is_ended() {
                true => Action::End(End::Track),
                false => Action::Wait,
            };
        }
        let newest = mirror.newest();
        let mut position = match self.position {
            Some(position) => position,
            None => self.begin(mirror),
        };
        if position < mirror.first() {
            // The ring dropped what was to be sent.
            if self.position.is_some() && newest > self.floor.group {
                let dropped = mirror.first() - position;
                self.position = Some(mirror.first());
                return self.skip(mirror, newest, dropped);
            }
            position = mirror.first();
        }
        while let Some(entry) = mirror.entry(position) {
            if self.wants_entry(mirror, entry) {
                self.position = Some(position);
                // Without an object the ring dropped it: its group came late, and lay in the log
                // behind newer ones that are kept.
                let Some(object) = mirror.object(entry) else {
                    return self.skip(mirror, newest, 0);
                };
                return match self.too_far(mirror, entry.group, object.complete_us) {
                    Some(newest) => self.skip(mirror, newest, 0),
                    None => Action::Write(entry),
                };
            }
            self.late += u64::from(position >= self.counted && self.is_late(mirror, entry));
            position += 1;
        }
        self.position = Some(position);
        if !self.options.waits_at_end && self.is_range_over(mirror) {
            return Action::End(End::Range);
        }
        match mirror.is_ended() {
            true => Action::End(End::Track),
            false => Action::Wait,
        }
    }

    /// Whether an object that is passed over is one that the viewer asked for.
    fn is_late(&self, mirror: &Mirror, entry: Entry) -> bool {
        let object = mirror.object(entry).map(|object| Location {
            group: entry.group,
            object: object.id,
        });
        let asked = |at: &Location| {
            let ends = self.options.end.is_none_or(|end| *at <= end);
            (self.options.start..self.floor).contains(at) && ends
        };
        object.is_some_and(|at| asked(&at))
    }

    /// Objects that came for groups which the viewer had given up, and that it did not get, since
    /// this was asked last.
    pub fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    /// The position of a viewer that has not been sent anything. What the ring has dropped by then
    /// was never there for it.
    fn begin(&mut self, mirror: &Mirror) -> u64 {
        self.skipped(mirror.dropped());
        mirror.first_from(self.floor.group)
    }

    /// Whether an entry is one that the viewer is to get. Of one that was dropped only the group
    /// is known.
    fn wants_entry(&self, mirror: &Mirror, entry: Entry) -> bool {
        match mirror.object(entry) {
            Some(object) => self.wants(entry.group, object.id),
            // One that is newer than all that are kept was dropped out of its turn.
            None => {
                let end = self.options.end;
                let before_end = end.is_none_or(|end| entry.group <= end.group);
                (self.floor.group..mirror.newest()).contains(&entry.group) && before_end
            }
        }
    }

    /// Whether no object can come any more that is within the range.
    fn is_range_over(&self, mirror: &Mirror) -> bool {
        let Some(end) = self.options.end.map(|end| end.group) else {
            return false;
        };
        let mut wanted = mirror.groups().iter().rev();
        let wanted = wanted.by_ref().skip_while(|group| group.id > end);
        let newest = mirror.groups().back();
        let reached = newest.is_some_and(|newest| newest.id >= end);
        let mut wanted = wanted.take_while(|group| group.id >= self.floor.group);
        self.floor.group > end || reached && wanted.all(|group| group.complete)
    }

    /// `dropped` objects are not in the log any more: what they were is not known, but that they
    /// came behind what was sent.
    fn skip(&mut self, mirror: &Mirror, newest: u64, dropped: u64) -> Action {
        self.counted = mirror.end();
        let rest = (self.position()..mirror.end()).filter_map(|at| mirror.entry(at));
        let missed = rest.filter(|entry| entry.group < newest && self.wants_entry(mirror, *entry));
        Action::Skip {
            group: newest,
            objects: dropped + missed.count() as u64,
        }
    }

    /// The newest group, when the object that was complete at `complete_us` in group `id` is
    /// further behind the newest object than the limit, and there is a newer group to go to.
    fn too_far(&self, mirror: &Mirror, id: u64, complete_us: u64) -> Option<u64> {
        let newest = mirror.groups().back()?;
        let behind_us = newest.newest_us().saturating_sub(complete_us);
        let in_range = self.options.end.is_none_or(|end| newest.id <= end.group);
        (newest.id > id && in_range && behind_us > self.options.behind_limit_us)
            .then_some(newest.id)
    }

    /// How far in microseconds the next object to write is behind the newest one; 0 when all is
    /// written.
    pub fn behind_us(&self, mirror: &Mirror) -> u64 {
        let next = self.position.and_then(|position| mirror.entry(position));
        let next = next.and_then(|entry| mirror.object(entry));
        let newest_us = mirror
            .groups()
            .back()
            .map_or(0, |newest| newest.newest_us());
        next.map_or(0, |next| newest_us.saturating_sub(next.complete_us))
    }

    /// `objects` more objects of the log were accepted by their stream, or refused by the viewer.
    pub fn wrote(&mut self, objects: usize) {
        if let Some(position) = &mut self.position {
            *position += objects as u64;
        }
    }

    /// The streams of older groups were reset, and the viewer goes on at `group`.
    pub fn skipped(&mut self, group: u64) {
        self.floor = self.floor.max(Location { group, object: 0 });
    }

    /// Applies a REQUEST_UPDATE: forwarding switched, or another start or end. A pause or another
    /// start gives up what is open, whose streams the caller resets.
    pub fn update(&mut self, forward: bool, restart: Option<Location>, end: Option<Location>) {
        if let Some(start) = restart {
            self.floor = start;
            self.options.start = start;
            self.position = None;
        }
        self.options.forward = forward;
        self.options.end = end;
    }
}
