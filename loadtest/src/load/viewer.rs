//! A viewer: a session that subscribes to the tracks of a stream and checks every object.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::Endpoint;
use tokio::time::sleep;
use web_transport_quinn::{RecvStream, SendStream, Session, SessionError};
use weir_protocol::{
    moqt::{
        FullTrackName, Message, Namespace, Params, StreamRole, UniStreamType, Version,
        datagram::ObjectDatagram,
        message::{DecodeError, EncodeError, RequestKind, Subscribe},
        name::NameError,
        object::ObjectStatus,
        subgroup::{SubgroupEvent, SubgroupReader},
    },
    rtmp::client,
};

use super::{
    audience::Desk,
    quic::{Dialer, QuicError},
    tally::StreamOrder,
};

/// Bytes of control or request stream read at a time.
const READ_BYTES: usize = 4096;

/// Bytes that a slow viewer reads at a time: little against its windows.
const SLOW_READ_BYTES: usize = 8 << 10;

/// Why a viewer stopped before its time.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no session.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// The session ended.
    #[error("the session ended: {0}")]
    Session(#[from] SessionError),
    /// A control or request stream broke.
    #[error("QUIC stream: {0}")]
    Read(#[from] web_transport_quinn::ReadError),
    /// A control or request stream broke.
    #[error("QUIC stream: {0}")]
    Write(#[from] web_transport_quinn::WriteError),
    /// The relay's message makes no sense.
    #[error("MoQT: {0}")]
    Decode(#[from] DecodeError),
    /// Our own message makes no sense.
    #[error("MoQT: {0}")]
    Encode(#[from] EncodeError),
    /// The stream's name is none in MoQT.
    #[error("MoQT: {0}")]
    Name(#[from] NameError),
    /// An RTMP connection could not be made, or broke.
    #[error("RTMP to {0}: {1}")]
    Rtmp(SocketAddr, io::Error),
    /// An RTMP server broke the protocol.
    #[error("RTMP: {0}")]
    RtmpSession(#[from] client::Error),
    /// The relay refused the subscription.
    #[error("the relay refused the subscription: {0}")]
    Refused(String),
    /// The relay ended the subscription.
    #[error("the relay ended the subscription: {0}")]
    Done(String),
}

/// Watches until the session or a subscription ends. A viewer with a rate reads no faster, in
/// bits per second.
pub(super) async fn watch(
    dialer: &Dialer,
    endpoint: &Endpoint,
    desk: Desk,
    rate_bps: Option<u64>,
) -> Result<(), ViewError> {
    let (session, version, _control) = dialer.session(endpoint, rate_bps.is_some()).await?;
    let pace = rate_bps.map(Pace::new);
    let subscriptions = subscribe_all(&session, version, &desk);
    tokio::select! {
        result = subscriptions => result,
        error = accept(&session, &desk, pace) => Err(error.into()),
        error = datagrams(&session, &desk) => Err(error.into()),
    }
}

/// Subscribes to all tracks; returns when the relay refuses or ends one of them.
async fn subscribe_all(session: &Session, version: Version, desk: &Desk) -> Result<(), ViewError> {
    let plan = &desk.audience.plan;
    let namespace = Namespace::from_path(&plan.stream_name(desk.stream as usize))?;
    let mut requests = Vec::new();
    for (nth, track) in (0..).zip(&plan.tracks) {
        let name = Bytes::from_static(track.kind.name().as_bytes());
        let (mut send, recv) = session.open_bi().await?;
        let subscribe = Subscribe {
            // A client's are even.
            request_id: 2 * nth,
            track: FullTrackName::new(namespace.clone(), name)?,
            params: Params::default(),
        };
        let mut bytes = BytesMut::new();
        Message::from(subscribe).encode(version, StreamRole::Opening, &mut bytes)?;
        send.write_all(&bytes).await?;
        requests.push((send, recv));
    }
    let mut requests = requests.into_iter();
    match (requests.next(), requests.next()) {
        (Some(one), Some(other)) => tokio::select! {
            result = follow(one, version) => result,
            result = follow(other, version) => result,
        },
        (Some(one), None) => follow(one, version).await,
        (None, _) => Ok(()),
    }
}

/// Follows a subscription until the relay refuses or ends it.
async fn follow(
    (_send, mut recv): (SendStream, RecvStream),
    version: Version,
) -> Result<(), ViewError> {
    let mut role = StreamRole::Answer(RequestKind::Subscribe);
    let mut input = BytesMut::new();
    loop {
        while let Some(message) = Message::decode(version, role, &mut input)? {
            if let Message::SubscribeOk(_) = message {
                role = StreamRole::Responder(RequestKind::Subscribe);
            } else if let Message::RequestError(error) = message {
                let text = format!("{}: {}", error.code, error.reason);
                return Err(ViewError::Refused(text));
            } else {
                return Err(ViewError::Done(message.name().into()));
            }
        }
        match recv.read_chunk(READ_BYTES, true).await? {
            Some(chunk) => input.extend_from_slice(&chunk.bytes),
            None => return Err(ViewError::Done("end of stream".into())),
        }
    }
}

async fn accept(session: &Session, desk: &Desk, pace: Option<Pace>) -> SessionError {
    let pace = pace.map(|pace| std::sync::Arc::new(tokio::sync::Mutex::new(pace)));
    loop {
        let stream = match session.accept_uni().await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let (desk, pace) = (desk.clone(), pace.clone());
        tokio::spawn(async move {
            if read(stream, &desk, pace.as_deref()).await.is_none() {
                desk.on_broken_stream();
            }
        });
    }
}

async fn datagrams(session: &Session, desk: &Desk) -> SessionError {
    loop {
        match session.read_datagram().await {
            Ok(datagram) => {
                if let Ok(Some(object)) = ObjectDatagram::decode(&datagram)
                    && object.status == ObjectStatus::Normal
                {
                    desk.on_object(object.object, &object.payload, None);
                }
            }
            Err(error) => return error,
        }
    }
}

/// Reads a stream to its end; `None` when it ends otherwise or makes no sense.
async fn read(
    mut stream: RecvStream,
    desk: &Desk,
    pace: Option<&tokio::sync::Mutex<Pace>>,
) -> Option<()> {
    let mut reader = SubgroupReader::new();
    let mut order = None;
    let most = pace.map_or(usize::MAX, |_| SLOW_READ_BYTES);
    // The stream's first bytes, until they tell its kind.
    let mut head = Some(BytesMut::new());
    while let Some(chunk) = stream.read_chunk(most, true).await.ok()? {
        if let Some(pace) = pace {
            // Held while asleep: all streams of a viewer share its rate.
            let mut pace = pace.lock().await;
            let now_us = desk.audience.clock.now_us();
            sleep(pace.take(now_us, chunk.bytes.len())).await;
        }
        let bytes = match head.take() {
            None => chunk.bytes,
            Some(mut begun) => {
                begun.extend_from_slice(&chunk.bytes);
                match UniStreamType::detect(&begun).ok()? {
                    None => {
                        head = Some(begun);
                        continue;
                    }
                    Some(UniStreamType::Subgroup) => begun.freeze(),
                    Some(_) => return drain(stream).await,
                }
            }
        };
        reader.push(bytes);
        while let Some(event) = reader.poll().ok()? {
            on_event(event, desk, &mut order);
        }
    }
    reader.finish().ok()
}

fn on_event(event: SubgroupEvent, desk: &Desk, order: &mut Option<StreamOrder>) {
    match event {
        SubgroupEvent::Header(header) => *order = Some(StreamOrder::new(header.group)),
        SubgroupEvent::Object {
            id,
            status: ObjectStatus::Normal,
            payload,
            ..
        } => desk.on_object(id, &payload, order.as_mut()),
        SubgroupEvent::Object { .. } => {}
    }
}

/// Reads what is of no interest: the control stream, padding. Its end is no failure of a viewer.
async fn drain(mut stream: RecvStream) -> Option<()> {
    while let Ok(Some(_)) = stream.read_chunk(READ_BYTES, true).await {}
    Some(())
}

/// The rate of a reader that is slow on purpose.
#[derive(Debug)]
struct Pace {
    rate_bps: u64,
    /// When the next bytes may be taken, in microseconds on the run's clock.
    next_us: u64,
}

impl Pace {
    fn new(rate_bps: u64) -> Self {
        Self {
            rate_bps: rate_bps.max(1),
            next_us: 0,
        }
    }

    /// How long to wait after `bytes` that were read at `now_us`.
    fn take(&mut self, now_us: u64, bytes: usize) -> Duration {
        let takes_us = bytes as u64 * 8_000_000 / self.rate_bps;
        self.next_us = self.next_us.max(now_us) + takes_us;
        Duration::from_micros(self.next_us - now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_takes_as_long_as_its_rate_says() {
        let mut pace = Pace::new(1_000_000);
        let mut now_us = 5_000;
        for _ in 0..10 {
            now_us += pace.take(now_us, 12_500).as_micros() as u64;
        }
        assert_eq!(now_us, 1_005_000);
        // Waiting saves nothing up.
        assert_eq!(pace.take(9_000_000, 125), Duration::from_millis(1));
    }
}
