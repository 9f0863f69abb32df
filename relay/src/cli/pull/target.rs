//! Where a stream is: the URL of `weir pull`.

use url::Url;
use weir_protocol::moqt::Namespace;

/// A stream's address, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) transport: Transport,
    pub(super) namespace: Namespace,
    /// As the session's PATH: what stands behind the authority.
    pub(super) path: String,
    pub(super) url: Url,
}

/// What carries the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// MoQT directly on QUIC.
    Quic,
    /// MoQT on WebTransport on HTTP/3.
    WebTransport,
}

/// Why a URL is not a stream's address.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("{0}: not a URL: {1}; give moqt://HOST:PORT/APP/KEY")]
    NotUrl(String, url::ParseError),
    #[error("{0}: the scheme must be moqt (QUIC) or https (WebTransport)")]
    Scheme(String),
    #[error("{0}: no host; give moqt://HOST:PORT/APP/KEY")]
    NoHost(String),
    #[error("{0}: no stream name; give moqt://HOST:PORT/APP/KEY, like /live/cam")]
    NoName(String),
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(|error| TargetError::NotUrl(text.to_owned(), error))?;
        let transport = match url.scheme() {
            "moqt" => Transport::Quic,
            "https" => Transport::WebTransport,
            _ => return Err(TargetError::Scheme(text.to_owned())),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| TargetError::NoHost(text.to_owned()))?;
        let namespace = Namespace::from_path(url.path().trim_matches('/')).ok();
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let namespace = namespace.ok_or_else(|| TargetError::NoName(text.to_owned()))?;
        let query = url.query().map(|query| format!("?{query}"));
        Ok(Self {
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            transport,
            namespace,
            path: format!("{}{}", url.path(), query.unwrap_or_default()),
            url,
        })
    }
}

/// Draft 19, "MOQT URI Scheme", and HTTPS agree.
const DEFAULT_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::parse("moqt://[::1]:4443/live/cam?token=x").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 4443));
        assert_eq!(target.transport, Transport::Quic);
        assert_eq!(target.namespace.to_string(), "live/cam");
        assert_eq!(target.path, "/live/cam?token=x");
        assert_eq!(Target::parse("https://example.org/a").unwrap().port, 443);
    }

    #[test]
    fn wrong_addresses_say_what_is_missing() {
        for (text, part) in [
            ("live/cam", "not a URL"),
            ("rtmp://host/live/cam", "scheme"),
            ("moqt://host:4443/", "stream name"),
            ("moqt:///live/cam", "host"),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
