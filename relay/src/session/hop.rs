//! The hop's own names: what player and relay tell each other beside the media.
//!
//! Namespaces whose first field is `.session` never leave the session (draft 18, "Reserved
//! Namespaces"). Below `.session/weir` this relay has a clock and takes reports:
//!
//! | name | request | meaning |
//! |---|---|---|
//! | `clock` | TRACK_STATUS | the largest object is the time now: Unix milliseconds, microseconds |
//! | `clock/live/cam` | TRACK_STATUS | the same in media time: the LOC timestamp that arrives now |
//! | `report` | PUBLISH | the player's reports, one object a datagram ([`report`](super::report)) |
//!
//! A player that asks for the stream's clock at its own time t0 and has the answer at t1 knows the
//! relay's time at (t0 + t1) / 2, wrong by (t1 - t0) / 2 at most. What it shows then is late by the
//! stream's clock less the picture's timestamp, however the encoder's clock drifts.

use weir_protocol::moqt::message::{RequestError, RequestOk};
use weir_protocol::moqt::{FullTrackName, Location, Namespace, Params, RequestErrorCode};

use super::request::Request;
use super::{Close, Session};
use crate::clock;

const CLOCK: &[u8] = b"clock";
const STREAM_CLOCK: &[u8] = b"clock/";

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
    let path = str::from_utf8(track.strip_prefix(STREAM_CLOCK)?).ok()?;
    Namespace::from_path(path).ok()
}

/// Answers TRACK_STATUS for a name of the hop's own: tells the time.
pub(super) async fn status(mut request: Request, name: &FullTrackName) -> Result<(), Close> {
    let time_us = match time(&request.session, name.track()) {
        Ok(time_us) => time_us,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let largest = Location {
        group: time_us / 1000,
        object: time_us % 1000,
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

fn time(session: &Session, track: &[u8]) -> Result<u64, RequestError> {
    let absent = |reason: &str| RequestError::new(RequestErrorCode::DoesNotExist, reason);
    if track == CLOCK {
        return Ok(clock::unix_us());
    }
    let path = track.strip_prefix(STREAM_CLOCK);
    let path = path.ok_or_else(|| absent("this hop has clock, clock/STREAM and report"))?;
    let path = str::from_utf8(path).map_err(|_| absent("a stream's path is UTF-8"))?;
    let namespace = Namespace::from_path(path).map_err(|error| absent(&error.to_string()))?;
    let stream = session.context.shared.registry.stream(&namespace);
    let stream = stream.ok_or_else(|| absent("nobody publishes that stream"))?;
    let media_us = stream.ingest.lock().media_now_us(clock::now_us());
    media_us.ok_or_else(|| absent("nothing has arrived yet: ask again"))
}
