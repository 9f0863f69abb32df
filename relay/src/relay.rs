//! The relay put together: bind everything, start, drain. The only file that knows all the others.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{debug, info, warn};

use crate::auth::Door;
use crate::config::{Config, Options};
use crate::endpoint::{self, Certificate, CertificateError};
use crate::pressure::{Limit, Memory, Pressure};
use crate::registry::Registry;
use crate::shard::{Arrival, Phase, Shard, Shared};
use crate::tls::{Acceptor, Plain};
use crate::{clock, http, tls};

mod bind;
mod drain;
mod monitor;
mod process;
mod reload;
mod takeover;
mod view;

use bind::Bound;
pub use reload::{Applied, ReloadError, Reloader};
use takeover::{inherit, succeed};

/// Why the relay does not start or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A listener cannot be bound.
    #[error("{what}: cannot listen on {addr}: {reason}; {remedy}")]
    Bind {
        /// Which listener.
        what: &'static str,
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        reason: io::Error,
        /// What to do.
        remedy: String,
    },
    /// An older relay's sockets cannot be had, or this one's not be offered.
    #[error("{path}: cannot take over, or be taken over: {reason}; check --takeover")]
    TakeOver {
        /// The Unix socket.
        path: String,
        /// What is wrong.
        reason: io::Error,
    },
    /// The certificate cannot be used.
    #[error("certificate: {0}; check --tls-cert and --tls-key")]
    Certificate(#[from] CertificateError),
    /// A thread or a runtime cannot be had.
    #[error("the relay cannot run: {0}")]
    Io(#[from] io::Error),
}

/// A relay that is bound and serves.
pub struct Relay {
    addrs: Addrs,
    phase: watch::Sender<Phase>,
    ready: Arc<AtomicBool>,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    shards: Arc<Vec<Shard>>,
    http: tokio::task::JoinHandle<io::Result<()>>,
    publishers: TcpListener,
    admitted: Arc<Semaphore>,
    /// Places of publishers beyond the limit, who are told about it.
    turned_away: Arc<Semaphore>,
    memory: u64,
    drain_limit: Duration,
    /// Publishers over TLS.
    secure: mpsc::Receiver<Plain>,
    /// Newer relays that are ready to take this one's place.
    successors: mpsc::Receiver<takeover::Successor>,
}

/// The addresses that the relay listens on.
#[derive(Clone, Copy, Debug)]
pub struct Addrs {
    /// Publishers.
    pub rtmp: SocketAddr,
    /// Publishers over TLS.
    pub rtmps: Option<SocketAddr>,
    /// Viewers.
    pub quic: SocketAddr,
    /// Pages, API and metrics.
    pub http: SocketAddr,
}

impl fmt::Display for Addrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rtmp={}", self.rtmp)?;
        if let Some(rtmps) = self.rtmps {
            writeln!(f, "rtmps={rtmps}")?;
        }
        writeln!(f, "quic={}", self.quic)?;
        writeln!(f, "http={}", self.http)
    }
}

impl Relay {
    /// Binds every socket, then starts the shards and the control listener. When this returns,
    /// everything is served. Must be called on the control runtime. `options` say where the
    /// configuration is when it is to be read anew.
    pub fn start(config: &Config, options: &Options) -> Result<Self, RelayError> {
        let bound = Bound::new(config, inherit(config)?)?;
        let offered = bound.offer()?;
        let Bound {
            rtmp: publishers,
            rtmps,
            http: control,
            group,
            addrs,
            certificate,
            older,
        } = bound;
        let certificate = Arc::new(certificate);
        let (phase, phases) = watch::channel(Phase::Running);
        let memory = config.limits.memory.unwrap_or_else(process::most_of_memory);
        let shared = Shared {
            first_id: group.first_id,
            ..share(config, certificate, phases, memory)
        };
        let shared = Arc::new(shared);
        say_who_publishes(config, addrs.rtmp);
        let numbered = (0..=u8::MAX).zip(group.sockets);
        let shards = numbered.map(|(number, socket)| Shard::start(number, socket, &shared));
        let shards = Arc::new(shards.collect::<io::Result<Vec<_>>>()?);
        let ready = Arc::new(AtomicBool::new(true));
        let reloader = Arc::new(Reloader {
            options: options.clone(),
            running: config.clone(),
            shared: Arc::clone(&shared),
        });
        let admitted = Arc::new(Semaphore::new(config.limits.publishers));
        // A certificate that somebody trusts is for the pages, too.
        let trusted = config.tls.is_some();
        let acceptor = trusted.then(|| Acceptor::new(&shared.certificate, &["http/1.1"]));
        let secure = secure(rtmps, &shared)?;
        let view = view::View {
            admitted: Arc::clone(&admitted),
            reloader: Arc::clone(&reloader),
            shared: Arc::clone(&shared),
            shards: Arc::clone(&shards),
            addrs,
            tls: acceptor.transpose()?,
            started_us: clock::now_us(),
            memory,
        };
        let context = view.into_context(Arc::clone(&ready));
        let control = TcpListener::from_std(control)?;
        let mut stopped = phase.subscribe();
        let http = tokio::spawn(http::serve(control, context, async move {
            // An error would mean that the relay is gone, which is the same news.
            let _ = stopped.wait_for(|phase| *phase >= Phase::HandedOver).await;
        }));
        let successors = succeed(config, &shared, offered, older, group.steered)?;
        Ok(Self {
            successors,
            secure,
            drain_limit: config.session.drain_limit,
            addrs,
            phase,
            ready,
            shared,
            reloader,
            shards,
            http,
            publishers: TcpListener::from_std(publishers)?,
            admitted,
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            memory,
        })
    }

