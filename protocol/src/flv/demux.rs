//! Reads FLV files as they arrive: bytes in, tags out.
//!
//! Source: Adobe's "Video File Format Specification" version 10, E.2 to E.4.

use bytes::{Buf, Bytes, BytesMut};

use super::{MAX_BODY, TAG_HEADER, TagKind};

/// Bytes of the header of a file of version 1.
const FILE_HEADER: usize = 9;

/// The longest file header that is skipped over, in bytes: later versions may grow a little.
const MAX_FILE_HEADER: u32 = 1024;

/// Bytes of the size behind each tag.
const PREVIOUS_TAG_SIZE: usize = 4;

/// A tag of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What the body is.
    pub kind: TagKind,
    /// Decoding time in milliseconds.
    pub timestamp_ms: u32,
    /// The body, as an RTMP message carries it.
    pub body: Bytes,
}

/// Why a file cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file does not start with `FLV`.
    #[error("not an FLV file")]
    Signature,
    /// A version that no specification describes.
    #[error("FLV version {0}")]
    Version(u8),
    /// A file header that is shorter than its fields or longer than believable.
    #[error("FLV header of {0} bytes")]
    HeaderLength(u32),
    /// A tag type that no specification assigns: the file is damaged.
    #[error("unknown FLV tag type {0}")]
    TagType(u8),
    /// A tag that is encrypted.
    #[error("encrypted FLV tag")]
    Encrypted,
    /// A body above the reader's limit.
    #[error("FLV tag of {len} bytes, above the limit of {limit}")]
    BodyTooLong {
        /// Length of the body in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Bytes were put in while a whole tag was still waiting to be taken out.
    #[error("{0} bytes put in without taking tags out")]
    NotDrained(usize),
}

/// Cuts a file into tags: [`Demuxer::handle_bytes`], then [`Demuxer::next_tag`] until it gives
/// `None`, and again.
///
/// After an error nothing more comes out that makes sense.
#[derive(Debug)]
pub struct Demuxer {
    max_body: usize,
    state: State,
    buffer: BytesMut,
}

/// What the next bytes of the buffer are.
#[derive(Clone, Copy, Debug)]
enum State {
    FileHeader,
    /// So many bytes of no interest: the rest of the file header, the size behind a tag.
    Skip(usize),
    Tag,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new(MAX_BODY)
    }
}

impl Demuxer {
    /// A reader that refuses bodies of more than `max_body` bytes.
    pub fn new(max_body: usize) -> Self {
        Self {
            max_body: max_body.min(MAX_BODY),
            state: State::FileHeader,
            buffer: BytesMut::new(),
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`Error::NotDrained`] when more than the largest tag waits already.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let waiting = self.buffer.len();
        if waiting > self.max_body + TAG_HEADER + PREVIOUS_TAG_SIZE {
            return Err(Error::NotDrained(waiting));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next tag, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`Error`] when the file is damaged or not of this kind.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, Error> {
        loop {
            match self.state {
                State::FileHeader => {
                    let Some(header) = self.buffer.first_chunk::<FILE_HEADER>() else {
                        return Ok(None);
                    };
                    let len = file_header_len(*header)?;
                    self.state = State::Skip(len + PREVIOUS_TAG_SIZE);
                }
                State::Skip(count) => {
                    if self.buffer.len() < count {
                        return Ok(None);
                    }
                    self.buffer.advance(count);
                    self.state = State::Tag;
                }
                State::Tag => {
                    let tag = self.tag()?;
                    if tag.is_some() {
                        self.state = State::Skip(PREVIOUS_TAG_SIZE);
                    }
                    return Ok(tag);
                }
            }
        }
    }

    /// Bytes that wait for the rest of their tag. At the end of a whole file that is 0, or the
    /// size behind the last tag, which some writers leave out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn tag(&mut self) -> Result<Option<Tag>, Error> {
        let Some(header) = self.buffer.first_chunk::<TAG_HEADER>() else {
            return Ok(None);
        };
        let &[id, l0, l1, l2, t1, t2, t3, t0, _, _, _] = header;
        if id & 0x20 != 0 {
            return Err(Error::Encrypted);
        }
        let kind = TagKind::from_id(id).ok_or(Error::TagType(id))?;
        let len = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        if len > self.max_body {
            return Err(Error::BodyTooLong {
                len,
                limit: self.max_body,
            });
        }
        if self.buffer.len() < TAG_HEADER + len {
            return Ok(None);
        }
        self.buffer.advance(TAG_HEADER);
        Ok(Some(Tag {
            kind,
            timestamp_ms: u32::from_be_bytes([t0, t1, t2, t3]),
            body: self.buffer.split_to(len).freeze(),
        }))
    }
}

fn file_header_len(header: [u8; FILE_HEADER]) -> Result<usize, Error> {
    let [b'F', b'L', b'V', version, _flags, length @ ..] = header else {
        return Err(Error::Signature);
    };
    if version != 1 {
        return Err(Error::Version(version));
    }
    let length = u32::from_be_bytes(length);
    let len = usize::try_from(length).unwrap_or_default();
    if len < FILE_HEADER || length > MAX_FILE_HEADER {
        return Err(Error::HeaderLength(length));
    }
    Ok(len)
}

#[cfg(test)]
mod tests;
