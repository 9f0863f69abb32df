//! SUBSCRIBE_TRACKS: every track below a prefix is published to the peer, now and later.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use weir_protocol::moqt::message::{Publish, PublishDone, RequestOk, SubscribeTracks};
use weir_protocol::moqt::token::Token;
use weir_protocol::moqt::{
    Filter, FullTrackName, GroupOrder, Location, Message, Params, PublishDoneCode, SessionError,
    StreamRole, Version,
};

use super::control::MessageError;
use super::request::{Request, properties};
use super::subscribe::DEFAULT_PRIORITY;
use super::viewer::Watching;
use super::{Close, Session};
use crate::auth::Action;
use crate::clock;
use crate::peer::Exchange;
use crate::sender::{Handle, Join, Update, ViewerOptions};
use crate::stream::{Stream, Track};
use crate::subscription::Options;

pub(super) async fn serve(mut request: Request, message: SubscribeTracks) -> Result<(), Close> {
    request.answer(RequestOk::default()).await?;
    let session = Arc::clone(&request.session);
    let mut names = session.context.shared.registry.changes();
    let role = StreamRole::Requester(request.kind);
    let (mut listening, mut prefix) = (true, message.prefix);
    let mut offers = Offers {
        session: Arc::clone(&session),
        forward: message.params.forward.unwrap_or(true),
        tokens: message.params.auth_tokens.into(),
        offered: Known::default(),
        followed: Known::default(),
        news: Arc::default(),
        tasks: JoinSet::new(),
    };
    loop {
        names.mark_unchanged();
        let streams = session.context.shared.registry.announced(&prefix);
        offers.forget(&streams);
        streams.iter().for_each(|stream| offers.offer_all(stream));
        tokio::select! {
            changed = names.changed() => if changed.is_err() {
                return Ok(());
            },
            () = offers.news.notified() => {}
            Some(ended) = offers.tasks.join_next() => match ended {
                Ok(ended) => ended?,
                Err(error) => {
                    let reason = format!("an offer failed inside the relay: {error}");
                    return Err(Close::new(SessionError::Internal, reason));
                }
            },
            _ = request.stream.stopped() => return Ok(()),
            message = request.reader.next(role), if listening => match message {
                Ok(Some(Message::RequestUpdate(update))) => {
                    session.ids.lock().accept(update.request_id)?;
                    let admitted = session.admit_prefix(&update.params, &offers.tokens).await;
                    if let Err(refusal) = admitted {
                        request.respond(refusal).await?;
                        request.finish().await;
                        return Ok(());
                    }
                    prefix = update.params.namespace_prefix.unwrap_or(prefix);
                    request.respond(RequestOk::default()).await?;
                }
                Ok(Some(other)) => {
                    let reason = format!("{} on a SUBSCRIBE_TRACKS", other.name());
                    return Err(Close::new(SessionError::ProtocolViolation, reason));
                }
                Ok(None) if session.version == Version::Draft18 => {
                    request.finish().await;
                    return Ok(());
                }
                Ok(None) => listening = false,
                Err(MessageError::Malformed(error)) => return Err(error.into()),
                Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
            },
        }
    }
}

/// The tracks that were offered, and those that are being sent. Dropping it ends them.
struct Offers {
    session: Arc<Session>,
    forward: bool,
    /// The credentials of the request.
    tokens: Arc<[Token]>,
    /// Aliases, which are no other track's in this process.
    offered: Known<u64>,
    /// Streams whose new tracks are heard of, by the time and name of their beginning.
    followed: Known<(u64, String)>,
    news: Arc<Notify>,
    tasks: JoinSet<Result<(), Close>>,
}

impl Offers {
    /// Makes room for what is new, if need be: what is over does not come back.
    fn forget(&mut self, streams: &[Arc<Stream>]) {
        if self.followed.is_full() {
            let there: HashSet<_> = streams.iter().map(|stream| beginning(stream)).collect();
            self.followed.retain(&there);
        }
        if self.offered.is_full() {
            let tracks = streams.iter().flat_map(|stream| stream.tracks());
            let there: HashSet<_> = tracks.map(|track| track.alias).collect();
            self.offered.retain(&there);
        }
    }

    fn offer_all(&mut self, stream: &Arc<Stream>) {
        // What the peer publishes itself is not news to it.
        if self.session.publishes(&stream.namespace) {
            return;
        }
        if self.followed.insert(beginning(stream)) {
            let (mut added, news) = (stream.track_changes(), Arc::clone(&self.news));
            self.tasks.spawn(async move {
                while added.changed().await.is_ok() {
                    news.notify_one();
                }
                Ok(())
            });
        }
        for track in stream.tracks() {
            if self.offered.insert(track.alias) {
                let (session, tokens) = (Arc::clone(&self.session), Arc::clone(&self.tokens));
                let (stream, forward) = (Arc::clone(stream), self.forward);
                self.tasks.spawn(async move {
                    // Leave to list is no leave to watch: a stream below may have keys.
                    let name = &stream.namespace;
                    match session.authorize(Action::Watch, name, &tokens).await {
                        Ok(()) => offer(session, stream, track, forward).await,
                        Err(_) => Ok(()),
                    }
                });
            }
        }
    }
}

