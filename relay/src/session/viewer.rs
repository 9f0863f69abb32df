//! A session as a viewer of one stream: its row in the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use weir_protocol::moqt::Version;

use super::Session;
use crate::stats::Skipped;
use crate::stats::report::Report;
use crate::stats::snapshot::{ReportSnapshot, ViewerSnapshot};
use crate::stream::{Stream, Track, ViewerCounters, ViewerProbe};
use crate::{clock, webtransport};

/// A session that subscribes to at least one track of a stream.
pub(super) struct Viewing {
    connection: Arc<webtransport::Session>,
    version: Version,
    implementation: String,
    since_us: u64,
    counters: Arc<ViewerCounters>,
    /// Track names, and how many subscriptions each has.
    tracks: Mutex<BTreeMap<String, usize>>,
    /// The newest report of its player, and when it came.
    report: Mutex<Option<(Report, u64)>>,
}

/// One subscription's share in a [`Viewing`]; the last one to go takes it along.
pub(super) struct Watching {
    session: Arc<Session>,
    stream: Arc<Stream>,
    viewing: Arc<Viewing>,
    track: String,
}

impl Watching {
    /// Says that `session` subscribes to a track of `stream`.
    pub(super) fn begin(session: &Arc<Session>, stream: &Arc<Stream>, track: &Track) -> Self {
        let track = String::from_utf8_lossy(&track.name).into_owned();
        let mut all = session.viewing.lock();
        let viewing = all.entry(stream.namespace.clone()).or_insert_with(|| {
            let viewing = Arc::new(Viewing::new(session));
            stream.add_viewer(session.id, Arc::clone(&viewing) as _);
            viewing
        });
        let viewing = Arc::clone(viewing);
        drop(all);
        *viewing.tracks.lock().entry(track.clone()).or_default() += 1;
        Self {
            session: Arc::clone(session),
            stream: Arc::clone(stream),
            viewing,
            track,
        }
    }

    /// The figures of the session on this stream.
    pub(super) fn counters(&self) -> &Arc<ViewerCounters> {
        &self.viewing.counters
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut all = self.session.viewing.lock();
        let mut tracks = self.viewing.tracks.lock();
        if let Some(count) = tracks.get_mut(&self.track) {
            *count -= 1;
            if *count == 0 {
                tracks.remove(&self.track);
            }
        }
        if tracks.is_empty() {
            all.remove(&self.stream.namespace);
            self.stream.remove_viewer(self.session.id);
        }
    }
}

impl Viewing {
    fn new(session: &Session) -> Self {
        let setup = session.setup.get();
        let implementation = setup.and_then(|setup| setup.implementation.as_deref());
        Self {
            connection: Arc::clone(&session.connection),
            version: session.version,
            implementation: shown(implementation.unwrap_or_default()),
            since_us: clock::now_us(),
            counters: Arc::default(),
            tracks: Mutex::default(),
            report: Mutex::default(),
        }
    }

    fn report(&self) -> Option<ReportSnapshot> {
        let report = self.report.lock();
        let (report, at_us) = report.as_ref()?;
        let age_us = clock::now_us().saturating_sub(*at_us);
        Some(ReportSnapshot::new(report, age_us / 1000))
    }

    /// Keeps a report of the viewer's player.
    pub(super) fn on_report(&self, report: &Report, now_us: u64) {
        *self.report.lock() = Some((report.clone(), now_us));
    }
}

impl ViewerProbe for Viewing {
    fn addr(&self) -> String {
        self.connection.remote_address().to_string()
    }

    fn has_reported(&self) -> bool {
        self.report.lock().is_some()
    }

    fn snapshot(&self) -> ViewerSnapshot {
        let path = self.connection.stats().path;
        let webtransport = self.connection.request().is_some();
        let counters = &self.counters;
        let connected_us = clock::now_us().saturating_sub(self.since_us);
        ViewerSnapshot {
            addr: self.connection.remote_address().to_string(),
            transport: if webtransport { "webtransport" } else { "quic" }.to_owned(),
            draft: self.version.alpn().to_owned(),
            implementation: self.implementation.clone(),
            rtt_us: clock::micros(path.rtt),
            cwnd_bytes: path.cwnd,
            bytes_out: counters.bytes.load(Ordering::Relaxed),
            behind_ms: counters.behind_us.load(Ordering::Relaxed) / 1000,
            objects_skipped: Skipped {
                behind: counters.skipped_behind.load(Ordering::Relaxed),
                reset: counters.skipped_reset.load(Ordering::Relaxed),
            },
            connected_s: connected_us / clock::MICROS_PER_SECOND,
            tracks: self.tracks.lock().keys().cloned().collect(),
            report: self.report(),
            ..ViewerSnapshot::default()
        }
    }
}

/// A peer's name for itself, fit for a terminal and a page.
pub(super) fn shown(name: &str) -> String {
    let printable = name.chars().filter(|c| !c.is_control());
    printable.take(NAME_CHARS).collect()
}

/// Characters of a peer's name that are kept.
const NAME_CHARS: usize = 64;
