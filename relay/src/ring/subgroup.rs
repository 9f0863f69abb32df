//! A subgroup: the objects of a group that go out on one stream, and how that stream ends.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::Object;

/// What a subgroup is when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubgroupOptions {
    /// Its id within the group.
    pub id: u64,
    /// The publisher's priority; `None` is the track's.
    pub priority: Option<u8>,
    /// Whether its last object, when it ends with a FIN, is the last of the group.
    pub end_of_group: bool,
    /// Whether the first object that is pushed is the first that was ever published of it.
    pub first_object: bool,
    /// Whether its objects came in datagrams, and go out in datagrams.
    pub datagrams: bool,
}

impl SubgroupOptions {
    /// The one subgroup of a group that has no other.
    pub const WHOLE: Self = Self {
        id: 0,
        priority: None,
        end_of_group: true,
        first_object: true,
        datagrams: false,
    };
}

/// How a subgroup's stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubgroupEnd {
    /// With a FIN: everything was published.
    Fin,
    /// With a reset that has this code.
    Reset(u64),
}

/// A subgroup, as its objects share it.
#[derive(Debug)]
pub struct Subgroup {
    /// What it is.
    pub options: SubgroupOptions,
    /// Id of the first object.
    pub first: u64,
    /// How it ended, and the position in the log from which on it has no object.
    pub(super) end: OnceLock<(SubgroupEnd, u64)>,
}

impl Subgroup {
    pub(super) fn new(options: SubgroupOptions, first: u64) -> Arc<Self> {
        Arc::new(Self {
            options,
            first,
            end: OnceLock::new(),
        })
    }

    /// How it ended, for a reader who has read everything up to `position`.
    pub fn end_at(&self, position: u64) -> Option<SubgroupEnd> {
        let (end, at) = self.end.get()?;
        (*at <= position).then_some(*end)
    }
}

/// An object with the subgroup that it is in.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The object.
    pub object: Object,
    /// Its subgroup.
    pub subgroup: Arc<Subgroup>,
}

impl Deref for Placed {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}
