//! One QUIC connection: the MoQT session on it, and its requests.
//!
//! Raw QUIC and WebTransport look the same from here on: [`webtransport`] adapts the one to
//! the other. Each request is a task of its own, with its own bidirectional stream; a protocol
//! violation in any of them ends the session, and nothing but the session.

mod admission;
mod alias;
mod control;
mod datagram;
mod fetch;
mod fill;
mod hop;
mod namespaces;
mod offer;
mod pace;
mod publish;
mod quirks;
mod rendezvous;
mod report;
mod request;
mod subscribe;
mod tracks;
mod viewer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{SetOnce, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info};
use weir_protocol::moqt::message::Setup;
use weir_protocol::moqt::{
    DecodeError, Namespace, RequestIdError, RequestIds, SessionError, Side, Version,
};

use crate::auth::Attempt;
use crate::endpoint::{self, H3};
use crate::peer::{Fault, Peer};
use crate::pressure::Place;
use crate::shard::{Context, Phase};
use crate::stream::next_viewer;
use crate::{quic, webtransport};
use alias::Aliases;
use quirks::Quirks;
use subscribe::Joinable;
use viewer::Viewing;

/// Limits of a session.
#[derive(Clone, Debug)]
pub struct Config {
    /// How far a viewer may be behind before it is taken to the newest group, in microseconds.
    pub behind_limit_us: u64,
    /// Time for the handshake, for the peer's SETUP, and for the first message of a request.
    pub setup_timeout: Duration,
    /// The longest that a SUBSCRIBE may wait for its publisher (RENDEZVOUS_TIMEOUT).
    pub rendezvous_limit: Duration,
    /// Where viewers are sent when the relay stops; none to leave it to them.
    pub drain_to: Option<String>,
    /// How long they, and publishers, have to leave then.
    pub drain_limit: Duration,
    /// Whether players may report what their viewers see.
    pub reports: bool,
}

/// What the sessions of all shards count together.
#[derive(Debug, Default)]
pub struct Counters {
    /// Datagrams on an alias that means nothing here.
    pub datagrams_unknown: AtomicU64,
    /// Players' reports that were recorded.
    pub reports_taken: AtomicU64,
    /// Reports that are not what they should be.
    pub reports_malformed: AtomicU64,
    /// Reports beyond what a session may send.
    pub reports_excess: AtomicU64,
    /// Reports about streams that their session does not watch.
    pub reports_strange: AtomicU64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // A viewer two seconds late is not watching live; one GOP is usually as long.
            behind_limit_us: 2_000_000,
            // Five lost flights on a bad link.
            setup_timeout: Duration::from_secs(10),
            // A page that was opened before the show: its player asks again.
            rendezvous_limit: Duration::from_secs(60),
            reports: true,
            drain_to: None,
            // Shorter than what stops programs waits for.
            drain_limit: Duration::from_secs(3),
        }
    }
}

/// What ends a session from our side.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Close {
    code: SessionError,
    reason: String,
}

impl Close {
    fn new(code: SessionError, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

impl From<DecodeError> for Close {
    fn from(error: DecodeError) -> Self {
        Self::new(error.session_error(), error.to_string())
    }
}

impl From<Fault> for Close {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, fault.reason)
    }
}

impl From<RequestIdError> for Close {
    fn from(error: RequestIdError) -> Self {
        Self::new(SessionError::InvalidRequestId, error.to_string())
    }
}

/// What the tasks of a session share.
struct Session {
    id: u64,
    context: Arc<Context>,
    connection: Arc<webtransport::Session>,
    version: Version,
    setup: SetOnce<Setup>,
    ids: Arc<Mutex<RequestIds>>,
    peer: Arc<Peer>,
    publishing: publish::Publishing,
    /// Subscriptions that a joining FETCH may refer to, and the news that one was added.
    joinable: Mutex<HashMap<u64, Joinable>>,
    joinable_changes: watch::Sender<()>,
    aliases: Aliases,
    viewing: Mutex<HashMap<Namespace, Arc<Viewing>>>,
    /// When the credential of its grants ends, in seconds since 1970.
    expiry: watch::Sender<Option<u64>>,
    /// What was granted for a credential, which may be taken back.
    granted: Mutex<Vec<Attempt>>,
    /// How many SUBSCRIBE_NAMESPACE are open.
    namespace_requests: Mutex<usize>,
    published: datagram::Published,
}

