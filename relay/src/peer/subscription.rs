//! A subscription of ours to a track of a peer's: once a track, whatever the number of viewers.
//!
//! SUBSCRIBE asks for what comes next, and the fill that it may ask for since draft 20, or FETCH,
//! for what came before, back to the beginning of the newest group; or, when the track was carried
//! from another source before, FETCH does back to where that one stopped. The streams of what comes
//! next wait until the past is in the ring, so that viewers are sent one track without a seam:
//! group ids are the publisher's, and what comes twice is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::debug;
use weir_protocol::moqt::message::{Fetch, FetchKind, RequestError, Subscribe, SubscribeOk};
use weir_protocol::moqt::token::Token;
use weir_protocol::moqt::{
    Filter, FullTrackName, GroupOrder, Location, Message, Params, PublishDoneCode,
    RequestErrorCode, TrackProperties,
};

use super::past::Fetching;
use super::{Exchange, Inlet, Peer, Registration};
use crate::ring::SubgroupEnd;
use crate::stream::{Publisher, Track, TrackOptions};

/// A track that is to be subscribed.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: FullTrackName,
    /// What goes with the request.
    pub tokens: Vec<Token>,
    /// Whether it was carried from another source before, where this one is to go on.
    pub resumed: bool,
}

/// A running subscription. Dropping it leaves what is open for another to go on with.
#[derive(Debug)]
pub struct Following {
    peer: Arc<Peer>,
    exchange: Exchange,
    registration: Registration,
    track: Arc<Track>,
}

/// Why a subscription is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer said so.
    Done(PublishDoneCode),
    /// The request or the connection is gone.
    Lost,
    /// The track cannot be carried.
    Failed(PublishDoneCode, String),
    /// Nobody has watched for a while.
    Unwanted,
}

/// Subscribes to a track, and fetches what came before. Returns when viewers can be served.
///
/// `previous` is the subscription that this one takes the place of: it stops when this one is
/// granted.
pub async fn subscribe(
    peer: &Arc<Peer>,
    publisher: &Publisher,
    wanted: &Wanted,
    previous: Option<Following>,
) -> Result<Following, RequestError> {
    let stream = publisher.stream();
    let fresh = !wanted.resumed && stream.track(wanted.name.track()).is_none();
    let filled = fresh && peer.version.has_fill();
    let subscribe = request(peer, wanted, filled);
    let joined_id = subscribe.request_id;
    let mut exchange = peer.request(subscribe).await?;
    let granted = granted(&mut exchange).await;
    let granted = granted.and_then(|ok| Ok((properties(&ok)?, ok)));
    let (known, ok) = match granted {
        Ok(granted) => granted,
        Err(refusal) => {
            exchange.cancel();
            return Err(refusal);
        }
    };
    let options = TrackOptions::of(&known, ok.properties.as_bytes().clone(), &wanted.name);
    drop(previous);
    let name = wanted.name.track().clone();
    let writer = publisher.open_track(name, options, ok.params.largest, wanted.resumed);
    let track = Arc::clone(writer.track());
    let inlet = Inlet::waiting(publisher.stream(), writer);
    let registration = Registration::new(peer, ok.alias, Arc::clone(&inlet));
    let registration = registration.map_err(|fault| {
        exchange.cancel();
        RequestError::new(RequestErrorCode::Internal, fault.reason)
    })?;
    match ok.params.largest {
        Some(largest) if filled => {
            let filling = Fetching::new(peer, joined_id, &inlet, largest);
            let whole = filling.finished().await;
            debug!(whole, track = %String::from_utf8_lossy(&track.name), "filled the past");
        }
        Some(largest) => fill(peer, wanted, joined_id, &inlet, &track, largest).await,
        None => {}
    }
    inlet.open();
    Ok(Following {
        peer: Arc::clone(peer),
        exchange,
        registration,
        track,
    })
}

fn request(peer: &Peer, wanted: &Wanted, filled: bool) -> Subscribe {
    Subscribe {
        request_id: peer.ids.lock().next_id(),
        track: wanted.name.clone(),
        params: Params {
            filter: Some(Filter::NextObject),
            forward: Some(true),
            auth_tokens: wanted.tokens.clone(),
            fill: filled.then(|| Box::new(Params::current_group())),
            ..Params::default()
        },
    }
}

