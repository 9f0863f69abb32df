//! Where an object stands in its track, and filters over that.

use bytes::BufMut;

use super::Version;
use crate::wire::{Incomplete, Reader, put_vi64};

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
/// `Unfiltered` by leaving the parameter out; draft 20 can say all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Every object that is published from now on.
    #[default]
    Unfiltered,
    /// From the object after the largest one.
    NextObject,
    /// From the start of a group counted from the largest one: 0 is the next group, 1 the current.
    Relative(u64),
    /// From `start` to the end of group `end`, or without end.
    Absolute {
        /// The first object.
        start: Location,
        /// The last group, inclusive.
        end: Option<u64>,
    },
}

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

    /// The last group that passes, if there is an end.
    pub fn end_group(self) -> Option<u64> {
        match self {
            Self::Absolute { end, .. } => end,
            Self::Unfiltered | Self::NextObject | Self::Relative(_) => None,
        }
    }

    /// Writes the value of the filter parameter, without its length. Draft 20 and later have
    /// other forms: they are branches on `version` here and in [`Self::decode`].
    pub fn encode(self, version: Version, out: &mut impl BufMut) -> Result<(), FilterError> {
        match self {
            Self::Unfiltered => return Err(FilterError::NotInDraft(version)),
            Self::Relative(0) => put_vi64(out, 1),
            Self::Relative(_) => return Err(FilterError::NotInDraft(version)),
            Self::NextObject => put_vi64(out, 2),
            Self::Absolute { start, end: None } => {
                put_vi64(out, 3);
                start.encode(out);
            }
            Self::Absolute {
                start,
                end: Some(end),
            } => {
                let delta = end.checked_sub(start.group);
                let delta = delta.ok_or(FilterError::EndBeforeStart)?;
                put_vi64(out, 4);
                start.encode(out);
                put_vi64(out, delta);
            }
        }
        Ok(())
    }

    /// Reads the value of the filter parameter, which must end where the filter does.
    pub fn decode(_version: Version, value: &[u8]) -> Result<Self, FilterError> {
        let mut reader = Reader::new(value);
        let filter = match reader.vi64()? {
            1 => Self::Relative(0),
            2 => Self::NextObject,
            3 => Self::Absolute {
                start: Location::decode(&mut reader)?,
                end: None,
            },
            4 => {
                let start = Location::decode(&mut reader)?;
                let end = start.group.checked_add(reader.vi64()?);
                Self::Absolute {
                    start,
                    end: Some(end.ok_or(FilterError::EndOverflow)?),
                }
            }
            other => return Err(FilterError::UnknownType(other)),
        };
        match reader.is_empty() {
            true => Ok(filter),
            false => Err(FilterError::Trailing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_start_where_the_draft_says() {
        let largest = Some(Location::new(7, 3));
        assert_eq!(Filter::NextObject.start(largest), Location::new(7, 4));
        assert_eq!(Filter::Unfiltered.start(largest), Location::new(7, 4));
        assert_eq!(Filter::Relative(0).start(largest), Location::new(8, 0));
        assert_eq!(Filter::Relative(1).start(largest), Location::new(7, 0));
        assert_eq!(Filter::Relative(99).start(largest), Location::new(0, 0));
        assert_eq!(Filter::NextObject.start(None), Location::new(0, 0));
        let start = Location::new(2, 1);
        let range = Filter::Absolute {
            start,
            end: Some(4),
        };
        assert_eq!(range.start(largest), start);
        assert_eq!(range.end_group(), Some(4));
    }

    #[test]
    fn filters_round_trip_in_every_draft() {
        let start = Location::new(300, 2);
        let filters = [
            Filter::NextObject,
            Filter::Relative(0),
            Filter::Absolute { start, end: None },
            Filter::Absolute {
                start,
                end: Some(300),
            },
            Filter::Absolute {
                start,
                end: Some(u64::MAX),
            },
        ];
        for version in Version::ALL {
            for filter in filters {
                let mut out = Vec::new();
                filter.encode(version, &mut out).unwrap();
                assert_eq!(Filter::decode(version, &out), Ok(filter));
                for cut in 0..out.len() {
                    let cut = Filter::decode(version, &out[..cut]);
                    assert_eq!(cut, Err(FilterError::Incomplete));
                }
            }
        }
    }

    #[test]
    fn what_a_draft_cannot_say_is_an_error() {
        let v = Version::Draft19;
        let out = &mut Vec::new();
        let not_in_draft = Err(FilterError::NotInDraft(v));
        assert_eq!(Filter::Relative(1).encode(v, out), not_in_draft);
        assert_eq!(Filter::Unfiltered.encode(v, out), not_in_draft);
        let start = Location::new(2, 0);
        let backwards = Filter::Absolute {
            start,
            end: Some(1),
        };
        assert_eq!(backwards.encode(v, out), Err(FilterError::EndBeforeStart));
        assert!(out.is_empty());
        assert_eq!(Filter::decode(v, &[5]), Err(FilterError::UnknownType(5)));
        assert_eq!(Filter::decode(v, &[2, 0]), Err(FilterError::Trailing));
        let mut overflow = vec![4, 1, 0];
        overflow.extend([0xff; 9]);
        assert_eq!(Filter::decode(v, &overflow), Err(FilterError::EndOverflow));
    }

    #[test]
    fn locations_order_by_group_first() {
        assert!(Location::new(1, 9) < Location::new(2, 0));
        assert!(Location::new(2, 0) < Location::new(2, 1));
    }
}
