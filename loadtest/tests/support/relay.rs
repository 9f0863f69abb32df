//! A relay just good enough to be loaded, and able to misbehave on purpose.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, Endpoint, SendStream, ServerConfig, crypto::rustls::QuicServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{broadcast, oneshot},
};
use weir_protocol::{
    moqt::{
        Message, StreamRole, Version,
        message::{RequestKind, Setup, SubscribeOk},
        param::Params,
        properties::Properties,
        subgroup::{SubgroupHeader, put_object_header},
    },
    rtmp::{
        handshake::RANDOM_LEN,
        server::{Config, Event, Session},
    },
};

/// What the relay does to the object with this id in each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is not sent; the ids of the others stay.
    Drop(u64),
    /// One bit of its payload is flipped.
    Corrupt(u64),
    /// It is sent a second time, as the next object.
    Repeat(u64),
    /// It is held back this many milliseconds, and what follows with it.
    Delay(u64, u64),
    /// The stream is reset instead of it.
    Reset(u64),
}

/// A frame: group, object, payload.
type Frame = (u64, u64, Bytes);

/// A running relay; it stops when dropped.
pub(crate) struct Relay {
    pub(crate) rtmp: SocketAddr,
    pub(crate) quic: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn start(fault: Fault) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (bound, is_bound) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let endpoint = endpoint();
                let addrs = (
                    listener.local_addr().unwrap(),
                    endpoint.local_addr().unwrap(),
                );
                bound.send(addrs).unwrap();
                let (frames, _) = broadcast::channel(1_024);
                tokio::spawn(serve_viewers(endpoint, frames.clone(), fault));
                tokio::select! {
                    _ = stopped => {}
                    () = serve_publisher(listener, frames) => {}
                }
            });
        });
        let (rtmp, quic) = is_bound.recv().unwrap();
        Self {
            rtmp,
            quic,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

fn endpoint() -> Endpoint {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"moqt-19".to_vec()];
    let crypto = Arc::new(QuicServerConfig::try_from(tls).unwrap());
    Endpoint::server(
        ServerConfig::with_crypto(crypto),
        "127.0.0.1:0".parse().unwrap(),
    )
    .unwrap()
}

async fn serve_publisher(listener: TcpListener, frames: broadcast::Sender<Frame>) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut session = Session::new(Config::default(), [1; RANDOM_LEN]);
    let (mut group, mut object) = (0, 0);
    let mut input = vec![0; 65_536];
    loop {
        match socket.read(&mut input).await {
            Ok(len) if len > 0 => session.handle_input(&input[..len], 0).unwrap(),
            _ => return wait_for_ever(socket).await,
        }
        while let Some(event) = session.poll_event() {
            if let Event::Publish(request) = event {
                session.accept_publish(request.stream_id);
            } else if let Event::Video(media) = event
                && media.body.as_slice()[1] == 1
            {
                let key = media.body.as_slice()[0] >> 4 == 1;
                (group, object) = if key {
                    (group + 1, 0)
                } else {
                    (group, object + 1)
                };
                // An error is that nobody watches yet.
                let _ = frames.send((group, object, media.body.freeze().slice(5..)));
            }
        }
        while let Some(bytes) = session.poll_output() {
            socket.write_all(&bytes).await.unwrap();
        }
    }
}

/// The viewers must be able to finish after the publisher has gone.
async fn wait_for_ever(_socket: TcpStream) {
    std::future::pending().await
}

async fn serve_viewers(endpoint: Endpoint, frames: broadcast::Sender<Frame>, fault: Fault) {
    while let Some(incoming) = endpoint.accept().await {
        let frames = frames.subscribe();
        tokio::spawn(async move {
            // A viewer leaves by closing, which fails whatever is being written.
            if let Ok(connection) = incoming.await {
                let _ = serve_viewer(connection, frames, fault).await;
            }
        });
    }
}

async fn serve_viewer(
    connection: Connection,
    mut frames: broadcast::Receiver<Frame>,
    fault: Fault,
) -> Result<(), quinn::WriteError> {
    let mut control = connection.open_uni().await?;
    control
        .write_all(&encode(Setup::default(), StreamRole::Control))
        .await?;
    let (mut answer, mut request) = connection.accept_bi().await?;
    let mut input = BytesMut::new();
    let subscribe = loop {
        let version = Version::Draft19;
        match Message::decode(version, StreamRole::Opening, &mut input).unwrap() {
            Some(Message::Subscribe(subscribe)) => break subscribe,
            Some(other) => panic!("{other:?} instead of a SUBSCRIBE"),
            None => {
                let chunk = request.read_chunk(1_000, true).await.unwrap().unwrap();
                input.extend_from_slice(&chunk.bytes);
            }
        }
    };
    assert_eq!(subscribe.track.namespace().to_string(), "live/load");
    assert_eq!(subscribe.track.track(), "video");
    let ok = SubscribeOk {
        alias: 7,
        params: Params::default(),
        properties: Properties::default(),
    };
    let role = StreamRole::Answer(RequestKind::Subscribe);
    answer.write_all(&encode(ok, role)).await?;

    let mut stream: Option<SendStream> = None;
    while let Ok((group, object, payload)) = frames.recv().await {
        if object == 0 {
            // The one before ends here: a SendStream that is dropped is finished.
            let mut next = connection.open_uni().await?;
            let mut header = BytesMut::new();
            SubgroupHeader {
                alias: 7,
                group,
                ..SubgroupHeader::default()
            }
            .encode(&mut header);
            next.write_all(&header).await?;
            stream = Some(next);
        }
        if fault == Fault::Reset(object)
            && let Some(mut stream) = stream.take()
        {
            stream.reset(1_u32.into()).unwrap();
        }
        if let Fault::Delay(slow, ms) = fault
            && slow == object
        {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if let Some(stream) = &mut stream {
            write_object(stream, object, &payload, fault).await?;
        }
    }
    Ok(())
}

async fn write_object(
    stream: &mut SendStream,
    object: u64,
    payload: &[u8],
    fault: Fault,
) -> Result<(), quinn::WriteError> {
    if fault == Fault::Drop(object) {
        return Ok(());
    }
    let skipped = u64::from(object > 0 && fault == Fault::Drop(object - 1));
    let mut bytes = BytesMut::new();
    for copy in 0..=u64::from(fault == Fault::Repeat(object)) {
        put_object_header(
            &mut bytes,
            skipped * (1 - copy),
            None,
            payload.len() as u64,
            None,
        );
        bytes.extend_from_slice(payload);
    }
    if fault == Fault::Corrupt(object) {
        *bytes.last_mut().unwrap() ^= 1;
    }
    stream.write_all(&bytes).await
}

fn encode(message: impl Into<Message>, role: StreamRole) -> BytesMut {
    let mut bytes = BytesMut::new();
    message
        .into()
        .encode(Version::Draft19, role, &mut bytes)
        .unwrap();
    bytes
}
