//! How late a shard's viewers are looked at: what an overload is to them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a shard's pumps say of it; added to by pumps, taken by who measures the shard.
#[derive(Debug, Default)]
pub struct Lateness {
    waited_us: AtomicU64,
    looks: AtomicU64,
}

impl Lateness {
    fn add(&self, waited_us: u64, looks: u64) {
        self.waited_us.fetch_add(waited_us, Ordering::Relaxed);
        self.looks.fetch_add(looks, Ordering::Relaxed);
    }

    /// How long viewers waited to be looked at, in microseconds and all together, and how many
    /// did, since this was last asked.
    pub fn take(&self) -> (u64, u64) {
        let waited_us = self.waited_us.swap(0, Ordering::Relaxed);
        (waited_us, self.looks.swap(0, Ordering::Relaxed))
    }
}

/// The rounds that a pump makes of its viewers.
///
/// News that comes while the pump is on its way is for everybody: those whom it has passed hear it
/// in the next round, and have waited since it came.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Viewers who have not been looked at in this round.
    left: usize,
    /// When the oldest news came that they have not heard.
    since_us: u64,
    /// The same for those who have been.
    next_us: Option<u64>,
}

impl Rounds {
    /// There is news.
    pub(super) fn on_news(&mut self, now_us: u64) {
        self.next_us.get_or_insert(now_us);
    }

    /// Everybody has heard everything.
    pub(super) fn on_rest(&mut self) {
        *self = Self::default();
    }

    /// So many of `viewers` were looked at.
    pub(super) fn on_looks(
        &mut self,
        looks: usize,
        viewers: usize,
        now_us: u64,
        lateness: &Lateness,
    ) {
        let looks = looks as u64;
        if looks == 0 {
            return;
        }
        if self.left == 0 {
            self.left = viewers;
            self.since_us = self.next_us.take().unwrap_or(now_us);
        }
        let waited_us = now_us.saturating_sub(self.since_us);
        lateness.add(waited_us.saturating_mul(looks), looks);
        self.left = self.left.saturating_sub(looks as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_waited_since_the_news_came() {
        let (mut rounds, lateness) = (Rounds::default(), Lateness::default());
        rounds.on_news(1_000);
        rounds.on_looks(8, 16, 1_100, &lateness);
        rounds.on_looks(8, 16, 1_300, &lateness);
        assert_eq!(lateness.take(), (8 * 100 + 8 * 300, 16));
        rounds.on_news(9_000);
        rounds.on_looks(8, 16, 9_050, &lateness);
        assert_eq!(lateness.take(), (8 * 50, 8));
        assert_eq!(lateness.take(), (0, 0));
    }

    #[test]
    fn news_on_the_way_is_old_when_the_next_round_tells_it() {
        let (mut rounds, lateness) = (Rounds::default(), Lateness::default());
        rounds.on_news(1_000);
        rounds.on_looks(8, 16, 2_000, &lateness);
        rounds.on_news(2_500);
        rounds.on_news(2_900);
        rounds.on_looks(8, 16, 3_000, &lateness);
        lateness.take();
        rounds.on_looks(8, 16, 4_000, &lateness);
        rounds.on_looks(8, 16, 5_000, &lateness);
        assert_eq!(lateness.take(), (8 * 1_500 + 8 * 2_500, 16));
    }

    #[test]
    fn a_rest_ends_a_round_that_some_have_left() {
        let (mut rounds, lateness) = (Rounds::default(), Lateness::default());
        rounds.on_news(1_000);
        rounds.on_looks(3, 16, 1_010, &lateness);
        rounds.on_rest();
        rounds.on_news(9_000_000);
        rounds.on_looks(3, 3, 9_000_010, &lateness);
        assert_eq!(lateness.take(), (60, 6));
    }
}
