//! Who was served well: what a storm of viewers leaves of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Measured, Plan, Tally, missed_by, sent_to};

/// Viewers that were served well, of those that are not slow on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptUse {
    /// How many there were to be.
    pub viewers: u64,
    /// How many of them got at least 99 of 100 frames of the window, and 99 of 100 of these within
    /// the bound.
    pub kept: u64,
    /// The bound, in microseconds.
    pub below_us: u64,
    /// How many never had a frame.
    pub without_frame: u64,
    /// How many were refused, or sent away later.
    pub failed: u64,
    /// Why the first of them was.
    pub first_failure: Option<String>,
}

impl KeptUse {
    pub(super) fn new(plan: &Plan, measured: &Measured, tallies: &[Tally]) -> Self {
        let mut kept = Self {
            below_us: plan.kept_below.as_micros() as u64,
            failed: measured.failures.len() as u64,
            first_failure: measured.failures.first().map(ToString::to_string),
            ..Self::default()
        };
        for (nth, tally) in tallies.iter().enumerate() {
            if plan.is_slow(nth) {
                continue;
            }
            let missing = missed_by(plan, measured, nth, tally);
            kept.viewers += 1;
            kept.kept += u64::from(tally.is_kept(missing, sent_to(plan, measured, nth)));
            kept.without_frame += u64::from(tally.first_frame_us.is_none());
        }
        kept
    }
}

impl fmt::Display for KeptUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} viewers: 99 % of the frames, p99 below {} ms",
            self.kept,
            self.viewers,
            self.below_us / 1_000
        )?;
        if self.without_frame > 0 {
            write!(f, "; {} never had one", self.without_frame)?;
        }
        if let Some(reason) = &self.first_failure {
            write!(f, "; {} were refused or sent away ({reason})", self.failed)?;
        }
        Ok(())
    }
}
