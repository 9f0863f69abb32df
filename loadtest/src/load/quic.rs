//! QUIC as a viewer uses it: raw, one MoQT draft, any certificate.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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

/// Bytes that the relay may send on a stream ahead of us: more than a second of any video, so that
/// flow control never limits a load run.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// The same for a connection.
const WINDOW_BYTES: u32 = 32 << 20;

/// Streams that the relay may have open: groups of a second of audio and video, many times over.
const MAX_UNI_STREAMS: u32 = 1_024;

/// Silence after which a connection is given up.
const IDLE: Duration = Duration::from_secs(20);

/// Why no endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// TLS would not be configured.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The TLS library lacks what QUIC starts with.
    #[error("TLS: {0}")]
    CipherSuite(#[from] NoInitialCipherSuite),
    /// No socket.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[from] std::io::Error),
}

/// The configuration of all viewers.
pub(super) fn client_config(alpn: &str) -> Result<ClientConfig, QuicError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(MAX_UNI_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(WINDOW_BYTES.into())
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            IDLE.as_millis() as u32
        ))));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// A viewer's own socket, towards `server`.
pub(super) fn endpoint(config: &ClientConfig, server: SocketAddr) -> Result<Endpoint, QuicError> {
    let any = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let mut endpoint = Endpoint::client(any)?;
    endpoint.set_default_client_config(config.clone());
    Ok(endpoint)
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
