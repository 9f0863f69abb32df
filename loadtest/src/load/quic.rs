//! QUIC as viewers and MoQT publishers use it: raw or WebTransport, one MoQT draft, any
//! certificate.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use quinn::{
    ClientConfig, Endpoint, IdleTimeout, TransportConfig, VarInt,
    crypto::rustls::{NoInitialCipherSuite, QuicClientConfig},
};
use rustls::{
    DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use web_transport_quinn::{ClientError, SendStream, Session, proto::ConnectRequest};
use weir_protocol::moqt::{Message, StreamRole, Version, message::Setup};

use super::plan::{Door, Transport};

/// Bytes that the relay may send on a stream ahead of a reader: more than a second of any video,
/// so that flow control never limits a load run; and for a reader that is slow on purpose, so
/// little that the relay feels it.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const SLOW_STREAM_WINDOW_BYTES: u32 = 64 << 10;

/// The same for a connection.
const WINDOW_BYTES: u32 = 32 << 20;
const SLOW_WINDOW_BYTES: u32 = 256 << 10;

/// Streams that the relay may have open: groups of a second of audio and video, many times over.
const MAX_UNI_STREAMS: u32 = 1_024;

/// Silence after which a connection is given up.
const IDLE: Duration = Duration::from_secs(20);

/// The ALPN of HTTP/3, which carries WebTransport.
const H3: &str = "h3";

/// What we call ourselves in SETUP.
const IMPLEMENTATION: &str = concat!("weir-loadtest/", env!("CARGO_PKG_VERSION"));

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// TLS would not be configured.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The TLS library lacks what QUIC starts with.
    #[error("TLS: {0}")]
    CipherSuite(#[from] NoInitialCipherSuite),
    /// No socket.
    #[error("cannot open a UDP socket: {0} (each takes a descriptor: see `ulimit -n`)")]
    Socket(#[from] std::io::Error),
    /// The connection could not be begun.
    #[error("QUIC to {0}: {1}")]
    Connect(SocketAddr, quinn::ConnectError),
    /// The connection could not be made.
    #[error("QUIC to {0}: {1}")]
    Connection(SocketAddr, quinn::ConnectionError),
    /// The relay would not begin WebTransport.
    #[error("WebTransport to {0}: {1}")]
    WebTransport(SocketAddr, ClientError),
    /// The address makes no URL.
    #[error("{0:?} is no host and path: {1}")]
    Url(String, url::ParseError),
    /// The relay took the connection and spoke nothing that we do.
    #[error("{0} speaks none of the drafts of MoQT that were offered (--draft names one)")]
    Draft(SocketAddr),
    /// The control stream broke.
    #[error("the session with {0} broke before it began")]
    Hello(SocketAddr),
}

/// How a session is made.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) door: Door,
    pub(super) transport: Transport,
    /// The drafts that are offered, best first.
    drafts: Vec<Version>,
    config: ClientConfig,
    slow: ClientConfig,
}

impl Dialer {
    pub(super) fn new(
        door: Door,
        transport: Transport,
        drafts: Vec<Version>,
    ) -> Result<Self, QuicError> {
        let alpn: Vec<&str> = match transport {
            Transport::WebTransport => vec![H3],
            Transport::Quic | Transport::Rtmp => drafts.iter().map(|draft| draft.alpn()).collect(),
        };
        Ok(Self {
            config: client_config(&alpn, STREAM_WINDOW_BYTES, WINDOW_BYTES)?,
            slow: client_config(&alpn, SLOW_STREAM_WINDOW_BYTES, SLOW_WINDOW_BYTES)?,
            door,
            transport,
            drafts,
        })
    }

    /// A socket of our own.
    pub(super) fn endpoint(&self) -> Result<Endpoint, QuicError> {
        let any = match self.door.addr {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        Ok(Endpoint::client(any)?)
    }

    /// A session on `endpoint`, the draft that it speaks, and its control stream, which has to
    /// live as long.
    pub(super) async fn session(
        &self,
        endpoint: &Endpoint,
        slow: bool,
    ) -> Result<(Session, Version, SendStream), QuicError> {
        let addr = self.door.addr;
        let config = if slow { &self.slow } else { &self.config };
        let connecting = endpoint.connect_with(config.clone(), addr, &self.door.host);
        let connection = connecting
            .map_err(|error| QuicError::Connect(addr, error))?
            .await
            .map_err(|error| QuicError::Connection(addr, error))?;
        let session = match self.transport {
            Transport::Quic | Transport::Rtmp => Session::raw(connection),
            Transport::WebTransport => {
                let url = format!("https://{}{}", self.door.authority(), self.door.path);
                let parsed = url::Url::parse(&url).map_err(|error| QuicError::Url(url, error))?;
                let drafts = self.drafts.iter().map(|draft| draft.alpn().to_owned());
                let request = ConnectRequest::new(parsed).with_protocols(drafts);
                let session = Session::connect(connection, request).await;
                session.map_err(|error| QuicError::WebTransport(addr, error))?
            }
        };
        let version = session.protocol().and_then(Version::from_alpn);
        let version = version.ok_or(QuicError::Draft(addr))?;
        let control = self.hello(&session, version).await;
        let control = control.ok_or(QuicError::Hello(addr))?;
        Ok((session, version, control))
    }

    /// Opens the control stream. Over WebTransport the URL went with the session's request.
    async fn hello(&self, session: &Session, version: Version) -> Option<SendStream> {
        let raw = self.transport == Transport::Quic;
        let setup = Setup {
            path: raw.then(|| self.door.path.clone()),
            authority: raw.then(|| self.door.authority()),
            implementation: Some(IMPLEMENTATION.into()),
            ..Setup::default()
        };
        let mut bytes = BytesMut::new();
        let message = Message::from(setup);
        message
            .encode(version, StreamRole::Control, &mut bytes)
            .ok()?;
        let mut control = session.open_uni().await.ok()?;
        control.write_all(&bytes).await.ok()?;
        Some(control)
    }
}

fn client_config(
    alpn: &[&str],
    stream_window: u32,
    window: u32,
) -> Result<ClientConfig, QuicError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(MAX_UNI_STREAMS.into())
        .stream_receive_window(stream_window.into())
        .receive_window(window.into())
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            IDLE.as_millis() as u32
        ))));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Accepts every certificate: what is measured is the relay that the user named, and test relays
/// sign for themselves.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("QUIC is TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
