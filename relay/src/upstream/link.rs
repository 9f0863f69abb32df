//! A session with an upstream relay.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::message::RequestError;
use weir_protocol::moqt::{
    Message, RequestErrorCode, RequestIds, SessionError, Side, StreamResetCode, StreamRole,
    UniStreamType, Version,
};

use crate::client::{self, Address, ConnectError, Manner};
use crate::peer::{Fault, MessageError, MessageReader, Peer, READ_BYTES, send, stream_code};
use crate::webtransport::{RecvStream, SendStream};
use crate::{clock, quic};

/// A session with an upstream relay.
pub(super) struct Link {
    pub(super) peer: Arc<Peer>,
    /// Where it leads.
    pub(super) address: String,
    /// How the upstream names itself, once it has.
    implementation: watch::Sender<Option<String>>,
    goaway: watch::Sender<Option<String>>,
    /// Dropping it would end the session.
    _control: Mutex<SendStream>,
    _endpoint: quic::Endpoint,
}

/// Why a link is left.
pub(super) enum Left {
    /// It is gone.
    Lost(String),
    /// The upstream asks to leave, for this address if it names one.
    Goaway(String),
}

impl Link {
    pub(super) async fn open(address: &Address, idle: Duration) -> Result<Arc<Self>, ConnectError> {
        let manner = Manner {
            implementation: concat!("weir/", env!("CARGO_PKG_VERSION")),
            drafts: &Version::ALL,
            idle,
        };
        let connected = client::connect(address, manner).await?;
        let ids = Arc::new(Mutex::new(RequestIds::new(Side::Client)));
        let peer = Peer::new(Arc::new(connected.session), connected.version, ids);
        Ok(Arc::new(Self {
            peer: Arc::new(peer),
            address: address.to_string(),
            implementation: watch::Sender::new(None),
            goaway: watch::Sender::new(None),
            _control: Mutex::new(connected.control),
            _endpoint: connected.endpoint,
        }))
    }

    /// Waits for the upstream's SETUP. Returns whether it is a Weir, whom we may tell more than the
    /// drafts have words for.
    pub(super) async fn is_weir(&self) -> bool {
        let mut implementation = self.implementation.subscribe();
        let said = implementation.wait_for(Option::is_some);
        let said = timeout(SETUP_LIMIT, said).await;
        let name = said.ok().and_then(Result::ok).and_then(|name| name.clone());
        name.is_some_and(|name| name.starts_with("weir/"))
    }

    pub(super) fn implementation(&self) -> String {
        let name = self.implementation.borrow().clone().unwrap_or_default();
        name.chars()
            .filter(|c| !c.is_control())
            .take(NAME_CHARS)
            .collect()
    }

    /// Waits until the link has to be left.
    pub(super) async fn left(&self) -> Left {
        let mut goaway = self.goaway.subscribe();
        tokio::select! {
            error = self.peer.connection.closed() => Left::Lost(error.to_string()),
            said = goaway.wait_for(Option::is_some) => {
                let uri = said.ok().and_then(|uri| uri.clone());
                Left::Goaway(uri.unwrap_or_default())
            }
        }
    }

    /// Takes what the upstream sends until the connection is gone.
    pub(super) async fn serve(self: Arc<Self>) {
        let mut tasks = JoinSet::<Result<(), Fault>>::new();
        let fault = loop {
            let connection = &self.peer.connection;
            tokio::select! {
                stream = connection.accept_uni() => {
                    let Ok(stream) = stream else { return };
                    let link = Arc::clone(&self);
                    tasks.spawn(async move { link.take(stream).await });
                }
                stream = connection.accept_bi() => {
                    let Ok((send, recv)) = stream else { return };
                    let link = Arc::clone(&self);
                    tasks.spawn(async move { link.refuse(send, recv).await });
                }
                datagram = connection.read_datagram() => {
                    let Ok(datagram) = datagram else { return };
                    if let Ok(Some(object)) = ObjectDatagram::decode(&datagram) {
                        self.peer.on_datagram(&object, clock::now_us());
                    }
                }
                Some(done) = tasks.join_next() => if let Ok(Err(fault)) = done {
                    break fault;
                },
            }
        };
        debug!(upstream = self.address, %fault, "closed a link");
        let code = u32::try_from(fault.code.code()).unwrap_or(u32::MAX);
        self.peer.connection.close(code, fault.reason.as_bytes());
    }

