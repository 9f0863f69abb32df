//! A seeded proxy that impairs TCP and UDP: delay, jitter, loss, reorder, duplicates, a rate
//! limit with a bounded queue, and blackholes, in each direction on its own.
//!
//! ```text
//!  client ──► listen ══ up link ══► target          the link decides (pure, seeded, virtual time),
//!  client ◄── listen ◄══ down link ═ target         the shell only carries (sockets, timers)
//! ```
//!
//! One link a direction is shared by all clients of a proxy, as the bottleneck of a network is.
//! The proxy lives in a thread with a runtime of its own, so that neither a busy nor a blocked
//! caller disturbs its timing. Nothing is delivered early; it is late by about a millisecond at
//! most (the granularity of tokio's timer) on a machine that is not overloaded.
//!
//! UDP is impaired datagram by datagram. Of TCP the proxy sees bytes, not packets: loss, reorder
//! and duplication would only corrupt them, so they do not apply; delay, jitter, rate and
//! blackholes do, in order, and a full queue holds the sender back where UDP would drop. ECN marks
//! do not pass the proxy.

mod delay_line;
mod link;
mod rng;
mod tcp;
mod udp;

pub use link::{
    DEFAULT_BURST_BYTES, DEFAULT_QUEUE_BYTES, DEFAULT_REORDER_DELAY, DropReason, Link, LinkConfig,
    LinkCounters, Verdict, Window,
};

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;

/// What both sockets' kernel buffers are asked to hold, in bytes: a few milliseconds of a fast
/// burst, so that the only losses are those that the link decided. The kernel may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Connections that the kernel may hold for a TCP proxy before they are accepted.
const LISTEN_BACKLOG: i32 = 1024;

/// Makes proxies.
#[derive(Debug)]
pub struct Impairment;

impl Impairment {
    /// Listens for TCP on `listen` and carries each connection to `target` through the links.
    ///
    /// `up` is the way from the client to the target. The same seed gives the same decisions for
    /// the same sequence of segments.
    ///
    /// # Errors
    /// When the address cannot be bound or the proxy's thread cannot be started.
    pub fn tcp(
        listen: SocketAddr,
        target: SocketAddr,
        up: LinkConfig,
        down: LinkConfig,
        seed: u64,
    ) -> io::Result<Proxy> {
        let listener = listen_tcp(listen)?;
        let local_addr = listener.local_addr()?;
        Proxy::spawn(local_addr, up, down, seed, move |path| {
            tcp::run(listener, target, path)
        })
    }

    /// Listens for UDP on `listen` and carries datagrams to `target` through the links, with one
    /// socket towards the target for each client address.
    ///
    /// # Errors
    /// When the address cannot be bound or the proxy's thread cannot be started.
    pub fn udp(
        listen: SocketAddr,
        target: SocketAddr,
        up: LinkConfig,
        down: LinkConfig,
        seed: u64,
    ) -> io::Result<Proxy> {
        let socket = bind_udp(listen)?;
        let local_addr = socket.local_addr()?;
        Proxy::spawn(local_addr, up, down, seed, move |path| {
            udp::run(socket, target, path)
        })
    }
}

/// A running proxy. Dropping it closes its sockets, and what was on the way is lost.
#[derive(Debug)]
pub struct Proxy {
    local_addr: SocketAddr,
    path: Arc<Path>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    fn spawn<F>(
        local_addr: SocketAddr,
        up: LinkConfig,
        down: LinkConfig,
        seed: u64,
        serve: impl FnOnce(Arc<Path>) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>>,
    {
        let path = Arc::new(Path::new(up, down, seed));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&path);
        let thread = thread::Builder::new()
            .name("impair".into())
            .spawn(move || {
                runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    result = serve(Arc::clone(&shared)) => *shared.failure.lock() = result.err(),
                }
            });
            })?;
        Ok(Self {
            local_addr,
            path,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the proxy listens, with the port that the kernel chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Changes the way from clients to the target. What is already on its way keeps its time.
    pub fn set_up(&self, config: LinkConfig) {
        self.path.up.set_config(config);
    }

    /// Changes the way from the target to clients. What is already on its way keeps its time.
    pub fn set_down(&self, config: LinkConfig) {
        self.path.down.set_config(config);
    }

    /// What each direction has seen and done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            up: self.path.up.counters(),
            down: self.path.down.counters(),
        }
    }

    /// Microseconds since the proxy was started: the time that [`LinkConfig::blackholes`] mean.
    pub fn now_us(&self) -> u64 {
        self.path.clock.now_us()
    }

    /// Why the proxy stopped on its own, where it did. Reports each failure once.
    pub fn failure(&self) -> Option<io::Error> {
        self.path.failure.lock().take()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the proxy's thread has printed itself; there is nobody to hand it to.
            let _ = thread.join();
        }
    }
}

/// The counters of both directions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// From clients to the target.
    pub up: LinkCounters,
    /// From the target to clients.
    pub down: LinkCounters,
}

/// What the proxy's thread and its owner share.
#[derive(Debug)]
struct Path {
    clock: Clock,
    up: Direction,
    down: Direction,
    failure: Mutex<Option<io::Error>>,
}

impl Path {
    fn new(up: LinkConfig, down: LinkConfig, seed: u64) -> Self {
        Self {
            clock: Clock::start(),
            up: Direction::new(Link::new(up, seed)),
            // Any other seed does: equal ones would lose the same packets in both directions.
            down: Direction::new(Link::new(down, !seed)),
            failure: Mutex::new(None),
        }
    }

    /// Sleeps until `at_us`; for ever when no timer reaches that far.
    async fn sleep_until(&self, at_us: u64) {
        match self.clock.instant(at_us) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// One direction: its link, and a signal that the link's configuration changed.
#[derive(Debug)]
struct Direction {
    link: Mutex<Link>,
    changed: Notify,
}

impl Direction {
    fn new(link: Link) -> Self {
        Self {
            link: Mutex::new(link),
            changed: Notify::new(),
        }
    }

    fn set_config(&self, config: LinkConfig) {
        self.link.lock().set_config(config);
        self.changed.notify_waiters();
    }

    fn counters(&self) -> LinkCounters {
        self.link.lock().counters()
    }
}

fn listen_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), kind, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    let buffers = SockRef::from(&socket);
    buffers.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    buffers.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