impl Session {
    fn new(
        context: &Arc<Context>,
        connection: webtransport::Session,
        version: Version,
    ) -> Arc<Self> {
        let connection = Arc::new(connection);
        let ids = Arc::new(Mutex::new(RequestIds::new(Side::Server)));
        let peer = Peer::new(Arc::clone(&connection), version, Arc::clone(&ids));
        Arc::new(Self {
            id: next_viewer(),
            context: Arc::clone(context),
            connection,
            version,
            setup: SetOnce::new(),
            ids,
            peer: Arc::new(peer),
            publishing: publish::Publishing::default(),
            joinable: Mutex::default(),
            joinable_changes: watch::Sender::new(()),
            aliases: Aliases::default(),
            viewing: Mutex::default(),
            expiry: watch::Sender::new(None),
            granted: Mutex::default(),
            namespace_requests: Mutex::default(),
            published: datagram::Published::default(),
        })
    }

    /// What the peer needs beyond its draft.
    fn quirks(&self) -> Quirks {
        let setup = self.setup.get();
        Quirks::of(setup.and_then(|setup| setup.implementation.as_deref()))
    }

    fn config(&self) -> &Config {
        &self.context.shared.session
    }
}

/// A connection that the shard's door has let in.
#[derive(Debug)]
pub(crate) struct Coming {
    pub(crate) incoming: quic::Incoming,
    /// Its place among the handshakes.
    pub(crate) place: Place,
    /// Whether its address is known to be true.
    pub(crate) validated: bool,
}

/// Serves a connection from its first packet to its last.
pub(crate) async fn serve(context: &Arc<Context>, coming: Coming) {
    let Coming {
        incoming,
        place,
        validated,
    } = coming;
    let addr = incoming.remote_address();
    let limit = context.shared.session.setup_timeout;
    let (connection, version) = match timeout(limit, establish(incoming)).await {
        Ok(Ok(established)) => established,
        Ok(Err(reason)) => return debug!(%addr, reason, "no session"),
        Err(_) => return debug!(%addr, ?limit, "no session: the handshake took too long"),
    };
    drop(place);
    let _held = match admission::enter(context, addr.ip(), validated) {
        Ok(held) => held,
        Err(limit) => {
            debug!(%addr, limit = limit.name(), "no session");
            let code = u32::try_from(SessionError::Internal.code()).unwrap_or(u32::MAX);
            let reason = format!("this relay has reached its limit: {}", limit.name());
            connection.close(code, reason.as_bytes());
            return;
        }
    };
    let session = Session::new(context, connection, version);
    debug!(%addr, draft = version.alpn(), "session");
    match run(&session).await {
        Ok(()) => debug!(%addr, "session over"),
        Err(close) => {
            let code = u32::try_from(close.code.code()).unwrap_or(u32::MAX);
            info!(%addr, code, reason = close.reason, "closed a session");
            session.connection.close(code, close.reason.as_bytes());
            session.connection.closed().await;
        }
    }
}