/// What tells a stream from the one of the same name before it.
fn beginning(stream: &Stream) -> (u64, String) {
    (stream.since_ms, stream.namespace.to_string())
}

/// What was told a peer: [`OFFERS_MAX`] at a time.
#[derive(Debug)]
struct Known<T>(HashSet<T>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash> Known<T> {
    /// Returns whether it is new, and there is room for it.
    fn insert(&mut self, new: T) -> bool {
        !self.is_full() && self.0.insert(new)
    }

    fn is_full(&self) -> bool {
        self.0.len() >= OFFERS_MAX
    }

    fn retain(&mut self, there: &HashSet<T>) {
        self.0.retain(|known| there.contains(known));
    }
}

/// Publishes a track to the peer until it is over or the peer has enough.
async fn offer(
    session: Arc<Session>,
    stream: Arc<Stream>,
    track: Arc<Track>,
    forward: bool,
) -> Result<(), Close> {
    let asked_us = clock::now_us();
    let largest = track.ring.largest();
    let Ok(name) = FullTrackName::new(stream.namespace.clone(), track.name.clone()) else {
        return Ok(());
    };
    let alias = session.aliases.of(&track);
    let publish = publish(&session, name, alias, &track, (largest, forward))?;
    let Ok(mut exchange) = session.peer.request(publish).await else {
        return Ok(());
    };
    let params = match exchange.answer().await {
        Ok(Some(Message::RequestOk(ok))) => ok.params,
        // It does not want it, or is gone.
        Ok(_) | Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
        Err(MessageError::Malformed(error)) => return Err(error.into()),
    };
    let watching = Watching::begin(&session, &stream, &track);
    let filter = params.filter.unwrap_or_default();
    let subscriber_priority = params.subscriber_priority.unwrap_or(DEFAULT_PRIORITY);
    let live = Filter::Unfiltered.start(largest);
    let subscription = Options {
        start: filter.start(largest).max(live),
        end: filter.end(),
        waits_at_end: session.version.has_fill(),
        forward: params.forward.unwrap_or(forward),
        behind_limit_us: session.config().behind_limit_us,
    };
    let options = ViewerOptions {
        connection: Arc::clone(&session.connection),
        version: session.version,
        alias,
        subscription,
        subscriber_priority,
        group_order: params.group_order.unwrap_or(GroupOrder::Ascending),
        counters: Arc::clone(watching.counters()),
        join: track.first_frame.then(|| Arc::new(Join::new(asked_us))),
    };
    let (handle, done) = session.context.fanout.subscribe(&stream, &track, options);
    let done = tokio::select! {
        done = done => done.ok(),
        ended = listen(&session, &mut exchange, &handle, subscription) => {
            ended?;
            None
        }
    };
    if let Some(done) = done {
        let code = track.fate.get().copied();
        exchange
            .say(PublishDone {
                code: code.unwrap_or(PublishDoneCode::TrackEnded),
                stream_count: Some(done.streams),
                reason: "the track ended".to_owned(),
            })
            .await;
        // Fails only when the peer has stopped the stream.
        let _ = exchange.stream.finish();
    }
    Ok(())
}

fn publish(
    session: &Session,
    name: FullTrackName,
    alias: u64,
    track: &Track,
    (largest, forward): (Option<Location>, bool),
) -> Result<Publish, Close> {
    Ok(Publish {
        request_id: session.ids.lock().next_id(),
        track: name,
        alias,
        params: Params {
            largest,
            forward: Some(forward),
            ..Params::default()
        },
        properties: properties(track, &Params::default())?,
    })
}

/// Follows what the peer says of a track that is published to it, until it has enough.
async fn listen(
    session: &Session,
    exchange: &mut Exchange,
    handle: &Handle,
    mut wish: Options,
) -> Result<(), Close> {
    loop {
        match exchange.next().await {
            Ok(Some(Message::RequestUpdate(update))) => {
                session.ids.lock().accept(update.request_id)?;
                wish.forward = update.params.forward.unwrap_or(wish.forward);
                let priority = update.params.subscriber_priority;
                handle.update(Update {
                    forward: wish.forward,
                    restart: None,
                    end: wish.end,
                    subscriber_priority: priority.unwrap_or(DEFAULT_PRIORITY),
                });
                exchange.say(RequestOk::default()).await;
            }
            Ok(Some(_)) => {}
            Err(MessageError::Malformed(error)) => return Err(error.into()),
            // Draft 19: FIN says that no more messages come.
            Ok(None) => {
                // Stopped or gone: either is the end.
                let _ = exchange.stream.stopped().await;
                return Ok(());
            }
            Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
        }
    }
}

/// Tracks that one request may be offered at a time: a session has room for as many requests. What
/// comes beyond is offered when others are over.
const OFFERS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_beyond_the_limit_are_offered_when_others_are_over() {
        let mut known = Known::default();
        assert!((0..OFFERS_MAX).all(|alias| known.insert(alias)));
        assert!(!known.insert(0), "it was offered before");
        assert!(!known.insert(OFFERS_MAX), "there is no room");
        let there = (1..=OFFERS_MAX).collect();
        known.retain(&there);
        assert!(known.insert(OFFERS_MAX));
        assert!(
            !known.insert(1),
            "those that are there are not offered again"
        );
        assert!(!known.insert(OFFERS_MAX + 1));
    }
}
