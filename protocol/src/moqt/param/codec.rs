//! Parameters to bytes and back.

use bytes::{BufMut, Bytes, BytesMut};

use super::scope::allowed;
use super::{PARAMS_MAX, ParamError, Params, RangeFilter, Scope, id};
use crate::moqt::Version;
use crate::moqt::location::{Filter, GroupOrder, Location};
use crate::moqt::name::Namespace;
use crate::moqt::token::Token;
use crate::wire::{Reader, put_prefixed, put_vi64};

impl Params {
    /// Writes the count and the parameters in ascending order.
    pub(in crate::moqt) fn encode(
        &self,
        version: Version,
        scope: Scope,
        out: &mut BytesMut,
    ) -> Result<(), ParamError> {
        let mut list = List::new(version, scope);
        list.int(id::OBJECT_DELIVERY_TIMEOUT, self.object_delivery_timeout_ms)?;
        for token in &self.auth_tokens {
            let mut value = BytesMut::new();
            token.encode(&mut value);
            list.prefixed(id::AUTHORIZATION_TOKEN, &value)?;
        }
        list.int(id::RENDEZVOUS_TIMEOUT, self.rendezvous_timeout_ms)?;
        list.int(
            id::SUBGROUP_DELIVERY_TIMEOUT,
            self.subgroup_delivery_timeout_ms,
        )?;
        list.int(id::EXPIRES, self.expires_ms)?;
        if let Some(largest) = self.largest {
            largest.encode(list.add(id::LARGEST_OBJECT)?);
        }
        list.int(id::FILL_TIMEOUT, self.fill_timeout_ms)?;
        list.byte(id::FORWARD, self.forward.map(u8::from))?;
        list.byte(id::SUBSCRIBER_PRIORITY, self.subscriber_priority)?;
        if let Some(filter) = self.filter {
            filter.encode(version, list.add(id::FILTER)?)?;
        }
        list.byte(id::GROUP_ORDER, self.group_order.map(GroupOrder::code))?;
        if let Some(fill) = &self.fill {
            let mut value = BytesMut::new();
            fill.encode(version, Scope::Fill, &mut value)?;
            list.prefixed(id::FILL_PARAMETERS, &value)?;
        }
        for filter in &self.range_filters {
            list.prefixed(filter.kind, &filter.value)?;
        }
        list.int(id::NEW_GROUP_REQUEST, self.new_group_request)?;
        if let Some(prefix) = &self.namespace_prefix {
            prefix.encode(list.add(id::TRACK_NAMESPACE_PREFIX)?);
        }
        list.byte(
            id::INCLUDE_PROPERTIES,
            self.include_properties.map(u8::from),
        )?;
        list.finish(out)
    }

