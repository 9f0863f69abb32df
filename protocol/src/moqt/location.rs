//! Where an object stands in its track, and filters over that.

use bytes::BufMut;

use super::Version;
use crate::wire::{Incomplete, Reader, put_prefixed, put_vi64};

/// A position in a track. Orders by group, then by object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The group's id.
    pub group: u64,
    /// The object's id in the group.
    pub object: u64,
}

impl Location {
    /// The location of `object` in `group`.
    pub fn new(group: u64, object: u64) -> Self {
        Self { group, object }
    }

    /// Writes two bare integers.
    pub fn encode(self, out: &mut impl BufMut) {
        put_vi64(out, self.group);
        put_vi64(out, self.object);
    }

    /// Reads two bare integers.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Incomplete> {
        Ok(Self::new(reader.vi64()?, reader.vi64()?))
    }
}

/// In which order groups are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupOrder {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

impl GroupOrder {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Ascending => 1,
            Self::Descending => 2,
        }
    }

    /// The meaning of a number from the wire.
    pub fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Ascending),
            2 => Some(Self::Descending),
            _ => None,
        }
    }
}

/// Which objects a subscription wants, in a form that holds for every draft.
///
/// Drafts 18 and 19 say `Relative(0)` as "next group start", `NextObject` as "largest object" and
/// `Unfiltered` by leaving the parameter out; drafts since 20 can say all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Every object that is published from now on.
    #[default]
    Unfiltered,
    /// From the object after the largest one.
    NextObject,
    /// From the start of a group counted from the largest one: 0 is the next group, 1 the current.
    Relative(u64),
    /// From `start` to `end`, or without end.
    Absolute {
        /// The first object.
        start: Location,
        /// The last one, inclusive. [`LAST_OBJECT`] is the whole of its group, which is all that
        /// drafts before 20 can say.
        end: Option<Location>,
    },
}

/// The largest object id there can be: as the end of a range, the end of its group.
pub const LAST_OBJECT: u64 = u64::MAX;

/// Why a filter cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A filter type that the draft does not have.
    #[error("unknown filter type {0:#x}")]
    UnknownType(u64),
    /// The end group is past the largest id.
    #[error("the filter's end group overflows")]
    EndOverflow,
    /// A range that ends before it starts.
    #[error("the filter ends before it starts")]
    EndBeforeStart,
    /// The draft has no words for this filter.
    #[error("{0} cannot express this filter")]
    NotInDraft(Version),
    /// The filter's bytes end early.
    #[error("a filter is cut short")]
    Incomplete,
    /// The filter's bytes go on after its end.
    #[error("bytes follow the filter")]
    Trailing,
}

impl From<Incomplete> for FilterError {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

impl Filter {
    /// The first location that passes, when `largest` is the largest object known (`None` when
    /// there is none yet).
    pub fn start(self, largest: Option<Location>) -> Location {
        match (self, largest) {
            (Self::Absolute { start, .. }, _) => start,
            (_, None) => Location::default(),
            (Self::Unfiltered | Self::NextObject, Some(largest)) => Location {
                group: largest.group,
                object: largest.object.saturating_add(1),
            },
            (Self::Relative(back), Some(largest)) => Location {
                group: largest.group.saturating_add(1).saturating_sub(back),
                object: 0,
            },
        }
    }

    /// The last location that passes, if there is an end.
    pub fn end(self) -> Option<Location> {
        match self {
            Self::Absolute { end, .. } => end,
            Self::Unfiltered | Self::NextObject | Self::Relative(_) => None,
        }
    }

    /// Writes the filter as a parameter's value, in the form of the draft.
    pub fn encode(self, version: Version, out: &mut impl BufMut) -> Result<(), FilterError> {
        if let Self::Absolute { start, end } = self
            && end.is_some_and(|end| end < start)
        {
            return Err(FilterError::EndBeforeStart);
        }
        let mut value = Vec::new();
        match version {
            Version::Draft18 | Version::Draft19 => self.encode_tagged(version, &mut value)?,
            Version::Draft20 | Version::Draft21 => self.encode_counted(&mut value),
            Version::Draft22 => {
                self.encode_typed(out);
                return Ok(());
            }
        }
        put_prefixed(out, &value);
        Ok(())
    }

    /// Reads a parameter's value in the form of the draft.
    pub fn decode(version: Version, reader: &mut Reader<'_>) -> Result<Self, FilterError> {
        let decode = match version {
            Version::Draft18 | Version::Draft19 => Self::decode_tagged,
            Version::Draft20 | Version::Draft21 => Self::decode_counted,
            Version::Draft22 => return Self::decode_typed(reader),
        };
        let mut value = Reader::new(reader.prefixed()?);
        let filter = decode(&mut value)?;
        match value.is_empty() {
            true => Ok(filter),
            false => Err(FilterError::Trailing),
        }
    }

