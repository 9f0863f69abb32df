//! Names to streams, and the news that a name came or went.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};
use weir_protocol::moqt::Namespace;

use crate::ring::Budget;
use crate::stats::events::{Event, EventLog};
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::{self, Demand, Presence, Publisher, Stream};

/// Limits of the registry and of its streams.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Streams at a time, lingering ones included.
    pub max_streams: usize,
    /// Bytes that the tracks of all streams may keep together.
    pub cache_bytes: usize,
    /// Each stream's limits.
    pub stream: stream::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // At the cache budget of a ring the machine is full long before; this bounds names.
            max_streams: 4096,
            // The assembly knows how much memory there is.
            cache_bytes: usize::MAX,
            stream: stream::Config::default(),
        }
    }
}

/// Why a stream cannot be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// [`Config::max_streams`] are there.
    #[error("this relay carries its limit of {0} streams")]
    TooManyStreams(usize),
    /// Somebody publishes the name in another way.
    #[error("{name} is published over {protocol} by {addr}: stop that, or choose another name")]
    Owned {
        /// The name.
        name: Namespace,
        /// How it is published.
        protocol: String,
        /// By whom.
        addr: String,
    },
}

/// All streams of the relay.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    shards: usize,
    streams: RwLock<BTreeMap<Namespace, Arc<Stream>>>,
    changes: watch::Sender<u64>,
    events: Arc<Mutex<EventLog>>,
    /// What the rings of all streams may keep together.
    budget: Arc<Budget>,
    /// Who is asked for streams that are not here.
    fallback: OnceLock<mpsc::Sender<Demand>>,
}

impl Registry {
    /// An empty registry whose streams are recorded by `shards` shards.
    pub fn new(config: Config, shards: usize) -> Self {
        Self {
            config,
            shards,
            streams: RwLock::default(),
            changes: watch::Sender::new(0),
            events: Arc::default(),
            budget: Arc::new(Budget::new(config.cache_bytes)),
            fallback: OnceLock::new(),
        }
    }

    /// The stream of that name.
    pub fn stream(&self, namespace: &Namespace) -> Option<Arc<Stream>> {
        self.streams.read().get(namespace).cloned()
    }

    /// Says what happened to no stream that is there: somebody was refused, say.
    pub fn log(&self, event: Event) {
        self.events.lock().push(event);
    }

    /// What happened to all streams, those that are over included; the newest first.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().newest_first()
    }

    /// Names who is asked for streams that are not here.
    pub fn set_fallback(&self, supplier: mpsc::Sender<Demand>) {
        // There is one upstream side a relay.
        let _ = self.fallback.set(supplier);
    }

    /// The stream of that name, or one without a publisher that stands for the upstream's; `None`
    /// when there is no upstream, or no room.
    pub fn remote(&self, namespace: &Namespace, now_us: u64) -> Option<Arc<Stream>> {
        if let Some(stream) = self.stream(namespace) {
            return Some(stream);
        }
        let supplier = self.fallback.get()?;
        let mut streams = self.streams.write();
        if let Some(stream) = streams.get(namespace) {
            return Some(Arc::clone(stream));
        }
        if streams.len() >= self.config.max_streams {
            return None;
        }
        let stream = self.new_stream(namespace, now_us);
        stream.set_supplier(supplier.clone());
        streams.insert(namespace.clone(), Arc::clone(&stream));
        Some(stream)
    }

    fn new_stream(&self, namespace: &Namespace, now_us: u64) -> Arc<Stream> {
        Arc::new(Stream::new(
            namespace.clone(),
            self.shards,
            self.config.stream,
            self.changes.clone(),
            Arc::clone(&self.events),
            Arc::clone(&self.budget),
            now_us,
        ))
    }

    /// Forgets a stream that never had anything: what was asked for is nowhere.
    pub fn forget(&self, stream: &Arc<Stream>) {
        let mut streams = self.streams.write();
        let is = |known: &Arc<Stream>| Arc::ptr_eq(known, stream);
        if streams.get(&stream.namespace).is_some_and(is) && stream.is_blank() {
            streams.remove(&stream.namespace);
            drop(streams);
            stream.end();
        }
    }

    /// Streams that there may be at a time.
    pub fn max_streams(&self) -> usize {
        self.config.max_streams
    }

    /// What the rings of all streams keep, and may.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Drops what the streams keep for later: the memory is full. Returns how many had anything.
    pub fn trim(&self) -> usize {
        let streams = self.streams();
        streams.iter().filter(|stream| stream.trim()).count()
    }

    /// All streams, by name.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().values().cloned().collect()
    }

    /// The announced streams whose names begin with the fields of `prefix`, by name.
    pub fn announced(&self, prefix: &Namespace) -> Vec<Arc<Stream>> {
        let streams = self.streams.read();
        let from = streams.range::<Namespace, _>((Bound::Included(prefix), Bound::Unbounded));
        let below = from.take_while(|(namespace, _)| namespace.starts_with(prefix));
        below
            .map(|(_, stream)| stream)
            .filter(|stream| stream.is_announced())
            .cloned()
            .collect()
    }

    /// Publishes `namespace`: begins the stream, or takes over the one that is there.
    ///
    /// A live stream is taken over by a publisher of the same protocol only, which is how an
    /// encoder returns while its dead connection is still open. Any other is refused: two sources
    /// that know nothing of each other would fight for the name for ever.
    pub fn publish(
        &self,
        namespace: &Namespace,
        info: PublisherSnapshot,
        now_us: u64,
    ) -> Result<Publisher, PublishError> {
        let mut streams = self.streams.write();
        let live = |stream: &&Arc<Stream>| stream.presence() == Presence::Live;
        let owner = streams.get(namespace).filter(live);
        let owner = owner.map(|stream| stream.publisher());
        if let Some(owner) = owner.filter(|owner| owner.protocol != info.protocol) {
            return Err(PublishError::Owned {
                name: namespace.clone(),
                protocol: owner.protocol,
                addr: owner.addr,
            });
        }
        if let Some(stream) = streams.get(namespace)
            && let Some(publisher) = Publisher::take_over(stream, info.clone())
        {
            return Ok(publisher);
        }
        if streams.len() >= self.config.max_streams && !streams.contains_key(namespace) {
            return Err(PublishError::TooManyStreams(self.config.max_streams));
        }
        let stream = self.new_stream(namespace, now_us);
        let publisher = Publisher::take_over(&stream, info);
        streams.insert(namespace.clone(), stream);
        drop(streams);
        self.announce();
        // A stream that was just made has not ended.
        publisher.ok_or(PublishError::TooManyStreams(self.config.max_streams))
    }

    /// Ends the streams whose linger time is over. Returns their names.
    pub fn sweep(&self, now_us: u64) -> Vec<Namespace> {
        let mut ended = Vec::new();
        let mut streams = self.streams.write();
        streams.retain(|namespace, stream| {
            let over = stream.expire(now_us);
            if over {
                ended.push(namespace.clone());
            }
            !over
        });
        drop(streams);
        if !ended.is_empty() {
            self.announce();
        }
        ended
    }

    /// Ends every stream: the relay stops.
    pub fn end_all(&self) {
        for stream in self.streams.read().values() {
            stream.end();
        }
    }

    /// Says that a name came or went.
    pub fn announce(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// Follows the names: changes whenever one comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
