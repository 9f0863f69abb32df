//! What is being written to a player's socket: headers of its own, payloads that all share.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;
use weir_protocol::rtmp::server::{MediaWriter, PLAY_CHUNK_BYTES};

/// Messages on their way into a socket. Its buffers are kept, so that a message costs no
/// allocation once they have grown.
#[derive(Debug, Default)]
pub(super) struct Batch {
    headers: Vec<u8>,
    pieces: Vec<Piece>,
    /// The first piece that is not written whole, and how much of it is.
    next: usize,
    written: usize,
    times: Vec<Times>,
    media_bytes: u64,
}

/// The times of an object that its latency is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) first_byte_us: u64,
    /// None when the object was there before the player.
    pub(super) taken_us: Option<u64>,
}

#[derive(Debug)]
enum Piece {
    /// A part of `headers`.
    Header(Range<usize>),
    Shared(Bytes),
}

/// Slices that one call hands to the system: a batch of ordinary frames, in pairs.
pub(super) const SLICES: usize = 64;

/// Messages in a batch: a third of a second at most, as what is in it cannot be skipped.
const MESSAGES: usize = 16;

/// Bytes beyond which a batch takes no further message: a burst is split, a key frame fits.
const BATCH_BYTES: u64 = 256 << 10;

impl Batch {
    /// Whether everything was written.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.pieces.len()
    }

    /// Whether another message fits.
    pub(super) fn has_room(&self) -> bool {
        self.times.len() < MESSAGES && self.media_bytes < BATCH_BYTES
    }

    /// Adds bytes that are no media.
    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.pieces.push(Piece::Shared(bytes));
    }

    /// Adds a message: `tag` in front of `payload`, in chunks.
    pub(super) fn push_message(
        &mut self,
        media: &mut MediaWriter,
        video: bool,
        timestamp_ms: u64,
        tag: &[u8],
        payload: Bytes,
    ) {
        let length = tag.len() + payload.len();
        let start = self.headers.len();
        let between = media.begin(&mut self.headers, video, timestamp_ms, length);
        self.headers.extend_from_slice(tag);
        self.pieces.push(Piece::Header(start..self.headers.len()));
        self.media_bytes += (self.headers.len() - start + payload.len()) as u64;
        let (mut rest, mut room) = (payload, PLAY_CHUNK_BYTES - tag.len());
        loop {
            let chunk = rest.split_to(rest.len().min(room));
            if !chunk.is_empty() {
                self.pieces.push(Piece::Shared(chunk));
            }
            if rest.is_empty() {
                return;
            }
            let start = self.headers.len();
            between.put(&mut self.headers);
            self.pieces.push(Piece::Header(start..self.headers.len()));
            room = PLAY_CHUNK_BYTES;
        }
    }

    /// Counts an object, whose messages were added before.
    pub(super) fn push_times(&mut self, times: Times) {
        self.times.push(times);
    }

    /// What is still to be written, as far as `slices` reach. Returns how many it filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.written;
        let pieces = self.pieces.iter().skip(self.next);
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            let bytes = match piece {
                Piece::Header(range) => self.headers.get(range.clone()).unwrap_or_default(),
                Piece::Shared(bytes) => bytes,
            };
            *slice = IoSlice::new(bytes.get(skip..).unwrap_or_default());
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The system took `bytes`.
    pub(super) fn on_written(&mut self, bytes: usize) {
        let mut left = self.written + bytes;
        while let Some(piece) = self.pieces.get_mut(self.next) {
            let len = match piece {
                Piece::Header(range) => range.len(),
                Piece::Shared(bytes) => bytes.len(),
            };
            if left < len {
                break;
            }
            left -= len;
            // A payload is kept alive no longer than it is needed.
            *piece = Piece::Header(0..0);
            self.next += 1;
        }
        self.written = left;
    }

    /// The times of the objects in the batch, and its bytes of media.
    pub(super) fn objects(&self) -> (&[Times], u64) {
        (&self.times, self.media_bytes)
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.headers.clear();
        self.pieces.clear();
        self.times.clear();
        (self.next, self.written, self.media_bytes) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_protocol::rtmp::StreamId;

    /// Writes at most `at_once` bytes a call.
    fn drain(batch: &mut Batch, at_once: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = batch.slices(&mut slices);
            let all: Vec<&[u8]> = slices[..filled].iter().map(|slice| &slice[..]).collect();
            let all = all.concat();
            let taken = all.len().min(at_once);
            wire.extend(&all[..taken]);
            batch.on_written(taken);
        }
        wire
    }

    fn batch(payload: &Bytes) -> Batch {
        let mut media = MediaWriter::new(StreamId(1));
        let mut batch = Batch::default();
        batch.push_bytes(Bytes::from_static(b"status"));
        for time in [0, 40, 80] {
            batch.push_message(&mut media, true, time, b"tag", payload.clone());
        }
        batch
    }

    #[test]
    fn bytes_are_the_same_however_few_the_socket_takes() {
        let payload = Bytes::from_static(b"a payload of some bytes");
        let whole = drain(&mut batch(&payload), usize::MAX);
        assert_eq!(drain(&mut batch(&payload), 1), whole);
        assert_eq!(drain(&mut batch(&payload), 7), whole);
        let tagged = [b"tag", &payload[..]].concat();
        let found = whole.windows(tagged.len()).filter(|at| *at == tagged);
        assert_eq!(found.count(), 3);
    }

    #[test]
    fn payload_is_not_copied_and_long_ones_are_cut() {
        let payload = Bytes::from(vec![7; PLAY_CHUNK_BYTES * 2]);
        let batch = batch(&payload);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = batch.slices(&mut slices);
        let inside = |slice: &&IoSlice<'_>| payload.as_ptr_range().contains(&slice.as_ptr());
        let shared = slices[..filled].iter().filter(inside);
        assert_eq!(
            shared.count(),
            3 * 3,
            "the tag moves the cuts by its length"
        );
    }
}
