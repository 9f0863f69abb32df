//! A load run: one publisher, many viewers of its stream, and what that cost the relay.
//!
//! Frames carry the time they were sent and a pattern that depends on their number, so every viewer
//! checks every byte. Publisher and viewers run in threads of their own; how late each thread ran
//! is measured beside the relay, and a run whose tester could not keep up is reported as invalid,
//! as is one that lost something.
//!
//! The measured window is a time of the steady state: it begins after every viewer has a frame. A
//! frame belongs to it when it was sent inside it, and is lost when a viewer does not have it some
//! time after the window's end.

mod payload;
mod process;
mod publisher;
mod quic;
mod report;
mod server;
mod tally;
mod times;
mod viewer;

pub use payload::{MAX_FRAME_BYTES, MIN_FRAME_BYTES};
pub use publisher::PublishError;
pub use quic::QuicError;
pub use report::{ClientUse, Delivery, Report, ServerUse};
pub use server::ServerError;
pub use times::Percentiles;
pub use viewer::ViewError;

use std::{
    io,
    net::SocketAddr,
    ops::Range,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use self::{
    payload::Frames,
    process::{Cpu, Process},
    publisher::Publisher,
    server::Server,
    tally::Tally,
    times::Times,
    viewer::{Audience, Window},
};
use crate::clock::{Clock, epoch_us};

/// From the publisher's start to the first viewer: the relay's memory without viewers is read at
/// its end, with the first groups in its rings.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Pause after each [`RAMP_BATCH`] of connections: a hundred handshakes at once measure
/// handshakes.
const RAMP_PAUSE: Duration = Duration::from_millis(20);

/// Connections begun at once.
const RAMP_BATCH: usize = 10;

/// How long all viewers may take to their first frame.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// From the last viewer's first frame to the window's begin.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long frames may still arrive after the window's end before they count as lost: longer than
/// any viewer would wait for a live picture, and only waited for where some are missing.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the viewers' thread is asked how late it runs, and whether all have joined.
const TICK: Duration = Duration::from_millis(5);

/// What to load, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The relay.
    #[serde(skip)]
    pub relay: Relay,
    /// The stream's name: application and key, as in `live/load`.
    pub stream: String,
    /// How many viewers.
    pub viewers: usize,
    /// Bytes of every frame, [`MIN_FRAME_BYTES`] to [`MAX_FRAME_BYTES`].
    pub frame_bytes: usize,
    /// Frames per second, at least 1.
    pub fps: u32,
    /// Frames per group, at least 1.
    pub gop: u32,
    /// Length of the measured window.
    #[serde(skip)]
    pub window: Duration,
}

