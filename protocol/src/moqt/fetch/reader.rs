//! Reads a FETCH stream as it arrives.

use bytes::Bytes;

use super::{FetchHeader, RangeKind, flag};
use crate::moqt::chunks::{Chunks, payload_len, properties_len};
use crate::moqt::location::{GroupOrder, Location};
use crate::moqt::object::DataError;
use crate::moqt::properties::Properties;
use crate::wire::{Incomplete, Reader};

/// What a FETCH stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// The header: once, first.
    Header(FetchHeader),
    /// An object, whole.
    Object {
        /// Where it stands.
        location: Location,
        /// Its subgroup; `None` for an object that was published as a datagram.
        subgroup: Option<u64>,
        /// The publisher's priority.
        priority: u8,
        /// Its properties block, checked for its form.
        properties: Bytes,
        /// Its payload.
        payload: Bytes,
    },
    /// Everything from the location before up to `end`, inclusive, is left out.
    RangeEnd {
        /// Why.
        kind: RangeKind,
        /// The last location.
        end: Location,
    },
}

/// An object without properties and payload.
#[derive(Clone, Copy, Debug)]
struct Head {
    location: Location,
    subgroup: Option<u64>,
    priority: u8,
}

#[derive(Debug)]
enum State {
    Header,
    Head,
    Properties {
        head: Head,
        len: usize,
    },
    PayloadLen {
        head: Head,
        properties: Bytes,
    },
    Payload {
        head: Head,
        properties: Bytes,
        len: usize,
    },
}

/// A FETCH stream, from the first byte of its type on.
///
/// Push a chunk, then poll until `None`. What is said of
/// [`SubgroupReader`](crate::moqt::subgroup::SubgroupReader) about memory, copies and errors holds
/// here too.
#[derive(Debug)]
pub struct FetchReader {
    order: GroupOrder,
    prior: Option<Location>,
    subgroup: Option<u64>,
    priority: Option<u8>,
    state: State,
    chunks: Chunks,
}

