//! The chunk stream: messages cut into chunks, several messages interleaved.
//!
//! RTMP 1.0 section 5.3. [`Reader`] turns bytes into messages, [`Writer`] the other way.

mod header;
mod reader;
mod writer;

pub use reader::{Error, Reader};
pub use writer::{Continuation, MESSAGE_BYTES_MAX, Writer};

use super::StreamId;
use crate::body::Body;
use std::fmt;

/// Bytes of payload in a chunk until a Set Chunk Size says otherwise (section 5.4.1).
pub const DEFAULT_CHUNK_BYTES: usize = 128;

/// Names a chunk stream: 2 to 65599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkStreamId(pub u32);

impl ChunkStreamId {
    /// Protocol control messages (section 5.4).
    pub const CONTROL: Self = Self(2);
    /// Where peers send their commands.
    pub const COMMAND: Self = Self(3);
    /// Where our server sends what is said about a stream that is played.
    pub const DATA: Self = Self(5);
    /// Where our sides send audio.
    pub const AUDIO: Self = Self(4);
    /// Where our sides send video.
    pub const VIDEO: Self = Self(6);
}

impl fmt::Display for ChunkStreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a message is: its type id (sections 5.4 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Type 2: forget the partial message of a chunk stream.
    Abort,
    /// Type 3: how many bytes arrived.
    Acknowledgement,
    /// Type 22: several messages in one.
    Aggregate,
    /// Type 8.
    Audio,
    /// Type 20.
    CommandAmf0,
    /// Type 17: in practice one zero byte and then AMF0.
    CommandAmf3,
    /// Type 18.
    DataAmf0,
    /// Type 15: in practice one zero byte and then AMF0.
    DataAmf3,
    /// Any type that the specification does not name.
    Other(u8),
    /// Type 1: how long the sender's chunks are from here on.
    SetChunkSize,
    /// Type 6.
    SetPeerBandwidth,
    /// Type 19.
    SharedObjectAmf0,
    /// Type 16.
    SharedObjectAmf3,
    /// Type 4: pings and stream events.
    UserControl,
    /// Type 9.
    Video,
    /// Type 5: how often the peer wants acknowledgements.
    WindowAckSize,
}

impl MessageKind {
    /// The kind with this type id.
    pub fn from_type_id(id: u8) -> Self {
        match id {
            1 => Self::SetChunkSize,
            2 => Self::Abort,
            3 => Self::Acknowledgement,
            4 => Self::UserControl,
            5 => Self::WindowAckSize,
            6 => Self::SetPeerBandwidth,
            8 => Self::Audio,
            9 => Self::Video,
            15 => Self::DataAmf3,
            16 => Self::SharedObjectAmf3,
            17 => Self::CommandAmf3,
            18 => Self::DataAmf0,
            19 => Self::SharedObjectAmf0,
            20 => Self::CommandAmf0,
            22 => Self::Aggregate,
            other => Self::Other(other),
        }
    }

    /// The type id on the wire.
    pub fn type_id(self) -> u8 {
        match self {
            Self::SetChunkSize => 1,
            Self::Abort => 2,
            Self::Acknowledgement => 3,
            Self::UserControl => 4,
            Self::WindowAckSize => 5,
            Self::SetPeerBandwidth => 6,
            Self::Audio => 8,
            Self::Video => 9,
            Self::DataAmf3 => 15,
            Self::SharedObjectAmf3 => 16,
            Self::CommandAmf3 => 17,
            Self::DataAmf0 => 18,
            Self::SharedObjectAmf0 => 19,
            Self::CommandAmf0 => 20,
            Self::Aggregate => 22,
            Self::Other(id) => id,
        }
    }

    /// Whether the message carries frames: what is long, and what moves the stream's clock.
    pub fn is_media(self) -> bool {
        matches!(self, Self::Audio | Self::Video | Self::Aggregate)
    }
}

/// A whole message.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// The chunk stream that carried it.
    pub chunk_stream: ChunkStreamId,
    /// The message stream that it belongs to; 0 is the connection itself.
    pub stream_id: StreamId,
    /// Milliseconds on the message stream's clock, which audio and video share. The 32-bit wrap
    /// is undone: time goes on past 49.7 days.
    pub timestamp_ms: u64,
    /// The `now_us` of the call that brought the message's first byte.
    pub first_byte_us: u64,
    /// The payload; that of audio, video and aggregates has the reader's room in front.
    pub body: Body,
}
