//! FETCH streams: objects of the past, each written as what differs from the one before.

mod reader;
mod writer;

use bytes::BufMut;

use super::object::DataError;
use crate::wire::{Incomplete, Reader, put_vi64};

pub use reader::{FetchEvent, FetchReader};
pub use writer::{FetchObjectWriter, FetchOrderError};

const FETCH_HEADER: u64 = 0x05;

/// The flags in front of an object (draft 18, "Fetch Header", "Flags").
mod flag {
    /// How the subgroup's id is known; one of the four below.
    pub(super) const SUBGROUP_MODE: u64 = 0x03;
    pub(super) const SUBGROUP_ZERO: u64 = 0x00;
    pub(super) const SUBGROUP_PRIOR: u64 = 0x01;
    pub(super) const SUBGROUP_PRIOR_PLUS_ONE: u64 = 0x02;
    pub(super) const SUBGROUP_EXPLICIT: u64 = 0x03;
    /// The object's id is a field; else it is one more than the prior object's.
    pub(super) const OBJECT: u64 = 0x04;
    /// The group's id is a field; else it is the prior object's.
    pub(super) const GROUP: u64 = 0x08;
    /// The priority is a field; else it is the prior object's.
    pub(super) const PRIORITY: u64 = 0x10;
    pub(super) const PROPERTIES: u64 = 0x20;
    /// The object was a datagram and has no subgroup.
    pub(super) const DATAGRAM: u64 = 0x40;
    /// Larger numbers are no flags but the two ends of ranges.
    pub(super) const ALL: u64 = 0x7f;
}

/// The header of a FETCH stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchHeader {
    /// The FETCH that this answers.
    pub request_id: u64,
}

impl FetchHeader {
    /// Writes the stream type and the header.
    pub fn encode(&self, out: &mut impl BufMut) {
        put_vi64(out, FETCH_HEADER);
        put_vi64(out, self.request_id);
    }

    /// Reads both. The outer error is "more bytes are needed", the inner one that these are no
    /// FETCH's.
    fn decode(reader: &mut Reader<'_>) -> Result<Result<Self, DataError>, Incomplete> {
        match reader.vi64()? {
            FETCH_HEADER => Ok(Ok(Self {
                request_id: reader.vi64()?,
            })),
            other => Ok(Err(DataError::UnknownStreamType(other))),
        }
    }
}

/// What is known of a range of locations that a FETCH stream leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeKind {
    /// Its objects do not exist. Leaving them out says the same.
    NonExistent,
    /// Whether its objects exist is not known, as of a relay that no longer has them.
    Unknown,
    /// Its objects did not turn up in the time that FILL_TIMEOUT gave (draft 20).
    TimedOut,
}

impl RangeKind {
    fn flags(self) -> u64 {
        match self {
            Self::NonExistent => 0x8c,
            Self::Unknown => 0x10c,
            Self::TimedOut => 0x20c,
        }
    }

    fn from_flags(flags: u64) -> Option<Self> {
        match flags {
            0x8c => Some(Self::NonExistent),
            0x10c => Some(Self::Unknown),
            0x20c => Some(Self::TimedOut),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
