//! The MoQT client of `weir pull`: a session, its requests, and the frames that come of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use weir_protocol::catalog::hang;
use weir_protocol::catalog::msf::{self, Catalog};
use weir_protocol::moqt::message::{Fetch, FetchKind, RequestError, Subscribe};
use weir_protocol::moqt::{
    Filter, FullTrackName, GroupOrder, Message, Namespace, Params, RequestErrorCode, RequestIds,
    RequestKind, Side, StreamRole, Version,
};

use super::streams::{Event, Listener, Source};
use crate::client::{self, Address, Manner};
use crate::quic;
use crate::webtransport::{RecvStream, SendStream, Session};

pub(super) use super::media::Media;

/// A session with a relay.
pub(super) struct Client {
    endpoint: quic::Endpoint,
    session: Arc<Session>,
    version: Version,
    ids: RequestIds,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    goaway: watch::Receiver<Option<String>>,
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
    /// Connects, and says hello. Speaks the newest of `drafts` that the relay has.
    pub(super) async fn connect(relay: &Address, drafts: &[Version]) -> anyhow::Result<Self> {
        let manner = Manner {
            implementation: concat!("weir-pull/", env!("CARGO_PKG_VERSION")),
            drafts,
            idle: IDLE,
        };
        let connected = client::connect(relay, manner).await;
        let connected = connected.map_err(|error| match error.is_unknown_certificate() {
            true => anyhow!("{error}, or give --cert-sha256 HEX or --insecure"),
            false => error.into(),
        })?;
        let session = Arc::new(connected.session);
        let (sender, events) = mpsc::channel(EVENTS);
        let (told, goaway) = watch::channel(None);
        let listener = Listener {
            session: Arc::clone(&session),
            version: connected.version,
            events: sender.clone(),
            goaway: Arc::new(told),
        };
        tokio::spawn(listener.accept());
        Ok(Self {
            endpoint: connected.endpoint,
            session,
            version: connected.version,
            ids: RequestIds::new(Side::Client),
            sender,
            events,
            goaway,
            _control: connected.control,
        })
    }

    /// Waits until the relay asks to leave, for this address if it names one. Cancel safe.
    pub(super) async fn goaway(&mut self) -> String {
        match self.goaway.wait_for(Option::is_some).await {
            Ok(uri) => uri.clone().unwrap_or_default(),
            // The connection is gone, which is told otherwise.
            Err(_) => std::future::pending().await,
        }
    }

    /// Subscribes to the stream's catalog, then to the tracks that it names. What comes from here
    /// on is the player's.
    pub(super) async fn play(
        &mut self,
        namespace: &Namespace,
        wait: Duration,
    ) -> anyhow::Result<Media> {
        let catalog = self.wait_for_catalog(namespace, wait).await?;
        let mut tracks = Vec::new();
        for role in [msf::ROLE_VIDEO, msf::ROLE_AUDIO] {
            if let Some(track) = catalog.track_of(role) {
                let subscribed = self.subscribe(namespace, &track.name, wait).await?;
                let subscription = subscribed.map_err(|error| anyhow!(error.reason))?;
                tracks.push((subscription, track));
            }
        }
        if tracks.is_empty() {
            bail!("{namespace} has neither video nor audio");
        }
        let events = std::mem::replace(&mut self.events, mpsc::channel(1).1);
        Media::new(events, &catalog, tracks)
    }

    /// The stream's catalog, as soon as it has one: not every relay lets a request wait.
    async fn wait_for_catalog(
        &mut self,
        namespace: &Namespace,
        wait: Duration,
    ) -> anyhow::Result<Catalog> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.find_catalog(namespace, left).await? {
                Ok(catalog) => return Ok(catalog),
                Err(_) if Instant::now() + ASK_AGAIN < deadline => sleep(ASK_AGAIN).await,
                Err(refusal) => {
                    let advice = match refusal.code == RequestErrorCode::DoesNotExist {
                        true => "; publish it, or wait for it with --wait 60s",
                        false => "",
                    };
                    bail!("{namespace}: {}{advice}", refusal.reason);
                }
            }
        }
    }

    /// The MSF catalog; that of hang, if the publisher has no other.
    async fn find_catalog(
        &mut self,
        namespace: &Namespace,
        wait: Duration,
    ) -> anyhow::Result<Result<Catalog, RequestError>> {
        let subscription = match self.subscribe(namespace, msf::TRACK_NAME, wait).await? {
            Ok(subscription) => subscription,
            Err(refusal) => {
                let no_wait = Duration::ZERO;
                match self.subscribe(namespace, hang::TRACK_NAME, no_wait).await? {
                    Ok(subscription) => {
                        let json = self.whole_catalog(namespace, &subscription, wait).await?;
                        return Ok(Ok(hang::parse(&json).context("the stream's catalog")?));
                    }
                    Err(_) => return Ok(Err(refusal)),
                }
            }
        };
        let json = self.whole_catalog(namespace, &subscription, wait).await?;
        Ok(Ok(Catalog::parse(&json).context("the stream's catalog")?))
    }

    async fn whole_catalog(
        &mut self,
        namespace: &Namespace,
        subscription: &Subscription,
        wait: Duration,
    ) -> anyhow::Result<Bytes> {
        let limit = CATALOG_LIMIT.max(wait);
        let catalog = timeout(limit, self.first_object(subscription)).await;
        catalog.map_err(|_| anyhow!("{namespace} has published no catalog"))?
    }

    async fn first_object(&mut self, subscription: &Subscription) -> anyhow::Result<Bytes> {
        loop {
            match self.events.recv().await {
                Some(Event::Object(source, object)) if subscription.owns(source) => {
                    return Ok(object.payload);
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
    ) -> anyhow::Result<Result<Subscription, RequestError>> {
        let name = FullTrackName::new(namespace.clone(), track.as_bytes().to_vec().into())?;
        let request_id = self.ids.next_id();
        let fill = self.version.has_fill();
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let subscribe = Subscribe {
            request_id,
            track: name,
            params: Params {
                filter: Some(Filter::NextObject),
                forward: Some(true),
                rendezvous_timeout_ms: Some(wait_ms).filter(|ms| *ms > 0),
                fill: fill.then(|| Box::new(Params::current_group())),
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
            Some(Message::RequestError(refusal)) => return Ok(Err(refusal)),
            Some(other) => bail!("the relay answered SUBSCRIBE with {}", other.name()),
            None => bail!("the relay did not answer SUBSCRIBE"),
        };
        if let Some(fetched) = fetched {
            // A FETCH that is refused only means that there is no past to join.
            tokio::spawn(fetched.hold());
        }
        tokio::spawn(subscribed.follow(request_id, self.sender.clone()));
        Ok(Ok(Subscription {
            alias,
            request_id,
            fetch_id,
        }))
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

    /// Ends the session.
    pub(super) fn leave(&self) {
        self.session.close(0, b"");
    }

    /// Leaves, and lets the relay know.
    pub(super) async fn close(self) {
        self.leave();
        // The relay forgets a viewer that says nothing, only later.
        let _ = timeout(CLOSE_LIMIT, self.endpoint.wait_idle()).await;
    }
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

/// Silence after which the relay is given up: longer than a phone's change of network.
const IDLE: Duration = Duration::from_secs(30);

/// How often a relay is asked for a stream that it does not have yet.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How long the catalog may take once the stream is there.
const CATALOG_LIMIT: Duration = Duration::from_secs(10);

/// How long a goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Events between the streams and the player; beyond, the streams wait and the relay feels it.
const EVENTS: usize = 256;

/// Messages are small.
const READ_BYTES: usize = 4096;
