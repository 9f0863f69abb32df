//! The MoQT client of `weir pull`: a session, its requests, and the frames that come of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::time::timeout;
use web_transport_quinn::{RecvStream, SendStream, Session, proto::ConnectRequest};
use weir_protocol::catalog::msf::{self, Catalog};
use weir_protocol::moqt::message::{Fetch, FetchKind, Setup, Subscribe};
use weir_protocol::moqt::{
    Filter, FullTrackName, GroupOrder, Message, Namespace, Params, RequestErrorCode, RequestIds,
    RequestKind, Side, StreamRole, Version,
};

use super::streams::{self, Event, Source};
use super::target::{Target, Transport};
use crate::endpoint::{self, H3, Verifier};
use crate::net;

pub(super) use super::media::Media;

/// A session with a relay.
pub(super) struct Client {
    endpoint: quinn::Endpoint,
    session: Arc<Session>,
    version: Version,
    ids: RequestIds,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    /// Dropping it would end the session.
    _control: SendStream,
}

/// A track that was subscribed.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) alias: u64,
    pub(super) request_id: u64,
    pub(super) fetch_id: u64,
}

impl Subscription {
    /// Whether an object of `source` is this track's.
    pub(super) fn owns(&self, source: Source) -> bool {
        match source {
            Source::Alias(alias) => alias == self.alias,
            Source::Fetch(request) => request == self.fetch_id,
        }
    }
}

impl Client {
    /// Connects, and says hello.
    ///
    /// Speaks the newest of `drafts` that the relay has.
    pub(super) async fn connect(
        target: &Target,
        verifier: Verifier,
        drafts: &[Version],
    ) -> anyhow::Result<Self> {
        let (host, port) = (target.host.as_str(), target.port);
        let addrs = tokio::net::lookup_host((host, port)).await;
        let addrs = addrs.with_context(|| format!("no address for {host}"))?;
        let mut failure = anyhow!("no address for {host}");
        for addr in addrs {
            match Self::connect_to(addr, target, verifier.clone(), drafts).await {
                Ok(client) => return Ok(client),
                Err(error) => failure = error.context(format!("cannot reach {host}:{port}")),
            }
        }
        Err(failure)
    }

    async fn connect_to(
        addr: SocketAddr,
        target: &Target,
        verifier: Verifier,
        drafts: &[Version],
    ) -> anyhow::Result<Self> {
        let drafts: Vec<_> = drafts.iter().map(|draft| draft.alpn()).collect();
        let alpn = match target.transport {
            Transport::Quic => &drafts[..],
            Transport::WebTransport => &[H3],
        };
        let checked = verifier == Verifier::Roots;
        let endpoint = endpoint::client(net::udp_client(addr)?, verifier, alpn)?;
        let connecting = endpoint.connect(addr, &target.host)?;
        let connection = timeout(CONNECT_LIMIT, connecting).await;
        let connection = connection
            .map_err(|_| anyhow!("no answer within {CONNECT_LIMIT:?}: is a relay running there?"))?
            .map_err(|error| explain(error, checked))?;
        let session = match target.transport {
            Transport::Quic => Session::raw(connection),
            Transport::WebTransport => {
                let request = ConnectRequest::new(target.url.clone())
                    .with_protocols(drafts.iter().copied().map(str::to_owned));
                let session = timeout(CONNECT_LIMIT, Session::connect(connection, request)).await;
                session.map_err(|_| anyhow!("no WebTransport within {CONNECT_LIMIT:?}"))??
            }
        };
        let version = session.protocol().and_then(Version::from_alpn);
        let version = version.context("the server speaks none of our MoQT drafts")?;
        let session = Arc::new(session);
        let control = hello(&session, version, target).await?;
        let (sender, events) = mpsc::channel(EVENTS);
        tokio::spawn(streams::accept(Arc::clone(&session), sender.clone()));
        Ok(Self {
            endpoint,
            session,
            version,
            ids: RequestIds::new(Side::Client),
            sender,
            events,
            _control: control,
        })
    }

