//! SUBSCRIBE: from the request to its last update.

use std::sync::Arc;

use tokio::sync::oneshot;
use weir_protocol::moqt::message::{
    PublishDone, RequestError, RequestOk, RequestUpdate, Subscribe, SubscribeOk,
};
use weir_protocol::moqt::{
    Filter, GroupOrder, Location, Message, Params, PublishDoneCode, RequestErrorCode, SessionError,
    StreamRole, Version,
};

use super::control::MessageError;
use super::fetch::Plan;
use super::fill::{Filled, Fills};
use super::rendezvous::placed;
use super::request::{Request, properties};
use super::viewer::Watching;
use super::{Close, Session};
use crate::clock;
use crate::sender::{Done, Handle, Join, Update, ViewerOptions};
use crate::stream::{Stream, Track};
use crate::subscription::{End, Options};

/// A SUBSCRIBE that a joining FETCH may refer to.
#[derive(Clone)]
pub(super) enum Joinable {
    /// It waits for its publisher.
    Pending,
    /// It was granted.
    Granted(Granted),
}

/// What a joining FETCH needs to know of its subscription.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) stream: Arc<Stream>,
    pub(super) track: Arc<Track>,
    /// The largest object when the subscription was made: where it begins, the FETCH ends.
    pub(super) joined_at: Option<Location>,
    pub(super) forward: bool,
    pub(super) subscriber_priority: u8,
    pub(super) join: Option<Arc<Join>>,
}

/// Takes the subscription out of the session's table when its request is over.
struct Registered {
    session: Arc<Session>,
    request_id: u64,
}

impl Registered {
    fn pending(session: &Arc<Session>, request_id: u64) -> Self {
        let registered = Self {
            session: Arc::clone(session),
            request_id,
        };
        registered.set(Joinable::Pending);
        registered
    }

    fn set(&self, joinable: Joinable) {
        let mut all = self.session.joinable.lock();
        all.insert(self.request_id, joinable);
        drop(all);
        self.session.joinable_changes.send_replace(());
    }

