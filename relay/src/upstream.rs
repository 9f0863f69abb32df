//! An edge: the streams of other relays, opened when somebody here asks for them.
//!
//! ```text
//!   viewer ─► stream ─ demand ─► track task ─ SUBSCRIBE, FETCH ─► link ─► upstream relay
//!                                    │ the link is lost, or says GOAWAY
//!                                    └► goes on over the next link, where the ring stops
//! ```
//!
//! One link is used at a time: the first upstream that answers, or the one that a GOAWAY named. A
//! track is subscribed once, however many watch it, and given up a linger time after the last. Its
//! group and object ids are the origin's, so a track goes on over another link without a hole and
//! without a repeat: what is missing is fetched, what comes twice is dropped ([`crate::peer`]).
//!
//! # Loops
//!
//! Relays that are each other's upstreams would ask each other for ever. A question carries the
//! ids of the relays that it came through, as an authorization token of a type of our own
//! ([`HOPS`]), to relays only that say they are Weirs: no draft has a field for it, and tokens are
//! what a relay may add. A relay that finds its own id there, or too many, refuses.

mod hop;
mod link;
mod names;
mod track;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use weir_protocol::moqt::message::RequestError;
use weir_protocol::moqt::token::Token;
use weir_protocol::moqt::{Namespace, RequestErrorCode};

use crate::client::Address;
use crate::clock;
use crate::shard::Shared;
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::{Demand, Publisher};
use link::{Left, Link};

/// What makes a relay an edge.
#[derive(Clone, Debug)]
pub struct Config {
    /// The upstream relays, the preferred one first.
    pub upstreams: Vec<Address>,
    /// How long a track without viewers stays subscribed.
    pub linger: Duration,
    /// Silence after which an upstream is given up.
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            // A page that is loaded again finds its tracks there.
            linger: Duration::from_secs(10),
            // Viewers notice a second or two less than they notice a frozen picture; five lost
            // keep-alives in a row are no accident.
            idle_timeout: Duration::from_millis(2500),
        }
    }
}

/// How a stream of an upstream's is published, in the API's words.
pub const PROTOCOL: &str = "upstream";

/// The type of the token that carries the relays that a question came through: `WEIR`.
pub const HOPS: u64 = 0x5745_4952;

/// Relays between an origin and a viewer: more is a mistake.
const HOPS_MAX: usize = 16;

/// The relays that a request came through, by its tokens.
///
/// # Errors
///
/// A refusal when `own` is among them, or there are too many.
pub fn hops(tokens: &[Token], own: u64) -> Result<Vec<u64>, RequestError> {
    let mut hops = Vec::new();
    for token in tokens {
        if let Token::UseValue { kind, value } = token
            && *kind == HOPS
        {
            let mut value = &value[..];
            while value.len() >= 8 && hops.len() <= HOPS_MAX {
                hops.push(value.get_u64());
            }
        }
    }
    let refuse = |reason: &str| Err(RequestError::new(RequestErrorCode::DoesNotExist, reason));
    if hops.contains(&own) {
        return refuse("a loop: this question came from here; check the relays' upstreams");
    }
    if hops.len() >= HOPS_MAX {
        return refuse("the question came through too many relays: check their upstreams");
    }
    Ok(hops)
}

/// The token that carries these relays.
fn hops_token(hops: &[u64]) -> Token {
    let mut value = BytesMut::with_capacity(8 * hops.len());
    hops.iter().for_each(|hop| value.put_u64(*hop));
    Token::UseValue {
        kind: HOPS,
        value: value.freeze(),
    }
}

/// What the tasks of an edge share.
struct Edge {
    config: Config,
    shared: Arc<Shared>,
    link: watch::Sender<Option<Arc<Link>>>,
    /// The streams that the edge publishes here, as long as it has a track of them.
    owners: Mutex<HashMap<Namespace, Weak<Publisher>>>,
}

/// What viewers ask of an edge: streams that are not here.
#[derive(Debug)]
pub struct Demands(mpsc::Receiver<Demand>);

/// Has the registry ask the edge for what it does not have; `None` for a relay without upstreams.
/// To be called before viewers are let in: who came earlier would hear that nobody publishes.
pub fn prepare(shared: &Shared) -> Option<Demands> {
    if shared.upstream.upstreams.is_empty() {
        return None;
    }
    let (supplier, demands) = mpsc::channel(DEMANDS);
    shared.registry.set_fallback(supplier);
    Some(Demands(demands))
}

