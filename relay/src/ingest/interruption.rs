//! What a publisher's connection hears other than its peer: a takeover, the relay's end, a policy,
//! a limit.
//!
//! It is one future for the life of a publish, and one that is looked at when it was woken. A frame
//! comes every few milliseconds, and to begin waiting for five things at each would cost more than
//! to read it; to look at all five again, which lie where nothing else of a frame does, a good part
//! of that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
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
pub(super) struct Next {
    listening: Pin<Box<dyn Future<Output = Interruption> + Send + Sync>>,
    bell: Arc<Bell>,
    /// `bell`, as the one who listens knows it.
    waker: Waker,
}

/// Whether there is something to hear, and who is to be told.
struct Bell(Mutex<Rung>);

struct Rung {
    heard: bool,
    task: Option<Waker>,
}

impl Next {
    fn new(listening: impl Future<Output = Interruption> + Send + Sync + 'static) -> Self {
        // Rung: whoever never listened has not been told of anything yet.
        let bell = Arc::new(Bell(Mutex::new(Rung {
            heard: true,
            task: None,
        })));
        Self {
            listening: Box::pin(listening),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl Future for Next {
    type Output = Interruption;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Interruption> {
        {
            let mut rung = self.bell.0.lock();
            if !rung
                .task
                .as_ref()
                .is_some_and(|task| task.will_wake(cx.waker()))
            {
                rung.task = Some(cx.waker().clone());
            }
            // Taken before it is looked at: what rings meanwhile rings for the next look.
            if !std::mem::take(&mut rung.heard) {
                return Poll::Pending;
            }
        }
        let Self {
            listening, waker, ..
        } = &mut *self;
        listening.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut rung = self.0.lock();
            rung.heard = true;
            rung.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

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
        Next::new(async move {
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_was_not_woken_is_not_looked_at_and_what_was_is_heard() {
        let (news, looks) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (Arc::clone(&news), Arc::clone(&looks));
        let mut next = Next::new(async move {
            let mut notified = std::pin::pin!(told.notified());
            poll_fn(|cx| {
                counted.fetch_add(1, Ordering::Relaxed);
                notified.as_mut().poll(cx)
            })
            .await;
            Interruption::Superseded
        });
        for _ in 0..10 {
            let heard = poll_fn(|cx| Poll::Ready(Pin::new(&mut next).poll(cx))).await;
            assert!(heard.is_pending());
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        // Another task waits for it now: that is the one to wake.
        let waiting = tokio::spawn(next);
        tokio::task::yield_now().await;
        news.notify_one();
        let heard = waiting.await;
        assert!(
            matches!(heard, Ok(Interruption::Superseded)),
            "nothing was heard"
        );
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
