//! How long the way from the upstream takes, stream by stream.
//!
//! An upstream that is a Weir tells which timestamp arrives there at this moment (`session`'s
//! `clock/STREAM`), as it tells players. The edge knows which one arrives here. The difference is
//! what a frame spends between the two arrivals: in the upstream, on the way, and in front of us.
//! It is wrong by half of the question's round trip at most, beside what the mean over a second or
//! two of frames smooths. `path/STREAM` is the same for what is in front of the upstream, so that
//! the sum is the way from the relay that the publisher came to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::debug;
use weir_protocol::moqt::message::TrackStatus;
use weir_protocol::moqt::{FullTrackName, Location, Message, Namespace, Params};

use super::Edge;
use super::link::Link;
use crate::clock;
use crate::stats::snapshot::HopSnapshot;
use crate::stream::Publisher;

/// Measures the streams that come over `link` until it is left.
pub(super) async fn watch(edge: &Edge, link: &Arc<Link>) {
    loop {
        sleep(PERIOD).await;
        let in_use = edge.link.borrow().clone();
        if link.is_closed() || in_use.is_none_or(|in_use| !Arc::ptr_eq(&in_use, link)) {
            return;
        }
        for publisher in edge.publishers() {
            let hop = measure(link, &publisher).await;
            publisher.set_hop(&link.address, &link.implementation(), hop);
        }
    }
}

async fn measure(link: &Link, publisher: &Publisher) -> HopSnapshot {
    let rtt = link.peer.connection.rtt();
    let mut hop = HopSnapshot {
        rtt_us: u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
        ..HopSnapshot::default()
    };
    if !link.is_weir().await {
        return hop;
    }
    let stream = publisher.stream();
    let asked_us = clock::now_us();
    let there = ask(link, CLOCK, &stream.namespace).await;
    let answered_us = clock::now_us();
    let error_us = answered_us.saturating_sub(asked_us) / 2;
    let here = stream.ingest().media_now_us(asked_us + error_us);
    if let (Some(there), Some(here)) = (there, here) {
        let there_us = there
            .group
            .saturating_mul(1000)
            .saturating_add(there.object);
        let latency_us = there_us.saturating_sub(here);
        (hop.latency_us, hop.error_us) = (Some(latency_us), Some(error_us));
        if let Some(path) = ask(link, PATH, &stream.namespace).await {
            hop.path_us = Some(path.group.saturating_add(latency_us));
            hop.hops = Some(path.object.saturating_add(1));
        }
    }
    hop
}

async fn ask(link: &Link, what: &str, namespace: &Namespace) -> Option<Location> {
    let own = Namespace::from_path(OWN).ok()?;
    let track = FullTrackName::new(own, format!("{what}{namespace}").into()).ok()?;
    let request_id = link.peer.ids.lock().next_id();
    let status = TrackStatus {
        request_id,
        track,
        params: Params::default(),
    };
    let mut exchange = link.peer.request(status).await.ok()?;
    match timeout(ANSWER_LIMIT, exchange.answer()).await {
        Ok(Ok(Some(Message::RequestOk(ok)))) => ok.params.largest,
        other => {
            debug!(upstream = link.address, ?other, "no clock");
            exchange.cancel();
            None
        }
    }
}

/// The namespace of what a relay tells of itself, and what is asked of it.
const OWN: &str = ".session/weir";
const CLOCK: &str = "clock/";
const PATH: &str = "path/";

/// How often is asked: as often as the mean that is asked for is another one.
const PERIOD: Duration = Duration::from_secs(2);

/// How long an answer may take; a later one would measure nothing.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
