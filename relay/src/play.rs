//! An RTMP player: a stream on one side, the player's socket on the other.
//!
//! The player is served from the same rings as the viewers over QUIC. Headers are the player's
//! own, payloads are the shared ones, and both are handed to the system in one vectored write.
//! `cursor` decides what is next; `feed` has the mirrors that all players of a shard share.
//!
//! A play of a stream that nobody publishes waits a while, as players are often opened first;
//! what has no publisher by then is refused by name, so that a program can say so and try again.

mod batch;
mod cursor;
mod description;
mod feed;
mod muxer;
mod sender;
mod viewing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;
use weir_protocol::moqt::Namespace;
use weir_protocol::rtmp::server::{self, Event, PlayRefusal, PlayRequest, Refusal, RefusalCode};

use crate::pressure::Limit;
use crate::shard::{Context, Phase};
use crate::stream::{Presence, Stream};
use crate::{clock, net};
pub use feed::Feeds;
use feed::{CATALOGS, Feed};
use sender::Sender;
use viewing::Viewing;

/// Limits of players.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long a play waits for its publisher.
    pub wait_limit: Duration,
    /// How far a player may be behind before it is taken to the newest key frame, in microseconds.
    pub behind_limit_us: u64,
    /// How long a player may take nothing of what waits for it.
    pub stall_limit: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // As long as OBS waits before it tries again.
            wait_limit: Duration::from_secs(10),
            behind_limit_us: 2_000_000,
            // A player that is paused without a word, or a link that is gone.
            stall_limit: Duration::from_secs(30),
        }
    }
}

/// Why a player's connection ended before the player ended it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlayError {
    #[error(transparent)]
    Session(#[from] server::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the player took nothing for {0:?}")]
    Stalled(Duration),
}

/// How a play is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The peer closed its connection.
    Left,
    /// The peer was told why; the connection is to be closed when it has read it.
    Told,
    /// The peer ended its play and may ask for another one.
    Stopped,
}

/// A connection that plays.
#[derive(Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) context: &'a Context,
    pub(crate) socket: &'a TcpStream,
    pub(crate) session: &'a mut server::Session,
    pub(crate) addr: SocketAddr,
}

/// What a player said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Pause(bool),
    Over(Over),
}

/// Serves one play of `namespace`.
pub(crate) async fn serve(
    mut peer: Peer<'_>,
    request: &PlayRequest,
    namespace: &Namespace,
) -> Result<Over, PlayError> {
    let asked_us = clock::now_us();
    let shared = &peer.context.shared;
    net::tune_player(peer.socket)?;
    let _place = match place(peer.context) {
        Ok(place) => place,
        Err(reason) => return peer.refuse(request, PlayRefusal::Failed(reason)).await,
    };
    let deadline = Instant::now() + shared.play.wait_limit;
    let feed = {
        let appearance = appearance(peer.context, namespace);
        match peer.until(deadline, appearance).await? {
            Waited::Until(feed) => feed,
            Waited::Heard(over) => return Ok(over),
            Waited::InVain => {
                let limit = shared.play.wait_limit;
                let refusal = match shared.registry.stream(namespace) {
                    Some(stream) if stream.presence() == Presence::Live => {
                        let reason = format!("{namespace} has no catalog that says what to play");
                        PlayRefusal::Failed(reason)
                    }
                    _ => {
                        let reason = format!("nobody published {namespace} within {limit:?}");
                        PlayRefusal::NotFound(reason)
                    }
                };
                return peer.refuse(request, refusal).await;
            }
        }
    };
    let description = feed.mirror.lock().description().cloned();
    let connect = peer.session.connect().cloned().unwrap_or_default();
    if let Some(reason) = description.and_then(|description| description.refusal(&connect)) {
        return peer.refuse(request, PlayRefusal::Failed(reason)).await;
    }
    let addr = peer.addr;
    info!(%addr, stream = %namespace, program = connect.flash_ver, "playing");
    peer.session.accept_play(request.stream_id);
    let viewing = Viewing::begin(
        &feed,
        peer.context.shard,
        addr,
        &connect.flash_ver,
        asked_us,
    );
    let result = Sender::new(peer, request.stream_id, connect, feed, viewing)
        .run()
        .await;
    match &result {
        Ok(_) => info!(%addr, stream = %namespace, "player left"),
        Err(error) => info!(%addr, stream = %namespace, %error, "player lost"),
    }
    result
}

/// A place among the viewers, or why there is none.
fn place(context: &Context) -> Result<OwnedSemaphorePermit, String> {
    let shared = &context.shared;
    let taken = shared.pressure.take_on(context.shard);
    taken.map_err(|limit| {
        let limit = limit.name();
        format!("this relay has too much to do ({limit}): try again in some seconds")
    })?;
    let place = Arc::clone(&shared.sessions).try_acquire_owned();
    place.map_err(|_| {
        shared.pressure.hit(Limit::Sessions);
        "this relay serves its limit of viewers".to_owned()
    })
}

