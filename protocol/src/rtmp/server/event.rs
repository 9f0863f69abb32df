//! What a server session tells its driver, and what the driver tells it.

use crate::body::Body;
use crate::rtmp::StreamId;
use crate::rtmp::amf0;
use crate::rtmp::command::Connect;
use crate::rtmp::metadata::Metadata;

/// What `connect` said.
pub type Connected = Connect;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The peer has introduced itself and was answered.
    Connected(Connected),
    /// The peer wants to publish: accept or refuse.
    Publish(PublishRequest),
    /// The peer wants to play: accept or refuse.
    Play(PlayRequest),
    /// The peer holds a stream that it plays, or lets it go on.
    Pause {
        /// The stream.
        stream_id: StreamId,
        /// Whether it is held.
        paused: bool,
    },
    /// The peer ended its play. The connection stays; it may play again.
    Stop {
        /// The stream.
        stream_id: StreamId,
    },
    /// A stream's properties, at its start and whenever the encoder likes.
    Metadata {
        /// The stream.
        stream_id: StreamId,
        /// Its properties.
        metadata: Metadata,
    },
    /// Metadata that could not be read. The stream goes on without it.
    BadMetadata {
        /// The stream.
        stream_id: StreamId,
        /// What was wrong.
        error: amf0::Error,
    },
    /// A video message.
    Video(Media),
    /// An audio message.
    Audio(Media),
    /// The peer ended its publish. The connection stays; it may publish again.
    Unpublish {
        /// The stream.
        stream_id: StreamId,
    },
    /// The session is over by the driver's own doing: write the output that is left and close.
    Closed,
}

/// An audio or video message.
#[derive(Clone, Debug)]
pub struct Media {
    /// The stream.
    pub stream_id: StreamId,
    /// Milliseconds on the stream's clock, which audio and video share; it does not wrap.
    pub timestamp_ms: u64,
    /// The `now_us` of the input that brought the message's first byte.
    pub first_byte_us: u64,
    /// The message, from the first byte of its FLV tag header; never empty.
    pub body: Body,
}

/// A wish to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRequest {
    /// The stream.
    pub stream_id: StreamId,
    /// The application of `connect`.
    pub app: String,
    /// The name or key of the stream, without its query and without slashes around it.
    pub key: String,
    /// What followed a question mark: in the key, or else in the application or its URL.
    pub query: Option<String>,
    /// What the peer would like to have done with the stream.
    pub kind: PublishKind,
}

/// The third argument of `publish` (RTMP 1.0 section 7.2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishKind {
    /// Record it behind an earlier recording.
    Append,
    /// Send it on. Also what is meant when the peer does not say.
    Live,
    /// Record it.
    Record,
}

/// A wish to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayRequest {
    /// The stream.
    pub stream_id: StreamId,
    /// The application of `connect`.
    pub app: String,
    /// The name of the stream, without its query and without slashes around it.
    pub name: String,
    /// What followed a question mark, as in [`PublishRequest::query`].
    pub query: Option<String>,
}

/// Why a publish is refused, as the peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the program.
    pub code: RefusalCode,
    /// For the person; programs show it or log it.
    pub description: String,
}

/// The codes that encoders know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// The name cannot be published: it is taken or malformed.
    BadName,
    /// The publish is turned down for any other reason, such as a codec or a limit.
    Rejected,
    /// The credentials are missing or wrong.
    Unauthorized,
}

impl RefusalCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadName => "NetStream.Publish.BadName",
            Self::Rejected => "NetStream.Publish.Rejected",
            Self::Unauthorized => "NetStream.Publish.Unauthorized",
        }
    }
}

/// Why a play is refused, as the peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayRefusal {
    /// The stream is there and this peer cannot be given it.
    Failed(String),
    /// There is no such stream.
    NotFound(String),
    /// The credentials are missing or wrong.
    Unauthorized(String),
}

/// Why the driver ends a play that it had accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayEnd {
    /// The peer cannot be given the stream any longer, for this reason.
    Failed(String),
    /// The stream is over.
    StreamEnded,
    /// This server is stopping.
    ShuttingDown,
}

/// Why the driver ends a publish that it had accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnpublishReason {
    /// The stream cannot be carried any longer, for this reason.
    Rejected(String),
    /// This server is stopping.
    ShuttingDown,
    /// Another connection publishes under the same name.
    TakenOver,
}
