//! One live stream: its tracks, its publisher's comings and goings, its viewers, its figures.
//!
//! ```text
//!            publish            publisher gone          linger over
//!   (none) ─────────► Live ───────────────────► Lingering ─────────► ended
//!                      ▲ │ publish (takeover)        │ publish
//!                      └─┴──────────────◄────────────┘
//! ```
//!
//! A publisher may vanish and return: the tracks stay for the linger time, and the next publisher
//! of the same name continues them, with group ids that go on upward and media time that goes on
//! forward. It may also arrive while the dead connection is still open; the older one is told.

mod contents;
mod inflow;
mod publisher;
mod supply;
mod timeline;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use weir_protocol::moqt::{FullTrackName, Namespace, PublishDoneCode, TrackProperties};

use crate::clock;
use crate::ring::{self, Budget, Ring, Writer};
use crate::stats::events::{Event, EventKind, EventLog};
use crate::stats::health::Vitals;
use crate::stats::snapshot::{PublisherSnapshot, TrackSnapshot};
use crate::stats::{Kind, Recorder, Skipped, Watch};

use inflow::Inflow;
pub use publisher::{Publisher, TrackWriter};
pub use supply::{Answer, Demand};
pub use timeline::Timeline;

/// Limits of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long the tracks stay without a publisher, in microseconds.
    pub linger_us: u64,
    /// What each track keeps.
    pub ring: ring::Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            linger_us: 10 * clock::MICROS_PER_SECOND,
            ring: ring::Limits::default(),
        }
    }
}

/// A track: its ring, and what a subscriber must be told about it.
#[derive(Debug)]
pub struct Track {
    /// The track's name within its namespace.
    pub name: Bytes,
    /// The alias that every viewer gets for this track, unique in the process.
    pub alias: u64,
    /// The track's groups.
    pub ring: Arc<Ring>,
    /// Track properties as a KVP block.
    pub properties: Bytes,
    /// The publisher's priority; lower is more urgent.
    pub priority: u8,
    /// Whether a viewer's first object of this track is its first frame.
    pub first_frame: bool,
    /// Whether a group says all that there is to know (a catalog), so that whoever subscribes is
    /// sent the newest one, however old it is.
    pub replayed: bool,
    /// Why the track has ended, when it was not simply over.
    pub fate: OnceLock<PublishDoneCode>,
}

impl Track {
    /// A track on `ring` that shows this one in another form.
    pub fn view(&self, name: &[u8], ring: Arc<Ring>, properties: Bytes) -> Self {
        Self {
            name: Bytes::copy_from_slice(name),
            alias: next_alias(),
            ring,
            properties,
            priority: self.priority,
            first_frame: self.first_frame,
            replayed: self.replayed,
            fate: OnceLock::new(),
        }
    }
}

/// What a track is when it is made.
#[derive(Clone, Debug)]
pub struct TrackOptions {
    /// Track properties as a KVP block.
    pub properties: Bytes,
    /// The publisher's priority; lower is more urgent.
    pub priority: u8,
    /// Whether a viewer's first object of this track is its first frame.
    pub first_frame: bool,
}

impl TrackOptions {
    /// What the properties of a track of a publisher over MoQT say.
    pub fn of(known: &TrackProperties, properties: Bytes, name: &FullTrackName) -> Self {
        let shown = name.track().to_ascii_lowercase();
        let pictures = shown.windows(b"video".len()).any(|part| part == b"video");
        Self {
            properties,
            priority: known.publisher_priority.unwrap_or(DEFAULT_PRIORITY),
            first_frame: pictures,
        }
    }
}

/// The priority of tracks that state none (draft 19, "DEFAULT PUBLISHER PRIORITY").
const DEFAULT_PRIORITY: u8 = 128;

/// Figures of one viewer's session, written by its shard and read by the control side.
#[derive(Debug, Default)]
pub struct ViewerCounters {
    /// Bytes of objects accepted by the viewer's streams.
    pub bytes: AtomicU64,
    /// Objects given up because the viewer was behind.
    pub skipped_behind: AtomicU64,
    /// Objects given up because the viewer stopped their group.
    pub skipped_reset: AtomicU64,
    /// How far the viewer was behind when it was last looked at, in microseconds.
    pub behind_us: AtomicU64,
}

