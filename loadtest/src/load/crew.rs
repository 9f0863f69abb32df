//! The crew: the threads that viewers live in. Each has one runtime and many viewers, and says how
//! late it ran and what it cost.

mod churn;
mod sockets;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use hdrhistogram::CreationError;
use parking_lot::Mutex;
use quinn::Endpoint;
use tokio::{sync::watch, task::JoinSet, time::sleep};

pub(super) use churn::Churned;
use churn::visit;
use sockets::Endpoints;

use super::{
    audience::{Audience, Desk, Window},
    payload::Frames,
    plan::{Churn, Door, Plan, Transport},
    process::{Cpu, thread_cpu},
    quic::{Dialer, QuicError},
    rtmp_viewer,
    tally::Tally,
    times::{Percentiles, Times},
    viewer::{self, ViewError},
};
use crate::clock::Clock;

/// How often a thread is asked how late it runs.
const LAG_TICK: Duration = Duration::from_millis(5);

/// How long viewers may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// All viewers.
#[derive(Debug)]
pub(super) struct Crew {
    workers: Vec<Worker>,
    stop: watch::Sender<bool>,
    /// What each steady viewer received, slow ones among them.
    pub(super) tallies: Vec<Arc<Mutex<Tally>>>,
    /// What those who came and went received.
    pub(super) churned: Arc<Mutex<Churned>>,
}

/// A thread of viewers.
#[derive(Debug)]
struct Worker {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a thread tells.
#[derive(Debug)]
struct Shared {
    audience: Arc<Audience>,
    /// The thread's id for the kernel, 0 until it runs.
    tid: AtomicU64,
    lag: Mutex<Times>,
    failures: Mutex<Vec<ViewError>>,
}

/// What a thread begins with.
struct Task {
    shared: Arc<Shared>,
    dialer: Dialer,
    /// Its viewers: number among all, and tally.
    viewers: Vec<(usize, Arc<Mutex<Tally>>)>,
    churned: Arc<Mutex<Churned>>,
    threads: usize,
    stop: watch::Receiver<bool>,
}

/// What all threads are given.
#[derive(Clone, Debug)]
pub(super) struct Brief {
    pub(super) plan: Arc<Plan>,
    pub(super) door: Door,
    pub(super) clock: Clock,
    pub(super) window: Arc<Window>,
}

/// Why there is no crew.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
    /// QUIC could not be set up.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// Histograms would not be made.
    #[error(transparent)]
    Histogram(#[from] CreationError),
}

impl Crew {
    /// Starts all threads; viewers join over the plan's ramp.
    pub(super) fn start(brief: &Brief) -> Result<Self, CrewError> {
        let plan = &brief.plan;
        let (stop, stopped) = watch::channel(false);
        let tallies: Vec<Arc<Mutex<Tally>>> = (0..plan.viewers).map(|_| Arc::default()).collect();
        let churned = Arc::<Mutex<Churned>>::default();
        let frames = Arc::new(Frames::new());
        let dialer = Dialer::new(brief.door.clone(), plan.transport, plan.drafts())?;
        let mut workers = Vec::new();
        for nth in 0..plan.threads {
            let audience = Audience::new(
                Arc::clone(plan),
                brief.door.clone(),
                brief.clock,
                Arc::clone(&frames),
                Arc::clone(&brief.window),
            )?;
            let shared = Arc::new(Shared {
                audience: Arc::new(audience),
                tid: 0.into(),
                lag: Mutex::new(Times::new()?),
                failures: Mutex::default(),
            });
            let own = tallies.iter().cloned().enumerate().skip(nth);
            let task = Task {
                shared: Arc::clone(&shared),
                dialer: dialer.clone(),
                viewers: own.step_by(plan.threads).collect(),
                churned: Arc::clone(&churned),
                threads: plan.threads,
                stop: stopped.clone(),
            };
            let thread = Some(thread::spawn(move || task.run()));
            workers.push(Worker { shared, thread });
        }
        Ok(Self {
            workers,
            stop,
            tallies,
            churned,
        })
    }

    /// What each thread's viewers share.
    pub(super) fn audiences(&self) -> Vec<Arc<Audience>> {
        let audience = |worker: &Worker| Arc::clone(&worker.shared.audience);
        self.workers.iter().map(audience).collect()
    }

    /// Payload bytes and frames that all have received.
    pub(super) fn received(&self) -> (u64, u64) {
        let sum = |count: fn(&Audience) -> &AtomicU64| -> u64 {
            let load = |worker: &Worker| count(&worker.shared.audience).load(Ordering::Relaxed);
            self.workers.iter().map(load).sum()
        };
        (
            sum(|audience| &audience.bytes),
            sum(|audience| &audience.objects),
        )
    }

    /// How many steady viewers have a frame.
    pub(super) fn joined(&self) -> usize {
        let has = |tally: &&Arc<Mutex<Tally>>| tally.lock().first_frame_us.is_some();
        self.tallies.iter().filter(has).count()
    }

    /// Why steady viewers ended, since the last time this was asked.
    pub(super) fn failures(&self) -> Vec<ViewError> {
        let take = |worker: &Worker| std::mem::take(&mut *worker.shared.failures.lock());
        self.workers.iter().flat_map(take).collect()
    }

