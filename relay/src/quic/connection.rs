//! A connection: the handle that tasks hold, and the state that it shares with the driver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    ConnectionError, ConnectionHandle, ConnectionStats, Dir, Event, SendDatagramError, StreamEvent,
    StreamId, VarInt,
};
use tokio::sync::Notify;

use super::driver::now;
use super::endpoint::Shared;
use super::stream::{RecvStream, SendStream};

/// A connection, as its driver knows it.
pub(super) struct Inner {
    pub(super) handle: ConnectionHandle,
    shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    news: [Notify; News::COUNT],
}

/// What a task may wait for, other than a stream.
#[derive(Clone, Copy)]
enum News {
    Connected,
    Closed,
    Datagram,
    Opened(Dir),
    Allowed(Dir),
}

impl News {
    const COUNT: usize = 7;

    fn index(self) -> usize {
        match self {
            Self::Connected => 0,
            Self::Closed => 1,
            Self::Datagram => 2,
            Self::Opened(dir) => 3 + dir as usize,
            Self::Allowed(dir) => 5 + dir as usize,
        }
    }
}

/// What handles and driver share of a connection.
pub(super) struct State {
    pub(super) quic: quinn_proto::Connection,
    /// Whether the driver has it on a list.
    pub(super) listed: bool,
    /// Whether it is over for the endpoint too, which may give its number to another.
    pub(super) gone: bool,
    connected: bool,
    pub(super) error: Option<ConnectionError>,
    /// Who waits to write to a stream, to read from one, and to hear what became of one.
    pub(super) writers: BTreeMap<StreamId, Waker>,
    pub(super) readers: BTreeMap<StreamId, Waker>,
    pub(super) stops: BTreeMap<StreamId, Waker>,
}

impl Inner {
    pub(super) fn new(
        shared: &Arc<Shared>,
        handle: ConnectionHandle,
        quic: quinn_proto::Connection,
    ) -> Arc<Self> {
        Arc::new(Self {
            handle,
            shared: Arc::clone(shared),
            state: Mutex::new(State {
                quic,
                listed: false,
                gone: false,
                connected: false,
                error: None,
                writers: BTreeMap::new(),
                readers: BTreeMap::new(),
                stops: BTreeMap::new(),
            }),
            news: Default::default(),
        })
    }

    /// Puts the connection on the driver's list, unless it is there.
    pub(super) fn touch(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.listed, true) {
            self.shared.mark(self);
        }
    }

    pub(super) fn close(self: &Arc<Self>, code: VarInt, reason: Bytes) {
        let mut state = self.state.lock();
        if state.error.is_some() && state.quic.is_closed() {
            return;
        }
        state.quic.close(now(), code, reason);
        state.terminate(ConnectionError::LocallyClosed, self);
        self.touch(&mut state);
    }

    fn tell(&self, news: News) {
        self.news[news.index()].notify_waiters();
    }
}

impl State {
    /// Wakes those for whom something has happened.
    pub(super) fn tell(&mut self, inner: &Inner) {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::HandshakeDataReady | Event::DatagramsUnblocked => {}
                Event::Connected => {
                    self.connected = true;
                    inner.tell(News::Connected);
                }
                Event::ConnectionLost { reason } => self.terminate(reason, inner),
                Event::DatagramReceived => inner.tell(News::Datagram),
                Event::Stream(event) => self.tell_stream(event, inner),
            }
        }
    }

    fn tell_stream(&mut self, event: StreamEvent, inner: &Inner) {
        let wake = |waker: Option<Waker>| waker.into_iter().for_each(Waker::wake);
        match event {
            StreamEvent::Opened { dir } => inner.tell(News::Opened(dir)),
            StreamEvent::Available { dir } => inner.tell(News::Allowed(dir)),
            StreamEvent::Readable { id } => wake(self.readers.remove(&id)),
            StreamEvent::Writable { id } => wake(self.writers.remove(&id)),
            StreamEvent::Finished { id } => wake(self.stops.remove(&id)),
            StreamEvent::Stopped { id, .. } => {
                wake(self.stops.remove(&id));
                wake(self.writers.remove(&id));
            }
        }
    }

    /// The connection is over: wakes everyone.
    pub(super) fn terminate(&mut self, reason: ConnectionError, inner: &Inner) {
        self.error.get_or_insert(reason);
        for waiting in [&mut self.writers, &mut self.readers, &mut self.stops] {
            std::mem::take(waiting).into_values().for_each(Waker::wake);
        }
        inner.news.iter().for_each(Notify::notify_waiters);
    }

    /// Why nothing can be done any more.
    pub(super) fn check(&self) -> Result<(), ConnectionError> {
        self.error.clone().map_or(Ok(()), Err)
    }
}

/// A connection. When its last handle is dropped, and its last stream, it is closed.
#[derive(Clone)]
pub struct Connection(Arc<Live>);

struct Live(Arc<Inner>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.close(VarInt::from_u32(0), Bytes::new());
    }
}

