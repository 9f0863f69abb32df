//! The way down: everybody is told, and has a while to leave.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::Relay;
use super::takeover::Successor;
use crate::shard::{Phase, Shard};

impl Relay {
    /// Serves those who are there for a while, and nobody new. With a successor what is published
    /// goes on there, and nobody is told that a stream is over.
    pub(super) async fn drain(self, successor: Option<Successor>) -> bool {
        self.ready.store(false, Ordering::Relaxed);
        drop((self.publishers, self.secure));
        if successor.is_some() {
            info!("handed over to a newer relay: publishers and viewers are sent there");
            self.phase.send_replace(Phase::HandedOver);
        } else {
            info!("draining: viewers are told to go, streams end");
            self.phase.send_replace(Phase::Draining);
            self.shared.registry.end_all();
        }
        let limit = self.drain_limit;
        let deadline = Instant::now() + limit;
        let limits = &self.shared.pressure.config;
        let all = |places: usize| u32::try_from(places).unwrap_or(u32::MAX);
        let everyone = self.shared.sessions.acquire_many(all(limits.sessions));
        let viewers = timeout_at(deadline, everyone).await.is_ok();
        let publishers = self.admitted.acquire_many(all(limits.publishers));
        let publishers = timeout_at(deadline, publishers).await.is_ok();
        let free = |limit: usize, places: &Semaphore| limit - places.available_permits().min(limit);
        let cut = (
            free(limits.sessions, &self.shared.sessions),
            free(limits.publishers, &self.admitted),
        );
        self.shared.registry.end_all();
        self.phase.send_replace(Phase::Stopped);
        // The listener stops with the phase; its error would have been logged by it.
        let _ = self.http.await;
        if let Some(shards) = Arc::into_inner(self.shards) {
            shards.into_iter().for_each(Shard::join);
        }
        match viewers && publishers {
            true => info!("stopped: everyone left in time"),
            false => {
                let (viewers, publishers) = cut;
                warn!(?limit, viewers, publishers, "stopped: some had to be cut");
            }
        }
        viewers && publishers
    }
}
