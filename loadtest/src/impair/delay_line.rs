//! Things on their way, ordered by the time at which they arrive.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Holds items until their time. Items of one time leave in the order in which they came.
#[derive(Debug)]
pub(super) struct DelayLine<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next_sequence: u64,
    capacity: usize,
}

impl<T> DelayLine<T> {
    /// A line that holds at most `capacity` items.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            next_sequence: 0,
            capacity,
        }
    }

    /// Adds an item that arrives at `at_us`. Returns `false`, dropping it, when the line is full.
    #[must_use]
    pub(super) fn push(&mut self, at_us: u64, item: T) -> bool {
        if self.heap.len() >= self.capacity {
            return false;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.heap.push(Reverse(Entry {
            at_us,
            sequence,
            item,
        }));
        true
    }

    /// The next item that has arrived by `now_us`.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<T> {
        if self.next_due_us()? > now_us {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.item)
    }

    /// When the next item arrives.
    pub(super) fn next_due_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at_us)
    }
}

#[derive(Debug)]
struct Entry<T> {
    at_us: u64,
    sequence: u64,
    item: T,
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.sequence).cmp(&(other.at_us, other.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_by_time_and_then_by_arrival() {
        let mut line = DelayLine::new(8);
        for (at_us, item) in [(30, 'd'), (10, 'a'), (20, 'b'), (20, 'c')] {
            assert!(line.push(at_us, item));
        }
        assert_eq!(line.pop_due(9), None);
        assert_eq!(line.next_due_us(), Some(10));
        let out: String = std::iter::from_fn(|| line.pop_due(29)).collect();
        assert_eq!(out, "abc");
        assert_eq!(line.pop_due(30), Some('d'));
        assert_eq!(line.next_due_us(), None);
    }

    #[test]
    fn a_full_line_refuses() {
        let mut line = DelayLine::new(1);
        assert!(line.push(1, ()));
        assert!(!line.push(0, ()));
    }
}
