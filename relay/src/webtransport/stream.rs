//! The streams of a session: QUIC's, with the session's codes and ends.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::error::End;
use super::{ReadError, SessionError, WriteError};
use crate::quic::{self, Chunk, ClosedStream, Written};

/// A stream's sending side. Dropping it finishes it.
#[derive(Debug)]
pub struct SendStream {
    stream: quic::SendStream,
    end: Arc<End>,
}

impl SendStream {
    pub(super) fn new(stream: quic::SendStream, end: Arc<End>) -> Self {
        Self { stream, end }
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
        let written = self.stream.poll_write_chunks(cx, chunks);
        written.map_err(|error| self.end.write_error(error))
    }

    /// Hands over all of the chunks.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_all_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        let written = self.stream.write_all_chunks(chunks).await;
        written.map_err(|error| self.end.write_error(error))
    }

    /// Hands over a chunk.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.write_all_chunks(&mut [chunk]).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| self.end.write_error(error))
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// When it was finished or reset already.
    pub fn finish(&mut self) -> Result<(), ClosedStream> {
        self.stream.finish()
    }

    /// Gives up what has not arrived.
    ///
    /// # Errors
    /// When everything has arrived, or it was reset already.
    pub fn reset(&mut self, code: u32) -> Result<(), ClosedStream> {
        self.stream.reset(self.end.wire_code(code))
    }

    /// Streams of a higher priority go first; 0 is that of a new one.
    ///
    /// # Errors
    /// When it was finished or reset already.
    pub fn set_priority(&self, priority: i32) -> Result<(), ClosedStream> {
        self.stream.set_priority(priority)
    }

    /// Waits until the peer has stopped the stream, with its code, or has received all of it.
    /// One task at a time can wait.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn stopped(&self) -> Result<Option<u32>, SessionError> {
        match self.stream.stopped().await {
            Ok(code) => Ok(self.end.stop_code(code)),
            Err(error) => Err(self.end.explain(error)),
        }
    }
}

/// A stream's receiving side. Dropping it stops it.
#[derive(Debug)]
pub struct RecvStream {
    stream: quic::RecvStream,
    end: Arc<End>,
}

impl RecvStream {
    pub(super) fn new(stream: quic::RecvStream, end: Arc<End>) -> Self {
        Self { stream, end }
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
        let read = self.stream.read_chunk(bytes, ordered).await;
        read.map_err(|error| self.end.read_error(error))
    }

    /// Tells the peer that nothing more is wanted.
    ///
    /// # Errors
    /// When it was stopped already.
    pub fn stop(&mut self, code: u32) -> Result<(), ClosedStream> {
        self.stream.stop(self.end.wire_code(code))
    }
}
