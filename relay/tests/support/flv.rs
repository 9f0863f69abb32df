//! The tags of an FLV file, read by the file format's own rules and no code of the relay's, for
//! codecs that ffmpeg cannot read from FLV.

use std::fs;
use std::path::Path;

/// What a tag carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Type 8.
    Audio,
    /// Type 9.
    Video,
    /// Type 18 and what else there is.
    Other,
}

/// A tag.
#[derive(Debug, Clone)]
pub(crate) struct FlvTag {
    /// What it carries.
    pub(crate) kind: Kind,
    /// Decoding time in milliseconds.
    pub(crate) timestamp_ms: u32,
    /// All of it behind the tag header, from the codec's byte on.
    pub(crate) body: Vec<u8>,
}

impl FlvTag {
    /// All whole tags of the file.
    #[track_caller]
    pub(crate) fn read_all(path: &Path) -> Vec<Self> {
        let file = fs::read(path).unwrap();
        assert!(
            file.starts_with(b"FLV\x01"),
            "{} is no FLV file",
            path.display()
        );
        // The 9 bytes of the header and the size of the tag before the first, which is 0.
        let mut rest = &file[13..];
        let mut tags = Vec::new();
        while rest.len() >= 11 {
            let size = number(&rest[1..4]);
            let Some(body) = rest.get(11..11 + size) else {
                break;
            };
            let kind = match rest[0] {
                8 => Kind::Audio,
                9 => Kind::Video,
                _ => Kind::Other,
            };
            let timestamp_ms = number(&rest[4..7]) | usize::from(rest[7]) << 24;
            let timestamp_ms = u32::try_from(timestamp_ms).unwrap();
            tags.push(Self {
                kind,
                timestamp_ms,
                body: body.to_vec(),
            });
            rest = rest.get(11 + size + 4..).unwrap_or_default();
        }
        tags
    }

    /// The coded frame behind the codec's header; `None` for configuration and the like.
    pub(crate) fn frame(&self) -> Option<&[u8]> {
        let first = *self.body.first()?;
        match self.kind {
            // Enhanced audio: packet type 1 is CodedFrames, behind a FourCC.
            Kind::Audio if first >> 4 == 9 => (first & 15 == 1).then(|| &self.body[5..]),
            Kind::Audio => (self.body.get(1) == Some(&1)).then(|| &self.body[2..]),
            // Enhanced video: 1 is CodedFrames, with a composition time for AVC and HEVC; 3 is
            // CodedFramesX, without.
            Kind::Video if first & 0x80 != 0 => match first & 15 {
                1 if matches!(&self.body[1..5], b"hvc1" | b"avc1") => Some(&self.body[8..]),
                1 | 3 => Some(&self.body[5..]),
                _ => None,
            },
            Kind::Video => (self.body.get(1) == Some(&1)).then(|| &self.body[5..]),
            Kind::Other => None,
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}
