//! How a session over HTTP/3 begins: SETTINGS both ways, then CONNECT and its answer.

use bytes::BytesMut;
use http::StatusCode;
use web_transport_proto::{ConnectRequest, ConnectResponse, VarInt};

use super::Session;
use crate::quic::{Connection, ConnectionError, RecvStream, SendStream, WriteError};

/// Why there is no session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The connection ended before.
    #[error("connection error: {0}")]
    Connection(#[from] ConnectionError),
    /// A stream ended before.
    #[error("failed to write: {0}")]
    Write(#[from] WriteError),
    /// The peer's SETTINGS are none.
    #[error("failed to exchange h3 settings: {0}")]
    Settings(#[from] web_transport_proto::SettingsError),
    /// The peer speaks HTTP/3 without WebTransport.
    #[error("WebTransport is not supported")]
    Unsupported,
    /// The peer's request or answer is none.
    #[error("failed to exchange h3 connect: {0}")]
    Connect(#[from] web_transport_proto::ConnectError),
    /// The server says no.
    #[error("http error status: {0}")]
    Status(StatusCode),
    /// The answer names a protocol that the request does not.
    #[error("server returned protocol not in request: {0}")]
    Protocol(String),
}

/// The control streams of HTTP/3. Dropping them ends the connection, as its peer sees it.
pub(super) struct Settings {
    _send: SendStream,
    _recv: RecvStream,
}

impl Settings {
    pub(super) async fn exchange(connection: &Connection) -> Result<Self, HandshakeError> {
        let (send, recv) = tokio::try_join!(Self::send(connection), Self::recv(connection))?;
        Ok(Self {
            _send: send,
            _recv: recv,
        })
    }

    async fn send(connection: &Connection) -> Result<SendStream, HandshakeError> {
        let mut settings = web_transport_proto::Settings::default();
        settings.enable_webtransport(1);
        let mut bytes = BytesMut::new();
        settings.encode(&mut bytes);
        let mut stream = connection.open_uni().await?;
        stream.write_all(&bytes).await?;
        Ok(stream)
    }

    async fn recv(connection: &Connection) -> Result<RecvStream, HandshakeError> {
        let mut stream = connection.accept_uni().await?;
        let settings = web_transport_proto::Settings::read(&mut stream).await?;
        match settings.supports_webtransport() {
            0 => Err(HandshakeError::Unsupported),
            _ => Ok(stream),
        }
    }
}

/// The stream of a CONNECT request, which lives as long as the session.
pub(super) struct Connect {
    pub(super) request: ConnectRequest,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

impl Connect {
    /// The session's name: the number of the request's stream.
    pub(super) fn session_id(&self) -> VarInt {
        let id = crate::quic::VarInt::from(self.send.id()).into_inner();
        VarInt::from_u64(id).unwrap_or(VarInt::MAX)
    }

    pub(super) async fn open(
        connection: &Connection,
        request: ConnectRequest,
    ) -> Result<(Self, ConnectResponse), HandshakeError> {
        let (mut send, mut recv) = connection.open_bi().await?;
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes)?;
        send.write_all(&bytes).await?;
        let response = ConnectResponse::read(&mut recv).await?;
        if response.status != StatusCode::OK {
            return Err(HandshakeError::Status(response.status));
        }
        let connect = Self {
            request,
            send,
            recv,
        };
        connect.check(&response)?;
        Ok((connect, response))
    }

    /// An answer may choose among what was asked for.
    fn check(&self, response: &ConnectResponse) -> Result<(), HandshakeError> {
        match &response.protocol {
            Some(protocol) if !self.request.protocols.contains(protocol) => {
                Err(HandshakeError::Protocol(protocol.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// A client's request for a session, which is to be answered.
pub struct Request {
    connection: Connection,
    settings: Settings,
    connect: Connect,
}

impl Request {
    /// Takes the request of a new connection with HTTP/3's ALPN.
    ///
    /// # Errors
    /// When the peer does not speak WebTransport.
    pub async fn accept(connection: Connection) -> Result<Self, HandshakeError> {
        let settings = Settings::exchange(&connection).await?;
        let (send, mut recv) = connection.accept_bi().await?;
        let request = ConnectRequest::read(&mut recv).await?;
        Ok(Self {
            connection,
            settings,
            connect: Connect {
                request,
                send,
                recv,
            },
        })
    }

    /// The protocols that the client speaks, most preferred first.
    pub fn protocols(&self) -> &[String] {
        &self.connect.request.protocols
    }

    /// Answers, which begins the session. Must be called on a runtime.
    ///
    /// # Errors
    /// When the answer cannot be sent, or names a protocol that was not asked for.
    pub async fn respond(mut self, response: ConnectResponse) -> Result<Session, HandshakeError> {
        self.connect.check(&response)?;
        self.answer(&response).await?;
        let Self {
            connection,
            settings,
            connect,
        } = self;
        Ok(Session::http(connection, settings, connect, response))
    }

    /// Answers that there will be no session.
    ///
    /// # Errors
    /// When the answer cannot be sent.
    pub async fn reject(mut self, status: StatusCode) -> Result<(), HandshakeError> {
        self.answer(&ConnectResponse::new(status)).await?;
        // Fails only for a stream that the peer stopped, who has heard enough then.
        let _ = self.connect.send.finish();
        Ok(())
    }

    async fn answer(&mut self, response: &ConnectResponse) -> Result<(), HandshakeError> {
        let mut bytes = BytesMut::new();
        response.encode(&mut bytes)?;
        Ok(self.connect.send.write_all(&bytes).await?)
    }
}
