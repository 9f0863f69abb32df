//! Messages in, chunks out.

use super::header::{Context, EXTENDED};
use super::{ChunkStreamId, DEFAULT_CHUNK_BYTES, MessageKind};
use crate::rtmp::StreamId;
use bytes::{BufMut, BytesMut};

/// Writes a chunk stream, with the shortest header that says what a message is.
#[derive(Debug)]
pub struct Writer {
    chunk_bytes: usize,
    streams: Vec<(ChunkStreamId, Context)>,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            streams: Vec::new(),
        }
    }
}

impl Writer {
    /// Cuts the messages that follow into chunks of `bytes`, at least 1: to be called behind the
    /// Set Chunk Size message that says so.
    pub fn set_chunk_bytes(&mut self, bytes: usize) {
        self.chunk_bytes = bytes.max(1);
    }

    /// Appends to `out` a message whose payload is `parts`, one behind the other. `timestamp_ms`
    /// wraps at 32 bits as the wire's does; a payload of 16 MiB or more does not fit its length
    /// field and is cut off there.
    pub fn write(
        &mut self,
        out: &mut BytesMut,
        chunk_stream: ChunkStreamId,
        kind: MessageKind,
        stream_id: StreamId,
        timestamp_ms: u64,
        parts: &[&[u8]],
    ) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let length = length.min(MESSAGE_BYTES_MAX);
        out.reserve(length + length / self.chunk_bytes * 7 + 18);
        let between = self.begin(out, chunk_stream, kind, stream_id, timestamp_ms, length);
        let mut chunk_left = self.chunk_bytes;
        let mut message_left = length;
        for part in parts {
            let mut part = part.get(..message_left).unwrap_or(part);
            message_left -= part.len();
            while !part.is_empty() {
                if chunk_left == 0 {
                    between.put(out);
                    chunk_left = self.chunk_bytes;
                }
                let (now, later) = part.split_at(part.len().min(chunk_left));
                out.extend_from_slice(now);
                chunk_left -= now.len();
                part = later;
            }
        }
    }

    /// Appends to `out` the header of a message of `length` bytes, so that its payload need not be
    /// copied: the caller sends the payload behind it, and in front of every further
    /// [`Self::chunk_bytes`] of it what is returned.
    pub fn begin(
        &mut self,
        out: &mut impl BufMut,
        chunk_stream: ChunkStreamId,
        kind: MessageKind,
        stream_id: StreamId,
        timestamp_ms: u64,
        length: usize,
    ) -> Continuation {
        let next = Context {
            timestamp: timestamp_ms as u32,
            length: length.min(MESSAGE_BYTES_MAX),
            type_id: kind.type_id(),
            stream_id: stream_id.0,
            ..Context::default()
        };
        let (header_type, next) = self.choose_header(chunk_stream, next);
        put_basic(out, header_type, chunk_stream);
        put_message_header(out, header_type, &next);
        Continuation {
            chunk_stream,
            extended: next.extended,
        }
    }

    /// Bytes of payload in a chunk.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// The header type for a message that comes to `next`, and `next` with the fields that the
    /// type settles. Remembers it.
    fn choose_header(&mut self, id: ChunkStreamId, mut next: Context) -> (u8, Context) {
        let last = self.streams.iter_mut().find(|(stream, _)| *stream == id);
        let mut header_type = 0;
        next.delta = next.timestamp;
        next.absolute = true;
        // A time that goes backwards would need a difference of nearly 32 bits: state it.
        if let Some((_, last)) = &last
            && last.stream_id == next.stream_id
            && next.timestamp.wrapping_sub(last.timestamp).cast_signed() >= 0
        {
            next.delta = next.timestamp.wrapping_sub(last.timestamp);
            next.absolute = false;
            let same = last.length == next.length && last.type_id == next.type_id;
            // Peers disagree about type 3 behind an absolute time, see `parse_first`.
            let repeats = same && !last.absolute && last.delta == next.delta;
            header_type = if repeats { 3 } else { 2 - u8::from(!same) };
        }
        next.extended = (next.delta >= EXTENDED).then_some(next.delta);
        match last {
            Some((_, last)) => *last = next,
            None => self.streams.push((id, next)),
        }
        (header_type, next)
    }
}

/// What stands between two chunks of one message.
#[derive(Clone, Copy, Debug)]
pub struct Continuation {
    chunk_stream: ChunkStreamId,
    extended: Option<u32>,
}

impl Continuation {
    /// Appends it to `out`.
    pub fn put(&self, out: &mut impl BufMut) {
        put_basic(out, 3, self.chunk_stream);
        put_extended(out, self.extended);
    }
}

/// The longest message: its length has three bytes.
pub const MESSAGE_BYTES_MAX: usize = EXTENDED as usize;

fn put_basic(out: &mut impl BufMut, header_type: u8, id: ChunkStreamId) {
    let type_bits = header_type << 6;
    match id.0 {
        id @ ..64 => out.put_u8(type_bits | id as u8),
        id @ ..320 => out.put_slice(&[type_bits, (id - 64) as u8]),
        id => {
            out.put_u8(type_bits | 1);
            out.put_u16_le((id - 64) as u16);
        }
    }
}

fn put_message_header(out: &mut impl BufMut, header_type: u8, context: &Context) {
    if header_type < 3 {
        out.put_uint(u64::from(context.delta.min(EXTENDED)), 3);
    }
    if header_type < 2 {
        out.put_uint(context.length as u64, 3);
        out.put_u8(context.type_id);
    }
    if header_type < 1 {
        out.put_u32_le(context.stream_id);
    }
    put_extended(out, context.extended);
}

fn put_extended(out: &mut impl BufMut, extended: Option<u32>) {
    if let Some(extended) = extended {
        out.put_u32(extended);
    }
}
