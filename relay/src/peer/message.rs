//! The framing of messages on control and request streams.

use bytes::{Buf, BytesMut};
use weir_protocol::moqt::message::EncodeError;
use weir_protocol::moqt::{DecodeError, Message, StreamResetCode, StreamRole, Version};

use crate::webtransport::{ReadError, RecvStream, SendStream};

/// Why no message can be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The peer broke the protocol.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The stream was reset, or the connection lost.
    #[error(transparent)]
    Gone(#[from] ReadError),
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    Truncated,
}

/// Reads messages from a stream.
#[derive(Debug)]
pub struct MessageReader {
    stream: RecvStream,
    buffer: BytesMut,
    version: Version,
    mend: Option<Mend>,
}

/// Puts right what a peer that deviates from its draft has written: the length of what is
/// replaced, and the message as it should be.
pub type Mend = fn(&[u8]) -> Option<(usize, BytesMut)>;

impl MessageReader {
    /// A reader of a stream of which nothing was read.
    pub fn new(stream: RecvStream, version: Version) -> Self {
        Self::with_head(stream, version, BytesMut::new())
    }

    /// A reader of a stream of which `head` was read already.
    pub fn with_head(stream: RecvStream, version: Version, head: BytesMut) -> Self {
        Self {
            stream,
            buffer: head,
            version,
            mend: None,
        }
    }

    /// The same for a peer whose messages may have to be mended.
    pub fn mended_by(self, mend: Option<Mend>) -> Self {
        Self { mend, ..self }
    }

    /// The next message, or `None` when the peer has finished the stream.
    ///
    /// Cancel safe: what was read stays in the buffer, which a message's 16-bit length bounds.
    pub async fn next(&mut self, role: StreamRole) -> Result<Option<Message>, MessageError> {
        loop {
            let decoded = self.decode(role)?;
            if decoded.is_some() {
                return Ok(decoded);
            }
            match self.stream.read_chunk(READ_BYTES, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(MessageError::Truncated),
            }
        }
    }

    fn decode(&mut self, role: StreamRole) -> Result<Option<Message>, DecodeError> {
        let decoded = Message::decode(self.version, role, &mut self.buffer);
        let mended = match (&decoded, self.mend) {
            (Err(_), Some(mend)) => mend(&self.buffer),
            _ => None,
        };
        let Some((len, mut mended)) = mended else {
            return decoded;
        };
        let mended = Message::decode(self.version, role, &mut mended)?;
        self.buffer.advance(len);
        Ok(mended)
    }

    /// Tells the peer that nothing more will be read.
    pub fn stop(&mut self) {
        self.stop_with(StreamResetCode::Cancelled);
    }

    /// The same with another reason.
    pub fn stop_with(&mut self, code: StreamResetCode) {
        // Fails only when the stream has ended.
        let _ = self.stream.stop(stream_code(code));
    }
}

/// A stream code as the transports take it.
pub fn stream_code(code: StreamResetCode) -> u32 {
    u32::try_from(code.code()).unwrap_or(0)
}

/// Writes `message`. That the peer has stopped the stream or left is not an error here: it ends
/// its request, or the session does.
pub async fn send(
    stream: &mut SendStream,
    version: Version,
    role: StreamRole,
    message: impl Into<Message>,
) -> Result<(), EncodeError> {
    let mut bytes = BytesMut::new();
    message.into().encode(version, role, &mut bytes)?;
    // See above.
    let _ = stream.write_chunk(bytes.freeze()).await;
    Ok(())
}

/// Requests are small; a chunk is what a packet holds.
pub const READ_BYTES: usize = 4096;
