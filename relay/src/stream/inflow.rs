//! What a publisher's frames touch of their stream: media time, and figures of what arrives.

use parking_lot::{MappedMutexGuard, MutexGuard};

use super::{Stream, Timeline};
use crate::stats::{IngestRecorder, Intake, Received};

/// What each frame of the publisher touches: apart from the rest, so that it lies together.
pub(super) struct Inflow {
    pub(super) timeline: Timeline,
    /// Figures of what arrives.
    pub(super) intake: Intake,
}

impl Inflow {
    pub(super) fn new(now_us: u64) -> Self {
        Self {
            timeline: Timeline::default(),
            intake: Intake::new(now_us),
        }
    }
}

impl Stream {
    /// Counts bytes read from the publisher.
    pub fn on_bytes_in(&self, bytes: usize) {
        self.inflow.lock().intake.on_bytes_in(bytes as u64);
    }

    /// Notes an object that the publisher has completed.
    pub fn on_received(&self, received: Received) {
        self.inflow.lock().intake.on_object(received);
    }

    /// Figures of what has arrived, to be held for moments: the publisher waits.
    pub fn ingest(&self) -> MappedMutexGuard<'_, IngestRecorder> {
        MutexGuard::map(self.inflow.lock(), |inflow| inflow.intake.settled())
    }
}
