//! A player as a viewer of its stream: its row in the API, and what it adds to the figures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;

use super::batch::Times;
use super::feed::Feed;
use crate::stats::snapshot::ViewerSnapshot;
use crate::stats::{Arrears, SkipReason, Skipped, Stage};
use crate::stream::{ViewerCounters, ViewerProbe, next_viewer};
use crate::{clock, net};

/// The player's figures; its row is there as long as this is.
pub(super) struct Viewing {
    feed: Arc<Feed>,
    shard: usize,
    id: u64,
    row: Arc<Row>,
    arrears: Arrears,
    /// When it asked; none once it has its first frame.
    asked_us: Option<u64>,
    looked_us: u64,
}

struct Row {
    addr: SocketAddr,
    program: String,
    since_us: u64,
    counters: ViewerCounters,
    rtt_us: AtomicU64,
    cwnd_bytes: AtomicU64,
    tracks: Vec<String>,
}

impl Viewing {
    pub(super) fn begin(
        feed: &Arc<Feed>,
        shard: usize,
        addr: SocketAddr,
        program: &str,
        asked_us: u64,
    ) -> Self {
        let now_us = clock::now_us();
        let description = feed.mirror.lock().description().cloned();
        let names = description
            .iter()
            .flat_map(|description| description.names());
        let row = Arc::new(Row {
            addr,
            program: shown(program),
            since_us: now_us,
            counters: ViewerCounters::default(),
            rtt_us: AtomicU64::new(0),
            cwnd_bytes: AtomicU64::new(0),
            tracks: names.collect(),
        });
        let id = next_viewer();
        feed.stream.add_viewer(id, Arc::clone(&row) as _);
        Self {
            feed: Arc::clone(feed),
            shard,
            id,
            row,
            arrears: Arrears::new(now_us),
            asked_us: Some(asked_us),
            looked_us: 0,
        }
    }

    /// When an object that was complete at `complete_us` and is written now was taken up.
    pub(super) fn times(&self, first_byte_us: u64, complete_us: u64, now_us: u64) -> Times {
        Times {
            first_byte_us,
            taken_us: self.arrears.taken_us(complete_us, now_us),
        }
    }

    /// The socket takes no more.
    pub(super) fn on_blocked(&mut self, now_us: u64) {
        self.arrears.on_blocked(now_us);
    }

    /// Everything that there is was written.
    pub(super) fn on_caught_up(&mut self) {
        self.arrears.on_caught_up();
    }

    /// How far the player is behind.
    pub(super) fn on_behind(&self, behind_us: u64) {
        self.row
            .counters
            .behind_us
            .store(behind_us, Ordering::Relaxed);
    }

    /// The player was too far behind.
    pub(super) fn on_skip(&self, objects: u64) {
        let mut recorder = self.feed.stream.recorder(self.shard).lock();
        recorder.on_skip(SkipReason::Behind, objects);
        let skipped = &self.row.counters.skipped_behind;
        skipped.fetch_add(objects, Ordering::Relaxed);
    }

    /// An object was taken up that was complete `queued_us` before.
    pub(super) fn on_taken(&self, queued_us: u64, now_us: u64) {
        let mut recorder = self.feed.stream.recorder(self.shard).lock();
        recorder.record(Stage::Queue, queued_us, now_us);
    }

    /// The socket took these objects, `bytes` with their headers.
    pub(super) fn on_written(&mut self, objects: &[Times], bytes: u64, socket: &TcpStream) {
        let now_us = clock::now_us();
        let mut recorder = self.feed.stream.recorder(self.shard).lock();
        for times in objects {
            let Some(taken_us) = times.taken_us else {
                continue;
            };
            recorder.record(Stage::Send, now_us.saturating_sub(taken_us), now_us);
            let relay_us = now_us.saturating_sub(times.first_byte_us);
            recorder.record(Stage::Relay, relay_us, now_us);
        }
        recorder.on_bytes_out(bytes, objects.len() as u64);
        if let Some(asked_us) = self.asked_us.take_if(|_| !objects.is_empty()) {
            recorder.on_first_frame(now_us.saturating_sub(asked_us), now_us);
        }
        drop(recorder);
        let row = &self.row;
        row.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        if now_us.saturating_sub(self.looked_us) > LOOK_EVERY_US {
            self.looked_us = now_us;
            if let Some((rtt_us, cwnd_bytes)) = net::tcp_path(socket) {
                row.rtt_us.store(rtt_us, Ordering::Relaxed);
                row.cwnd_bytes.store(cwnd_bytes, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.feed.stream.remove_viewer(self.id);
    }
}

impl ViewerProbe for Row {
    fn addr(&self) -> String {
        self.addr.to_string()
    }

    fn snapshot(&self) -> ViewerSnapshot {
        let counters = &self.counters;
        let connected_us = clock::now_us().saturating_sub(self.since_us);
        ViewerSnapshot {
            addr: self.addr.to_string(),
            transport: "rtmp".to_owned(),
            implementation: self.program.clone(),
            rtt_us: self.rtt_us.load(Ordering::Relaxed),
            cwnd_bytes: self.cwnd_bytes.load(Ordering::Relaxed),
            bytes_out: counters.bytes.load(Ordering::Relaxed),
            behind_ms: counters.behind_us.load(Ordering::Relaxed) / 1000,
            objects_skipped: Skipped {
                behind: counters.skipped_behind.load(Ordering::Relaxed),
                reset: 0,
            },
            connected_s: connected_us / clock::MICROS_PER_SECOND,
            tracks: self.tracks.clone(),
            ..ViewerSnapshot::default()
        }
    }
}

/// A peer's name for itself, fit for a terminal and a page.
fn shown(name: &str) -> String {
    let printable = name.chars().filter(|c| !c.is_control());
    printable.take(NAME_CHARS).collect()
}

/// Characters of a peer's name that are kept.
const NAME_CHARS: usize = 64;

/// How often the state of the connection is looked at: as often as a person would.
const LOOK_EVERY_US: u64 = 1_000_000;
