//! Target `flv`: the input as one media message, and as a file that arrives in pieces.

use weir_protocol::flv::demux::{Demuxer, Error, Tag};
use weir_protocol::flv::mux::{audio_header, video_header};
use weir_protocol::flv::{AudioTag, VideoPacket, VideoTag, audio, video};

/// Bodies above this are refused, so that the limit is reached by small inputs.
const MAX_BODY: usize = 4096;

/// Reads `data` as media messages and as a file. What is read must lie within the message and
/// survive being written; where a file is cut into reads must not matter.
pub fn flv(data: &[u8]) {
    message(data);
    let whole = tags(data, MAX_BODY);
    let piece = data.first().map_or(1, |&byte| usize::from(byte) + 1);
    assert_eq!(tags(data, piece), whole, "in pieces of {piece}");
    for tag in whole.0 {
        assert!(tag.body.len() <= MAX_BODY);
        message(&tag.body);
    }
}

fn tags(data: &[u8], piece: usize) -> (Vec<Tag>, Option<Error>) {
    let mut demuxer = Demuxer::new(MAX_BODY);
    let mut tags = Vec::new();
    for bytes in data.chunks(piece) {
        if let Err(error) = demuxer.handle_bytes(bytes) {
            return (tags, Some(error));
        }
        loop {
            match demuxer.next_tag() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(error) => return (tags, Some(error)),
            }
        }
    }
    (tags, None)
}

fn message(body: &[u8]) {
    if let Ok(tag) = video::parse(body) {
        assert!(tag.payload_at <= body.len(), "{tag:?}");
        let header = video_header(tag.codec, tag.key, tag.packet);
        let again = VideoTag {
            nano_offset: 0,
            payload_at: header.len(),
            ..tag
        };
        assert_eq!(video::parse(&header), Ok(again));
        assert!(tag.packet != VideoPacket::Metadata || !tag.key);
    }
    if let Ok(tag) = audio::parse(body) {
        assert!(tag.payload_at <= body.len(), "{tag:?}");
        let header = audio_header(tag.codec, tag.packet);
        let again = AudioTag {
            nano_offset: 0,
            payload_at: header.len(),
            ..tag
        };
        assert_eq!(audio::parse(&header), Ok(again));
    }
}