impl FetchReader {
    /// A stream of which nothing has arrived, in the order that the FETCH asked for.
    pub fn new(order: GroupOrder) -> Self {
        Self {
            order,
            prior: None,
            subgroup: None,
            priority: None,
            state: State::Header,
            chunks: Chunks::default(),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// The next event, or `None` when more bytes are needed for it.
    pub fn poll(&mut self) -> Result<Option<FetchEvent>, DataError> {
        loop {
            match &mut self.state {
                State::Header => {
                    let Some(header) = self.chunks.header(FetchHeader::decode) else {
                        return Ok(None);
                    };
                    let header = header?;
                    self.state = State::Head;
                    return Ok(Some(FetchEvent::Header(header)));
                }
                State::Head => {
                    let Some(fields) = self.chunks.header(Fields::decode) else {
                        return Ok(None);
                    };
                    if let Some(range_end) = self.take_fields(fields)? {
                        return Ok(Some(range_end));
                    }
                }
                &mut State::Properties { head, len } => {
                    let Some(block) = self.chunks.take(len) else {
                        return Ok(None);
                    };
                    let properties = Properties::new(block)?.into_bytes();
                    self.state = State::PayloadLen { head, properties };
                }
                State::PayloadLen { head, properties } => {
                    let Some(len) = self.chunks.header(|reader| reader.vi64()) else {
                        return Ok(None);
                    };
                    self.state = State::Payload {
                        head: *head,
                        properties: std::mem::take(properties),
                        len: payload_len(len)?,
                    };
                }
                State::Payload {
                    head,
                    properties,
                    len,
                } => {
                    let Some(payload) = self.chunks.take(*len) else {
                        return Ok(None);
                    };
                    let event = FetchEvent::Object {
                        location: head.location,
                        subgroup: head.subgroup,
                        priority: head.priority,
                        properties: std::mem::take(properties),
                        payload,
                    };
                    self.state = State::Head;
                    return Ok(Some(event));
                }
            }
        }
    }

    /// The stream ended with a FIN: an error unless it ended after a whole object, or after the
    /// header.
    pub fn finish(&self) -> Result<(), DataError> {
        if matches!(self.state, State::Head) && self.chunks.is_empty() {
            Ok(())
        } else {
            Err(DataError::Truncated)
        }
    }

    /// Resolves the fields of an object or a range end against what came before.
    fn take_fields(&mut self, fields: Fields) -> Result<Option<FetchEvent>, DataError> {
        let kind = RangeKind::from_flags(fields.flags);
        if fields.flags > flag::ALL && kind.is_none() {
            return Err(DataError::UnknownFetchFlags(fields.flags));
        }
        let location = self.locate(fields.group, fields.object)?;
        if let Some(kind) = kind {
            self.prior = Some(location);
            let end = location;
            return Ok(Some(FetchEvent::RangeEnd { kind, end }));
        }
        let subgroup = self.subgroup_of(&fields)?;
        let priority = fields.priority.or(self.priority);
        let priority = priority.ok_or(DataError::NoPriorObject)?;
        let len = properties_len(fields.properties_len)?;
        self.prior = Some(location);
        self.subgroup = subgroup.or(self.subgroup);
        self.priority = Some(priority);
        let head = Head {
            location,
            subgroup,
            priority,
        };
        self.state = State::Properties { head, len };
        Ok(None)
    }

    fn locate(&self, group: Option<u64>, object: Option<u64>) -> Result<Location, DataError> {
        let Some(prior) = self.prior else {
            return match (group, object) {
                (Some(group), Some(object)) => Ok(Location::new(group, object)),
                _ => Err(DataError::NoPriorObject),
            };
        };
        let located = match group {
            Some(delta) => {
                let step = delta.checked_add(1);
                let group = step.and_then(|step| match self.order {
                    GroupOrder::Ascending => prior.group.checked_add(step),
                    GroupOrder::Descending => prior.group.checked_sub(step),
                });
                group.zip(object.or_else(|| prior.object.checked_add(1)))
            }
            None => {
                let object = prior.object.checked_add(object.unwrap_or(1));
                object.map(|object| (prior.group, object))
            }
        };
        let (group, object) = located.ok_or(DataError::IdOverflow)?;
        Ok(Location::new(group, object))
    }

    fn subgroup_of(&self, fields: &Fields) -> Result<Option<u64>, DataError> {
        if fields.flags & flag::DATAGRAM != 0 {
            return Ok(None);
        }
        let prior = self.subgroup.ok_or(DataError::NoPriorObject);
        match fields.flags & flag::SUBGROUP_MODE {
            flag::SUBGROUP_ZERO => Ok(Some(0)),
            flag::SUBGROUP_PRIOR => prior.map(Some),
            flag::SUBGROUP_PRIOR_PLUS_ONE => match prior?.checked_add(1) {
                Some(next) => Ok(Some(next)),
                None => Err(DataError::IdOverflow),
            },
            _ => Ok(fields.subgroup),
        }
    }
}

/// The fields of an object or a range end, as they stand on the wire.
struct Fields {
    flags: u64,
    group: Option<u64>,
    subgroup: Option<u64>,
    object: Option<u64>,
    priority: Option<u8>,
    properties_len: u64,
}

impl Fields {
    /// Flags that the draft does not have are read without fields: they are refused afterwards.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Incomplete> {
        let flags = reader.vi64()?;
        let range = flags > flag::ALL;
        let known = !range || RangeKind::from_flags(flags).is_some();
        let has = |bit: u64| known && flags & bit != 0;
        let explicit = !range
            && flags & flag::DATAGRAM == 0
            && flags & flag::SUBGROUP_MODE == flag::SUBGROUP_EXPLICIT;
        let optional =
            |reader: &mut Reader<'_>, present: bool| present.then(|| reader.vi64()).transpose();
        Ok(Self {
            flags,
            group: optional(reader, has(flag::GROUP))?,
            subgroup: optional(reader, explicit)?,
            object: optional(reader, has(flag::OBJECT))?,
            priority: match !range && has(flag::PRIORITY) {
                true => Some(reader.u8()?),
                false => None,
            },
            properties_len: match !range && has(flag::PROPERTIES) {
                true => reader.vi64()?,
                false => 0,
            },
        })
    }
}
