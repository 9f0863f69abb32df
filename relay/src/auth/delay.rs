//! How long somebody who was turned away waits for the answer when it comes again at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Refusals by address. Encoders ask again as soon as they are refused, some several times a
/// second and for days; the wait grows with each refusal and is forgotten after a while.
#[derive(Debug, Default)]
pub struct Delays {
    refused: HashMap<IpAddr, Refused>,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    count: u32,
    newest_us: u64,
}

impl Delays {
    /// Counts a refusal at `now_us`. How long its answer is to be held back: the first two of an
    /// address not at all, as people mistype.
    pub fn on_refused(&mut self, addr: IpAddr, now_us: u64) -> Duration {
        let recent = |refused: &Refused| now_us.saturating_sub(refused.newest_us) < FORGET_US;
        if self.refused.len() >= ADDRESSES_MAX {
            self.refused.retain(|_, refused| recent(refused));
        }
        if self.refused.len() >= ADDRESSES_MAX && !self.refused.contains_key(&addr) {
            // So many at a time are an attack: nobody's answer is hurried.
            return DELAY_MAX;
        }
        let refused = self.refused.entry(addr).or_insert(Refused {
            count: 0,
            newest_us: now_us,
        });
        if !recent(refused) {
            refused.count = 0;
        }
        refused.count = refused.count.saturating_add(1);
        refused.newest_us = now_us;
        match refused.count.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(repeated) => DELAY_MAX.min(DELAY * (1 << repeated.min(8) >> 1)),
        }
    }
}

/// Refusals of an address that are answered at once.
const FREE: u32 = 2;

/// The first wait, doubled with each refusal.
const DELAY: Duration = Duration::from_millis(500);

/// The longest wait: shorter than encoders' patience, so that they still hear the reason.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// When a refusal is forgotten, in microseconds.
const FORGET_US: u64 = 60_000_000;

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_grows_and_is_forgotten() {
        let mut delays = Delays::default();
        let addr = IpAddr::from([192, 0, 2, 1]);
        let ms = |delays: &mut Delays, at_us| delays.on_refused(addr, at_us).as_millis();
        let waits: Vec<u128> = (0..8).map(|at| ms(&mut delays, at)).collect();
        assert_eq!(waits, [0, 0, 500, 1000, 2000, 4000, 5000, 5000]);
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(delays.on_refused(other, 8), Duration::ZERO);
        assert_eq!(ms(&mut delays, FORGET_US + 10), 0);
    }

    #[test]
    fn table_does_not_grow_without_end() {
        let mut delays = Delays::default();
        for number in 0..2 * ADDRESSES_MAX as u32 {
            delays.on_refused(IpAddr::from(number.to_be_bytes()), 1);
        }
        assert_eq!(delays.refused.len(), ADDRESSES_MAX);
        assert_eq!(delays.on_refused([9, 9, 9, 9].into(), 1), DELAY_MAX);
        let later = FORGET_US + 2;
        assert_eq!(
            delays.on_refused([9, 9, 9, 9].into(), later),
            Duration::ZERO
        );
    }
}
