//! The control listener: API, metrics, health and pages; the only room that knows axum.
//!
//! It reads the rest of the relay through the functions of a [`Context`] and runs on the control
//! runtime, so a scrape never waits on media nor media on a scrape. Every answer is made from
//! snapshots; nothing here changes the relay's state but the request to read its configuration
//! anew.

mod asset;
mod dashboard;
mod exposition;
mod feed;
mod guard;
mod join;
mod metrics;
mod player;
mod routes;

use crate::auth::Denial;
use crate::clock;
use crate::pressure::{Limit, Pressure, Ticket};
use crate::stats::events::Event;
use crate::stats::snapshot::{ProcessSnapshot, StreamDetail, StreamSnapshot};
use crate::tls::Acceptor;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bytes of a request's line and headers: twice what browsers send with cookies of other programs
/// on the same host.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Header lines of a request.
pub const MAX_HEADERS: usize = 64;

/// Bytes of a request's body. No route reads one; this lets careless clients send a little.
pub const MAX_BODY_BYTES: u64 = 1024;

/// How long a client may take for a request's headers, and keep a connection idle.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may last: bounds what a client that reads its answer slowly can hold.
/// Clients that keep a connection alive open another one without noticing.
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);

/// How long open requests may take after shutdown began.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

pub use feed::MAX_PAGES;

/// Pause after a failed accept: out of file descriptors, waiting is the only remedy.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Failed accepts in a row after which the listener is beyond hope: half a minute of retries.
const MAX_ACCEPT_FAILURES: u32 = 300;

/// Looks a stream up by its public name.
pub type FindStream = dyn Fn(&str) -> Option<StreamDetail> + Send + Sync;

/// What came of `POST /api/v1/config/reload`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadOutcome {
    /// Sections that are as the configuration says from now on.
    pub applied: Vec<&'static str>,
    /// Sections that differ, and stay as they are until a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Says whether an address may connect at all (`None`), or may see the control pages with the
/// credential that it shows, if it shows one.
pub type Guard = dyn Fn(IpAddr, Option<Option<String>>) -> Result<(), Denial> + Send + Sync;

/// Where the answers come from. The functions are called once a request and must not block.
#[derive(Clone)]
pub struct Context {
    /// Every stream, live or lingering.
    pub streams: Arc<dyn Fn() -> Vec<StreamSnapshot> + Send + Sync>,
    /// One stream by its public name, with its viewers.
    pub stream: Arc<FindStream>,
    /// What happened, the newest first.
    pub events: Arc<dyn Fn() -> Vec<Event> + Send + Sync>,
    /// The process.
    pub process: Arc<dyn Fn() -> ProcessSnapshot + Send + Sync>,
    /// Whether the relay takes publishers and viewers: false before start-up is done and while it
    /// drains.
    pub ready: Arc<AtomicBool>,
    /// SHA-256 of the leaf certificate, lower-case hex.
    pub certificate_sha256: Arc<dyn Fn() -> String + Send + Sync>,
    /// Reads the configuration anew, or says what is wrong with it.
    pub reload: Arc<dyn Fn() -> Result<ReloadOutcome, String> + Send + Sync>,
    /// Who may ask.
    pub guard: Arc<Guard>,
    /// How many may.
    pub pressure: Arc<Pressure>,
    /// Speaks TLS; none where the pages are served in plain.
    pub tls: Option<Acceptor>,
}

/// Serves HTTP/1.1 on `listener` until `shutdown` is done, then lets open requests finish for
/// [`DRAIN_TIMEOUT`].
///
/// # Errors
///
/// The listener's error when it keeps failing to accept.
pub async fn serve(
    listener: TcpListener,
    context: Context,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let feeds = Arc::new(feed::Feeds::new());
    let guard = Arc::clone(&context.guard);
    let pressure = Arc::clone(&context.pressure);
    let tls = context.tls.clone();
    let most = pressure.config.http_connections;
    let router = routes::router(context, &feeds);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut failures = 0;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, addr)) => {
                    failures = 0;
                    let ip = addr.ip();
                    if let Some(ticket) = admit(&guard, &pressure, ip) {
                        let router = router.clone().layer(Extension(guard::Peer(ip)));
                        let (tls, watcher) = (tls.clone(), graceful.watcher());
                        let served = serve_stream(stream, tls, router, watcher, ticket);
                        connections.spawn(served);
                        if connections.len() == most {
                            pressure.hit(Limit::Http);
                        }
                    }
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(%error, "http: cannot accept a connection");
                    }
                    if failures >= MAX_ACCEPT_FAILURES {
                        return Err(error);
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    feeds.stop();
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::debug!(
            open = connections.len(),
            "http: requests cut off by shutdown"
        );
    }
    Ok(())
}

/// Lets an address in, or not; the limits are counted.
fn admit(guard: &Arc<Guard>, pressure: &Arc<Pressure>, addr: IpAddr) -> Option<Ticket> {
    guard(addr, None).ok()?;
    pressure.admit(addr, clock::now_us()).ok()
}

async fn serve_stream(
    mut stream: TcpStream,
    tls: Option<Acceptor>,
    router: Router,
    watcher: Watcher,
    _ticket: Ticket,
) {
    let Some(tls) = tls else {
        return connection(stream, router, watcher).await;
    };
    let mut first = [0];
    let looked = tokio::time::timeout(HEADER_READ_TIMEOUT, stream.peek(&mut first)).await;
    match looked {
        Ok(Ok(1)) if first[0] != TLS_HANDSHAKE => {
            // Whoever typed http:// is told, where its program shows it.
            let _ = stream.write_all(USE_HTTPS).await;
            let _ = stream.shutdown().await;
        }
        Ok(Ok(1)) => match tls.accept(stream).await {
            Ok(stream) => connection(stream, router, watcher).await,
            Err(error) => tracing::debug!(%error, "http: no TLS"),
        },
        Ok(_) | Err(_) => tracing::debug!("http: nothing was said"),
    }
}

async fn connection<S>(stream: S, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // An error here is the client's: it left, was too slow, or did not speak HTTP.
    match tokio::time::timeout(CONNECTION_LIFETIME, watcher.watch(connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "http: connection failed"),
        Err(_) => tracing::debug!("http: connection outlived its time"),
    }
}

/// The first byte of a TLS connection: a record of the type handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// The answer to those who speak plain HTTP where TLS is spoken.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    connection: close\r\n\r\nThis relay has a certificate: use https:// instead of http://\n";

#[cfg(test)]
mod tests;
