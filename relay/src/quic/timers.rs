//! When each connection wants to be looked at again; pure.

use std::collections::BTreeSet;
use std::time::Instant;

/// The deadlines of a socket's connections, by their numbers.
///
/// A connection's deadline moves with each packet, mostly to later: its entry stays where it is
/// then, and is found to be too early when it comes up. So a packet rarely costs a change here.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Instant, usize)>,
    /// The entry of each connection; there is at most one.
    entries: Vec<Option<Instant>>,
}

impl Timers {
    /// Makes sure that the connection comes up at `deadline` or before.
    pub(super) fn schedule(&mut self, connection: usize, deadline: Instant) {
        if self.entries.len() <= connection {
            self.entries.resize(connection + 1, None);
        }
        let entry = &mut self.entries[connection];
        match *entry {
            Some(earlier) if earlier <= deadline => return,
            Some(later) => drop(self.order.remove(&(later, connection))),
            None => {}
        }
        *entry = Some(deadline);
        self.order.insert((deadline, connection));
    }

    /// Forgets a connection.
    pub(super) fn cancel(&mut self, connection: usize) {
        let entry = self.entries.get_mut(connection).and_then(Option::take);
        if let Some(deadline) = entry {
            self.order.remove(&(deadline, connection));
        }
    }

    /// Takes out a connection that has come up, which is to be scheduled again.
    pub(super) fn pop(&mut self, now: Instant) -> Option<usize> {
        let (deadline, connection) = *self.order.first()?;
        if deadline > now {
            return None;
        }
        self.order.pop_first();
        self.entries[connection] = None;
        Some(connection)
    }

    /// When the next one comes up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connections_come_up_in_order_and_once() {
        let start = tokio::time::Instant::now().into_std();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.schedule(3, at(30));
        timers.schedule(0, at(10));
        timers.schedule(1, at(20));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop(at(25))).collect();
        assert_eq!(due, [0, 1]);
        assert_eq!(timers.next(), Some(at(30)));
    }

    #[test]
    fn deadline_moves_forward_but_an_entry_is_never_later_than_asked() {
        let start = tokio::time::Instant::now().into_std();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.schedule(5, at(30));
        timers.schedule(5, at(50));
        assert_eq!(timers.next(), Some(at(30)), "later costs nothing");
        timers.schedule(5, at(10));
        assert_eq!(timers.pop(at(60)), Some(5));
        assert_eq!(timers.pop(at(60)), None, "one entry a connection");
        timers.schedule(5, at(70));
        timers.cancel(5);
        timers.cancel(6);
        assert_eq!(timers.next(), None);
    }
}
