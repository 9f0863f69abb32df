//! FLV tags: the container of RTMP media, and of what `weir pull` writes.
//!
//! An RTMP audio or video message is the body of an FLV tag. [`video`] and [`audio`] read the
//! header of such a body and say where its payload begins; [`mux`] writes the same headers, with
//! or without the framing of a file; [`demux`] reads files.
//!
//! Sources: Adobe's "Video File Format Specification" version 10, and Veovera's "Enhanced RTMP"
//! v1 and v2.

pub mod audio;
pub mod demux;
mod extended;
pub mod mux;
pub mod video;

pub use audio::{AudioPacket, AudioTag};
pub use extended::FourCc;
pub use video::{VideoPacket, VideoTag};

/// What a tag of a file holds: the type of the RTMP message that would carry its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// An audio message.
    Audio,
    /// A video message.
    Video,
    /// AMF0 values, such as `onMetaData`.
    Script,
}

impl TagKind {
    /// The RTMP message type, and the tag type of a file.
    pub fn id(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }

    /// The kind with this type, if there is one.
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }
}

/// Bytes of a tag's header in a file, in front of its body.
const TAG_HEADER: usize = 11;

/// The longest body of a tag, in bytes: its length has 24 bits.
pub const MAX_BODY: usize = 0xff_ffff;

/// Why the body of an audio or video message is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The message ends inside its header.
    #[error("media message ends inside its {0}")]
    Truncated(&'static str),
    /// An empty audio message: the publisher is silent until the next frame.
    #[error("empty audio message (silence)")]
    Silence,
    /// An empty video message.
    #[error("empty video message")]
    EmptyVideo,
    /// A video command frame (start or end of a seek), which carries no media.
    #[error("video command frame")]
    Command,
    /// A video codec that is known and not carried.
    #[error("video codec {0} is not supported: use H.264, HEVC, AV1 or VP9")]
    UnsupportedVideoCodec(&'static str),
    /// An audio codec that is known and not carried.
    #[error("audio codec {0} is not supported: use AAC or Opus")]
    UnsupportedAudioCodec(&'static str),
    /// A legacy video codec id that no specification assigns.
    #[error("unknown video codec id {0}")]
    UnknownVideoCodec(u8),
    /// A legacy audio format that no specification assigns.
    #[error("unknown audio format id {0}")]
    UnknownAudioFormat(u8),
    /// A FourCC that no specification assigns to this kind of media.
    #[error("unknown codec FourCC {0}")]
    UnknownFourCc(FourCc),
    /// A frame type that no specification assigns.
    #[error("unknown video frame type {0}")]
    UnknownFrameType(u8),
    /// A packet type that is not assigned, or not allowed at its place.
    #[error("unknown packet type {0}")]
    UnknownPacketType(u8),
    /// A packet type that is known and not carried.
    #[error("packet type {0} is not supported")]
    UnsupportedPacketType(&'static str),
    /// A message of a track that is not the default one. The default track goes on beside it.
    #[error("multitrack: only track 0 is carried, this is track {track}")]
    Multitrack {
        /// The track's id.
        track: u8,
    },
    /// A message that holds several tracks.
    #[error("multitrack: several tracks in one message are not supported")]
    ManyTracks,
    /// A multitrack type that no specification assigns.
    #[error("unknown multitrack type {0}")]
    UnknownMultitrackType(u8),
    /// More modifiers in front of one packet than any publisher has a use for.
    #[error("more than {} modifiers in front of one packet", extended::MAX_MOD_EX)]
    TooManyModifiers,
}

impl Error {
    /// Whether the message may be dropped and the track carried on: it holds no media of it.
    ///
    /// All others mean that the track cannot be carried.
    pub fn is_skippable(&self) -> bool {
        matches!(
            self,
            Self::Silence | Self::EmptyVideo | Self::Command | Self::Multitrack { .. }
        )
    }
}

/// The byte at `at`, or which part of the header is missing.
fn byte_at(body: &[u8], at: usize, part: &'static str) -> Result<u8, Error> {
    body.get(at).copied().ok_or(Error::Truncated(part))
}

/// The `N` bytes at `at`, or which part of the header is missing.
fn bytes_at<const N: usize>(body: &[u8], at: usize, part: &'static str) -> Result<[u8; N], Error> {
    body.get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .ok_or(Error::Truncated(part))
}
