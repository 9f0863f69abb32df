//! A message body with room in front: the one allocation of an object.
//!
//! The length of an RTMP message is known before its first byte arrives, so the chunk reader
//! allocates once, leaves room for the header that the object will carry on its MoQT stream, and
//! copies the payload straight behind that room. When the message is complete the header is
//! written backwards into the room; from then on the object is one contiguous [`Bytes`].

use bytes::{Bytes, BytesMut};

/// Bytes `start..` of `buf` are the message; bytes `..start` are room for headers.
#[derive(Clone, Debug, Default)]
pub struct Body {
    buf: BytesMut,
    start: usize,
    /// Bytes that are expected, room and message, beyond which it does not grow ahead.
    whole: usize,
}

impl Body {
    /// Allocates room for `room` bytes of headers and `capacity` bytes of message.
    pub fn with_capacity(room: usize, capacity: usize) -> Self {
        Self::expecting(room, capacity, capacity)
    }

    /// Room for `room` bytes of headers and a message of `length` bytes, of which `first` are
    /// allocated at once, and the rest as it arrives: a length is a claim until then. In the end
    /// there is no more than what the message takes, however it came.
    pub fn expecting(room: usize, length: usize, first: usize) -> Self {
        let mut buf = BytesMut::with_capacity(room + length.min(first));
        buf.resize(room, 0);
        Self {
            buf,
            start: room,
            whole: room + length,
        }
    }

    /// Copies `message` behind `room` bytes of room: for tests and for messages that are not media.
    pub fn copy_from(room: usize, message: &[u8]) -> Self {
        let mut body = Self::with_capacity(room, message.len());
        body.append(message);
        body
    }

    /// Appends to the message.
    pub fn append(&mut self, bytes: &[u8]) {
        let needed = self.buf.len() + bytes.len();
        if needed > self.buf.capacity() {
            // By itself it would double beyond the end, and keep that as long as anybody has it.
            let capacity = (2 * self.buf.capacity()).min(self.whole).max(needed);
            let mut grown = BytesMut::with_capacity(capacity);
            grown.extend_from_slice(&self.buf);
            self.buf = grown;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes that it has allocated.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Drops the first `n` bytes of the message, which become room. Drops all when there are fewer.
    pub fn advance(&mut self, n: usize) {
        self.start = self.buf.len().min(self.start + n);
    }

    /// Writes `header` into the room, directly in front of the message, and makes it part of the
    /// message. Returns `false`, changing nothing, when the room is too small.
    #[must_use]
    pub fn prepend(&mut self, header: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(header.len()) else {
            return false;
        };
        self.buf[start..self.start].copy_from_slice(header);
        self.start = start;
        true
    }

    /// Bytes of room left in front of the message.
    pub fn room(&self) -> usize {
        self.start
    }

    /// Length of the message in bytes, without the room.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message, without the room.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// The message as shared bytes; the room stays allocated in front of it but is not part of it.
    pub fn freeze(self) -> Bytes {
        let mut bytes = self.buf.freeze();
        bytes::Buf::advance(&mut bytes, self.start);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_goes_in_front_of_the_payload_without_moving_it() {
        let mut body = Body::with_capacity(4, 8);
        body.append(b"tagpay");
        body.append(b"load");
        let payload = body.as_slice()[3..].as_ptr();
        body.advance(3);
        assert_eq!(body.room(), 7);
        assert!(body.prepend(b"hdr"));
        assert!(!body.prepend(b"too long"));
        let bytes = body.freeze();
        assert_eq!(&bytes[..], b"hdrpayload");
        assert_eq!(bytes[3..].as_ptr(), payload);
    }

    #[test]
    fn a_message_that_grew_takes_no_more_than_it_is_long() {
        let mut body = Body::expecting(320, (1 << 20) + 5, 1 << 20);
        let piece = [7; 4096];
        for _ in 0..256 {
            body.append(&piece);
            assert_eq!(body.capacity(), 320 + (1 << 20));
        }
        body.append(&piece[..5]);
        assert_eq!(body.capacity(), 320 + (1 << 20) + 5);
        assert_eq!(body.len(), (1 << 20) + 5);
        assert_eq!(body.room(), 320);
        assert!(body.as_slice().iter().all(|byte| *byte == 7));
        // What is longer than expected is taken all the same.
        body.append(&piece);
        assert_eq!(body.len(), (1 << 20) + 5 + 4096);
    }

    #[test]
    fn advancing_past_the_end_leaves_an_empty_message() {
        let mut body = Body::copy_from(2, b"ab");
        body.advance(9);
        assert!(body.is_empty());
        assert!(body.freeze().is_empty());
    }
}
