//! The two directions of a stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn_proto::{
    Chunk, ClosedStream, ConnectionError, FinishError, ReadableError, StreamId, VarInt, Written,
};
use tokio::io::{AsyncRead, ReadBuf};

use super::connection::Connection;

/// A stream's sending side. Dropping it finishes it.
#[derive(Debug)]
pub struct SendStream {
    connection: Connection,
    id: StreamId,
}

/// Why nothing can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The peer does not want it.
    #[error("sending stopped by peer: error {0}")]
    Stopped(VarInt),
    /// The connection is over.
    #[error("connection lost: {0}")]
    ConnectionLost(#[from] ConnectionError),
    /// It was finished or reset already.
    #[error("closed stream")]
    ClosedStream,
}

impl SendStream {
    pub(super) fn new(connection: Connection, id: StreamId) -> Self {
        Self { connection, id }
    }

    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(quinn_proto::SendStream<'_>) -> Result<T, quinn_proto::WriteError>,
    ) -> Poll<Result<T, WriteError>> {
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        state.check()?;
        Poll::Ready(match write(state.quic.send_stream(self.id)) {
            Ok(written) => {
                inner.touch(&mut state);
                Ok(written)
            }
            Err(quinn_proto::WriteError::Blocked) => {
                state.writers.insert(self.id, cx.waker().clone());
                return Poll::Pending;
            }
            Err(quinn_proto::WriteError::Stopped(code)) => Err(WriteError::Stopped(code)),
            Err(quinn_proto::WriteError::ClosedStream) => Err(WriteError::ClosedStream),
        })
    }

    /// Hands over as many of the chunks as the stream takes, without copying them. What was taken
    /// is cut off them.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<Written, WriteError>> {
        self.poll_with(cx, |mut stream| stream.write_chunks(chunks))
    }

    /// Hands over all of the chunks.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_all_chunks(&mut self, mut chunks: &mut [Bytes]) -> Result<(), WriteError> {
        while !chunks.is_empty() {
            let written = poll_fn(|cx| self.poll_write_chunks(cx, chunks)).await?;
            chunks = &mut chunks[written.chunks..];
        }
        Ok(())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let write = |cx: &mut Context<'_>| self.poll_with(cx, |mut stream| stream.write(bytes));
            let written = poll_fn(write).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// When it was finished or reset already. A stream that the peer stopped is no error.
    pub fn finish(&mut self) -> Result<(), ClosedStream> {
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        match state.quic.send_stream(self.id).finish() {
            Ok(()) => inner.touch(&mut state),
            Err(FinishError::Stopped(_)) => {}
            Err(FinishError::ClosedStream) => return Err(ClosedStream::default()),
        }
        Ok(())
    }

    /// Gives up what has not arrived.
    ///
    /// # Errors
    /// When everything has arrived, or it was reset already.
    pub fn reset(&mut self, code: VarInt) -> Result<(), ClosedStream> {
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        state.quic.send_stream(self.id).reset(code)?;
        inner.touch(&mut state);
        Ok(())
    }

    /// Streams of a higher priority go first; 0 is that of a new one.
    ///
    /// # Errors
    /// When it was finished or reset already.
    pub fn set_priority(&self, priority: i32) -> Result<(), ClosedStream> {
        let mut state = self.connection.inner().state.lock();
        state.quic.send_stream(self.id).set_priority(priority)
    }

    /// Waits until the peer has stopped the stream, with its code, or has received all of it.
    /// One task at a time can wait.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn stopped(&self) -> Result<Option<VarInt>, ConnectionError> {
        let stopped = poll_fn(|cx| {
            let mut state = self.connection.inner().state.lock();
            match state.quic.send_stream(self.id).stopped() {
                // What is closed and was not reset has arrived.
                Err(_) => return Poll::Ready(Ok(None)),
                Ok(Some(code)) => return Poll::Ready(Ok(Some(code))),
                Ok(None) => state.check()?,
            }
            state.stops.insert(self.id, cx.waker().clone());
            Poll::Pending
        });
        stopped.await
    }

    /// Its number.
    pub fn id(&self) -> StreamId {
        self.id
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        state.writers.remove(&self.id);
        state.stops.remove(&self.id);
        if state.error.is_some() {
            return;
        }
        match state.quic.send_stream(self.id).finish() {
            Ok(()) => inner.touch(&mut state),
            Err(FinishError::Stopped(code)) => {
                if state.quic.send_stream(self.id).reset(code).is_ok() {
                    inner.touch(&mut state);
                }
            }
            // It was finished or reset, which is fine.
            Err(FinishError::ClosedStream) => {}
        }
    }
}

