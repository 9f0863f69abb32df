//! Snapshots pushed to pages about once a second, as server-sent events.
//!
//! A feed makes nothing by itself: all pages that look at the same thing within a second get the
//! same bytes, made once. Their number is bounded, and a page that reads slowly holds one event.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Waker, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};

use super::{Context, routes};
use crate::clock;
use crate::stats::events::Event;
use crate::stats::snapshot::{StreamDetail, StreamSnapshot};

/// Pages that follow at once: a fourth of the connections that there are by default, so that they
/// never keep out the rest.
pub const MAX_PAGES: usize = 64;

/// Time between two events of a page.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old a snapshot may be that a page gets, in microseconds: less than the interval, so that
/// no page gets the same one twice.
const FRESH_US: u64 = 700_000;

/// Viewers of a stream's page, the worst first: more than anyone reads, and a bound of its size.
const MAX_VIEWERS: usize = 100;

/// Lines of the relay's log on the overview.
const MAX_EVENTS: usize = 40;

/// Milliseconds after which a page whose feed ended asks again.
const RETRY_MS: u64 = 2_000;

/// What all feeds share.
#[derive(Debug)]
pub(super) struct Feeds {
    places: Arc<Semaphore>,
    /// By stream, and the overview under the empty name: when it was made, and the event.
    made: Mutex<HashMap<String, (u64, Bytes)>>,
    stopping: AtomicBool,
}

impl Feeds {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_PAGES)),
            made: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Ends every feed at its next event.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// The event of now, made at most once in [`FRESH_US`].
    fn event(&self, context: &Context, name: &str) -> Bytes {
        let now_us = clock::now_us();
        let fresh = |made_us: u64| now_us.saturating_sub(made_us) < FRESH_US;
        let mut made = self.made.lock();
        if let Some((made_us, event)) = made.get(name)
            && fresh(*made_us)
        {
            return event.clone();
        }
        // What nobody looks at any longer goes; what remains is as much as there are pages.
        made.retain(|_, (made_us, _)| fresh(*made_us));
        let event = encode(context, name);
        made.insert(name.to_owned(), (now_us, event.clone()));
        event
    }
}

/// The relay itself, on every page.
#[derive(Serialize)]
struct Relay {
    version: String,
    uptime_s: u64,
    ready: bool,
    publishers: u64,
    connections: u64,
    cpu_s: Option<f64>,
    resident_bytes: Option<u64>,
    /// Name and port of each listener; the host is the one that the page came from.
    ports: Vec<(String, Option<u16>)>,
}

#[derive(Serialize)]
struct Overview {
    at_ms: u64,
    relay: Relay,
    streams: Vec<StreamSnapshot>,
    events: Vec<Event>,
}

#[derive(Serialize)]
struct OfStream {
    at_ms: u64,
    relay: Relay,
    /// None when there is no such stream (any more).
    stream: Option<StreamDetail>,
}

/// One event in the text format of the HTML standard.
fn encode(context: &Context, name: &str) -> Bytes {
    let relay = relay(context);
    let at_ms = clock::unix_ms();
    let json = if name.is_empty() {
        let mut events = (context.events)();
        events.truncate(MAX_EVENTS);
        serde_json::to_string(&Overview {
            at_ms,
            relay,
            streams: (context.streams)(),
            events,
        })
    } else {
        let stream = (context.stream)(name).map(worst_first);
        serde_json::to_string(&OfStream {
            at_ms,
            relay,
            stream,
        })
    };
    let mut event = format!("retry: {RETRY_MS}\n");
    // JSON has no line break outside of strings, and escapes those in them. Snapshots can always
    // be written as JSON; writing to a string cannot fail.
    let _ = write!(event, "data: {}\n\n", json.unwrap_or_default());
    event.into()
}

fn relay(context: &Context) -> Relay {
    let process = (context.process)();
    let port = |addr: &str| addr.rsplit_once(':')?.1.parse().ok();
    let listeners = process.listeners.into_iter();
    Relay {
        version: process.version,
        uptime_s: process.uptime_s,
        ready: context.ready.load(Ordering::Acquire),
        publishers: process.publishers,
        connections: process.shard_connections.iter().sum(),
        cpu_s: process.cpu_s,
        resident_bytes: process.resident_bytes,
        ports: listeners.map(|(name, addr)| (name, port(&addr))).collect(),
    }
}

fn worst_first(mut detail: StreamDetail) -> StreamDetail {
    let badness = |viewer: &crate::stats::snapshot::ViewerSnapshot| {
        let stalls = viewer.report.as_ref().map_or(0, |report| report.stalls);
        let skipped = viewer.objects_skipped.behind + viewer.objects_skipped.reset;
        (viewer.behind_ms, stalls, skipped, viewer.rtt_us)
    };
    if detail.viewers.len() > MAX_VIEWERS {
        detail
            .viewers
            .sort_by_key(|viewer| std::cmp::Reverse(badness(viewer)));
        detail.viewers.truncate(MAX_VIEWERS);
    }
    detail
}

/// `GET /api/v1/live`: all streams.
pub(super) async fn overview(
    State(context): State<Context>,
    Extension(feeds): Extension<Arc<Feeds>>,
) -> Response {
    follow(context, feeds, String::new())
}

/// `GET /api/v1/live/{name}`: one stream, whether it is there yet or not.
pub(super) async fn stream(
    State(context): State<Context>,
    Extension(feeds): Extension<Arc<Feeds>>,
    Path(name): Path<String>,
) -> Response {
    follow(context, feeds, name)
}

fn follow(context: Context, feeds: Arc<Feeds>, name: String) -> Response {
    let Ok(place) = Arc::clone(&feeds.places).try_acquire_owned() else {
        let error = format!("{MAX_PAGES} pages follow this relay already: close one");
        return routes::failure(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        context,
        feeds,
        name,
        ticks,
        _place: place,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // What proxies of nginx's kind hold back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(feed)).into_response()
}

/// The events of one page.
struct Feed {
    context: Context,
    feeds: Arc<Feeds>,
    name: String,
    ticks: Interval,
    _place: OwnedSemaphorePermit,
}

impl Stream for Feed {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.ticks.poll_tick(cx));
        if self.feeds.stopping.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(self.feeds.event(&self.context, &self.name))))
    }
}