impl Connection {
    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0.0
    }

    /// Waits until `check` finds something; it is asked at once, and at each of the news.
    async fn wait_for<T>(&self, news: News, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        let inner = self.inner();
        loop {
            // Before the check: what happens after it is heard.
            let told = inner.news[news.index()].notified();
            if let Some(found) = check(&mut inner.state.lock()) {
                return found;
            }
            told.await;
        }
    }

    async fn open(&self, dir: Dir) -> Result<StreamId, ConnectionError> {
        let opened = self.wait_for(News::Allowed(dir), |state| match &state.error {
            Some(error) => Some(Err(error.clone())),
            None => state.quic.streams().open(dir).map(Ok),
        });
        opened.await
    }

    async fn accept(&self, dir: Dir) -> Result<StreamId, ConnectionError> {
        let inner = self.inner();
        let accepted = self.wait_for(News::Opened(dir), |state| {
            // What came before the end is still served.
            if let Some(id) = state.quic.streams().accept(dir) {
                // The peer may be allowed another.
                inner.touch(state);
                return Some(Ok(id));
            }
            state.error.clone().map(Err)
        });
        accepted.await
    }

    fn both_ways(&self, id: StreamId) -> (SendStream, RecvStream) {
        (
            SendStream::new(self.clone(), id),
            RecvStream::new(self.clone(), id),
        )
    }

    /// Opens a stream to write to, as soon as the peer allows one more.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let id = self.open(Dir::Uni).await?;
        Ok(SendStream::new(self.clone(), id))
    }

    /// Opens a stream in both directions, as soon as the peer allows one more.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let id = self.open(Dir::Bi).await?;
        Ok(self.both_ways(id))
    }

    /// The next stream that the peer opens to write to.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        let id = self.accept(Dir::Uni).await?;
        Ok(RecvStream::new(self.clone(), id))
    }

    /// The next stream that the peer opens in both directions.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let id = self.accept(Dir::Bi).await?;
        Ok(self.both_ways(id))
    }

    /// The next datagram.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        let received = self.wait_for(News::Datagram, |state| {
            let received = state.quic.datagrams().recv();
            received.map(Ok).or_else(|| state.error.clone().map(Err))
        });
        received.await
    }

    /// Sends a datagram; of those that wait, the oldest make room for it.
    ///
    /// # Errors
    /// When the peer takes none, or none so large.
    pub fn send_datagram(&self, data: Bytes) -> Result<(), SendDatagramError> {
        let inner = self.inner();
        let mut state = inner.state.lock();
        state.quic.datagrams().send(data, true)?;
        inner.touch(&mut state);
        Ok(())
    }

    /// Waits for the end.
    pub async fn closed(&self) -> ConnectionError {
        self.wait_for(News::Closed, |state| state.error.clone())
            .await
    }

    /// Why it is over; none if it is not.
    pub fn close_reason(&self) -> Option<ConnectionError> {
        self.inner().state.lock().error.clone()
    }

    /// Closes it. What was written and not sent is not sent any more.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.inner().close(code, Bytes::copy_from_slice(reason));
    }

    /// Where the peer is now.
    pub fn remote_address(&self) -> SocketAddr {
        self.inner().state.lock().quic.remote_address()
    }

    /// What was measured and counted.
    pub fn stats(&self) -> ConnectionStats {
        self.inner().state.lock().quic.stats()
    }

    /// The round-trip time, as estimated.
    pub fn rtt(&self) -> Duration {
        self.inner().state.lock().quic.rtt()
    }

    /// The protocol that the handshake agreed on (ALPN); none before its end.
    pub fn protocol(&self) -> Option<String> {
        let state = self.inner().state.lock();
        let data = state.quic.crypto_session().handshake_data()?;
        let data = data.downcast::<HandshakeData>();
        String::from_utf8(data.ok()?.protocol?).ok()
    }

    /// Bytes that may wait unsent and unacknowledged on all streams together.
    pub fn set_send_window(&self, bytes: u64) {
        self.inner().state.lock().quic.set_send_window(bytes);
    }

    /// Bytes that the peer may send on all streams together before they are read.
    pub fn set_receive_window(&self, bytes: VarInt) {
        let inner = self.inner();
        let mut state = inner.state.lock();
        state.quic.set_receive_window(bytes);
        inner.touch(&mut state);
    }

    /// Streams that the peer may have open to write to.
    pub fn set_max_concurrent_uni_streams(&self, count: VarInt) {
        self.set_max_concurrent_streams(Dir::Uni, count);
    }

    /// Streams that the peer may have open in both directions.
    pub fn set_max_concurrent_bi_streams(&self, count: VarInt) {
        self.set_max_concurrent_streams(Dir::Bi, count);
    }

    fn set_max_concurrent_streams(&self, dir: Dir, count: VarInt) {
        let inner = self.inner();
        let mut state = inner.state.lock();
        state.quic.set_max_concurrent_streams(dir, count);
        inner.touch(&mut state);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("number", &self.inner().handle.0)
            .finish_non_exhaustive()
    }
}

/// A connection whose handshake is under way. Dropping it closes it.
#[derive(Debug)]
pub struct Connecting(Connection);

impl Connecting {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self(Connection(Arc::new(Live(inner))))
    }

    /// Waits for the end of the handshake.
    ///
    /// # Errors
    /// When it fails.
    pub async fn established(self) -> Result<Connection, ConnectionError> {
        let established = self
            .0
            .wait_for(News::Connected, |state| match &state.error {
                Some(error) => Some(Err(error.clone())),
                None => state.connected.then_some(Ok(())),
            });
        established.await?;
        Ok(self.0)
    }
}
