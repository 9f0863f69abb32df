//! What a session may do: its credentials, shown to the relay's policy.
//!
//! A credential is a token or a key, in the AUTHORIZATION_TOKEN of the request or of SETUP, or in
//! the query of the session's URI (`?token=` or `?key=`). Aliases need no table: the relay lets
//! nobody register any (MAX_AUTH_TOKEN_CACHE_SIZE is 0), so a token always comes with its value.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};
use weir_protocol::moqt::message::{FetchKind, Redirect, RequestError};
use weir_protocol::moqt::token::Token;
use weir_protocol::moqt::{
    FullTrackName, Message, Namespace, Params, RequestErrorCode, SessionError,
};

use super::{Close, Session, hop};
use crate::auth::{Action, Attempt, CREDENTIALS_MAX, DenialKind, credentials_of_query};
use crate::pressure::{Limit, Place, Ticket};
use crate::shard::Context;
use crate::{clock, upstream};

/// A session's places: among all sessions, and among the connections of its address.
#[derive(Debug)]
pub(super) struct Held {
    _session: OwnedSemaphorePermit,
    _ticket: Ticket,
}

/// Counts a session whose handshake is over; `counted` says that its coming was.
pub(super) fn enter(context: &Context, addr: IpAddr, counted: bool) -> Result<Held, Limit> {
    let shared = &context.shared;
    let pressure = &shared.pressure;
    if !counted {
        pressure.arrive(addr, clock::now_us())?;
    }
    let session = Arc::clone(&shared.sessions).try_acquire_owned();
    let session = session.map_err(|_| {
        pressure.hit(Limit::Sessions);
        Limit::Sessions
    })?;
    Ok(Held {
        _session: session,
        _ticket: pressure.enter(addr)?,
    })
}

impl Session {
    /// A place for a subscription, or where to find one when the relay has too much to do. Whoever
    /// watches already is not sent away from what else it wants.
    pub(super) fn take_on(&self, track: &FullTrackName) -> Result<Place, RequestError> {
        self.check_load(track)?;
        let pressure = &self.context.shared.pressure;
        pressure.subscriptions.take().ok_or_else(|| {
            pressure.hit(Limit::Subscriptions);
            self.overloaded(Limit::Subscriptions, track)
        })
    }

    /// Whether there is time for somebody who does not watch yet.
    pub(super) fn check_load(&self, track: &FullTrackName) -> Result<(), RequestError> {
        if !self.viewing.lock().is_empty() {
            return Ok(());
        }
        let taken = self.context.shared.pressure.take_on(self.context.shard);
        taken.map_err(|limit| self.overloaded(limit, track))
    }

    fn overloaded(&self, limit: Limit, track: &FullTrackName) -> RequestError {
        let reason = format!("this relay has too much to do ({})", limit.name());
        let uri = self.context.shared.pressure.config.redirect.clone();
        let redirect = uri.map(|uri| {
            Box::new(Redirect {
                uri,
                track: track.clone(),
            })
        });
        let code = match redirect {
            Some(_) => RequestErrorCode::Redirect,
            None => RequestErrorCode::ExcessiveLoad,
        };
        RequestError {
            retry_ms: Some(RETRY_MS),
            redirect,
            ..RequestError::new(code, reason)
        }
    }

    /// Asks the policy about a request. One that names no stream needs no leave of its own.
    pub(super) async fn admit(&self, request: &Message) -> Result<(), RequestError> {
        match wish(request) {
            Some((action, name, params)) => {
                self.authorize(action, &name, &params.auth_tokens).await
            }
            None => Ok(()),
        }
    }

    /// Asks the policy about the prefix that an update wants, with the tokens of the update, or
    /// else with those of its request.
    pub(super) async fn admit_prefix(
        &self,
        update: &Params,
        tokens: &[Token],
    ) -> Result<(), RequestError> {
        let tokens = match update.auth_tokens.is_empty() {
            true => tokens,
            false => &update.auth_tokens,
        };
        match &update.namespace_prefix {
            Some(prefix) => self.authorize(Action::List, prefix, tokens).await,
            None => Ok(()),
        }
    }

