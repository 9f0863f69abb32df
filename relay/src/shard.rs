//! One core: a thread, its runtime, its QUIC endpoint, its viewers and its share of the publishers.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::auth::{
    Answer, Answers, Attempt, Delays, Denial, DenialKind, Grant, Policy, Question, Webhook,
};
use crate::endpoint::{self, Certificate};
use crate::pressure::{self, Pressure};
use crate::registry::Registry;
use crate::sender::Fanout;
use crate::{ask, clock, ingest, play, quic, session, upstream};

mod door;
mod pulse;
mod rest;

/// Where the relay is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    Running,
    /// Nothing new is accepted; sessions are told to go.
    Draining,
    /// The same, and a newer relay takes what is new.
    HandedOver,
    /// Connections are closed.
    Stopped,
}

/// What the shards of a relay share.
#[derive(Debug)]
pub struct Shared {
    /// The streams.
    pub registry: Registry,
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// The relay's phase.
    pub phase: watch::Receiver<Phase>,
    /// The endpoint's limits.
    pub endpoint: endpoint::Config,
    /// The sessions' limits.
    pub session: session::Config,
    /// The publishers' limits.
    pub ingest: ingest::Config,
    /// The limits of players over RTMP.
    pub play: play::Config,
    /// The relays that this one is an edge of.
    pub upstream: upstream::Config,
    /// First byte of the first shard's connection IDs.
    pub first_id: u8,
    /// This relay's id among relays that ask each other.
    pub hop: u64,
    /// Who may do what; replaced when the configuration is read anew.
    pub policy: watch::Sender<Arc<Policy>>,
    /// What a webhook has said.
    pub answers: Mutex<Answers>,
    /// Places to ask a webhook.
    pub asking: Arc<Semaphore>,
    /// Those who were turned away, and come again.
    pub delays: Mutex<Delays>,
    /// Places to verify what takes long.
    pub verifying: Semaphore,
    /// Admits sessions, up to the relay's limit.
    pub sessions: Arc<Semaphore>,
    /// What the relay takes on, and what it counts of that.
    pub pressure: Arc<Pressure>,
    /// What the sessions count.
    pub counters: session::Counters,
}

impl Shared {
    /// Who may do what, at this moment.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// Asks the policy, and whoever it names for those that it does not let in; away from the
    /// media where that takes long.
    pub async fn authorize(&self, attempt: Attempt) -> Result<Grant, Denial> {
        let policy = self.policy();
        let Some(hook) = &policy.webhook else {
            return self.decide(attempt).await;
        };
        match self.decide(attempt.clone()).await {
            Err(denial) if denial.kind != DenialKind::Address => self.ask(hook, attempt).await,
            decided => decided,
        }
    }

    /// Asks the webhook, unless it has been.
    async fn ask(&self, hook: &Webhook, attempt: Attempt) -> Result<Grant, Denial> {
        let known = self.answers.lock().get(&attempt, clock::now_us());
        if let Some(known) = known {
            return known;
        }
        let Ok(place) = Arc::clone(&self.asking).try_acquire_owned() else {
            let reason = "too many wait to be decided about".to_owned();
            return hook.decide(&attempt, Answer::Failed(reason));
        };
        let question = serde_json::to_string(&Question::new(&attempt)).unwrap_or_default();
        let (url, patience) = (hook.url.clone(), hook.timeout);
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            ask::post(&url, &question, patience)
        });
        let answer = match asked.await {
            Ok(Ok((status, body))) => Answer::Told(status, body),
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(error) => Answer::Failed(error.to_string()),
        };
        if let Answer::Failed(reason) = &answer {
            warn!(reason, open = hook.open, "the webhook does not answer");
        }
        let told = matches!(answer, Answer::Told(200..=299 | 401 | 403 | 404, _));
        let decided = hook.decide(&attempt, answer);
        if told {
            let now_us = clock::now_us();
            let until_us = now_us.saturating_add(hook.cache_us);
            let mut answers = self.answers.lock();
            answers.put(&attempt, decided.clone(), until_us, now_us);
        }
        decided
    }

    async fn decide(&self, attempt: Attempt) -> Result<Grant, Denial> {
        let policy = self.policy();
        if !policy.is_costly(&attempt) {
            return policy.decide(&attempt);
        }
        let _turn = self.verifying.acquire().await;
        let decided = tokio::task::spawn_blocking(move || policy.decide(&attempt)).await;
        decided.unwrap_or_else(|_| {
            Err(Denial {
                kind: DenialKind::Wrong,
                reason: "the credential could not be verified".to_owned(),
            })
        })
    }
}

/// What everything on one shard can reach.
#[derive(Debug)]
pub struct Context {
    /// The shard's number.
    pub shard: usize,
    /// The shard's viewers.
    pub fanout: Arc<Fanout>,
    /// What the shard's players over RTMP share.
    pub feeds: play::Feeds,
    /// What all shards share.
    pub shared: Arc<Shared>,
}

