//! A MoQT viewer by hand, over raw QUIC: what it says is up to the test, and everything that the
//! relay says is kept as it came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::message::{
    Fetch, FetchKind, FetchOk, RequestError, RequestUpdate, Setup, Subscribe, SubscribeOk,
    exclusive_end,
};
use weir_protocol::moqt::{
    Filter, FullTrackName, GroupOrder, Location, Message, Namespace, Params, RequestKind,
    StreamRole, Version,
};

use super::process::wait_for;
use super::streams::{self, FetchStream, GroupStream, Seen};
use super::trust::TrustAnyone;

/// Time for an answer, or for the next object of a live stream.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// A session with the relay.
pub(crate) struct MoqtClient {
    runtime: Runtime,
    local: SocketAddr,
    connection: quinn::Connection,
    /// Held open: a control stream that ends is a violation.
    control: quinn::SendStream,
    version: Version,
    seen: Arc<Mutex<Seen>>,
    next_id: u64,
}

/// What a session is made of, besides its draft.
#[derive(Clone, Copy, Default)]
pub(crate) struct Habits {
    /// Bytes that the relay may send on all streams together, and that are never read.
    pub(crate) deaf_after: Option<u32>,
    /// Of which subgroup stream, in the order of their coming, it has enough after an object.
    pub(crate) stops_stream: Option<usize>,
    /// The subgroup whose streams it leaves unread, and does not stop either.
    pub(crate) unread: Option<u64>,
    /// Whether it sends no SETUP.
    pub(crate) silent: bool,
    /// What it calls itself, if it is to be taken for somebody.
    pub(crate) implementation: Option<&'static str>,
}

/// A request that was made. Dropping it cancels it.
pub(crate) struct Asked {
    /// Its id.
    pub(crate) id: u64,
    kind: RequestKind,
    version: Version,
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    buffer: BytesMut,
    answered: bool,
    runtime: tokio::runtime::Handle,
}

/// The full name of a track of `live/cam`.
#[track_caller]
pub(crate) fn track_of(namespace: &str, track: &str) -> FullTrackName {
    let namespace = Namespace::from_path(namespace).unwrap();
    FullTrackName::new(namespace, track.to_owned().into()).unwrap()
}

impl MoqtClient {
    /// Connects, and sends SETUP.
    #[track_caller]
    pub(crate) fn connect(relay: SocketAddr, version: Version) -> Self {
        Self::with_habits(relay, version, Habits::default())
    }

