//! What objects have in common, whichever way they travel: status, limits, and what can be wrong.

use super::error::{SessionError, StreamResetCode};
use super::properties::PropertyError;

/// Largest payload that is read, in bytes. A limit of ours: far above a key frame of 4K video at
/// a contribution bitrate, and a bound on what one stream can make a reader hold.
pub const PAYLOAD_LEN_MAX: u64 = 16 << 20;

/// Largest properties block of an object that is read, in bytes. A limit of ours: a codec
/// configuration is a few hundred bytes, and one key-value pair cannot be longer than this.
pub const PROPERTIES_LEN_MAX: u64 = 64 << 10;

/// What an object without payload says (draft 18, "Object Status").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ObjectStatus {
    /// It is an object; its payload may be empty.
    #[default]
    Normal,
    /// No object of this id or a larger one is in the group.
    EndOfGroup,
    /// No object is at this location or after it.
    EndOfTrack,
}

impl ObjectStatus {
    /// The number on the wire.
    pub fn code(self) -> u64 {
        match self {
            Self::Normal => 0,
            Self::EndOfGroup => 3,
            Self::EndOfTrack => 4,
        }
    }

    /// The meaning of a number from the wire.
    pub fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Normal),
            3 => Some(Self::EndOfGroup),
            4 => Some(Self::EndOfTrack),
            _ => None,
        }
    }
}

/// Why a data stream or a datagram cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A stream type that the draft does not have.
    #[error("unknown stream type {0:#x}")]
    UnknownStreamType(u64),
    /// A datagram type that the draft does not have.
    #[error("unknown datagram type {0:#x}")]
    UnknownDatagramType(u64),
    /// Flags of an object on a FETCH stream that the draft does not have.
    #[error("unknown fetch object flags {0:#x}")]
    UnknownFetchFlags(u64),
    /// A status that the draft does not have.
    #[error("unknown object status {0:#x}")]
    UnknownStatus(u64),
    /// Properties on an object that is none.
    #[error("an object that only carries a status has properties")]
    PropertiesOnStatus,
    /// A datagram that says it has properties, and none.
    #[error("a datagram announces properties and has none")]
    EmptyProperties,
    /// An id past the largest number, or below 0.
    #[error("a group, subgroup or object id overflows")]
    IdOverflow,
    /// The first object of a FETCH refers to the one before it.
    #[error("an object refers to one before it, and there is none")]
    NoPriorObject,
    /// The stream or datagram ends inside a header or object.
    #[error("the stream ends inside an object")]
    Truncated,
    /// Properties that cannot be read.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A payload longer than [`PAYLOAD_LEN_MAX`].
    #[error("a payload of {0} bytes is longer than {PAYLOAD_LEN_MAX}")]
    PayloadTooLong(u64),
    /// A properties block longer than [`PROPERTIES_LEN_MAX`].
    #[error("a properties block of {0} bytes is longer than {PROPERTIES_LEN_MAX}")]
    PropertiesTooLong(u64),
}

/// What to do about a [`DataError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The peer broke a rule of the draft: close the session.
    Close(SessionError),
    /// A limit of ours is reached: stop this stream, the session goes on.
    Stop(StreamResetCode),
}

impl DataError {
    /// What to do about it.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::PayloadTooLong(_) | Self::PropertiesTooLong(_) => {
                Remedy::Stop(StreamResetCode::ExcessiveLoad)
            }
            Self::Property(error) => Remedy::Close(error.session_error()),
            Self::UnknownStreamType(_)
            | Self::UnknownDatagramType(_)
            | Self::UnknownFetchFlags(_)
            | Self::UnknownStatus(_)
            | Self::PropertiesOnStatus
            | Self::EmptyProperties
            | Self::IdOverflow
            | Self::NoPriorObject
            | Self::Truncated => Remedy::Close(SessionError::ProtocolViolation),
        }
    }
}
