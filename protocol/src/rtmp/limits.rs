//! What an RTMP peer may make us hold, each bound with its reason.

/// Bounds on one RTMP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest audio, video or aggregate message in bytes.
    pub media_bytes: usize,
    /// Longest message of any other kind in bytes.
    pub command_bytes: usize,
    /// Largest chunk size that the peer may set, in bytes.
    pub chunk_bytes: usize,
    /// Chunk streams that the peer may use.
    pub chunk_streams: usize,
    /// Message streams that the peer may create or send media on.
    pub message_streams: usize,
    /// Declared bytes of all messages that have begun and not ended.
    pub partial_bytes: usize,
    /// Bytes allocated when a message begins. A longer one grows with what arrives, so that a
    /// length that is only declared costs no more than this.
    pub first_allocation: usize,
    /// Bytes that the peer may send before its publish is accepted, handshake included.
    pub bytes_before_publish: u64,
    /// Events that wait for the driver.
    pub events: usize,
    /// Bytes of output that wait for the driver.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An intra frame of 8K at 200 Mbit/s is about 4 MiB; the field allows 16 MiB.
            media_bytes: 8 << 20,
            // The longest command seen in the wild, a connect with an access token, has 6 KiB.
            command_bytes: 64 << 10,
            // Longer than any message. A chunk is not buffered, so its size costs nothing.
            chunk_bytes: 16 << 20,
            // Encoders use three to eight.
            chunk_streams: 64,
            // Encoders use one; Flash programs used a handful.
            message_streams: 8,
            // One largest video message, and audio and data interleaved with it.
            partial_bytes: 12 << 20,
            // The frames of ordinary streams are shorter and are allocated exactly once.
            first_allocation: 1 << 20,
            // Handshake, commands, and the first frames of encoders that do not wait for the
            // answer: an unauthenticated peer costs no more than this.
            bytes_before_publish: 256 << 10,
            // A read of 64 KiB that holds nothing but messages of four bytes.
            events: 16 << 10,
            // The answers to a connection's commands take 2 KiB; the rest is for pings.
            output_bytes: 64 << 10,
        }
    }
}

/// [`Limits::first_allocation`] of a peer whose publish has not been accepted: on all chunk streams
/// together 1 MiB.
const FIRST_ALLOCATION_BEFORE_PUBLISH: usize = 16 << 10;

impl Limits {
    /// These limits as they apply to a peer whose publish has not been accepted. Its messages may
    /// be as long as later, because encoders that do not wait for the answer begin with a key
    /// frame, but what they allocate follows what has arrived.
    pub(crate) fn before_publish(&self) -> Self {
        let first_allocation = self.first_allocation.min(FIRST_ALLOCATION_BEFORE_PUBLISH);
        Self {
            first_allocation,
            ..self.clone()
        }
    }
}
