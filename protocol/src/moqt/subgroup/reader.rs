//! Reads a subgroup stream as it arrives.

use bytes::Bytes;

use super::SubgroupHeader;
use crate::moqt::chunks::{Chunks, payload_len, properties_len};
use crate::moqt::object::{DataError, ObjectStatus};
use crate::moqt::properties::Properties;

/// What a subgroup stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubgroupEvent {
    /// The header: once, first.
    Header(SubgroupHeader),
    /// An object, whole.
    Object {
        /// Its id in the group.
        id: u64,
        /// Its properties block, checked for its form.
        properties: Bytes,
        /// What it means.
        status: ObjectStatus,
        /// Its payload; empty unless the status is [`ObjectStatus::Normal`].
        payload: Bytes,
    },
}

/// What a subgroup stream says, with payloads in the pieces that they arrive in: for a reader that
/// has a place of its own for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubgroupPiece {
    /// The header: once, first.
    Header(SubgroupHeader),
    /// An object begins.
    Object {
        /// Its id in the group.
        id: u64,
        /// Its properties block, checked for its form.
        properties: Bytes,
        /// What it means.
        status: ObjectStatus,
        /// Length of its payload, which follows in pieces unless it is 0.
        payload_len: usize,
    },
    /// The next bytes of the payload; the object is whole when it has as many as announced.
    Payload(Bytes),
}

/// An object up to its payload.
struct Head {
    id: u64,
    properties: Bytes,
    status: ObjectStatus,
    len: usize,
}

/// What is read next.
#[derive(Debug)]
enum State {
    Header,
    /// The id delta, and when there are properties their length.
    ObjectHead,
    Properties {
        id: u64,
        len: usize,
    },
    /// The payload's length, and when it is 0 the status.
    PayloadHead {
        id: u64,
        properties: Bytes,
    },
    Payload {
        id: u64,
        properties: Bytes,
        len: usize,
    },
    /// Bytes of a payload that is handed out in pieces.
    Pieces(usize),
}

/// A subgroup stream, from the first byte of its type on.
///
/// Push a chunk, then poll until `None`: what stays buffered between two pushes is part of one
/// object and within the limits of [`object`](crate::moqt::object). A payload that lies in one
/// chunk is not copied. After an error the reader is of no more use.
#[derive(Debug)]
pub struct SubgroupReader {
    header: SubgroupHeader,
    last_id: Option<u64>,
    state: State,
    chunks: Chunks,
}

impl Default for SubgroupReader {
    fn default() -> Self {
        Self::new()
    }
}

