//! What the control side shows of the relay: snapshots, made when they are asked for.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_protocol::moqt::Namespace;

use super::{Addrs, Applied, Reloader, process};
use crate::auth::{Action, Attempt, Denial};
use crate::clock;
use crate::http::{self, ReloadOutcome};
use crate::shard::{Shard, Shared};
use crate::stats::snapshot::{History, ProcessSnapshot, StreamDetail, StreamSnapshot, StreamState};
use crate::stats::{Kind, Merged, StreamFacts};
use crate::stream::{Presence, Stream};

/// What the snapshots are made from.
pub(super) struct View {
    pub(super) shared: Arc<Shared>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) shards: Arc<Vec<Shard>>,
    pub(super) addrs: Addrs,
    pub(super) started_us: u64,
}

impl View {
    /// The functions that the control listener calls.
    ///
    /// They hold the shards weakly: the listener must not keep them from being joined.
    pub(super) fn into_context(self, ready: Arc<AtomicBool>) -> http::Context {
        let Self {
            shared,
            reloader,
            shards,
            addrs,
            started_us,
        } = self;
        let shards = Arc::downgrade(&shards);
        let logged = Arc::clone(&shared);
        let (all, one, process, door) = (
            Arc::clone(&shared),
            Arc::clone(&shared),
            Arc::clone(&shared),
            Arc::clone(&shared),
        );
        http::Context {
            streams: Arc::new(move || {
                let streams = all.registry.streams();
                streams.iter().map(|stream| snapshot(stream)).collect()
            }),
            stream: Arc::new(move |name| {
                let namespace = Namespace::from_path(name).ok()?;
                let stream = one.registry.stream(&namespace)?;
                let viewers = stream.viewers();
                let points = stream.watch.lock().points();
                Some(StreamDetail {
                    stream: snapshot(&stream),
                    viewers: viewers.iter().map(|viewer| viewer.snapshot()).collect(),
                    events: stream.events(),
                    history: History::new(points),
                })
            }),
            events: Arc::new(move || logged.registry.events()),
            process: Arc::new(move || {
                let shards = shards.upgrade();
                let shards = shards.iter().flat_map(|shards| shards.iter());
                let connections = shards.map(Shard::connections).collect();
                process_snapshot(&process, &addrs, started_us, connections)
            }),
            ready,
            reload: Arc::new(move || reload(&reloader)),
            guard: Arc::new(move |addr, shown| guard(&door, addr, shown)),
            certificate_sha256: Arc::new(move || shared.certificate.sha256()),
        }
    }
}

/// Reads the configuration anew, for the API.
fn reload(reloader: &Reloader) -> Result<ReloadOutcome, String> {
    let Applied {
        applied,
        needs_restart,
    } = reloader.reload().map_err(|error| error.to_string())?;
    Ok(ReloadOutcome {
        applied,
        needs_restart,
    })
}

/// Whether an address may connect, or see the control pages with what it shows.
fn guard(shared: &Shared, addr: IpAddr, shown: Option<Option<String>>) -> Result<(), Denial> {
    let policy = shared.policy();
    let Some(shown) = shown else {
        return policy.admit(addr);
    };
    let attempt = Attempt {
        action: Action::Control,
        name: String::new(),
        addr,
        credentials: shown.into_iter().collect(),
        key_in_name: false,
        now_s: clock::unix_ms() / 1000,
    };
    policy.decide(&attempt).map(drop)
}

fn process_snapshot(
    shared: &Shared,
    addrs: &Addrs,
    started_us: u64,
    shard_connections: Vec<u64>,
) -> ProcessSnapshot {
    let uptime_us = clock::now_us().saturating_sub(started_us);
    let listeners = [
        ("rtmp", addrs.rtmp),
        ("quic", addrs.quic),
        ("http", addrs.http),
    ];
    let streams = shared.registry.streams();
    let live = |stream: &&Arc<Stream>| stream.presence() == Presence::Live;
    let refused = shared.sessions_refused.load(Ordering::Relaxed);
    ProcessSnapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: uptime_us / clock::MICROS_PER_SECOND,
        listeners: listeners
            .map(|(name, addr)| (name.to_owned(), addr.to_string()))
            .into(),
        publishers: streams.iter().filter(live).count() as u64,
        shard_connections,
        limits_hit: vec![("viewer.max_sessions", refused)],
        reports: shared.counters.reports().to_vec(),
        datagrams_unknown: shared.counters.datagrams_unknown.load(Ordering::Relaxed),
        cpu_s: process::cpu_s(),
        resident_bytes: process::resident_bytes(),
    }
}

/// Everything that the API says of a stream but its viewers.
pub(super) fn snapshot(stream: &Stream) -> StreamSnapshot {
    let now_us = clock::now_us();
    let mut merged = Merged::new(now_us);
    for recorder in stream.recorders() {
        merged.add(&recorder.lock());
    }
    let mut tracks = stream.described_tracks();
    {
        let ingest = stream.ingest.lock();
        merged.add_ingest(&ingest);
        for track in &mut tracks {
            let kind = match track.name.as_str() {
                "video" => Kind::Video,
                _ => Kind::Audio,
            };
            *track = std::mem::take(track).with_rates(ingest.rates(kind, now_us));
        }
    }
    merged.snapshot(StreamFacts {
        name: stream.namespace.to_string(),
        state: match stream.presence() {
            Presence::Live => StreamState::Live,
            Presence::Lingering | Presence::Ended => StreamState::Lingering,
        },
        since: clock::rfc3339(stream.since_ms),
        publisher: stream.publisher(),
        tracks,
        subscribers: stream.viewer_count() as u64,
        viewers_reporting: stream.reporting_count() as u64,
        warnings: stream.watch.lock().warnings(),
    })
}