/// The relay of a run.
#[derive(Clone, Debug)]
pub enum Relay {
    /// One that runs.
    Running {
        /// Where it takes publishers.
        rtmp: SocketAddr,
        /// Where it serves raw QUIC.
        moqt: SocketAddr,
        /// Its process, when it is on this machine; without it its cost is unknown.
        pid: Option<u32>,
    },
    /// One to start for this run: the path of `weir`.
    Start(PathBuf),
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No relay.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// No publisher.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No QUIC.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// The first viewer that failed before the window.
    #[error("a viewer failed: {0}")]
    View(#[from] ViewError),
    /// Not everybody has a frame.
    #[error("{got} of {of} viewers had a frame after {} s", JOIN_TIMEOUT.as_secs())]
    Join {
        /// How many have one.
        got: usize,
        /// How many were to have one.
        of: usize,
    },
    /// The system did not say what was asked.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Histograms would not be made.
    #[error(transparent)]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// Runs a plan, from the relay's start to the report.
///
/// # Errors
/// When there is nothing to report. A bad result is a report with
/// [problems](Report::problems).
pub fn run(plan: &Plan) -> Result<Report, LoadError> {
    let started;
    let (rtmp, moqt, pid) = match &plan.relay {
        Relay::Running { rtmp, moqt, pid } => (*rtmp, *moqt, *pid),
        Relay::Start(path) => {
            started = Server::start(path)?;
            (started.rtmp, started.quic, Some(started.pid()))
        }
    };
    let process = pid.map(Process::new);
    let publisher = Publisher::start(rtmp, plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut load = Load::new(plan, moqt, process)?;
    let measured = runtime.block_on(load.measure(plan, &publisher))?;
    let publisher_lag = publisher.stop()?;
    Ok(load.report(plan, &measured, publisher_lag))
}

/// A run's viewers and instruments.
struct Load {
    audience: Arc<Audience>,
    tallies: Vec<Arc<Mutex<Tally>>>,
    lag: Arc<Mutex<Times>>,
    process: Option<Process>,
}

/// What was read at the window's begin and end.
struct Measured {
    rss_before: Option<u64>,
    rss_with_viewers: Option<u64>,
    server_cpu: Option<Cpu>,
    client_cpu: Cpu,
    bytes: u64,
    objects: u64,
    window: Duration,
    /// The frames that were sent inside the window.
    frames: Range<u64>,
    /// Why viewers ended early.
    failures: Vec<ViewError>,
}

impl Load {
    fn new(plan: &Plan, server: SocketAddr, process: Option<Process>) -> Result<Self, LoadError> {
        let audience = Audience {
            server,
            stream: plan.stream.clone(),
            frames: Frames::new(plan.frame_bytes),
            latency: Mutex::new(Times::new()?),
            window: Window::new(),
            bytes: 0.into(),
            objects: 0.into(),
        };
        Ok(Self {
            audience: Arc::new(audience),
            tallies: (0..plan.viewers).map(|_| Arc::default()).collect(),
            lag: Arc::new(Mutex::new(Times::new()?)),
            process,
        })
    }

    async fn measure(&mut self, plan: &Plan, publisher: &Publisher) -> Result<Measured, LoadError> {
        sleep(SETTLE).await;
        let rss_before = self.rss()?;
        let mut viewers = JoinSet::new();
        self.connect(&mut viewers).await?;
        self.wait_for_first_frames(&mut viewers).await?;
        sleep(WARM_UP).await;

        let clock = Clock::start();
        let lag = tokio::spawn(measure_lag(Arc::clone(&self.lag)));
        self.audience.window.open(epoch_us());
        let first = publisher.next_index();
        let begin = self.read()?;
        sleep(plan.window).await;
        self.audience.window.close(epoch_us());
        let frames = first..publisher.next_index();
        let end = self.read()?;
        let window = Duration::from_micros(clock.now_us());
        lag.abort();
        let rss_with_viewers = self.rss()?;

        self.wait_for_missing(&frames).await;
        let mut failures = Vec::new();
        while let Some(ended) = viewers.try_join_next() {
            failures.extend(ended.ok().and_then(Result::err));
        }
        Ok(Measured {
            rss_before,
            rss_with_viewers,
            server_cpu: end
                .server_cpu
                .zip(begin.server_cpu)
                .map(|(end, begin)| end - begin),
            client_cpu: end.client_cpu - begin.client_cpu,
            bytes: end.bytes - begin.bytes,
            objects: end.objects - begin.objects,
            window,
            frames,
            failures,
        })
    }

    async fn connect(&self, viewers: &mut Viewers) -> Result<(), LoadError> {
        let config = quic::client_config(viewer::VERSION.alpn())?;
        for batch in self.tallies.chunks(RAMP_BATCH) {
            for tally in batch {
                let endpoint = quic::endpoint(&config, self.audience.server)?;
                let (audience, tally) = (Arc::clone(&self.audience), Arc::clone(tally));
                viewers.spawn(viewer::watch(endpoint, audience, tally));
            }
            sleep(RAMP_PAUSE).await;
        }
        Ok(())
    }

    async fn wait_for_first_frames(&self, viewers: &mut Viewers) -> Result<(), LoadError> {
        let clock = Clock::start();
        loop {
            if let Some(Ok(ended)) = viewers.try_join_next() {
                ended?;
            }
            let joined = |tally: &&Arc<Mutex<Tally>>| tally.lock().first_frame_us.is_some();
            let got = self.tallies.iter().filter(joined).count();
            let of = self.tallies.len();
            if got == of {
                return Ok(());
            }
            if u128::from(clock.now_us()) > JOIN_TIMEOUT.as_micros() {
                return Err(LoadError::Join { got, of });
            }
            sleep(TICK).await;
        }
    }

    async fn wait_for_missing(&self, frames: &Range<u64>) {
        let clock = Clock::start();
        let missing = |tally: &Arc<Mutex<Tally>>| tally.lock().missing(frames.clone()) > 0;
        while self.tallies.iter().any(missing)
            && u128::from(clock.now_us()) < DRAIN_TIMEOUT.as_micros()
        {
            sleep(TICK).await;
        }
    }

    fn rss(&self) -> io::Result<Option<u64>> {
        self.process.as_ref().map(Process::rss_bytes).transpose()
    }

    fn read(&self) -> io::Result<Reading> {
        Ok(Reading {
            server_cpu: self.process.as_ref().map(Process::cpu).transpose()?,
            client_cpu: Process::own().cpu()?,
            bytes: self.audience.bytes.load(Ordering::Relaxed),
            objects: self.audience.objects.load(Ordering::Relaxed),
        })
    }

    fn report(&self, plan: &Plan, measured: &Measured, publisher_lag: Percentiles) -> Report {
        let tallies: Vec<Tally> = self
            .tallies
            .iter()
            .map(|tally| tally.lock().clone())
            .collect();
        let latency = self.audience.latency.lock().percentiles();
        let viewer_lag = self.lag.lock().percentiles();
        Report::new(
            plan,
            measured,
            &tallies,
            latency,
            ClientLag {
                viewer_lag,
                publisher_lag,
            },
        )
    }
}

type Viewers = JoinSet<Result<(), ViewError>>;

/// Counters at one time.
struct Reading {
    server_cpu: Option<Cpu>,
    client_cpu: Cpu,
    bytes: u64,
    objects: u64,
}

/// How late the tester's two threads ran.
#[derive(Clone, Copy)]
struct ClientLag {
    viewer_lag: Percentiles,
    publisher_lag: Percentiles,
}

/// Records how late this thread wakes, until it is aborted.
async fn measure_lag(lag: Arc<Mutex<Times>>) {
    loop {
        let clock = Clock::start();
        sleep(TICK).await;
        let tick_us = TICK.as_micros() as u64;
        lag.lock().record(clock.now_us().saturating_sub(tick_us));
    }
}
