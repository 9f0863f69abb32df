//! When the relay has taken its memory.

/// Whether the memory is full; it is until clearly less is in use.
#[derive(Debug)]
pub struct Memory {
    budget: u64,
    full: bool,
}

impl Memory {
    /// A budget in bytes.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            full: false,
        }
    }

    /// Takes what is in use, in bytes. Returns whether that is full.
    pub fn observe(&mut self, used: u64) -> bool {
        let percent = |share: u64| self.budget / 100 * share;
        self.full = match self.full {
            true => used > percent(CALM_PERCENT),
            false => used >= percent(FULL_PERCENT),
        };
        self.full
    }
}

/// Where the memory is full: what is there already may still grow by the windows of its viewers.
const FULL_PERCENT: u64 = 90;

/// Where it is not any more.
const CALM_PERCENT: u64 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_memory_stays_full_until_it_is_clearly_less() {
        let mut memory = Memory::new(1_000);
        let said = [899, 900, 850, 801, 800, 899].map(|used| memory.observe(used));
        assert_eq!(said, [false, true, true, true, false, false]);
        assert!(!Memory::new(u64::MAX).observe(1 << 60));
    }
}
