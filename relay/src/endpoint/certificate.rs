//! The relay's certificate, from files or self-made, and how a client checks one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// The certificate in use, which can be replaced while connections go on.
pub struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
    self_made: bool,
    /// The self-made one and its key, for a relay that takes this one's place.
    der: RwLock<Option<Der>>,
}

/// A certificate and its key in DER.
type Der = (Vec<u8>, Vec<u8>);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read or holds no PEM of that kind.
    #[error("{path}: no {what} in PEM form could be read: {reason}")]
    File {
        /// Which file.
        path: String,
        /// What was looked for.
        what: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// The key does not fit the certificate, or is of an unknown kind.
    #[error("the certificate and its key cannot be used together: {0}")]
    Mismatch(#[from] Error),
    /// A certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The system has no root certificates to check against.
    #[error("no root certificates to check the relay's certificate against: {0}")]
    Roots(String),
}

impl Certificate {
    /// Reads a certificate chain and its private key from PEM files.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let file =
            |path: &Path, what, error: rustls::pki_types::pem::Error| CertificateError::File {
                path: path.display().to_string(),
                what,
                reason: error.to_string(),
            };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| file(chain, "certificate", error))?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, "private key", error))?;
        if certificates.is_empty() {
            let none = rustls::pki_types::pem::Error::NoItemsFound;
            return Err(file(chain, "certificate", none));
        }
        Ok(Self {
            current: RwLock::new(Arc::new(certified(certificates, private)?)),
            self_made: false,
            der: RwLock::default(),
        })
    }

    /// Makes a certificate that browsers accept by its hash: ECDSA P-256, valid for less than the
    /// 14 days that `serverCertificateHashes` allows (WebTransport, "Custom certificate
    /// requirements").
    pub fn self_made() -> Result<Self, CertificateError> {
        let (made, der) = make()?;
        Ok(Self {
            current: RwLock::new(Arc::new(made)),
            self_made: true,
            der: RwLock::new(Some(der)),
        })
    }

    /// The self-made certificate of another relay, in DER.
    pub fn from_der(certificate: Vec<u8>, key: Vec<u8>) -> Result<Self, CertificateError> {
        let chain = vec![CertificateDer::from(certificate.clone())];
        let private = PrivateKeyDer::Pkcs8(key.clone().into());
        Ok(Self {
            current: RwLock::new(Arc::new(certified(chain, private)?)),
            self_made: true,
            der: RwLock::new(Some((certificate, key))),
        })
    }

    /// The self-made certificate and its key; none where they are from files.
    pub fn der(&self) -> Option<Der> {
        self.der.read().clone()
    }

    /// Uses another one for connections from now on.
    pub fn replace(&self, other: Self) {
        *self.current.write() = other.current.into_inner();
    }

    /// Replaces a self-made certificate by a new one. Leaves one from files alone.
    pub fn renew(&self) -> Result<(), CertificateError> {
        if self.self_made {
            let (made, der) = make()?;
            *self.current.write() = Arc::new(made);
            *self.der.write() = Some(der);
        }
        Ok(())
    }

    /// SHA-256 of the leaf certificate's DER, in lower-case hex.
    pub fn sha256(&self) -> String {
        let current = Arc::clone(&self.current.read());
        current.cert.first().map_or_else(String::new, fingerprint)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key.
        f.debug_struct("Certificate")
            .field("self_made", &self.self_made)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

/// A self-made certificate is replaced this often, so that one that is given out is still valid
/// for most of a week.
pub const RENEW_AFTER: Duration = Duration::from_secs(6 * 24 * 3600);

fn make() -> Result<(CertifiedKey, Der), CertificateError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = rcgen::CertificateParams::new(names)?;
    let now = OffsetDateTime::now_utc();
    // The past hour is for browsers whose clock is late.
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(13);
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let der = (certificate.der().to_vec(), key.serialize_der());
    let private = PrivateKeyDer::Pkcs8(der.1.clone().into());
    let made = certified(vec![certificate.der().clone()], private)?;
    Ok((made, der))
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Error> {
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
}

fn fingerprint(certificate: &CertificateDer<'static>) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a client decides whether it talks to the relay that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verifier {
    /// By the system's root certificates and the name.
    Roots,
    /// By the SHA-256 of the leaf certificate, in lower-case hex.
    Sha256(String),
    /// Not at all.
    Insecure,
}

impl Verifier {
    pub(super) fn into_rustls(self) -> Result<Arc<dyn ServerCertVerifier>, CertificateError> {
        if self == Self::Roots {
            return roots();
        }
        Ok(Arc::new(Pinned {
            sha256: match self {
                Self::Sha256(hex) => Some(hex),
                Self::Roots | Self::Insecure => None,
            },
            provider: aws_lc_rs::default_provider(),
        }))
    }
}

fn roots() -> Result<Arc<dyn ServerCertVerifier>, CertificateError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let errors = found.errors.iter().map(ToString::to_string);
        return Err(CertificateError::Roots(
            errors.collect::<Vec<_>>().join("; "),
        ));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map(|verifier| verifier as _)
        .map_err(|error| CertificateError::Roots(error.to_string()))
}

/// Accepts the one certificate with the hash, or any when there is none.
#[derive(Debug)]
struct Pinned {
    sha256: Option<String>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let actual = fingerprint(&leaf.clone().into_owned());
        match &self.sha256 {
            Some(expected) if *expected != actual => Err(Error::General(format!(
                "the relay's certificate has SHA-256 {actual}, expected {expected}"
            ))),
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC is TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_lower_case_hex_and_changes_on_renewal() {
        let certificate = Certificate::self_made().unwrap();
        let first = certificate.sha256();
        assert_eq!(first.len(), 64);
        assert!(
            first
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
        certificate.renew().unwrap();
        assert_ne!(certificate.sha256(), first);
    }

    #[test]
    fn missing_file_is_named() {
        let missing = Path::new("/nonexistent/cert.pem");
        let error = Certificate::from_files(missing, missing).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/cert.pem"),
            "{error}"
        );
    }
}
