//! A MoQT peer that publishes to us: its requests' framing, and its tracks on their way in.
//!
//! ```text
//!            alias            gate                     one copy
//!   stream ─────────► inlet ─────────► object by object ────────► ring
//!   datagram ───────►   ▲
//!                       │ FETCH: the past of a track, before the gate opens
//! ```
//!
//! It does not matter who opened the connection: a publisher that came to us (`session`) and a
//! relay that we went to (`upstream`) are the same from here on. A payload is copied once, from
//! the packets' buffers to behind the room for our own header; an object is passed on when it is
//! whole, as with publishers over RTMP.
//!
//! What a peer can make us hold is bounded: see the limits at the end of each file.

mod contents;
mod inlet;
mod message;
mod object;
mod past;
mod subgroup;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::message::RequestError;
use weir_protocol::moqt::object::{DataError, Remedy};
use weir_protocol::moqt::{
    Message, RequestErrorCode, RequestIds, RequestKind, SessionError, StreamResetCode, StreamRole,
    Version,
};

use crate::webtransport::{RecvStream, SendStream, Session};

pub use inlet::{Inlet, Registration};
pub use message::{Mend, MessageError, MessageReader, READ_BYTES, send, stream_code};
pub use past::Past;
pub use subscription::{Ending, Following, Wanted, subscribe};

/// What the peer did that ends its session.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    /// The code to close with.
    pub code: SessionError,
    /// For people.
    pub reason: String,
}

impl From<DataError> for Fault {
    fn from(error: DataError) -> Self {
        let code = match error.remedy() {
            Remedy::Close(code) => code,
            Remedy::Stop(_) => SessionError::Internal,
        };
        Self {
            code,
            reason: error.to_string(),
        }
    }
}

/// A session with a peer, as far as its publishing goes.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub connection: Arc<Session>,
    /// The draft that it speaks.
    pub version: Version,
    /// Our request ids and the peer's.
    pub ids: Arc<Mutex<RequestIds>>,
    inlets: Mutex<HashMap<u64, Arc<Inlet>>>,
    inlet_changes: watch::Sender<()>,
    /// FETCHes of ours, by request id, and subscriptions that are filled.
    pasts: Mutex<HashMap<u64, Arc<Past>>>,
    past_changes: watch::Sender<()>,
    /// Streams that wait for somebody to explain their alias.
    unexplained: AtomicUsize,
    /// Bytes of objects that are not whole yet.
    partial: AtomicUsize,
}

/// A request stream of ours.
#[derive(Debug)]
pub struct Exchange {
    /// What the peer says.
    pub reader: MessageReader,
    /// What it hears.
    pub stream: SendStream,
    kind: RequestKind,
    version: Version,
}

impl Peer {
    /// A peer that publishes nothing yet.
    pub fn new(connection: Arc<Session>, version: Version, ids: Arc<Mutex<RequestIds>>) -> Self {
        Self {
            connection,
            version,
            ids,
            inlets: Mutex::default(),
            inlet_changes: watch::Sender::new(()),
            pasts: Mutex::default(),
            past_changes: watch::Sender::new(()),
            unexplained: AtomicUsize::new(0),
            partial: AtomicUsize::new(0),
        }
    }

    /// Makes a request. The next message is the answer.
    pub async fn request(&self, message: impl Into<Message>) -> Result<Exchange, RequestError> {
        let message = message.into();
        let lost = |what: String| RequestError::new(RequestErrorCode::Internal, what);
        let kind = message.request_kind();
        let kind = kind.ok_or_else(|| lost(format!("{} is no request", message.name())))?;
        let opened = self.connection.open_bi().await;
        let (mut stream, recv) = opened.map_err(|error| lost(error.to_string()))?;
        let role = StreamRole::Opening;
        let sent = send(&mut stream, self.version, role, message).await;
        sent.map_err(|error| lost(error.to_string()))?;
        Ok(Exchange {
            reader: MessageReader::new(recv, self.version),
            stream,
            kind,
            version: self.version,
        })
    }

