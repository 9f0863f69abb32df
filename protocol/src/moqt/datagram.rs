//! Objects in datagrams.

use bytes::{BufMut, Bytes};

use super::chunks::properties_len;
use super::object::{DataError, ObjectStatus};
use super::properties::Properties;
use crate::wire::{Incomplete, Reader, put_prefixed, put_vi64};

const PADDING: u64 = 0x132b_3e29;

/// The bits of a datagram's type (draft 18, "Object Datagram").
mod bit {
    pub(super) const PROPERTIES: u64 = 0x01;
    pub(super) const END_OF_GROUP: u64 = 0x02;
    pub(super) const ZERO_OBJECT_ID: u64 = 0x04;
    pub(super) const DEFAULT_PRIORITY: u64 = 0x08;
    pub(super) const STATUS: u64 = 0x20;
    pub(super) const ALL: u64 = 0x2f;
}

/// An object that travels in one datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectDatagram {
    /// Names the track, as agreed in SUBSCRIBE_OK or PUBLISH.
    pub alias: u64,
    /// The group's id.
    pub group: u64,
    /// The object's id.
    pub object: u64,
    /// The publisher's priority; `None` is the track's default.
    pub priority: Option<u8>,
    /// Whether no larger object id is in the group. Only an object can say so: it is not written
    /// with another status than [`ObjectStatus::Normal`].
    pub end_of_group: bool,
    /// The properties block without its length; only an object has one.
    pub properties: Bytes,
    /// What the datagram means.
    pub status: ObjectStatus,
    /// The payload; only an object has one.
    pub payload: Bytes,
}

impl ObjectDatagram {
    /// Writes the whole datagram. Whether it fits the path is for the sender to see.
    pub fn encode(&self, out: &mut impl BufMut) {
        let is_object = self.status == ObjectStatus::Normal;
        let with_properties = is_object && !self.properties.is_empty();
        let when = |set: bool, bit: u64| if set { bit } else { 0 };
        let kind = when(with_properties, bit::PROPERTIES)
            | when(is_object && self.end_of_group, bit::END_OF_GROUP)
            | when(self.object == 0, bit::ZERO_OBJECT_ID)
            | when(self.priority.is_none(), bit::DEFAULT_PRIORITY)
            | when(!is_object, bit::STATUS);
        put_vi64(out, kind);
        put_vi64(out, self.alias);
        put_vi64(out, self.group);
        if self.object != 0 {
            put_vi64(out, self.object);
        }
        if let Some(priority) = self.priority {
            out.put_u8(priority);
        }
        if with_properties {
            put_prefixed(out, &self.properties);
        }
        match is_object {
            true => out.put_slice(&self.payload),
            false => put_vi64(out, self.status.code()),
        }
    }

    /// Reads a datagram; `None` when it is padding. Properties and payload share its memory.
    pub fn decode(datagram: &Bytes) -> Result<Option<Self>, DataError> {
        let mut reader = Reader::new(datagram);
        let kind = reader.vi64().map_err(|_| DataError::Truncated)?;
        if kind == PADDING {
            return Ok(None);
        }
        let ambiguous = bit::STATUS | bit::END_OF_GROUP;
        if kind & !bit::ALL != 0 || kind & ambiguous == ambiguous {
            return Err(DataError::UnknownDatagramType(kind));
        }
        let fields = Self::fields(kind, &mut reader).map_err(|_| DataError::Truncated)?;
        let (mut object, block) = fields;
        if let Some(block) = block {
            if block.is_empty() {
                return Err(DataError::EmptyProperties);
            }
            properties_len(block.len() as u64)?;
            object.properties = Properties::new(datagram.slice_ref(block))?.into_bytes();
        }
        if kind & bit::STATUS == 0 {
            object.payload = datagram.slice_ref(reader.rest());
            return Ok(Some(object));
        }
        let code = reader.vi64().map_err(|_| DataError::Truncated)?;
        object.status = ObjectStatus::from_code(code).ok_or(DataError::UnknownStatus(code))?;
        if object.status != ObjectStatus::Normal && !object.properties.is_empty() {
            return Err(DataError::PropertiesOnStatus);
        }
        Ok(Some(object))
    }

