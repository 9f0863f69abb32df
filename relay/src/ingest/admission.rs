//! What a connection may do: publish under which name, or play.

use tokio::time::Instant;
use tracing::info;
use weir_protocol::moqt::Namespace;
use weir_protocol::rtmp::server::{PlayRefusal, PlayRequest, PublishRequest, Refusal, RefusalCode};

use super::packager::Packager;
use super::{ADDRESS_FORM, Connection, IngestError, stream_name};
use crate::auth::{Action, Attempt, Denial, Grant, credentials_of_query};
use crate::pressure::Limit;
use crate::registry::PublishError;
use crate::stats::events::{self, EventKind};
use crate::stats::snapshot::PublisherSnapshot;
use crate::{clock, play};

impl Connection<'_> {
    /// Lets a publisher in or turns it away.
    pub(super) async fn publish(
        &mut self,
        request: &PublishRequest,
        now_us: u64,
    ) -> Result<(), IngestError> {
        let stream_id = request.stream_id;
        let published = match self.allowed(request).await {
            Ok((namespace, grant, attempt)) => {
                // Who needed no credential stays when one is asked for later.
                self.granted = grant.who.is_some().then_some(attempt);
                self.begin(&namespace, &grant, now_us)
            }
            Err(refusal) => Err(refusal),
        };
        match published {
            Ok(()) => {
                self.published = Some(stream_id);
                self.session.accept_publish(stream_id);
            }
            Err(refusal) => self.session.refuse_publish(stream_id, &refusal),
        }
        Ok(())
    }

    /// The stream that the peer may publish. What it was called is not logged before that is
    /// known: it may be a key.
    async fn allowed(
        &self,
        request: &PublishRequest,
    ) -> Result<(Namespace, Grant, Attempt), Refusal> {
        let refuse = |code, description: String| {
            info!(addr = %self.addr, app = request.app, description, "refused a publisher");
            self.log_refusal(&description);
            Refusal { code, description }
        };
        let full = self.context.shared.pressure.is_full().then(|| {
            self.context.shared.pressure.hit(Limit::Memory);
            "this relay has no memory for more streams: try again in some seconds".to_owned()
        });
        let played = || "this connection has played: use another one to publish".to_owned();
        let played = self.place.is_none().then(played);
        if let Some(reason) = self.refusal.clone().or(full).or(played) {
            return Err(refuse(RefusalCode::Rejected, reason));
        }
        let malformed = |error| refuse(RefusalCode::BadName, format!("{ADDRESS_FORM}: {error}"));
        let namespace = stream_name(&request.app, &request.key).map_err(malformed)?;
        if namespace.is_reserved() {
            let description = "names that begin with a dot belong to the protocol".to_owned();
            return Err(refuse(RefusalCode::BadName, description));
        }
        let attempt = self.attempt(Action::Publish, &namespace, request.query.as_deref());
        let shared = &self.context.shared;
        match shared.authorize(attempt.clone()).await {
            Ok(grant) => {
                let namespace = Namespace::from_path(&grant.name).map_err(malformed)?;
                Ok((namespace, grant, attempt))
            }
            Err(denial) => Err(self.deny(request, denial).await),
        }
    }

    /// Asks anew whether the publisher may: its key may have been taken back.
    pub(super) async fn reconsider(&mut self) -> Result<(), String> {
        self.policy.mark_unchanged();
        let Some(attempt) = self.granted.clone().filter(|_| self.packager.is_some()) else {
            return Ok(());
        };
        let now_s = clock::unix_ms() / 1000;
        let grant = self
            .context
            .shared
            .authorize(Attempt { now_s, ..attempt })
            .await;
        match grant {
            Ok(grant) => {
                self.until = grant.until_s.map(clock::instant_of_unix_s);
                Ok(())
            }
            Err(denial) => {
                info!(addr = %self.addr, kind = ?denial.kind, "a publisher may not any more");
                self.log_refusal(denial.kind.name());
                Err(denial.reason)
            }
        }
    }

    fn attempt(&self, action: Action, namespace: &Namespace, query: Option<&str>) -> Attempt {
        Attempt {
            action,
            name: namespace.to_string(),
            addr: self.addr.ip(),
            credentials: query.map(credentials_of_query).unwrap_or_default(),
            key_in_name: action == Action::Publish,
            now_s: clock::unix_ms() / 1000,
        }
    }

    /// For the dashboard.
    fn log_refusal(&self, detail: &str) {
        let event = events::Event::new(EventKind::Refused, clock::unix_ms());
        let event = event.who(self.addr.ip().to_string()).detail(detail);
        self.context.shared.registry.log(event);
    }

    /// Turns a publisher away, later each time: encoders ask again at once, for days.
    async fn deny(&self, request: &PublishRequest, denial: Denial) -> Refusal {
        let addr = self.addr;
        let delay = {
            let mut delays = self.context.shared.delays.lock();
            delays.on_refused(addr.ip(), clock::now_us())
        };
        // The reason names the stream, which may be a mistyped key.
        info!(%addr, app = request.app, kind = ?denial.kind, ?delay, "denied a publisher");
        self.log_refusal(denial.kind.name());
        tokio::time::sleep(delay).await;
        Refusal {
            code: RefusalCode::Unauthorized,
            description: denial.reason,
        }
    }

    fn begin(&mut self, namespace: &Namespace, grant: &Grant, now_us: u64) -> Result<(), Refusal> {
        let info = PublisherSnapshot {
            protocol: "rtmp".to_owned(),
            addr: self.addr.to_string(),
            encoder: self.session.encoder().unwrap_or_default().to_owned(),
            reconnects: 0,
            hop: None,
        };
        let registry = &self.context.shared.registry;
        let pressure = &self.context.shared.pressure;
        let publisher = registry.publish(namespace, info, now_us).map_err(|error| {
            if matches!(error, PublishError::TooManyStreams(_)) {
                pressure.hit(Limit::Streams);
            }
            let description = error.to_string();
            info!(addr = %self.addr, stream = %namespace, description, "refused a publisher");
            self.log_refusal(&description);
            Refusal {
                code: RefusalCode::Rejected,
                description,
            }
        })?;
        let who = grant.who.as_deref().unwrap_or_default();
        info!(addr = %self.addr, stream = %namespace, who, "publishing");
        self.packager = Some(Packager::new(publisher));
        self.until = grant.until_s.map(clock::instant_of_unix_s);
        self.next = None;
        Ok(())
    }

    /// Serves a play. Returns whether the connection is over; if not, the peer may play again.
    pub(super) async fn play(&mut self, request: &PlayRequest) -> Result<bool, IngestError> {
        let namespace = match stream_name(&request.app, &request.name) {
            Ok(namespace) => namespace,
            Err(error) => {
                let reason = format!("{ADDRESS_FORM}: {error}");
                let refusal = PlayRefusal::NotFound(reason);
                self.session.refuse_play(request.stream_id, &refusal);
                self.told = true;
                self.flush().await?;
                return Ok(true);
            }
        };
        let attempt = self.attempt(Action::Watch, &namespace, request.query.as_deref());
        if let Err(denial) = self.context.shared.authorize(attempt).await {
            let kind = denial.kind;
            info!(addr = %self.addr, stream = %namespace, ?kind, "denied a player");
            let refusal = PlayRefusal::Unauthorized(denial.reason);
            self.session.refuse_play(request.stream_id, &refusal);
            self.told = true;
            self.flush().await?;
            return Ok(true);
        }
        // A player takes a viewer's place and not a publisher's.
        self.place = None;
        let peer = play::Peer {
            context: self.context,
            socket: &self.socket,
            session: &mut self.session,
            addr: self.addr,
        };
        let over = play::serve(peer, request, &namespace).await?;
        self.told = over == play::Over::Told;
        self.opened = Instant::now();
        self.next = None;
        Ok(over != play::Over::Stopped)
    }
}