/// A viewer as the control side sees it. How to ask its connection is the session's business.
pub trait ViewerProbe: Send + Sync {
    /// The viewer's row in the API.
    fn snapshot(&self) -> crate::stats::snapshot::ViewerSnapshot;
    /// Its remote address and port. Asked while it comes and goes, so it must take no lock.
    fn addr(&self) -> String;
    /// Whether its player has reported. Asked of every viewer, so it must be cheap.
    fn has_reported(&self) -> bool {
        false
    }
}

/// One live stream.
pub struct Stream {
    /// The stream's name.
    pub namespace: Namespace,
    /// When the stream began, in Unix milliseconds.
    pub since_ms: u64,
    /// What the control side's looks at the stream remember.
    pub watch: Mutex<Watch>,
    inflow: Mutex<Inflow>,
    events: Mutex<EventLog>,
    /// The log of the whole relay.
    all_events: Arc<Mutex<EventLog>>,
    config: Config,
    budget: Arc<Budget>,
    recorders: Vec<Mutex<Recorder>>,
    tracks: RwLock<BTreeMap<Bytes, Arc<Track>>>,
    /// The news that a track was added.
    added: watch::Sender<()>,
    /// Tracks that show others in another form, for as long as somebody has them.
    views: Mutex<BTreeMap<Bytes, Weak<Track>>>,
    viewers: Mutex<BTreeMap<u64, Arc<dyn ViewerProbe>>>,
    state: Mutex<State>,
    writer: watch::Sender<Writer>,
    supply: supply::Supply,
    /// The registry's news that a name came or went.
    names: watch::Sender<u64>,
}

struct State {
    /// Who publishes, or who did last.
    publisher: PublisherSnapshot,
    live: bool,
    announced: bool,
    /// When the publisher came.
    live_since_us: u64,
    described: Vec<(Kind, TrackSnapshot)>,
    /// When the stream ends unless a publisher comes; none while one is there.
    ends_us: Option<u64>,
    /// How many upstreams tell the name.
    holds: usize,
    ended: bool,
}

/// Whether a stream has a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A publisher is connected.
    Live,
    /// The publisher is gone and may return.
    Lingering,
    /// The stream is over.
    Ended,
}

impl Stream {
    /// A stream without a publisher, which ends after the linger time unless one comes. `names`
    /// hears when it is announced; what happens to it is also said in `log`.
    pub fn new(
        namespace: Namespace,
        shards: usize,
        config: Config,
        names: watch::Sender<u64>,
        log: Arc<Mutex<EventLog>>,
        budget: Arc<Budget>,
        now_us: u64,
    ) -> Self {
        Self {
            namespace,
            since_ms: clock::unix_ms(),
            inflow: Mutex::new(Inflow::new(now_us)),
            watch: Mutex::default(),
            events: Mutex::default(),
            all_events: log,
            config,
            budget,
            recorders: (0..shards)
                .map(|_| Mutex::new(Recorder::new(now_us)))
                .collect(),
            tracks: RwLock::default(),
            added: watch::Sender::new(()),
            views: Mutex::default(),
            viewers: Mutex::default(),
            state: Mutex::new(State {
                publisher: PublisherSnapshot::default(),
                live: false,
                announced: false,
                live_since_us: now_us,
                described: Vec::new(),
                ends_us: Some(now_us + config.linger_us),
                holds: 0,
                ended: false,
            }),
            writer: watch::Sender::new(Writer(0)),
            supply: supply::Supply::default(),
            names,
        }
    }

    /// Whether those who ask which names there are are told this one: from the moment when its
    /// tracks can be subscribed until it ends.
    pub fn is_announced(&self) -> bool {
        let state = self.state.lock();
        state.announced && !state.ended
    }

    /// The track of that name.
    pub fn track(&self, name: &[u8]) -> Option<Arc<Track>> {
        self.tracks.read().get(name).cloned()
    }

    /// The view of that name, made if nobody has it. Those that nobody has are forgotten, so that
    /// there are no more than are asked for.
    pub fn view(&self, name: &[u8], make: impl FnOnce() -> Arc<Track>) -> Arc<Track> {
        let mut views = self.views.lock();
        if let Some(view) = views.get(name).and_then(Weak::upgrade) {
            return view;
        }
        let view = make();
        views.retain(|_, view| view.strong_count() > 0);
        views.insert(view.name.clone(), Arc::downgrade(&view));
        view
    }

    /// A ring for a track of the stream.
    pub fn ring(&self) -> Ring {
        Ring::within(self.config.ring, Arc::clone(&self.budget))
    }

