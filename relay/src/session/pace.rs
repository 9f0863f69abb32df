//! The pace at which a session's requests are taken up.
//!
//! A peer that asks faster is served later: what it has opened waits with it, within the number of
//! streams that it may open.

use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::pressure::{self, Bucket, Limit, Pressure};

/// A session's pace.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: Bucket,
    per_s: u32,
    /// Until when requests have to wait.
    held: Option<Instant>,
}

impl Pace {
    pub(super) fn new(config: &pressure::Config) -> Self {
        Self {
            bucket: Bucket::new(clock::now_us()),
            per_s: config.requests_per_s,
            held: None,
        }
    }

    /// Whether a request may be taken up.
    pub(super) fn is_ready(&self) -> bool {
        self.held.is_none()
    }

    /// Counts one.
    pub(super) fn on_request(&mut self, pressure: &Pressure) {
        let now_us = clock::now_us();
        self.bucket.take(self.per_s, now_us);
        let ready_us = self.bucket.ready_us(now_us);
        if ready_us > now_us {
            pressure.hit(Limit::RequestRate);
            let wait = std::time::Duration::from_micros(ready_us - now_us);
            self.held = Some(Instant::now() + wait);
        }
    }

    /// Waits until a request may be taken up again.
    pub(super) async fn held(&self) {
        match self.held {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// The wait is over.
    pub(super) fn release(&mut self) {
        self.held = None;
    }
}