/// Runs the edge until it is dropped.
pub async fn run(shared: Arc<Shared>, Demands(mut demands): Demands) {
    let config = shared.upstream.clone();
    let edge = Arc::new(Edge {
        config,
        shared,
        link: watch::Sender::new(None),
        owners: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    let linking = Arc::clone(&edge);
    tasks.spawn(async move { linking.keep_linked().await });
    loop {
        tokio::select! {
            Some(demand) = demands.recv() => {
                let edge = Arc::clone(&edge);
                tasks.spawn(async move { track::supply(&edge, demand).await });
            }
            Some(_) = tasks.join_next() => {}
            else => return,
        }
    }
}

impl Edge {
    /// Keeps a link to one of the upstreams.
    async fn keep_linked(self: &Arc<Self>) {
        let mut links = JoinSet::new();
        let upstreams = &self.config.upstreams;
        let (mut next, mut failures, mut named) = (0, 0, None);
        loop {
            while links.try_join_next().is_some() {}
            // One that failed once may be there again; all of them need a pause.
            if failures > 0 && failures % upstreams.len() == 0 {
                sleep(RETRY).await;
            }
            let address = match named.take() {
                Some(address) => address,
                None => upstreams[next % upstreams.len()].clone(),
            };
            let link = match Link::open(&address, self.config.idle_timeout).await {
                Ok(link) => link,
                Err(error) => {
                    warn!(%error, "an upstream is not there");
                    (next, failures) = (next + 1, failures + 1);
                    continue;
                }
            };
            info!(upstream = %address, "linked");
            let since = Instant::now();
            let (serving, naming) = (Arc::clone(&link), Arc::clone(&link));
            let edge = Arc::clone(self);
            links.spawn(async move { serving.serve().await });
            links.spawn(async move { names::follow(&edge, &naming).await });
            self.link.send_replace(Some(Arc::clone(&link)));
            let (edge, measured) = (Arc::clone(self), Arc::clone(&link));
            links.spawn(async move { hop::watch(&edge, &measured).await });
            let left = link.left().await;
            // One that takes us and drops us at once is as bad as one that is not there.
            failures = match since.elapsed() < STEADY && matches!(left, Left::Lost(_)) {
                true => failures + 1,
                false => 0,
            };
            match left {
                Left::Lost(reason) => {
                    warn!(upstream = %address, reason, "lost an upstream");
                    self.link.send_replace(None);
                    next += 1;
                }
                Left::Goaway(uri) if uri.is_empty() => {
                    info!(upstream = %address, "an upstream goes away");
                    next += 1;
                }
                Left::Goaway(uri) => {
                    info!(upstream = %address, to = uri, "an upstream sends us elsewhere");
                    named = Address::parse(&uri)
                        .ok()
                        .map(|named| named.trusting(&address));
                    next += 1;
                }
            }
        }
    }

    /// What the edge publishes.
    fn publishers(&self) -> Vec<Arc<Publisher>> {
        let owners = self.owners.lock();
        owners.values().filter_map(Weak::upgrade).collect()
    }

    /// Makes the edge the publisher of a stream, if it is not already.
    fn own(&self, namespace: &Namespace, link: &Link) -> Result<Arc<Publisher>, RequestError> {
        let mut owners = self.owners.lock();
        owners.retain(|_, owner| owner.strong_count() > 0);
        if let Some(owner) = owners.get(namespace).and_then(Weak::upgrade) {
            return Ok(owner);
        }
        let info = PublisherSnapshot {
            protocol: PROTOCOL.to_owned(),
            addr: link.address.clone(),
            encoder: link.implementation(),
            ..PublisherSnapshot::default()
        };
        let published = self
            .shared
            .registry
            .publish(namespace, info, clock::now_us());
        let publisher = Arc::new(published.map_err(|error| {
            RequestError::new(RequestErrorCode::Uninterested, error.to_string())
        })?);
        owners.insert(namespace.clone(), Arc::downgrade(&publisher));
        Ok(publisher)
    }
}

/// Questions for tracks that wait for the edge.
const DEMANDS: usize = 256;

/// Pause after all upstreams failed.
const RETRY: Duration = Duration::from_millis(500);

/// A link that lasts as long was no failure.
const STEADY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_that_came_from_here_is_refused() {
        let tokens = [hops_token(&[1, 2])];
        assert_eq!(hops(&tokens, 3).unwrap(), [1, 2]);
        let refused = hops(&tokens, 2).unwrap_err();
        assert!(refused.reason.contains("loop"), "{}", refused.reason);
        assert_eq!(hops(&[], 2).unwrap(), [] as [u64; 0]);
    }

    #[test]
    fn question_that_came_through_too_many_is_refused() {
        let many: Vec<u64> = (0..HOPS_MAX as u64).collect();
        let refused = hops(&[hops_token(&many)], 99).unwrap_err();
        assert!(refused.reason.contains("too many"), "{}", refused.reason);
    }
}
