//! Asking other servers over HTTP or HTTPS, blocking: key sets, and decisions about credentials.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The server was not reached, or did not answer in time.
    #[error("{0}")]
    Lost(#[from] ureq::Error),
    /// It answered something else.
    #[error("it answers with status {0}")]
    Status(u16),
}

/// The text at a URL.
///
/// # Errors
///
/// When it cannot be had within `timeout`.
pub fn get(url: &str, timeout: Duration) -> Result<String, AskError> {
    let mut response = agent(timeout).get(url).call()?;
    match response.status().as_u16() {
        200 => Ok(text(&mut response)?),
        status => Err(AskError::Status(status)),
    }
}

/// Sends JSON to a URL. Gives the status and the body, whatever they are.
///
/// # Errors
///
/// When there is no answer within `timeout`.
pub fn post(url: &str, json: &str, timeout: Duration) -> Result<(u16, String), AskError> {
    let request = agent(timeout).post(url);
    let request = request.header("content-type", "application/json");
    let mut response = request.send(json)?;
    Ok((response.status().as_u16(), text(&mut response)?))
}

fn text(response: &mut http::Response<ureq::Body>) -> Result<String, ureq::Error> {
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    body.read_to_string()
}

fn agent(timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // Whoever decides is who was configured, and nobody whom that one names.
        .max_redirects(0)
        .tls_config(tls())
        .build();
    Agent::new_with_config(config)
}

/// Trusts what the system trusts.
pub fn tls() -> TlsConfig {
    static ROOTS: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs().certs;
        let owned = found
            .iter()
            .map(|der| Certificate::from_der(der).to_owned());
        owned.collect()
    });
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .root_certs(RootCerts::new_with_certs(roots))
        .build()
}

/// Bytes of an answer: a large key set.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
