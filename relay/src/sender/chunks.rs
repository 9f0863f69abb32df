//! What is being written to a viewer's stream: a fixed number of shared slices, and no allocation.

use bytes::Bytes;

use crate::ring::Object;

/// The times of an object that its latency is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) first_byte_us: u64,
    /// None when the object was there before the viewer.
    pub(super) taken_us: Option<u64>,
}

/// A batch of objects on their way into a stream.
#[derive(Debug, Default)]
pub(super) struct Batch {
    chunks: [Bytes; CHUNKS],
    /// Chunks `next..len` are still to be accepted; the first of them may be cut.
    next: usize,
    len: usize,
    times: [Times; OBJECTS],
    objects: usize,
    bytes: u64,
}

impl Batch {
    /// Whether everything was accepted.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.len
    }

    /// Whether another object fits.
    pub(super) fn has_room(&self) -> bool {
        self.objects < OBJECTS && self.len + CHUNKS_PER_OBJECT <= CHUNKS
    }

    /// Drops what is left.
    pub(super) fn clear(&mut self) {
        for chunk in &mut self.chunks[self.next..self.len] {
            *chunk = Bytes::new();
        }
        (self.next, self.len, self.objects, self.bytes) = (0, 0, 0, 0);
    }

    /// Adds an object. `prefix` replaces the first byte of its header, the distance of 0 to the
    /// object before it, when the distance is another.
    pub(super) fn push_object(
        &mut self,
        object: &Object,
        prefix: Option<Bytes>,
        legacy: bool,
        taken_us: Option<u64>,
    ) {
        let cut = usize::from(prefix.is_some());
        if let Some(prefix) = prefix {
            self.push(prefix);
        }
        match object.split(legacy) {
            Some(legacy) => {
                self.push(legacy.header.slice(cut..));
                self.push(object.payload());
            }
            None if cut > 0 => self.push(object.wire.slice(cut..)),
            None => self.push(object.wire.clone()),
        }
        self.times[self.objects] = Times {
            first_byte_us: object.first_byte_us,
            taken_us,
        };
        self.objects += 1;
    }

    /// Adds a chunk that is no object's: a stream's header.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len() as u64;
        self.chunks[self.len] = chunk;
        self.len += 1;
    }

    /// What is still to be accepted.
    pub(super) fn remaining(&mut self) -> &mut [Bytes] {
        &mut self.chunks[self.next..self.len]
    }

    /// `chunks` of the remaining ones were accepted whole.
    pub(super) fn on_accepted(&mut self, chunks: usize) {
        self.next = self.len.min(self.next + chunks);
    }

    /// The objects of a batch that was accepted, and its size in bytes; the batch is empty then.
    pub(super) fn take(&mut self) -> (&[Times], u64) {
        let (objects, bytes) = (self.objects, self.bytes);
        self.clear();
        (&self.times[..objects], bytes)
    }
}

/// Objects in a batch: a viewer at the head has one, one that catches up has as many as fit.
const OBJECTS: usize = 4;

/// A distance, a header, a payload.
const CHUNKS_PER_OBJECT: usize = 3;

/// A stream header, and objects of two chunks each with one distance among them.
const CHUNKS: usize = 2 + 2 * OBJECTS + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::LegacyHeader;

    fn object() -> Object {
        Object {
            id: 5,
            wire: Bytes::from_static(b"\0hdrpayload"),
            header_len: 4,
            properties: Bytes::new(),
            legacy: Some(LegacyHeader {
                header: Bytes::from_static(b"\0old"),
                properties: Bytes::new(),
                prefix_len: 0,
                always: false,
            }),
            first_byte_us: 1,
            complete_us: 2,
        }
    }

    fn joined(batch: &mut Batch) -> Vec<u8> {
        batch.remaining().concat()
    }

    #[test]
    fn object_is_one_shared_chunk() {
        let object = object();
        let mut batch = Batch::default();
        batch.push_object(&object, None, false, Some(3));
        assert_eq!(batch.remaining().len(), 1);
        assert_eq!(batch.remaining()[0].as_ptr(), object.wire.as_ptr());
    }

    #[test]
    fn distance_replaces_the_first_byte() {
        let mut batch = Batch::default();
        batch.push(Bytes::from_static(b"S"));
        let distance = Bytes::from_static(b"\x05");
        batch.push_object(&object(), Some(distance.clone()), false, Some(3));
        assert_eq!(joined(&mut batch), b"S\x05hdrpayload");
        batch.clear();
        batch.push_object(&object(), Some(distance), true, Some(3));
        assert_eq!(joined(&mut batch), b"\x05oldpayload");
    }

    #[test]
    fn batch_is_done_when_every_chunk_was_accepted() {
        let mut batch = Batch::default();
        while batch.has_room() {
            batch.push_object(&object(), None, true, Some(3));
        }
        let chunks = batch.remaining().len();
        batch.on_accepted(chunks - 1);
        assert!(!batch.is_empty());
        batch.on_accepted(1);
        assert!(batch.is_empty());
        let (times, bytes) = batch.take();
        assert_eq!(times.len(), OBJECTS);
        assert_eq!(bytes, 11 * OBJECTS as u64);
    }
}
