//! Why sessions and streams end, with the codes as the session's ends know them.

use std::sync::OnceLock;

use web_transport_proto::error_from_http3;

use crate::quic::{self, ConnectionError, SendDatagramError, VarInt};

/// Why nothing can be done with a session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection is over, other than by a word of the peer's.
    #[error("connection error: {0}")]
    Connection(ConnectionError),
    /// The peer has closed the session.
    #[error("closed: code={code} reason={reason}")]
    Closed {
        /// Its code.
        code: u32,
        /// Its reason.
        reason: String,
    },
    /// The datagram cannot be sent.
    #[error("send datagram error: {0}")]
    Datagram(#[from] SendDatagramError),
}

/// Why nothing can be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The peer does not want it, and says why.
    #[error("STOP_SENDING: {0}")]
    Stopped(u32),
    /// The peer does not want it, with a code that is none of a session.
    #[error("invalid STOP_SENDING: {0}")]
    InvalidStopped(VarInt),
    /// The session is over.
    #[error("session error: {0}")]
    Session(#[from] SessionError),
    /// It was finished or reset already.
    #[error("stream closed")]
    ClosedStream,
}

/// Why nothing can be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer has given it up, and says why.
    #[error("RESET_STREAM: {0}")]
    Reset(u32),
    /// The peer has given it up, with a code that is none of a session.
    #[error("invalid RESET_STREAM: {0}")]
    InvalidReset(VarInt),
    /// The session is over.
    #[error("session error: {0}")]
    Session(#[from] SessionError),
    /// It was stopped already.
    #[error("stream already closed")]
    ClosedStream,
    /// It was read out of order before.
    #[error("ordered read on unordered stream")]
    IllegalOrderedRead,
}

/// How a session ended: the first to say so is believed.
#[derive(Debug)]
pub(super) struct End {
    raw: bool,
    reason: OnceLock<SessionError>,
}

impl End {
    pub(super) fn raw() -> Self {
        Self {
            raw: true,
            reason: OnceLock::new(),
        }
    }

    pub(super) fn http() -> Self {
        Self {
            raw: false,
            reason: OnceLock::new(),
        }
    }

    /// Returns whether nobody has said it before.
    pub(super) fn set(&self, reason: SessionError) -> bool {
        self.reason.set(reason).is_ok()
    }

    /// What the end of the connection means for the session.
    pub(super) fn explain(&self, error: ConnectionError) -> SessionError {
        if let Some(reason) = self.reason.get() {
            return reason.clone();
        }
        let ConnectionError::ApplicationClosed(close) = &error else {
            return SessionError::Connection(error);
        };
        let Some(code) = self.code(close.error_code) else {
            return SessionError::Connection(error);
        };
        let reason = String::from_utf8_lossy(&close.reason).into_owned();
        let closed = SessionError::Closed { code, reason };
        self.reason.get_or_init(|| closed).clone()
    }

    /// The session's meaning of a code on the wire. An older peer puts its codes into HTTP/3's
    /// range over raw QUIC too; no code of a session is that large, so it is told apart.
    fn code(&self, code: VarInt) -> Option<u32> {
        let raw = || u32::try_from(code.into_inner()).ok();
        let mapped = error_from_http3(code.into_inner());
        mapped.or_else(|| self.raw.then(raw).flatten())
    }

    /// A code of the session on the wire.
    pub(super) fn wire_code(&self, code: u32) -> VarInt {
        match self.raw {
            true => code.into(),
            false => super::http_code(code),
        }
    }

    /// Why the peer has stopped a stream; none if the code means nothing.
    pub(super) fn stop_code(&self, code: Option<VarInt>) -> Option<u32> {
        code.and_then(|code| self.code(code))
    }

    pub(super) fn write_error(&self, error: quic::WriteError) -> WriteError {
        match error {
            quic::WriteError::Stopped(code) => match self.code(code) {
                Some(code) => WriteError::Stopped(code),
                None => WriteError::InvalidStopped(code),
            },
            quic::WriteError::ConnectionLost(error) => self.explain(error).into(),
            quic::WriteError::ClosedStream => WriteError::ClosedStream,
        }
    }

    pub(super) fn read_error(&self, error: quic::ReadError) -> ReadError {
        match error {
            quic::ReadError::Reset(code) => match self.code(code) {
                Some(code) => ReadError::Reset(code),
                None => ReadError::InvalidReset(code),
            },
            quic::ReadError::ConnectionLost(error) => self.explain(error).into(),
            quic::ReadError::ClosedStream => ReadError::ClosedStream,
            quic::ReadError::IllegalOrderedRead => ReadError::IllegalOrderedRead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_moved_for_http_and_read_either_way_for_raw_quic() {
        let (raw, http) = (End::raw(), End::http());
        assert_eq!(raw.wire_code(7), VarInt::from_u32(7));
        let moved = http.wire_code(7);
        assert_ne!(moved, VarInt::from_u32(7));
        assert_eq!(http.code(moved), Some(7));
        assert_eq!(http.code(VarInt::from_u32(7)), None);
        assert_eq!(raw.code(VarInt::from_u32(7)), Some(7));
        assert_eq!(raw.code(moved), Some(7));
        assert_eq!(raw.code(VarInt::MAX), None);
    }

    #[test]
    fn first_reason_is_believed() {
        let end = End::raw();
        let said = SessionError::Closed {
            code: 3,
            reason: "said".to_owned(),
        };
        assert!(end.set(said));
        assert!(!end.set(SessionError::Connection(ConnectionError::TimedOut)));
        let explained = end.explain(ConnectionError::TimedOut).to_string();
        assert_eq!(explained, "closed: code=3 reason=said");
    }
}
