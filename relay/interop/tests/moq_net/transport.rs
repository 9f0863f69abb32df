//! What `moq-net` runs on: a QUIC connection, as its traits for transports want it.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use moq_net::web_transport_trait::{Error, Stats, StatsUnavailable, poll};
use quinn::{ConnectionError, ReadError, ResetError, StoppedError, VarInt, WriteError};

type Pending<T> = Option<Pin<Box<dyn Future<Output = T> + Send + Sync>>>;

/// Polls what is under way, or begins it.
fn go_on<T, F>(pending: &mut Pending<T>, cx: &mut Context<'_>, begin: impl FnOnce() -> F) -> Poll<T>
where
    F: Future<Output = T> + Send + Sync + 'static,
{
    let future = pending.get_or_insert_with(|| Box::pin(begin()));
    let done = ready!(future.as_mut().poll(cx));
    *pending = None;
    Poll::Ready(done)
}

/// A connection, and what one handle of it waits for.
pub(crate) struct Connection {
    quic: quinn::Connection,
    alpn: String,
    accept_uni: Pending<Result<quinn::RecvStream, ConnectionError>>,
    accept_bi: Pending<Result<(quinn::SendStream, quinn::RecvStream), ConnectionError>>,
    open_uni: Pending<Result<quinn::SendStream, ConnectionError>>,
    open_bi: Pending<Result<(quinn::SendStream, quinn::RecvStream), ConnectionError>>,
    datagram: Pending<Result<Bytes, ConnectionError>>,
    closed: Pending<ConnectionError>,
}

impl Connection {
    pub(crate) fn new(quic: quinn::Connection) -> Self {
        let data = quic.handshake_data().unwrap();
        let data = data.downcast::<quinn::crypto::rustls::HandshakeData>();
        let alpn = String::from_utf8(data.unwrap().protocol.unwrap()).unwrap();
        Self {
            quic,
            alpn,
            accept_uni: None,
            accept_bi: None,
            open_uni: None,
            open_bi: None,
            datagram: None,
            closed: None,
        }
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Self::new(self.quic.clone())
    }
}

impl poll::Session for Connection {
    type SendStream = Sending;
    type RecvStream = Receiving;
    type Error = Failure;

    fn poll_accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<Receiving, Failure>> {
        let begin = with(&self.quic, |quic| async move { quic.accept_uni().await });
        let stream = ready!(go_on(&mut self.accept_uni, cx, begin))?;
        Poll::Ready(Ok(Receiving(stream)))
    }

    fn poll_accept_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Sending, Receiving), Failure>> {
        let begin = with(&self.quic, |quic| async move { quic.accept_bi().await });
        let (send, recv) = ready!(go_on(&mut self.accept_bi, cx, begin))?;
        Poll::Ready(Ok((Sending::new(send), Receiving(recv))))
    }

    fn poll_open_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sending, Failure>> {
        let begin = with(&self.quic, |quic| async move { quic.open_uni().await });
        let stream = ready!(go_on(&mut self.open_uni, cx, begin))?;
        Poll::Ready(Ok(Sending::new(stream)))
    }

    fn poll_open_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Sending, Receiving), Failure>> {
        let begin = with(&self.quic, |quic| async move { quic.open_bi().await });
        let (send, recv) = ready!(go_on(&mut self.open_bi, cx, begin))?;
        Poll::Ready(Ok((Sending::new(send), Receiving(recv))))
    }

    fn poll_send_datagram(
        &mut self,
        _: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<(), Failure>> {
        // One that finds no room is lost, as datagrams may be.
        let _ = self.quic.send_datagram(Bytes::copy_from_slice(payload));
        Poll::Ready(Ok(()))
    }

    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        let begin = with(&self.quic, |quic| async move { quic.read_datagram().await });
        Poll::Ready(Ok(ready!(go_on(&mut self.datagram, cx, begin))?))
    }

    fn max_datagram_size(&self) -> usize {
        self.quic.max_datagram_size().unwrap_or(0)
    }

    fn protocol(&self) -> Option<&str> {
        Some(&self.alpn)
    }

    fn close(&mut self, code: u32, reason: &str) {
        self.quic.close(VarInt::from_u32(code), reason.as_bytes());
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let begin = with(&self.quic, |quic| async move { quic.closed().await });
        go_on(&mut self.closed, cx, begin).map(Failure::from)
    }

    fn stats(&self) -> impl Stats {
        StatsUnavailable
    }
}

