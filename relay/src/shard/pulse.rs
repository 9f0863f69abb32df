//! A shard's pulse: how busy it is, and how late.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::Context;
use crate::clock;
use crate::pressure::{self, Limit, Load, Sample};

/// What measures a shard from within.
#[derive(Debug)]
pub(super) struct Pulse {
    load: Load,
    overload: Option<Limit>,
    due: Instant,
    began: Instant,
    busy: Duration,
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
        }
    }

    /// Waits for the next beat. May be given up and begun anew.
    pub(super) async fn beat(&mut self) -> Sample {
        sleep_until(self.due).await;
        let (now, busy) = (Instant::now(), busy());
        let passed = now.duration_since(self.began).as_micros().max(1);
        let worked = busy.saturating_sub(self.busy).as_micros();
        let sample = Sample {
            busy_percent: u32::try_from(worked * 100 / passed).unwrap_or(u32::MAX),
            lag_us: clock::micros(now.saturating_duration_since(self.due)),
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
    Handle::current().metrics().worker_total_busy_duration(0)
}

/// Time between two beats: often enough to see a second's lag, and nothing beside a frame.
const INTERVAL: Duration = Duration::from_millis(100);