    /// Serves a subgroup stream of the peer's, of which `head` was read already.
    pub async fn serve_subgroup(
        self: &Arc<Self>,
        stream: RecvStream,
        head: BytesMut,
    ) -> Result<(), Fault> {
        subgroup::serve(self, stream, head).await
    }

    /// Serves a FETCH stream of the peer's, of which `head` was read already.
    pub async fn serve_fetch(&self, stream: RecvStream, head: BytesMut) -> Result<(), Fault> {
        past::serve(self, stream, head).await
    }

    /// Takes an object that came in a datagram. Returns whether its alias means a track.
    pub fn on_datagram(&self, object: &ObjectDatagram, now_us: u64) -> bool {
        let inlet = self.inlets.lock().get(&object.alias).cloned();
        inlet.is_some_and(|inlet| {
            inlet.on_datagram(object, now_us);
            true
        })
    }

    /// The track of an alias.
    async fn inlet(&self, alias: u64) -> Option<Arc<Inlet>> {
        let changes = self.inlet_changes.subscribe();
        self.explained(changes, || self.inlets.lock().get(&alias).cloned())
            .await
    }

    /// What the stream of a request's past belongs to.
    async fn past(&self, request_id: u64) -> Option<Arc<Past>> {
        let changes = self.past_changes.subscribe();
        self.explained(changes, || self.pasts.lock().get(&request_id).cloned())
            .await
    }

    /// Waits for what a stream belongs to: data may come before the answer that explains it.
    async fn explained<T>(
        &self,
        mut changes: watch::Receiver<()>,
        find: impl Fn() -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = find() {
            return Some(found);
        }
        let waiting = self.unexplained.fetch_add(1, Ordering::Relaxed);
        let found = match waiting < UNEXPLAINED_MAX {
            true => {
                let found = changes.wait_for(|()| find().is_some());
                timeout(UNEXPLAINED_PATIENCE, found).await.is_ok()
            }
            false => false,
        };
        self.unexplained.fetch_sub(1, Ordering::Relaxed);
        if found { find() } else { None }
    }

    /// Room for an object of `bytes` that begins to arrive; given back when it is dropped.
    fn room(&self, bytes: usize) -> Option<Room<'_>> {
        let before = self.partial.fetch_add(bytes, Ordering::Relaxed);
        let room = Room { peer: self, bytes };
        (before + bytes <= PARTIAL_BYTES).then_some(room)
    }
}

/// A share of what a peer may have under way.
struct Room<'a> {
    peer: &'a Peer,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.peer.partial.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Exchange {
    /// The peer's answer.
    pub async fn answer(&mut self) -> Result<Option<Message>, MessageError> {
        self.reader.next(StreamRole::Answer(self.kind)).await
    }

    /// A message after the answer.
    pub async fn next(&mut self) -> Result<Option<Message>, MessageError> {
        self.reader.next(StreamRole::Responder(self.kind)).await
    }

    /// Says something after the request.
    pub async fn say(&mut self, message: impl Into<Message>) {
        let role = StreamRole::Requester(self.kind);
        // A peer that does not listen ends the request itself.
        let _ = send(&mut self.stream, self.version, role, message).await;
    }

    /// Ends the request from our side.
    pub fn cancel(&mut self) {
        self.reader.stop();
        // Fails only when the stream has ended.
        let _ = self.stream.reset(stream_code(StreamResetCode::Cancelled));
    }
}

/// Streams whose alias or request nobody has explained yet: those of one flight that overtook
/// their request.
const UNEXPLAINED_MAX: usize = 64;

/// How long such a stream waits: a lost packet or two. Its data waits in the peer's send window.
const UNEXPLAINED_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of objects under way from one peer: two of the largest.
const PARTIAL_BYTES: usize = 32 << 20;