    /// The same for a viewer that is not as others are.
    #[track_caller]
    pub(crate) fn with_habits(relay: SocketAddr, version: Version, habits: Habits) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let opening = async { timeout(ANSWER, open(relay, version, habits)).await };
        let opened = runtime.block_on(opening);
        let (local, connection, control) = opened.unwrap().unwrap();
        if habits.deaf_after.is_none() {
            seen.lock().stops = habits.stops_stream;
            seen.lock().unread = habits.unread;
            let listening = streams::listen(connection.clone(), version, Arc::clone(&seen));
            runtime.spawn(listening);
        }
        Self {
            runtime,
            local,
            connection,
            control,
            version,
            seen,
            next_id: 0,
        }
    }

    /// An id that was not used before.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 2;
        id
    }

    /// Opens a request with its first message.
    #[track_caller]
    pub(crate) fn ask(&mut self, message: impl Into<Message>) -> Asked {
        let message = message.into();
        let mut bytes = BytesMut::new();
        let encoded = message.encode(self.version, StreamRole::Opening, &mut bytes);
        encoded.unwrap();
        let (id, kind) = (message.request_id(), message.request_kind());
        self.ask_in_bytes(id.unwrap(), kind.unwrap(), &bytes)
    }

    /// Opens a request with a first message in these bytes, whatever they are.
    #[track_caller]
    pub(crate) fn ask_in_bytes(&self, id: u64, kind: RequestKind, bytes: &[u8]) -> Asked {
        let (send, recv) = self.open_request(bytes);
        Asked {
            id,
            kind,
            version: self.version,
            send,
            recv,
            buffer: BytesMut::new(),
            answered: false,
            runtime: self.runtime.handle().clone(),
        }
    }

    /// Opens a request stream with these bytes, whatever they are.
    #[track_caller]
    pub(crate) fn open_request(&self, bytes: &[u8]) -> (quinn::SendStream, quinn::RecvStream) {
        let opened = async {
            let (mut send, recv) = self.connection.open_bi().await?;
            send.write_all(bytes).await?;
            Ok::<_, Box<dyn std::error::Error>>((send, recv))
        };
        self.runtime.block_on(opened).unwrap()
    }

    /// Opens a unidirectional stream with these bytes, whatever they are.
    #[track_caller]
    pub(crate) fn open_data(&self, bytes: &[u8]) -> quinn::SendStream {
        let opened = async {
            let mut send = self.connection.open_uni().await?;
            send.write_all(bytes).await?;
            Ok::<_, Box<dyn std::error::Error>>(send)
        };
        self.runtime.block_on(opened).unwrap()
    }

    /// Asks for a track of `live/cam` from now on.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, track: &str, params: Params) -> Asked {
        let request_id = self.fresh_id();
        self.ask(Subscribe {
            request_id,
            track: track_of("live/cam", track),
            params,
        })
    }

    /// Asks for the past.
    #[track_caller]
    pub(crate) fn fetch(&mut self, kind: FetchKind, params: Params) -> Asked {
        let request_id = self.fresh_id();
        if params.group_order == Some(GroupOrder::Descending) {
            self.seen.lock().descending.push(request_id);
        }
        self.ask(Fetch {
            request_id,
            kind,
            params,
        })
    }

    /// Asks for what is between two locations, both inclusive, in the words of the draft.
    #[track_caller]
    pub(crate) fn fetch_range(
        &mut self,
        track: &FullTrackName,
        start: Location,
        end: Location,
        mut params: Params,
    ) -> Asked {
        let track = track.clone();
        let kind = match self.version.has_fill() {
            true => {
                let end = Some(end);
                params.filter = Some(Filter::Absolute { start, end });
                FetchKind::Filtered { track }
            }
            false => FetchKind::Standalone {
                track,
                start,
                end: exclusive_end(end),
            },
        };
        self.fetch(kind, params)
    }

    /// Subscribes to what comes next, and asks for what came before in the newest group in the
    /// words of the draft: with the subscription itself since draft 20.
    #[track_caller]
    pub(crate) fn subscribe_and_join(&mut self, track: FullTrackName) -> (Asked, Option<Asked>) {
        let request_id = self.fresh_id();
        let fill = Params {
            filter: Some(Filter::Relative(1)),
            ..Params::default()
        };
        let params = Params {
            filter: Some(Filter::NextObject),
            fill: self.version.has_fill().then(|| Box::new(fill)),
            ..Params::default()
        };
        let subscribe = self.ask(Subscribe {
            request_id,
            track,
            params,
        });
        let fetch = (!self.version.has_fill()).then(|| {
            let kind = FetchKind::RelativeJoining {
                joining_request_id: request_id,
                groups: 0,
            };
            self.fetch(kind, Params::default())
        });
        (subscribe, fetch)
    }

    /// Sends an object of a track that it publishes, in a datagram.
    #[track_caller]
    pub(crate) fn send_object(&self, alias: u64, group: u64, payload: Bytes) {
        let mut datagram = BytesMut::new();
        let object = ObjectDatagram {
            alias,
            group,
            payload,
            ..ObjectDatagram::default()
        };
        object.encode(&mut datagram);
        self.send_datagram(datagram.freeze());
    }

    /// Sends a datagram, whatever it is.
    #[track_caller]
    pub(crate) fn send_datagram(&self, datagram: Bytes) {
        self.connection.send_datagram(datagram).unwrap();
    }

    /// The same, which may fail: the relay may have had enough.
    pub(crate) fn throw_data(&self, bytes: &[u8]) {
        let thrown = async {
            let mut send = self.connection.open_uni().await.ok()?;
            send.write_all(bytes).await.ok()
        };
        drop(
            self.runtime
                .block_on(async { timeout(ANSWER, thrown).await }),
        );
    }

    /// Opens a request stream with these bytes; the relay may have had enough.
    pub(crate) fn throw_request(&self, bytes: &[u8]) {
        let thrown = async {
            let (mut send, _recv) = self.connection.open_bi().await.ok()?;
            send.write_all(bytes).await.ok()
        };
        drop(
            self.runtime
                .block_on(async { timeout(ANSWER, thrown).await }),
        );
    }

    /// Writes to the control stream.
    #[track_caller]
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let written = self.control.write_all(bytes);
        self.runtime.block_on(written).unwrap();
    }

    /// Ends the control stream, which nobody may.
    #[track_caller]
    pub(crate) fn finish_control(&mut self) {
        self.control.finish().unwrap();
    }

    /// What the relay said on its control stream.
    pub(crate) fn heard(&self) -> Vec<Message> {
        self.seen.lock().control.clone()
    }

    /// The subgroup streams of a track, in the order in which their headers came.
    #[track_caller]
    pub(crate) fn groups(&self, alias: u64) -> Vec<GroupStream> {
        let seen = self.seen.lock();
        assert_eq!(seen.wrong, [] as [String; 0], "the relay's data streams");
        let of_track = |stream: &&GroupStream| stream.header.alias == alias;
        seen.groups.iter().filter(of_track).cloned().collect()
    }

    /// Waits until the subgroup streams of a track are as wanted, and gives them.
    #[track_caller]
    pub(crate) fn wait_groups(
        &self,
        what: &str,
        alias: u64,
        wanted: impl Fn(&[GroupStream]) -> bool,
    ) -> Vec<GroupStream> {
        wait_for(what, ANSWER, || {
            let groups = self.groups(alias);
            let shown: Vec<_> = groups.iter().map(GroupStream::summary).collect();
            wanted(&groups)
                .then_some(groups)
                .ok_or_else(|| format!("{shown:?}"))
        })
    }

    /// Waits for the whole data stream of a FETCH.
    #[track_caller]
    pub(crate) fn wait_fetched(&self, fetch: &Asked) -> FetchStream {
        wait_for("the end of the FETCH's stream", ANSWER, || {
            let seen = self.seen.lock();
            let stream = seen.fetches.iter().find(|s| s.request_id == fetch.id);
            match stream {
                Some(stream) if stream.end.is_some() => Ok(stream.clone()),
                other => Err(format!("{:?}, wrong: {:?}", other, seen.wrong)),
            }
        })
    }

    /// Waits until the relay closes the session: the code and the reason.
    #[track_caller]
    pub(crate) fn closed(&self) -> (u64, String) {
        let closed = async { timeout(ANSWER, self.connection.closed()).await };
        let closed = self.runtime.block_on(closed).unwrap();
        let quinn::ConnectionError::ApplicationClosed(close) = closed else {
            panic!("the session ended by itself: {closed}");
        };
        let reason = String::from_utf8_lossy(&close.reason).into_owned();
        (close.error_code.into_inner(), reason)
    }

    /// Waits until the relay refuses the rest of a stream.
    #[track_caller]
    pub(crate) fn wait_stopped(&self, stream: &quinn::SendStream) {
        let stopped = async { timeout(ANSWER, stream.stopped()).await };
        let code = self.runtime.block_on(stopped).unwrap().unwrap();
        assert!(code.is_some(), "it was taken in full");
    }

    /// Takes out the stream that the relay refuses first, and gives its code; none when it refuses
    /// none within this time.
    pub(crate) fn first_stopped(
        &self,
        streams: &mut Vec<quinn::SendStream>,
        limit: Duration,
    ) -> Option<u64> {
        let mut stops = JoinSet::new();
        let runtime = self.runtime.handle();
        for (index, stream) in streams.iter().enumerate() {
            let stopped = stream.stopped();
            stops.spawn_on(async move { (index, stopped.await) }, runtime);
        }
        let first = async { timeout(limit, stops.join_next()).await };
        let (index, stopped) = runtime.block_on(first).ok()??.unwrap();
        streams.remove(index);
        stopped.unwrap().map(quinn::VarInt::into_inner)
    }

    /// Whether the session is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Its own address, as the relay sees it.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Leaves the way a player does.
    pub(crate) fn leave(&self) {
        self.connection.close(0u32.into(), b"");
    }
}

