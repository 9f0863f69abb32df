//! PUBLISH_NAMESPACE: a name whose tracks the peer sends when they are subscribed.
//!
//! The first viewer's request subscribes a track at the publisher; however many come, it stays one
//! subscription, and is given up a linger time after the last of them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info};
use weir_protocol::moqt::message::{PublishNamespace, RequestError, RequestOk};
use weir_protocol::moqt::{FullTrackName, Message, RequestErrorCode, SessionError, StreamRole};

use super::control::MessageError;
use super::publish::Owner;
use super::request::Request;
use super::{Close, Session};
use crate::peer::{Ending, Following, Wanted, subscribe};
use crate::stream::Demand;

pub(super) async fn serve(mut request: Request, message: PublishNamespace) -> Result<(), Close> {
    let session = Arc::clone(&request.session);
    let owner = match session.own(&message.namespace) {
        Ok(owner) => owner,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let (supplier, demands) = mpsc::channel(DEMANDS);
    owner.publisher.stream().set_supplier(supplier);
    request.answer(RequestOk::default()).await?;
    owner.publisher.announce();
    run(request, owner, demands).await
}

async fn run(
    mut request: Request,
    owner: Arc<Owner>,
    mut demands: mpsc::Receiver<Demand>,
) -> Result<(), Close> {
    let session = Arc::clone(&request.session);
    let role = StreamRole::Requester(request.kind);
    // Dropped with this request, which gives the subscriptions up.
    let mut tracks = JoinSet::new();
    let taken_over = Arc::clone(&owner);
    let mut superseded = pin!(taken_over.superseded());
    let mut listening = true;
    loop {
        tokio::select! {
            () = &mut superseded => break,
            Some(demand) = demands.recv() => {
                let (session, owner) = (Arc::clone(&session), Arc::clone(&owner));
                tracks.spawn(async move { supply(&session, &owner, demand).await });
            }
            Some(_) = tracks.join_next() => {}
            message = request.reader.next(role), if listening => match message {
                Ok(Some(Message::RequestUpdate(update))) => {
                    session.ids.lock().accept(update.request_id)?;
                    request.respond(RequestOk::default()).await?;
                }
                Ok(Some(other)) => {
                    let reason = format!("{} on a PUBLISH_NAMESPACE", other.name());
                    return Err(Close::new(SessionError::ProtocolViolation, reason));
                }
                // Draft 19: FIN says that no more messages come; draft 18 has it withdraw.
                Ok(None) if session.version == weir_protocol::moqt::Version::Draft18 => break,
                Ok(None) => listening = false,
                Err(MessageError::Malformed(error)) => return Err(error.into()),
                Err(MessageError::Truncated | MessageError::Gone(_)) => break,
            },
            _ = request.stream.stopped() => break,
        }
    }
    request.finish().await;
    Ok(())
}

/// Subscribes a track that a viewer asks for, and follows it until it is over.
async fn supply(session: &Session, owner: &Owner, demand: Demand) {
    let namespace = demand.stream.namespace.clone();
    let Ok(name) = FullTrackName::new(namespace, demand.track.clone()) else {
        let reason = "the name is too long";
        let refusal = RequestError::new(RequestErrorCode::DoesNotExist, reason);
        drop(demand.answer.send_replace(Some(Err(refusal))));
        return;
    };
    let wanted = Wanted {
        name,
        tokens: Vec::new(),
        resumed: false,
    };
    let publisher = &owner.publisher;
    let mut following = match subscribe(&session.peer, publisher, &wanted, None).await {
        Ok(following) => following,
        Err(refusal) => {
            debug!(stream = %demand.stream.namespace, refusal.reason, "a track was refused");
            drop(demand.answer.send_replace(Some(Err(refusal))));
            return;
        }
    };
    let track = Arc::clone(following.track());
    drop(demand.answer.send_replace(Some(Ok(track))));
    follow(owner, &mut following).await;
}

async fn follow(owner: &Owner, following: &mut Following) {
    let publisher = &owner.publisher;
    loop {
        let ending = following.run(TRACK_LINGER).await;
        let track = following.track();
        match ending {
            Ending::Unwanted => {
                if publisher.remove_track(track) {
                    return;
                }
            }
            Ending::Failed(code, reason) => {
                info!(stream = %publisher.stream().namespace, reason, "track ended");
                return following.end(code);
            }
            Ending::Done(code) => return following.end(code),
            Ending::Lost => return,
        }
    }
}

/// How long a track without viewers stays subscribed: a page that is loaded again finds it there.
const TRACK_LINGER: Duration = Duration::from_secs(10);

/// Questions for tracks that wait for the request's task.
const DEMANDS: usize = 64;
