//! The drafts that are spoken and the names by which they are negotiated.

use std::fmt;

/// A draft of MoQT. Later drafts compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// draft-ietf-moq-transport-18.
    Draft18,
    /// draft-ietf-moq-transport-19.
    Draft19,
}

impl Version {
    /// Every draft that is spoken, newest first: the order of preference in negotiation.
    pub const ALL: [Self; 2] = [Self::Draft19, Self::Draft18];

    /// The ALPN of raw QUIC, which is also the WebTransport subprotocol.
    pub fn alpn(self) -> &'static str {
        match self {
            Self::Draft18 => "moqt-18",
            Self::Draft19 => "moqt-19",
        }
    }

    /// The draft that an ALPN or subprotocol names.
    pub fn from_alpn(alpn: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.alpn() == alpn)
    }

    /// The draft's number.
    pub fn number(self) -> u64 {
        match self {
            Self::Draft18 => 18,
            Self::Draft19 => 19,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.alpn())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_found_by_its_alpn() {
        for version in Version::ALL {
            assert_eq!(Version::from_alpn(version.alpn()), Some(version));
            assert_eq!(version.alpn(), format!("moqt-{}", version.number()));
            assert_eq!(version.to_string(), version.alpn());
        }
        assert_eq!(Version::from_alpn("moqt-17"), None);
        assert_eq!(Version::from_alpn("moq-00"), None);
    }

    #[test]
    fn the_newest_version_is_preferred() {
        assert!(Version::ALL.is_sorted_by(|a, b| a > b));
    }
}
