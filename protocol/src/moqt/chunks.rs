//! A byte stream that arrives in chunks, read as headers and as whole fields.
//!
//! A field that lies in one chunk is a slice of it; only a field that spans chunks is copied
//! together.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::object::{DataError, PAYLOAD_LEN_MAX, PROPERTIES_LEN_MAX};
use crate::wire::{Incomplete, Reader};

/// Longest header that is parsed in one go: the fetch object's, five integers of nine bytes, a
/// priority and a length. A header that needs more than this is not a header.
const HEADER_LEN_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Received and not yet read; no chunk is empty.
    queue: VecDeque<Bytes>,
    /// The beginning of the field that `take` waits for, from chunks that are used up.
    field: BytesMut,
}

impl Chunks {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.queue.push_back(chunk);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.field.is_empty()
    }

    /// Parses a header and moves past it; `None` leaves everything for the next try. Not to be
    /// called while a `take` is unfinished.
    pub(super) fn header<T>(
        &mut self,
        parse: impl Fn(&mut Reader<'_>) -> Result<T, Incomplete>,
    ) -> Option<T> {
        debug_assert!(self.field.is_empty(), "a field is being put together");
        let front = self.queue.front()?;
        let mut reader = Reader::new(front);
        if let Ok(header) = parse(&mut reader) {
            let len = reader.position();
            self.skip(len);
            return Some(header);
        }
        if self.queue.len() == 1 {
            return None;
        }
        let mut joined = [0; HEADER_LEN_MAX];
        let mut len = 0;
        for chunk in &self.queue {
            let room = joined.get_mut(len..).unwrap_or_default();
            let fits = room.len().min(chunk.len());
            for (to, from) in room.iter_mut().zip(chunk) {
                *to = *from;
            }
            len += fits;
        }
        let mut reader = Reader::new(joined.get(..len).unwrap_or_default());
        let header = parse(&mut reader).ok()?;
        let len = reader.position();
        self.skip(len);
        Some(header)
    }

    /// Takes a field of `len` bytes off the front; `None` when it is not all there yet. Then the
    /// same field must be asked for again.
    pub(super) fn take(&mut self, len: usize) -> Option<Bytes> {
        if self.field.is_empty() {
            if len == 0 {
                return Some(Bytes::new());
            }
            let front = self.queue.front_mut()?;
            if front.len() > len {
                return Some(front.split_to(len));
            }
            if front.len() == len {
                return self.queue.pop_front();
            }
        }
        while let Some(missing) = len.checked_sub(self.field.len()).filter(|&n| n > 0) {
            let mut front = self.queue.pop_front()?;
            let part = front.split_to(missing.min(front.len()));
            self.field.extend_from_slice(&part);
            self.push_front(front);
        }
        Some(std::mem::take(&mut self.field).freeze())
    }

    /// Takes what there is of a field of `len` bytes, without copying; `None` when nothing is.
    pub(super) fn piece(&mut self, len: usize) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        match front.len() > len {
            true => Some(front.split_to(len)),
            false => self.queue.pop_front(),
        }
    }

    fn push_front(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.queue.push_front(chunk);
        }
    }

    fn skip(&mut self, mut len: usize) {
        while let Some(mut front) = self.queue.pop_front() {
            let part = len.min(front.len());
            front.advance(part);
            len -= part;
            self.push_front(front);
            if len == 0 {
                return;
            }
        }
    }
}

/// The properties length as a size, when it is within the limit.
pub(super) fn properties_len(len: u64) -> Result<usize, DataError> {
    match len {
        0..=PROPERTIES_LEN_MAX => Ok(len as usize),
        _ => Err(DataError::PropertiesTooLong(len)),
    }
}

/// The payload length as a size, when it is within the limit.
pub(super) fn payload_len(len: u64) -> Result<usize, DataError> {
    match len {
        0..=PAYLOAD_LEN_MAX => Ok(len as usize),
        _ => Err(DataError::PayloadTooLong(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(parts: &[&'static [u8]]) -> Chunks {
        let mut chunks = Chunks::default();
        parts
            .iter()
            .for_each(|part| chunks.push(Bytes::from_static(part)));
        chunks
    }

    #[test]
    fn a_field_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"headpayloadtail");
        let mut chunks = Chunks::default();
        chunks.push(chunk.clone());
        assert_eq!(chunks.take(4).as_deref(), Some(&b"head"[..]));
        let payload = chunks.take(7).unwrap();
        assert_eq!(&payload[..], b"payload");
        assert_eq!(payload.as_ptr(), chunk[4..].as_ptr());
        assert_eq!(chunks.take(4).as_deref(), Some(&b"tail"[..]));
        assert!(chunks.is_empty());
    }

    #[test]
    fn a_field_across_chunks_is_joined() {
        let mut chunks = chunks(&[b"ab", b"", b"cd"]);
        assert_eq!(chunks.take(5), None);
        chunks.push(Bytes::from_static(b"efg"));
        assert_eq!(chunks.take(5).as_deref(), Some(&b"abcde"[..]));
        assert_eq!(chunks.take(2).as_deref(), Some(&b"fg"[..]));
        assert_eq!(chunks.take(0).as_deref(), Some(&b""[..]));
        assert_eq!(chunks.take(1), None);
    }

    #[test]
    fn a_header_across_chunks_is_joined_and_an_unfinished_one_waits() {
        let mut chunks = chunks(&[&[0xbb]]);
        let pair = |reader: &mut Reader<'_>| Ok((reader.vi64()?, reader.u8()?));
        assert_eq!(chunks.header(pair), None);
        chunks.push(Bytes::from_static(&[0xbd]));
        assert_eq!(chunks.header(pair), None);
        chunks.push(Bytes::from_static(&[7, 8]));
        assert_eq!(chunks.header(pair), Some((15_293, 7)));
        assert_eq!(chunks.take(1).as_deref(), Some(&[8][..]));
        assert!(chunks.is_empty());
    }
}
