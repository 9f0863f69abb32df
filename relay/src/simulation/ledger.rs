//! What was published, written down by those who published it: what viewers get is held against
//! this, and never against the relay's own lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::ring::{Limits, Object, Reader, Wake};
use crate::stream::Track;

/// An object that a ring took.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) group: u64,
    pub(super) object: u64,
    payload: Bytes,
    /// Its subgroup, and its place in there.
    subgroup: u64,
    index: u64,
}

/// One track's book.
pub(super) struct Book {
    pub(super) name: &'static str,
    pub(super) track: Arc<Track>,
    /// In the order of arrival, which is the order of the ring's log.
    pub(super) entries: Vec<Entry>,
    /// Whether groups came one after the other.
    pub(super) in_order: bool,
    /// Objects that the ring had dropped before anybody could read them: several came at a time,
    /// and the last of them took the place of the first.
    pub(super) unread: u64,
    by_id: BTreeMap<(u64, u64), usize>,
    in_subgroup: BTreeMap<u64, u64>,
    reader: Reader,
}

/// All tracks by alias.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) books: BTreeMap<u64, Book>,
}

impl Ledger {
    pub(super) fn open(&mut self, name: &'static str, track: &Arc<Track>) {
        self.books.entry(track.alias).or_insert_with(|| Book {
            name,
            track: Arc::clone(track),
            entries: Vec::new(),
            in_order: true,
            unread: 0,
            by_id: BTreeMap::new(),
            in_subgroup: BTreeMap::new(),
            reader: Reader::new(Arc::clone(&track.ring), Arc::new(Wake::default())),
        });
    }

    /// A ring has taken an object of that subgroup; `subgroup` tells it from all others.
    pub(super) fn on_pushed(&mut self, alias: u64, group: u64, subgroup: u64, object: &Object) {
        let Some(book) = self.books.get_mut(&alias) else {
            panic!("a track without a book");
        };
        let next = book.in_subgroup.entry(subgroup).or_default();
        let index = *next;
        *next += 1;
        let place = book.entries.len();
        let newest = book.entries.last().map_or(0, |newest| newest.group);
        book.in_order &= group >= newest;
        let known = book.by_id.insert((group, object.id), place);
        assert!(known.is_none(), "{group}/{} twice", object.id);
        book.entries.push(Entry {
            group,
            object: object.id,
            payload: object.payload(),
            subgroup,
            index,
        });
    }

    /// Holds what a viewer got against the books: the object is one that was published, and
    /// follows `before`, the one in front of it on its stream. Without one it is the first of its
    /// subgroup, or those in front of it are before `start`, if that is known.
    pub(super) fn check(
        &self,
        alias: u64,
        (group, object): (u64, u64),
        payload: &[u8],
        before: Option<u64>,
        start: Option<(u64, u64)>,
    ) {
        let book = &self.books[&alias];
        let find = |object: u64| {
            let place = book.by_id.get(&(group, object));
            place.map(|place| &book.entries[*place])
        };
        let Some(entry) = find(object) else {
            panic!("{}: {group}/{object} was never published", book.name);
        };
        assert_eq!(entry.payload, payload, "{}: {group}/{object}", book.name);
        if let Some(before) = before {
            let Some(last) = find(before) else {
                panic!("{group}/{before} was never published");
            };
            let follows = last.subgroup == entry.subgroup && last.index + 1 == entry.index;
            assert!(follows, "a hole in {group} between {before} and {object}");
            return;
        }
        let Some(start) = start else { return };
        let missed = book
            .entries
            .iter()
            .filter(|other| other.subgroup == entry.subgroup && other.index < entry.index);
        for missed in missed {
            let missed = (missed.group, missed.object);
            assert!(
                missed < start,
                "{}: {missed:?} is missing in front of {object}",
                book.name
            );
        }
    }

    /// What every ring promises whoever reads it. Returns the bytes that all of them keep.
    pub(super) fn check_rings(&mut self, limits: &Limits) -> usize {
        let books = self.books.values_mut();
        books
            .map(|book| {
                book.check_ring(limits);
                book.track.ring.bytes()
            })
            .sum()
    }
}

impl Book {
    fn check_ring(&mut self, limits: &Limits) {
        let known = self.reader.mirror().end();
        self.reader.sync();
        let mirror = self.reader.mirror();
        let kept = |at: &u64| mirror.entry(*at).and_then(|entry| mirror.object(entry));
        let unread = (known..mirror.end()).filter(|at| kept(at).is_none());
        self.unread += unread.count() as u64;
        assert_eq!(mirror.end(), self.entries.len() as u64, "the log's end");
        let groups = mirror.groups();
        assert!(groups.iter().is_sorted_by(|a, b| a.id < b.id));
        // The newest is always whole, and there is one more that is being begun or was left.
        let bound = limits.cache_bytes + 2 * limits.group_bytes;
        let bytes = self.track.ring.bytes();
        assert!(bytes <= bound, "{}: {bytes} bytes of {bound}", self.name);
        assert!(groups.len() <= limits.groups + 1, "{} groups", groups.len());
        let objects: usize = groups.iter().map(|group| group.objects.len()).sum();
        let log = mirror.end() - mirror.first();
        assert!(objects as u64 <= log, "{objects} objects, {log} in the log");
        if let Some(newest) = groups.back() {
            let published = self.by_id.range((newest.id, 0)..=(newest.id, u64::MAX));
            assert_eq!(newest.objects.len(), published.count(), "the newest group");
        }
    }

    /// Entries in the ring's log.
    pub(super) fn log_len(&self) -> u64 {
        let mirror = self.reader.mirror();
        mirror.end() - mirror.first()
    }

    /// Where a viewer begins who wants nothing before `start`: the position in the log, and the
    /// first object of what the ring still has.
    pub(super) fn begin(&mut self, start: (u64, u64)) -> (u64, (u64, u64)) {
        self.reader.sync();
        let mirror = self.reader.mirror();
        let start = start.max((mirror.dropped(), 0));
        (mirror.first_from(start.0), start)
    }
}