    fn update(&self, change: impl FnOnce(&mut Granted)) {
        let mut all = self.session.joinable.lock();
        if let Some(Joinable::Granted(granted)) = all.get_mut(&self.request_id) {
            change(granted);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.joinable.lock().remove(&self.request_id);
        self.session.joinable_changes.send_replace(());
    }
}

/// What the viewer asked for, as far as updates may change it.
struct Wish {
    forward: bool,
    subscriber_priority: u8,
    filter: Filter,
}

impl Wish {
    fn options(&self, session: &Session, start: Location) -> Options {
        Options {
            start,
            end: self.filter.end(),
            // Since draft 20 there is no code that says that the range is over.
            waits_at_end: session.version >= Version::Draft20,
            forward: self.forward,
            behind_limit_us: session.config().behind_limit_us,
        }
    }
}

pub(super) async fn serve(mut request: Request, message: Subscribe) -> Result<(), Close> {
    let asked_us = clock::now_us();
    let session = Arc::clone(&request.session);
    let params = &message.params;
    let registered = Registered::pending(&session, message.request_id);
    let (_place, (stream, track)) = match placed(&session, &message).await {
        Ok(found) => found,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let largest = track.ring.largest();
    let filter = params.filter.unwrap_or_default();
    let quirks = session.quirks();
    let whole = track.replayed || quirks.joins_whole_group;
    let start = match start(whole, filter, largest) {
        Ok(start) => start,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let wish = Wish {
        forward: params.forward.unwrap_or(true),
        subscriber_priority: params.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
        filter,
    };
    let join = track.first_frame.then(|| Arc::new(Join::new(asked_us)));
    registered.set(Joinable::Granted(Granted {
        stream: Arc::clone(&stream),
        track: Arc::clone(&track),
        joined_at: largest,
        forward: wish.forward,
        subscriber_priority: wish.subscriber_priority,
        join: join.clone(),
    }));
    let alias = session.aliases.of(&track);
    let answer = SubscribeOk {
        alias,
        params: Params {
            largest: largest.filter(|_| !quirks.hides_largest),
            ..Params::default()
        },
        properties: properties(&track, params)?,
    };
    request.answer(answer).await?;
    let watching = Watching::begin(&session, &stream, &track);
    let options = ViewerOptions {
        connection: Arc::clone(&session.connection),
        version: session.version,
        alias,
        subscription: wish.options(&session, start),
        subscriber_priority: wish.subscriber_priority,
        group_order: params.group_order.unwrap_or(GroupOrder::Ascending),
        counters: Arc::clone(watching.counters()),
        join: join.clone(),
    };
    let (handle, done) = session.context.fanout.subscribe(&stream, &track, options);
    let mut subscription = Subscribed {
        request,
        stream,
        track,
        wish,
        handle,
        registered,
        join,
        fills: Fills::default(),
    };
    if let Some(fill) = &params.fill {
        // The first one of a subscription is within the limit.
        let _ = subscription.fill(fill, largest);
    }
    subscription.run(done).await
}

/// A subscription that was granted.
struct Subscribed {
    request: Request,
    stream: Arc<Stream>,
    track: Arc<Track>,
    wish: Wish,
    handle: Handle,
    registered: Registered,
    join: Option<Arc<Join>>,
    fills: Fills,
}

impl Subscribed {
    async fn run(mut self, mut done: oneshot::Receiver<Done>) -> Result<(), Close> {
        let mut listening = true;
        let role = StreamRole::Requester(self.request.kind);
        loop {
            tokio::select! {
                done = &mut done => return match done {
                    Ok(done) => self.end(done).await,
                    // The connection is gone.
                    Err(_) => Ok(()),
                },
                // Unsubscribed: the handle's end stops the sending.
                _ = self.request.stream.stopped() => return Ok(()),
                message = self.request.reader.next(role), if listening => match message {
                    Ok(Some(Message::RequestUpdate(update))) => match self.update(&update).await? {
                        Ok(()) => {}
                        Err(refusal) => return self.fail(refusal).await,
                    },
                    Ok(Some(other)) => {
                        let reason = format!("{} on a subscription", other.name());
                        return Err(Close::new(SessionError::ProtocolViolation, reason));
                    }
                    // Draft 19: FIN says that no more messages come. Peers of draft 18 that mean
                    // to unsubscribe stop our half as well.
                    Ok(None) => listening = false,
                    Err(MessageError::Malformed(error)) => return Err(error.into()),
                    Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
                },
            }
        }
    }

    /// Begins to send objects of the past, up to `largest`.
    fn fill(&mut self, params: &Params, largest: Option<Location>) -> Result<(), RequestError> {
        let whole = Plan {
            stream: Arc::clone(&self.stream),
            track: Arc::clone(&self.track),
            start: Location::default(),
            end: Location::default(),
            subscriber_priority: self.wish.subscriber_priority,
            join: self.join.clone(),
        };
        let filled = Filled {
            session: Arc::clone(&self.request.session),
            request_id: self.registered.request_id,
            filter: self.wish.filter,
            largest,
            plan: whole,
        };
        self.fills.begin(filled, params)
    }

    /// Applies an update and answers it; the inner error is why it cannot be applied.
    async fn update(&mut self, update: &RequestUpdate) -> Result<Result<(), RequestError>, Close> {
        self.request.session.ids.lock().accept(update.request_id)?;
        let params = &update.params;
        let whole = self.track.replayed || self.request.session.quirks().joins_whole_group;
        let resumes = !self.wish.forward && params.forward == Some(true);
        let largest = self.track.ring.largest();
        let restart = match (resumes, params.filter) {
            (true, filter) => Some(start(whole, filter.unwrap_or_default(), largest)),
            (false, Some(filter)) => Some(start(whole, filter, largest)),
            (false, None) => None,
        };
        let restart = match restart.transpose() {
            Ok(restart) => restart,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let wish = &mut self.wish;
        wish.forward = params.forward.unwrap_or(wish.forward);
        let priority = params.subscriber_priority;
        wish.subscriber_priority = priority.unwrap_or(wish.subscriber_priority);
        wish.filter = params.filter.unwrap_or(wish.filter);
        self.registered.update(|granted| {
            granted.forward = wish.forward;
            if resumes {
                granted.joined_at = largest;
            }
        });
        self.handle.update(Update {
            forward: wish.forward,
            restart,
            end: wish.filter.end(),
            subscriber_priority: wish.subscriber_priority,
        });
        let answer = RequestOk {
            params: Params {
                largest: largest.filter(|_| resumes),
                ..Params::default()
            },
            ..RequestOk::default()
        };
        let filled = params.fill.as_deref().map(|fill| self.fill(fill, largest));
        if let Some(Err(refusal)) = filled {
            return Ok(Err(refusal));
        }
        self.request.respond(answer).await.map(Ok)
    }

    /// An update that cannot be applied ends the subscription (draft 19, "REQUEST_UPDATE").
    async fn fail(mut self, refusal: RequestError) -> Result<(), Close> {
        let reason = refusal.reason.clone();
        self.request.respond(refusal).await?;
        let message = PublishDone {
            code: PublishDoneCode::UpdateFailed,
            stream_count: None,
            reason,
        };
        self.request.respond(message).await?;
        self.request.finish().await;
        Ok(())
    }

    async fn end(mut self, done: Done) -> Result<(), Close> {
        let (code, reason) = match done.end {
            End::Track => match self.track.fate.get() {
                Some(PublishDoneCode::TrackEnded) | None => {
                    (PublishDoneCode::TrackEnded, "the track ended")
                }
                Some(fate) => (*fate, "the publisher's track cannot be carried further"),
            },
            End::Range => (PublishDoneCode::SubscriptionEnded, "the range was sent"),
        };
        let filled = tokio::select! {
            filled = self.fills.finish() => filled,
            _ = self.request.stream.stopped() => return Ok(()),
        };
        let message = PublishDone {
            code,
            stream_count: Some(done.streams + filled),
            reason: reason.to_owned(),
        };
        self.request.respond(message).await?;
        self.request.finish().await;
        Ok(())
    }
}

/// Where a filter begins: never before the objects that come from now on, as the past is FETCH's.
///
/// Except with `whole_group`: on a track whose newest group is all that there is to know, a
/// catalog, and for peers that cannot use a part of a group. A catalog may have been published an
/// hour ago and not be published again, so a subscriber that does not FETCH would never learn what
/// it says, and many do not. So to whoever subscribes to what comes next, the newest group comes
/// next, on a subgroup stream of the subscription. LARGEST_OBJECT stays true and a joining FETCH
/// gives the group, too: a subscriber has to bear an object that it receives twice, as long as it
/// is the same (draft 19, "Malformed Tracks").
fn start(
    whole_group: bool,
    filter: Filter,
    largest: Option<Location>,
) -> Result<Location, RequestError> {
    let over = |end: Location| largest.is_some_and(|largest| end.group < largest.group);
    if filter.end().is_some_and(over) {
        let reason = "the range is in the past: FETCH it";
        return Err(RequestError::new(RequestErrorCode::InvalidRange, reason));
    }
    let live = Filter::Unfiltered.start(largest);
    let newest = largest.map(|largest| Location::new(largest.group, 0));
    Ok(match (filter, newest.filter(|_| whole_group)) {
        (Filter::Absolute { start, .. }, Some(newest)) => start.max(newest),
        (_, Some(newest)) => newest,
        (_, None) => filter.start(largest).max(live),
    })
}

/// SUBSCRIBER_PRIORITY when the message has none.
pub(super) const DEFAULT_PRIORITY: u8 = 128;
