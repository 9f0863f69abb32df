//! The publishers: one for each stream, all in a thread of their own, so that reading for a hundred
//! viewers never delays a frame.

mod by_moqt;
mod by_rtmp;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use weir_protocol::{moqt::message::EncodeError, rtmp::client};

use super::{
    metronome::{BACKLOG, Metronome, Tick},
    payload::{Frames, Stamp},
    plan::{Door, Plan, Publish},
    quic::QuicError,
    times::{Percentiles, Times},
};
use crate::clock::Clock;

/// How long the relay may take to accept all publishers.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long publishers may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The connection could not be made, or broke.
    #[error("RTMP to {addr}: {error}")]
    Io {
        /// The relay.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The relay broke the protocol, or takes less than is sent.
    #[error("RTMP: {0}")]
    Session(#[from] client::Error),
    /// There is no MoQT session.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// A MoQT session ended, or broke the protocol.
    #[error("MoQT publisher: {0}")]
    Moqt(String),
    /// Our own message makes no sense.
    #[error("MoQT publisher: {0}")]
    Encode(#[from] EncodeError),
    /// The relay turned the publisher down.
    #[error("the relay refused the publisher: {code}: {description}")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        description: String,
    },
    /// The relay closed the connection.
    #[error("the relay closed the publisher's connection")]
    Closed,
    /// The relay takes less than is sent.
    #[error("the relay takes less than is sent: {BACKLOG} frames of a stream wait")]
    Backlog,
    /// The relay said nothing.
    #[error("the relay did not accept all publishers within {} s", ACCEPT_TIMEOUT.as_secs())]
    Timeout,
    /// Histograms would not be made.
    #[error(transparent)]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// Publishers at work.
#[derive(Debug)]
pub(super) struct Publishers {
    shared: Arc<Shared>,
    metronome: Option<Metronome>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the publishers tell.
#[derive(Debug)]
struct Shared {
    /// For each stream and track, the number of its next frame.
    next: Vec<Vec<AtomicU64>>,
    /// How late frames were written, against their schedule.
    lag: Mutex<Times>,
    error: Mutex<Option<PublishError>>,
}

/// One stream's publisher: what the kinds of publisher share.
struct Job {
    plan: Arc<Plan>,
    door: Door,
    stream: usize,
    clock: Clock,
    frames: Arc<Frames>,
    ticks: mpsc::Receiver<Tick>,
    accepted: blocking::Sender<()>,
    shared: Arc<Shared>,
    frame: Vec<u8>,
}

impl Publishers {
    /// Connects all and begins to publish when the relay has accepted all.
    pub(super) fn start(plan: &Plan, door: &Door, clock: Clock) -> Result<Self, PublishError> {
        let tracks = || plan.tracks.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            next: (0..plan.streams).map(|_| tracks()).collect(),
            lag: Mutex::new(Times::new()?),
            error: Mutex::new(None),
        });
        let (accepted, are_accepted) = blocking::channel();
        let (shared_plan, frames) = (Arc::new(plan.clone()), Arc::new(Frames::new()));
        let mut senders = Vec::new();
        let mut jobs = Vec::new();
        for stream in 0..plan.streams {
            let (sender, ticks) = mpsc::channel(BACKLOG);
            senders.push(sender);
            jobs.push(Job {
                plan: Arc::clone(&shared_plan),
                door: door.clone(),
                stream,
                clock,
                frames: Arc::clone(&frames),
                ticks,
                accepted: accepted.clone(),
                shared: Arc::clone(&shared),
                frame: Vec::new(),
            });
        }
        drop(accepted);
        let mut publishers = Self {
            thread: Some(spawn(jobs, plan.publish, Arc::clone(&shared))),
            shared,
            metronome: None,
        };
        for _ in 0..plan.streams {
            // A failure drops the senders, which ends the wait.
            if let Err(error) = are_accepted.recv_timeout(ACCEPT_TIMEOUT) {
                drop(senders);
                let told = publishers.stop().err();
                return Err(told.unwrap_or(match error {
                    blocking::RecvTimeoutError::Timeout => PublishError::Timeout,
                    blocking::RecvTimeoutError::Disconnected => PublishError::Closed,
                }));
            }
        }
        let metronome = Metronome::start(clock, &plan.tracks, plan.interleave, senders);
        publishers.metronome = Some(metronome);
        Ok(publishers)
    }

    /// For each stream and track, the number of its next frame.
    pub(super) fn next(&self) -> Vec<Vec<u64>> {
        let load = |next: &Vec<AtomicU64>| next.iter().map(|n| n.load(Ordering::Acquire)).collect();
        self.shared.next.iter().map(load).collect()
    }

    /// Why a publisher ended, when one has.
    pub(super) fn failure(&self) -> Option<PublishError> {
        self.shared.error.lock().take()
    }

    /// Ends the publishes; tells how late frames were.
    pub(super) fn stop(mut self) -> Result<Percentiles, PublishError> {
        self.end();
        match self.failure() {
            Some(error) => Err(error),
            None => Ok(self.shared.lag.lock().percentiles()),
        }
    }

    fn end(&mut self) {
        drop(self.metronome.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has printed itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Publishers {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(jobs: Vec<Job>, publish: Publish, shared: Arc<Shared>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let addr = ([0, 0, 0, 0], 0).into();
                *shared.error.lock() = Some(PublishError::Io { addr, error });
                return;
            }
        };
        runtime.block_on(async {
            let mut running = JoinSet::new();
            for job in jobs {
                match publish {
                    Publish::Rtmp => running.spawn(by_rtmp::publish(job)),
                    Publish::Moqt => running.spawn(by_moqt::publish(job)),
                };
            }
            while let Some(ended) = running.join_next().await {
                if let Ok(Err(error)) = ended {
                    shared.error.lock().get_or_insert(error);
                    // One that fails ends all: the run has failed.
                    running.abort_all();
                }
            }
        });
        runtime.shutdown_timeout(GOODBYE_TIMEOUT);
    })
}

impl Job {
    /// Says that the relay has accepted.
    fn on_accepted(&self) {
        // The receiver is gone when the start has failed, which ends this publisher as well.
        let _ = self.accepted.send(());
    }

    /// Makes the frame of a tick, in `self.frame`; whether it is one to join at.
    fn make(&mut self, tick: Tick) -> bool {
        let lag_us = self.clock.now_us().saturating_sub(tick.due_us);
        self.shared.lag.lock().record(lag_us);
        if let Some(next) = self.next(tick.track) {
            next.store(tick.index + 1, Ordering::Release);
        }
        let Some(track) = self.plan.tracks.get(tick.track) else {
            return false;
        };
        let key = track.is_first(tick.index);
        let seed = self.plan.seed ^ self.stream as u64;
        let bytes = track.bytes(seed, tick.index, super::MIN_FRAME_BYTES);
        let stamp = Stamp {
            stream: self.stream as u32,
            kind: track.kind,
            index: tick.index,
            due_us: tick.due_us,
        };
        self.frames.write(stamp, key, bytes, &mut self.frame);
        key
    }

    fn next(&self, track: usize) -> Option<&AtomicU64> {
        self.shared.next.get(self.stream)?.get(track)
    }
}

/// Waits for the relay, but not for ever.
async fn accepted<T>(
    answer: impl Future<Output = Result<T, PublishError>>,
) -> Result<T, PublishError> {
    timeout(ACCEPT_TIMEOUT, answer)
        .await
        .map_err(|_| PublishError::Timeout)?
}
