//! What a unidirectional stream is, told from its first bytes.

use super::object::DataError;
use super::subgroup::is_subgroup_type;
use crate::wire::Reader;

const SETUP: u64 = 0x2f00;
const FETCH: u64 = 0x05;
const PADDING: u64 = 0x132b_3e28;

/// The kinds of unidirectional streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniStreamType {
    /// A control stream: its type is SETUP's, so the bytes go to
    /// [`Message::decode`](super::Message::decode) from the first one on.
    Control,
    /// Objects of a subgroup: for [`SubgroupReader`](super::subgroup::SubgroupReader), from the
    /// first byte on.
    Subgroup,
    /// Objects of a FETCH: for [`FetchReader`](super::fetch::FetchReader), from the first byte on.
    Fetch,
    /// Nothing but zeros, to be read and forgotten.
    Padding,
}

impl UniStreamType {
    /// Longest type, in bytes: a stream that has not shown its kind after that many never will.
    pub const LEN_MAX: usize = crate::wire::VI64_LEN_MAX;

    /// The kind of the stream that begins with `bytes`, which are not consumed; `None` when there
    /// are too few.
    pub fn detect(bytes: &[u8]) -> Result<Option<Self>, DataError> {
        let Ok(kind) = Reader::new(bytes).vi64() else {
            return Ok(None);
        };
        match kind {
            SETUP => Ok(Some(Self::Control)),
            FETCH => Ok(Some(Self::Fetch)),
            PADDING => Ok(Some(Self::Padding)),
            kind if is_subgroup_type(kind) => Ok(Some(Self::Subgroup)),
            kind => Err(DataError::UnknownStreamType(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_their_first_bytes() {
        use UniStreamType::*;
        for (bytes, kind) in [
            (&[0xaf, 0x00, 0, 0][..], Control),
            (&[0x78, 2, 7], Subgroup),
            (&[0x05, 0], Fetch),
            (&[0xf0, 0x13, 0x2b, 0x3e, 0x28], Padding),
            (&[0x80, 0x05], Fetch),
        ] {
            assert_eq!(UniStreamType::detect(bytes), Ok(Some(kind)));
            assert_eq!(UniStreamType::detect(&[]), Ok(None));
            if bytes[0] >= 0x80 {
                assert_eq!(UniStreamType::detect(&bytes[..1]), Ok(None));
            }
        }
        for kind in [0x00, 0x04, 0x16, 0x76] {
            let unknown = Err(DataError::UnknownStreamType(kind));
            assert_eq!(UniStreamType::detect(&[kind as u8]), unknown);
        }
    }
}
