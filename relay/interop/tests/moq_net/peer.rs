//! The other side: `moq-net` as a publisher, as a subscriber, and as a relay that has an edge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moq_net::origin::{self, Consumer, Producer};
use moq_net::{Client, Server, Session, Version};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_relay::config::{Config, File, Options};
use weir_relay::relay::Relay;

use crate::transport::Connection;
use crate::trust::TrustAnyone;

/// Any port of the loopback.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The drafts of both.
const DRAFTS: [&str; 5] = [
    "moq-transport-18",
    "moq-transport-19",
    "moq-transport-20",
    "moq-transport-21",
    "moq-transport-22",
];

/// A loaded machine is slow, not wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what has to happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// Runs a case in every draft, all at once: each has streams of its own name.
pub(crate) async fn in_each_draft<F>(case: impl Fn(Version) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut cases = JoinSet::new();
    for draft in DRAFTS {
        cases.spawn(case(draft.parse().unwrap()));
    }
    while let Some(done) = cases.join_next().await {
        if let Err(failed) = done {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

/// A stream's name in a case of a draft.
pub(crate) fn name_in(draft: Version) -> String {
    format!("live/{}", draft.alpn())
}

/// A relay on the loopback, which stops with the test's runtime.
pub(crate) fn weir(upstream: &[String]) -> SocketAddr {
    let any = Some(ANY);
    let options = Options {
        rtmp: any,
        quic: any,
        http: any,
        upstream: upstream.to_vec(),
        ..Options::default()
    };
    let config = Config::new(&options, &File::default()).unwrap();
    let relay = Relay::start(&config, &options).unwrap();
    let quic = relay.addrs().quic;
    tokio::spawn(relay.run(std::future::pending()));
    quic
}

/// A session of the other side's. It ends when this is dropped.
pub(crate) struct Peer {
    pub(crate) session: Session,
    connection: quinn::Connection,
}

impl Peer {
    /// Is gone from one moment to the next, as a program that was killed.
    pub(crate) fn kill(self) {
        self.connection.close(0_u32.into(), b"killed");
    }
}

/// A session that publishes what its origin gets.
pub(crate) async fn publisher(draft: Version, relay: SocketAddr) -> (Producer, Peer) {
    let origin = origin();
    let client = Client::new().with_publisher(&origin);
    (origin, connect(client, draft, relay).await)
}

/// A session that is told what there is.
pub(crate) async fn subscriber(draft: Version, relay: SocketAddr) -> (Consumer, Peer) {
    let origin = origin();
    let consumer = origin.consume();
    let client = Client::new().with_subscriber(origin);
    (consumer, connect(client, draft, relay).await)
}

/// A session in this draft.
pub(crate) async fn connect(client: Client, draft: Version, relay: SocketAddr) -> Peer {
    let config = TrustAnyone::client_config(draft.alpn());
    let endpoint = quinn::Endpoint::client(ANY).unwrap();
    let connecting = endpoint.connect_with(config, relay, "localhost").unwrap();
    let connection = soon("connection", connecting).await.unwrap();
    let client = client.with_versions(draft.into());
    let transport = Connection::new(connection.clone());
    let connected = client.connect(Instant::now(), transport).await;
    let (session, driver) = connected.unwrap();
    tokio::spawn(moq_net::time::run(driver));
    assert_eq!(session.version(), draft);
    Peer {
        session,
        connection,
    }
}

/// A relay of the other side's with one draft, and what it publishes. It asks of whoever comes
/// what there is, and tells everybody what it has, as `moq-relay` does.
pub(crate) fn relay(draft: Version) -> (Producer, SocketAddr) {
    let endpoint = listen(draft);
    let addr = endpoint.local_addr().unwrap();
    let origin = origin();
    let server = Server::new().with_origin(origin.clone());
    let server = server.with_versions(draft.into());
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                let transport = Connection::new(connection);
                let accepted = server.accept(Instant::now(), transport).await;
                let Ok((session, driver)) = accepted else {
                    return;
                };
                moq_net::time::run(driver).await;
                drop(session);
            });
        }
    });
    (origin, addr)
}

/// A port that takes connections of one draft.
pub(crate) fn listen(draft: Version) -> quinn::Endpoint {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![draft.alpn().as_bytes().to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(tls)), ANY).unwrap()
}

fn origin() -> Producer {
    let (producer, driver) = Producer::new(origin::Config::default());
    tokio::spawn(moq_net::time::run(driver));
    producer
}
