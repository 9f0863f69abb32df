//! A viewer: a raw QUIC connection that subscribes to one track and checks every object.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use weir_protocol::moqt::{
    FullTrackName, Message, Namespace, StreamRole, Version,
    message::{EncodeError, RequestKind, Setup, Subscribe},
    name::NameError,
    object::ObjectStatus,
    param::Params,
    stream::UniStreamType,
    subgroup::{SubgroupEvent, SubgroupReader},
};

use super::{
    payload::Frames,
    tally::{StreamOrder, Tally},
    times::Times,
};
use crate::clock::{Clock, epoch_us};

/// The draft that viewers speak.
pub(super) const VERSION: Version = Version::Draft19;

/// The track that viewers subscribe to.
const TRACK: &[u8] = b"video";

/// What a viewer calls itself in SETUP.
const IMPLEMENTATION: &str = concat!("weir-loadtest/", env!("CARGO_PKG_VERSION"));

/// Bytes of control or request stream read at a time.
const READ_BYTES: usize = 4096;

/// Why a viewer stopped before its time.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The connection could not be begun.
    #[error("QUIC to {0}: {1}")]
    Connect(SocketAddr, quinn::ConnectError),
    /// The connection could not be made, or ended.
    #[error("QUIC: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// A control or request stream broke.
    #[error("QUIC stream: {0}")]
    Read(#[from] quinn::ReadError),
    /// A control or request stream broke.
    #[error("QUIC stream: {0}")]
    Write(#[from] quinn::WriteError),
    /// The relay's message makes no sense.
    #[error("MoQT: {0}")]
    Decode(#[from] weir_protocol::moqt::message::DecodeError),
    /// Our own message makes no sense.
    #[error("MoQT: {0}")]
    Encode(#[from] EncodeError),
    /// The stream's name is none in MoQT.
    #[error("MoQT: {0}")]
    Name(#[from] NameError),
    /// The relay refused the subscription.
    #[error("the relay refused the subscription: {0}")]
    Refused(String),
    /// The relay ended the subscription.
    #[error("the relay ended the subscription: {0}")]
    Done(String),
}

/// What all viewers of a run share.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) server: SocketAddr,
    /// Where the stream's tracks are, as in `live/cam`.
    pub(super) stream: String,
    pub(super) frames: Frames,
    /// From the frame's sending to its last byte's arrival, of frames sent inside the window.
    pub(super) latency: Mutex<Times>,
    pub(super) window: Window,
    /// Payload bytes received so far, by all viewers.
    pub(super) bytes: AtomicU64,
    /// Objects received so far, by all viewers.
    pub(super) objects: AtomicU64,
}

/// The times of sending whose latency counts, in microseconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Window {
    from_us: AtomicU64,
    to_us: AtomicU64,
}

impl Window {
    /// A window that has not begun.
    pub(super) fn new() -> Self {
        Self {
            from_us: AtomicU64::new(u64::MAX),
            to_us: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn open(&self, now_us: u64) {
        self.from_us.store(now_us, Ordering::Relaxed);
    }

    pub(super) fn close(&self, now_us: u64) {
        self.to_us.store(now_us, Ordering::Relaxed);
    }

    fn contains(&self, at_us: u64) -> bool {
        (self.from_us.load(Ordering::Relaxed)..self.to_us.load(Ordering::Relaxed)).contains(&at_us)
    }
}

/// One viewer's share of the work.
#[derive(Clone)]
struct Viewer {
    audience: Arc<Audience>,
    tally: Arc<Mutex<Tally>>,
    clock: Clock,
}

/// Watches until the connection or the subscription ends.
pub(super) async fn watch(
    endpoint: Endpoint,
    audience: Arc<Audience>,
    tally: Arc<Mutex<Tally>>,
) -> Result<(), ViewError> {
    let viewer = Viewer {
        audience,
        tally,
        clock: Clock::start(),
    };
    let server = viewer.audience.server;
    let connecting = endpoint.connect(server, "localhost");
    let connection = connecting
        .map_err(|error| ViewError::Connect(server, error))?
        .await?;
    // Held until the end: dropping it would end the session.
    let _control = send_setup(&connection).await?;
    let track = FullTrackName::new(
        Namespace::from_path(&viewer.audience.stream)?,
        Bytes::from_static(TRACK),
    )?;
    let request = connection.open_bi().await?;
    tokio::select! {
        result = subscribe(request, track) => result,
        result = viewer.accept(&connection) => result,
    }
}

async fn send_setup(connection: &Connection) -> Result<SendStream, ViewError> {
    let setup = Setup {
        implementation: Some(IMPLEMENTATION.into()),
        ..Setup::default()
    };
    let mut bytes = BytesMut::new();
    Message::from(setup).encode(VERSION, StreamRole::Control, &mut bytes)?;
    let mut control = connection.open_uni().await?;
    control.write_all(&bytes).await?;
    Ok(control)
}

/// Subscribes and returns when the relay refuses or ends the subscription.
async fn subscribe(
    (mut send, mut recv): (SendStream, RecvStream),
    track: FullTrackName,
) -> Result<(), ViewError> {
    let subscribe = Subscribe {
        request_id: 0,
        track,
        params: Params::default(),
    };
    let mut bytes = BytesMut::new();
    Message::from(subscribe).encode(VERSION, StreamRole::Opening, &mut bytes)?;
    send.write_all(&bytes).await?;
    let mut role = StreamRole::Answer(RequestKind::Subscribe);
    let mut input = BytesMut::new();
    loop {
        while let Some(message) = Message::decode(VERSION, role, &mut input)? {
            if let Message::SubscribeOk(_) = message {
                role = StreamRole::Responder(RequestKind::Subscribe);
            } else if let Message::RequestError(error) = message {
                return Err(ViewError::Refused(format!(
                    "{:?}: {}",
                    error.code, error.reason
                )));
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

impl Viewer {
    async fn accept(&self, connection: &Connection) -> Result<(), ViewError> {
        loop {
            let stream = connection.accept_uni().await?;
            let viewer = self.clone();
            tokio::spawn(async move {
                if viewer.read(stream).await.is_none() {
                    viewer.tally.lock().streams_broken += 1;
                }
            });
        }
    }

    /// Reads a stream to its end; `None` when it ends otherwise or makes no sense.
    async fn read(&self, mut stream: RecvStream) -> Option<()> {
        let mut reader = SubgroupReader::new();
        let mut order = None;
        // The stream's first bytes, until they tell its kind.
        let mut head = Some(BytesMut::new());
        while let Some(chunk) = stream.read_chunk(usize::MAX, true).await.ok()? {
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
                self.on_event(event, &mut order);
            }
        }
        reader.finish().ok()
    }

    fn on_event(&self, event: SubgroupEvent, order: &mut Option<StreamOrder>) {
        let (id, status, payload) = match event {
            SubgroupEvent::Header(header) => {
                *order = Some(StreamOrder::new(header.group));
                return;
            }
            SubgroupEvent::Object {
                id,
                status,
                payload,
                ..
            } => (id, status, payload),
        };
        if status != ObjectStatus::Normal {
            return;
        }
        self.audience
            .bytes
            .fetch_add(payload.len() as u64, Ordering::Relaxed);
        self.audience.objects.fetch_add(1, Ordering::Relaxed);
        let mut tally = self.tally.lock();
        let Ok(stamp) = self.audience.frames.check(&payload) else {
            tally.corrupt += 1;
            return;
        };
        tally.on_frame(stamp.index);
        if let Some(order) = order {
            order.on_object(id, stamp.index, &mut tally);
        }
        tally
            .first_frame_us
            .get_or_insert_with(|| self.clock.now_us());
        if self.audience.window.contains(stamp.sent_us) {
            let late_us = epoch_us().saturating_sub(stamp.sent_us);
            self.audience.latency.lock().record(late_us);
        }
    }
}

/// Reads what is of no interest: the control stream, padding. Its end is no failure of a viewer.
async fn drain(mut stream: RecvStream) -> Option<()> {
    while let Ok(Some(_)) = stream.read_chunk(READ_BYTES, true).await {}
    Some(())
}
