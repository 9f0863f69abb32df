//! An RTMP connection. A publisher's: its socket on one side, the writing side of a stream on the
//! other. One that turns out to be a player's is handed to `play`.
//!
//! The session (`protocol::rtmp`) is pure; this is its driver. Bytes are read into one buffer a
//! thread, and the session copies each media payload from there straight into the allocation that
//! every viewer will share.

mod admission;
mod interruption;
mod packager;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};
use weir_protocol::moqt::{NameError, Namespace};
use weir_protocol::rtmp::handshake::RANDOM_LEN;
use weir_protocol::rtmp::server::{
    self, Event, PlayRefusal, PlayRequest, Session, UnpublishReason,
};
use weir_protocol::rtmp::{Limits, StreamId};

use crate::auth::{Attempt, Policy};
use crate::pressure::Ticket;
use crate::ring::PushError;
use crate::shard::{Arrival, Context, Phase};
use crate::stats::events::{self, EventKind};
use crate::{clock, net, play};
use interruption::Interruption;
pub use packager::{MEDIA_ROOM, ObjectBuilder, Untimed};
use packager::{PackageError, Packager};

/// Limits of a publisher's connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time from the connection to an accepted publish.
    pub publish_timeout: Duration,
    /// Silence after which a publisher is given up.
    pub idle_timeout: Duration,
    /// The session's own limits.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Four round trips of a bad mobile link, and a slow encoder's start.
            publish_timeout: Duration::from_secs(15),
            // Encoders send audio all the time; OBS gives up a dead link sooner.
            idle_timeout: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// Why a publisher's connection ended before the publisher ended it.
#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error(transparent)]
    Session(#[from] server::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Play(#[from] play::PlayError),
    #[error("nothing was published within {0:?}")]
    NoPublish(Duration),
    #[error("silent for {0:?}")]
    Idle(Duration),
    #[error("the peer takes no answers")]
    Unread,
    #[error("the stream cannot be carried: {0}")]
    Refused(String),
}

/// Serves a connection until either side ends it. With a refusal it may not publish, and hears
/// that as the reason.
pub async fn serve(context: &Context, arrival: Arrival) {
    let addr = arrival.addr;
    let mut connection = match Connection::new(context, arrival) {
        Ok(connection) => connection,
        Err(error) => return warn!(%addr, %error, "lost a publisher's connection"),
    };
    let result = connection.run().await;
    let stream = connection.packager.take().map(|packager| packager.name());
    match (result, stream) {
        (Ok(()), Some(stream)) => info!(%addr, stream, "publisher left"),
        (Ok(()), None) => debug!(%addr, "connection closed"),
        (Err(error), Some(stream)) => warn!(%addr, stream, %error, "publisher lost"),
        // Encoders that have unpublished, and scanners, leave as they like.
        (Err(error @ IngestError::Io(_)), None) => debug!(%addr, %error, "connection lost"),
        (Err(error), None) => info!(%addr, %error, "refused an RTMP peer"),
    }
    if connection.told {
        connection.hang_up().await;
    }
}

struct Connection<'a> {
    context: &'a Context,
    socket: tokio::net::TcpStream,
    addr: SocketAddr,
    session: Session,
    packager: Option<Packager>,
    published: Option<StreamId>,
    opened: Instant,
    phase: watch::Receiver<Phase>,
    /// Why this publisher is not let in; none if it is.
    refusal: Option<String>,
    /// Its place among the publishers, until it shows to be a player.
    place: Option<OwnedSemaphorePermit>,
    /// Its place among the connections of its address.
    _ticket: Ticket,
    /// What the peer wants to play.
    wish: Option<PlayRequest>,
    /// What let the publisher in, and the policy's changes.
    granted: Option<Attempt>,
    policy: watch::Receiver<Arc<Policy>>,
    /// When the credential that let the publisher in ends.
    until: Option<Instant>,
    /// What else may happen; none when what it listens to has changed.
    next: Option<interruption::Next>,
    /// When the peer was last heard.
    heard: Instant,
    ended: bool,
    /// Whether the peer was told why the connection ends.
    told: bool,
}

