//! Subgroup streams: the live path of objects.
//!
//! A stream is a header and then objects with ascending ids. The writer's side is made of free
//! functions, because a relay writes an object's header once, in front of its payload, for all
//! viewers; the reader's side is [`SubgroupReader`].

mod reader;

use bytes::BufMut;

use super::object::{DataError, ObjectStatus};
use crate::wire::{Incomplete, Reader, put_vi64, vi64_len};

pub use reader::{SubgroupEvent, SubgroupPiece, SubgroupReader};

/// The bits of a subgroup stream's type (draft 18, "Subgroup Header").
mod bit {
    /// Every object has a properties block.
    pub(super) const PROPERTIES: u8 = 0x01;
    /// How the subgroup's id is known.
    pub(super) const SUBGROUP_MODE: u8 = 0x06;
    /// The subgroup's id is the first object's.
    pub(super) const SUBGROUP_FIRST_OBJECT: u8 = 0x02;
    /// The subgroup's id is a field.
    pub(super) const SUBGROUP_EXPLICIT: u8 = 0x04;
    /// The last object of the stream, when it ends with a FIN, is the last of the group.
    pub(super) const END_OF_GROUP: u8 = 0x08;
    /// Set in every subgroup type.
    pub(super) const BASE: u8 = 0x10;
    /// The header has no priority.
    pub(super) const DEFAULT_PRIORITY: u8 = 0x20;
    /// The first object of the stream is the first of the subgroup.
    pub(super) const FIRST_OBJECT: u8 = 0x40;
}

/// How a subgroup's id is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubgroupId {
    /// It is 0.
    #[default]
    Zero,
    /// It is the id of the stream's first object.
    FirstObject,
    /// It is this.
    Explicit(u64),
}

/// The header of a subgroup stream. The default is subgroup 0 of group 0 under alias 0, with the
/// track's priority and nothing promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubgroupHeader {
    /// Names the track, as agreed in SUBSCRIBE_OK or PUBLISH.
    pub alias: u64,
    /// The group's id.
    pub group: u64,
    /// The subgroup's id.
    pub subgroup: SubgroupId,
    /// The publisher's priority, lower is more urgent; `None` is the track's default.
    pub priority: Option<u8>,
    /// Whether every object has a properties block, be it an empty one.
    pub properties: bool,
    /// Whether the last object, when the stream ends with a FIN, is the last of the group.
    pub end_of_group: bool,
    /// Whether the stream's first object is the first ever published of the subgroup.
    pub first_object: bool,
}

/// Whether a stream's type is that of a subgroup.
pub(super) fn is_subgroup_type(kind: u64) -> bool {
    u8::try_from(kind).is_ok_and(|kind| {
        kind < 0x80 && kind & bit::BASE != 0 && kind & bit::SUBGROUP_MODE != bit::SUBGROUP_MODE
    })
}

impl SubgroupHeader {
    /// Longest header, in bytes: the type, three integers and the priority.
    pub const LEN_MAX: usize = 1 + 3 * crate::wire::VI64_LEN_MAX + 1;

    /// The stream's type.
    pub fn stream_type(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let subgroup = match self.subgroup {
            SubgroupId::Zero => 0,
            SubgroupId::FirstObject => bit::SUBGROUP_FIRST_OBJECT,
            SubgroupId::Explicit(_) => bit::SUBGROUP_EXPLICIT,
        };
        bit::BASE
            | flag(self.properties, bit::PROPERTIES)
            | subgroup
            | flag(self.end_of_group, bit::END_OF_GROUP)
            | flag(self.priority.is_none(), bit::DEFAULT_PRIORITY)
            | flag(self.first_object, bit::FIRST_OBJECT)
    }

    /// Writes the type and the header, at most [`Self::LEN_MAX`] bytes.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(self.stream_type());
        put_vi64(out, self.alias);
        put_vi64(out, self.group);
        if let SubgroupId::Explicit(subgroup) = self.subgroup {
            put_vi64(out, subgroup);
        }
        if let Some(priority) = self.priority {
            out.put_u8(priority);
        }
    }

    /// Reads the type and the header. The outer error is "more bytes are needed", the inner one
    /// that these are no subgroup's.
    fn decode(reader: &mut Reader<'_>) -> Result<Result<Self, DataError>, Incomplete> {
        let wide = reader.vi64()?;
        if !is_subgroup_type(wide) {
            return Ok(Err(DataError::UnknownStreamType(wide)));
        }
        let kind = wide as u8;
        Ok(Ok(Self {
            alias: reader.vi64()?,
            group: reader.vi64()?,
            subgroup: match kind & bit::SUBGROUP_MODE {
                bit::SUBGROUP_EXPLICIT => SubgroupId::Explicit(reader.vi64()?),
                bit::SUBGROUP_FIRST_OBJECT => SubgroupId::FirstObject,
                _ => SubgroupId::Zero,
            },
            priority: match kind & bit::DEFAULT_PRIORITY {
                0 => Some(reader.u8()?),
                _ => None,
            },
            properties: kind & bit::PROPERTIES != 0,
            end_of_group: kind & bit::END_OF_GROUP != 0,
            first_object: kind & bit::FIRST_OBJECT != 0,
        }))
    }
}

/// Length in bytes of what [`put_object_header`] writes for the same arguments.
pub fn object_header_len(id_delta: u64, properties: Option<&[u8]>, payload_len: u64) -> usize {
    let properties = properties.map_or(0, |block| vi64_len(block.len() as u64) + block.len());
    let status = usize::from(payload_len == 0);
    vi64_len(id_delta) + properties + vi64_len(payload_len) + status
}

/// Writes the header of an object; its payload follows it on the stream.
///
/// `id_delta` is the id of a stream's first object, and of every other one how many ids were
/// skipped since the one before. `properties` is a block of key-value pairs without its length; it
/// is `Some`, be it empty, exactly when the stream's header says so. `status` counts only when
/// there is no payload, and `None` is [`ObjectStatus::Normal`].
pub fn put_object_header(
    out: &mut impl BufMut,
    id_delta: u64,
    properties: Option<&[u8]>,
    payload_len: u64,
    status: Option<ObjectStatus>,
) {
    put_vi64(out, id_delta);
    if let Some(block) = properties {
        crate::wire::put_prefixed(out, block);
    }
    put_vi64(out, payload_len);
    if payload_len == 0 {
        put_vi64(out, status.unwrap_or_default().code());
    }
}

/// Writes an object's header to the front of `room` and returns it, without allocating; `None`
/// when the room is too small. It is meant for [`Body::prepend`](crate::body::Body::prepend).
pub fn object_header_in<'a>(
    room: &'a mut [u8],
    id_delta: u64,
    properties: Option<&[u8]>,
    payload_len: u64,
    status: Option<ObjectStatus>,
) -> Option<&'a [u8]> {
    let header = room.get_mut(..object_header_len(id_delta, properties, payload_len))?;
    let mut out = &mut *header;
    put_object_header(&mut out, id_delta, properties, payload_len, status);
    Some(header)
}

#[cfg(test)]
mod tests;
