//! PUBLISH: a track that the peer pushes, from the request to its last stream.
//!
//! A session that publishes in a namespace owns the name, as an encoder over RTMP does. The newest
//! publisher over MoQT is the one: the older may be a connection that is dead and does not know.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tracing::info;
use weir_protocol::moqt::message::{Publish, RequestError, RequestOk};
use weir_protocol::moqt::{
    Message, Namespace, Params, PublishDoneCode, RequestErrorCode, SessionError, StreamResetCode,
    StreamRole, TrackProperties, Version,
};

use super::control::MessageError;
use super::request::Request;
use super::{Close, Session};
use crate::clock;
use crate::peer::{Inlet, Registration, stream_code};
use crate::pressure::Limit;
use crate::registry::PublishError;
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::{Publisher, TrackOptions};

/// The names that a session publishes.
#[derive(Debug, Default)]
pub(super) struct Publishing(Mutex<HashMap<Namespace, Weak<Owner>>>);

/// A session's ownership of a name: given up when the last of its requests is over.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) publisher: Publisher,
}

impl Owner {
    /// Waits until another publisher takes the name over, or its stream is ended.
    pub(super) async fn superseded(&self) {
        self.publisher.superseded().await;
    }
}

impl Session {
    /// Makes the session the publisher of `namespace`, if it is not already.
    pub(super) fn own(&self, namespace: &Namespace) -> Result<Arc<Owner>, RequestError> {
        let refuse = |code, reason: String| RequestError::new(code, reason);
        if namespace.is_empty() || namespace.is_reserved() {
            let reason = format!("{namespace:?} is not a name that can be published");
            return Err(refuse(RequestErrorCode::DoesNotExist, reason));
        }
        let mut all = self.publishing.0.lock();
        all.retain(|_, owner| owner.strong_count() > 0);
        if let Some(owner) = all.get(namespace).and_then(Weak::upgrade) {
            return Ok(owner);
        }
        let setup = self.setup.get();
        let encoder = setup.and_then(|setup| setup.implementation.as_deref());
        let info = PublisherSnapshot {
            protocol: "moqt".to_owned(),
            addr: self.connection.remote_address().to_string(),
            encoder: super::viewer::shown(encoder.unwrap_or_default()),
            reconnects: 0,
            hop: None,
        };
        let registry = &self.context.shared.registry;
        let pressure = &self.context.shared.pressure;
        if pressure.is_full() {
            pressure.hit(Limit::Memory);
            let reason = "this relay has no memory for more streams".to_owned();
            return Err(refuse(RequestErrorCode::ExcessiveLoad, reason));
        }
        let published = registry.publish(namespace, info, clock::now_us());
        let publisher = published.map_err(|error| {
            let code = match error {
                PublishError::TooManyStreams(_) => {
                    pressure.hit(Limit::Streams);
                    RequestErrorCode::ExcessiveLoad
                }
                PublishError::Owned { .. } => RequestErrorCode::Uninterested,
            };
            refuse(code, error.to_string())
        })?;
        self.allow_media();
        info!(addr = %self.connection.remote_address(), stream = %namespace, "publishing");
        let owner = Arc::new(Owner { publisher });
        all.insert(namespace.clone(), Arc::downgrade(&owner));
        Ok(owner)
    }

    /// Whether the session publishes that name.
    pub(super) fn publishes(&self, namespace: &Namespace) -> bool {
        let all = self.publishing.0.lock();
        all.get(namespace)
            .is_some_and(|owner| owner.strong_count() > 0)
    }

    /// Viewers send requests, not media, and are allowed little; a publisher needs more.
    fn allow_media(&self) {
        self.connection
            .set_max_concurrent_uni_streams(MEDIA_STREAMS.into());
        self.connection.set_receive_window(MEDIA_WINDOW.into());
    }
}

