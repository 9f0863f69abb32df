//! Chunk headers: one to eighteen bytes whose length depends on what came before.

use super::ChunkStreamId;

/// A 24-bit timestamp field with this value says that 32 bits follow (section 5.3.1.3).
pub(super) const EXTENDED: u32 = 0xff_ffff;

/// What a chunk stream remembers of its newest header; later headers leave out what is the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// Absolute 32-bit timestamp of the newest message.
    pub(super) timestamp: u32,
    /// Added to `timestamp` when a type 3 header begins a message.
    pub(super) delta: u32,
    /// The 32-bit value of the newest extended timestamp field, when the newest header had one.
    pub(super) extended: Option<u32>,
    /// Whether that header was of type 0: its field was a time, not a difference.
    pub(super) absolute: bool,
    pub(super) length: usize,
    pub(super) type_id: u8,
    pub(super) stream_id: u32,
}

/// Reads a basic header (section 5.3.1.1): the header type, the chunk stream and the bytes used.
/// `None` when bytes are missing.
pub(super) fn parse_basic(bytes: &[u8]) -> Option<(u8, ChunkStreamId, usize)> {
    let first = *bytes.first()?;
    let (id, used) = match first & 0x3f {
        0 => (64 + u32::from(*bytes.get(1)?), 2),
        1 => {
            let (low, high) = (*bytes.get(1)?, *bytes.get(2)?);
            (64 + u32::from(low) + 256 * u32::from(high), 3)
        }
        id => (u32::from(id), 1),
    };
    Some((first >> 6, ChunkStreamId(id), used))
}

/// Reads the message header of a chunk that begins a message: the chunk stream's next context and
/// the bytes used. `bytes` begins behind the basic header; `None` when bytes are missing.
pub(super) fn parse_first(
    header_type: u8,
    last: &Context,
    bytes: &[u8],
) -> Option<(Context, usize)> {
    let mut next = *last;
    if header_type == 3 {
        let used = parse_repeated(last, bytes)?;
        // A type 3 behind a type 0 adds that header's time once more (section 5.3.1.2.4), and
        // ffmpeg writes it so. Not with extended timestamps: there the field that follows repeats
        // the absolute time, and 4.6 hours at once are nobody's frame duration.
        let delta = if last.absolute && last.extended.is_some() {
            0
        } else {
            last.delta
        };
        next.timestamp = last.timestamp.wrapping_add(delta);
        return Some((next, used));
    }
    let mut used = 3;
    let mut field = be24(bytes)?;
    if header_type <= 1 {
        next.length = be24(bytes.get(3..)?)? as usize;
        next.type_id = *bytes.get(6)?;
        used = 7;
    }
    if header_type == 0 {
        next.stream_id = u32::from_le_bytes(bytes.get(7..11)?.try_into().ok()?);
        used = 11;
    }
    next.extended = None;
    if field == EXTENDED {
        field = u32::from_be_bytes(bytes.get(used..used + 4)?.try_into().ok()?);
        next.extended = Some(field);
        used += 4;
    }
    next.absolute = header_type == 0;
    next.delta = field;
    next.timestamp = if next.absolute {
        field
    } else {
        last.timestamp.wrapping_add(field)
    };
    Some((next, used))
}

/// The bytes that a type 3 header has behind its basic header: four when it repeats the extended
/// timestamp, else none. `None` when it takes more bytes to say.
///
/// The specification (section 5.3.1.3) has the field repeated. Some senders leave it out and some
/// write the absolute time where the field was a difference, so the field is recognised by its
/// value: anything else is payload.
pub(super) fn parse_repeated(context: &Context, bytes: &[u8]) -> Option<usize> {
    let Some(extended) = context.extended else {
        return Some(0);
    };
    let begin = &bytes[..bytes.len().min(4)];
    let repeats = |value: u32| value.to_be_bytes().starts_with(begin);
    match repeats(extended) || repeats(context.timestamp) {
        true if begin.len() < 4 => None,
        true => Some(4),
        false => Some(0),
    }
}

fn be24(bytes: &[u8]) -> Option<u32> {
    let [a, b, c] = *bytes.first_chunk::<3>()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}