    /// The fields up to the properties, and the properties block when there is one.
    fn fields<'a>(
        kind: u64,
        reader: &mut Reader<'a>,
    ) -> Result<(Self, Option<&'a [u8]>), Incomplete> {
        let object = Self {
            alias: reader.vi64()?,
            group: reader.vi64()?,
            object: match kind & bit::ZERO_OBJECT_ID {
                0 => reader.vi64()?,
                _ => 0,
            },
            priority: match kind & bit::DEFAULT_PRIORITY {
                0 => Some(reader.u8()?),
                _ => None,
            },
            end_of_group: kind & bit::END_OF_GROUP != 0,
            ..Self::default()
        };
        let block = match kind & bit::PROPERTIES {
            0 => None,
            _ => Some(reader.prefixed()?),
        };
        Ok((object, block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<ObjectDatagram>, DataError> {
        ObjectDatagram::decode(&Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn every_type_of_datagram_round_trips_and_the_others_are_refused() {
        let mut seen = 0;
        for kind in 0..=0xff_u64 {
            let mut bytes = Vec::new();
            put_vi64(&mut bytes, kind);
            bytes.extend([3, 5]);
            if kind & bit::ZERO_OBJECT_ID == 0 {
                bytes.push(9);
            }
            if kind & bit::DEFAULT_PRIORITY == 0 {
                bytes.push(200);
            }
            if kind & bit::PROPERTIES != 0 {
                bytes.extend([2, 8, 1]);
            }
            bytes.extend(if kind & bit::STATUS == 0 {
                b"xy"
            } else {
                &[0][..]
            });
            let valid = matches!(kind, 0..=0xf | 0x20..=0x2f) && kind & 0x22 != 0x22;
            if !valid {
                let refused = Err(DataError::UnknownDatagramType(kind));
                assert_eq!(decode(&bytes), refused);
                continue;
            }
            seen += 1;
            let object = decode(&bytes).unwrap().unwrap();
            let mut out = Vec::new();
            object.encode(&mut out);
            // An empty object has two forms, and the shorter one is written.
            if kind & bit::STATUS != 0 {
                bytes.pop();
                bytes[0] &= !(bit::STATUS as u8);
            }
            assert_eq!(out, bytes);
            assert_eq!(decode(&out), Ok(Some(object)));
        }
        assert_eq!(seen, 24);
    }

    #[test]
    fn a_status_travels_alone() {
        let end = ObjectDatagram {
            object: 4,
            status: ObjectStatus::EndOfGroup,
            ..Default::default()
        };
        let mut out = Vec::new();
        end.encode(&mut out);
        assert_eq!(out, [0x28, 0, 0, 4, 3]);
        assert_eq!(decode(&out), Ok(Some(end)));
        let with_properties = [0x2d, 0, 0, 2, 8, 1, 3];
        assert_eq!(decode(&with_properties), Err(DataError::PropertiesOnStatus));
        assert_eq!(decode(&[0x2c, 0, 0, 1]), Err(DataError::UnknownStatus(1)));
        assert_eq!(decode(&[0x0d, 0, 0, 0]), Err(DataError::EmptyProperties));
    }

    #[test]
    fn padding_is_nothing_and_a_cut_header_is_truncated() {
        assert_eq!(decode(&[0xf0, 0x13, 0x2b, 0x3e, 0x29, 0, 0]), Ok(None));
        let object = [0x01, 1, 2, 3, 4, 2, 8, 1];
        for cut in 0..object.len() {
            assert_eq!(decode(&object[..cut]), Err(DataError::Truncated));
        }
        let payload = decode(&object).unwrap().unwrap().payload;
        assert!(payload.is_empty());
    }
}
