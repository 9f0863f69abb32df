//! WebTransport over HTTP/3, and raw QUIC as if it were that.
//!
//! A session is a QUIC connection of its own: each stream begins with a few bytes that name the
//! session, and codes are moved into HTTP/3's range (draft-ietf-webtrans-http3). Raw QUIC has
//! neither. Those who use a [`Session`] need not know which it is. The wire is
//! `web-transport-proto`'s, the streams are `quic`'s.

mod arrivals;
mod error;
mod handshake;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use web_transport_proto::{Capsule, Frame, StreamUni, VarInt, error_to_http3};

use crate::quic::{self, Connection, ConnectionError};

use arrivals::Arrivals;
use error::End;
pub use error::{ReadError, SessionError, WriteError};
use handshake::{Connect, Settings};
pub use handshake::{HandshakeError, Request};
pub use stream::{RecvStream, SendStream};
pub use web_transport_proto::{ConnectRequest, ConnectResponse};

/// A session. It is a connection, as far as that is not about streams, datagrams and its end.
pub struct Session {
    connection: Connection,
    protocol: Option<String>,
    end: Arc<End>,
    /// None for raw QUIC.
    http: Option<Http>,
}

/// What a session over HTTP/3 has besides.
struct Http {
    request: ConnectRequest,
    /// What the session's streams and datagrams begin with.
    header_uni: Bytes,
    header_bi: Bytes,
    header_datagram: Bytes,
    /// Where the session's end is said; taken by the one who says it.
    connect: Mutex<Option<quic::SendStream>>,
    came_uni: tokio::sync::Mutex<mpsc::Receiver<quic::RecvStream>>,
    came_bi: tokio::sync::Mutex<mpsc::Receiver<(quic::SendStream, quic::RecvStream)>>,
    usher: JoinHandle<()>,
    /// Closing it would end the session.
    _settings: Settings,
}

impl Session {
    /// A connection whose ALPN is the session's protocol.
    pub fn raw(connection: Connection) -> Self {
        Self {
            protocol: connection.protocol(),
            end: Arc::new(End::raw()),
            connection,
            http: None,
        }
    }

    /// Asks the server at the other end for a session. For a new connection with HTTP/3's ALPN.
    ///
    /// # Errors
    /// When the peer does not speak WebTransport, or refuses.
    pub async fn connect(
        connection: Connection,
        request: ConnectRequest,
    ) -> Result<Self, HandshakeError> {
        let settings = Settings::exchange(&connection).await?;
        let (connect, response) = Connect::open(&connection, request).await?;
        Ok(Self::http(connection, settings, connect, response))
    }

    /// Must be called on a runtime, which the session's streams need.
    fn http(
        connection: Connection,
        settings: Settings,
        connect: Connect,
        response: ConnectResponse,
    ) -> Self {
        let id = connect.session_id();
        let header = |kind: VarInt| {
            let mut bytes = BytesMut::with_capacity(2 * VarInt::MAX_SIZE);
            kind.encode(&mut bytes);
            id.encode(&mut bytes);
            bytes.freeze()
        };
        let mut header_datagram = BytesMut::with_capacity(VarInt::MAX_SIZE);
        id.encode(&mut header_datagram);
        let end = Arc::new(End::http());
        let (arrivals, came_uni, came_bi) = Arrivals::new(&connection, id);
        let usher = tokio::spawn(arrivals.usher(connect.recv, Arc::clone(&end)));
        Self {
            connection,
            protocol: response.protocol,
            end,
            http: Some(Http {
                request: connect.request,
                header_uni: header(StreamUni::WEBTRANSPORT.0),
                header_bi: header(Frame::WEBTRANSPORT.0),
                header_datagram: header_datagram.freeze(),
                connect: Mutex::new(Some(connect.send)),
                came_uni: tokio::sync::Mutex::new(came_uni),
                came_bi: tokio::sync::Mutex::new(came_bi),
                usher,
                _settings: settings,
            }),
        }
    }

    /// What the client asked for; none for raw QUIC.
    pub fn request(&self) -> Option<&ConnectRequest> {
        self.http.as_ref().map(|http| &http.request)
    }