/// A publisher's connection on its way to a shard.
#[derive(Debug)]
pub struct Arrival {
    /// Its socket.
    pub stream: TcpStream,
    /// Where it comes from.
    pub addr: SocketAddr,
    /// Its place among the publishers, or among those that are turned away.
    pub permit: OwnedSemaphorePermit,
    /// Why it is turned away; none if it is not.
    pub refusal: Option<String>,
    /// Its place among the connections of its address.
    pub ticket: pressure::Ticket,
}

/// A running shard.
#[derive(Debug)]
pub struct Shard {
    publishers: mpsc::UnboundedSender<Arrival>,
    connections: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Shard {
    /// Starts shard `number` on its socket, and waits until it serves.
    pub fn start(number: u8, socket: UdpSocket, shared: &Arc<Shared>) -> io::Result<Self> {
        let (publishers, arrivals) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let connections = Arc::<AtomicU64>::default();
        let context = Arc::new(Context {
            shard: usize::from(number),
            fanout: Arc::new(Fanout::new(usize::from(number))),
            feeds: play::Feeds::default(),
            shared: Arc::clone(shared),
        });
        let counter = Arc::clone(&connections);
        let thread = std::thread::Builder::new()
            .name(format!("weir-shard-{number}"))
            .spawn(move || run(&context, socket, arrivals, &counter, ready))?;
        // Blocks the control thread for the moment that a runtime takes to start.
        let ended = |_| Err(io::Error::other("the shard's thread ended"));
        started.recv().unwrap_or_else(ended)?;
        Ok(Self {
            publishers,
            connections,
            thread,
        })
    }

    /// Hands a publisher's connection to the shard; gives it back when the shard has stopped. Each
    /// holds a permit, so no more are on their way than the relay admits: when encoders reconnect
    /// all at once, none is refused for coming quickly.
    pub fn publish(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.publishers.send(arrival).map_err(|error| error.0)
    }

    /// QUIC connections of the shard.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until the shard has stopped.
    pub fn join(self) {
        // A shard that panicked has aborted the process in a release build; in a test it has
        // printed its message.
        let _ = self.thread.join();
    }
}

fn run(
    context: &Arc<Context>,
    socket: UdpSocket,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    connections: &AtomicU64,
    ready: SyncSender<io::Result<()>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(rest::before_park)
        .build();
    let started = runtime.and_then(|runtime| {
        let _guard = runtime.enter();
        let shared = &context.shared;
        let number = u8::try_from(context.shard).map_err(io::Error::other)?;
        let number = shared.first_id + number;
        let endpoint = endpoint::server(socket, number, &shared.certificate, &shared.endpoint)?;
        drop(_guard);
        // One shard does it, the first to serve.
        let demands = match context.shard {
            0 => upstream::prepare(shared),
            _ => None,
        };
        Ok((runtime, endpoint, demands))
    });
    match started {
        // The relay gave up waiting only if it failed itself.
        Err(error) => drop(ready.send(Err(error))),
        Ok((runtime, endpoint, demands)) => {
            drop(ready.send(Ok(())));
            runtime.block_on(serve(context, endpoint, arrivals, connections, demands));
        }
    }
}

async fn serve(
    context: &Arc<Context>,
    endpoint: quic::Endpoint,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    connections: &AtomicU64,
    demands: Option<upstream::Demands>,
) {
    let mut phase = context.shared.phase.clone();
    let mut tasks = JoinSet::new();
    if let Some(demands) = demands {
        tasks.spawn(upstream::run(Arc::clone(&context.shared), demands));
    }
    let mut pulse = pulse::Pulse::new(&context.shared.pressure.config);
    let mut door = door::Door::new(&context.shared.pressure.config);
    loop {
        tokio::select! {
            Some(incoming) = endpoint.accept() => {
                if let Some(coming) = door.open(context, incoming) {
                    let context = Arc::clone(context);
                    tasks.spawn(async move { session::serve(&context, coming).await });
                }
            }
            Some(arrival) = arrivals.recv() => {
                let context = Arc::clone(context);
                tasks.spawn(async move {
                    ingest::serve(&context, arrival).await;
                });
            }
            Some(_) = tasks.join_next() => {}
            sample = pulse.beat(context.fanout.lateness()) => {
                connections.store(endpoint.open_connections() as u64, Ordering::Relaxed);
                pulse.judge(context, sample);
            }
            stopped = phase.wait_for(|phase| *phase == Phase::Stopped) => {
                debug!(shard = context.shard, relay_gone = stopped.is_err(), "stopping");
                break;
            }
        }
    }
    tasks.shutdown().await;
    endpoint.close(0u32.into(), b"the relay has stopped");
    // Lets the close frames leave; a peer that does not answer is not waited for.
    let _ = tokio::time::timeout(CLOSE_GRACE, endpoint.wait_idle()).await;
}

/// How long close frames may take to leave.
const CLOSE_GRACE: Duration = Duration::from_millis(300);