/// What begins an act of the connection's, whose future must not borrow from it.
fn with<F>(
    quic: &quinn::Connection,
    act: impl FnOnce(quinn::Connection) -> F,
) -> impl FnOnce() -> F {
    let quic = quic.clone();
    move || act(quic)
}

/// A stream that we write.
pub(crate) struct Sending {
    stream: quinn::SendStream,
    stopped: Pending<Result<Option<VarInt>, StoppedError>>,
    reset: bool,
}

impl Sending {
    fn new(stream: quinn::SendStream) -> Self {
        Self {
            stream,
            stopped: None,
            reset: false,
        }
    }
}

impl poll::SendStream for Sending {
    type Error = Failure;

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize, Failure>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(written.map_err(Failure::from))
    }

    fn set_priority(&mut self, order: u8) {
        // Fails only for a stream that is gone.
        let _ = self.stream.set_priority(order.into());
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.stream.finish().map_err(|_| Failure::Gone)
    }

    fn reset(&mut self, code: u32) {
        self.reset = true;
        // Fails only for a stream that is gone.
        let _ = self.stream.reset(VarInt::from_u32(code));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.reset {
            return Poll::Ready(Ok(()));
        }
        let stream = &self.stream;
        match ready!(go_on(&mut self.stopped, cx, || stream.stopped())) {
            Ok(Some(code)) => Poll::Ready(Err(Failure::Stream(code))),
            Ok(None) => Poll::Ready(Ok(())),
            Err(StoppedError::ConnectionLost(error)) => Poll::Ready(Err(error.into())),
            Err(StoppedError::ZeroRttRejected) => Poll::Ready(Err(Failure::Gone)),
        }
    }
}

/// A stream that the other side writes.
pub(crate) struct Receiving(quinn::RecvStream);

impl poll::RecvStream for Receiving {
    type Error = Failure;

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        dst: &mut [u8],
    ) -> Poll<Result<Option<usize>, Failure>> {
        let read = ready!(self.0.poll_read(cx, dst))?;
        Poll::Ready(Ok((read > 0).then_some(read)))
    }

    fn stop(&mut self, code: u32) {
        // Fails only for a stream that is gone.
        let _ = self.0.stop(VarInt::from_u32(code));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(pin!(self.0.received_reset()).poll(cx)) {
            Ok(Some(code)) => Poll::Ready(Err(Failure::Stream(code))),
            Ok(None) => Poll::Ready(Ok(())),
            Err(ResetError::ConnectionLost(error)) => Poll::Ready(Err(error.into())),
            Err(ResetError::ZeroRttRejected) => Poll::Ready(Err(Failure::Gone)),
        }
    }
}

/// Why something failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side reset or stopped the stream.
    Stream(VarInt),
    /// The connection is over.
    Connection(ConnectionError),
    /// The stream is.
    Gone,
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Stream(code),
            WriteError::ConnectionLost(error) => Self::Connection(error),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Gone,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Stream(code),
            ReadError::ConnectionLost(error) => Self::Connection(error),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Gone,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(code) => write!(f, "ended with code {code}"),
            Self::Connection(error) => error.fmt(f),
            Self::Gone => f.write_str("the stream is gone"),
        }
    }
}

impl std::error::Error for Failure {}

impl Error for Failure {
    fn session_error(&self) -> Option<(u32, String)> {
        let Self::Connection(ConnectionError::ApplicationClosed(close)) = self else {
            return None;
        };
        let reason = String::from_utf8_lossy(&close.reason).into_owned();
        Some((close.error_code.into_inner().try_into().ok()?, reason))
    }

    fn stream_error(&self) -> Option<u32> {
        match self {
            Self::Stream(code) => code.into_inner().try_into().ok(),
            Self::Connection(_) | Self::Gone => None,
        }
    }
}
