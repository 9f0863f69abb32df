//! What happened, for people: bounded logs of a stream and of the relay; pure.
//!
//! Viewers come and go more often than publishers do, so they have a ring of their own: a crowd
//! that leaves does not push out the line that says why.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Lines of each of a log's two rings: an evening's comings and goings of one stream.
const MAX_LINES: usize = 128;

/// Characters of a line's parts: they hold addresses, names and reasons of strangers.
const MAX_CHARS: usize = 240;

/// The same thing again within this time is counted in the line that is there, in milliseconds.
const REPEAT_MS: u64 = 10_000;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A publisher began the stream.
    PublisherConnected,
    /// The publisher is gone; the stream lingers.
    PublisherGone,
    /// A publisher came within the linger time.
    PublisherReturned,
    /// A publisher came while another was connected, and took its place.
    PublisherTookOver,
    /// Somebody was turned away; the detail has the reason.
    Refused,
    /// The stream is over.
    StreamEnded,
    /// A viewer came.
    ViewerJoined,
    /// A viewer left.
    ViewerLeft,
    /// Viewers were taken to the newest key frame; the count is of objects that they did not get.
    Skipped,
    /// Something is wrong that the streamer can put right.
    WarningRaised,
    /// It is right again.
    WarningCleared,
}

impl EventKind {
    fn is_of_viewers(self) -> bool {
        matches!(self, Self::ViewerJoined | Self::ViewerLeft)
    }
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Unix time in milliseconds; of the last time when it happened more than once.
    pub at_ms: u64,
    /// What happened.
    pub kind: EventKind,
    /// The stream's public name; empty when it is about none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// Whom it is about: an address, or a warning's code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// More for people, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How often; for [`EventKind::Skipped`] how many objects.
    pub count: u64,
}

impl Event {
    /// Something that happened once, about nothing yet.
    pub fn new(kind: EventKind, at_ms: u64) -> Self {
        Self {
            at_ms,
            kind,
            stream: String::new(),
            who: String::new(),
            detail: String::new(),
            count: 1,
        }
    }

    /// Says whom it is about.
    #[must_use]
    pub fn who(mut self, who: impl Into<String>) -> Self {
        self.who = who.into();
        self
    }

    /// Says about which stream.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = stream.into();
        self
    }

    /// Says more.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Says how often.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    fn repeats(&self, other: &Self) -> bool {
        let same = |event: &Self| (event.kind, event.stream.clone(), event.who.clone());
        self.at_ms.saturating_sub(other.at_ms) <= REPEAT_MS
            && same(self) == same(other)
            && self.detail == other.detail
    }
}

/// A bounded log.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    lines: VecDeque<Event>,
    viewers: VecDeque<Event>,
}

impl EventLog {
    /// Adds a line, or counts it in the newest when that says the same.
    pub fn push(&mut self, mut event: Event) {
        for text in [&mut event.stream, &mut event.who, &mut event.detail] {
            *text = shown(text);
        }
        let ring = match event.kind.is_of_viewers() {
            true => &mut self.viewers,
            false => &mut self.lines,
        };
        if let Some(newest) = ring.back_mut()
            && event.repeats(newest)
        {
            newest.count = newest.count.saturating_add(event.count);
            newest.at_ms = event.at_ms;
            return;
        }
        if ring.len() >= MAX_LINES {
            ring.pop_front();
        }
        ring.push_back(event);
    }

    /// Every line, the newest first.
    pub fn newest_first(&self) -> Vec<Event> {
        let mut all: Vec<_> = self.lines.iter().chain(&self.viewers).cloned().collect();
        // Stable: what happened in the same millisecond stays in order once it is reversed.
        all.sort_by_key(|event| event.at_ms);
        all.reverse();
        all
    }
}

/// A stranger's word, fit for a terminal and a page.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(at_ms: u64) -> Event {
        Event::new(EventKind::ViewerJoined, at_ms).who(format!("viewer {at_ms}"))
    }

    #[test]
    fn a_crowd_of_viewers_does_not_push_out_the_publisher() {
        let mut log = EventLog::default();
        log.push(Event::new(EventKind::PublisherConnected, 1).stream("live/cam"));
        for at in 2..10_000 {
            log.push(joined(at));
        }
        let lines = log.newest_first();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[0].at_ms, 9_999);
        assert_eq!(lines[MAX_LINES].kind, EventKind::PublisherConnected);
    }

    #[test]
    fn what_repeats_is_counted_in_one_line() {
        let mut log = EventLog::default();
        let refused = |at| {
            Event::new(EventKind::Refused, at)
                .who("1.2.3.4")
                .detail("no key")
        };
        for at in [0, 9_000, 18_000] {
            log.push(refused(at));
        }
        log.push(refused(40_000));
        log.push(refused(40_001).detail("another reason"));
        let lines = log.newest_first();
        let counts: Vec<_> = lines.iter().map(|line| (line.at_ms, line.count)).collect();
        assert_eq!(counts, [(40_001, 1), (40_000, 1), (18_000, 3)]);
    }

    #[test]
    fn a_strangers_words_are_cut_and_cleaned() {
        let mut log = EventLog::default();
        let word = format!("\u{1b}[31m{}", "x".repeat(10_000));
        log.push(Event::new(EventKind::Refused, 0).detail(word));
        let detail = &log.newest_first()[0].detail;
        assert_eq!(detail.chars().count(), MAX_CHARS);
        assert!(detail.starts_with("[31mx"));
    }

    #[test]
    fn lines_are_json_with_what_there_is() {
        let event = Event::new(EventKind::PublisherTookOver, 5).who("a");
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"at_ms":5,"kind":"publisher_took_over","who":"a","count":1}"#
        );
    }
}
