//! A load run: publishers, many viewers of their streams, and what that cost the relay.
//!
//! ```text
//!  metronome ──► publishers ──RTMP, MoQT──► relay ──QUIC, WebTransport, RTMP──► crew of viewers
//!  (a thread)    (a thread)                   │                                 (threads)
//!                                           /proc ──► samples ──► report ◄── latencies, tallies
//! ```
//!
//! Frames carry the time when they were due and a pattern that depends on all they say, so every
//! viewer checks every byte, and a frame that was sent late is late. How late the tester's own
//! threads ran is measured beside the relay, and a run whose tester could not keep up is reported
//! as invalid, as is one that lost something.
//!
//! The measured window is a time of the steady state: it begins after every viewer has a frame. A
//! frame belongs to it when it was sent inside it, and is lost when a viewer does not have it some
//! time after the window's end.

mod audience;
mod crew;
mod media;
mod metronome;
mod payload;
mod plan;
mod process;
mod profile;
mod publisher;
mod quic;
mod report;
mod rtmp_viewer;
mod search;
mod server;
mod tally;
mod times;
mod viewer;
mod window;

pub use crew::CrewError;
pub use media::{Kind, Track};
pub use payload::{MAX_FRAME_BYTES, MIN_FRAME_BYTES};
pub use plan::{Churn, Door, Interleave, Plan, Publish, Relay, Slow, Transport};
pub use process::Host;
pub use profile::{DEFAULT as DEFAULT_PROFILE, Profile, all as profiles, find as profile};
pub use publisher::PublishError;
pub use quic::QuicError;
pub use report::{
    ChurnUse, ClientUse, Delivery, Interval, KeptUse, Report, ServerUse, SlowUse, Spread, compare,
    html,
};
pub use search::Search;
pub use server::ServerError;
pub use times::{Bar, Percentiles};
pub use viewer::ViewError;

use std::{io, sync::Arc, thread, time::Duration};

use self::{
    audience::Window,
    crew::{Brief, Crew},
    process::Process,
    publisher::Publishers,
    server::Server,
};
use crate::clock::{Clock, utc_date};

/// From the publishers' start to the first viewer: the relay's memory without viewers is read at
/// its end, with the first groups in its rings.
const SETTLE: Duration = Duration::from_millis(1_500);

/// How long viewers may take to their first frame, after the last one's start.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How often this thread looks whether what it waits for has come.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No relay.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// No publisher.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No viewers.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// The first viewer that failed before the window.
    #[error("a viewer failed: {0}")]
    View(#[from] ViewError),
    /// Not everybody has a frame.
    #[error("{got} of {of} viewers had a frame {} s after the last one's start",
        JOIN_TIMEOUT.as_secs())]
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

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The relay starts, and publishers connect.
    Start,
    /// Viewers join.
    Join,
    /// All have joined, and nothing counts yet.
    WarmUp,
    /// The measured window.
    Measure,
    /// Frames of the window may still arrive.
    Drain,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What it is doing.
    pub phase: Phase,
    /// How many viewers have a frame.
    pub joined: usize,
    /// How far the phase is, of 1, where that is known.
    pub share: f64,
    /// What was measured last.
    pub interval: Option<&'a Interval>,
}

/// Runs a plan, from the relay's start to the report. `watch` is told how it goes, often.
///
/// # Errors
/// When there is nothing to report. A bad result is a report with
/// [problems](Report::problems).
pub fn run(
    plan: &Plan,
    relay: &Relay,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, LoadError> {
    let mut host = Host::read(utc_date());
    let started;
    let (publish, door, pid) = match relay {
        Relay::Running {
            publish,
            watch,
            pid,
        } => (publish.clone(), watch.clone(), *pid),
        Relay::Start { program, args } => {
            watch(Progress::of(Phase::Start));
            started = Server::start(program, args)?;
            host.versions.extend(server::version(program));
            (
                started.publish(plan.publish),
                started.watch(plan),
                Some(started.pid()),
            )
        }
    };
    let clock = Clock::start();
    let process = pid.map(Process::new);
    watch(Progress::of(Phase::Start));
    let publishers = Publishers::start(plan, &publish, clock)?;
    thread::sleep(SETTLE);
    let rss_before = process.as_ref().map(Process::rss_bytes).transpose()?;

    let interval = window::interval(plan.window);
    let window = Arc::new(Window::new(interval.as_micros() as u64));
    let brief = Brief {
        plan: Arc::new(plan.clone()),
        door,
        clock,
        window,
    };
    let crew = Crew::start(&brief)?;
    let refused = join(plan, &clock, &crew, &publishers, watch)?;
    let session = window::Session {
        brief: &brief,
        crew: &crew,
        publishers: &publishers,
        process: process.as_ref(),
    };
    let mut measured = session.measure(interval, watch)?;
    measured.rss_before = rss_before;
    measured.failures.splice(0..0, refused);
    let found = report::Found::take(&crew, &measured)?;
    drop(crew);
    let publisher_lag = publishers.stop();
    Ok(Report::new(plan, host, &measured, &found, publisher_lag))
}

impl Progress<'_> {
    fn of(phase: Phase) -> Self {
        Self {
            phase,
            joined: 0,
            share: 0.0,
            interval: None,
        }
    }
}

/// Waits until every viewer has a frame, or in a storm has failed, and then as long as the plan
/// says. Returns the failures.
fn join(
    plan: &Plan,
    clock: &Clock,
    crew: &Crew,
    publishers: &Publishers,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<ViewError>, LoadError> {
    let mut refused = Vec::new();
    let begin_us = clock.now_us();
    let since = || Duration::from_micros(clock.now_us() - begin_us);
    loop {
        if let Some(error) = publishers.failure() {
            return Err(error.into());
        }
        refused.extend(crew.failures());
        if !plan.storm
            && let Some(error) = refused.drain(..).next()
        {
            return Err(error.into());
        }
        let joined = crew.joined();
        watch(Progress {
            joined,
            share: joined as f64 / plan.viewers as f64,
            ..Progress::of(Phase::Join)
        });
        let late = since() > plan.ramp + JOIN_TIMEOUT;
        if joined + refused.len() >= plan.viewers || plan.storm && late {
            break;
        }
        if late {
            return Err(LoadError::Join {
                got: joined,
                of: plan.viewers,
            });
        }
        thread::sleep(LOOK);
    }
    watch(Progress {
        joined: crew.joined(),
        ..Progress::of(Phase::WarmUp)
    });
    thread::sleep(plan.warm_up);
    Ok(refused)
}
