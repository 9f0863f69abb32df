//! Going to a relay: its address, the connection, and our SETUP.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::timeout;
use url::Url;
use weir_protocol::moqt::message::Setup;
use weir_protocol::moqt::{Message, StreamRole, Version};

use crate::endpoint::{self, H3, Verifier};
use crate::webtransport::{ConnectRequest, SendStream, Session};
use crate::{net, quic};

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MoQT directly on QUIC.
    Quic,
    /// MoQT on WebTransport on HTTP/3.
    WebTransport,
}

/// A relay's address, and how its certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or number of the host.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// What carries the session.
    pub transport: Transport,
    /// As the session's PATH: what stands behind the authority, but for `cert-sha256` and
    /// `insecure`.
    pub path: String,
    /// How the certificate is checked.
    pub verifier: Verifier,
    url: Url,
}

/// Why a URL is not a relay's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It cannot be parsed.
    #[error("{0}: not a URL: {1}; give moqt://HOST:PORT")]
    NotUrl(String, url::ParseError),
    /// It is of another kind.
    #[error("{0}: the scheme must be moqt (QUIC) or https (WebTransport)")]
    Scheme(String),
    /// It names no host.
    #[error("{0}: no host; give moqt://HOST:PORT")]
    NoHost(String),
    /// `cert-sha256` is no hash.
    #[error("{0}: cert-sha256 takes 64 hexadecimal digits, as told at /certificate.sha256")]
    Sha256(String),
}

impl Address {
    /// Parses `moqt://HOST:PORT` or `https://HOST:PORT`, with `?cert-sha256=HEX` or `?insecure`
    /// for a certificate that no authority has signed.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        // What follows may be a credential.
        let shown = || text.split('?').next().unwrap_or_default().to_owned();
        let url = Url::parse(text).map_err(|error| AddressError::NotUrl(shown(), error))?;
        let transport = match url.scheme() {
            "moqt" => Transport::Quic,
            "https" => Transport::WebTransport,
            _ => return Err(AddressError::Scheme(shown())),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| AddressError::NoHost(shown()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut verifier = Verifier::Roots;
        let mut query = Vec::new();
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "insecure" => verifier = Verifier::Insecure,
                "cert-sha256" => {
                    let hex: String = value.chars().filter(|c| *c != ':').collect();
                    let right = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
                    if !right {
                        return Err(AddressError::Sha256(shown()));
                    }
                    verifier = Verifier::Sha256(hex.to_ascii_lowercase());
                }
                _ => query.push(format!("{key}={value}")),
            }
        }
        let mut url = url.clone();
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        let query = url.query().map(|query| format!("?{query}"));
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            transport,
            path: format!("{}{}", url.path(), query.unwrap_or_default()),
            verifier,
            url,
        })
    }
}

impl Address {
    /// The same address, whose certificate is checked as that of `other`, which named it, unless
    /// it says itself how.
    pub fn trusting(self, other: &Self) -> Self {
        let verifier = match self.verifier {
            Verifier::Roots => other.verifier.clone(),
            said @ (Verifier::Sha256(_) | Verifier::Insecure) => said,
        };
        Self { verifier, ..self }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why a relay cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {addr}: {reason}{}", self.advice())]
pub struct ConnectError {
    addr: String,
    reason: String,
    /// Whether the certificate was checked against the system's authorities.
    checked: bool,
}

impl ConnectError {
    /// What a person can do about it.
    fn advice(&self) -> &'static str {
        if self.is_unknown_certificate() {
            "; for a self-made certificate add ?cert-sha256=HEX or ?insecure to the address"
        } else if self.reason.contains("application protocol") {
            "; the port speaks QUIC, but no draft of MoQT that we speak, nor WebTransport"
        } else {
            ""
        }
    }

    /// Whether no authority vouches for the certificate.
    pub fn is_unknown_certificate(&self) -> bool {
        self.checked && self.reason.contains("certificate")
    }
}

/// How we come to a relay.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// How we name ourselves.
    pub implementation: &'a str,
    /// The drafts that we offer, the preferred one first.
    pub drafts: &'a [Version],
    /// Silence that ends the session.
    pub idle: Duration,
}