    /// The protocol that both agreed on; the ALPN of raw QUIC.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    fn lost(&self, error: ConnectionError) -> SessionError {
        self.end.explain(error)
    }

    fn send_stream(&self, stream: quic::SendStream) -> SendStream {
        SendStream::new(stream, Arc::clone(&self.end))
    }

    fn recv_stream(&self, stream: quic::RecvStream) -> RecvStream {
        RecvStream::new(stream, Arc::clone(&self.end))
    }

    /// Opens a stream to write to, as soon as the peer allows one more.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn open_uni(&self) -> Result<SendStream, SessionError> {
        let opened = self.connection.open_uni().await;
        let mut stream = opened.map_err(|error| self.lost(error))?;
        if let Some(http) = &self.http {
            self.begin(&mut stream, &http.header_uni).await?;
        }
        Ok(self.send_stream(stream))
    }

    /// Opens a stream in both directions, as soon as the peer allows one more.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), SessionError> {
        let opened = self.connection.open_bi().await;
        let (mut send, recv) = opened.map_err(|error| self.lost(error))?;
        if let Some(http) = &self.http {
            self.begin(&mut send, &http.header_bi).await?;
        }
        Ok((self.send_stream(send), self.recv_stream(recv)))
    }

    /// Names the session on a new stream, before all that other streams have to say.
    async fn begin(
        &self,
        stream: &mut quic::SendStream,
        header: &Bytes,
    ) -> Result<(), SessionError> {
        // These fail only for a stream that is closed, which the write tells.
        let _ = stream.set_priority(i32::MAX);
        match stream.write_all_chunks(&mut [header.clone()]).await {
            Ok(()) => {}
            Err(quic::WriteError::ConnectionLost(error)) => return Err(self.lost(error)),
            // A stream that the peer does not want says so at the first write.
            Err(quic::WriteError::Stopped(_) | quic::WriteError::ClosedStream) => {}
        }
        let _ = stream.set_priority(0);
        Ok(())
    }

    /// The next stream that the peer opens to write to.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn accept_uni(&self) -> Result<RecvStream, SessionError> {
        let accepted = match &self.http {
            None => self.connection.accept_uni().await,
            Some(http) => match http.came_uni.lock().await.recv().await {
                Some(stream) => Ok(stream),
                None => Err(self.connection.closed().await),
            },
        };
        let stream = accepted.map_err(|error| self.lost(error))?;
        Ok(self.recv_stream(stream))
    }

    /// The next stream that the peer opens in both directions.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), SessionError> {
        let accepted = match &self.http {
            None => self.connection.accept_bi().await,
            Some(http) => match http.came_bi.lock().await.recv().await {
                Some(streams) => Ok(streams),
                None => Err(self.connection.closed().await),
            },
        };
        let (send, recv) = accepted.map_err(|error| self.lost(error))?;
        Ok((self.send_stream(send), self.recv_stream(recv)))
    }

    /// The next datagram.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn read_datagram(&self) -> Result<Bytes, SessionError> {
        loop {
            let received = self.connection.read_datagram().await;
            let datagram = received.map_err(|error| self.lost(error))?;
            let Some(http) = &self.http else {
                return Ok(datagram);
            };
            // One of another session is nobody's: a connection has one.
            if datagram.starts_with(&http.header_datagram) {
                return Ok(datagram.slice(http.header_datagram.len()..));
            }
        }
    }

    /// Sends a datagram; of those that wait, the oldest make room for it.
    ///
    /// # Errors
    /// When the peer takes none, or none so large.
    pub fn send_datagram(&self, data: Bytes) -> Result<(), SessionError> {
        let Some(http) = &self.http else {
            return Ok(self.connection.send_datagram(data)?);
        };
        let header = &http.header_datagram;
        let mut bytes = BytesMut::with_capacity(header.len() + data.len());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(&data);
        Ok(self.connection.send_datagram(bytes.freeze())?)
    }

    /// Closes the session. Over HTTP/3 the peer is told first, and has a few round trips to go by
    /// itself: wait for [`closed`](Self::closed). Must be called on a runtime.
    pub fn close(&self, code: u32, reason: &[u8]) {
        if let Some(error) = self.connection.close_reason() {
            self.lost(error);
        }
        let closed = SessionError::Connection(ConnectionError::LocallyClosed);
        if !self.end.set(closed) {
            return;
        }
        let connect = self.http.as_ref().map(|http| http.connect.lock().take());
        match connect {
            None => self.connection.close(code.into(), reason),
            Some(None) => {}
            Some(Some(stream)) => {
                let reason = String::from_utf8_lossy(reason).into_owned();
                let connection = self.connection.clone();
                tokio::spawn(say_goodbye(connection, stream, code, reason));
            }
        }
    }

    /// Waits for the end.
    pub async fn closed(&self) -> SessionError {
        self.lost(self.connection.closed().await)
    }

    /// Why it is over; none if it is not.
    pub fn close_reason(&self) -> Option<SessionError> {
        let reason = self.connection.close_reason();
        reason.map(|error| self.lost(error))
    }
}

impl std::ops::Deref for Session {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.usher.abort();
    }
}

/// Says why the session ends, where a browser looks for it, and closes the connection when the
/// peer does not.
async fn say_goodbye(connection: Connection, mut stream: quic::SendStream, code: u32, why: String) {
    let mut capsule = BytesMut::new();
    let reason = why.clone();
    Capsule::CloseWebTransportSession { code, reason }.encode(&mut capsule);
    let mut frame = BytesMut::new();
    Frame::DATA.encode(&mut frame);
    let len = u32::try_from(capsule.len()).unwrap_or(u32::MAX);
    VarInt::from_u32(len).encode(&mut frame);
    frame.extend_from_slice(&capsule);
    let patience = (connection.rtt() * GOODBYE_ROUND_TRIPS).max(GOODBYE_LEAST);
    let goodbye = async {
        if stream.write_all(&frame).await.is_ok() && stream.finish().is_ok() {
            connection.closed().await;
        }
    };
    // A peer that does not answer is not waited for.
    let _ = timeout(patience, goodbye).await;
    connection.close(http_code(code), why.as_bytes());
}

/// A code of the session in HTTP/3's range.
fn http_code(code: u32) -> quic::VarInt {
    quic::VarInt::from_u64(error_to_http3(code)).unwrap_or(quic::VarInt::MAX)
}

/// How long a peer has to close after it was told to.
const GOODBYE_ROUND_TRIPS: u32 = 3;

/// The least of it, for round trips that are hardly any.
const GOODBYE_LEAST: Duration = Duration::from_millis(100);
