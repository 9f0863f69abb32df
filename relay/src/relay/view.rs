//! What the control side shows of the relay: snapshots, made when they are asked for.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use weir_protocol::moqt::Namespace;

use super::{Addrs, Applied, Reloader, process};
use crate::auth::{Action, Attempt, Denial};
use crate::clock;
use crate::http::{self, ReloadOutcome};
use crate::pressure::Limit;
use crate::shard::{Shard, Shared};
use crate::stats::snapshot::{
    History, LimitSnapshot, ProcessSnapshot, ShardLoad, StreamDetail, StreamSnapshot, StreamState,
};
use crate::stats::{Merged, StreamFacts};
use crate::stream::{Presence, Stream};
use crate::tls::Acceptor;

/// What the snapshots are made from.
pub(super) struct View {
    pub(super) shared: Arc<Shared>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) shards: Arc<Vec<Shard>>,
    pub(super) addrs: Addrs,
    pub(super) started_us: u64,
    /// Publishers' places.
    pub(super) admitted: Arc<Semaphore>,
    /// TLS of the control listener.
    pub(super) tls: Option<Acceptor>,
    /// Bytes that the relay may have.
    pub(super) memory: u64,
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
            admitted,
            memory,
            tls,
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
                let limits = limits(&process, &admitted, memory);
                ProcessSnapshot {
                    limits,
                    ..process_snapshot(&process, &addrs, started_us, connections)
                }
            }),
            pressure: Arc::clone(&shared.pressure),
            tls,
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
    ProcessSnapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: uptime_us / clock::MICROS_PER_SECOND,
        listeners: listeners
            .map(|(name, addr)| (name.to_owned(), addr.to_string()))
            .into(),
        publishers: streams.iter().filter(live).count() as u64,
        shard_connections: shard_connections.clone(),
        limits: Vec::new(),
        shard_load: shard_load(shared, &shard_connections),
        reports: shared.counters.reports().to_vec(),
        datagrams_unknown: shared.counters.datagrams_unknown.load(Ordering::Relaxed),
        cpu_s: process::cpu_s(),
        resident_bytes: process::resident_bytes(),
    }
}

fn shard_load(shared: &Shared, connections: &[u64]) -> Vec<ShardLoad> {
    let load = shared.pressure.shards().into_iter();
    let pairs = load.zip(connections.iter().copied().chain(std::iter::repeat(0)));
    let shown = |((busy_percent, lag_us, overloaded), connections)| ShardLoad {
        connections,
        busy_percent,
        lag_us,
        overloaded,
    };
    pairs.map(shown).collect()
}

/// Every limit with what is in use of it.
fn limits(shared: &Shared, admitted: &Semaphore, memory: u64) -> Vec<LimitSnapshot> {
    let pressure = &shared.pressure;
    let config = &pressure.config;
    let budget = shared.registry.budget();
    let free = |limit: usize, places: &Semaphore| {
        Some(limit.saturating_sub(places.available_permits()) as u64)
    };
    let busiest = pressure.shards();
    let most = |of: fn(&(u64, u64, bool)) -> u64| busiest.iter().map(of).max();
    let shown = |limit: Limit| {
        let (allowed, used) = match limit {
            Limit::Handshakes => {
                let taken = pressure.handshakes.taken() as u64;
                (config.handshakes as u64, Some(taken))
            }
            Limit::Retry => (config.retry_above as u64, None),
            Limit::Stateless => (config.stateless_per_s.into(), None),
            Limit::PerAddress => (config.connections_per_address.into(), None),
            Limit::ConnectRate => (config.connects_per_s.into(), None),
            Limit::Sessions => {
                let used = free(config.sessions, &shared.sessions);
                (config.sessions as u64, used)
            }
            Limit::Publishers => (config.publishers as u64, free(config.publishers, admitted)),
            Limit::Streams => {
                let streams = shared.registry.streams().len() as u64;
                (shared.registry.max_streams() as u64, Some(streams))
            }
            Limit::Http => (config.http_connections as u64, None),
            Limit::Subscriptions => {
                let taken = pressure.subscriptions.taken() as u64;
                (config.subscriptions as u64, Some(taken))
            }
            Limit::RequestRate => (config.requests_per_s.into(), None),
            Limit::Busy => (config.busy_percent.into(), most(|shard| shard.0)),
            Limit::Lag => (config.lag_us / 1000, most(|shard| shard.1 / 1000)),
            Limit::Memory => {
                let resident = process::resident_bytes();
                (memory >> 20, resident.map(|bytes| bytes >> 20))
            }
            Limit::Cache => (
                budget.limit() as u64 >> 20,
                Some(budget.used() as u64 >> 20),
            ),
        };
        LimitSnapshot {
            name: limit.name(),
            limit: allowed,
            used,
            // The rings count for themselves.
            hits: match limit == Limit::Cache {
                true => budget.hits(),
                false => pressure.hits(limit),
            },
        }
    };
    Limit::ALL.iter().copied().map(shown).collect()
}

/// Everything that the API says of a stream but its viewers.
pub(super) fn snapshot(stream: &Stream) -> StreamSnapshot {
    let now_us = clock::now_us();
    let mut merged = Merged::new(now_us);
    for recorder in stream.recorders() {
        merged.add(&recorder.lock());
    }
    let described = stream.described_tracks();
    let mut tracks = Vec::with_capacity(described.len());
    {
        let ingest = stream.ingest();
        merged.add_ingest(&ingest);
        for (kind, track) in described {
            // Of several renditions the first is measured.
            let measured = stream.measured_kind(track.name.as_bytes()).flatten();
            tracks.push(match measured {
                Some(_) => track.with_rates(ingest.rates(kind, now_us)),
                None => track,
            });
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