/// A session that we opened.
#[derive(Debug)]
pub struct Connected {
    /// The endpoint, which no other session shares.
    pub endpoint: quic::Endpoint,
    /// The session.
    pub session: Session,
    /// Its draft.
    pub version: Version,
    /// Our control stream: dropping it would end the session.
    pub control: SendStream,
}

/// Connects to the first of the host's addresses that answers, and says hello.
pub async fn connect(address: &Address, manner: Manner<'_>) -> Result<Connected, ConnectError> {
    let failed = |reason: String| ConnectError {
        addr: address.to_string(),
        reason,
        checked: address.verifier == Verifier::Roots,
    };
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let found = found.map_err(|error| failed(error.to_string()))?;
    let mut failure = failed("the host has no address".to_owned());
    for addr in found {
        let connecting = connect_to(addr, address, manner);
        match timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(reason)) => failure = failed(reason),
            Err(_) => {
                let question = "is a relay running there?";
                failure = failed(format!("no answer within {CONNECT_LIMIT:?}: {question}"));
            }
        }
    }
    Err(failure)
}

async fn connect_to(
    addr: SocketAddr,
    address: &Address,
    manner: Manner<'_>,
) -> Result<Connected, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let drafts: Vec<_> = manner.drafts.iter().map(|draft| draft.alpn()).collect();
    let alpn = match address.transport {
        Transport::Quic => &drafts[..],
        Transport::WebTransport => &[H3],
    };
    let socket = net::udp_client(addr).map_err(|error| text(&error))?;
    let endpoint = endpoint::client(socket, address.verifier.clone(), alpn, manner.idle);
    let endpoint = endpoint.map_err(|error| text(&error))?;
    let connecting = endpoint.connect(addr, &address.host);
    let connection = connecting
        .map_err(|error| text(&error))?
        .established()
        .await;
    let connection = connection.map_err(|error| text(&error))?;
    let session = match address.transport {
        Transport::Quic => Session::raw(connection),
        Transport::WebTransport => {
            let request = ConnectRequest::new(address.url.clone());
            let request = request.with_protocols(drafts.iter().copied().map(str::to_owned));
            let session = Session::connect(connection, request).await;
            session.map_err(|error| text(&error))?
        }
    };
    let version = session.protocol().and_then(Version::from_alpn);
    let version = version.ok_or("it speaks none of our MoQT drafts")?;
    let control = hello(&session, version, address, manner.implementation).await;
    Ok(Connected {
        control: control.map_err(|error| text(&error))?,
        endpoint,
        session,
        version,
    })
}

/// Opens the control stream. Over WebTransport the URL went with the session's request.
async fn hello(
    session: &Session,
    version: Version,
    address: &Address,
    implementation: &str,
) -> Result<SendStream, Box<dyn std::error::Error + Send + Sync>> {
    let raw = address.transport == Transport::Quic;
    let setup = Setup {
        path: raw.then(|| address.path.clone()),
        authority: raw.then(|| format!("{}:{}", address.host, address.port)),
        implementation: Some(implementation.to_owned()),
        ..Setup::default()
    };
    let mut control = session.open_uni().await?;
    let mut bytes = BytesMut::new();
    Message::from(setup).encode(version, StreamRole::Control, &mut bytes)?;
    control.write_all(&bytes).await?;
    Ok(control)
}

/// Draft 19, "MOQT URI Scheme", and HTTPS agree.
const DEFAULT_PORT: u16 = 443;

/// How long a relay may take to answer: a handshake with a lost packet or two.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_says_how_the_certificate_is_checked() {
        let hash = "ab".repeat(32);
        let text = format!("moqt://origin.example:4443/app?cert-sha256={hash}&token=x");
        let address = Address::parse(&text).unwrap();
        assert_eq!(address.to_string(), "origin.example:4443");
        assert_eq!(address.path, "/app?token=x");
        assert_eq!(address.verifier, Verifier::Sha256(hash));
        let insecure = Address::parse("https://[::1]:4443?insecure").unwrap();
        assert_eq!(insecure.verifier, Verifier::Insecure);
        assert_eq!(insecure.transport, Transport::WebTransport);
        assert_eq!(
            Address::parse("moqt://a").unwrap().verifier,
            Verifier::Roots
        );
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong() {
        for (text, part) in [
            ("origin:4443", "scheme"),
            ("rtmp://origin?token=secret", "scheme"),
            ("moqt://a?cert-sha256=12&token=secret", "64 hexadecimal"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
