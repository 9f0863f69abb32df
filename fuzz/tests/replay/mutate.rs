//! New inputs made of a corpus: bytes changed, parts moved, cut, doubled and taken from others.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Inputs are not made longer than this, so that many of them fit a moment.
const LEN_MAX: usize = 4096;

/// Bytes at which encodings change.
const EDGES: [u8; 10] = [0x00, 0x01, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];

/// Makes inputs from a corpus and a seed.
pub(crate) struct Mutator {
    state: u64,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self {
            state: seed,
            corpus,
        }
    }

    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..1 + self.below(6) {
            self.change(&mut input);
        }
        input.truncate(LEN_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(32)).min(input.len());
        match self.below(7) {
            0 | 1 => {
                let random = self.random() as u8;
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (random % 8);
                }
            }
            2 => {
                let edge = EDGES[self.below(EDGES.len())];
                if let Some(byte) = input.get_mut(at) {
                    *byte = edge;
                }
            }
            3 => input.truncate(at),
            4 => drop(input.drain(at..end)),
            5 => {
                let doubled = input[at..end].to_vec();
                input.splice(at..at, doubled);
            }
            _ => {
                let other = self.pick();
                let from = self.below(other.len() + 1);
                let until = (from + self.below(64)).min(other.len());
                input.splice(at..end, other[from..until].iter().copied());
            }
        }
    }

    fn pick(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random() % end.max(1) as u64) as usize
    }

    /// SplitMix64, so that a seed means the same everywhere.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Another seed on each run.
#[expect(clippy::disallowed_methods, reason = "a seed is to differ")]
pub(crate) fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// Does something again and again for that long; returns how often.
#[expect(clippy::disallowed_methods, reason = "time bounds the work")]
pub(crate) fn for_a(moment: Duration, mut run: impl FnMut()) -> u64 {
    let start = Instant::now();
    let mut runs = 0;
    while start.elapsed() < moment {
        run();
        runs += 1;
    }
    runs
}

pub(crate) fn hex(input: &[u8]) -> String {
    input.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
