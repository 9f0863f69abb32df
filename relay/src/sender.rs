//! The fan-out of one shard: a pump a track, which serves all of the shard's viewers of it.
//!
//! A published object wakes the pump once, not each viewer. The pump brings its mirror of the ring
//! up to date under one short lock and walks its viewers, writing to each what its
//! [`Subscription`](crate::subscription::Subscription) says. Between stretches of viewers it
//! yields, so that the connections that were written to send while their data is hot, and the last
//! viewer's delay is not the sum of all.
//!
//! A viewer whose stream takes no more is set aside with a waker of its own, and costs nothing
//! until that waker fires or the policy gives its group up.

mod chunks;
mod join;
mod lateness;
mod options;
mod outlet;
mod streams;
#[cfg(test)]
mod tests;
mod viewer;
mod waker;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use weir_protocol::moqt::Location;

use crate::clock;
use crate::ring::{Reader, Wake};
use crate::stream::{Stream, Track};
use crate::webtransport::Session;

pub use join::Join;
pub use lateness::Lateness;
use lateness::Rounds;
pub use options::{Done, ViewerOptions};
pub use outlet::{Lost, Opening, Outlet, OutletStream, WriteError};
pub use streams::stream_priority;
use viewer::{Flow, Viewer};
use waker::ViewerWaker;

/// Bytes that a viewer's connection may hold unsent and unacknowledged before its congestion
/// window is known: enough for a key frame, little enough that a slow viewer is noticed by the
/// policy and not hidden in a queue.
pub const MIN_SEND_WINDOW: u64 = 256 << 10;

/// The most that a connection may hold: a second of 64 Mbit/s.
pub const MAX_SEND_WINDOW: u64 = 8 << 20;

/// The send window for a congestion window of `cwnd` bytes: twice it, so that the window is never
/// what limits the rate, within the bounds.
pub fn send_window(cwnd: u64) -> u64 {
    cwnd.saturating_mul(2)
        .clamp(MIN_SEND_WINDOW, MAX_SEND_WINDOW)
}

/// The pumps of one shard, by track.
#[derive(Debug)]
pub struct Fanout<C: Outlet = Session> {
    shard: usize,
    pumps: Mutex<HashMap<u64, Arc<Mailbox<C>>>>,
    lateness: Lateness,
}

/// How viewers and their sessions reach a pump.
#[derive(Debug)]
struct Mailbox<C: Outlet> {
    wake: Arc<Wake>,
    commands: Mutex<Vec<Command<C>>>,
    /// Slots of viewers whose stream may take more.
    writable: Mutex<Vec<usize>>,
}

#[derive(Debug)]
enum Command<C: Outlet> {
    Add(Box<Viewer<C>>),
    Remove(u64),
    Update(u64, Update),
}

/// What a REQUEST_UPDATE changes.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Whether objects are sent.
    pub forward: bool,
    /// Where to go on; none to go on where it is.
    pub restart: Option<Location>,
    /// The last object to send, inclusive.
    pub end: Option<Location>,
    /// The subscriber's priority.
    pub subscriber_priority: u8,
}

/// A running subscription. Dropping it ends it, resetting the stream that is open.
#[derive(Debug)]
pub struct Handle<C: Outlet = Session> {
    mailbox: Arc<Mailbox<C>>,
    id: u64,
}

impl<C: Outlet> Handle<C> {
    /// Applies a REQUEST_UPDATE.
    pub fn update(&self, update: Update) {
        self.mailbox.send(Command::Update(self.id, update));
    }
}

impl<C: Outlet> Drop for Handle<C> {
    fn drop(&mut self) {
        self.mailbox.send(Command::Remove(self.id));
    }
}

impl<C: Outlet> Default for Mailbox<C> {
    fn default() -> Self {
        Self {
            wake: Arc::default(),
            commands: Mutex::default(),
            writable: Mutex::default(),
        }
    }
}

impl<C: Outlet> Mailbox<C> {
    fn send(&self, command: Command<C>) {
        self.commands.lock().push(command);
        self.wake.wake();
    }
}

impl<C: Outlet> Fanout<C> {
    /// The fan-out of a shard, which has no viewers.
    pub fn new(shard: usize) -> Self {
        Self {
            shard,
            pumps: Mutex::default(),
            lateness: Lateness::default(),
        }
    }

    /// How late its viewers are looked at.
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// Begins to serve a viewer of `track`. Must be called on the shard's runtime.
    ///
    /// The receiver says when the subscription is over other than by dropping the handle.
    pub fn subscribe(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        track: &Arc<Track>,
        options: ViewerOptions<C>,
    ) -> (Handle<C>, oneshot::Receiver<Done>) {
        let (done, receiver) = oneshot::channel();
        let mut pumps = self.pumps.lock();
        let mailbox = pumps.entry(track.alias).or_insert_with(|| {
            let mailbox = Arc::<Mailbox<C>>::default();
            let pump = Pump::new(self, stream, track, &mailbox);
            tokio::spawn(pump.run());
            mailbox
        });
        let mailbox = Arc::clone(mailbox);
        let viewer = Viewer::new(options, track, stream, self.shard, done);
        let id = viewer.id();
        // Under the table's lock: a pump without viewers looks here before it stops.
        mailbox.send(Command::Add(Box::new(viewer)));
        drop(pumps);
        (Handle { mailbox, id }, receiver)
    }
}

