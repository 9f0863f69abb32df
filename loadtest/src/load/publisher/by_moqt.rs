//! A publisher that speaks MoQT: it announces its namespace (PUBLISH_NAMESPACE) and sends tracks to
//! the relay that subscribes them.
//!
//! A subscription is answered as if nothing had been published yet, and then given the current
//! group from its first object on: a relay asks for no past that way, and its viewers begin with a
//! whole group at once.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;
use web_transport_quinn::{RecvStream, SendStream, Session};
use weir_protocol::moqt::{
    Message, Namespace, Params, Properties, PublishDoneCode, RequestErrorCode, RequestKind,
    StreamRole, Version,
    datagram::ObjectDatagram,
    message::{PublishDone, PublishNamespace, RequestError, Subscribe, SubscribeOk},
    subgroup::{SubgroupHeader, put_object_header},
};

use super::{Job, PublishError, Tick, accepted};
use crate::load::{plan::Transport, quic::Dialer};

/// Bytes of a request stream read at a time.
const READ_BYTES: usize = 4096;

/// Requests of the relay that may wait: two tracks, and what it asks besides.
const REQUESTS: usize = 64;

pub(super) async fn publish(mut job: Job) -> Result<(), PublishError> {
    let dialer = Dialer::new(job.door.clone(), Transport::Quic, job.plan.drafts())?;
    let endpoint = dialer.endpoint()?;
    let (session, version, _control) = dialer.session(&endpoint, false).await?;
    let _announcement = accepted(announce(&session, version, &job)).await?;
    job.on_accepted();
    let (sender, mut requests) = mpsc::channel(REQUESTS);
    tokio::spawn(accept(session.clone(), version, sender));
    let mut outlets = Outlets::new(&session, version, &job);
    loop {
        tokio::select! {
            biased;
            tick = job.ticks.recv() => {
                let Some(tick) = tick else { break };
                job.make(tick);
                outlets.write(&job, tick).await?;
            }
            Some(request) = requests.recv() => outlets.on_request(&job, request).await?,
            reason = session.closed() => return Err(lost(reason)),
        }
    }
    outlets.finish().await;
    session.close(0, b"done");
    endpoint.wait_idle().await;
    Ok(())
}

fn lost(reason: impl std::fmt::Display) -> PublishError {
    PublishError::Moqt(reason.to_string())
}

/// Announces the stream's namespace; the announcement ends with what is returned.
async fn announce(
    session: &Session,
    version: Version,
    job: &Job,
) -> Result<(SendStream, RecvStream), PublishError> {
    let namespace = Namespace::from_path(&job.plan.stream_name(job.stream)).map_err(lost)?;
    let (mut send, mut recv) = session.open_bi().await.map_err(lost)?;
    let announcement = PublishNamespace {
        request_id: 0,
        namespace,
        params: Params::default(),
    };
    send_message(&mut send, version, announcement, StreamRole::Opening).await?;
    let role = StreamRole::Answer(RequestKind::PublishNamespace);
    let answer = read_message(&mut recv, version, role).await?;
    if let Message::RequestError(error) = answer {
        return Err(PublishError::Refused {
            code: error.code.to_string(),
            description: error.reason,
        });
    }
    match matches!(answer, Message::RequestOk(_)) {
        true => Ok((send, recv)),
        false => Err(lost(format!("{} answers PUBLISH_NAMESPACE", answer.name()))),
    }
}

async fn send_message(
    send: &mut SendStream,
    version: Version,
    message: impl Into<Message>,
    role: StreamRole,
) -> Result<(), PublishError> {
    let mut bytes = BytesMut::new();
    message.into().encode(version, role, &mut bytes)?;
    send.write_all(&bytes).await.map_err(lost)
}

async fn read_message(
    recv: &mut RecvStream,
    version: Version,
    role: StreamRole,
) -> Result<Message, PublishError> {
    let mut input = BytesMut::new();
    loop {
        if let Some(message) = Message::decode(version, role, &mut input).map_err(lost)? {
            return Ok(message);
        }
        match recv.read_chunk(READ_BYTES, true).await.map_err(lost)? {
            Some(chunk) => input.extend_from_slice(&chunk.bytes),
            None => return Err(lost("a request stream ended early")),
        }
    }
}

