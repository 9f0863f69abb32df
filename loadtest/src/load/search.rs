//! The search for the most viewers that a relay serves well: doubling, then halving. Pure.

/// A search under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The most viewers that were served well; 0 when none were.
    pub good: usize,
    /// The fewest that were not, when that is known.
    pub bad: Option<usize>,
    next: usize,
    max: usize,
    precision: f64,
}

impl Search {
    /// A search that begins with `first` viewers, never tries more than `max`, and ends when the
    /// answer is known to a part of `precision`.
    pub fn new(first: usize, max: usize, precision: f64) -> Self {
        Self {
            good: 0,
            bad: None,
            next: first.clamp(1, max.max(1)),
            max: max.max(1),
            precision,
        }
    }

    /// How many viewers to try next; `None` when the answer is known.
    pub fn next(&self) -> Option<usize> {
        let open = match self.bad {
            Some(bad) => bad - self.good > self.step(),
            None => self.good < self.max,
        };
        open.then_some(self.next)
    }

    /// Notes how [`next`](Self::next) went.
    pub fn on_result(&mut self, good: bool) {
        match good {
            true => self.good = self.next,
            false => self.bad = Some(self.next),
        }
        self.next = match self.bad {
            Some(bad) => self.good + (bad - self.good) / 2,
            None => self.next.saturating_mul(2).min(self.max),
        };
    }

    /// How far the two ends may lie apart.
    fn step(&self) -> usize {
        ((self.good as f64 * self.precision) as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a relay that serves `limit` viewers; the answer and how often it tried.
    fn search(first: usize, max: usize, limit: usize) -> (usize, usize) {
        let mut search = Search::new(first, max, 0.05);
        let mut tries = 0;
        while let Some(viewers) = search.next() {
            assert!(viewers <= max && tries < 50, "{search:?}");
            search.on_result(viewers <= limit);
            tries += 1;
        }
        (search.good, tries)
    }

    #[test]
    fn the_limit_is_found_to_its_precision_with_few_tries() {
        for limit in [3, 57, 100, 733, 4_999] {
            let (found, tries) = search(50, 10_000, limit);
            assert!(
                found <= limit && found as f64 >= limit as f64 * 0.94,
                "{found} of {limit}"
            );
            assert!(tries <= 14, "{tries}");
        }
    }

    #[test]
    fn a_relay_that_serves_nobody_or_everybody_ends_the_search() {
        assert_eq!(search(50, 1_000, 0).0, 0);
        assert_eq!(search(50, 1_000, 5_000).0, 1_000);
        assert_eq!(search(5_000, 1_000, 5_000), (1_000, 1));
    }
}
