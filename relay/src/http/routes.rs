//! Paths → answers.

use super::feed::{self, Feeds};
use super::{Context, MAX_BODY_BYTES, dashboard, guard, metrics, player};
use crate::stats::snapshot::{EventList, LimitList, StreamList};
use axum::body::HttpBody;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Names of live streams that a 404 lists: enough to see a typing error in.
const MAX_LISTED: usize = 20;

const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// The body of every error.
#[derive(Serialize)]
struct Failure {
    error: String,
    /// For an unknown stream: what is live, at most [`MAX_LISTED`] names.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Vec<String>>,
}

/// What a player must know of the relay.
#[derive(Serialize)]
struct RelayFacts {
    version: String,
    /// UDP port of the QUIC listener; the host is the one that the page came from.
    quic_port: Option<u16>,
}

pub(super) fn router(context: Context, feeds: &Arc<Feeds>) -> Router {
    // What shows who is there, and how much: for those who run the relay.
    let control = Router::new()
        .merge(dashboard::router())
        .route("/api/v1/streams", get(streams))
        .route("/api/v1/streams/{*name}", get(stream))
        .route("/api/v1/events", get(events))
        .route("/api/v1/limits", get(limits))
        .route("/api/v1/live", get(feed::overview))
        .route("/api/v1/live/{*name}", get(feed::stream))
        .route("/metrics", get(prometheus))
        .route("/api/v1/config/reload", post(reload))
        .layer(from_fn_with_state(context.clone(), guard::control));
    Router::new()
        .merge(control)
        .route("/api/v1/relay", get(relay))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/certificate.sha256", get(certificate))
        .merge(player::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(limit_body))
        .layer(Extension(Arc::clone(feeds)))
        .with_state(context)
}

/// Readable from pages of other origins, as the certificate's hash is.
async fn relay(State(context): State<Context>) -> Response {
    let process = (context.process)();
    let facts = RelayFacts {
        quic_port: player::quic_port(&process),
        version: process.version,
    };
    let headers = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), NO_STORE];
    (headers, Json(facts)).into_response()
}

async fn streams(State(context): State<Context>) -> Response {
    let streams = (context.streams)();
    ([NO_STORE], Json(StreamList { streams })).into_response()
}

async fn stream(State(context): State<Context>, Path(name): Path<String>) -> Response {
    if let Some(detail) = (context.stream)(&name) {
        return ([NO_STORE], Json(detail)).into_response();
    }
    let streams = (context.streams)();
    let live = streams
        .into_iter()
        .take(MAX_LISTED)
        .map(|s| s.name)
        .collect();
    let failure = Failure {
        error: format!("no stream {name:?}"),
        live: Some(live),
    };
    (StatusCode::NOT_FOUND, [NO_STORE], Json(failure)).into_response()
}

async fn prometheus(State(context): State<Context>) -> Response {
    let text = metrics::render(&(context.process)(), (context.streams)());
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE), NO_STORE],
        text,
    )
        .into_response()
}

/// Changes only what the relay's own file says, so a page of another site that asks for it
/// changes nothing that its owner has not written.
async fn reload(State(context): State<Context>) -> Response {
    match (context.reload)() {
        Ok(outcome) => ([NO_STORE], Json(outcome)).into_response(),
        Err(error) => failure(StatusCode::UNPROCESSABLE_ENTITY, error),
    }
}

async fn healthz() -> Response {
    ([NO_STORE], "ok\n").into_response()
}

async fn readyz(State(context): State<Context>) -> Response {
    if context.ready.load(Ordering::Acquire) {
        ([NO_STORE], "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, [NO_STORE], "not ready\n").into_response()
    }
}

/// Readable from pages of other origins: a player anywhere may need the hash to connect.
async fn certificate(State(context): State<Context>) -> Response {
    let headers = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), NO_STORE];
    (headers, (context.certificate_sha256)()).into_response()
}

async fn events(State(context): State<Context>) -> Response {
    let events = (context.events)();
    ([NO_STORE], Json(EventList { events })).into_response()
}

async fn limits(State(context): State<Context>) -> Response {
    let process = (context.process)();
    let list = LimitList {
        limits: process.limits,
        shards: process.shard_load,
    };
    ([NO_STORE], Json(list)).into_response()
}

async fn unknown_path(uri: Uri) -> Response {
    let error = format!("nothing at {}; the page at / says what is here", uri.path());
    failure(StatusCode::NOT_FOUND, error)
}

async fn wrong_method() -> Response {
    let error =
        "this path answers other methods: GET, or POST for /api/v1/config/reload".to_owned();
    failure(StatusCode::METHOD_NOT_ALLOWED, error)
}

async fn limit_body(request: Request, next: Next) -> Response {
    // A chunked body has no upper bound and is refused with the long ones.
    if request
        .body()
        .size_hint()
        .upper()
        .is_none_or(|bytes| bytes > MAX_BODY_BYTES)
    {
        let error = format!("a request's body may have {MAX_BODY_BYTES} bytes");
        let mut response = failure(StatusCode::PAYLOAD_TOO_LARGE, error);
        let close = header::HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        return response;
    }
    next.run(request).await
}

pub(super) fn failure(status: StatusCode, error: String) -> Response {
    let body = Failure { error, live: None };
    (status, [NO_STORE], Json(body)).into_response()
}
