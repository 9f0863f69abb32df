//! Streams that a peer opens in a session over HTTP/3, each of which says first what it is.

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;
use web_transport_proto::{Capsule, Frame, Http3CapsuleReader, StreamUni, VarInt};

use super::error::{End, SessionError};
use super::http_code;
use crate::quic::{Connection, ConnectionError, RecvStream, SendStream};

/// The door of a session.
pub(super) struct Arrivals {
    connection: Connection,
    session: VarInt,
    uni: mpsc::Sender<RecvStream>,
    bi: mpsc::Sender<(SendStream, RecvStream)>,
}

/// What a stream has turned out to be, if it is not the session's.
enum Stranger {
    /// HTTP/3's own, to be held open.
    Held(RecvStream),
    /// Nothing of ours.
    Nobody,
}

type Doors = (
    Arrivals,
    mpsc::Receiver<RecvStream>,
    mpsc::Receiver<(SendStream, RecvStream)>,
);

impl Arrivals {
    pub(super) fn new(connection: &Connection, session: VarInt) -> Doors {
        let (uni, came_uni) = mpsc::channel(WAITING);
        let (bi, came_bi) = mpsc::channel(WAITING);
        let arrivals = Self {
            connection: connection.clone(),
            session,
            uni,
            bi,
        };
        (arrivals, came_uni, came_bi)
    }

    /// Shows streams in until the session is over, which `connect` tells.
    pub(super) async fn usher(self, connect: RecvStream, end: Arc<End>) {
        // As many as the transport lets the peer have open.
        let mut asked = JoinSet::new();
        let mut held = Vec::new();
        let over = read_end(connect);
        tokio::pin!(over);
        loop {
            tokio::select! {
                reason = &mut over => return self.close(reason, &end),
                stream = self.connection.accept_uni() => {
                    let Ok(stream) = stream else { return };
                    asked.spawn(ask_uni(stream, self.session, self.uni.clone()));
                }
                streams = self.connection.accept_bi() => {
                    let Ok((send, recv)) = streams else { return };
                    asked.spawn(ask_bi(send, recv, self.session, self.bi.clone()));
                }
                Some(asked) = asked.join_next() => {
                    if let Ok(Stranger::Held(stream)) = asked && held.len() < HELD_MAX {
                        held.push(stream);
                    }
                }
            }
        }
    }

    /// The peer has ended the session.
    fn close(&self, reason: Option<(u32, String)>, end: &End) {
        let (code, text) = reason.clone().unwrap_or_default();
        let reason = match reason {
            Some((code, reason)) => SessionError::Closed { code, reason },
            None => SessionError::Connection(ConnectionError::LocallyClosed),
        };
        // If we closed first, the goodbye that is under way closes the connection.
        if end.set(reason) {
            self.connection.close(http_code(code), text.as_bytes());
        }
    }
}

/// Reads what a peer says on the session's own stream until it ends the session. Code and reason,
/// if it gives them.
async fn read_end(connect: RecvStream) -> Option<(u32, String)> {
    let mut capsules = Http3CapsuleReader::new(connect);
    loop {
        match capsules.read().await {
            Ok(Some(Capsule::CloseWebTransportSession { code, reason })) => {
                return Some((code, reason));
            }
            // What one does not know is skipped (RFC 9297, 3.2).
            Ok(Some(Capsule::Grease { .. } | Capsule::Unknown { .. })) => {}
            Ok(None) => return None,
            Err(error) => {
                debug!(%error, "no capsule");
                return None;
            }
        }
    }
}

async fn ask_uni(
    mut stream: RecvStream,
    session: VarInt,
    door: mpsc::Sender<RecvStream>,
) -> Stranger {
    match read_varint(&mut stream).await.map(StreamUni) {
        Some(StreamUni::WEBTRANSPORT) => {
            if read_varint(&mut stream).await == Some(session) {
                // Fails only when the session is gone.
                let _ = door.send(stream).await;
            }
            Stranger::Nobody
        }
        Some(StreamUni::QPACK_DECODER | StreamUni::QPACK_ENCODER) => Stranger::Held(stream),
        _ => Stranger::Nobody,
    }
}

async fn ask_bi(
    send: SendStream,
    mut recv: RecvStream,
    session: VarInt,
    door: mpsc::Sender<(SendStream, RecvStream)>,
) -> Stranger {
    let kind = read_varint(&mut recv).await.map(Frame);
    if kind == Some(Frame::WEBTRANSPORT) && read_varint(&mut recv).await == Some(session) {
        // Fails only when the session is gone.
        let _ = door.send((send, recv)).await;
    }
    Stranger::Nobody
}

/// A number at the beginning of a stream; none if the stream ends or is reset before.
async fn read_varint(stream: &mut RecvStream) -> Option<VarInt> {
    let mut bytes = [0; VarInt::MAX_SIZE];
    stream.read_exact(&mut bytes[..1]).await.ok()?;
    let len = 1 << (bytes[0] >> 6);
    stream.read_exact(&mut bytes[1..len]).await.ok()?;
    VarInt::decode(&mut &bytes[..len]).ok()
}

/// Streams that wait to be taken up by the session, each way. More wait where they were asked.
const WAITING: usize = 16;

/// Streams of HTTP/3's own: QPACK's encoder and decoder.
const HELD_MAX: usize = 2;
