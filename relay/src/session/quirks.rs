//! What peers do that their draft does not say, and what is done for them.
//!
//! Keyed by the name that a peer gives itself in SETUP (MOQT_IMPLEMENTATION). Who gives none, or
//! another one, gets what the draft says. Each has its peer, its evidence and a test; one that no
//! release in use needs any more is taken out.
//!
//! `moq-lite-js` is `@moq/net` 0.2 of npm, on which `@moq/watch` 0.4.6 runs. It
//!
//! - writes the 8-bit parameters as variable-length integers, so that priority 155 is `80 9b` (its
//!   `ietf/parameters`, mended in 0.3.4): see [`respell`];
//! - takes LARGEST_OBJECT, whose type is odd, for a length and as many bytes (0.3.4 does, too): it
//!   is left out, as such a peer sends no FETCH, for which alone it would need it;
//! - subscribes to what comes after the largest object, sends no FETCH, and drops a group that does
//!   not begin with object 0, which is up to a whole group of black: the newest group is sent from
//!   its beginning.
//!
//! Not needed, as Weir does so for everyone: SETUP on the first stream, no status objects, no
//! PREFIX_OVERLAP, the catalog for late subscribers, FIN that ends nothing since draft 19.
//!
//! MediaMTX's reader is not served. Beyond names and bytes it would need a
//! session of another kind: it takes the request id for the alias, numbers its requests without
//! the parity of its side, finds its stream in the session's path whatever namespace it asks for,
//! wants one object a group with a status object behind it and parameter sets within the frames,
//! and its data streams must not begin before the catalog's.

use bytes::{BufMut, BytesMut};
use weir_protocol::moqt::FullTrackName;
use weir_protocol::moqt::param::id;
use weir_protocol::wire::{Incomplete, Reader, put_prefixed, put_vi64};

/// What a peer needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    /// A SUBSCRIBE that cannot be read is tried again after [`respell`].
    pub(super) respells: bool,
    /// SUBSCRIBE_OK does not say what the largest object is.
    pub(super) hides_largest: bool,
    /// A subscription begins with the newest group, not in it.
    pub(super) joins_whole_group: bool,
}

impl Quirks {
    /// Those of the peer of that name.
    pub(super) fn of(implementation: Option<&str>) -> Self {
        let is = |name: &str| implementation.is_some_and(|given| given.starts_with(name));
        let js = is("moq-lite-js");
        Self {
            respells: js,
            hides_largest: js,
            joins_whole_group: js,
        }
    }
}

/// A SUBSCRIBE whose 8-bit parameters are written as variable-length integers, as the draft has
/// it: how long it was, and what it should have been. `None` for anything else.
///
/// To be asked only about what cannot be read as it is: a value below 128 is the same in both.
pub(super) fn respell(message: &[u8]) -> Option<(usize, BytesMut)> {
    let mut reader = Reader::new(message);
    if reader.vi64().ok()? != SUBSCRIBE {
        return None;
    }
    let body = reader.u16().ok()?;
    let body = reader.bytes(body.into()).ok()?;
    let len = reader.position();
    let body = respell_body(body)?;
    let mut out = BytesMut::new();
    put_vi64(&mut out, SUBSCRIBE);
    out.put_u16(u16::try_from(body.len()).ok()?);
    out.put_slice(&body);
    Some((len, out))
}

fn respell_body(body: &[u8]) -> Option<BytesMut> {
    let mut reader = Reader::new(body);
    let mut out = BytesMut::new();
    put_vi64(&mut out, reader.vi64().ok()?);
    FullTrackName::decode(&mut reader).ok()?.encode(&mut out);
    let count = reader.vi64().ok()?;
    put_vi64(&mut out, count);
    let mut param = 0_u64;
    for _ in 0..count {
        let delta = reader.vi64().ok()?;
        param = param.checked_add(delta)?;
        put_vi64(&mut out, delta);
        respell_param(param, &mut reader, &mut out).ok()??;
    }
    reader.is_empty().then_some(out)
}

/// The inner `None` is a parameter that the peers of this quirk do not send.
fn respell_param(
    param: u64,
    reader: &mut Reader<'_>,
    out: &mut BytesMut,
) -> Result<Option<()>, Incomplete> {
    match param {
        id::FORWARD | id::SUBSCRIBER_PRIORITY | id::GROUP_ORDER => {
            let Ok(value) = u8::try_from(reader.vi64()?) else {
                return Ok(None);
            };
            out.put_u8(value);
        }
        id::AUTHORIZATION_TOKEN | id::FILTER => put_prefixed(out, reader.prefixed()?),
        id::OBJECT_DELIVERY_TIMEOUT | id::SUBGROUP_DELIVERY_TIMEOUT | id::RENDEZVOUS_TIMEOUT => {
            put_vi64(out, reader.vi64()?);
        }
        _ => return Ok(None),
    }
    Ok(Some(()))
}

const SUBSCRIBE: u64 = 0x03;

#[cfg(test)]
mod tests {
    use weir_protocol::moqt::{Message, StreamRole, Version};

    use super::*;

    /// What @moq/watch 0.4.6 sends, with priority 155 and then a filter and an order.
    const WATCH: &[u8] =
        b"\x03\x00\x11\x00\x01\x01a\x01v\x04\x10\x01\x10\x80\x9b\x01\x01\x02\x01\x02";

    fn read(bytes: &[u8]) -> Option<Message> {
        let mut bytes = BytesMut::from(bytes);
        let read = Message::decode(Version::Draft19, StreamRole::Opening, &mut bytes);
        read.ok().flatten()
    }

    #[test]
    fn watch_is_read_when_its_bytes_are_respelled() {
        assert_eq!(read(WATCH), None);
        let (len, respelled) = respell(WATCH).unwrap();
        assert_eq!(len, WATCH.len());
        let Some(Message::Subscribe(subscribe)) = read(&respelled) else {
            panic!("not a SUBSCRIBE: {respelled:?}");
        };
        assert_eq!(subscribe.params.subscriber_priority, Some(155));
        assert_eq!(subscribe.params.forward, Some(true));
        assert!(subscribe.params.filter.is_some() && subscribe.params.group_order.is_some());
    }

    #[test]
    fn nothing_else_is_respelled() {
        for cut in 0..WATCH.len() {
            assert_eq!(respell(&WATCH[..cut]), None, "cut at {cut}");
        }
        let fetch = [0x16, 0, 5, 2, 2, 0, 0, 0];
        assert_eq!(respell(&fetch), None);
        let mut wide = WATCH.to_vec();
        wide[13..15].copy_from_slice(&[0x8f, 0xff]);
        assert_eq!(respell(&wide), None, "no 8-bit number");
    }

    #[test]
    fn peers_are_known_by_their_names() {
        let js = Quirks::of(Some("moq-lite-js/0.2.8"));
        assert!(js.respells && js.hides_largest && js.joins_whole_group);
        for name in [None, Some(""), Some("moq-lite-rs"), Some("weir-player")] {
            assert_eq!(Quirks::of(name), Quirks::default());
        }
    }
}