/// What the relay wants.
enum Request {
    /// The first message of a request stream.
    Opened(Box<Message>, SendStream),
    /// A subscription is over, by its request id.
    Gone(u64),
}

/// Accepts request streams until the session ends.
async fn accept(session: Session, version: Version, requests: mpsc::Sender<Request>) {
    while let Ok((send, mut recv)) = session.accept_bi().await {
        let requests = requests.clone();
        tokio::spawn(async move {
            // A request that makes no sense is left to the relay to give up.
            let message = read_message(&mut recv, version, StreamRole::Opening).await;
            let Ok(message) = message else { return };
            let id = if let Message::Subscribe(subscribe) = &message {
                Some(subscribe.request_id)
            } else {
                None
            };
            // The publisher is gone when it does not listen, here and below.
            let _ = requests.send(Request::Opened(message.into(), send)).await;
            while let Ok(Some(_)) = recv.read_chunk(READ_BYTES, true).await {}
            if let Some(id) = id {
                let _ = requests.send(Request::Gone(id)).await;
            }
        });
    }
}

/// The tracks of a stream and who takes them.
struct Outlets<'a> {
    session: &'a Session,
    version: Version,
    tracks: Vec<Outlet>,
}

/// A track.
#[derive(Default)]
struct Outlet {
    /// The newest group's number and its objects as they are sent, to begin a subscription with.
    group: u64,
    objects: Vec<Bytes>,
    subscription: Option<Subscription>,
}

/// The relay takes a track.
struct Subscription {
    request_id: u64,
    request: SendStream,
    stream: Option<SendStream>,
    streams: u64,
}

impl<'a> Outlets<'a> {
    fn new(session: &'a Session, version: Version, job: &Job) -> Self {
        let tracks = job.plan.tracks.iter().map(|_| Outlet::default());
        Self {
            session,
            version,
            tracks: tracks.collect(),
        }
    }

    async fn on_request(&mut self, job: &Job, request: Request) -> Result<(), PublishError> {
        let (message, send) = match request {
            Request::Gone(id) => {
                for outlet in &mut self.tracks {
                    outlet.subscription.take_if(|sub| sub.request_id == id);
                }
                return Ok(());
            }
            Request::Opened(message, send) => (message, send),
        };
        if let Message::Subscribe(subscribe) = *message {
            return self.subscribe(job, subscribe, send).await;
        }
        match kind_of(&message) {
            Some(kind) => refuse(send, self.version, kind).await,
            None => Ok(()),
        }
    }

    async fn subscribe(
        &mut self,
        job: &Job,
        subscribe: Subscribe,
        mut send: SendStream,
    ) -> Result<(), PublishError> {
        let name = subscribe.track.track();
        let mut tracks = job.plan.tracks.iter().enumerate();
        let found = tracks.find(|(_, track)| track.kind.name().as_bytes() == &name[..]);
        let Some((alias, track)) = found else {
            return refuse(send, self.version, RequestKind::Subscribe).await;
        };
        let ok = SubscribeOk {
            alias: alias as u64,
            params: Params::default(),
            properties: Properties::default(),
        };
        let role = StreamRole::Answer(RequestKind::Subscribe);
        send_message(&mut send, self.version, ok, role).await?;
        let Some(outlet) = self.tracks.get_mut(alias) else {
            return Ok(());
        };
        let mut subscription = Subscription {
            request_id: subscribe.request_id,
            request: send,
            stream: None,
            streams: 0,
        };
        if !outlet.objects.is_empty() && !track.datagrams {
            subscription
                .open(self.session, alias as u64, outlet.group)
                .await?;
            for object in outlet.objects.clone() {
                subscription.write(object).await?;
            }
        }
        outlet.subscription = Some(subscription);
        Ok(())
    }

