//! Where a SUBSCRIBE finds its track: now, or when its publisher comes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use weir_protocol::moqt::message::{RequestError, Subscribe};
use weir_protocol::moqt::{FullTrackName, Params, RequestErrorCode, Version};

use super::Session;
use super::request::obtain;
use super::subscribe::Joinable;
use crate::pressure::Place;
use crate::stream::{Stream, Track};

/// A track, and the stream that it belongs to.
type Found = (Arc<Stream>, Arc<Track>);

/// A place for the subscription, and what it is about.
pub(super) async fn placed(
    session: &Session,
    message: &Subscribe,
) -> Result<(Place, Found), RequestError> {
    let place = session.take_on(&message.track)?;
    let found = rendezvous(session, &message.track, &message.params).await?;
    Ok((place, allowed(session, message, found).await?))
}

/// Finds the track, waiting for a publisher as long as the viewer asks and the relay allows.
async fn rendezvous(
    session: &Session,
    name: &FullTrackName,
    params: &Params,
) -> Result<(Arc<Stream>, Arc<Track>), RequestError> {
    let wait_ms = params.rendezvous_timeout_ms;
    let first = obtain(session, name, params).await;
    let wait = Duration::from_millis(wait_ms.unwrap_or(0));
    if first.is_ok() || wait.is_zero() {
        return first;
    }
    let wait = wait.min(session.config().rendezvous_limit);
    match timeout(wait, appearance(session, name, params)).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) | Err(_) => {
            let reason = format!("nobody published {} within {wait:?}", name.namespace());
            Err(RequestError::new(RequestErrorCode::Timeout, reason))
        }
    }
}

/// Waits for the track: for its stream first, which has its tracks only when its publisher has
/// said what they are.
async fn appearance(
    session: &Session,
    name: &FullTrackName,
    params: &Params,
) -> Option<(Arc<Stream>, Arc<Track>)> {
    let registry = &session.context.shared.registry;
    let mut names = registry.changes();
    loop {
        names.mark_unchanged();
        // Followed before they are looked at, so that none is missed.
        let stream = registry.stream(name.namespace());
        let mut tracks = stream.as_ref().map(|stream| stream.track_changes());
        if let Ok(found) = obtain(session, name, params).await {
            return Some(found);
        }
        let added = async {
            match &mut tracks {
                Some(tracks) => tracks.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = names.changed() => changed.ok()?,
            changed = added => changed.ok()?,
        }
    }
}

/// Draft 18 has one subscription to a track in a session at most; draft 19 any number.
async fn allowed(
    session: &Session,
    message: &Subscribe,
    found: Found,
) -> Result<Found, RequestError> {
    if !message.params.range_filters.is_empty() {
        let reason = "this relay does not filter by ranges (MAX_FILTER_RANGES is 0)";
        return Err(RequestError::new(RequestErrorCode::InvalidFilter, reason));
    }
    if session.version == Version::Draft18 && !is_alone(session, &found.1).await {
        let reason = "this session subscribes to the track already";
        return Err(RequestError::new(
            RequestErrorCode::DuplicateSubscription,
            reason,
        ));
    }
    Ok(found)
}

/// Waits until the session has no subscription to the track. A former one that was cancelled just
/// before, on a stream of its own, may be heard of later: moq-relay cancels and asks again within
/// a millisecond.
async fn is_alone(session: &Session, track: &Arc<Track>) -> bool {
    let is_of = |joinable: &Joinable| match joinable {
        Joinable::Granted(granted) => Arc::ptr_eq(&granted.track, track),
        Joinable::Pending => false,
    };
    let mut changes = session.joinable_changes.subscribe();
    let alone = changes.wait_for(|()| !session.joinable.lock().values().any(is_of));
    matches!(timeout(CANCEL_PATIENCE, alone).await, Ok(Ok(_)))
}

/// How long after a subscription its predecessor's end may come: a lost packet or two.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);