    /// CPU time that each thread has used, where the kernel tells.
    pub(super) fn cpu(&self) -> Vec<Cpu> {
        let cpu = |worker: &Worker| thread_cpu(worker.shared.tid.load(Ordering::Acquire));
        self.workers
            .iter()
            .map(|w| cpu(w).unwrap_or_default())
            .collect()
    }

    /// Forgets how late threads were: what came before the window does not count.
    pub(super) fn reset_lag(&self) {
        if let Ok(empty) = Times::new() {
            for worker in &self.workers {
                *worker.shared.lag.lock() = empty.clone();
            }
        }
    }

    /// How late threads woke since then, all together.
    pub(super) fn lag(&self) -> Result<Percentiles, CreationError> {
        let mut all = Times::new()?;
        for worker in &self.workers {
            all.merge(&worker.shared.lag.lock());
        }
        Ok(all.percentiles())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // It fails when all threads have ended.
        let _ = self.stop.send(true);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A panic of the thread has printed itself.
                let _ = thread.join();
            }
        }
    }
}

impl Task {
    fn run(self) {
        // `/proc/thread-self` leads to `PID/task/TID`.
        let link = fs::read_link("/proc/thread-self").unwrap_or_default();
        let tid = link
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        self.shared.tid.store(tid.unwrap_or(0), Ordering::Release);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve()),
            Err(error) => self.fail(QuicError::Socket(error).into()),
        }
    }

    fn fail(&self, error: ViewError) {
        self.shared.failures.lock().push(error);
    }

    async fn serve(mut self) {
        let lag = tokio::spawn(measure_lag(Arc::clone(&self.shared)));
        let mut endpoints = Endpoints::new(self.shared.audience.plan.viewers_per_socket);
        let mut steady = JoinSet::new();
        for (nth, tally) in std::mem::take(&mut self.viewers) {
            match endpoints.next(&self.dialer) {
                Ok(endpoint) => steady.spawn(self.steady(nth, tally, endpoint)),
                Err(error) => return self.fail(error.into()),
            };
        }
        let mut churn = JoinSet::new();
        if let Some(rate) = self.shared.audience.plan.churn {
            churn.spawn(self.churn(rate));
        }
        let shared = Arc::clone(&self.shared);
        let watch = async {
            while let Some(ended) = steady.join_next().await {
                if let Ok(Err(error)) = ended {
                    shared.failures.lock().push(error);
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = watch => {}
            // The crew is gone when the sender is, which is a stop as well.
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
        lag.abort();
        churn.shutdown().await;
        endpoints.close().await;
    }

    /// A viewer that joins at its place in the ramp and stays.
    fn steady(
        &self,
        nth: usize,
        tally: Arc<Mutex<Tally>>,
        endpoint: Endpoint,
    ) -> impl Future<Output = Result<(), ViewError>> + Send + 'static {
        let plan = Arc::clone(&self.shared.audience.plan);
        let wait = plan.ramp.mul_f64(nth as f64 / plan.viewers.max(1) as f64);
        let slow = plan.slow.filter(|_| plan.is_slow(nth));
        let (audience, dialer) = (Arc::clone(&self.shared.audience), self.dialer.clone());
        async move {
            sleep(wait).await;
            let desk = Desk {
                stream: (nth % plan.streams) as u32,
                began_us: audience.clock.now_us(),
                audience,
                tally,
                counts: slow.is_none(),
            };
            watch(&dialer, &endpoint, desk, slow.map(|slow| slow.rate_bps)).await
        }
    }

    /// Lets viewers come and go until it is dropped.
    fn churn(&self, churn: Churn) -> impl Future<Output = ()> + Send + 'static {
        let (shared, dialer) = (Arc::clone(&self.shared), self.dialer.clone());
        let churned = Arc::clone(&self.churned);
        let pause = Duration::from_secs_f64(self.threads as f64 / churn.per_second);
        async move {
            let mut guests = JoinSet::new();
            for nth in 0_u64.. {
                sleep(pause).await;
                while guests.try_join_next().is_some() {}
                let audience = Arc::clone(&shared.audience);
                let desk = Desk {
                    stream: (nth % audience.plan.streams as u64) as u32,
                    began_us: audience.clock.now_us(),
                    tally: Arc::default(),
                    counts: false,
                    audience,
                };
                guests.spawn(visit(
                    dialer.clone(),
                    desk,
                    churn.stay,
                    Arc::clone(&churned),
                ));
            }
        }
    }
}

async fn watch(
    dialer: &Dialer,
    endpoint: &Endpoint,
    desk: Desk,
    rate_bps: Option<u64>,
) -> Result<(), ViewError> {
    match dialer.transport {
        Transport::Rtmp => rtmp_viewer::watch(desk, rate_bps).await,
        Transport::Quic | Transport::WebTransport => {
            viewer::watch(dialer, endpoint, desk, rate_bps).await
        }
    }
}

/// Records how late this thread wakes, until it is aborted.
async fn measure_lag(shared: Arc<Shared>) {
    loop {
        let clock = Clock::start();
        sleep(LAG_TICK).await;
        let tick_us = LAG_TICK.as_micros() as u64;
        let late_us = clock.now_us().saturating_sub(tick_us);
        shared.lag.lock().record(late_us);
    }
}