impl Asked {
    /// The next message of the relay; `None` when it has finished its half.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Message> {
        let runtime = self.runtime.clone();
        runtime
            .block_on(async { timeout(ANSWER, self.read()).await })
            .unwrap_or_else(|_| panic!("no message on request {} in {ANSWER:?}", self.id))
    }

    async fn read(&mut self) -> Option<Message> {
        let role = match self.answered {
            false => StreamRole::Answer(self.kind),
            true => StreamRole::Responder(self.kind),
        };
        loop {
            if let Some(message) = Message::decode(self.version, role, &mut self.buffer).unwrap() {
                self.answered = true;
                return Some(message);
            }
            match self.recv.read_chunk(usize::MAX, true).await.unwrap() {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None => return None,
            }
        }
    }

    /// The answer, which has to be SUBSCRIBE_OK.
    #[track_caller]
    pub(crate) fn subscribed(&mut self) -> SubscribeOk {
        match self.next() {
            Some(Message::SubscribeOk(ok)) => ok,
            other => panic!("no SUBSCRIBE_OK: {other:?}"),
        }
    }

    /// The answer, which has to be FETCH_OK.
    #[track_caller]
    pub(crate) fn fetching(&mut self) -> FetchOk {
        match self.next() {
            Some(Message::FetchOk(ok)) => ok,
            other => panic!("no FETCH_OK: {other:?}"),
        }
    }

    /// The answer, which has to be REQUEST_ERROR and the relay's last word.
    #[track_caller]
    pub(crate) fn refused(&mut self) -> RequestError {
        let Some(Message::RequestError(error)) = self.next() else {
            panic!("request {} was not refused", self.id);
        };
        assert_eq!(self.next(), None, "a refusal is the last message");
        error
    }

    /// Sends REQUEST_UPDATE and gives its answer.
    #[track_caller]
    pub(crate) fn update(&mut self, request_id: u64, params: Params) -> Message {
        let update = Message::from(RequestUpdate { request_id, params });
        let mut bytes = BytesMut::new();
        let role = StreamRole::Requester(self.kind);
        update.encode(self.version, role, &mut bytes).unwrap();
        let runtime = self.runtime.clone();
        runtime.block_on(self.send.write_all(&bytes)).unwrap();
        self.next().unwrap()
    }

    /// Says that no more messages come of this side.
    #[track_caller]
    pub(crate) fn finish(&mut self) {
        self.send.finish().unwrap();
    }

    /// Cancels the request as the drafts say: both halves at once.
    pub(crate) fn cancel(mut self) {
        drop(self.recv.stop(1u32.into()));
        drop(self.send.reset(1u32.into()));
    }
}

