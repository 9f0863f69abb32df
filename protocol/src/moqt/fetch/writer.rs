//! Writes the objects of a FETCH stream.

use bytes::BufMut;

use super::{RangeKind, flag};
use crate::moqt::location::{GroupOrder, Location};
use crate::wire::{put_prefixed, put_vi64};

/// Why an object or range cannot be the next one. Nothing is written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchOrderError {
    /// The location comes before the prior one, or is the same.
    #[error("{location:?} cannot follow {prior:?}")]
    OutOfOrder {
        /// The location written last.
        prior: Location,
        /// The one refused.
        location: Location,
    },
    /// A range cannot end in the group of the location written last: the form has no word for
    /// "the same group". Let it end in a further group, or reset the stream.
    #[error("a range cannot end in group {0}, the one written last")]
    RangeInSameGroup(u64),
}

/// The state of a FETCH stream on its way out: what the next object is written against.
#[derive(Clone, Debug)]
pub struct FetchObjectWriter {
    order: GroupOrder,
    prior: Option<Location>,
    subgroup: Option<u64>,
    priority: Option<u8>,
}

impl FetchObjectWriter {
    /// A stream with nothing on it but the header, in the order that the FETCH asked for.
    pub fn new(order: GroupOrder) -> Self {
        Self {
            order,
            prior: None,
            subgroup: None,
            priority: None,
        }
    }

    /// Writes an object up to its payload's length; the payload follows. `properties` is a block
    /// of key-value pairs without its length; `None` leaves the field out.
    pub fn put(
        &mut self,
        out: &mut impl BufMut,
        group: u64,
        subgroup: u64,
        object: u64,
        priority: u8,
        properties: Option<&[u8]>,
        payload_len: u64,
    ) -> Result<(), FetchOrderError> {
        let location = Location::new(group, object);
        let group_delta = self.group_delta(location)?;
        let object_field = match self.prior {
            Some(prior) if group_delta.is_none() => match object - prior.object {
                1 => None,
                delta => Some(delta),
            },
            _ => Some(object),
        };
        let same_priority = self.priority == Some(priority);
        let subgroup_mode = match (subgroup, self.subgroup) {
            (0, _) => flag::SUBGROUP_ZERO,
            (_, Some(prior)) if prior == subgroup => flag::SUBGROUP_PRIOR,
            (_, Some(prior)) if prior.checked_add(1) == Some(subgroup) => {
                flag::SUBGROUP_PRIOR_PLUS_ONE
            }
            _ => flag::SUBGROUP_EXPLICIT,
        };
        let when = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = subgroup_mode
            | when(group_delta.is_some(), flag::GROUP)
            | when(object_field.is_some(), flag::OBJECT)
            | when(!same_priority, flag::PRIORITY)
            | when(properties.is_some(), flag::PROPERTIES);
        put_vi64(out, flags);
        if let Some(delta) = group_delta {
            put_vi64(out, delta);
        }
        if subgroup_mode == flag::SUBGROUP_EXPLICIT {
            put_vi64(out, subgroup);
        }
        if let Some(object) = object_field {
            put_vi64(out, object);
        }
        if !same_priority {
            out.put_u8(priority);
        }
        if let Some(block) = properties {
            put_prefixed(out, block);
        }
        put_vi64(out, payload_len);
        self.prior = Some(location);
        self.subgroup = Some(subgroup);
        self.priority = Some(priority);
        Ok(())
    }

    /// Says what is known of everything between the location written last and `end`, inclusive.
    pub fn put_range_end(
        &mut self,
        out: &mut impl BufMut,
        kind: RangeKind,
        end: Location,
    ) -> Result<(), FetchOrderError> {
        let Some(group_delta) = self.group_delta(end)? else {
            return Err(FetchOrderError::RangeInSameGroup(end.group));
        };
        put_vi64(out, kind.flags());
        put_vi64(out, group_delta);
        put_vi64(out, end.object);
        self.prior = Some(end);
        Ok(())
    }

    /// The group field of a location: absolute on the first one, none within a group.
    fn group_delta(&self, location: Location) -> Result<Option<u64>, FetchOrderError> {
        let Some(prior) = self.prior else {
            return Ok(Some(location.group));
        };
        if location.group == prior.group && location.object > prior.object {
            return Ok(None);
        }
        let forward = match self.order {
            GroupOrder::Ascending => location.group.checked_sub(prior.group),
            GroupOrder::Descending => prior.group.checked_sub(location.group),
        };
        match forward.and_then(|groups| groups.checked_sub(1)) {
            Some(delta) => Ok(Some(delta)),
            None => Err(FetchOrderError::OutOfOrder { prior, location }),
        }
    }
}