/// Waits until the stream is there and says what it carries.
async fn appearance(context: &Context, namespace: &Namespace) -> Arc<Feed> {
    let registry = &context.shared.registry;
    let mut names = registry.changes();
    loop {
        names.mark_unchanged();
        // Followed before it is looked at, so that no name is missed. One that is nowhere yet may
        // be an upstream's.
        let stream: Option<Arc<Stream>> = registry.remote(namespace, clock::now_us());
        let described = async {
            match stream {
                Some(stream) => described(context, &stream).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            feed = described => match feed {
                Some(feed) => return feed,
                None => sleep(ASK_AGAIN).await,
            },
            changed = names.changed() => {
                if changed.is_err() {
                    // The relay is gone, and everything with it.
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// Waits until the stream says what it carries, and asks for that where it is there on demand
/// only. `None` when whoever is asked does not have it.
async fn described(context: &Context, stream: &Arc<Stream>) -> Option<Arc<Feed>> {
    let mut refused = 0;
    for name in CATALOGS {
        match stream.demand(&Bytes::from_static(name), &[]).await {
            Some(Err(_)) => refused += 1,
            // It is there, or nobody is to be asked for it: it comes by itself.
            Some(Ok(_)) | None => break,
        }
    }
    if refused == CATALOGS.len() {
        context.shared.registry.forget(stream);
        return None;
    }
    let feed = context.feeds.join(stream);
    let mut changes = feed.changes();
    let description = loop {
        let description = feed.mirror.lock().description().cloned();
        match description {
            Some(description) => break description,
            // The sender is in the feed, which is here.
            None => drop(changes.changed().await),
        }
    };
    for track in description.names() {
        // What is refused is not played; the rest is.
        let _ = stream.demand(&Bytes::from(track), &[]).await;
    }
    Some(feed)
}

/// Waits until the relay drains, or is gone.
async fn drained(phase: &mut watch::Receiver<Phase>) {
    // An error would mean that the relay is gone, which is the same news.
    let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
}

/// What came of waiting.
enum Waited<T> {
    Until(T),
    Heard(Over),
    InVain,
}

impl Peer<'_> {
    /// Waits for `future`, listening to the peer meanwhile.
    async fn until<T>(
        &mut self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Result<Waited<T>, PlayError> {
        tokio::pin!(future);
        let mut phase = self.context.shared.phase.clone();
        loop {
            tokio::select! {
                done = timeout_at(deadline, &mut future) => {
                    return Ok(done.map_or(Waited::InVain, Waited::Until));
                }
                () = drained(&mut phase) => return Ok(Waited::InVain),
                readable = self.socket.readable() => {
                    readable?;
                    let heard = self.listen()?;
                    self.flush().await?;
                    if let Some(Heard::Over(over)) = heard {
                        return Ok(Waited::Heard(over));
                    }
                }
            }
        }
    }

    /// Reads what the peer has sent, once. The answers wait in the session.
    fn listen(&mut self) -> Result<Option<Heard>, PlayError> {
        let mut buffer = [0; READ_BYTES];
        let bytes = match self.socket.try_read(&mut buffer) {
            Ok(0) => return Ok(Some(Heard::Over(Over::Left))),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let taken = self.session.handle_input(&buffer[..bytes], clock::now_us());
        let mut heard = None;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Stop { .. } => heard = Some(Heard::Over(Over::Stopped)),
                Event::Closed => heard = Some(Heard::Over(Over::Told)),
                Event::Pause { stream_id, paused } => {
                    self.session.notify_pause(stream_id, paused);
                    heard = heard.or(Some(Heard::Pause(paused)));
                }
                Event::Publish(request) => self.session.refuse_publish(
                    request.stream_id,
                    &Refusal {
                        code: RefusalCode::Rejected,
                        description: ONE_USE.to_owned(),
                    },
                ),
                Event::Play(request) => {
                    let refusal = PlayRefusal::Failed(ONE_USE.to_owned());
                    self.session.refuse_play(request.stream_id, &refusal);
                }
                // A player has nothing to publish.
                Event::Connected(_)
                | Event::Metadata { .. }
                | Event::BadMetadata { .. }
                | Event::Video(_)
                | Event::Audio(_)
                | Event::Unpublish { .. } => {}
            }
        }
        taken?;
        Ok(heard)
    }

    async fn refuse(
        mut self,
        request: &PlayRequest,
        refusal: PlayRefusal,
    ) -> Result<Over, PlayError> {
        info!(addr = %self.addr, app = request.app, ?refusal, "refused a player");
        self.session.refuse_play(request.stream_id, &refusal);
        self.flush().await?;
        Ok(Over::Told)
    }

    /// Writes the session's answers. Not while a message of the stream is half written.
    async fn flush(&mut self) -> Result<(), PlayError> {
        while let Some(output) = self.session.poll_output() {
            let limit = self.context.shared.play.stall_limit;
            let deadline = Instant::now() + limit;
            let mut left = &output[..];
            while !left.is_empty() {
                match self.socket.try_write(left) {
                    Ok(bytes) => left = left.get(bytes..).unwrap_or_default(),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        let writable = timeout_at(deadline, self.socket.writable()).await;
                        writable.map_err(|_| PlayError::Stalled(limit))??;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// How often an upstream is asked for a stream that it does not have.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why a connection that plays is not given a second task.
const ONE_USE: &str = "this connection plays a stream: use another one for this";

/// Read at a time: players send acknowledgements and little else.
const READ_BYTES: usize = 4096;
