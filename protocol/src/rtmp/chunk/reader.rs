//! Bytes in, messages out: the payload is copied once, from the input into its [`Body`].

use super::header::{self, Context};
use super::{ChunkStreamId, DEFAULT_CHUNK_BYTES, Message, MessageKind};
use crate::body::Body;
use crate::rtmp::{Limits, StreamId};

/// The chunk stream cannot go on. The bytes behind the error have no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Set Chunk Size with a length of zero, above the limit, or shorter than its field.
    #[error("chunk size {0} is not between 1 and {1} bytes")]
    ChunkSize(u32, usize),
    /// A message that began on a chunk stream was not continued but begun anew.
    #[error("chunk stream {0} begins a message inside a message")]
    HeaderInsideMessage(ChunkStreamId),
    /// A message is longer than its kind may be.
    #[error("{kind:?} message of {length} bytes, the limit is {limit}")]
    MessageTooLong {
        /// What was declared.
        kind: MessageKind,
        /// Bytes that were declared.
        length: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The first header of a chunk stream refers to an earlier one.
    #[error("chunk stream {0} begins with a header of type {1}")]
    NoEarlierHeader(ChunkStreamId, u8),
    /// Too many bytes in messages that have not ended.
    #[error("unfinished messages of {0} bytes together, the limit is {1}")]
    PartialBytes(usize, usize),
    /// An Abort or Set Chunk Size message without its four bytes.
    #[error("{0:?} message is shorter than four bytes")]
    ShortControl(MessageKind),
    /// The peer uses too many chunk streams.
    #[error("more than {0} chunk streams")]
    TooManyChunkStreams(usize),
    /// The peer sends media on too many message streams.
    #[error("media on more than {0} message streams")]
    TooManyMessageStreams(usize),
}

/// Reads a chunk stream.
///
/// Set Chunk Size and Abort are obeyed here, because the bytes behind them depend on it; they are
/// returned like any message.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    media_room: usize,
    chunk_bytes: usize,
    streams: Vec<ChunkStream>,
    clocks: Vec<Clock>,
    partial_bytes: usize,
    /// The chunk whose payload comes next.
    chunk: Option<Chunk>,
    /// Bytes of a header that is not complete yet.
    carry: Vec<u8>,
    carry_since_us: u64,
}

#[derive(Debug)]
struct ChunkStream {
    id: ChunkStreamId,
    context: Context,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    first_byte_us: u64,
    body: Body,
}

/// `index` is into `Reader::streams`, which never shrinks.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    index: usize,
    left: usize,
}

/// The newest media timestamp of a message stream, unwrapped.
#[derive(Debug)]
struct Clock {
    stream_id: StreamId,
    newest_ms: u64,
}

impl Reader {
    /// A reader at the first byte behind the handshake. Bodies of media messages get `media_room`
    /// bytes of room.
    pub fn new(limits: Limits, media_room: usize) -> Self {
        Self {
            limits,
            media_room,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            streams: Vec::new(),
            clocks: Vec::new(),
            partial_bytes: 0,
            chunk: None,
            carry: Vec::new(),
            carry_since_us: 0,
        }
    }

