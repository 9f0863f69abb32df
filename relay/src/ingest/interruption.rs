//! What a publisher's connection hears other than its peer: a takeover, the relay's end, a policy,
//! a limit.
//!
//! It is one future for the life of a publish. A frame comes every few milliseconds, and to begin
//! waiting for five things at each would cost more than to read it.

use std::future::Future;
use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

use super::packager::Packager;
use super::{Connection, IngestError};
use crate::shard::Phase;

/// What there is to hear.
pub(super) enum Interruption {
    /// Another publisher has taken the stream over, or it was ended.
    Superseded,
    /// The relay goes.
    Draining,
    /// The credential has expired.
    Expired,
    /// There is another policy.
    NewPolicy,
    /// It is time to look at the limits of time.
    Limit,
}

/// The next of them.
pub(super) type Next = Pin<Box<dyn Future<Output = Interruption> + Send + Sync>>;

impl Connection<'_> {
    /// Begins to listen. What it listens to is that of this moment: who changes it begins anew.
    pub(super) fn listen(&self) -> Next {
        let mut phase = self.phase.clone();
        let mut policy = self.policy.clone();
        let superseded = self.packager.as_ref().map(Packager::superseded);
        let superseded = async move {
            match superseded {
                Some(superseded) => superseded.await,
                None => std::future::pending().await,
            }
        };
        let until = self.until.filter(|_| self.packager.is_some());
        let (limit, _) = self.limit();
        Box::pin(async move {
            tokio::select! {
                // Before what follows from it. An error would mean that the relay is gone, which
                // is the same news.
                biased;
                _ = phase.wait_for(|phase| *phase != Phase::Running) => Interruption::Draining,
                () = superseded => Interruption::Superseded,
                () = expiry(until) => Interruption::Expired,
                // An error would mean that the relay is gone.
                Ok(()) = policy.changed() => Interruption::NewPolicy,
                () = sleep_until(limit) => Interruption::Limit,
            }
        })
    }

    /// Until when the peer has to do something, and what it has not done then.
    pub(super) fn limit(&self) -> (Instant, IngestError) {
        let config = &self.context.shared.ingest;
        match &self.packager {
            Some(_) => {
                let idle = config.idle_timeout;
                (self.heard + idle, IngestError::Idle(idle))
            }
            None => {
                let limit = config.publish_timeout;
                (self.opened + limit, IngestError::NoPublish(limit))
            }
        }
    }
}

/// Waits until the moment, if there is one.
async fn expiry(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
