//! SUBSCRIBE_NAMESPACE: which names there are below a prefix, now and later.
//!
//! A name is told when its tracks can be subscribed, and withdrawn when its stream ends, not when
//! its publisher is gone for a moment. A stream that ended and began anew between two looks is
//! withdrawn and told again, as those who watched the old one have to begin anew.
//!
//! The drafts forbid a session two prefixes of which one contains the other (PREFIX_OVERLAP). They
//! are served here: players that look for several names hold several requests, and it costs the
//! relay nothing to answer each.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use weir_protocol::moqt::message::{
    NamespaceAdded, NamespaceDone, RequestError, RequestOk, RequestUpdate, SubscribeNamespace,
};
use weir_protocol::moqt::token::Token;
use weir_protocol::moqt::{
    Message, Namespace, RequestErrorCode, SessionError, StreamRole, Version,
};

use super::control::MessageError;
use super::request::Request;
use super::{Close, Session};
use crate::stream::Stream;

/// The names that a subscriber knows, and the streams that they stand for.
///
/// Weak: who listens for names keeps no stream alive.
type Told = BTreeMap<Namespace, Weak<Stream>>;

/// One of the session's places for a request; given back when it is dropped.
struct Place(Arc<Session>);

impl Place {
    fn take(session: &Arc<Session>) -> Result<Self, RequestError> {
        let mut places = session.namespace_requests.lock();
        if *places >= REQUESTS_MAX {
            let reason = format!("{REQUESTS_MAX} SUBSCRIBE_NAMESPACE a session are enough");
            return Err(RequestError::new(RequestErrorCode::ExcessiveLoad, reason));
        }
        *places += 1;
        Ok(Self(Arc::clone(session)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.namespace_requests.lock() -= 1;
    }
}

pub(super) async fn serve(mut request: Request, message: SubscribeNamespace) -> Result<(), Close> {
    let _place = match Place::take(&request.session) {
        Ok(place) => place,
        Err(refusal) => return request.refuse(refusal).await,
    };
    request.answer(RequestOk::default()).await?;
    let listing = Listing {
        prefix: message.prefix,
        tokens: message.params.auth_tokens,
        told: Told::new(),
        request,
    };
    listing.run().await
}

/// A request for names that was granted.
struct Listing {
    request: Request,
    prefix: Namespace,
    /// Its credentials, for another prefix.
    tokens: Vec<Token>,
    told: Told,
}

impl Listing {
    async fn run(mut self) -> Result<(), Close> {
        let session = Arc::clone(&self.request.session);
        let mut names = session.context.shared.registry.changes();
        let role = StreamRole::Requester(self.request.kind);
        let mut listening = true;
        loop {
            names.mark_unchanged();
            self.tell().await?;
            tokio::select! {
                changed = names.changed() => if changed.is_err() {
                    return Ok(());
                },
                _ = self.request.stream.stopped() => return Ok(()),
                message = self.request.reader.next(role), if listening => match message {
                    Ok(Some(Message::RequestUpdate(update))) => match self.update(update).await? {
                        Ok(()) => {}
                        // The answer to an update may be the last word (draft 19).
                        Err(refusal) => {
                            self.request.respond(refusal).await?;
                            self.request.finish().await;
                            return Ok(());
                        }
                    },
                    Ok(Some(other)) => {
                        let reason = format!("{} on a SUBSCRIBE_NAMESPACE", other.name());
                        return Err(Close::new(SessionError::ProtocolViolation, reason));
                    }
                    // In draft 18 the end of the subscriber's half ends the request; since draft
                    // 19 it says that no more messages come.
                    Ok(None) if session.version == Version::Draft18 => {
                        self.request.finish().await;
                        return Ok(());
                    }
                    Ok(None) => listening = false,
                    Err(MessageError::Malformed(error)) => return Err(error.into()),
                    Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
                },
            }
        }
    }

    /// Another prefix: what follows is relative to it. Names that it does not cover are forgotten,
    /// as no message could withdraw them any more; those that both cover are known already. The
    /// inner error is why it cannot be.
    async fn update(&mut self, update: RequestUpdate) -> Result<Result<(), RequestError>, Close> {
        let session = &self.request.session;
        session.ids.lock().accept(update.request_id)?;
        if let Err(refusal) = session.admit_prefix(&update.params, &self.tokens).await {
            return Ok(Err(refusal));
        }
        self.request.respond(RequestOk::default()).await?;
        if let Some(prefix) = update.params.namespace_prefix {
            self.told.retain(|name, _| name.starts_with(&prefix));
            self.prefix = prefix;
        }
        Ok(Ok(()))
    }

    /// Says what has changed since the last time.
    async fn tell(&mut self) -> Result<(), Close> {
        let registry = &self.request.session.context.shared.registry;
        let streams = registry.announced(&self.prefix);
        let current: Told = streams
            .iter()
            .map(|stream| (stream.namespace.clone(), Arc::downgrade(stream)))
            .collect();
        drop(streams);
        let known = std::mem::take(&mut self.told);
        for name in missing(&known, &current) {
            if let Some(suffix) = name.suffix_after(&self.prefix) {
                self.request.respond(NamespaceDone { suffix }).await?;
            }
        }
        for name in missing(&current, &known) {
            if let Some(suffix) = name.suffix_after(&self.prefix) {
                self.request.respond(NamespaceAdded { suffix }).await?;
            }
        }
        self.told = current;
        Ok(())
    }
}

/// The names of `these` that `those` lack, or have for another stream.
fn missing<'a>(these: &'a Told, those: &'a Told) -> impl Iterator<Item = &'a Namespace> {
    let same = |name: &Namespace, stream: &Weak<Stream>| {
        let other = those.get(name);
        other.is_some_and(|other| Weak::ptr_eq(other, stream))
    };
    these
        .iter()
        .filter(move |(name, stream)| !same(name, stream))
        .map(|(name, _)| name)
}

/// SUBSCRIBE_NAMESPACE that a session may have open. Each remembers every name below its prefix:
/// some 100 bytes a stream of the relay, 25 MB a session at the limits of both.
const REQUESTS_MAX: usize = 64;
