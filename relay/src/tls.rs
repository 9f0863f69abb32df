//! TLS on TCP: `https` for the control listener, and RTMPS in front of `ingest`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::clock;
use crate::endpoint::{self, Certificate};
use crate::pressure::Pressure;

/// Speaks TLS with whoever connects, with the relay's certificate as it is at that moment.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// For peers that speak one of `alpn`, or do not say.
    pub fn new(certificate: &Arc<Certificate>, alpn: &[&str]) -> io::Result<Self> {
        let config = endpoint::tls_server(certificate, alpn).map_err(io::Error::other)?;
        Ok(Self(TlsAcceptor::from(config)))
    }

    /// The handshake, which has to be over soon.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        timeout(HANDSHAKE_LIMIT, self.0.accept(stream)).await?
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

/// A publisher whose TLS is taken off: what it says in plain, and where it comes from.
pub type Plain = (TcpStream, SocketAddr);

/// Takes publishers over TLS on `listener`, in a thread of its own: what it costs must not delay
/// media. What they say goes on over a connection within this machine, so that everything behind
/// is as with the others.
pub fn unwrap(
    listener: TcpListener,
    acceptor: Acceptor,
    pressure: Arc<Pressure>,
) -> io::Result<mpsc::Receiver<Plain>> {
    let (taken, plain) = mpsc::channel(IN_TRANSIT);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new().name("weir-tls".to_owned());
    thread.spawn(move || {
        let served = runtime.block_on(serve(listener, &acceptor, &pressure, &taken));
        if let Err(error) = served {
            warn!(%error, "RTMPS has ended");
        }
    })?;
    Ok(plain)
}

async fn serve(
    listener: TcpListener,
    acceptor: &Acceptor,
    pressure: &Arc<Pressure>,
    taken: &mpsc::Sender<Plain>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        // More wait in the system.
        let Ok(place) = Arc::clone(&handshakes).acquire_owned().await else {
            return Ok(());
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The relay does not take publishers any more; those who are there go on until it ends.
            () = taken.closed() => return std::future::pending().await,
        };
        match accepted {
            Ok((stream, addr)) if pressure.look(addr.ip(), clock::now_us()).is_ok() => {
                let (acceptor, taken) = (acceptor.clone(), taken.clone());
                tokio::spawn(async move {
                    if let Err(error) = carry(stream, addr, acceptor, taken, place).await {
                        debug!(%addr, %error, "lost a connection over TLS");
                    }
                });
            }
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "cannot accept a publisher over TLS");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn carry(
    stream: TcpStream,
    addr: SocketAddr,
    acceptor: Acceptor,
    taken: mpsc::Sender<Plain>,
    place: OwnedSemaphorePermit,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut outer = acceptor.accept(stream).await?;
    drop(place);
    let (mut inner, plain) = pair().await?;
    if taken.send((plain, addr)).await.is_err() {
        return Ok(());
    }
    copy_bidirectional(&mut outer, &mut inner).await.map(drop)
}

/// Two ends of a connection within this machine.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    ours.set_nodelay(true)?;
    loop {
        let (theirs, addr) = listener.accept().await?;
        // Another program of this machine may have found the port.
        if addr == ours.local_addr()? {
            return Ok((ours, theirs));
        }
    }
}

/// How long a handshake may take: four round trips of a bad mobile link.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Handshakes under way.
const HANDSHAKES_MAX: usize = 64;

/// Publishers on their way to the relay.
const IN_TRANSIT: usize = 16;

/// Pause after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