    /// Subscribes to the stream's catalog, then to the tracks that it names.
    pub(super) async fn play(
        &mut self,
        target: &Target,
        wait: Duration,
    ) -> anyhow::Result<Media<'_>> {
        let namespace = &target.namespace;
        let subscription = self.subscribe(namespace, msf::TRACK_NAME, wait).await?;
        let catalog = timeout(CATALOG_LIMIT.max(wait), self.catalog(&subscription)).await;
        let catalog = catalog.map_err(|_| anyhow!("{namespace} has published no catalog"))??;
        let mut tracks = Vec::new();
        for role in [msf::ROLE_VIDEO, msf::ROLE_AUDIO] {
            if let Some(track) = catalog.track_of(role) {
                let subscription = self.subscribe(namespace, &track.name, wait).await?;
                tracks.push((subscription, track));
            }
        }
        if tracks.is_empty() {
            bail!("{namespace} has neither video nor audio");
        }
        Media::new(&mut self.events, &catalog, tracks)
    }

    async fn catalog(&mut self, subscription: &Subscription) -> anyhow::Result<Catalog> {
        loop {
            match self.events.recv().await {
                Some(Event::Object(source, object)) if subscription.owns(source) => {
                    return Catalog::parse(&object.payload).context("the stream's catalog");
                }
                Some(Event::Lost(reason)) => bail!("the connection was lost: {reason}"),
                Some(Event::Done(id)) if id == subscription.request_id => {
                    bail!("the stream has ended");
                }
                Some(_) => {}
                None => bail!("the connection was lost"),
            }
        }
    }

    /// Sends SUBSCRIBE and asks for the current group as well: with it since draft 20, before by a
    /// FETCH that joins it and waits for nothing.
    async fn subscribe(
        &mut self,
        namespace: &Namespace,
        track: &str,
        wait: Duration,
    ) -> anyhow::Result<Subscription> {
        let name = FullTrackName::new(namespace.clone(), track.as_bytes().to_vec().into())?;
        let request_id = self.ids.next_id();
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let subscribe = Subscribe {
            request_id,
            track: name,
            params: Params {
                filter: Some(Filter::NextObject),
                forward: Some(true),
                rendezvous_timeout_ms: Some(wait_ms).filter(|ms| *ms > 0),
                fill: self.version.has_fill().then(current_group),
                ..Params::default()
            },
        };
        let mut subscribed = self.request(subscribe.into()).await?;
        let (fetch_id, fetched) = match self.version.has_fill() {
            true => (request_id, None),
            false => {
                let (fetch_id, fetched) = self.join(request_id).await?;
                (fetch_id, Some(fetched))
            }
        };
        let role = StreamRole::Answer(RequestKind::Subscribe);
        let alias = match subscribed.next(role).await? {
            Some(Message::SubscribeOk(ok)) => ok.alias,
            Some(Message::RequestError(error)) => {
                let advice = match error.code == RequestErrorCode::DoesNotExist {
                    true => "; publish it, or wait for it with --wait 60s",
                    false => "",
                };
                bail!("{namespace}: {}{advice}", error.reason);
            }
            Some(other) => bail!("the relay answered SUBSCRIBE with {}", other.name()),
            None => bail!("the relay did not answer SUBSCRIBE"),
        };
        if let Some(fetched) = fetched {
            // A FETCH that is refused only means that there is no past to join.
            tokio::spawn(fetched.hold());
        }
        tokio::spawn(subscribed.follow(request_id, self.sender.clone()));
        Ok(Subscription {
            alias,
            request_id,
            fetch_id,
        })
    }

    /// Asks for the group in which a subscription begins.
    async fn join(&mut self, joining_request_id: u64) -> anyhow::Result<(u64, Exchange)> {
        let request_id = self.ids.next_id();
        let fetch = Fetch {
            request_id,
            kind: FetchKind::RelativeJoining {
                joining_request_id,
                groups: 0,
            },
            params: Params {
                group_order: Some(GroupOrder::Ascending),
                ..Params::default()
            },
        };
        Ok((request_id, self.request(fetch.into()).await?))
    }

    async fn request(&mut self, message: Message) -> anyhow::Result<Exchange> {
        let (mut send, recv) = self.session.open_bi().await?;
        let mut bytes = BytesMut::new();
        message.encode(self.version, StreamRole::Opening, &mut bytes)?;
        send.write_all(&bytes).await?;
        Ok(Exchange {
            send,
            recv,
            buffer: BytesMut::new(),
            version: self.version,
        })
    }

    /// Leaves, and lets the relay know.
    pub(super) async fn close(self) {
        self.session.close(0, b"");
        // The relay forgets a viewer that says nothing, only later.
        let _ = timeout(CLOSE_LIMIT, self.endpoint.wait_idle()).await;
    }
}