    /// Drafts 18 and 19: a type, then what it needs. A range ends with a group.
    fn encode_tagged(self, version: Version, out: &mut Vec<u8>) -> Result<(), FilterError> {
        match self {
            Self::Relative(0) => put_vi64(out, 1),
            Self::NextObject => put_vi64(out, 2),
            Self::Absolute { start, end: None } => {
                put_vi64(out, 3);
                start.encode(out);
            }
            Self::Absolute {
                start,
                end: Some(end),
            } if end.object == LAST_OBJECT => {
                put_vi64(out, 4);
                start.encode(out);
                put_vi64(out, end.group - start.group);
            }
            Self::Unfiltered | Self::Relative(_) | Self::Absolute { .. } => {
                return Err(FilterError::NotInDraft(version));
            }
        }
        Ok(())
    }

    fn decode_tagged(reader: &mut Reader<'_>) -> Result<Self, FilterError> {
        match reader.vi64()? {
            1 => Ok(Self::Relative(0)),
            2 => Ok(Self::NextObject),
            3 => Self::decode_absolute(reader, Ends::Never),
            4 => Self::decode_absolute(reader, Ends::WithGroup),
            other => Err(FilterError::UnknownType(other)),
        }
    }

    /// Drafts 20 and 21: up to four numbers, whose count says what they mean.
    fn encode_counted(self, out: &mut Vec<u8>) {
        match self {
            Self::Unfiltered => {}
            Self::Relative(groups) => put_vi64(out, groups),
            Self::NextObject => Location::default().encode(out),
            // Two zeros are the next object; the draft has this for the same as no filter.
            Self::Absolute { start, end: None } if start == Location::default() => {}
            Self::Absolute { start, end } => encode_absolute(out, start, end),
        }
    }

    fn decode_counted(reader: &mut Reader<'_>) -> Result<Self, FilterError> {
        if reader.is_empty() {
            return Ok(Self::Unfiltered);
        }
        let group = reader.vi64()?;
        if reader.is_empty() {
            return Ok(Self::Relative(group));
        }
        let start = Location::new(group, reader.vi64()?);
        if reader.is_empty() {
            return Ok(match start == Location::default() {
                true => Self::NextObject,
                false => Self::Absolute { start, end: None },
            });
        }
        let mut end = decode_end(reader, start)?;
        if !reader.is_empty() {
            end.object = reader.vi64()?;
        }
        Self::absolute(start, Some(end))
    }

    /// Draft 22: a type, then what it needs, and no length around it.
    fn encode_typed(self, out: &mut impl BufMut) {
        match self {
            Self::Unfiltered => put_vi64(out, 0),
            Self::Relative(groups) => {
                put_vi64(out, 1);
                put_vi64(out, groups);
            }
            Self::Absolute { start, end } => {
                put_vi64(
                    out,
                    match end {
                        None => 2,
                        Some(end) if end.object == LAST_OBJECT => 3,
                        Some(_) => 4,
                    },
                );
                encode_absolute(out, start, end);
            }
            Self::NextObject => put_vi64(out, 5),
        }
    }

    fn decode_typed(reader: &mut Reader<'_>) -> Result<Self, FilterError> {
        match reader.vi64()? {
            0 => Ok(Self::Unfiltered),
            1 => Ok(Self::Relative(reader.vi64()?)),
            2 => Self::decode_absolute(reader, Ends::Never),
            3 => Self::decode_absolute(reader, Ends::WithGroup),
            4 => Self::decode_absolute(reader, Ends::WithObject),
            5 => Ok(Self::NextObject),
            other => Err(FilterError::UnknownType(other)),
        }
    }

    fn decode_absolute(reader: &mut Reader<'_>, ends: Ends) -> Result<Self, FilterError> {
        let start = Location::decode(reader)?;
        if ends == Ends::Never {
            return Ok(Self::Absolute { start, end: None });
        }
        let mut end = decode_end(reader, start)?;
        if ends == Ends::WithObject {
            end.object = reader.vi64()?;
        }
        Self::absolute(start, Some(end))
    }

    fn absolute(start: Location, end: Option<Location>) -> Result<Self, FilterError> {
        match end.is_some_and(|end| end < start) {
            true => Err(FilterError::EndBeforeStart),
            false => Ok(Self::Absolute { start, end }),
        }
    }
}

/// What a range on the wire ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Never,
    WithGroup,
    WithObject,
}

/// The group that a range ends with, written as its distance from the first one.
fn decode_end(reader: &mut Reader<'_>, start: Location) -> Result<Location, FilterError> {
    let group = start.group.checked_add(reader.vi64()?);
    Ok(Location {
        group: group.ok_or(FilterError::EndOverflow)?,
        object: LAST_OBJECT,
    })
}

fn encode_absolute(out: &mut impl BufMut, start: Location, end: Option<Location>) {
    start.encode(out);
    if let Some(end) = end {
        put_vi64(out, end.group - start.group);
        if end.object != LAST_OBJECT {
            put_vi64(out, end.object);
        }
    }
}

#[cfg(test)]
mod tests;
