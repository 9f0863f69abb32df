//! What the fan-out needs of a viewer's connection, and how a session gives it.
//!
//! The fan-out is written against these two traits, so that it can be driven without a network.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::send_window;
use crate::webtransport::{self, SendStream, Session};

/// A viewer's connection.
pub trait Outlet: Send + Sync + 'static {
    /// A stream to the viewer.
    type Stream: OutletStream;

    /// Opens a stream to the viewer, as soon as it grants one.
    fn open(self: &Arc<Self>) -> Opening<Self::Stream>;

    /// Makes what the connection may hold unsent and unacknowledged fit its congestion window.
    fn fit_send_window(&self);

    /// Sends a datagram; false when it does not fit the path or the viewer takes none.
    fn send_datagram(&self, datagram: Bytes) -> bool;
}

/// A stream that is being opened.
pub type Opening<S> = Pin<Box<dyn Future<Output = Result<S, Lost>> + Send>>;

/// A stream to a viewer. Dropping it leaves its end to the connection.
pub trait OutletStream: Send + Sized + 'static {
    /// Writes as much as the stream takes: how many of `chunks` were accepted whole. The one
    /// behind them may have been cut.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>>;

    /// What of the connection's streams goes first: the highest.
    fn set_priority(&self, priority: i32);

    /// Says that nothing follows. Resolves to whether the viewer acknowledged all of it; `None`
    /// when the viewer has stopped the stream.
    fn finish(self) -> Option<impl Future<Output = bool> + Send + 'static>;

    /// Gives the stream up, unless the viewer has stopped it.
    fn reset(self, code: u32);
}

/// The connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is gone")]
pub struct Lost;

/// Why a stream takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The viewer wants no more of it.
    #[error("the viewer stopped the stream")]
    Stopped,
    /// The connection is gone.
    #[error("the connection is gone")]
    Lost,
}

impl Outlet for Session {
    type Stream = SendStream;

    fn open(self: &Arc<Self>) -> Opening<SendStream> {
        let connection = Arc::clone(self);
        Box::pin(async move { connection.open_uni().await.map_err(|_| Lost) })
    }

    fn fit_send_window(&self) {
        let cwnd = self.stats().path.cwnd;
        self.set_send_window(send_window(cwnd));
    }

    fn send_datagram(&self, datagram: Bytes) -> bool {
        Self::send_datagram(self, datagram).is_ok()
    }
}

impl OutletStream for SendStream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>> {
        let written = self.poll_write_chunks(cx, chunks);
        written.map(|written| match written {
            Ok(written) => Ok(written.chunks),
            Err(webtransport::WriteError::Stopped(_)) => Err(WriteError::Stopped),
            Err(_) => Err(WriteError::Lost),
        })
    }

    fn set_priority(&self, priority: i32) {
        // Fails only for a stream that is closed already, which the first write will tell.
        let _ = Self::set_priority(self, priority);
    }

    fn finish(mut self) -> Option<impl Future<Output = bool> + Send + 'static> {
        Self::finish(&mut self).ok()?;
        Some(async move { matches!(self.stopped().await, Ok(None)) })
    }

    fn reset(mut self, code: u32) {
        // Fails only when the peer stopped the stream.
        let _ = Self::reset(&mut self, code);
    }
}