    /// Replaces the limits; messages that have begun keep theirs.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes declared by the messages that have begun and not ended.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Reads the next message and moves `input` behind it. `None` when all of `input` is consumed
    /// and no message is complete.
    ///
    /// # Errors
    ///
    /// When the bytes are no chunk stream or exceed a limit: the reader is then of no more use.
    pub fn read(&mut self, input: &mut &[u8], now_us: u64) -> Result<Option<Message>, Error> {
        loop {
            if !self.carry.is_empty() {
                let carry = std::mem::take(&mut self.carry);
                let (used, message) = self.step(&carry, self.carry_since_us)?;
                self.carry = carry;
                if used > 0 {
                    // What is left of it came with the newest byte: see `parse_repeated`.
                    self.carry.drain(..used);
                    self.carry_since_us = now_us;
                } else if let Some((first, rest)) = input.split_first() {
                    self.carry.push(*first);
                    *input = rest;
                } else {
                    return Ok(None);
                }
                if message.is_some() {
                    return Ok(message);
                }
                continue;
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (used, message) = self.step(input, now_us)?;
            *input = input.get(used..).unwrap_or_default();
            if message.is_some() {
                return Ok(message);
            }
            if used == 0 {
                self.carry.extend_from_slice(input);
                self.carry_since_us = now_us;
                *input = &[];
                return Ok(None);
            }
        }
    }

    fn chunk_ended(&self) -> bool {
        self.chunk.is_some_and(|chunk| chunk.left == 0)
    }

    /// Takes one header or the payload of one chunk from `bytes`. Uses nothing when they end
    /// inside a header.
    fn step(&mut self, bytes: &[u8], now_us: u64) -> Result<(usize, Option<Message>), Error> {
        let Some(chunk) = self.chunk else {
            let used = self.read_header(bytes, now_us)?.unwrap_or(0);
            // An empty message is complete with its header.
            let message = if self.chunk_ended() {
                self.finish_chunk()?
            } else {
                None
            };
            return Ok((used, message));
        };
        let payload = &bytes[..bytes.len().min(chunk.left)];
        if let Some(stream) = self.streams.get_mut(chunk.index)
            && let Some(partial) = &mut stream.partial
        {
            partial.body.append(payload);
        }
        self.chunk = Some(Chunk {
            left: chunk.left - payload.len(),
            ..chunk
        });
        let message = if self.chunk_ended() {
            self.finish_chunk()?
        } else {
            None
        };
        Ok((payload.len(), message))
    }

    /// Reads a chunk header and makes its payload the next thing to read. `None` when the header
    /// is not complete.
    fn read_header(&mut self, bytes: &[u8], now_us: u64) -> Result<Option<usize>, Error> {
        let Some((header_type, id, basic)) = header::parse_basic(bytes) else {
            return Ok(None);
        };
        let rest = bytes.get(basic..).unwrap_or_default();
        // From the end: encoders open the chunk streams of their media last.
        let index = self.streams.iter().rposition(|stream| stream.id == id);
        let known = index.and_then(|index| self.streams.get(index));
        if let (Some(index), Some(stream)) = (index, known)
            && let Some(partial) = &stream.partial
        {
            if header_type != 3 {
                return Err(Error::HeaderInsideMessage(id));
            }
            let Some(used) = header::parse_repeated(&stream.context, rest) else {
                return Ok(None);
            };
            let left = (stream.context.length - partial.body.len()).min(self.chunk_bytes);
            self.chunk = Some(Chunk { index, left });
            return Ok(Some(basic + used));
        }
        // librtmp sends the first ping answer with a type 1 header: the stream id is then 0.
        if known.is_none() && header_type > 1 {
            return Err(Error::NoEarlierHeader(id, header_type));
        }
        let context = known.map(|stream| stream.context).unwrap_or_default();
        let Some((context, used)) = header::parse_first(header_type, &context, rest) else {
            return Ok(None);
        };
        let index = match index {
            Some(index) => index,
            None if self.streams.len() >= self.limits.chunk_streams => {
                return Err(Error::TooManyChunkStreams(self.limits.chunk_streams));
            }
            None => {
                self.streams.push(ChunkStream {
                    id,
                    context,
                    partial: None,
                });
                self.streams.len() - 1
            }
        };
        self.begin_message(index, context, now_us)?;
        Ok(Some(basic + used))
    }

    fn begin_message(&mut self, index: usize, context: Context, now_us: u64) -> Result<(), Error> {
        let kind = MessageKind::from_type_id(context.type_id);
        let length = context.length;
        let (limit, room) = match kind.is_media() {
            true => (self.limits.media_bytes, self.media_room),
            false => (self.limits.command_bytes, 0),
        };
        if length > limit {
            return Err(Error::MessageTooLong {
                kind,
                length,
                limit,
            });
        }
        let partial_bytes = self.partial_bytes + length;
        if partial_bytes > self.limits.partial_bytes {
            return Err(Error::PartialBytes(
                partial_bytes,
                self.limits.partial_bytes,
            ));
        }
        self.partial_bytes = partial_bytes;
        let body = Body::expecting(room, length, self.limits.first_allocation);
        if let Some(stream) = self.streams.get_mut(index) {
            stream.context = context;
            stream.partial = Some(Partial {
                first_byte_us: now_us,
                body,
            });
        }
        self.chunk = Some(Chunk {
            index,
            left: length.min(self.chunk_bytes),
        });
        Ok(())
    }

    /// Ends the chunk whose payload has arrived, and its message when that is complete.
    fn finish_chunk(&mut self) -> Result<Option<Message>, Error> {
        let Some(chunk) = self.chunk.take() else {
            return Ok(None);
        };
        let Some(stream) = self.streams.get_mut(chunk.index) else {
            return Ok(None);
        };
        let context = stream.context;
        let Some(partial) = stream
            .partial
            .take_if(|partial| partial.body.len() >= context.length)
        else {
            return Ok(None);
        };
        self.partial_bytes -= context.length;
        let chunk_stream = stream.id;
        let kind = MessageKind::from_type_id(context.type_id);
        let stream_id = StreamId(context.stream_id);
        let message = Message {
            kind,
            chunk_stream,
            stream_id,
            timestamp_ms: self.unwrap_timestamp(kind, stream_id, context.timestamp)?,
            first_byte_us: partial.first_byte_us,
            body: partial.body,
        };
        self.obey(&message)?;
        Ok(Some(message))
    }

    /// Extends a 32-bit timestamp to 64 bits: the value nearest to the stream's newest, and never
    /// before 0, so that a first header at 0 does not pin a clock that starts far from it.
    fn unwrap_timestamp(
        &mut self,
        kind: MessageKind,
        stream_id: StreamId,
        timestamp: u32,
    ) -> Result<u64, Error> {
        let Some(clock) = self
            .clocks
            .iter_mut()
            .find(|clock| clock.stream_id == stream_id)
        else {
            let newest_ms = u64::from(timestamp);
            if kind.is_media() {
                if self.clocks.len() >= self.limits.message_streams {
                    return Err(Error::TooManyMessageStreams(self.limits.message_streams));
                }
                self.clocks.push(Clock {
                    stream_id,
                    newest_ms,
                });
            }
            return Ok(newest_ms);
        };
        let ahead = timestamp.wrapping_sub(clock.newest_ms as u32);
        let nearest = clock
            .newest_ms
            .checked_add_signed(ahead.cast_signed().into());
        let unwrapped = nearest.unwrap_or_else(|| clock.newest_ms.saturating_add(ahead.into()));
        if kind.is_media() {
            clock.newest_ms = unwrapped;
        }
        Ok(unwrapped)
    }

    fn obey(&mut self, message: &Message) -> Result<(), Error> {
        let kind = message.kind;
        if !matches!(kind, MessageKind::SetChunkSize | MessageKind::Abort) {
            return Ok(());
        }
        let Some(field) = message.body.as_slice().first_chunk::<4>() else {
            return Err(Error::ShortControl(kind));
        };
        let value = u32::from_be_bytes(*field);
        if kind == MessageKind::SetChunkSize {
            let limit = self.limits.chunk_bytes;
            self.chunk_bytes = usize::try_from(value)
                .ok()
                .filter(|bytes| (1..=limit).contains(bytes))
                .ok_or(Error::ChunkSize(value, limit))?;
        } else if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id.0 == value)
            && stream.partial.take().is_some()
        {
            self.partial_bytes -= stream.context.length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
