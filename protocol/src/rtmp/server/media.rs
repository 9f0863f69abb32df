//! The media of a play, in chunks that its payload is not copied for.

use crate::rtmp::StreamId;
use crate::rtmp::chunk::{ChunkStreamId, Continuation, MessageKind, Writer};
use bytes::BufMut;

/// Chunks to a player, in bytes. Longer than ordinary frames, which so leave in one piece; well
/// below what players take for a mistake (nginx-rtmp draws the line at 10 MiB).
pub const PLAY_CHUNK_BYTES: usize = 1 << 20;

/// Writes the headers of the messages of one play.
///
/// For each message send what [`MediaWriter::begin`] appends, then the first [`PLAY_CHUNK_BYTES`]
/// of the message, and in front of each further stretch of that length what the
/// [`Continuation`] appends.
#[derive(Debug)]
pub struct MediaWriter {
    writer: Writer,
    stream_id: StreamId,
}

impl MediaWriter {
    /// For a play that [`accept_play`](super::Session::accept_play) has let in.
    pub fn new(stream_id: StreamId) -> Self {
        let mut writer = Writer::default();
        writer.set_chunk_bytes(PLAY_CHUNK_BYTES);
        Self { writer, stream_id }
    }

    /// Appends the header of a message of `length` bytes, FLV header included.
    pub fn begin(
        &mut self,
        out: &mut impl BufMut,
        video: bool,
        timestamp_ms: u64,
        length: usize,
    ) -> Continuation {
        let (chunk_stream, kind) = match video {
            true => (ChunkStreamId::VIDEO, MessageKind::Video),
            false => (ChunkStreamId::AUDIO, MessageKind::Audio),
        };
        let writer = &mut self.writer;
        writer.begin(
            out,
            chunk_stream,
            kind,
            self.stream_id,
            timestamp_ms,
            length,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::Limits;
    use crate::rtmp::chunk::Reader;

    #[test]
    fn long_message_is_cut_and_read_as_one() {
        let mut media = MediaWriter::new(StreamId(1));
        let payload: Vec<u8> = (0..PLAY_CHUNK_BYTES * 5 / 2).map(|i| i as u8).collect();
        let mut wire = Vec::new();
        // Set Chunk Size, as the session says it.
        wire.extend([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
        wire.extend((PLAY_CHUNK_BYTES as u32).to_be_bytes());
        // Behind 4.6 hours a time takes the long form, between chunks too.
        for time_ms in [0, 40, 1 << 25, (1 << 25) + 40] {
            let between = media.begin(&mut wire, true, time_ms, payload.len());
            let mut chunks = payload.chunks(PLAY_CHUNK_BYTES);
            wire.extend(chunks.next().unwrap());
            for chunk in chunks {
                between.put(&mut wire);
                wire.extend(chunk);
            }
            media.begin(&mut wire, false, time_ms, 3);
            wire.extend(b"abc");
        }
        let mut reader = Reader::new(Limits::default(), 0);
        let (mut input, mut read) = (&wire[..], Vec::new());
        while let Some(message) = reader.read(&mut input, 0).unwrap() {
            let body = message.body.as_slice();
            if message.kind == MessageKind::Video {
                assert!(body == payload, "the payload is another");
            } else if message.kind == MessageKind::Audio {
                assert_eq!(body, b"abc");
            } else {
                continue;
            }
            read.push((message.kind, message.timestamp_ms));
        }
        let times = [0, 40, 1 << 25, (1 << 25) + 40];
        let sent = times.map(|time| [(MessageKind::Video, time), (MessageKind::Audio, time)]);
        assert_eq!(read, sent.concat());
    }
}
