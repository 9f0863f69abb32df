//! A track of an upstream's: subscribed when somebody asks, and carried from link to link.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};
use weir_protocol::moqt::message::RequestError;
use weir_protocol::moqt::{FullTrackName, PublishDoneCode, RequestErrorCode};

use super::link::Link;
use super::{Edge, hops_token};
use crate::peer::{Ending, Following, Wanted, subscribe};
use crate::stream::{Demand, Publisher, Track};

/// Subscribes a track that somebody asks for, and follows it until it is over.
pub(super) async fn supply(edge: &Edge, demand: Demand) {
    let refuse = |refusal: RequestError| drop(demand.answer.send_replace(Some(Err(refusal))));
    let namespace = demand.stream.namespace.clone();
    let Ok(name) = FullTrackName::new(namespace.clone(), demand.track.clone()) else {
        let reason = "the name is too long";
        return refuse(RequestError::new(RequestErrorCode::DoesNotExist, reason));
    };
    let mut links = edge.link.subscribe();
    let Some(link) = linked(&mut links).await else {
        let reason = format!("{namespace}: no upstream of this relay can be reached");
        return refuse(RequestError::new(RequestErrorCode::Timeout, reason));
    };
    let publisher = match edge.own(&namespace, &link) {
        Ok(publisher) => publisher,
        Err(refusal) => return refuse(refusal),
    };
    let carrier = Carrier {
        edge,
        publisher,
        name,
        hops: demand
            .hops
            .iter()
            .copied()
            .chain([edge.shared.hop])
            .collect(),
        link,
        links,
    };
    let following = match carrier.subscribe(None, false).await {
        Ok(following) => following,
        Err(refusal) => return refuse(refusal),
    };
    let track = Arc::clone(following.track());
    drop(demand.answer.send_replace(Some(Ok(Arc::clone(&track)))));
    carrier.publisher.announce();
    drop(demand);
    carrier.carry(following, &track).await;
}

/// The link in use, as soon as there is one.
async fn linked(links: &mut watch::Receiver<Option<Arc<Link>>>) -> Option<Arc<Link>> {
    // One that has just died is still there for a moment.
    let alive = |link: &Option<Arc<Link>>| link.as_ref().is_some_and(|link| !link.is_closed());
    let linked = timeout(LINK_PATIENCE, links.wait_for(alive)).await;
    let link = linked.ok()?.ok()?.clone();
    links.mark_unchanged();
    link
}

/// What carries a track.
struct Carrier<'a> {
    edge: &'a Edge,
    publisher: Arc<Publisher>,
    name: FullTrackName,
    hops: Vec<u64>,
    link: Arc<Link>,
    links: watch::Receiver<Option<Arc<Link>>>,
}

impl Carrier<'_> {
    async fn subscribe(
        &self,
        previous: Option<Following>,
        resumed: bool,
    ) -> Result<Following, RequestError> {
        let tokens = match self.link.is_weir().await {
            true => vec![hops_token(&self.hops)],
            false => Vec::new(),
        };
        let wanted = Wanted {
            name: self.name.clone(),
            tokens,
            resumed,
        };
        subscribe(&self.link.peer, &self.publisher, &wanted, previous).await
    }

    /// Follows the track over this link and those that come after it.
    async fn carry(mut self, mut following: Following, track: &Arc<Track>) {
        loop {
            let ending = tokio::select! {
                ending = following.run(self.edge.config.linger) => ending,
                changed = self.links.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let link = self.links.borrow_and_update().clone();
                    // The link is lost without another one: the request tells.
                    let Some(link) = link else { continue };
                    self.link = link;
                    // The old one goes on until the new one is granted.
                    match self.resume(Some(following)).await {
                        Some(resumed) => following = resumed,
                        None => return self.give_up(track),
                    }
                    continue;
                }
            };
            match ending {
                Ending::Unwanted => {
                    if self.publisher.remove_track(track) {
                        debug!(track = %self.name_shown(), "nobody watches: unsubscribed");
                        return;
                    }
                }
                Ending::Failed(code, reason) => {
                    info!(track = %self.name_shown(), reason, "track ended");
                    return following.end(code);
                }
                Ending::Done(code) if code != PublishDoneCode::GoingAway => {
                    return following.end(code);
                }
                Ending::Done(_) | Ending::Lost => {
                    drop(following);
                    match self.resume(None).await {
                        Some(resumed) => following = resumed,
                        None => return self.give_up(track),
                    }
                }
            }
        }
    }

    /// Goes on over the newest link, within the time that viewers wait for a publisher.
    async fn resume(&mut self, mut previous: Option<Following>) -> Option<Following> {
        let limit = Instant::now() + RESUME_LIMIT;
        while Instant::now() < limit {
            if previous.is_none() || self.link.is_closed() {
                self.link = linked(&mut self.links).await?;
            }
            match self.subscribe(previous.take(), true).await {
                Ok(following) => return Some(following),
                Err(refusal) => {
                    debug!(track = %self.name_shown(), refusal.reason, "not there yet");
                    sleep(RESUME_PAUSE).await;
                }
            }
        }
        None
    }

    fn give_up(&self, track: &Track) {
        info!(track = %self.name_shown(), "no upstream has the track any more");
        track.ring.end();
    }

    fn name_shown(&self) -> String {
        let track = String::from_utf8_lossy(self.name.track()).into_owned();
        format!("{} {track:?}", self.name.namespace())
    }
}

/// How long a viewer's question waits for a link.
const LINK_PATIENCE: Duration = Duration::from_secs(5);

/// How long a track without a source goes on to look for one: as long as streams linger.
const RESUME_LIMIT: Duration = Duration::from_secs(10);

/// Pause after an upstream refused to go on with a track.
const RESUME_PAUSE: Duration = Duration::from_millis(200);
