//! The endpoint of a socket: who comes, who is gone to, and what its connections share.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use quinn_proto::{
    ClientConfig, ConnectError, ConnectionError, ConnectionHandle, EndpointConfig, ServerConfig,
    Transmit, VarInt,
};
use tokio::sync::Notify;

use super::connection::{Connecting, Inner};
use super::driver::{Driver, now};
use super::socket::{Socket, Wire};

/// What the handles of an endpoint, its connections and its driver share.
pub(super) struct Shared {
    pub(super) wire: Box<dyn Wire>,
    pub(super) core: Mutex<Core>,
    list: Mutex<List>,
    /// Somebody came, or nobody will any more.
    pub(super) came: Notify,
    /// The last connection is gone.
    pub(super) idle: Notify,
}

/// The table of connections.
pub(super) struct Core {
    pub(super) endpoint: quinn_proto::Endpoint,
    /// By the number that `endpoint` gave them.
    pub(super) connections: Vec<Option<Arc<Inner>>>,
    pub(super) open: usize,
    pub(super) incoming: VecDeque<quinn_proto::Incoming>,
    /// How connections are closed, once the endpoint is.
    closed: Option<(VarInt, Bytes)>,
    /// There is no driver any more.
    pub(super) lost: bool,
}

/// Connections with news for the driver.
struct List {
    connections: Vec<Arc<Inner>>,
    /// Whether the driver knows that there is something to do.
    awake: bool,
    waker: Waker,
    /// Whether the last handle of the endpoint is gone.
    left: bool,
}

impl Shared {
    /// Puts a connection on the driver's list.
    pub(super) fn mark(&self, connection: &Arc<Inner>) {
        let mut list = self.list.lock();
        list.connections.push(Arc::clone(connection));
        list.wake();
    }

    /// The driver begins a pass: hands over the list. Returns whether the handles are gone.
    pub(super) fn begin_pass(&self, waker: &Waker, queue: &mut VecDeque<Arc<Inner>>) -> bool {
        let mut list = self.list.lock();
        list.awake = true;
        list.waker.clone_from(waker);
        queue.extend(list.connections.drain(..));
        list.left
    }

    /// The driver ends a pass. Returns whether it must begin another one at once.
    pub(super) fn end_pass(&self) -> bool {
        let mut list = self.list.lock();
        list.awake = !list.connections.is_empty();
        list.awake
    }

    /// Answers a packet that belongs to no connection. What the socket does not take is lost, as
    /// it may be on the way; the peer asks again.
    pub(super) fn respond(&self, transmit: &Transmit, contents: &[u8]) {
        let _ = self.wire.try_send(transmit, contents);
    }

    fn refuse(&self, incoming: quinn_proto::Incoming) {
        let mut response = Vec::new();
        let transmit = self.core.lock().endpoint.refuse(incoming, &mut response);
        self.respond(&transmit, &response);
    }
}

impl List {
    fn wake(&mut self) {
        if !self.awake {
            self.awake = true;
            self.waker.wake_by_ref();
        }
    }
}

impl Core {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    fn insert(
        &mut self,
        shared: &Arc<Shared>,
        handle: ConnectionHandle,
        connection: quinn_proto::Connection,
    ) -> Connecting {
        let inner = Inner::new(shared, handle, connection);
        if self.connections.len() <= handle.0 {
            self.connections.resize(handle.0 + 1, None);
        }
        self.connections[handle.0] = Some(Arc::clone(&inner));
        self.open += 1;
        // Its first packets may be here already.
        inner.touch(&mut inner.state.lock());
        Connecting::new(inner)
    }
}

/// An endpoint. When the last handle is dropped, its connections live on until they end.
#[derive(Clone)]
pub struct Endpoint(Arc<Live>);

struct Live {
    shared: Arc<Shared>,
    client: Option<ClientConfig>,
}

impl Endpoint {
    /// An endpoint on `socket`, which accepts connections if there is a `server` configuration,
    /// and makes some if there is a `client` one. Must be called on a runtime, which drives it.
    ///
    /// # Errors
    /// When the socket cannot be set up or watched.
    pub fn new(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        client: Option<ClientConfig>,
        socket: UdpSocket,
    ) -> io::Result<Self> {
        let wire = Box::new(Socket::new(socket)?);
        Ok(Self::over(wire, config, server, client))
    }

    pub(super) fn over(
        wire: Box<dyn Wire>,
        config: EndpointConfig,
        server: Option<ServerConfig>,
        client: Option<ClientConfig>,
    ) -> Self {
        let payload = usize::try_from(config.get_max_udp_payload_size()).unwrap_or(usize::MAX);
        let probe = wire.may_probe_mtu();
        let (config, server) = (Arc::new(config), server.map(Arc::new));
        let endpoint = quinn_proto::Endpoint::new(config, server, probe, None);
        let shared = Arc::new(Shared {
            wire,
            core: Mutex::new(Core {
                endpoint,
                connections: Vec::new(),
                open: 0,
                incoming: VecDeque::new(),
                closed: None,
                lost: false,
            }),
            list: Mutex::new(List {
                connections: Vec::new(),
                awake: false,
                waker: Waker::noop().clone(),
                left: false,
            }),
            came: Notify::new(),
            idle: Notify::new(),
        });
        tokio::spawn(Driver::new(Arc::clone(&shared), payload));
        Self(Arc::new(Live { shared, client }))
    }

