//! What a session has to send: messages, cut into chunks, until the driver takes them.

use super::StreamId;
use super::amf0::{self, Object, Value};
use super::chunk::{ChunkStreamId, MessageKind, Writer};
use bytes::{Bytes, BytesMut};

/// Bytes to send, and the state of the chunk stream that they are part of.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    writer: Writer,
    bytes: BytesMut,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes that wait.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        (!self.bytes.is_empty()).then(|| self.bytes.split().freeze())
    }

    /// Announces chunks of `bytes` and uses them.
    pub(super) fn set_chunk_bytes(&mut self, bytes: u32) {
        self.control(MessageKind::SetChunkSize, &bytes.to_be_bytes());
        self.writer.set_chunk_bytes(bytes as usize);
    }

    /// A protocol control or user control message.
    pub(super) fn control(&mut self, kind: MessageKind, body: &[u8]) {
        self.message(ChunkStreamId::CONTROL, kind, StreamId(0), 0, &[body]);
    }

    /// A command: its name, its transaction and what follows.
    pub(super) fn command(
        &mut self,
        stream_id: StreamId,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) {
        let mut body = BytesMut::new();
        amf0::write_str(&mut body, name);
        amf0::write_number(&mut body, transaction);
        for value in values {
            amf0::write(&mut body, value);
        }
        let kind = MessageKind::CommandAmf0;
        self.message(ChunkStreamId::COMMAND, kind, stream_id, 0, &[&body]);
    }

    /// An `onStatus` command, or one of its relatives, with its information object.
    pub(super) fn status(
        &mut self,
        stream_id: StreamId,
        name: &str,
        level: &str,
        code: &str,
        description: &str,
    ) {
        let information = information(level, code, description);
        self.command(
            stream_id,
            name,
            0.0,
            &[Value::Null, Value::Object(information)],
        );
    }

    /// Any message.
    pub(super) fn message(
        &mut self,
        chunk_stream: ChunkStreamId,
        kind: MessageKind,
        stream_id: StreamId,
        timestamp_ms: u64,
        parts: &[&[u8]],
    ) {
        self.writer.write(
            &mut self.bytes,
            chunk_stream,
            kind,
            stream_id,
            timestamp_ms,
            parts,
        );
    }
}

/// The object that says how a call went.
pub(super) fn information(level: &str, code: &str, description: &str) -> Object {
    amf0::object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}
