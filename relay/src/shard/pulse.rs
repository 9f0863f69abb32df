//! A shard's pulse: how busy it is, and how late.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{Context, rest};
use crate::clock;
use crate::pressure::{self, Limit, Load, Sample};
use crate::sender::Lateness;

/// What measures a shard from within.
#[derive(Debug)]
pub(super) struct Pulse {
    load: Load,
    overload: Option<Limit>,
    due: Instant,
    began: Instant,
    busy: Duration,
    /// Of the last second, the oldest first.
    beats: VecDeque<Beat>,
}

/// What one beat found.
#[derive(Clone, Copy, Debug)]
struct Beat {
    passed_us: u64,
    worked_us: u64,
    /// How long viewers waited to be looked at, all together, and how many did.
    waited_us: u64,
    looks: u64,
}

impl Pulse {
    /// Must be called on the shard's runtime.
    pub(super) fn new(config: &pressure::Config) -> Self {
        let now = Instant::now();
        Self {
            load: Load::new(config),
            overload: None,
            due: now + INTERVAL,
            began: now,
            busy: busy(),
            beats: VecDeque::with_capacity(BEATS),
        }
    }

    /// Waits for the next beat. May be given up and begun anew.
    ///
    /// A core that is full for a tenth of a second has had a key frame to send, or a few viewers
    /// who came: what counts is the last second. Timers tell how late tasks are looked at, and not
    /// how long a round of a thousand viewers takes, which yields in between: pumps tell that.
    pub(super) async fn beat(&mut self, lateness: &Lateness) -> Sample {
        sleep_until(self.due).await;
        let (now, busy) = (Instant::now(), busy());
        let (waited_us, looks) = lateness.take();
        if self.beats.len() == BEATS {
            self.beats.pop_front();
        }
        self.beats.push_back(Beat {
            passed_us: clock::micros(now.duration_since(self.began)),
            worked_us: clock::micros(busy.saturating_sub(self.busy)),
            waited_us,
            looks,
        });
        let sum = |part: fn(&Beat) -> u64| self.beats.iter().map(part).sum::<u64>();
        let busy_percent = sum(|beat| beat.worked_us) * 100 / sum(|beat| beat.passed_us).max(1);
        let waited_us = sum(|beat| beat.waited_us) / sum(|beat| beat.looks).max(1);
        let sample = Sample {
            busy_percent: u32::try_from(busy_percent).unwrap_or(u32::MAX),
            lag_us: waited_us.max(clock::micros(now.saturating_duration_since(self.due))),
        };
        (self.began, self.busy, self.due) = (now, busy, now + INTERVAL);
        sample
    }

    /// Notes a sample, and says when it becomes too much and when it is over.
    pub(super) fn judge(&mut self, context: &Context, sample: Sample) {
        let overload = self.load.observe(sample, clock::now_us());
        let Sample {
            busy_percent,
            lag_us,
        } = sample;
        let shard = context.shard;
        match (self.overload, overload) {
            (None, Some(limit)) => {
                let limit = limit.name();
                warn!(
                    shard,
                    busy_percent, lag_us, limit, "too much to do: no new viewers"
                );
            }
            (Some(_), None) => info!(shard, busy_percent, lag_us, "takes new viewers again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.overload = overload;
        context.shared.pressure.on_shard(shard, sample, overload);
    }
}

/// The time that this thread's runtime has been at work.
fn busy() -> Duration {
    let busy = Handle::current().metrics().worker_total_busy_duration(0);
    busy.saturating_sub(rest::rested())
}

/// Time between two beats: often enough to see a second's lag, and nothing beside a frame.
const INTERVAL: Duration = Duration::from_millis(100);

/// Beats that are looked at together: a second's.
const BEATS: usize = 10;