/// The handshakes: QUIC, and for WebTransport HTTP/3 too. Agrees on the draft.
async fn establish(incoming: quic::Incoming) -> Result<(webtransport::Session, Version), String> {
    let connecting = incoming.accept().map_err(|error| error.to_string())?;
    let connection = connecting
        .established()
        .await
        .map_err(|error| error.to_string())?;
    let alpn = connection.protocol().unwrap_or_default();
    if alpn != H3 {
        let version = Version::from_alpn(&alpn).ok_or("no draft in the ALPN")?;
        return Ok((webtransport::Session::raw(connection), version));
    }
    let request = webtransport::Request::accept(connection).await;
    let request = request.map_err(|error| format!("HTTP/3: {error}"))?;
    let offered = |version: &&Version| request.protocols().iter().any(|p| p == version.alpn());
    let Some(version) = Version::ALL.iter().find(offered).copied() else {
        let offered = request.protocols().join(", ");
        // The peer hears the status; what it offered is worth a line here.
        let _ = request.reject(http::StatusCode::BAD_REQUEST).await;
        return Err(format!(
            "WebTransport without a draft that we speak: [{offered}]"
        ));
    };
    let response = webtransport::ConnectResponse::OK.with_protocol(version.alpn());
    let session = request.respond(response).await;
    session
        .map(|session| (session, version))
        .map_err(|error| format!("WebTransport: {error}"))
}

/// Runs the session until the peer leaves (`Ok`) or must be told to (`Err`).
async fn run(session: &Arc<Session>) -> Result<(), Close> {
    let mut tasks = JoinSet::<Result<(), Close>>::new();
    tasks.spawn(datagram::serve(Arc::clone(session)));
    let mut phase = session.context.shared.phase.clone();
    let mut expiry = session.expiry.subscribe();
    let mut policy = session.context.shared.policy.subscribe();
    let Ok(mut control) = control::Sender::open(session).await else {
        return Ok(());
    };
    let setup_limit = session.config().setup_timeout;
    let setup_late = tokio::time::sleep(setup_limit);
    tokio::pin!(setup_late);
    let (mut introduced, mut told) = (false, false);
    let mut pace = pace::Pace::new(&session.context.shared.pressure.config);
    let mut allowance = Allowance::new(&session.context.shared.endpoint);
    loop {
        tokio::select! {
            () = pace.held(), if !pace.is_ready() => pace.release(),
            stream = session.connection.accept_bi(), if pace.is_ready() => {
                let Ok((send, recv)) = stream else { return Ok(()) };
                tasks.spawn(request::serve(Arc::clone(session), send, recv));
                allowance.on_request(&session.connection, tasks.len());
                pace.on_request(&session.context.shared.pressure);
            }
            stream = session.connection.accept_uni() => {
                let Ok(recv) = stream else { return Ok(()) };
                tasks.spawn(control::serve_uni(Arc::clone(session), recv));
            }
            Some(ended) = tasks.join_next() => match ended {
                Ok(result) => result?,
                Err(panicked) => {
                    let reason = format!("a request failed inside the relay: {panicked}");
                    return Err(Close::new(SessionError::Internal, reason));
                }
            },
            _ = session.setup.wait(), if !introduced => introduced = true,
            () = &mut setup_late, if !introduced => {
                let reason = format!("no SETUP within {setup_limit:?}");
                return Err(Close::new(SessionError::ControlMessageTimeout, reason));
            }
            Ok(()) = policy.changed() => admission::reconsider(session).await?,
            () = admission::expired(&mut expiry) => {
                let reason = "the credential has expired";
                return Err(Close::new(SessionError::ExpiredAuthToken, reason));
            }
            () = drained(&mut phase), if !told => {
                told = true;
                control.goaway(session).await;
            }
        }
    }
}

/// How many requests the peer may have open: doubled when half are in use, up to the limit.
struct Allowance {
    allowed: u32,
    limit: u32,
}

impl Allowance {
    fn new(config: &endpoint::Config) -> Self {
        Self {
            allowed: endpoint::INITIAL_REQUESTS,
            limit: config.max_requests,
        }
    }

    fn on_request(&mut self, connection: &quic::Connection, open: usize) {
        if open * 2 > self.allowed as usize && self.allowed < self.limit {
            self.allowed = self.allowed.saturating_mul(2).min(self.limit);
            connection.set_max_concurrent_bi_streams(self.allowed.into());
        }
    }
}

/// Waits until the relay drains, or is gone.
async fn drained(phase: &mut watch::Receiver<Phase>) {
    // An error would mean that the relay is gone, which is the same news.
    let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
}
