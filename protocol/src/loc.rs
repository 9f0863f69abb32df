//! LOC: the object properties of media over MoQT.
//!
//! An object's payload is the encoded chunk and nothing else; what a player must know about it
//! stands in the object's properties. Weir's tracks declare a timescale of 1 000 000, so that
//! timestamps are microseconds. The id of the timestamp moved between the drafts of LOC: loc-04
//! and later use 0x10, loc-02 and loc-03 use 0x06, which MoQT draft 19 gave to a delivery timeout
//! of objects. So a draft-18 session gets both and a later one only the new.

use bytes::{BufMut, Bytes};

use crate::moqt::Version;
use crate::moqt::properties::{
    IMMUTABLE_PROPERTIES, PairWriter, Pairs, PropertyError, VALUE_LEN_MAX, Value,
};
use crate::wire::vi64_len;

pub use crate::moqt::properties::TIMESCALE;

/// Presentation time in ticks of the timescale (loc-04).
pub const TIMESTAMP: u64 = 0x10;
/// The same in loc-02 and loc-03.
pub const TIMESTAMP_LEGACY: u64 = 0x06;
/// The video decoder's configuration: avcC, hvcC or the like (loc-02).
pub const VIDEO_CONFIG: u64 = 0x0d;
/// The audio decoder's configuration: AudioSpecificConfig or the like (loc-03).
pub const AUDIO_CONFIG: u64 = 0x0f;
/// How much later than it is decoded an object is presented, in microseconds.
///
/// A property of Weir's own, in the range that the drafts leave to applications. LOC carries
/// presentation times only, which is all that a player needs; a reader that writes FLV needs the
/// decoding times of frames that are reordered, too, and cannot guess them exactly. It is written
/// only when it is not 0, so only for streams with B-frames.
pub const DECODE_DELAY: u64 = 0x3800;

/// Ticks per second when nobody says otherwise: Weir's tracks declare it.
pub const MICROSECONDS: u64 = 1_000_000;

/// What an object's properties say about its media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectProperties {
    /// Presentation time in microseconds.
    pub timestamp_us: Option<u64>,
    /// Ticks per second of this object's timestamp on the wire, when they are not the track's.
    pub timescale: Option<u64>,
    /// The video decoder's configuration from this object on.
    pub video_config: Option<Bytes>,
    /// The audio decoder's configuration from this object on.
    pub audio_config: Option<Bytes>,
    /// Presentation time minus decoding time, in microseconds; see [`DECODE_DELAY`].
    pub composition_us: u64,
}

impl ObjectProperties {
    /// Appends the block of key-value pairs, without its length.
    ///
    /// A configuration longer than a key-value pair may be is left out: the catalog has it too.
    pub fn put(&self, version: Version, out: &mut impl BufMut) {
        let mut pairs = PairWriter::new(out);
        for (kind, value) in self.pairs(version) {
            match value {
                Value::Int(value) => pairs.int(kind, value),
                Value::Bytes(value) => pairs.bytes(kind, value),
            }
        }
    }

    /// Length in bytes of what [`Self::put`] writes.
    pub fn block_len(&self, version: Version) -> usize {
        let mut last = 0;
        let mut len = 0;
        for (kind, value) in self.pairs(version) {
            len += vi64_len(kind - last);
            len += match value {
                Value::Int(value) => vi64_len(value),
                Value::Bytes(value) => vi64_len(value.len() as u64) + value.len(),
            };
            last = kind;
        }
        len
    }

    /// Reads an object's block on a track whose timestamps are microseconds.
    pub fn parse(block: &[u8]) -> Result<Self, PropertyError> {
        Self::parse_with_timescale(block, MICROSECONDS)
    }

    /// Reads an object's block on a track with `track_timescale` ticks per second.
    ///
    /// What is not of LOC is skipped, and the immutable properties are searched too. The newer
    /// timestamp wins over the older one, a timescale of the object over the track's.
    pub fn parse_with_timescale(block: &[u8], track_timescale: u64) -> Result<Self, PropertyError> {
        let mut found = Found::default();
        found.search(block, true)?;
        let Found {
            mut properties,
            timestamp,
            legacy,
        } = found;
        let timescale = properties.timescale.unwrap_or(track_timescale);
        properties.timestamp_us = timestamp
            .or(legacy)
            .map(|ticks| scale(ticks, timescale, MICROSECONDS));
        Ok(properties)
    }

    /// The pairs in ascending order of their types.
    fn pairs(&self, version: Version) -> impl Iterator<Item = (u64, Value<'_>)> {
        let timescale = self.timescale.filter(|&timescale| timescale > 0);
        let timestamp = self.timestamp_us.map(|us| match timescale {
            Some(timescale) => scale(us, MICROSECONDS, timescale),
            None => us,
        });
        let legacy = timestamp.filter(|_| version <= Version::Draft18);
        let delay = Some(self.composition_us).filter(|&delay| delay > 0);
        [
            (TIMESTAMP_LEGACY, legacy.map(Value::Int)),
            (TIMESCALE, timescale.map(Value::Int)),
            (VIDEO_CONFIG, config(&self.video_config)),
            (AUDIO_CONFIG, config(&self.audio_config)),
            (TIMESTAMP, timestamp.map(Value::Int)),
            (DECODE_DELAY, delay.map(Value::Int)),
        ]
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value?)))
    }
}

/// What is known in the middle of a search.
#[derive(Default)]
struct Found {
    properties: ObjectProperties,
    timestamp: Option<u64>,
    legacy: Option<u64>,
}

impl Found {
    fn search(&mut self, block: &[u8], outer: bool) -> Result<(), PropertyError> {
        for pair in Pairs::new(block) {
            let (kind, value) = pair?;
            match (kind, value) {
                (IMMUTABLE_PROPERTIES, Value::Bytes(nested)) if outer => {
                    let searched = self.search(nested, false);
                    searched.map_err(|_| PropertyError::BadNesting)?;
                }
                (TIMESTAMP, Value::Int(ticks)) => self.timestamp = Some(ticks),
                (TIMESTAMP_LEGACY, Value::Int(ticks)) => self.legacy = Some(ticks),
                (TIMESCALE, Value::Int(0)) => {
                    return Err(PropertyError::BadValue { kind, value: 0 });
                }
                (TIMESCALE, Value::Int(ticks)) => self.properties.timescale = Some(ticks),
                (VIDEO_CONFIG, Value::Bytes(config)) => {
                    self.properties.video_config = Some(Bytes::copy_from_slice(config));
                }
                (AUDIO_CONFIG, Value::Bytes(config)) => {
                    self.properties.audio_config = Some(Bytes::copy_from_slice(config));
                }
                (DECODE_DELAY, Value::Int(delay)) => self.properties.composition_us = delay,
                _ => {}
            }
        }
        Ok(())
    }
}

fn config(config: &Option<Bytes>) -> Option<Value<'_>> {
    let config = config.as_deref()?;
    (config.len() <= VALUE_LEN_MAX).then_some(Value::Bytes(config))
}

/// `ticks` of `from` per second in ticks of `to` per second, rounded to the nearest.
fn scale(ticks: u64, from: u64, to: u64) -> u64 {
    if from == to || from == 0 {
        return ticks;
    }
    let (ticks, from, to) = (u128::from(ticks), u128::from(from), u128::from(to));
    let scaled = (ticks * to + from / 2) / from;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