impl SubgroupReader {
    /// A stream of which nothing has arrived.
    pub fn new() -> Self {
        Self {
            header: SubgroupHeader::default(),
            last_id: None,
            state: State::Header,
            chunks: Chunks::default(),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// The next event, or `None` when more bytes are needed for it.
    pub fn poll(&mut self) -> Result<Option<SubgroupEvent>, DataError> {
        if matches!(self.state, State::Header) {
            return Ok(self.poll_header()?.map(SubgroupEvent::Header));
        }
        if !matches!(self.state, State::Payload { .. }) {
            let Some(head) = self.poll_head()? else {
                return Ok(None);
            };
            if head.len == 0 {
                return Ok(Some(self.object(head, Bytes::new())));
            }
            self.state = State::Payload {
                id: head.id,
                properties: head.properties,
                len: head.len,
            };
        }
        let State::Payload {
            id,
            properties,
            len,
        } = &mut self.state
        else {
            return Ok(None);
        };
        let Some(payload) = self.chunks.take(*len) else {
            return Ok(None);
        };
        let head = Head {
            id: *id,
            properties: std::mem::take(properties),
            status: ObjectStatus::Normal,
            len: *len,
        };
        Ok(Some(self.object(head, payload)))
    }

    /// The next piece, or `None` when more bytes are needed for it. Not to be mixed with
    /// [`poll`](Self::poll).
    pub fn poll_piece(&mut self) -> Result<Option<SubgroupPiece>, DataError> {
        match self.state {
            State::Header => Ok(self.poll_header()?.map(SubgroupPiece::Header)),
            State::Pieces(missing) => {
                let Some(piece) = self.chunks.piece(missing) else {
                    return Ok(None);
                };
                self.state = match missing - piece.len() {
                    0 => State::ObjectHead,
                    missing => State::Pieces(missing),
                };
                Ok(Some(SubgroupPiece::Payload(piece)))
            }
            State::ObjectHead
            | State::Properties { .. }
            | State::PayloadHead { .. }
            | State::Payload { .. } => {
                let Some(head) = self.poll_head()? else {
                    return Ok(None);
                };
                self.last_id = Some(head.id);
                self.state = match head.len {
                    0 => State::ObjectHead,
                    missing => State::Pieces(missing),
                };
                Ok(Some(SubgroupPiece::Object {
                    id: head.id,
                    properties: head.properties,
                    status: head.status,
                    payload_len: head.len,
                }))
            }
        }
    }

    fn poll_header(&mut self) -> Result<Option<SubgroupHeader>, DataError> {
        let Some(header) = self.chunks.header(SubgroupHeader::decode) else {
            return Ok(None);
        };
        self.header = header?;
        self.state = State::ObjectHead;
        Ok(Some(self.header))
    }

    /// An object up to its payload. The state is the caller's to set.
    fn poll_head(&mut self) -> Result<Option<Head>, DataError> {
        loop {
            match &mut self.state {
                State::ObjectHead => {
                    let with_properties = self.header.properties;
                    let head = self.chunks.header(|reader| {
                        let delta = reader.vi64()?;
                        let len = if with_properties { reader.vi64()? } else { 0 };
                        Ok((delta, len))
                    });
                    let Some((delta, len)) = head else {
                        return Ok(None);
                    };
                    let id = next_id(self.last_id, delta)?;
                    let len = properties_len(len)?;
                    self.state = State::Properties { id, len };
                }
                &mut State::Properties { id, len } => {
                    let Some(block) = self.chunks.take(len) else {
                        return Ok(None);
                    };
                    let properties = Properties::new(block)?.into_bytes();
                    self.state = State::PayloadHead { id, properties };
                }
                State::PayloadHead { id, properties } => {
                    let head = self.chunks.header(|reader| match reader.vi64()? {
                        0 => Ok((0, reader.vi64()?)),
                        len => Ok((len, 0)),
                    });
                    let Some((len, status)) = head else {
                        return Ok(None);
                    };
                    let (id, properties) = (*id, std::mem::take(properties));
                    let status = match len {
                        0 => empty_status(status, &properties)?,
                        _ => ObjectStatus::Normal,
                    };
                    return Ok(Some(Head {
                        id,
                        properties,
                        status,
                        len: payload_len(len)?,
                    }));
                }
                State::Header | State::Payload { .. } | State::Pieces(_) => return Ok(None),
            }
        }
    }

    /// The stream ended with a FIN: an error unless it ended after a whole object, or after the
    /// header.
    pub fn finish(&self) -> Result<(), DataError> {
        if matches!(self.state, State::ObjectHead) && self.chunks.is_empty() {
            Ok(())
        } else {
            Err(DataError::Truncated)
        }
    }

    /// The header, once it is there.
    pub fn header(&self) -> Option<&SubgroupHeader> {
        (!matches!(self.state, State::Header)).then_some(&self.header)
    }

    fn object(&mut self, head: Head, payload: Bytes) -> SubgroupEvent {
        self.last_id = Some(head.id);
        self.state = State::ObjectHead;
        SubgroupEvent::Object {
            id: head.id,
            properties: head.properties,
            status: head.status,
            payload,
        }
    }
}

fn next_id(last: Option<u64>, delta: u64) -> Result<u64, DataError> {
    match last {
        None => Ok(delta),
        Some(last) => last
            .checked_add(1)
            .and_then(|next| next.checked_add(delta))
            .ok_or(DataError::IdOverflow),
    }
}

/// The status of an object without payload.
pub(in crate::moqt) fn empty_status(
    code: u64,
    properties: &Bytes,
) -> Result<ObjectStatus, DataError> {
    let status = ObjectStatus::from_code(code).ok_or(DataError::UnknownStatus(code))?;
    match status {
        ObjectStatus::EndOfGroup | ObjectStatus::EndOfTrack if !properties.is_empty() => {
            Err(DataError::PropertiesOnStatus)
        }
        ObjectStatus::Normal | ObjectStatus::EndOfGroup | ObjectStatus::EndOfTrack => Ok(status),
    }
}