/// A stream's receiving side. Dropping it stops it.
#[derive(Debug)]
pub struct RecvStream {
    connection: Connection,
    id: StreamId,
    /// Whether its end has been read, or asked for.
    over: bool,
}

/// Why nothing can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The peer has given it up.
    #[error("stream reset by peer: error {0}")]
    Reset(VarInt),
    /// The connection is over.
    #[error("connection lost: {0}")]
    ConnectionLost(#[from] ConnectionError),
    /// It was stopped already.
    #[error("closed stream")]
    ClosedStream,
    /// It was read out of order before.
    #[error("ordered read after unordered read")]
    IllegalOrderedRead,
}

impl From<ReadableError> for ReadError {
    fn from(error: ReadableError) -> Self {
        match error {
            ReadableError::ClosedStream => Self::ClosedStream,
            ReadableError::IllegalOrderedRead => Self::IllegalOrderedRead,
        }
    }
}

impl RecvStream {
    pub(super) fn new(connection: Connection, id: StreamId) -> Self {
        Self {
            connection,
            id,
            over: false,
        }
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        ordered: bool,
    ) -> Poll<Result<Option<Chunk>, ReadError>> {
        if self.over {
            return Poll::Ready(Ok(None));
        }
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        let mut stream = state.quic.recv_stream(self.id);
        let mut chunks = stream.read(ordered)?;
        let next = chunks.next(bytes);
        if chunks.finalize().should_transmit() {
            inner.touch(&mut state);
        }
        Poll::Ready(match next {
            Ok(Some(chunk)) => Ok(Some(chunk)),
            Ok(None) => {
                self.over = true;
                Ok(None)
            }
            Err(quinn_proto::ReadError::Reset(code)) => {
                self.over = true;
                Err(ReadError::Reset(code))
            }
            Err(quinn_proto::ReadError::Blocked) => {
                state.check()?;
                state.readers.insert(self.id, cx.waker().clone());
                return Poll::Pending;
            }
        })
    }

    /// The next bytes, at most `bytes` of them; none at the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_chunk(
        &mut self,
        bytes: usize,
        ordered: bool,
    ) -> Result<Option<Chunk>, ReadError> {
        poll_fn(|cx| self.poll_chunk(cx, bytes, ordered)).await
    }

    /// Tells the peer that nothing more is wanted.
    ///
    /// # Errors
    /// When it was stopped already.
    pub fn stop(&mut self, code: VarInt) -> Result<(), ClosedStream> {
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        state.quic.recv_stream(self.id).stop(code)?;
        state.readers.remove(&self.id);
        inner.touch(&mut state);
        self.over = true;
        Ok(())
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        if room == 0 {
            // No bytes would mean the end.
            return Poll::Ready(Ok(()));
        }
        let chunk = ready!(self.poll_chunk(cx, room, true)).map_err(io::Error::other)?;
        if let Some(chunk) = chunk {
            buffer.put_slice(&chunk.bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        let inner = self.connection.inner();
        let mut state = inner.state.lock();
        state.readers.remove(&self.id);
        if self.over || state.error.is_some() {
            return;
        }
        // Fails only when the stream is closed, which is as well.
        let _ = state.quic.recv_stream(self.id).stop(VarInt::from_u32(0));
        inner.touch(&mut state);
    }
}