    /// The next connection that asks to be accepted; none once the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        let shared = &self.0.shared;
        loop {
            let came = shared.came.notified();
            {
                let mut core = shared.core.lock();
                if core.lost || core.is_closed() {
                    return None;
                }
                if let Some(inner) = core.incoming.pop_front() {
                    return Some(Incoming {
                        shared: Arc::clone(shared),
                        inner: Some(inner),
                    });
                }
            }
            came.await;
        }
    }

    /// Connects to a server whose certificate is `name`'s.
    ///
    /// # Errors
    /// When the endpoint is closed or no client's, and for addresses and names that cannot be.
    pub fn connect(&self, addr: SocketAddr, name: &str) -> Result<Connecting, ConnectError> {
        let shared = &self.0.shared;
        let mut core = shared.core.lock();
        if core.lost || core.is_closed() {
            return Err(ConnectError::EndpointStopping);
        }
        let config = self.0.client.clone();
        let config = config.ok_or(ConnectError::NoDefaultClientConfig)?;
        let (handle, connection) = core.endpoint.connect(now(), config, addr, name)?;
        Ok(core.insert(shared, handle, connection))
    }

    /// Connections that are not over.
    pub fn open_connections(&self) -> usize {
        self.0.shared.core.lock().open
    }

    /// The address of the socket.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.shared.wire.local_addr()
    }

    /// Closes all connections, and refuses those that come.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        let shared = &self.0.shared;
        let reason = Bytes::copy_from_slice(reason);
        let mut core = shared.core.lock();
        core.closed = Some((code, reason.clone()));
        let waiting = std::mem::take(&mut core.incoming);
        for connection in core.connections.iter().flatten() {
            connection.close(code, reason.clone());
        }
        drop(core);
        shared.came.notify_waiters();
        waiting
            .into_iter()
            .for_each(|incoming| shared.refuse(incoming));
    }

    /// Waits until every connection is over, and what closes them has been sent.
    pub async fn wait_idle(&self) {
        let shared = &self.0.shared;
        loop {
            let idle = shared.idle.notified();
            if shared.core.lock().open == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut list = self.shared.list.lock();
        list.left = true;
        // The driver ends when there is nothing more to drive.
        list.wake();
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// A connection that asks to be accepted. Dropping it refuses it.
pub struct Incoming {
    shared: Arc<Shared>,
    inner: Option<quinn_proto::Incoming>,
}

impl Incoming {
    /// Begins the handshake.
    ///
    /// # Errors
    /// When the peer's first packet does not begin one.
    pub fn accept(mut self) -> Result<Connecting, ConnectionError> {
        let Some(incoming) = self.inner.take() else {
            return Err(ConnectionError::LocallyClosed);
        };
        let mut response = Vec::new();
        let mut core = self.shared.core.lock();
        match core.endpoint.accept(incoming, now(), &mut response, None) {
            Ok((handle, connection)) => Ok(core.insert(&self.shared, handle, connection)),
            Err(error) => {
                drop(core);
                if let Some(transmit) = error.response {
                    self.shared.respond(&transmit, &response);
                }
                Err(error.cause)
            }
        }
    }

    /// Tells the peer that it is not wanted.
    pub fn refuse(self) {
        drop(self);
    }

    /// Has the peer prove its address, by coming again with what it is answered. What may not be
    /// asked for that is refused.
    pub fn retry(mut self) {
        let Some(incoming) = self.inner.take() else {
            return;
        };
        let mut response = Vec::new();
        let answer = self
            .shared
            .core
            .lock()
            .endpoint
            .retry(incoming, &mut response);
        match answer {
            Ok(transmit) => self.shared.respond(&transmit, &response),
            Err(error) => self.shared.refuse(error.into_incoming()),
        }
    }

    /// Says nothing to the peer, which may come again.
    pub fn ignore(mut self) {
        if let Some(incoming) = self.inner.take() {
            self.shared.core.lock().endpoint.ignore(incoming);
        }
    }

    /// Whether it can be asked to prove its address.
    pub fn may_retry(&self) -> bool {
        let inner = self.inner.as_ref();
        inner.is_some_and(quinn_proto::Incoming::may_retry)
    }

    /// Whether it has proved its address.
    pub fn remote_address_validated(&self) -> bool {
        let inner = self.inner.as_ref();
        inner.is_some_and(quinn_proto::Incoming::remote_address_validated)
    }

    /// Where the peer is.
    pub fn remote_address(&self) -> SocketAddr {
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let inner = self.inner.as_ref();
        inner.map_or(unspecified, quinn_proto::Incoming::remote_address)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(incoming) = self.inner.take() {
            self.shared.refuse(incoming);
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("from", &self.remote_address())
            .finish_non_exhaustive()
    }
}
