//! A link between two endpoints that loses, reorders and blocks, by a seed.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quinn_proto::{ClientConfig, EndpointConfig, ServerConfig, Transmit, TransportConfig};
use rcgen::CertifiedKey;
use rustls::RootCertStore;

use crate::quic::socket::{Inbox, Wire};
use crate::quic::{Connection, Endpoint};

pub(super) const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 443);
pub(super) const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 2], 50_000);

/// One direction between two endpoints.
#[derive(Default)]
pub(super) struct Pipe {
    datagrams: Mutex<VecDeque<Vec<u8>>>,
    reader: Mutex<Option<Waker>>,
    cut: AtomicBool,
}

/// One end of a link, which decides by chance what becomes of a datagram.
struct Link {
    addr: SocketAddr,
    peer: SocketAddr,
    out: Arc<Pipe>,
    come: Arc<Pipe>,
    chance: Mutex<u64>,
    /// Of a thousand datagrams, so many are lost, and so many overtake the one before.
    trouble: u64,
    /// Calls to send; each seventh finds no room.
    calls: AtomicUsize,
    full: AtomicBool,
}

impl Link {
    /// xorshift64, which is enough to lose datagrams by.
    fn happens(&self) -> bool {
        let mut state = self.chance.lock();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % 1000 < self.trouble
    }
}

impl Wire for Link {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn may_probe_mtu(&self) -> bool {
        true
    }

    fn segments(&self) -> usize {
        10
    }

    fn segments_received(&self) -> usize {
        1
    }

    fn try_send(&self, transmit: &Transmit, contents: &[u8]) -> io::Result<()> {
        assert_eq!(transmit.destination, self.peer);
        if self.trouble > 0 && self.calls.fetch_add(1, Ordering::Relaxed) % 7 == 6 {
            self.full.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = transmit.segment_size.unwrap_or(transmit.size);
        let mut datagrams = self.out.datagrams.lock();
        for datagram in contents[..transmit.size].chunks(size) {
            if self.happens() {
                continue;
            }
            let behind = usize::from(self.happens()).min(datagrams.len());
            let place = datagrams.len() - behind;
            datagrams.insert(place, datagram.to_vec());
        }
        drop(datagrams);
        self.out
            .reader
            .lock()
            .take()
            .into_iter()
            .for_each(Waker::wake);
        Ok(())
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.full.swap(false, Ordering::Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<io::Result<usize>> {
        *self.come.reader.lock() = Some(cx.waker().clone());
        if self.come.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::Error::other("cut")));
        }
        let Some(datagram) = self.come.datagrams.lock().pop_front() else {
            return Poll::Pending;
        };
        Poll::Ready(inbox.recv(|buffers, metas| {
            buffers[0][..datagram.len()].copy_from_slice(&datagram);
            metas[0].addr = self.peer;
            metas[0].len = datagram.len();
            metas[0].stride = datagram.len();
            Ok(1)
        }))
    }
}

pub(super) struct Configs {
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
}

pub(super) fn configs(adjust: impl FnOnce(&mut TransportConfig)) -> Configs {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let chain = vec![cert.der().clone()];
    let mut server = ServerConfig::with_single_cert(chain, key.into()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut client = ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    let mut transport = TransportConfig::default();
    adjust(&mut transport);
    let transport = Arc::new(transport);
    server.transport_config(Arc::clone(&transport));
    client.transport_config(transport);
    Configs { server, client }
}

/// A server's and a client's endpoint over one link.
pub(super) struct Pair {
    pub(super) server: Endpoint,
    pub(super) client: Endpoint,
    to_client: Arc<Pipe>,
}

impl Pair {
    pub(super) fn new(trouble: u64, seed: u64, adjust: impl FnOnce(&mut TransportConfig)) -> Self {
        let Configs { server, client } = configs(adjust);
        let (to_client, to_server) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
        let link = |addr: ([u8; 4], u16), peer: ([u8; 4], u16), out, come, seed| {
            Box::new(Link {
                addr: addr.into(),
                peer: peer.into(),
                out: Arc::clone(out),
                come: Arc::clone(come),
                chance: Mutex::new(seed),
                trouble,
                calls: AtomicUsize::new(0),
                full: AtomicBool::new(false),
            })
        };
        let near = link(SERVER, CLIENT, &to_client, &to_server, seed);
        let far = link(CLIENT, SERVER, &to_server, &to_client, seed.rotate_left(32));
        let config = EndpointConfig::default;
        Self {
            server: Endpoint::over(near, config(), Some(server), None),
            client: Endpoint::over(far, config(), None, Some(client)),
            to_client,
        }
    }

    /// Both ends of a new connection, the server's first.
    pub(super) async fn connect(&self) -> (Connection, Connection) {
        let accepted = async {
            let incoming = self.server.accept().await.unwrap();
            incoming.accept().unwrap().established().await.unwrap()
        };
        let connecting = self.client.connect(SERVER.into(), "localhost").unwrap();
        let connected = async { connecting.established().await.unwrap() };
        tokio::join!(accepted, connected)
    }

    /// Breaks what the client receives with.
    pub(super) fn cut(&self) {
        self.to_client.cut.store(true, Ordering::Relaxed);
        let reader = self.to_client.reader.lock().take();
        reader.into_iter().for_each(Waker::wake);
    }
}