    /// Sends the frame that the job has made.
    async fn write(&mut self, job: &Job, tick: Tick) -> Result<(), PublishError> {
        let track = job.plan.tracks.get(tick.track);
        let (Some(outlet), Some(track)) = (self.tracks.get_mut(tick.track), track) else {
            return Ok(());
        };
        let (group, object) = track.place(tick.index);
        let alias = tick.track as u64;
        if track.datagrams {
            if outlet.subscription.is_some() {
                send_datagram(self.session, alias, (group, object), &job.frame);
            }
            return Ok(());
        }
        if object == 0 {
            outlet.group = group;
            outlet.objects.clear();
        }
        let mut bytes = BytesMut::with_capacity(16 + job.frame.len());
        put_object_header(&mut bytes, 0, None, job.frame.len() as u64, None);
        bytes.put_slice(&job.frame);
        let bytes = bytes.freeze();
        outlet.objects.push(bytes.clone());
        if let Some(subscription) = &mut outlet.subscription {
            if object == 0 {
                subscription.open(self.session, alias, group).await?;
            }
            subscription.write(bytes).await?;
        }
        Ok(())
    }

    /// Ends every subscription as a publisher does whose stream is over.
    async fn finish(&mut self) {
        for outlet in &mut self.tracks {
            let Some(mut subscription) = outlet.subscription.take() else {
                continue;
            };
            subscription.end_group();
            let done = PublishDone {
                code: PublishDoneCode::TrackEnded,
                stream_count: Some(subscription.streams),
                reason: String::new(),
            };
            let role = StreamRole::Responder(RequestKind::Subscribe);
            // The relay may have gone first.
            let _ = send_message(&mut subscription.request, self.version, done, role).await;
            let _ = subscription.request.finish();
        }
    }
}

impl Subscription {
    /// Ends the group before and begins one.
    async fn open(
        &mut self,
        session: &Session,
        alias: u64,
        group: u64,
    ) -> Result<(), PublishError> {
        self.end_group();
        let header = SubgroupHeader {
            alias,
            group,
            end_of_group: true,
            first_object: true,
            ..SubgroupHeader::default()
        };
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes);
        let mut stream = session.open_uni().await.map_err(lost)?;
        stream.write_all(&bytes).await.map_err(lost)?;
        self.stream = Some(stream);
        self.streams += 1;
        Ok(())
    }

    async fn write(&mut self, object: Bytes) -> Result<(), PublishError> {
        match &mut self.stream {
            Some(stream) => stream.write_chunk(object).await.map_err(lost),
            None => Ok(()),
        }
    }

    fn end_group(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            // It fails when the relay has stopped the stream.
            let _ = stream.finish();
        }
    }
}

fn send_datagram(session: &Session, alias: u64, (group, object): (u64, u64), frame: &[u8]) {
    let datagram = ObjectDatagram {
        alias,
        group,
        object,
        end_of_group: true,
        payload: Bytes::copy_from_slice(frame),
        ..ObjectDatagram::default()
    };
    let mut bytes = BytesMut::new();
    datagram.encode(&mut bytes);
    // One that is too large, or not taken, is lost, and the viewers will say so.
    let _ = session.send_datagram(bytes.freeze());
}

/// What a relay may ask of a publisher besides its tracks: the past, and what else there is. It
/// wants an answer.
fn kind_of(message: &Message) -> Option<RequestKind> {
    let kinds = [
        (matches!(message, Message::Fetch(_)), RequestKind::Fetch),
        (
            matches!(message, Message::TrackStatus(_)),
            RequestKind::TrackStatus,
        ),
        (
            matches!(message, Message::SubscribeNamespace(_)),
            RequestKind::SubscribeNamespace,
        ),
        (
            matches!(message, Message::SubscribeTracks(_)),
            RequestKind::SubscribeTracks,
        ),
    ];
    kinds
        .into_iter()
        .find(|(is_it, _)| *is_it)
        .map(|(_, kind)| kind)
}

async fn refuse(
    mut send: SendStream,
    version: Version,
    kind: RequestKind,
) -> Result<(), PublishError> {
    let error = RequestError::new(
        RequestErrorCode::DoesNotExist,
        "only the tracks that were announced, from now on",
    );
    send_message(&mut send, version, error, StreamRole::Answer(kind)).await?;
    // It fails when the relay has stopped the stream.
    let _ = send.finish();
    Ok(())
}
