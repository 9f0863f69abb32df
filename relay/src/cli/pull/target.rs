//! Where a stream is: the URL of `weir pull`.

use url::Url;
use weir_protocol::moqt::Namespace;

use crate::client::{Address, AddressError};

/// A stream's address, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) relay: Address,
    pub(super) namespace: Namespace,
}

/// Why a URL is not a stream's address.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{0}: no stream name; give moqt://HOST:PORT/APP/KEY, like /live/cam")]
    NoName(String),
}

impl Target {
    /// The stream is named by the path, or behind a `#`. In the second case the path is the
    /// session's: there are relays that take it for the part of their streams that is asked for,
    /// so what names the stream must not stand there as well.
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        Address::parse(text)?;
        let no_name = || TargetError::NoName(text.split('?').next().unwrap_or(text).to_owned());
        let mut url = Url::parse(text).map_err(|_| no_name())?;
        let name = match url.fragment() {
            Some(fragment) => fragment.to_owned(),
            None => url.path().to_owned(),
        };
        let namespace = Namespace::from_path(name.trim_matches('/')).ok();
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let namespace = namespace.ok_or_else(no_name)?;
        match url.fragment().is_some() {
            true => url.set_fragment(None),
            false => url.set_path("/"),
        }
        let relay = Address::parse(url.as_str())?;
        Ok(Self { relay, namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Transport;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::parse("moqt://[::1]:4443/live/cam?token=x").unwrap();
        assert_eq!(
            (target.relay.host.as_str(), target.relay.port),
            ("::1", 4443)
        );
        assert_eq!(target.relay.transport, Transport::Quic);
        assert_eq!(target.namespace.to_string(), "live/cam");
        assert_eq!(target.relay.path, "/?token=x");
        assert_eq!(
            Target::parse("https://example.org/a").unwrap().relay.port,
            443
        );
    }

    #[test]
    fn path_is_the_sessions_when_the_stream_stands_behind_it() {
        let target = Target::parse("moqt://host/anon?token=x#live/cam").unwrap();
        assert_eq!(target.namespace.to_string(), "live/cam");
        assert_eq!(target.relay.path, "/anon?token=x");
    }

    #[test]
    fn wrong_addresses_say_what_is_missing() {
        for (text, part) in [
            ("live/cam", "not a URL"),
            ("rtmp://host/live/cam", "scheme"),
            ("moqt://host:4443/", "stream name"),
            ("moqt://host:4443/anon#", "stream name"),
            ("moqt:///live/cam", "host"),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