/// The group that is being published, as FILL_PARAMETERS ask for it.
fn current_group() -> Box<Params> {
    Box::new(Params {
        filter: Some(Filter::Relative(1)),
        group_order: Some(GroupOrder::Ascending),
        ..Params::default()
    })
}

/// A request stream of ours.
struct Exchange {
    send: SendStream,
    recv: RecvStream,
    buffer: BytesMut,
    version: Version,
}

impl Exchange {
    async fn next(&mut self, role: StreamRole) -> anyhow::Result<Option<Message>> {
        loop {
            if let Some(message) = Message::decode(self.version, role, &mut self.buffer)? {
                return Ok(Some(message));
            }
            match self.recv.read_chunk(READ_BYTES, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None => return Ok(None),
            }
        }
    }

    /// Keeps the request open until the relay ends it.
    async fn hold(mut self) {
        while let Ok(Some(_)) = self.recv.read_chunk(READ_BYTES, true).await {}
        // The request is over on both sides.
        let _ = self.send.finish();
    }

    /// Waits for the end of a subscription and tells the player.
    async fn follow(mut self, request_id: u64, events: mpsc::Sender<Event>) {
        let role = StreamRole::Responder(RequestKind::Subscribe);
        while let Ok(Some(message)) = self.next(role).await {
            if let Message::PublishDone(_) = message {
                break;
            }
        }
        // The player may have gone first.
        let _ = events.send(Event::Done(request_id)).await;
    }
}

/// Opens the control stream. Over WebTransport the URL went with the session's request.
async fn hello(session: &Session, version: Version, target: &Target) -> anyhow::Result<SendStream> {
    let raw = target.transport == Transport::Quic;
    let setup = Setup {
        path: raw.then(|| target.path.clone()),
        authority: raw.then(|| format!("{}:{}", target.host, target.port)),
        implementation: Some(concat!("weir-pull/", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Setup::default()
    };
    let mut control = session.open_uni().await?;
    let mut bytes = BytesMut::new();
    Message::from(setup).encode(version, StreamRole::Control, &mut bytes)?;
    control.write_all(&bytes).await?;
    Ok(control)
}

/// What a person can do about a connection that failed.
fn explain(error: quinn::ConnectionError, checked: bool) -> anyhow::Error {
    let text = error.to_string();
    let advice = if checked && text.contains("certificate") {
        "; for a self-made certificate give --cert-sha256 HEX or --insecure"
    } else if text.contains("application protocol") {
        "; the port speaks QUIC, but no draft of MoQT that we speak, nor WebTransport"
    } else {
        ""
    };
    anyhow!("{text}{advice}")
}

/// How long a relay may take to answer: a handshake with a lost packet or two.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long the catalog may take once the stream is there.
const CATALOG_LIMIT: Duration = Duration::from_secs(10);

/// How long a goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Events between the streams and the player; beyond, the streams wait and the relay feels it.
const EVENTS: usize = 256;

/// Messages are small.
const READ_BYTES: usize = 4096;
