//! The task that owns a socket: receives, keeps the time, builds and sends.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::MutexGuard;
use quinn_proto::{
    ConnectionError, DatagramEvent, EndpointEvent, Transmit, TransportError, TransportErrorCode,
};
use tokio::time::{Sleep, sleep_until};
use tracing::error;

use super::connection::{Inner, State};
use super::endpoint::{Core, Shared};
use super::socket::{self, Inbox};
use super::timers::Timers;

/// The clock of QUIC, which tests may hold.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Drives all connections of a socket.
pub(super) struct Driver {
    shared: Arc<Shared>,
    inbox: Inbox,
    /// Datagrams on their way out; one connection's at a time.
    outbox: Vec<u8>,
    /// What the socket did not take; it is in `outbox`, and goes before everything else.
    blocked: Option<Transmit>,
    /// Connections to be driven, each at most once.
    queue: VecDeque<Arc<Inner>>,
    timers: Timers,
    alarm: Pin<Box<Sleep>>,
    events: Vec<EndpointEvent>,
    response: Vec<u8>,
}

/// How far a connection got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It has nothing more to do.
    Rests,
    /// It has had its turn, and has more to send.
    HasMore,
    /// The socket takes no more.
    Blocked,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, payload: usize) -> Self {
        Self {
            inbox: Inbox::new(&*shared.wire, payload),
            shared,
            outbox: Vec::with_capacity(OUTBOX_BYTES),
            blocked: None,
            queue: VecDeque::new(),
            timers: Timers::default(),
            alarm: Box::pin(sleep_until(tokio::time::Instant::now())),
            events: Vec::new(),
            response: Vec::new(),
        }
    }

    /// Receives what has come, up to a bound. Returns whether there may be more.
    fn receive(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let shared = Arc::clone(&self.shared);
        for _ in 0..BATCHES_PER_PASS {
            let messages = match shared.wire.poll_recv(cx, &mut self.inbox) {
                Poll::Ready(Ok(messages)) => messages,
                // Anyone can send these (ICMP), and they mean nothing in QUIC.
                Poll::Ready(Err(error)) if is_forgeable(&error) => continue,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            };
            let now = now();
            let mut core = shared.core.lock();
            for index in 0..messages {
                self.open(&mut core, index, now);
            }
        }
        Ok(true)
    }

    /// Gives the datagrams of a message to those that they are for.
    fn open(&mut self, core: &mut Core, index: usize, now: Instant) {
        let (mut data, meta) = self.inbox.message(index);
        let (from, to, ecn) = (meta.addr, meta.dst_ip, socket::ecn(meta));
        // A message of no bytes is no datagram of QUIC's, and has no stride.
        let stride = meta.stride.max(1);
        while !data.is_empty() {
            let datagram = match data.len() > stride {
                true => data.split_to(stride),
                false => std::mem::take(&mut data),
            };
            self.response.clear();
            let response = &mut self.response;
            match core.endpoint.handle(now, from, to, ecn, datagram, response) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    let connection = core.connections.get(handle.0).and_then(Option::as_ref);
                    let Some(connection) = connection else {
                        continue;
                    };
                    let mut state = connection.state.lock();
                    state.quic.handle_event(event);
                    if !std::mem::replace(&mut state.listed, true) {
                        self.queue.push_back(Arc::clone(connection));
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) if core.is_closed() => {
                    let transmit = core.endpoint.refuse(incoming, response);
                    self.shared.respond(&transmit, response);
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    core.incoming.push_back(incoming);
                    self.shared.came.notify_waiters();
                }
                Some(DatagramEvent::Response(transmit)) => {
                    self.shared.respond(&transmit, response);
                }
                None => {}
            }
        }
    }

    /// Lists the connections whose time has come.
    fn expire(&mut self) {
        let now = now();
        while let Some(number) = self.timers.pop(now) {
            let connection = self.shared.core.lock().connections[number].clone();
            let Some(connection) = connection else {
                continue;
            };
            let mut state = connection.state.lock();
            let Some(deadline) = state.quic.poll_timeout() else {
                continue;
            };
            if deadline > now {
                // It has moved since.
                self.timers.schedule(number, deadline);
            } else if !std::mem::replace(&mut state.listed, true) {
                drop(state);
                self.queue.push_back(connection);
            }
        }
    }

    /// Drives listed connections, up to a bound. Returns whether there are more that can go on.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..CONNECTIONS_PER_PASS {
            if !self.unblock(cx) {
                return false;
            }
            let Some(connection) = self.queue.pop_front() else {
                return false;
            };
            match self.advance(&connection) {
                Progress::Rests => {}
                // Behind the others, which have their turn first.
                Progress::HasMore => self.queue.push_back(connection),
                Progress::Blocked => self.queue.push_front(connection),
            }
        }
        !self.queue.is_empty()
    }

    /// Sends what the socket did not take. Returns whether it is out.
    fn unblock(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(transmit) = &self.blocked {
            if self.shared.wire.poll_writable(cx).is_pending() {
                return false;
            }
            match self.shared.wire.try_send(transmit, &self.outbox) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => self.blocked = None,
            }
        }
        true
    }

    /// One connection's turn.
    fn advance(&mut self, connection: &Arc<Inner>) -> Progress {
        let now = now();
        let mut state = connection.state.lock();
        if state.gone {
            return Progress::Rests;
        }
        if state.quic.poll_timeout().is_some_and(|at| at <= now) {
            state.quic.handle_timeout(now);
        }
        let progress = self.transmit(&mut state, now);
        state.listed = progress != Progress::Rests;
        let events = &mut self.events;
        events.extend(std::iter::from_fn(|| state.quic.poll_endpoint_events()));
        state.tell(connection);
        match state.quic.poll_timeout() {
            Some(deadline) => self.timers.schedule(connection.handle.0, deadline),
            None => self.timers.cancel(connection.handle.0),
        }
        if !self.events.is_empty() {
            self.forward(connection, state);
        }
        progress
    }

    /// Builds datagrams and sends them, up to the connection's share of a pass.
    fn transmit(&mut self, state: &mut State, now: Instant) -> Progress {
        let mut sent = 0;
        while sent < DATAGRAMS_PER_TURN {
            let segments = self.shared.wire.segments();
            self.outbox.clear();
            let Some(transmit) = state.quic.poll_transmit(now, segments, &mut self.outbox) else {
                return Progress::Rests;
            };
            let size = transmit.segment_size.unwrap_or(transmit.size).max(1);
            sent += transmit.size.div_ceil(size);
            match self.shared.wire.try_send(&transmit, &self.outbox) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    return Progress::Blocked;
                }
                _ => {}
            }
        }
        Progress::HasMore
    }

    /// Tells the endpoint what has become of a connection: its IDs, its end.
    fn forward(&mut self, connection: &Arc<Inner>, state: MutexGuard<'_, State>) {
        // The endpoint's lock goes before the connection's.
        drop(state);
        let mut core = self.shared.core.lock();
        let mut state = connection.state.lock();
        for event in self.events.drain(..) {
            state.gone |= event.is_drained();
            if let Some(answer) = core.endpoint.handle_event(connection.handle, event) {
                state.quic.handle_event(answer);
                if !std::mem::replace(&mut state.listed, true) {
                    self.queue.push_back(Arc::clone(connection));
                }
            }
        }
        if state.gone {
            self.timers.cancel(connection.handle.0);
            core.connections[connection.handle.0] = None;
            core.open -= 1;
            if core.open == 0 {
                self.shared.idle.notify_waiters();
            }
        }
    }

    /// Sets the alarm for the next connection. Returns whether its time has come already.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(next) = self.timers.next() else {
            return false;
        };
        let next = tokio::time::Instant::from_std(next);
        if self.alarm.deadline() != next {
            self.alarm.as_mut().reset(next);
        }
        self.alarm.as_mut().poll(cx).is_ready()
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let left = this.shared.begin_pass(cx.waker(), &mut this.queue);
        let more_came = match this.receive(cx) {
            Ok(more) => more,
            Err(error) => {
                error!(%error, "a UDP socket is lost, and its connections with it");
                return Poll::Ready(());
            }
        };
        this.expire();
        let more_to_send = this.drive(cx);
        if left && this.shared.core.lock().open == 0 {
            return Poll::Ready(());
        }
        let due = this.blocked.is_none() && this.is_due(cx);
        if this.shared.end_pass() || more_came || more_to_send || due {
            // What else runs on the shard has its turn between two passes.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut core = self.shared.core.lock();
        core.lost = true;
        for incoming in std::mem::take(&mut core.incoming) {
            core.endpoint.ignore(incoming);
        }
        let connections = std::mem::take(&mut core.connections);
        core.open = 0;
        drop(core);
        for connection in connections.into_iter().flatten() {
            let reason = ConnectionError::TransportError(TransportError {
                code: TransportErrorCode::INTERNAL_ERROR,
                frame: None,
                reason: "the endpoint is gone".to_owned(),
            });
            connection.state.lock().terminate(reason, &connection);
        }
        self.shared.came.notify_waiters();
        self.shared.idle.notify_waiters();
    }
}

fn is_forgeable(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionReset)
}

/// Batches of messages received in a pass: 128 messages, of which each may be several datagrams.
const BATCHES_PER_PASS: usize = 4;

/// Connections driven in a pass, about a millisecond: as many as the pump writes to before it
/// lets them send.
const CONNECTIONS_PER_PASS: usize = 64;

/// Datagrams that a connection sends in its turn: a key frame of 90 kB.
const DATAGRAMS_PER_TURN: usize = 64;

/// Room for what one call may send.
const OUTBOX_BYTES: usize = 64 << 10;
