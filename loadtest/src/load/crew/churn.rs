//! Viewers that come, stay a while and go.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::{Desk, Dialer, GOODBYE_TIMEOUT, Tally, watch};

/// Viewers that came and went.
#[derive(Debug, Default)]
pub(in crate::load) struct Churned {
    /// How many came.
    pub(in crate::load) joined: u64,
    /// How many of them left without a single frame, or by an error.
    pub(in crate::load) failed: u64,
    /// Why the first one failed.
    pub(in crate::load) first_failure: Option<String>,
    /// What they received that was wrong, added up.
    pub(in crate::load) wrong: Tally,
    /// From each one's start to its first whole frame.
    pub(in crate::load) first_frames_us: Vec<u64>,
}

/// Times of joining that are kept: enough for any percentile.
const FIRST_FRAMES_MAX: usize = 100_000;

/// One viewer that comes and goes.
pub(super) async fn visit(
    dialer: Dialer,
    desk: Desk,
    stay: Duration,
    churned: Arc<Mutex<Churned>>,
) {
    let Ok(endpoint) = dialer.endpoint() else {
        return;
    };
    let tally = Arc::clone(&desk.tally);
    // Time runs out for one that stayed as long as it wanted.
    let ended = timeout(stay, watch(&dialer, &endpoint, desk, None)).await;
    endpoint.close(0_u32.into(), b"seen enough");
    let failure = ended
        .ok()
        .and_then(Result::err)
        .map(|error| error.to_string());
    churned.lock().on_left(&tally.lock(), failure);
    // What remains is the relay's acknowledgement.
    let _ = timeout(GOODBYE_TIMEOUT, endpoint.wait_idle()).await;
}

impl Churned {
    fn on_left(&mut self, tally: &Tally, failure: Option<String>) {
        self.joined += 1;
        let failure = failure.or_else(|| {
            let none = tally.first_frame_us.is_none();
            none.then(|| "it left without a frame".into())
        });
        self.failed += u64::from(failure.is_some());
        self.first_failure = self.first_failure.take().or(failure);
        self.wrong.corrupt += tally.corrupt;
        self.wrong.duplicates += tally.duplicates;
        self.wrong.misordered += tally.misordered;
        self.wrong.gaps += tally.gaps;
        let first = tally.first_frame_us;
        let room = FIRST_FRAMES_MAX.saturating_sub(self.first_frames_us.len());
        self.first_frames_us.extend(first.into_iter().take(room));
    }
}
