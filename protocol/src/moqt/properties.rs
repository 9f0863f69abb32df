//! Key-value pairs: the form of setup options, track properties and object properties.
//!
//! A block is bounded from outside. Types ascend, each written as the difference to the one
//! before; an even type carries an integer, an odd one carries bytes (draft 18, "Key-Value-Pair
//! Structure"). Message parameters look alike and are not: see [`super::param`].

use bytes::{BufMut, Bytes};

use super::error::SessionError;
use super::location::GroupOrder;
use crate::wire::{Incomplete, Reader, put_prefixed, put_vi64};

/// Longest value of an odd type, in bytes (draft 18, "Key-Value-Pair Structure").
pub const VALUE_LEN_MAX: usize = 65_535;

/// How long an object may wait, in ms, from its arrival. Track property.
pub const OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
/// How long an object is worth caching, in ms. Track property.
pub const MAX_CACHE_DURATION: u64 = 0x04;
/// How long a finished subgroup may wait, in ms. Track property.
pub const SUBGROUP_DELIVERY_TIMEOUT: u64 = 0x06;
/// Ticks per second of the media timestamps (LOC). Track or object property.
pub const TIMESCALE: u64 = 0x08;
/// A nested block that nobody may change. Track or object property.
pub const IMMUTABLE_PROPERTIES: u64 = 0x0b;
/// The priority of objects that state none; 128 when absent. Track property.
pub const DEFAULT_PUBLISHER_PRIORITY: u64 = 0x0e;
/// The group order of subscriptions that ask for none; ascending when absent. Track property.
pub const DEFAULT_PUBLISHER_GROUP_ORDER: u64 = 0x22;
/// Whether the publisher starts a group on request. Track property.
pub const DYNAMIC_GROUPS: u64 = 0x30;
/// How many groups before this one do not exist. Object property.
pub const PRIOR_GROUP_ID_GAP: u64 = 0x3c;
/// How many objects before this one do not exist. Object property.
pub const PRIOR_OBJECT_ID_GAP: u64 = 0x3e;

/// Types that a receiver of the track must understand (draft 18, "Mandatory Track Properties").
pub const MANDATORY: std::ops::RangeInclusive<u64> = 0x4000..=0x7fff;

/// Why a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// The block ends inside a pair.
    #[error("a key-value pair is cut short")]
    Incomplete,
    /// The running type is past the largest number.
    #[error("the type of a key-value pair overflows")]
    TypeOverflow,
    /// A value longer than [`VALUE_LEN_MAX`].
    #[error("the value of type {kind:#x} has {len} bytes, more than {VALUE_LEN_MAX}")]
    ValueTooLong {
        /// The pair's type.
        kind: u64,
        /// The length stated.
        len: u64,
    },
    /// A known type with a value that it cannot have.
    #[error("type {kind:#x} cannot have the value {value}")]
    BadValue {
        /// The pair's type.
        kind: u64,
        /// The value found.
        value: u64,
    },
    /// A nested block that cannot be read.
    #[error("the immutable properties are malformed")]
    BadNesting,
}

impl PropertyError {
    /// The code to close the session with.
    pub fn session_error(self) -> SessionError {
        match self {
            Self::Incomplete | Self::BadValue { .. } | Self::BadNesting => {
                SessionError::KeyValueFormatting
            }
            Self::TypeOverflow | Self::ValueTooLong { .. } => SessionError::ProtocolViolation,
        }
    }
}

impl From<Incomplete> for PropertyError {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

/// The value of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of an even type.
    Int(u64),
    /// Of an odd type.
    Bytes(&'a [u8]),
}

/// The pairs of a block, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    reader: Reader<'a>,
    kind: u64,
}

impl<'a> Pairs<'a> {
    /// The pairs of `block`.
    pub fn new(block: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(block),
            kind: 0,
        }
    }

    fn pair(&mut self) -> Result<(u64, Value<'a>), PropertyError> {
        let delta = self.reader.vi64()?;
        let kind = self.kind.checked_add(delta);
        let kind = kind.ok_or(PropertyError::TypeOverflow)?;
        self.kind = kind;
        if kind.is_multiple_of(2) {
            return Ok((kind, Value::Int(self.reader.vi64()?)));
        }
        let len = self.reader.vi64()?;
        if len > VALUE_LEN_MAX as u64 {
            return Err(PropertyError::ValueTooLong { kind, len });
        }
        Ok((kind, Value::Bytes(self.reader.bytes(len as usize)?)))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(u64, Value<'a>), PropertyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_err() {
            self.reader.rest();
        }
        Some(pair)
    }
}

/// Writes a block. Types must not descend; the same type may come twice.
#[derive(Debug)]
pub struct PairWriter<'a, B> {
    out: &'a mut B,
    last: u64,
}

impl<'a, B: BufMut> PairWriter<'a, B> {
    /// Writes behind what `out` has already.
    pub fn new(out: &'a mut B) -> Self {
        Self { out, last: 0 }
    }

    /// Writes an integer under an even type.
    pub fn int(&mut self, kind: u64, value: u64) {
        debug_assert!(kind.is_multiple_of(2), "type {kind:#x} carries bytes");
        self.kind(kind);
        put_vi64(self.out, value);
    }

    /// Writes bytes, at most [`VALUE_LEN_MAX`], under an odd type.
    pub fn bytes(&mut self, kind: u64, value: &[u8]) {
        debug_assert!(!kind.is_multiple_of(2), "type {kind:#x} carries an integer");
        debug_assert!(value.len() <= VALUE_LEN_MAX, "the value is too long");
        self.kind(kind);
        put_prefixed(self.out, value);
    }