async fn granted(exchange: &mut Exchange) -> Result<SubscribeOk, RequestError> {
    let failed = |reason: String| RequestError::new(RequestErrorCode::Internal, reason);
    match timeout(ANSWER_LIMIT, exchange.answer()).await {
        Ok(Ok(Some(Message::SubscribeOk(ok)))) => Ok(ok),
        Ok(Ok(Some(Message::RequestError(refusal)))) => Err(refusal),
        Ok(Ok(Some(other))) => Err(failed(format!("{} as an answer", other.name()))),
        Ok(Ok(None)) => Err(failed("the publisher gave no answer".to_owned())),
        Ok(Err(error)) => Err(failed(format!("the publisher is gone: {error}"))),
        Err(_) => {
            let reason = format!("the publisher gave no answer within {ANSWER_LIMIT:?}");
            Err(RequestError::new(RequestErrorCode::Timeout, reason))
        }
    }
}

fn properties(ok: &SubscribeOk) -> Result<TrackProperties, RequestError> {
    let refuse = |code, reason: String| RequestError::new(code, reason);
    let known = TrackProperties::parse(&ok.properties);
    let known =
        known.map_err(|error| refuse(RequestErrorCode::MalformedTrack, error.to_string()))?;
    match known.unsupported {
        Some(kind) => {
            let reason = format!("the track needs property {kind:#x}, which this relay lacks");
            Err(refuse(RequestErrorCode::UnsupportedExtension, reason))
        }
        None => Ok(known),
    }
}

/// Fetches what came before `largest`, inclusive. A past that does not come delays the present
/// for a moment only.
async fn fill(
    peer: &Arc<Peer>,
    wanted: &Wanted,
    joining_request_id: u64,
    inlet: &Arc<Inlet>,
    track: &Track,
    largest: Location,
) {
    let newest = Location::new(largest.group, 0);
    let start = track.ring.resume_at().map_or(newest, |at| at.min(newest));
    // A source that is behind what the track has catches up by itself.
    if track.ring.largest().is_some_and(|have| have >= largest) {
        return;
    }
    // Since draft 20 the range is a filter.
    let filtered = peer.version.has_fill();
    let request_id = peer.ids.lock().next_id();
    let fetch = Fetch {
        request_id,
        kind: match filtered {
            true => FetchKind::Filtered {
                track: wanted.name.clone(),
            },
            // moq-dev's publishers put timestamps into the past of a subscription, and into no
            // other one.
            false if start == newest => FetchKind::RelativeJoining {
                joining_request_id,
                groups: 0,
            },
            false => FetchKind::Standalone {
                track: wanted.name.clone(),
                start,
                end: Location {
                    object: largest.object.saturating_add(1),
                    ..largest
                },
            },
        },
        params: Params {
            filter: filtered.then_some(Filter::Absolute {
                start,
                end: Some(largest),
            }),
            group_order: Some(GroupOrder::Ascending),
            auth_tokens: wanted.tokens.clone(),
            ..Params::default()
        },
    };
    let fetching = Fetching::new(peer, request_id, inlet, largest);
    let Ok(mut exchange) = peer.request(fetch).await else {
        return;
    };
    match timeout(ANSWER_LIMIT, exchange.answer()).await {
        Ok(Ok(Some(Message::FetchOk(_)))) => {
            let whole = fetching.finished().await;
            debug!(whole, track = %String::from_utf8_lossy(&track.name), "fetched the past");
        }
        _ => debug!("the past of a track was refused"),
    }
    exchange.cancel();
}

impl Following {
    /// The track.
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Ends the track as the publisher did.
    pub fn end(&self, code: PublishDoneCode) {
        self.registration.inlet().end(code);
    }

    /// Runs until the subscription is over, or nobody has watched for `linger`. Cancel safe.
    pub async fn run(&mut self, linger: Duration) -> Ending {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watched = Instant::now();
        let mut older = 0;
        let inlet = Arc::clone(self.registration.inlet());
        loop {
            tokio::select! {
                message = self.exchange.next() => match message {
                    Ok(Some(Message::PublishDone(done))) => {
                        // Its last streams may still be under way.
                        tokio::time::sleep(LAST_STREAMS).await;
                        let _ = timeout(DRAIN_LIMIT, inlet.drained()).await;
                        return Ending::Done(done.code);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Ending::Lost,
                },
                (code, reason) = inlet.failed() => return Ending::Failed(code, reason),
                _ = self.peer.connection.closed() => return Ending::Lost,
                _ = look.tick() => {
                    // Nobody went on with these since the last look: there was nothing more.
                    self.track.ring.end_left(older, SubgroupEnd::Fin);
                    older = self.track.ring.largest().map_or(0, |largest| largest.group);
                    if self.track.ring.has_readers() {
                        watched = Instant::now();
                    } else if watched.elapsed() > linger {
                        return Ending::Unwanted;
                    }
                }
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.exchange.cancel();
    }
}

/// How long a publisher may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often is looked whether anybody watches.
const LOOK: Duration = Duration::from_millis(500);

/// How long the streams that were opened before the end may take to begin to arrive, and to
/// arrive.
const LAST_STREAMS: Duration = Duration::from_millis(100);
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