    /// Asks the policy about an action; `name` is a stream, or a prefix for [`Action::List`]. A
    /// grant that ends, ends the session.
    pub(super) async fn authorize(
        &self,
        action: Action,
        name: &Namespace,
        tokens: &[Token],
    ) -> Result<(), RequestError> {
        let mut credentials: Vec<String> = tokens.iter().filter_map(text).collect();
        if let Some(setup) = self.setup.get() {
            credentials.extend(setup.auth_tokens.iter().filter_map(text));
            let query = setup.path.as_deref().and_then(|path| path.split_once('?'));
            credentials.extend(
                query
                    .map(|(_, query)| credentials_of_query(query))
                    .unwrap_or_default(),
            );
        }
        if let Some(query) = self
            .connection
            .request()
            .and_then(|request| request.url.query())
        {
            credentials.extend(credentials_of_query(query));
        }
        credentials.truncate(CREDENTIALS_MAX);
        let attempt = Attempt {
            action,
            name: name.to_string(),
            addr: self.connection.remote_address().ip(),
            credentials,
            key_in_name: false,
            now_s: clock::unix_ms() / 1000,
        };
        let grant = self.context.shared.authorize(attempt.clone()).await;
        let grant = grant.map_err(|denial| {
            let code = match denial.kind {
                DenialKind::Expired => RequestErrorCode::ExpiredAuthToken,
                DenialKind::Address
                | DenialKind::Missing
                | DenialKind::Wrong
                | DenialKind::Scope => RequestErrorCode::Unauthorized,
            };
            RequestError::new(code, denial.reason)
        })?;
        if grant.who.is_some() {
            let mut granted = self.granted.lock();
            let same = |known: &Attempt| known.action == action && known.name == attempt.name;
            granted.retain(|known| !same(known));
            granted.truncate(GRANTS_MAX - 1);
            granted.push(attempt);
        }
        if let Some(until_s) = grant.until_s {
            self.expiry.send_modify(|expiry| {
                *expiry = Some(expiry.map_or(until_s, |known| known.min(until_s)));
            });
        }
        Ok(())
    }
}

/// What a request is about. A joining FETCH is about a subscription that was asked for before.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other messages begin no request, or name no stream"
)]
fn wish(request: &Message) -> Option<(Action, Namespace, &Params)> {
    let of = |track: &FullTrackName| track.namespace().clone();
    match request {
        // The hop's own names are for whoever has a session, but for what they tell of a stream.
        Message::TrackStatus(m) if hop::is_own(&m.track) => {
            hop::subject(m.track.track()).map(|stream| (Action::Watch, stream, &m.params))
        }
        Message::Publish(m) if hop::is_own(&m.track) => None,
        Message::Subscribe(m) => Some((Action::Watch, of(&m.track), &m.params)),
        Message::TrackStatus(m) => Some((Action::Watch, of(&m.track), &m.params)),
        Message::Fetch(m) => match &m.kind {
            FetchKind::Standalone { track, .. } | FetchKind::Filtered { track } => {
                Some((Action::Watch, of(track), &m.params))
            }
            FetchKind::RelativeJoining { .. } | FetchKind::AbsoluteJoining { .. } => None,
        },
        Message::SubscribeNamespace(m) => Some((Action::List, m.prefix.clone(), &m.params)),
        Message::SubscribeTracks(m) => Some((Action::List, m.prefix.clone(), &m.params)),
        Message::Publish(m) => Some((Action::Publish, of(&m.track), &m.params)),
        Message::PublishNamespace(m) => Some((Action::Publish, m.namespace.clone(), &m.params)),
        _ => None,
    }
}

/// The credential of a token, whatever its type says: what it is is seen from its form. Only the
/// relays that a question came through are none.
fn text(token: &Token) -> Option<String> {
    match token {
        Token::UseValue { kind, .. } if *kind == upstream::HOPS => None,
        Token::Register { value, .. } | Token::UseValue { value, .. } => {
            let text = std::str::from_utf8(value).ok()?;
            let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
            (!text.is_empty()).then(|| text.to_owned())
        }
        Token::Delete { .. } | Token::UseAlias { .. } => None,
    }
}

/// Waits until the session's credential ends.
pub(super) async fn expired(expiry: &mut watch::Receiver<Option<u64>>) {
    loop {
        let until_s = *expiry.borrow_and_update();
        let over = async {
            match until_s {
                Some(until_s) => {
                    tokio::time::sleep_until(clock::instant_of_unix_s(until_s)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => return,
            changed = expiry.changed() => if changed.is_err() {
                // The session is gone, and nothing waits for this.
                return std::future::pending().await;
            },
        }
    }
}

/// Asks anew about what was granted for a credential: when one was taken back, the session is over.
pub(super) async fn reconsider(session: &Session) -> Result<(), Close> {
    let granted = session.granted.lock().clone();
    let now_s = clock::unix_ms() / 1000;
    for attempt in granted {
        let attempt = Attempt { now_s, ..attempt };
        if let Err(denial) = session.context.shared.authorize(attempt).await {
            return Err(Close::new(SessionError::Unauthorized, denial.reason));
        }
    }
    Ok(())
}

/// Grants of a session that are asked about anew: more than a player has streams.
const GRANTS_MAX: usize = 64;

/// When somebody who was refused for load may ask again: a shard has to be calm for three seconds.
const RETRY_MS: u64 = 5_000;
