//! Asks a relay's API, blocking.

use crate::ask;
use crate::stats::snapshot::{StreamDetail, StreamList};
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{StatusCode, Uri};

/// How long a relay may take to answer. It answers from memory; a slower one is as good as down.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The longest answer that is read: some ten thousand streams or viewers.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// Why an argument is not the address of a relay.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{url:?} is not the address of a relay: {reason}; it looks like http://127.0.0.1:8080")]
pub(super) struct BadUrl {
    url: String,
    reason: &'static str,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nothing answers there.
    #[error(
        "no relay answers at {base} ({cause}): start one with `weir serve`, or say where its HTTP \
         listener is: weir top http://HOST:PORT"
    )]
    Down { base: Base, cause: String },
    /// Something else answers there.
    #[error(
        "what answers at {base} is not a relay's HTTP listener ({cause}): `weir serve` prints the \
         address as http=HOST:PORT"
    )]
    Stranger { base: Base, cause: String },
}

/// Where a relay's HTTP listener is: `http://HOST:PORT` and perhaps a path, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base(String);

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Base {
    /// Checks an address; `HOST:PORT` alone means `http://HOST:PORT`.
    pub(super) fn parse(url: &str) -> Result<Self, BadUrl> {
        let bad = |reason| BadUrl {
            url: url.to_owned(),
            reason,
        };
        let full = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = full.parse().map_err(|_| bad("it cannot be parsed"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(bad("its scheme is neither http nor https"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.host().is_empty() {
            return Err(bad("it names no host"));
        }
        if authority.as_str().contains('@') {
            return Err(bad("it has a user name"));
        }
        let port = authority
            .as_str()
            .strip_prefix(authority.host())
            .unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(bad("its port is not a number from 1 to 65535"));
        }
        if uri.query().is_some() {
            return Err(bad("it has a query"));
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self(format!("{scheme}://{authority}{path}")))
    }
}

/// A relay to ask.
#[derive(Debug)]
pub(super) struct Client {
    base: Base,
    agent: Agent,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(base: Base, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // The relay is usually this host or one beside it, which a proxy does not see.
            .proxy(None)
            .tls_config(ask::tls())
            .build();
        Self {
            base,
            agent: Agent::new_with_config(config),
            token,
        }
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Every stream, sorted by name.
    pub(super) fn streams(&self) -> Result<StreamList, Error> {
        let list: Option<StreamList> = self.fetch("/api/v1/streams")?;
        let mut list = list.ok_or_else(|| self.stranger("404 Not Found"))?;
        list.streams.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// One stream with its viewers; `None` when it is not there (any longer).
    pub(super) fn stream(&self, name: &str) -> Result<Option<StreamDetail>, Error> {
        self.fetch(&format!("/api/v1/streams/{}", escape(name)))
    }

    fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let down = |error: ureq::Error| Error::Down {
            base: self.base.clone(),
            cause: cause(&error),
        };
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.call();
        let mut answer = answer.map_err(|error| {
            if matches!(error, ureq::Error::Protocol(_) | ureq::Error::Http(_)) {
                self.stranger(error)
            } else {
                down(error)
            }
        })?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::UNAUTHORIZED => {
                return Err(self.stranger("401 Unauthorized: give a token with --token"));
            }
            status => return Err(self.stranger(status)),
        }
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        let body = body.read_to_vec().map_err(down)?;
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| self.stranger(error))
    }

    fn stranger(&self, cause: impl ToString) -> Error {
        Error::Stranger {
            base: self.base.clone(),
            cause: cause.to_string(),
        }
    }
}

/// The system's words without the number behind them.
fn cause(error: &ureq::Error) -> String {
    if let ureq::Error::Io(io) = error
        && io.kind() == std::io::ErrorKind::ConnectionRefused
    {
        return "connection refused".to_owned();
    }
    error.to_string()
}

/// A stream's name as the end of a path: slashes stay, what a path cannot hold is escaped.
fn escape(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                path.push(char::from(byte));
            }
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_scheme_and_slash() {
        for (url, base) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://relay.example:80/", "http://relay.example:80"),
            ("localhost:8080", "http://localhost:8080"),
            ("relay.example", "http://relay.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://proxy.example/weir/", "http://proxy.example/weir"),
        ] {
            assert_eq!(Base::parse(url).unwrap().to_string(), base);
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        for (url, reason) in [
            (
                "rtmp://127.0.0.1/live",
                "its scheme is neither http nor https",
            ),
            ("", "it cannot be parsed"),
            ("not a url", "it cannot be parsed"),
            ("http://:8080", "it names no host"),
            ("http://user@host", "it has a user name"),
            (
                "http://host:99999",
                "its port is not a number from 1 to 65535",
            ),
            ("http://host:0", "its port is not a number from 1 to 65535"),
            ("http://host/?q", "it has a query"),
        ] {
            assert_eq!(Base::parse(url).unwrap_err().reason, reason, "{url}");
        }
    }

    #[test]
    fn names_are_escaped_but_for_their_slashes() {
        assert_eq!(escape("live/ü b?#%"), "live/%C3%BC%20b%3F%23%25");
    }
}