    /// The addresses that the relay listens on.
    pub fn addrs(&self) -> Addrs {
        self.addrs
    }

    /// What reads the configuration anew.
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Serves until `shutdown` resolves, then drains. Returns whether every viewer left within
    /// the time for that.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> bool {
        tokio::pin!(shutdown);
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let mut monitor = monitor::Monitor::default();
        let mut renewal = tokio::time::interval(endpoint::RENEW_AFTER);
        renewal.reset();
        let mut memory = Memory::new(self.memory);
        let mut weigh = tokio::time::interval(WEIGH_INTERVAL);
        let mut keys = tokio::time::interval(KEYS_INTERVAL);
        keys.reset();
        let mut next_shard = 0;
        let successor = loop {
            tokio::select! {
                () = &mut shutdown => break None,
                // Nobody asks where nobody can.
                Some(successor) = self.successors.recv() => break Some(successor),
                accepted = self.publishers.accept() => match accepted {
                    Ok((stream, addr)) => self.admit(stream, addr, &mut next_shard),
                    Err(error) => {
                        // Out of descriptors, usually: others must leave before one can come.
                        warn!(%error, "cannot accept a publisher");
                        tokio::time::sleep(ACCEPT_BACKOFF).await;
                    }
                },
                Some((stream, addr)) = self.secure.recv() => {
                    self.admit(stream, addr, &mut next_shard);
                }
                _ = sweep.tick() => {
                    for name in self.shared.registry.sweep(clock::now_us()) {
                        info!(stream = %name, "stream ended: its publisher did not return");
                    }
                }
                _ = keys.tick() => self.refresh_keys(),
                _ = weigh.tick() => self.weigh(&mut memory),
                _ = looks.tick() => monitor.look(&self.shared.registry),
                _ = renewal.tick() => match self.shared.certificate.renew() {
                    Ok(()) => info!("renewed the self-made certificate"),
                    Err(error) => warn!(%error, "the self-made certificate could not be renewed"),
                },
            }
        };
        self.drain(successor).await
    }

    fn admit(&self, stream: tokio::net::TcpStream, addr: SocketAddr, next_shard: &mut usize) {
        if !self.shared.policy().addresses.admit(addr.ip()) {
            return debug!(%addr, "refused an address: auth.allow, auth.deny");
        }
        let pressure = &self.shared.pressure;
        let ticket = match pressure.admit(addr.ip(), clock::now_us()) {
            Ok(ticket) => ticket,
            Err(limit) => return debug!(%addr, limit = limit.name(), "refused a connection"),
        };
        let (permit, refusal) = match Arc::clone(&self.admitted).try_acquire_owned() {
            Ok(permit) => (permit, None),
            Err(_) => {
                pressure.hit(Limit::Publishers);
                debug!(%addr, "refused a publisher: limits.publishers are connected");
                let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() else {
                    return;
                };
                let limit = pressure.config.publishers;
                let reason = format!("this relay serves its limit of {limit} publishers");
                (permit, Some(reason))
            }
        };
        let shard = &self.shards[*next_shard % self.shards.len()];
        *next_shard += 1;
        match stream.into_std() {
            Ok(stream) => {
                let arrival = Arrival {
                    stream,
                    addr,
                    permit,
                    refusal,
                    ticket,
                };
                if shard.publish(arrival).is_err() {
                    warn!(%addr, "lost a publisher: its shard has stopped");
                }
            }
            Err(error) => warn!(%addr, %error, "lost a publisher's connection"),
        }
    }

    /// Fetches keys anew, away from this thread.
    fn refresh_keys(&self) {
        if self.reloader.running.remote_keys {
            let reloader = Arc::clone(&self.reloader);
            tokio::task::spawn_blocking(move || reloader.refresh_keys());
        }
    }

    /// Looks at the memory, and gives up what is kept for later when it is full.
    fn weigh(&self, memory: &mut Memory) {
        let Some(resident) = process::resident_bytes() else {
            return;
        };
        let (was, full) = (self.shared.pressure.is_full(), memory.observe(resident));
        self.shared.pressure.on_memory(full);
        if full {
            let trimmed = self.shared.registry.trim();
            debug!(resident, trimmed, "the memory is full");
        }
        match (was, full) {
            (false, true) => {
                let budget = self.memory;
                warn!(
                    resident,
                    budget, "the memory is full: nobody new, and no past"
                );
            }
            (true, false) => info!(resident, "there is memory again"),
            (true, true) | (false, false) => {}
        }
    }
}

