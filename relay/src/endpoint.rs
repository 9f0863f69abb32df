//! The QUIC endpoint of a shard: TLS, ALPN, transport limits, connection IDs that name the shard.

mod certificate;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, ServerConfig,
    TransportConfig, VarInt,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use weir_protocol::moqt::Version;

use crate::quic;

pub use certificate::{Certificate, CertificateError, RENEW_AFTER, Verifier};

/// The ALPN of HTTP/3, under which WebTransport sessions arrive.
pub const H3: &str = "h3";

/// What a shard's endpoint allows.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Silence after which a connection is given up.
    pub idle_timeout: Duration,
    /// Requests (bidirectional streams) that a peer may have open.
    pub max_requests: u32,
    /// Unidirectional streams that a peer may have open.
    pub max_peer_streams: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Longer than a phone's change of network, shorter than a viewer's patience.
            idle_timeout: Duration::from_secs(30),
            // A player uses a handful; an edge that carries a hundred streams uses 300.
            max_requests: 1024,
            // The control stream, the three of HTTP/3, and room for what a peer sends unasked.
            max_peer_streams: 16,
        }
    }
}

/// Makes a shard's endpoint on its socket; the IDs of its connections begin with `shard`. Must be
/// called on the shard's runtime.
pub fn server(
    socket: UdpSocket,
    shard: u8,
    certificate: &Arc<Certificate>,
    config: &Config,
) -> io::Result<quic::Endpoint> {
    let mut endpoint = EndpointConfig::default();
    endpoint.cid_generator(move || Box::new(ShardIds { shard }));
    let crypto = server_crypto(certificate).map_err(io::Error::other)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(Arc::new(server_transport(config)));
    // One handshake's flight is three datagrams; what does not fit is retransmitted.
    server.incoming_buffer_size(16 << 10);
    server.max_incoming(MAX_PENDING_HANDSHAKES);
    quic::Endpoint::new(endpoint, Some(server), None, socket)
}

/// Makes a client's endpoint. Must be called on a runtime.
///
/// `alpn` is what the client speaks, most preferred first. Silence of `idle` ends the connection.
pub fn client(
    socket: UdpSocket,
    verifier: Verifier,
    alpn: &[&str],
    idle: Duration,
) -> io::Result<quic::Endpoint> {
    let crypto = client_crypto(verifier, alpn).map_err(io::Error::other)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(idle.try_into().ok());
    // Silence is noticed when a few of these are lost in a row.
    transport.keep_alive_interval(Some(idle / 5));
    transport.initial_mtu(INITIAL_MTU);
    transport.max_concurrent_uni_streams(VarInt::from_u32(CLIENT_UNI_STREAMS));
    config.transport_config(Arc::new(transport));
    quic::Endpoint::new(EndpointConfig::default(), None, Some(config), socket)
}

fn server_transport(config: &Config) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.initial_mtu(INITIAL_MTU);
    // Each stream that is allowed costs state: the session allows more as it sees use.
    let requests = config.max_requests.min(INITIAL_REQUESTS);
    transport.max_concurrent_bidi_streams(VarInt::from_u32(requests));
    transport.max_concurrent_uni_streams(VarInt::from_u32(config.max_peer_streams));
    transport.max_idle_timeout(config.idle_timeout.try_into().ok());
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    // Groups in order: half of two groups is worth less to a viewer than one.
    transport.send_fairness(false);
    transport.send_window(crate::sender::MIN_SEND_WINDOW);
    // Viewers send requests, not media: these bound what one may make us hold.
    transport.stream_receive_window(VarInt::from_u32(64 << 10));
    transport.receive_window(VarInt::from_u32(256 << 10));
    transport.datagram_receive_buffer_size(Some(64 << 10));
    transport
}

fn server_crypto(certificate: &Arc<Certificate>) -> Result<QuicServerConfig, CryptoError> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificate) as _);
    config.alpn_protocols = std::iter::once(H3)
        .chain(Version::ALL.iter().map(|version| version.alpn()))
        .map(|alpn| alpn.as_bytes().to_vec())
        .collect();
    // AES-128-GCM is the cheapest suite on every machine that has AES instructions, and the relay
    // pays for each byte once a viewer.
    config.ignore_client_order = true;
    Ok(QuicServerConfig::try_from(config)?)
}

/// TLS on TCP, with the certificate as it is at the moment of each connection.
pub fn tls_server(
    certificate: &Arc<Certificate>,
    alpn: &[&str],
) -> Result<Arc<rustls::ServerConfig>, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificate) as _);
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn client_crypto(verifier: Verifier, alpn: &[&str]) -> Result<QuicClientConfig, CryptoError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.into_rustls()?)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    Ok(QuicClientConfig::try_from(config)?)
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

#[derive(Debug, thiserror::Error)]
enum CryptoError {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Suite(#[from] NoInitialCipherSuite),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Requests that a peer may have open at first: a player uses a handful.
pub const INITIAL_REQUESTS: u32 = 32;

/// Connection IDs whose first byte is the shard's number; `net` steers packets by it.
#[derive(Debug)]
struct ShardIds {
    shard: u8,
}

impl ConnectionIdGenerator for ShardIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id: [u8; CONNECTION_ID_BYTES] = rand::random();
        id[0] = self.shard;
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Eight bytes: the shard and 56 random bits, so that no two connections of a shard collide.
const CONNECTION_ID_BYTES: usize = 8;

/// Datagram payload assumed from the first packet on: what fits 1500-byte Ethernet over IPv6 with
/// room for a tunnel. Discovery goes down from it when a path is narrower.
const INITIAL_MTU: u16 = 1452;

/// A connection that has nothing to say says so this often, well within the idle timeout: a
/// viewer of a paused stream stays.
const KEEP_ALIVE: Duration = Duration::from_secs(8);

/// Handshakes of one shard that may be under way; more are refused.
const MAX_PENDING_HANDSHAKES: usize = 1024;

/// Groups that a client lets the relay have open at a time.
const CLIENT_UNI_STREAMS: u32 = 1024;
