//! The control streams, ours and the peer's.

use std::sync::Arc;

use bytes::BytesMut;
use weir_protocol::moqt::message::{Goaway, Setup};
use weir_protocol::moqt::{Message, SessionError, StreamRole, UniStreamType, Version};

use super::{Close, Session};
use crate::peer::{self, READ_BYTES};
pub(super) use crate::peer::{MessageError, MessageReader, stream_code};
use crate::shard::Phase;
use crate::webtransport::{ReadError, RecvStream, SendStream, SessionError as Lost};

/// How the relay names itself.
const IMPLEMENTATION: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// Writes `message`. Fails when the peer has stopped the stream or left.
pub(super) async fn send(
    stream: &mut SendStream,
    version: Version,
    role: StreamRole,
    message: impl Into<Message>,
) -> Result<(), Close> {
    let sent = peer::send(stream, version, role, message).await;
    sent.map_err(|error| Close::new(SessionError::Internal, error.to_string()))
}

/// Our control stream.
pub(super) struct Sender {
    stream: SendStream,
}

impl Sender {
    /// Opens the stream and writes SETUP.
    pub(super) async fn open(session: &Session) -> Result<Self, Lost> {
        let mut stream = session.connection.open_uni().await?;
        let _ = stream.set_priority(i32::MAX);
        let setup = Setup {
            implementation: Some(IMPLEMENTATION.to_owned()),
            ..Setup::default()
        };
        // SETUP can be encoded; that it arrives is the connection's business.
        let _ = send(&mut stream, session.version, StreamRole::Control, setup).await;
        Ok(Self { stream })
    }

    /// Asks the peer to leave.
    pub(super) async fn goaway(&mut self, session: &Session) {
        let next = session.ids.lock().peer_next();
        // Where a newer relay takes over, the way is the same.
        let stays = *session.context.shared.phase.borrow() == Phase::HandedOver;
        let uri = session.config().drain_to.clone().filter(|_| !stays);
        let limit = session.config().drain_limit;
        let goaway = Goaway {
            uri: uri.unwrap_or_default(),
            timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            request_id: (session.version == Version::Draft18).then_some(next),
        };
        let _ = send(
            &mut self.stream,
            session.version,
            StreamRole::Control,
            goaway,
        )
        .await;
    }
}

/// Serves a unidirectional stream of the peer's: its control stream, or data that nobody asked for.
pub(super) async fn serve_uni(session: Arc<Session>, mut stream: RecvStream) -> Result<(), Close> {
    let mut head = BytesMut::new();
    let kind = loop {
        match UniStreamType::detect(&head) {
            Ok(Some(kind)) => break kind,
            Ok(None) => {}
            Err(error) => {
                let reason = error.to_string();
                return Err(Close::new(SessionError::ProtocolViolation, reason));
            }
        }
        match stream.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => head.extend_from_slice(&chunk.bytes),
            // A stream that is given up before it says what it is hurts nobody.
            Ok(None) | Err(_) => return Ok(()),
        }
    };
    match kind {
        UniStreamType::Control => {
            let reader = MessageReader::with_head(stream, session.version, head);
            serve_control(&session, reader).await
        }
        UniStreamType::Padding => {
            while let Ok(Some(_)) = stream.read_chunk(READ_BYTES, false).await {}
            Ok(())
        }
        UniStreamType::Subgroup => Ok(session.peer.serve_subgroup(stream, head).await?),
        UniStreamType::Fetch => Ok(session.peer.serve_fetch(stream, head).await?),
    }
}

async fn serve_control(session: &Session, mut reader: MessageReader) -> Result<(), Close> {
    let violation = |reason: &str| Close::new(SessionError::ProtocolViolation, reason);
    let mut goaway = false;
    loop {
        match reader.next(StreamRole::Control).await {
            Ok(Some(Message::Setup(setup))) => {
                check(session, &setup)?;
                if session.setup.set(setup).is_err() {
                    return Err(violation("a second SETUP"));
                }
            }
            Ok(Some(_)) if session.setup.get().is_none() => {
                return Err(violation("the control stream does not begin with SETUP"));
            }
            // A peer that goes says so; it is the one to close.
            Ok(Some(_)) if !goaway => goaway = true,
            Ok(Some(_)) => return Err(violation("a second GOAWAY")),
            Ok(None) => return Err(violation("the control stream was finished")),
            Err(MessageError::Malformed(error)) => return Err(error.into()),
            Err(MessageError::Truncated) => {
                return Err(violation("the control stream ended inside a message"));
            }
            Err(MessageError::Gone(ReadError::Reset(_))) => {
                return Err(violation("the control stream was reset"));
            }
            Err(MessageError::Gone(_)) => return Ok(()),
        }
    }
}

/// PATH and AUTHORITY belong to raw QUIC (draft 19, "Setup Options").
fn check(session: &Session, setup: &Setup) -> Result<(), Close> {
    if session.connection.request().is_none() {
        return Ok(());
    }
    if setup.path.is_some() {
        let reason = "PATH over WebTransport: the path is the session's own";
        return Err(Close::new(SessionError::InvalidPath, reason));
    }
    if setup.authority.is_some() {
        let reason = "AUTHORITY over WebTransport: the authority is the session's own";
        return Err(Close::new(SessionError::InvalidAuthority, reason));
    }
    Ok(())
}
