//! What all rings of a relay may keep together.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes that are kept, and may be.
///
/// A ring that finds the budget exceeded gives up its own older groups at once. When that is not
/// enough, those rings are refused more that have more than an equal share, so that one publisher
/// cannot take what the others need: as long as the budget is exceeded there is such a ring.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    rings: AtomicUsize,
    hits: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Budget {
    /// Nothing kept, and `limit` bytes allowed.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            rings: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
        }
    }

    /// Bytes that may be kept.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are kept, as [`super::Object::kept_bytes`] counts them.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// How often a group was dropped before its time, or an object refused.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(super) fn on_ring(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_ring_gone(&self, bytes: usize) {
        self.rings.fetch_sub(1, Ordering::Relaxed);
        self.give(bytes);
    }

    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether so many bytes more are beyond it.
    pub(super) fn exceeds(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) > self.limit
    }

    /// An equal share of it.
    pub(super) fn share(&self) -> usize {
        self.limit / self.rings.load(Ordering::Relaxed).max(1)
    }
}
