//! The control side's look at every stream, once a second: warnings, log, recent past.

use std::sync::Arc;

use super::view;
use crate::clock;
use crate::registry::Registry;
use crate::stream::Stream;

/// Looks between two points of a stream's past.
const POINT_EVERY: usize = 5;

/// The streams' regular look. Takes each lock for moments, as a scrape of the metrics does.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    looks: usize,
}

impl Monitor {
    /// Looks at every stream.
    pub(super) fn look(&mut self, registry: &Registry) {
        self.looks = self.looks.wrapping_add(1);
        for (at, stream) in registry.streams().iter().enumerate() {
            look(stream);
            // Spread over the looks: a point takes a whole snapshot.
            if self.looks.wrapping_add(at).is_multiple_of(POINT_EVERY) {
                let snapshot = view::snapshot(stream);
                stream.watch.lock().remember(&snapshot, clock::unix_ms());
            }
        }
    }
}

fn look(stream: &Arc<Stream>) {
    let vitals = stream.vitals(clock::now_us());
    let skipped = stream.skipped();
    let events = stream.watch.lock().look(vitals, skipped, clock::unix_ms());
    for event in events {
        stream.log(event);
    }
}