impl<'a> Connection<'a> {
    fn new(context: &'a Context, arrival: Arrival) -> std::io::Result<Self> {
        let Arrival {
            stream,
            addr,
            permit,
            refusal,
            ticket,
        } = arrival;
        let socket = tokio::net::TcpStream::from_std(stream)?;
        net::tune_publisher(&socket)?;
        let mut random = [0; RANDOM_LEN];
        rand::fill(&mut random);
        let config = server::Config {
            limits: context.shared.ingest.limits.clone(),
            media_room: MEDIA_ROOM,
        };
        Ok(Self {
            context,
            socket,
            addr,
            session: Session::new(config, random),
            packager: None,
            published: None,
            opened: Instant::now(),
            phase: context.shared.phase.clone(),
            refusal,
            place: Some(permit),
            _ticket: ticket,
            wish: None,
            granted: None,
            policy: context.shared.policy.subscribe(),
            until: None,
            next: None,
            heard: Instant::now(),
            ended: false,
            told: false,
        })
    }

    async fn run(&mut self) -> Result<(), IngestError> {
        loop {
            let Input {
                bytes,
                now_us,
                taken,
            } = match self.wait().await? {
                Woken::Read(input) if input.bytes == 0 => return Ok(()),
                Woken::Read(input) => input,
                Woken::Interrupted(interruption) => match self.interrupted(&interruption).await? {
                    Some(reason) => return self.end(reason).await,
                    None => continue,
                },
            };
            let handled = self.on_events(bytes, now_us).await;
            self.flush().await?;
            taken?;
            if let Err(error) = handled {
                return self.refuse(error).await;
            }
            if self.ended {
                self.told = true;
                return Ok(());
            }
            if let Some(request) = self.wish.take()
                && self.play(&request).await?
            {
                return Ok(());
            }
        }
    }

    /// Waits for input, for the stream to be taken over, or for a limit.
    ///
    /// It is `read` and not readiness with `try_read` behind it: after a read that does not fill
    /// the buffer tokio knows that nothing is left, and spares the call that would say so, which
    /// is every other one of a publisher's. A peer that never pauses is interrupted all the same,
    /// as tokio has it pause now and then.
    async fn wait(&mut self) -> Result<Woken, IngestError> {
        let mut next = self.next.take().unwrap_or_else(|| self.listen());
        tokio::select! {
            biased;
            read = poll_fn(|cx| self.poll_input(cx)) => {
                self.next = Some(next);
                self.heard = Instant::now();
                Ok(Woken::Read(read?))
            }
            interruption = &mut next => Ok(Woken::Interrupted(interruption)),
        }
    }