    /// Refuses a request: an edge is asked nothing by its upstream. In words, as there are relays
    /// that announce their names to everyone and close the session over a reset.
    async fn refuse(&self, mut stream: SendStream, recv: RecvStream) -> Result<(), Fault> {
        let version = self.peer.version;
        let mut reader = MessageReader::new(recv, version);
        let first = timeout(REQUEST_LIMIT, reader.next(StreamRole::Opening)).await;
        let first = match first {
            Ok(Ok(Some(first))) => first,
            Ok(Err(MessageError::Malformed(error))) => {
                return Err(Fault {
                    code: error.session_error(),
                    reason: error.to_string(),
                });
            }
            Ok(Ok(None) | Err(MessageError::Truncated | MessageError::Gone(_))) | Err(_) => {
                reader.stop();
                // Fails only when the upstream has left.
                let _ = stream.reset(stream_code(StreamResetCode::Cancelled));
                return Ok(());
            }
        };
        let Some(kind) = first.request_kind() else {
            return Err(Fault {
                code: SessionError::ProtocolViolation,
                reason: format!("{} does not begin a request", first.name()),
            });
        };
        if let Some(id) = first.request_id() {
            let accepted = self.peer.ids.lock().accept(id);
            accepted.map_err(|error| Fault {
                code: SessionError::InvalidRequestId,
                reason: error.to_string(),
            })?;
        }
        let reason = format!(
            "{}: an edge takes no requests of its upstream",
            first.name()
        );
        let refusal = RequestError::new(RequestErrorCode::NotSupported, reason);
        if send(&mut stream, version, StreamRole::Answer(kind), refusal)
            .await
            .is_ok()
        {
            reader.stop();
            // Fails only when the upstream has left; what it does then is its own affair.
            let _ = stream.finish();
            let _ = stream.stopped().await;
        }
        Ok(())
    }

    async fn take(&self, mut stream: RecvStream) -> Result<(), Fault> {
        let mut head = BytesMut::new();
        let kind = loop {
            match UniStreamType::detect(&head) {
                Ok(Some(kind)) => break kind,
                Ok(None) => match stream.read_chunk(READ_BYTES, true).await {
                    Ok(Some(chunk)) => head.extend_from_slice(&chunk.bytes),
                    Ok(None) | Err(_) => return Ok(()),
                },
                Err(error) => {
                    return Err(Fault {
                        code: SessionError::ProtocolViolation,
                        reason: error.to_string(),
                    });
                }
            }
        };
        match kind {
            UniStreamType::Control => {
                self.listen(MessageReader::with_head(stream, self.peer.version, head))
                    .await;
                Ok(())
            }
            UniStreamType::Subgroup => self.peer.serve_subgroup(stream, head).await,
            UniStreamType::Fetch => self.peer.serve_fetch(stream, head).await,
            UniStreamType::Padding => {
                while let Ok(Some(_)) = stream.read_chunk(READ_BYTES, false).await {}
                Ok(())
            }
        }
    }

    async fn listen(&self, mut reader: MessageReader) {
        while let Ok(Some(message)) = reader.next(StreamRole::Control).await {
            if let Message::Setup(setup) = message {
                let name = setup.implementation.unwrap_or_default();
                self.implementation.send_replace(Some(name));
            } else if let Message::Goaway(goaway) = message {
                self.goaway.send_replace(Some(goaway.uri));
            }
        }
        // The end of it is a violation; the upstream that means it closes the connection too.
        std::future::pending::<()>().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.peer.connection.close_reason().is_some()
    }

    /// Leaves, after what moves to another link has moved.
    pub(super) fn close(&self) {
        self.peer.connection.close(0, b"");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

/// How long an upstream may take to say what it asks.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// How long an upstream's SETUP may take before its requests go without what only a Weir knows.
const SETUP_LIMIT: Duration = Duration::from_secs(2);

/// Characters of an upstream's name that are kept.
const NAME_CHARS: usize = 64;