/// Takes publishers over TLS, where there is a listener for them.
fn secure(
    listener: Option<std::net::TcpListener>,
    shared: &Shared,
) -> io::Result<mpsc::Receiver<Plain>> {
    let Some(listener) = listener else {
        return Ok(mpsc::channel(1).1);
    };
    let acceptor = Acceptor::new(&shared.certificate, &[])?;
    tls::unwrap(listener, acceptor, Arc::clone(&shared.pressure))
}

/// What the shards share.
fn share(
    config: &Config,
    certificate: Arc<Certificate>,
    phase: watch::Receiver<Phase>,
    memory: u64,
) -> Shared {
    let shards = usize::from(config.shards);
    let mut registry = config.registry;
    // Half of the memory is for what viewers ask for later, the other for the viewers.
    let half = usize::try_from(memory / 2).unwrap_or(usize::MAX);
    registry.cache_bytes = registry.cache_bytes.min(half);
    Shared {
        registry: Registry::new(registry, shards),
        certificate,
        phase,
        endpoint: config.endpoint,
        session: config.session.clone(),
        ingest: config.ingest.clone(),
        play: config.play,
        upstream: config.upstream.clone(),
        first_id: 0,
        hop: rand::random(),
        policy: watch::Sender::new(Arc::new(config.auth.clone())),
        answers: Default::default(),
        asking: Arc::new(Semaphore::new(ASKING_MAX)),
        delays: Default::default(),
        verifying: Semaphore::new(VERIFYING_MAX),
        sessions: Arc::new(Semaphore::new(config.limits.sessions)),
        pressure: Arc::new(Pressure::new(config.limits.clone(), shards)),
        counters: Default::default(),
    }
}

/// One line for whoever wonders why an encoder on another machine is refused, or why it is not.
fn say_who_publishes(config: &Config, rtmp: SocketAddr) {
    let policy = &config.auth;
    let remote = !rtmp.ip().is_loopback();
    match policy.publish {
        Door::Loopback if remote && policy.keys.is_empty() && policy.tokens.is_none() => info!(
            "publishing is for programs on this machine: `weir key live/cam` makes a key for others"
        ),
        Door::Anyone if remote => {
            warn!("auth.publish is \"anyone\": whoever reaches this relay may publish");
        }
        Door::Anyone | Door::Loopback | Door::Credential => {}
    }
}

/// How often streams are looked at for the end of their linger time.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// How often the memory is looked at: a gigabit fills 60 MB in that time.
const WEIGH_INTERVAL: Duration = Duration::from_millis(500);

/// How often streams are looked at for warnings.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Publishers beyond the limit that are told so at a time; further ones are closed without a word.
const TURNED_AWAY_MAX: usize = 16;

/// Secrets that are verified at a time, where that takes long: one core's worth at most, as the
/// others carry media.
const VERIFYING_MAX: usize = 1;

/// Questions to a webhook under way: what such a server answers within its time.
const ASKING_MAX: usize = 32;

/// How often keys that come from another server are fetched anew.
const KEYS_INTERVAL: Duration = Duration::from_secs(300);

/// Pause after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