/// The task that serves one track's viewers on one shard.
struct Pump<C: Outlet> {
    fanout: Arc<Fanout<C>>,
    stream: Arc<Stream>,
    alias: u64,
    mailbox: Arc<Mailbox<C>>,
    reader: Reader,
    viewers: Vec<Option<Box<Viewer<C>>>>,
    slots: HashMap<u64, usize>,
    /// The next slot to serve, and how many are still to be served since the ring changed.
    cursor: usize,
    remaining: usize,
    rounds: Rounds,
    scratch: Vec<usize>,
}

impl<C: Outlet> Pump<C> {
    fn new(
        fanout: &Arc<Fanout<C>>,
        stream: &Arc<Stream>,
        track: &Arc<Track>,
        mailbox: &Arc<Mailbox<C>>,
    ) -> Self {
        let reader = Reader::new(Arc::clone(&track.ring), Arc::clone(&mailbox.wake));
        Self {
            fanout: Arc::clone(fanout),
            stream: Arc::clone(stream),
            alias: track.alias,
            mailbox: Arc::clone(mailbox),
            reader,
            viewers: Vec::new(),
            slots: HashMap::new(),
            cursor: 0,
            remaining: 0,
            rounds: Rounds::default(),
            scratch: Vec::new(),
        }
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let news = self.mailbox.wake.take(cx.waker());
        if !news && self.remaining == 0 {
            return Poll::Pending;
        }
        // Priority 1: who comes, who leaves.
        self.apply_commands();
        // Priority 2: what was published. Everyone is to be looked at, from where the walk is.
        if self.reader.sync() {
            self.remaining = self.viewers.len();
            self.rounds.on_news(clock::now_us());
        }
        // Priority 3: whose stream takes more.
        let mut writable = std::mem::take(&mut self.scratch);
        std::mem::swap(&mut writable, &mut self.mailbox.writable.lock());
        self.serve(writable.drain(..), true);
        self.scratch = writable;
        // Priority 4: the walk.
        let steps = self.remaining.min(VIEWERS_PER_POLL);
        let (start, slots) = (self.cursor, self.viewers.len());
        let lateness = &self.fanout.lateness;
        self.rounds
            .on_looks(steps, slots, clock::now_us(), lateness);
        self.serve((0..steps).map(|step| (start + step) % slots), false);
        if slots > 0 {
            self.cursor = (start + steps) % slots;
        }
        self.remaining -= steps;
        if self.remaining > 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rounds.on_rest();
        match self.slots.is_empty() && self.close() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn serve(&mut self, slots: impl Iterator<Item = usize>, writable: bool) {
        let mut slots = slots.peekable();
        if slots.peek().is_none() {
            return;
        }
        let stream = Arc::clone(&self.stream);
        let mut recorder = stream.recorder(self.fanout.shard).lock();
        let mut now_us = clock::now_us();
        for slot in slots {
            let Some(Some(viewer)) = self.viewers.get_mut(slot) else {
                continue;
            };
            if writable {
                viewer.on_writable();
            }
            let flow = viewer.advance(&self.reader, &mut now_us, &mut recorder);
            if flow == Flow::Over {
                self.slots.remove(&viewer.id());
                self.viewers[slot] = None;
            }
        }
    }

    fn apply_commands(&mut self) {
        let commands = std::mem::take(&mut *self.mailbox.commands.lock());
        for command in commands {
            match command {
                Command::Add(viewer) => self.add(viewer),
                Command::Remove(id) => {
                    if let Some(slot) = self.slots.remove(&id) {
                        self.viewers[slot] = None;
                    }
                }
                Command::Update(id, update) => {
                    let slot = self.slots.get(&id).copied();
                    let viewer = slot.and_then(|slot| self.viewers[slot].as_mut());
                    if let (Some(slot), Some(viewer)) = (slot, viewer) {
                        viewer.update(update);
                        self.mailbox.writable.lock().push(slot);
                    }
                }
            }
        }
    }

    fn add(&mut self, mut viewer: Box<Viewer<C>>) {
        let slot = self.viewers.iter().position(Option::is_none);
        let slot = slot.unwrap_or_else(|| {
            self.viewers.push(None);
            self.viewers.len() - 1
        });
        viewer.set_waker(ViewerWaker::new(Arc::clone(&self.mailbox), slot));
        self.slots.insert(viewer.id(), slot);
        self.viewers[slot] = Some(viewer);
        self.mailbox.writable.lock().push(slot);
    }

    /// Leaves the table, unless a viewer came at the last moment. Returns whether it left.
    fn close(&self) -> bool {
        let mut pumps = self.fanout.pumps.lock();
        let empty = self.mailbox.commands.lock().is_empty();
        if empty {
            pumps.remove(&self.alias);
        }
        empty
    }
}

/// Viewers served before the pump lets their connections send, while their state is in the cache:
/// a connection's is about 20 kB.
const VIEWERS_PER_POLL: usize = 8;
