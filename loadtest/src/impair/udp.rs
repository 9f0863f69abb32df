//! The UDP shell: one task reads from clients, and one task a client reads from the target.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::{net::UdpSocket, task::AbortHandle};

use super::{Direction, Path, Verdict, delay_line::DelayLine};

/// Client addresses at a time, a socket each; datagrams of further ones are dropped and counted.
const MAX_CLIENTS: usize = 1024;

/// A client that neither sent nor was sent anything for this long is forgotten: longer than the
/// idle timeouts that QUIC stacks choose.
const CLIENT_IDLE_US: u64 = 120_000_000;

/// Datagrams on their way in one direction (upwards of all clients, downwards of one): at 1.5 kB
/// each, one second of 400 Mbit/s.
const MAX_IN_FLIGHT: usize = 32_768;

/// Datagrams read before the due ones are sent: keeps a burst from delaying what is due.
const READ_BATCH: usize = 32;

/// Longer than any UDP payload.
const MAX_DATAGRAM_BYTES: usize = 65_536;

pub(super) async fn run(
    socket: std::net::UdpSocket,
    target: SocketAddr,
    path: Arc<Path>,
) -> io::Result<()> {
    let listen = Arc::new(UdpSocket::from_std(socket)?);
    let mut up = Upwards {
        clients: Clients {
            listen: Arc::clone(&listen),
            target,
            path,
            by_addr: HashMap::new(),
        },
        line: DelayLine::new(MAX_IN_FLIGHT),
        buf: vec![0; MAX_DATAGRAM_BYTES],
    };
    let path = Arc::clone(&up.clients.path);
    loop {
        let next_due_us = up.line.next_due_us();
        tokio::select! {
            ready = listen.readable() => { ready?; up.receive(); }
            () = path.sleep_until(next_due_us.unwrap_or(u64::MAX)) => {}
        }
        up.send_due();
    }
}

/// The way from all clients to the target.
struct Upwards {
    clients: Clients,
    line: DelayLine<(Arc<Client>, Bytes)>,
    buf: Vec<u8>,
}

impl Upwards {
    fn receive(&mut self) {
        let path = Arc::clone(&self.clients.path);
        for _ in 0..READ_BATCH {
            // A pending error of the socket is some earlier datagram's; reading clears it.
            let Ok((len, from)) = self.clients.listen.try_recv_from(&mut self.buf) else {
                return;
            };
            let now_us = path.clock.now_us();
            let datagram = self.buf.get(..len).unwrap_or_default();
            match self.clients.client(from, now_us) {
                Ok(client) => offer(&path.up, now_us, datagram, &mut self.line, |bytes| {
                    (Arc::clone(&client), bytes)
                }),
                Err(_) => path.up.link.lock().on_proxy_drop(),
            }
        }
    }

    fn send_due(&mut self) {
        let path = &self.clients.path;
        while let Some((client, bytes)) = self.line.pop_due(path.clock.now_us()) {
            // Past tokio, which refuses to send until its first look at the socket's readiness.
            let sent = SockRef::from(&client.upstream).send(&bytes);
            note_sent(&path.up, sent, bytes.len());
        }
    }
}

/// The clients that are alive, and what is needed to add one.
struct Clients {
    listen: Arc<UdpSocket>,
    target: SocketAddr,
    path: Arc<Path>,
    by_addr: HashMap<SocketAddr, (Arc<Client>, AbortHandle)>,
}

impl Clients {
    fn client(&mut self, addr: SocketAddr, now_us: u64) -> io::Result<Arc<Client>> {
        if let Some((client, _)) = self.by_addr.get(&addr) {
            client.last_seen_us.store(now_us, Ordering::Relaxed);
            return Ok(Arc::clone(client));
        }
        self.forget_idle(now_us);
        if self.by_addr.len() >= MAX_CLIENTS {
            return Err(io::Error::other("too many clients"));
        }
        let client = Arc::new(Client::connect(addr, self.target, now_us)?);
        let down = downwards(
            Arc::clone(&client),
            Arc::clone(&self.listen),
            self.path.clone(),
        );
        let task = tokio::spawn(down).abort_handle();
        self.by_addr.insert(addr, (Arc::clone(&client), task));
        Ok(client)
    }

    /// Runs for each new client, so idle ones cost nothing but their socket until then.
    fn forget_idle(&mut self, now_us: u64) {
        self.by_addr.retain(|_, (client, task)| {
            let idle_us = now_us.saturating_sub(client.last_seen_us.load(Ordering::Relaxed));
            if idle_us >= CLIENT_IDLE_US {
                task.abort();
            }
            idle_us < CLIENT_IDLE_US
        });
    }
}

/// A client and its socket towards the target.
struct Client {
    addr: SocketAddr,
    upstream: UdpSocket,
    last_seen_us: AtomicU64,
}

impl Client {
    fn connect(addr: SocketAddr, target: SocketAddr, now_us: u64) -> io::Result<Self> {
        let any = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = super::bind_udp(any)?;
        socket.connect(target)?;
        let upstream = UdpSocket::from_std(socket)?;
        Ok(Self {
            addr,
            upstream,
            last_seen_us: AtomicU64::new(now_us),
        })
    }
}

/// The way from the target to one client.
async fn downwards(client: Arc<Client>, listen: Arc<UdpSocket>, path: Arc<Path>) {
    let mut line = DelayLine::new(MAX_IN_FLIGHT);
    let mut buf = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let next_due_us = line.next_due_us().unwrap_or(u64::MAX);
        tokio::select! {
            ready = client.upstream.readable() => {
                if ready.is_err() {
                    return;
                }
                receive_down(&client, &path, &mut line, &mut buf);
            }
            () = path.sleep_until(next_due_us) => {}
        }
        while let Some(bytes) = line.pop_due(path.clock.now_us()) {
            note_sent(
                &path.down,
                listen.try_send_to(&bytes, client.addr),
                bytes.len(),
            );
        }
    }
}

fn receive_down(client: &Client, path: &Path, line: &mut DelayLine<Bytes>, buf: &mut [u8]) {
    for _ in 0..READ_BATCH {
        // An error is the target's "port unreachable" for an earlier datagram; reading clears it.
        let Ok(len) = client.upstream.try_recv(buf) else {
            return;
        };
        let now_us = path.clock.now_us();
        client.last_seen_us.store(now_us, Ordering::Relaxed);
        offer(
            &path.down,
            now_us,
            buf.get(..len).unwrap_or_default(),
            line,
            |bytes| bytes,
        );
    }
}

/// Asks the link about a datagram and puts what it lets through on its way.
fn offer<T>(
    direction: &Direction,
    now_us: u64,
    datagram: &[u8],
    line: &mut DelayLine<T>,
    item: impl Fn(Bytes) -> T,
) {
    let mut link = direction.link.lock();
    let (at_us, copies) = match link.offer(now_us, datagram.len()) {
        Verdict::DeliverAt(at_us) => (at_us, 1),
        Verdict::DeliverTwice(at_us) => (at_us, 2),
        Verdict::Drop(_) => return,
    };
    let bytes = Bytes::copy_from_slice(datagram);
    for _ in 0..copies {
        if !line.push(at_us, item(bytes.clone())) {
            link.on_proxy_drop();
        }
    }
}

/// Counts what became of a send. A socket whose buffer is full, or whose peer is gone, loses the
/// datagram as a network would.
fn note_sent(direction: &Direction, sent: io::Result<usize>, len: usize) {
    let mut link = direction.link.lock();
    match sent {
        Ok(_) => link.on_delivered(len),
        Err(_) => link.on_proxy_drop(),
    }
}