type Opened = (SocketAddr, quinn::Connection, quinn::SendStream);

async fn open(relay: SocketAddr, version: Version, habits: Habits) -> Result<Opened, String> {
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))
        .map_err(|error| error.to_string())?;
    let mut config = TrustAnyone::client_config(version.alpn());
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(1)));
    if let Some(bytes) = habits.deaf_after {
        transport.receive_window(bytes.into());
    }
    transport.max_concurrent_uni_streams(1000u32.into());
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    let local = endpoint.local_addr().map_err(|error| error.to_string())?;
    let connecting = endpoint.connect(relay, "localhost");
    let connecting = connecting.map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| error.to_string())?;
    let mut control = connection.open_uni().await.map_err(|e| e.to_string())?;
    let setup = Message::from(Setup {
        implementation: Some(habits.implementation.unwrap_or("by hand").to_owned()),
        ..Setup::default()
    });
    if habits.silent {
        return Ok((local, connection, control));
    }
    let mut bytes = BytesMut::new();
    setup
        .encode(version, StreamRole::Control, &mut bytes)
        .map_err(|error| error.to_string())?;
    let written = control.write_all(&bytes).await;
    written.map_err(|error| error.to_string())?;
    Ok((local, connection, control))
}

/// A request that the relay made, as its publisher sees it.
pub(crate) struct Incoming {
    /// Its first message.
    pub(crate) message: Message,
    kind: RequestKind,
    version: Version,
    send: quinn::SendStream,
    /// Held open: the relay's half of the request.
    pub(crate) recv: quinn::RecvStream,
    runtime: tokio::runtime::Handle,
}