    /// Drops what the tracks keep for later. Returns whether there was anything.
    pub fn trim(&self) -> bool {
        let tracks = self.tracks();
        tracks.iter().filter(|track| track.ring.trim()).count() > 0
    }

    /// The tracks, by name.
    pub fn tracks(&self) -> Vec<Arc<Track>> {
        self.tracks.read().values().cloned().collect()
    }

    /// Follows the tracks: changes whenever one is added.
    pub fn track_changes(&self) -> watch::Receiver<()> {
        self.added.subscribe()
    }

    /// What the stream's viewers on `shard` are recorded into.
    pub fn recorder(&self, shard: usize) -> &Mutex<Recorder> {
        &self.recorders[shard % self.recorders.len()]
    }

    /// One recorder a shard.
    pub fn recorders(&self) -> &[Mutex<Recorder>] {
        &self.recorders
    }

    /// Whether a publisher is there.
    pub fn presence(&self) -> Presence {
        let state = self.state.lock();
        match (state.ended, state.live) {
            (true, _) => Presence::Ended,
            (false, true) => Presence::Live,
            (false, false) => Presence::Lingering,
        }
    }

    /// Who publishes, or who did last.
    pub fn publisher(&self) -> PublisherSnapshot {
        self.state.lock().publisher.clone()
    }

    /// Says what happened, in the stream's log and in the relay's.
    pub fn log(&self, event: Event) {
        let event = event.stream(self.namespace.to_string());
        self.all_events.lock().push(event.clone());
        self.events.lock().push(event);
    }

    /// What happened, the newest first.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().newest_first()
    }

    /// What warnings look at.
    pub fn vitals(&self, now_us: u64) -> Vitals {
        let state = self.state.lock();
        let live_us = state
            .live
            .then(|| now_us.saturating_sub(state.live_since_us));
        drop(state);
        Vitals {
            live_us,
            ..self.ingest().vitals(now_us)
        }
    }

    /// Objects that viewers did not get, since the start.
    pub fn skipped(&self) -> Skipped {
        let mut skipped = Skipped::default();
        for recorder in &self.recorders {
            skipped.add(recorder.lock().skipped());
        }
        skipped
    }

    /// Adds a viewer under its number: see [`next_viewer`].
    pub fn add_viewer(&self, id: u64, probe: Arc<dyn ViewerProbe>) {
        let addr = probe.addr();
        self.viewers.lock().insert(id, probe);
        self.log(Event::new(EventKind::ViewerJoined, clock::unix_ms()).who(addr));
    }

    /// Removes a viewer. What it received stays in the recorders.
    pub fn remove_viewer(&self, id: u64) {
        let probe = self.viewers.lock().remove(&id);
        if let Some(probe) = probe {
            let addr = probe.addr();
            self.log(Event::new(EventKind::ViewerLeft, clock::unix_ms()).who(addr));
        }
    }

    /// The viewers that are there.
    pub fn viewers(&self) -> Vec<Arc<dyn ViewerProbe>> {
        self.viewers.lock().values().cloned().collect()
    }

    /// How many viewers are there.
    pub fn viewer_count(&self) -> usize {
        self.viewers.lock().len()
    }

    /// How many of them have players that report.
    pub fn reporting_count(&self) -> usize {
        let viewers = self.viewers.lock();
        viewers
            .values()
            .filter(|viewer| viewer.has_reported())
            .count()
    }

    /// Ends the stream if its linger time is over. Returns whether it has ended.
    pub fn expire(&self, now_us: u64) -> bool {
        let due = {
            let state = self.state.lock();
            state.ended || state.ends_us.is_some_and(|ends_us| ends_us <= now_us)
        };
        if due {
            self.end();
        }
        due
    }

    /// Ends the stream and its tracks.
    pub fn end(&self) {
        let mut state = self.state.lock();
        let ended = std::mem::replace(&mut state.ended, true);
        state.live = false;
        drop(state);
        if !ended {
            self.log(Event::new(EventKind::StreamEnded, clock::unix_ms()));
        }
        for track in self.tracks.read().values() {
            track.ring.end();
        }
        // Wakes the publisher, which finds itself superseded.
        self.writer.send_modify(|writer| writer.0 += 1);
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A number for a viewer of any kind, that no other viewer of this process has.
pub fn next_viewer() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A track alias that no other track of this process has.
pub(crate) fn next_alias() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
