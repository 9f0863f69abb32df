//! The drafts that are spoken and the names by which they are negotiated.

use std::fmt;

/// A draft of MoQT. Later drafts compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// draft-ietf-moq-transport-18.
    Draft18,
    /// draft-ietf-moq-transport-19.
    Draft19,
    /// draft-ietf-moq-transport-20.
    Draft20,
    /// draft-ietf-moq-transport-21, on the wire the same as 20.
    Draft21,
    /// draft-ietf-moq-transport-22.
    Draft22,
}

impl Version {
    /// Every draft that is spoken, newest first: the order of preference in negotiation.
    pub const ALL: [Self; 5] = [
        Self::Draft22,
        Self::Draft21,
        Self::Draft20,
        Self::Draft19,
        Self::Draft18,
    ];

    /// The ALPN of raw QUIC, which is also the WebTransport subprotocol.
    pub fn alpn(self) -> &'static str {
        match self {
            Self::Draft18 => "moqt-18",
            Self::Draft19 => "moqt-19",
            Self::Draft20 => "moqt-20",
            Self::Draft21 => "moqt-21",
            Self::Draft22 => "moqt-22",
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
            Self::Draft20 => 20,
            Self::Draft21 => 21,
            Self::Draft22 => 22,
        }
    }

    /// The draft of that number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.number() == number)
    }

    /// Whether a subscriber asks for the past with its subscription, by FILL_PARAMETERS, and FETCH
    /// has a filter: since draft 20. Before, it sends a joining FETCH.
    pub fn has_fill(self) -> bool {
        self >= Self::Draft20
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
            assert_eq!(Version::from_number(version.number()), Some(version));
        }
        assert_eq!(Version::from_alpn("moqt-17"), None);
        assert_eq!(Version::from_alpn("moq-00"), None);
    }

    #[test]
    fn the_newest_version_is_preferred() {
        assert!(Version::ALL.is_sorted_by(|a, b| a > b));
    }
}