pub(super) async fn serve(mut request: Request, message: Publish) -> Result<(), Close> {
    let session = Arc::clone(&request.session);
    let known = match properties(&message) {
        Ok(known) => known,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let owner = match session.own(message.track.namespace()) {
        Ok(owner) => owner,
        Err(refusal) => return request.refuse(refusal).await,
    };
    if owner.publisher.track_count() >= TRACKS_MAX {
        let reason = format!("a stream has {TRACKS_MAX} tracks at most");
        let refusal = RequestError::new(RequestErrorCode::ExcessiveLoad, reason);
        return request.refuse(refusal).await;
    }
    let block = message.properties.as_bytes().clone();
    let options = TrackOptions::of(&known, block, &message.track);
    let name = message.track.track().clone();
    let largest = message.params.largest;
    let writer = owner.publisher.open_track(name, options, largest, false);
    let replayed = writer.track().replayed;
    let inlet = Inlet::new(owner.publisher.stream(), writer);
    let registration = Registration::new(&session.peer, message.alias, Arc::clone(&inlet))?;
    request
        .answer(RequestOk {
            params: Params {
                // From draft 20 on it goes without saying.
                forward: (session.version < Version::Draft20).then_some(true),
                ..Params::default()
            },
            ..RequestOk::default()
        })
        .await?;
    if replayed {
        owner.publisher.announce();
    }
    let published = Published {
        request,
        owner,
        inlet,
        registration,
    };
    published.run().await
}

fn properties(message: &Publish) -> Result<TrackProperties, RequestError> {
    let known = TrackProperties::parse(&message.properties)
        .map_err(|error| RequestError::new(RequestErrorCode::MalformedTrack, error.to_string()))?;
    match known.unsupported {
        Some(kind) => {
            let reason = format!("this relay does not understand track property {kind:#x}");
            let code = RequestErrorCode::UnsupportedExtension;
            Err(RequestError::new(code, reason))
        }
        None => Ok(known),
    }
}

/// A track that is being published.
struct Published {
    request: Request,
    owner: Arc<Owner>,
    inlet: Arc<Inlet>,
    /// Dropped when the track's last streams have been read.
    registration: Registration,
}

impl Published {
    async fn run(mut self) -> Result<(), Close> {
        let role = StreamRole::Requester(self.request.kind);
        let owner = Arc::clone(&self.owner);
        let mut superseded = pin!(owner.superseded());
        let mut settled = pin!(sleep(CATALOG_PATIENCE));
        let mut announced = false;
        loop {
            tokio::select! {
                () = &mut superseded => return self.cancel(StreamResetCode::Cancelled),
                (code, reason) = self.inlet.failed() => {
                    info!(stream = %self.owner.publisher.stream().namespace, reason, "track ended");
                    self.inlet.end(code);
                    return self.cancel(StreamResetCode::MalformedTrack);
                }
                () = &mut settled, if !announced => {
                    announced = true;
                    self.owner.publisher.announce();
                }
                message = self.request.reader.next(role) => match message {
                    Ok(Some(Message::RequestUpdate(update))) => {
                        self.request.session.ids.lock().accept(update.request_id)?;
                        self.request.respond(RequestOk::default()).await?;
                    }
                    // The answers to updates of ours, of which there are none.
                    Ok(Some(Message::RequestOk(_) | Message::RequestError(_))) => {}
                    Ok(Some(Message::PublishDone(done))) => return self.done(done.code).await,
                    Ok(Some(other)) => {
                        let reason = format!("{} on a published track", other.name());
                        return Err(Close::new(SessionError::ProtocolViolation, reason));
                    }
                    Ok(None) => return self.done(PublishDoneCode::GoingAway).await,
                    Err(MessageError::Malformed(error)) => return Err(error.into()),
                    // It may come back: the track stays as long as the stream lingers.
                    Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
                },
            }
        }
    }

    /// The publisher has opened its last stream of the track. Some of them may still be on their
    /// way.
    async fn done(self, code: PublishDoneCode) -> Result<(), Close> {
        sleep(LAST_STREAMS).await;
        // What takes longer is cut.
        let _ = timeout(DRAIN_LIMIT, self.inlet.drained()).await;
        drop(self.registration);
        if code != PublishDoneCode::GoingAway {
            self.inlet.end(code);
        }
        self.request.finish().await;
        Ok(())
    }

    fn cancel(mut self, code: StreamResetCode) -> Result<(), Close> {
        self.request.reader.stop_with(code);
        // Fails only when the stream has ended.
        let _ = self.request.stream.reset(stream_code(code));
        Ok(())
    }
}

/// Streams that a publisher may have open: of ten tracks, a few groups each, while some of their
/// packets are lost.
const MEDIA_STREAMS: u32 = 256;

/// Bytes that a publisher may have under way: 64 Mbit/s at a round trip of half a second.
const MEDIA_WINDOW: u32 = 4 << 20;

/// Tracks of one stream: a ladder of renditions in several languages has some twenty.
const TRACKS_MAX: usize = 64;

/// How long a name is not announced while its catalog may still come: those who are told a name
/// ask for its catalog and do not wait.
const CATALOG_PATIENCE: Duration = Duration::from_millis(500);

/// How long the streams that were opened before the end may take to begin to arrive, and to
/// arrive.
const LAST_STREAMS: Duration = Duration::from_millis(100);
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