    /// Reads the count and as many parameters.
    pub(in crate::moqt) fn decode(
        version: Version,
        scope: Scope,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ParamError> {
        let count = reader.vi64()?;
        if count > PARAMS_MAX {
            return Err(ParamError::TooMany(count));
        }
        let mut params = Self::default();
        let mut last = None;
        for _ in 0..count {
            let delta = reader.vi64()?;
            let param = last.unwrap_or(0_u64).checked_add(delta);
            let param = param.ok_or(ParamError::TypeOverflow)?;
            match allowed(param, scope, version) {
                None => return Err(ParamError::Unknown(param)),
                Some(false) => return Err(ParamError::Forbidden { param, scope }),
                Some(true) => {}
            }
            if last == Some(param) && !repeats(param) {
                return Err(ParamError::Duplicate(param));
            }
            params.read(version, param, reader)?;
            last = Some(param);
        }
        Ok(params)
    }

    fn read(
        &mut self,
        version: Version,
        param: u64,
        reader: &mut Reader<'_>,
    ) -> Result<(), ParamError> {
        match param {
            id::OBJECT_DELIVERY_TIMEOUT => {
                self.object_delivery_timeout_ms = Some(reader.vi64()?);
            }
            id::AUTHORIZATION_TOKEN => {
                self.auth_tokens.push(Token::decode(reader.prefixed()?)?);
            }
            id::RENDEZVOUS_TIMEOUT => self.rendezvous_timeout_ms = Some(reader.vi64()?),
            id::SUBGROUP_DELIVERY_TIMEOUT => {
                self.subgroup_delivery_timeout_ms = Some(reader.vi64()?);
            }
            id::EXPIRES => self.expires_ms = Some(reader.vi64()?),
            id::LARGEST_OBJECT => self.largest = Some(Location::decode(reader)?),
            id::FILL_TIMEOUT => self.fill_timeout_ms = Some(reader.vi64()?),
            id::FORWARD => self.forward = Some(flag(param, reader)?),
            id::SUBSCRIBER_PRIORITY => self.subscriber_priority = Some(reader.u8()?),
            id::FILTER => self.filter = Some(Filter::decode(version, reader)?),
            id::GROUP_ORDER => {
                let value = u64::from(reader.u8()?);
                let bad = ParamError::BadValue { param, value };
                self.group_order = Some(GroupOrder::from_code(value).ok_or(bad)?);
            }
            id::FILL_PARAMETERS => {
                let mut value = Reader::new(reader.prefixed()?);
                let fill = Self::decode(version, Scope::Fill, &mut value)?;
                if !value.is_empty() {
                    return Err(ParamError::Trailing(param));
                }
                self.fill = Some(Box::new(fill));
            }
            kind @ id::SUBGROUP_FILTER..=id::TRACK_PROPERTY_FILTER => {
                let value = Bytes::copy_from_slice(reader.prefixed()?);
                self.range_filters.push(RangeFilter { kind, value });
            }
            id::NEW_GROUP_REQUEST => self.new_group_request = Some(reader.vi64()?),
            id::TRACK_NAMESPACE_PREFIX => {
                self.namespace_prefix = Some(Namespace::decode(reader)?);
            }
            id::INCLUDE_PROPERTIES => self.include_properties = Some(flag(param, reader)?),
            param => return Err(ParamError::Unknown(param)),
        }
        Ok(())
    }
}

fn repeats(param: u64) -> bool {
    matches!(
        param,
        id::AUTHORIZATION_TOKEN | id::SUBGROUP_FILTER..=id::TRACK_PROPERTY_FILTER
    )
}

fn flag(param: u64, reader: &mut Reader<'_>) -> Result<bool, ParamError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => {
            let value = u64::from(other);
            Err(ParamError::BadValue { param, value })
        }
    }
}

/// Parameters on their way out: the count stands in front of them and is known last.
struct List {
    version: Version,
    scope: Scope,
    count: u64,
    last: u64,
    out: BytesMut,
}

impl List {
    fn new(version: Version, scope: Scope) -> Self {
        Self {
            version,
            scope,
            count: 0,
            last: 0,
            out: BytesMut::new(),
        }
    }

    /// Begins a parameter: the caller writes its value.
    fn add(&mut self, param: u64) -> Result<&mut BytesMut, ParamError> {
        let scope = self.scope;
        match allowed(param, scope, self.version) {
            None => return Err(ParamError::Unknown(param)),
            Some(false) => return Err(ParamError::Forbidden { param, scope }),
            Some(true) => {}
        }
        // Only a list of range filters out of order can descend here.
        let delta = param.checked_sub(self.last);
        put_vi64(&mut self.out, delta.ok_or(ParamError::TypeOverflow)?);
        self.count += 1;
        self.last = param;
        Ok(&mut self.out)
    }

    fn int(&mut self, param: u64, value: Option<u64>) -> Result<(), ParamError> {
        if let Some(value) = value {
            put_vi64(self.add(param)?, value);
        }
        Ok(())
    }

    fn byte(&mut self, param: u64, value: Option<u8>) -> Result<(), ParamError> {
        if let Some(value) = value {
            self.add(param)?.put_u8(value);
        }
        Ok(())
    }

    fn prefixed(&mut self, param: u64, value: &[u8]) -> Result<(), ParamError> {
        put_prefixed(self.add(param)?, value);
        Ok(())
    }

    fn finish(self, out: &mut BytesMut) -> Result<(), ParamError> {
        if self.count > PARAMS_MAX {
            return Err(ParamError::TooMany(self.count));
        }
        put_vi64(out, self.count);
        out.put_slice(&self.out);
        Ok(())
    }
}
