//! The hop's own names: what player and relay tell each other beside the media.
//!
//! Namespaces whose first field is `.session` never leave the session (draft 18, "Reserved
//! Namespaces"). Below `.session/weir` this relay has a clock and takes reports:
//!
//! | name | request | meaning |
//! |---|---|---|
//! | `clock` | TRACK_STATUS | the largest object is the time now: Unix milliseconds, microseconds |
//! | `clock/live/cam` | TRACK_STATUS | the same in media time: the LOC timestamp that arrives now |
//! | `path/live/cam` | TRACK_STATUS | microseconds and hops from the first relay to this one |
//! | `report` | PUBLISH | the player's reports, one object a datagram ([`report`](super::report)) |
//!
//! A player that asks for the stream's clock at its own time t0 and has the answer at t1 knows the
//! relay's time at (t0 + t1) / 2, wrong by (t1 - t0) / 2 at most. What it shows then is late by the
//! stream's clock less the picture's timestamp, however the encoder's clock drifts.

use weir_protocol::moqt::message::{RequestError, RequestOk};
use weir_protocol::moqt::{FullTrackName, Location, Namespace, Params, RequestErrorCode};

use super::request::Request;
use super::{Close, Session};
use crate::stream::Stream;
use crate::{clock, upstream};

const CLOCK: &[u8] = b"clock";
const STREAM_CLOCK: &[u8] = b"clock/";
const STREAM_PATH: &[u8] = b"path/";

/// The track of the player's reports.
pub(super) const REPORT: &[u8] = b"report";

/// Whether `name` is one of this hop's own.
pub(super) fn is_own(name: &FullTrackName) -> bool {
    let fields = name.namespace().fields();
    fields
        .iter()
        .map(|field| &field[..])
        .eq([&b".session"[..], b"weir"])
}

/// The stream that a track of the hop's own tells of, if it is about one.
pub(super) fn subject(track: &[u8]) -> Option<Namespace> {
    let path = track.strip_prefix(STREAM_CLOCK);
    let path = path.or_else(|| track.strip_prefix(STREAM_PATH))?;
    let path = str::from_utf8(path).ok()?;
    Namespace::from_path(path).ok()
}

/// Answers TRACK_STATUS for a name of the hop's own.
pub(super) async fn status(mut request: Request, name: &FullTrackName) -> Result<(), Close> {
    let largest = match answer(&request.session, name.track()) {
        Ok(largest) => largest,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let answer = RequestOk {
        params: Params {
            largest: Some(largest),
            ..Params::default()
        },
        ..RequestOk::default()
    };
    request.answer(answer).await?;
    request.finish().await;
    Ok(())
}

fn answer(session: &Session, track: &[u8]) -> Result<Location, RequestError> {
    let time = |time_us: u64| Location {
        group: time_us / 1000,
        object: time_us % 1000,
    };
    if track == CLOCK {
        return Ok(time(clock::unix_us()));
    }
    let namespace = subject(track)
        .ok_or_else(|| absent("this hop has clock, clock/STREAM, path/STREAM and report"))?;
    let stream = session.context.shared.registry.stream(&namespace);
    let stream = stream.ok_or_else(|| absent("nobody publishes that stream"))?;
    if track.starts_with(STREAM_PATH) {
        return path(&stream);
    }
    let media_us = stream.ingest().media_now_us(clock::now_us());
    let media_us = media_us.ok_or_else(|| absent("nothing has arrived yet: ask again"))?;
    Ok(time(media_us))
}

/// The way to here, as far as upstreams tell it: none for a publisher of our own.
fn path(stream: &Stream) -> Result<Location, RequestError> {
    let publisher = stream.publisher();
    let way = match publisher.hop {
        None if publisher.protocol != upstream::PROTOCOL => Some((0, 0)),
        hop => hop.and_then(|hop| hop.path_us.zip(hop.hops)),
    };
    let way = way.map(|(group, object)| Location { group, object });
    way.ok_or_else(|| absent("the way from the upstream is not known yet: ask again"))
}

fn absent(reason: &str) -> RequestError {
    RequestError::new(RequestErrorCode::DoesNotExist, reason)
}