    fn kind(&mut self, kind: u64) {
        debug_assert!(kind >= self.last, "type {kind:#x} is out of order");
        put_vi64(self.out, kind.wrapping_sub(self.last));
        self.last = kind;
    }
}

/// A well-formed block as it came: unknown pairs and the encoding itself are kept, so that a relay
/// passes on the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Properties(Bytes);

impl Properties {
    /// Checks the form of every pair.
    pub fn new(block: Bytes) -> Result<Self, PropertyError> {
        Pairs::new(&block).try_for_each(|pair| pair.map(drop))?;
        Ok(Self(block))
    }

    /// The block.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The block, without the certainty that it is well-formed.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, without those inside the immutable block.
    pub fn pairs(&self) -> impl Iterator<Item = (u64, Value<'_>)> {
        Pairs::new(&self.0).flatten()
    }

    /// The first value of a type, also inside the immutable block.
    pub fn find(&self, kind: u64) -> Option<Value<'_>> {
        find(&self.0, kind).ok().flatten()
    }
}

/// The first value of `kind` in a block, or else inside the block's immutable properties.
pub fn find(block: &[u8], kind: u64) -> Result<Option<Value<'_>>, PropertyError> {
    let mut nested = None;
    for pair in Pairs::new(block) {
        match pair? {
            (found, value) if found == kind => return Ok(Some(value)),
            (IMMUTABLE_PROPERTIES, Value::Bytes(inner)) => nested = Some(inner),
            _ => {}
        }
    }
    for pair in nested.into_iter().flat_map(Pairs::new) {
        match pair.map_err(|_| PropertyError::BadNesting)? {
            (found, value) if found == kind => return Ok(Some(value)),
            _ => {}
        }
    }
    Ok(None)
}

/// The track properties that a relay or a player acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackProperties {
    /// Ticks per second of media timestamps; without it they are microseconds of wall-clock time.
    pub timescale: Option<u64>,
    /// Priority of objects that state none.
    pub publisher_priority: Option<u8>,
    /// Group order of subscriptions that ask for none.
    pub group_order: Option<GroupOrder>,
    /// Whether the publisher starts a group on request.
    pub dynamic_groups: Option<bool>,
    /// How long objects may be cached, in ms.
    pub max_cache_duration_ms: Option<u64>,
    /// How long an object may wait, in ms; 0 is without limit.
    pub object_delivery_timeout_ms: Option<u64>,
    /// How long a finished subgroup may wait, in ms; 0 is without limit.
    pub subgroup_delivery_timeout_ms: Option<u64>,
    /// A mandatory property that is not understood: the track must be refused with
    /// UNSUPPORTED_EXTENSION.
    pub unsupported: Option<u64>,
}

impl TrackProperties {
    /// Reads the known properties of a block, also inside its immutable properties.
    pub fn parse(block: &Properties) -> Result<Self, PropertyError> {
        let mut known = Self::default();
        for (kind, value) in block.pairs() {
            match (kind, value) {
                (IMMUTABLE_PROPERTIES, Value::Bytes(inner)) => {
                    for pair in Pairs::new(inner) {
                        let (kind, value) = pair.map_err(|_| PropertyError::BadNesting)?;
                        known.set(kind, value)?;
                    }
                }
                (kind, value) => known.set(kind, value)?,
            }
        }
        Ok(known)
    }

    /// The block that says this.
    pub fn to_block(self) -> Properties {
        let mut out = Vec::new();
        let mut pairs = PairWriter::new(&mut out);
        let order = self.group_order.map(GroupOrder::code);
        for (kind, value) in [
            (OBJECT_DELIVERY_TIMEOUT, self.object_delivery_timeout_ms),
            (MAX_CACHE_DURATION, self.max_cache_duration_ms),
            (SUBGROUP_DELIVERY_TIMEOUT, self.subgroup_delivery_timeout_ms),
            (TIMESCALE, self.timescale),
            (
                DEFAULT_PUBLISHER_PRIORITY,
                self.publisher_priority.map(u64::from),
            ),
            (DEFAULT_PUBLISHER_GROUP_ORDER, order.map(u64::from)),
            (DYNAMIC_GROUPS, self.dynamic_groups.map(u64::from)),
        ] {
            if let Some(value) = value {
                pairs.int(kind, value);
            }
        }
        Properties(Bytes::from(out))
    }

    fn set(&mut self, kind: u64, value: Value<'_>) -> Result<(), PropertyError> {
        if MANDATORY.contains(&kind) {
            self.unsupported = self.unsupported.or(Some(kind));
        }
        let Value::Int(value) = value else {
            return Ok(());
        };
        let bad = PropertyError::BadValue { kind, value };
        match kind {
            OBJECT_DELIVERY_TIMEOUT => self.object_delivery_timeout_ms = Some(value),
            MAX_CACHE_DURATION => self.max_cache_duration_ms = Some(value),
            SUBGROUP_DELIVERY_TIMEOUT => self.subgroup_delivery_timeout_ms = Some(value),
            TIMESCALE if value == 0 => return Err(bad),
            TIMESCALE => self.timescale = Some(value),
            DEFAULT_PUBLISHER_PRIORITY => {
                self.publisher_priority = Some(u8::try_from(value).map_err(|_| bad)?);
            }
            DEFAULT_PUBLISHER_GROUP_ORDER => {
                self.group_order = Some(GroupOrder::from_code(value).ok_or(bad)?);
            }
            DYNAMIC_GROUPS if value > 1 => return Err(bad),
            DYNAMIC_GROUPS => self.dynamic_groups = Some(value == 1),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