impl MoqtClient {
    /// Waits for a request of the relay's.
    #[track_caller]
    pub(crate) fn next_request(&self) -> Incoming {
        let accepted = async {
            let (send, mut recv) = self.connection.accept_bi().await.unwrap();
            let mut buffer = BytesMut::new();
            loop {
                let role = StreamRole::Opening;
                if let Some(message) = Message::decode(self.version, role, &mut buffer).unwrap() {
                    return (message, send, recv);
                }
                let chunk = recv.read_chunk(usize::MAX, true).await.unwrap().unwrap();
                buffer.extend_from_slice(&chunk.bytes);
            }
        };
        let accepted = self
            .runtime
            .block_on(async { timeout(ANSWER, accepted).await });
        let (message, send, recv) = accepted.unwrap_or_else(|_| panic!("no request came"));
        Incoming {
            kind: message.request_kind().unwrap(),
            message,
            version: self.version,
            send,
            recv,
            runtime: self.runtime.handle().clone(),
        }
    }

    /// Whether the relay makes a request within this time.
    pub(crate) fn is_asked_within(&self, time: Duration) -> bool {
        let accepted = async { timeout(time, self.connection.accept_bi()).await };
        self.runtime.block_on(accepted).is_ok()
    }

    /// Writes to a stream that it opened.
    #[track_caller]
    pub(crate) fn write(&self, stream: &mut quinn::SendStream, bytes: &[u8]) {
        self.runtime.block_on(stream.write_all(bytes)).unwrap();
    }

    /// Waits for a datagram.
    #[track_caller]
    pub(crate) fn next_datagram(&self) -> Bytes {
        let read = async { timeout(ANSWER, self.connection.read_datagram()).await };
        self.runtime.block_on(read).unwrap().unwrap()
    }
}

impl Incoming {
    /// Answers, or says something after the answer.
    #[track_caller]
    pub(crate) fn say(&mut self, first: bool, message: impl Into<Message>) {
        let role = match first {
            true => StreamRole::Answer(self.kind),
            false => StreamRole::Responder(self.kind),
        };
        let mut bytes = BytesMut::new();
        message
            .into()
            .encode(self.version, role, &mut bytes)
            .unwrap();
        self.runtime.block_on(self.send.write_all(&bytes)).unwrap();
    }

    /// Waits until the relay gives the request up.
    #[track_caller]
    pub(crate) fn wait_cancelled(&self, limit: Duration) {
        let stopped = async { timeout(limit, self.send.stopped()).await };
        let stopped = self.runtime.block_on(stopped);
        assert!(stopped.is_ok(), "the relay did not give it up in {limit:?}");
    }
}

impl Asked {
    /// Says something after the request, and does not wait for an answer.
    #[track_caller]
    pub(crate) fn say(&mut self, message: impl Into<Message>) {
        let mut bytes = BytesMut::new();
        let role = StreamRole::Requester(self.kind);
        message
            .into()
            .encode(self.version, role, &mut bytes)
            .unwrap();
        self.runtime.block_on(self.send.write_all(&bytes)).unwrap();
    }
}
