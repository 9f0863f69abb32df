//! One request stream: its first message says what it is.

use std::sync::Arc;

use tokio::time::timeout;
use weir_protocol::moqt::message::{RequestError, RequestOk, TrackStatus};
use weir_protocol::moqt::{
    FullTrackName, Message, Params, Properties, RequestErrorCode, RequestKind, SessionError,
    StreamResetCode, StreamRole,
};

use super::control::{MessageError, MessageReader, send, stream_code};
use super::{
    Close, Session, fetch, hop, namespaces, offer, publish, quirks, report, subscribe, tracks,
};
use crate::hang;
use crate::stream::{Stream, Track};
use crate::webtransport::{RecvStream, SendStream};
use crate::{clock, upstream};

/// A request stream: what the peer says, what it hears.
pub(super) struct Request {
    pub(super) session: Arc<Session>,
    pub(super) kind: RequestKind,
    pub(super) reader: MessageReader,
    pub(super) stream: SendStream,
}

impl Request {
    /// Answers with the first, granting message.
    pub(super) async fn answer(&mut self, message: impl Into<Message>) -> Result<(), Close> {
        let role = StreamRole::Answer(self.kind);
        send(&mut self.stream, self.session.version, role, message).await
    }

    /// Sends a message after the answer.
    pub(super) async fn respond(&mut self, message: impl Into<Message>) -> Result<(), Close> {
        let role = StreamRole::Responder(self.kind);
        send(&mut self.stream, self.session.version, role, message).await
    }

    /// Refuses the request.
    pub(super) async fn refuse(mut self, refusal: RequestError) -> Result<(), Close> {
        self.answer(refusal).await?;
        self.finish().await;
        Ok(())
    }

    /// Ends our half and waits until the peer has all of it.
    pub(super) async fn finish(mut self) {
        self.reader.stop();
        if self.stream.finish().is_ok() {
            // Acknowledged, stopped, or the connection is gone: nothing is left to do.
            let _ = self.stream.stopped().await;
        }
    }
}

/// Serves a request stream of the peer's.
pub(super) async fn serve(
    session: Arc<Session>,
    mut stream: SendStream,
    recv: RecvStream,
) -> Result<(), Close> {
    // Requests may arrive before SETUP, and wait for it; the session has a limit on that.
    session.setup.wait().await;
    let reader = MessageReader::new(recv, session.version);
    let mends = session.quirks().respells;
    let mut reader = reader.mended_by(mends.then_some(quirks::respell));
    let limit = session.config().setup_timeout;
    let first = match timeout(limit, reader.next(StreamRole::Opening)).await {
        Ok(Ok(Some(message))) => message,
        Ok(Err(MessageError::Malformed(error))) => return Err(error.into()),
        Ok(Err(MessageError::Truncated)) => {
            let reason = "a request stream ended inside its first message";
            return Err(Close::new(SessionError::ProtocolViolation, reason));
        }
        // Given up by the peer, or taking too long: the stream is of no use.
        Ok(Ok(None) | Err(MessageError::Gone(_))) | Err(_) => {
            reader.stop();
            let _ = stream.reset(stream_code(StreamResetCode::Cancelled));
            return Ok(());
        }
    };
    if let Some(id) = first.request_id() {
        session.ids.lock().accept(id)?;
    }
    let Some(kind) = first.request_kind() else {
        let reason = format!("{} does not begin a request", first.name());
        return Err(Close::new(SessionError::ProtocolViolation, reason));
    };
    let request = Request {
        session,
        kind,
        reader,
        stream,
    };
    dispatch(request, first).await
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other request is refused alike"
)]
async fn dispatch(request: Request, first: Message) -> Result<(), Close> {
    if let Err(refusal) = request.session.admit(&first).await {
        return request.refuse(refusal).await;
    }
    match first {
        Message::Subscribe(message) => subscribe::serve(request, message).await,
        Message::Fetch(message) => fetch::serve(request, message).await,
        Message::TrackStatus(message) if hop::is_own(&message.track) => {
            hop::status(request, &message.track).await
        }
        Message::Publish(message)
            if hop::is_own(&message.track) && message.track.track() == hop::REPORT =>
        {
            report::serve(request, message).await
        }
        Message::TrackStatus(message) => track_status(request, message).await,
        Message::Publish(message) => publish::serve(request, message).await,
        Message::PublishNamespace(message) => offer::serve(request, message).await,
        Message::SubscribeTracks(message) => tracks::serve(request, message).await,
        Message::SubscribeNamespace(message) => namespaces::serve(request, message).await,
        other => {
            let reason = format!("{} is not supported by this relay", other.name());
            let refusal = RequestError::new(RequestErrorCode::NotSupported, reason);
            request.refuse(refusal).await
        }
    }
}

async fn track_status(mut request: Request, message: TrackStatus) -> Result<(), Close> {
    let found = obtain(&request.session, &message.track, &message.params).await;
    let (_, track) = match found {
        Ok(found) => found,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let answer = RequestOk {
        params: Params {
            largest: track.ring.largest(),
            ..Params::default()
        },
        properties: properties(&track, &message.params)?,
    };
    request.answer(answer).await?;
    request.finish().await;
    Ok(())
}

/// The track of that name, from whoever announced it if need be, or why there is none.
pub(super) async fn obtain(
    session: &Session,
    name: &FullTrackName,
    params: &Params,
) -> Result<(Arc<Stream>, Arc<Track>), RequestError> {
    let here = find(session, name);
    if here.as_ref().is_ok_and(|(_, track)| !track.ring.is_ended()) {
        return here;
    }
    let shared = &session.context.shared;
    let stream = match name.namespace().is_reserved() || name.namespace().is_empty() {
        true => None,
        false => shared.registry.remote(name.namespace(), clock::now_us()),
    };
    if let Some(stream) = stream {
        let hops = upstream::hops(&params.auth_tokens, shared.hop)?;
        if let Some(answer) = stream.demand(name.track(), &hops).await {
            if answer.is_err() {
                shared.registry.forget(&stream);
            }
            return answer.map(|track| (stream, track));
        }
    }
    here
}

/// The track of that name, if it is there.
fn find(
    session: &Session,
    name: &FullTrackName,
) -> Result<(Arc<Stream>, Arc<Track>), RequestError> {
    let absent = |reason: String| RequestError::new(RequestErrorCode::DoesNotExist, reason);
    let namespace = name.namespace();
    let stream = session.context.shared.registry.stream(namespace);
    let stream = stream.ok_or_else(|| absent(format!("nobody publishes {namespace}")))?;
    let track = stream.track(name.track());
    let track = track.or_else(|| hang::track(&stream, name.track()));
    let track = track.ok_or_else(|| {
        let track = String::from_utf8_lossy(name.track());
        absent(format!("{namespace} has no track {track:?}"))
    })?;
    Ok((stream, track))
}

/// The properties of a track as the answer to a request with `params` carries them.
pub(super) fn properties(track: &Track, params: &Params) -> Result<Properties, Close> {
    if params.include_properties == Some(false) {
        return Ok(Properties::default());
    }
    Properties::new(track.properties.clone())
        .map_err(|error| Close::new(SessionError::Internal, error.to_string()))
}