    /// Reads what has come, and has the session take it before anybody else reads on this thread.
    fn poll_input(&mut self, cx: &mut task::Context<'_>) -> Poll<std::io::Result<Input>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let now_us = clock::now_us();
            Poll::Ready(Ok(Input {
                bytes: read.filled().len(),
                now_us,
                taken: self.session.handle_input(read.filled(), now_us),
            }))
        })
    }

    async fn on_events(&mut self, bytes: usize, now_us: u64) -> Result<(), IngestError> {
        if let Some(packager) = &self.packager {
            packager.on_bytes_in(bytes);
        }
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connected(connect) => {
                    let (app, program) = (connect.app, connect.flash_ver);
                    debug!(addr = %self.addr, app, program, "connected");
                }
                Event::Publish(request) => self.publish(&request, now_us).await?,
                Event::Play(request) if self.packager.is_some() => {
                    let reason = "this connection publishes: use another one to play";
                    let refusal = PlayRefusal::Failed(reason.to_owned());
                    self.session.refuse_play(request.stream_id, &refusal);
                }
                Event::Play(request) => self.wish = Some(request),
                // The play was taken back before it began.
                Event::Stop { .. } => self.wish = None,
                Event::Pause { .. } => {}
                Event::Metadata { metadata, .. } => {
                    if let Some(packager) = &mut self.packager {
                        packager.on_metadata(&metadata);
                        packager.set_encoder(self.session.encoder().unwrap_or_default());
                    }
                }
                Event::BadMetadata { error, .. } => {
                    warn!(addr = %self.addr, %error, "ignored the encoder's metadata");
                }
                Event::Video(media) => {
                    if let Some(packager) = &mut self.packager {
                        packager.on_video(media, now_us)?;
                    }
                }
                Event::Audio(media) => {
                    if let Some(packager) = &mut self.packager {
                        packager.on_audio(media, now_us)?;
                    }
                }
                Event::Unpublish { .. } => {
                    if let Some(packager) = self.packager.take() {
                        info!(addr = %self.addr, stream = packager.name(), "unpublished");
                    }
                    self.published = None;
                    self.opened = Instant::now();
                    self.next = None;
                }
                Event::Closed => self.ended = true,
            }
        }
        Ok(())
    }

    /// Tells the encoder why its stream cannot be carried, then gives up.
    async fn refuse(&mut self, error: IngestError) -> Result<(), IngestError> {
        if let IngestError::Package(PackageError::Push(PushError::Superseded)) = error {
            return self.end(UnpublishReason::TakenOver).await;
        }
        let event = events::Event::new(EventKind::Refused, clock::unix_ms());
        let event = event
            .who(self.addr.ip().to_string())
            .detail(error.to_string());
        match &self.packager {
            Some(packager) => packager.log(event),
            None => self.context.shared.registry.log(event),
        }
        self.end(UnpublishReason::Rejected(error.to_string()))
            .await?;
        Err(IngestError::Refused(error.to_string()))
    }

    /// Why the stream ends, if it does.
    async fn interrupted(
        &mut self,
        interruption: &Interruption,
    ) -> Result<Option<UnpublishReason>, IngestError> {
        Ok(match interruption {
            Interruption::Superseded => Some(UnpublishReason::TakenOver),
            Interruption::Draining => Some(UnpublishReason::ShuttingDown),
            Interruption::NewPolicy => {
                let denied = self.reconsider().await.err();
                denied.map(UnpublishReason::Rejected)
            }
            Interruption::Expired => {
                let reason = "the credential has expired: publish with a new one";
                Some(UnpublishReason::Rejected(reason.to_owned()))
            }
            Interruption::Limit => match self.limit() {
                (limit, error) if limit <= Instant::now() => return Err(error),
                // The peer has been heard since.
                _ => None,
            },
        })
    }

    async fn end(&mut self, reason: UnpublishReason) -> Result<(), IngestError> {
        if let Some(stream_id) = self.published.take() {
            self.session.unpublish_notice(stream_id, &reason);
        }
        self.told = true;
        self.flush().await
    }

    /// Ends our half and lets the peer read it. A socket that is closed with input unread is
    /// reset, and what the peer has not read by then is lost with it: encoders look at answers
    /// every few frames only.
    async fn hang_up(&mut self) {
        let mut buffer = [0; HANG_UP_BYTES];
        let listened = async {
            self.socket.shutdown().await?;
            while self.socket.read(&mut buffer).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        // The peer has left, or had its time: both end it.
        let _ = timeout(HANG_UP_LIMIT, listened).await;
    }

    async fn flush(&mut self) -> Result<(), IngestError> {
        while let Some(output) = self.session.poll_output() {
            match timeout(WRITE_TIMEOUT, self.socket.write_all(&output)).await {
                Ok(written) => written?,
                Err(_) => return Err(IngestError::Unread),
            }
        }
        Ok(())
    }
}

enum Woken {
    Read(Input),
    Interrupted(Interruption),
}

/// What a read brought, and what the session said of it.
struct Input {
    bytes: usize,
    now_us: u64,
    taken: Result<(), server::Error>,
}

thread_local! {
    /// What all connections of a thread read into. One of each would be as many buffers as there
    /// are publishers, each out of the core's cache by the time that its next frame comes.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// The stream that `rtmp://host/APP/KEY` names: application and key, split at slashes.
fn stream_name(app: &str, key: &str) -> Result<Namespace, NameError> {
    Namespace::from_path(&format!("{app}/{key}"))
}

/// What is wrong with an address that names no stream.
const ADDRESS_FORM: &str =
    "the address needs an application and a stream key, like rtmp://host/live/cam";

/// Read at a time: several frames' worth, so that a burst costs few calls.
const READ_BYTES: usize = 64 << 10;

/// Read at a time of what nobody wants any more.
const HANG_UP_BYTES: usize = 4096;

/// How long a peer may take to read why its connection ends: a few looks of a slow encoder, and
/// less than the relay's own time to drain.
const HANG_UP_LIMIT: Duration = Duration::from_secs(2);

/// How long the few bytes of an answer may take to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
