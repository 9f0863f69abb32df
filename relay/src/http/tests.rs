//! Every route through a real listener, with requests as plain text.

use super::*;
use crate::stats::events::EventKind;
use crate::stats::snapshot::{History, PublisherSnapshot, StreamState};
use crate::stats::{Merged, StreamFacts};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than any test takes, shorter than patience.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    addr: SocketAddr,
    ready: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

fn stream(name: &str) -> StreamSnapshot {
    Merged::new(0).snapshot(StreamFacts {
        name: name.to_owned(),
        state: StreamState::Live,
        since: "2026-11-20T15:00:00Z".into(),
        publisher: PublisherSnapshot::default(),
        tracks: Vec::new(),
        subscribers: 0,
        viewers_reporting: 0,
        warnings: Vec::new(),
    })
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let ready = Arc::new(AtomicBool::new(false));
        let context = Context {
            streams: Arc::new(|| vec![stream("live/cam"), stream("live/ü b")]),
            events: Arc::new(|| vec![Event::new(EventKind::Refused, 5).who("10.0.0.9")]),
            stream: Arc::new(|name| {
                let known = ["live/cam", "live/ü b"].contains(&name);
                known.then(|| StreamDetail {
                    stream: stream(name),
                    viewers: Vec::new(),
                    events: Vec::new(),
                    history: History::default(),
                })
            }),
            process: Arc::new(|| ProcessSnapshot {
                version: "0.1.0".into(),
                listeners: vec![("rtmp".into(), "0.0.0.0:1935".into())],
                ..ProcessSnapshot::default()
            }),
            ready: Arc::clone(&ready),
            certificate_sha256: Arc::new(|| "ab".repeat(32)),
            pressure: Arc::new(Pressure::new(crate::pressure::Config::default(), 1)),
            tls: None,
            reload: Arc::new(|| Ok(ReloadOutcome::default())),
            guard: Arc::new(|_, shown| match shown {
                Some(Some(shown)) if shown == "wrong" => Err(Denial {
                    kind: crate::auth::DenialKind::Wrong,
                    reason: "the credential is not known".into(),
                }),
                Some(_) | None => Ok(()),
            }),
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, context, shutdown));
        Self {
            addr,
            ready,
            stop: Some(stop),
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends `request` on a connection of its own and reads until the server closes it.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn get(&self, path: &str) -> (String, String) {
        let answer = self.exchange(&request("GET", path)).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        (head.to_lowercase(), body.to_owned())
    }
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the server closes")
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn streams_are_listed_as_json() {
    let server = Server::start().await;
    let (head, body) = server.get("/api/v1/streams").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["streams"][0]["name"], "live/cam");
    assert_eq!(json["streams"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_stream_is_found_by_its_name_with_slashes_and_escapes() {
    let server = Server::start().await;
    for (path, name) in [("live/cam", "live/cam"), ("live/%C3%BC%20b", "live/ü b")] {
        let (head, body) = server.get(&format!("/api/v1/streams/{path}")).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["name"], name);
        assert_eq!(json["viewers"], serde_json::json!([]));
    }
}

#[tokio::test]
async fn an_unknown_stream_is_named_beside_the_live_ones() {
    let server = Server::start().await;
    let (head, body) = server.get("/api/v1/streams/live/nope").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["error"], "no stream \"live/nope\"");
    assert_eq!(json["live"], serde_json::json!(["live/cam", "live/ü b"]));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = Server::start().await;
    let (head, body) = server.get("/metrics").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        body.contains("\nweir_streams{state=\"live\"} 2\n"),
        "{body}"
    );
}

#[tokio::test]
async fn health_is_unconditional_and_readiness_follows_the_relay() {
    let server = Server::start().await;
    assert!(server.get("/healthz").await.0.starts_with("http/1.1 200"));
    assert!(server.get("/readyz").await.0.starts_with("http/1.1 503"));
    server.ready.store(true, Ordering::Release);
    assert!(server.get("/readyz").await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn the_certificate_hash_is_readable_from_any_page() {
    let server = Server::start().await;
    let (head, body) = server.get("/certificate.sha256").await;
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    assert_eq!(body, "ab".repeat(32));
}

#[tokio::test]
async fn the_dashboard_is_one_page_for_the_overview_and_each_stream() {
    let server = Server::start().await;
    let (head, overview) = server.get("/").await;
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let (_, stream) = server.get("/stream/live/%3Cscript%3E").await;
    assert_eq!(overview, stream, "nothing of a name is in the page");
    let (head, _) = server.get("/dashboard/dashboard.css").await;
    assert!(head.contains("content-type: text/css"), "{head}");
    let (head, _) = server.get("/dashboard/none.js").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[tokio::test]
async fn what_happened_is_listed() {
    let server = Server::start().await;
    let (_, body) = server.get("/api/v1/events").await;
    let golden = r#"{"events":[{"at_ms":5,"kind":"refused","who":"10.0.0.9","count":1}]}"#;
    assert_eq!(body, golden);
}

/// Reads the events of a feed until `count` are there.
async fn events(stream: &mut TcpStream, count: usize) -> Vec<serde_json::Value> {
    let mut text = String::new();
    let read = async {
        while text.matches("\n\n").count() < count {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            assert!(length > 0, "the feed ended: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap())
        .collect()
}

#[tokio::test]
async fn a_feed_pushes_a_snapshot_a_second() {
    let server = Server::start().await;
    let mut page = server.connect().await;
    let ask = "GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n";
    page.write_all(ask.as_bytes()).await.unwrap();
    let seen = events(&mut page, 3).await;
    assert_eq!(seen[0]["streams"][0]["name"], "live/cam");
    assert_eq!(seen[0]["events"][0]["kind"], "refused");
    assert_eq!(seen[0]["relay"]["ports"][0][1], 1935);
    let times: Vec<_> = seen.iter().map(|event| event["at_ms"].as_u64()).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "each is new: {times:?}");
}

#[tokio::test]
async fn a_feed_of_a_stream_says_whether_it_is_there() {
    let server = Server::start().await;
    for (name, there) in [("live/%C3%BC%20b", true), ("live/none", false)] {
        let mut page = server.connect().await;
        let ask = format!("GET /api/v1/live/{name} HTTP/1.1\r\nhost: x\r\n\r\n");
        page.write_all(ask.as_bytes()).await.unwrap();
        let seen = events(&mut page, 1).await;
        assert_eq!(seen[0]["stream"].is_object(), there, "{}", seen[0]);
    }
}

#[tokio::test]
async fn feeds_are_bounded_and_end_with_the_relay() {
    let mut server = Server::start().await;
    let ask = "GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut pages = Vec::new();
    for _ in 0..MAX_PAGES {
        let mut page = server.connect().await;
        page.write_all(ask.as_bytes()).await.unwrap();
        events(&mut page, 1).await;
        pages.push(page);
    }
    let (head, body) = server.get("/api/v1/live").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(body.contains("close one"), "{body}");
    // A page that is closed makes room for another, as soon as that is noticed.
    pages.pop();
    let again = async {
        loop {
            let mut page = server.connect().await;
            page.write_all(ask.as_bytes()).await.unwrap();
            let mut first = [0; 12];
            page.read_exact(&mut first).await.unwrap();
            if first.ends_with(b"200") {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    pages.push(tokio::time::timeout(PATIENCE, again).await.unwrap());
    server.stop.take().unwrap().send(()).unwrap();
    let served = tokio::time::timeout(DRAIN_TIMEOUT * 4, server.task).await;
    served
        .expect("feeds do not hold shutdown up")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json_errors() {
    let server = Server::start().await;
    let (head, body) = server.get("/nope").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert!(body.starts_with("{\"error\":\"nothing at /nope"), "{body}");
    let answer = server.exchange(&request("POST", "/metrics")).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("{\"error\":"), "{answer}");
}

#[tokio::test]
async fn a_long_body_is_refused_unread() {
    let server = Server::start().await;
    for length in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let answer = server
            .exchange(&format!("GET / HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_or_not_http_ends_the_connection() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(2 * MAX_HEAD_BYTES));
    // The server may close before all of it is written.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server closes");
    assert!(!answer.starts_with(b"HTTP/1.1 2"));
    let answer = server.exchange("\x03rtmp, not http\r\n\r\n").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_dropped_in_time() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    let mut kept = server.connect().await;
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    kept.write_all(head.as_bytes()).await.unwrap();
    let (idle, kept) = tokio::join!(read_all(&mut idle), read_all(&mut kept));
    assert!(!idle.starts_with("HTTP/1.1 2"), "{idle}");
    assert!(
        kept.starts_with("HTTP/1.1 200"),
        "answered, then closed as idle: {kept}"
    );
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let server = Server::start().await;
    let mut held = Vec::new();
    for _ in 0..crate::pressure::Config::default().http_connections {
        held.push(server.connect().await);
    }
    let waiting = server.get("/healthz");
    let mut waiting = pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "no place is free");
    held.pop();
    let (head, _) = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_the_listener() {
    let mut server = Server::start().await;
    let mut kept = server.connect().await;
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    kept.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    let served = tokio::time::timeout(DRAIN_TIMEOUT / 2, server.task).await;
    served
        .expect("an idle connection does not hold shutdown up")
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn the_player_is_served_isolated_and_to_other_sites() {
    let server = Server::start().await;
    let (head, body) = server.get("/watch/live/cam").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for header in [
        "opener-policy: same-origin",
        "embedder-policy: require-corp",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let facts = format!("certificate=\"{}\"", "ab".repeat(32));
    assert!(body.contains(&facts), "{body}");
    assert!(body.contains("data-port=\"\""), "{body}");
    assert!(!body.contains("{{"), "every placeholder is filled");
    let (head, _) = server.get("/player/weir-player.js").await;
    assert!(head.contains("content-type: text/javascript"), "{head}");
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    assert!(head.contains("cache-control: no-cache"), "{head}");
    let (_, version) = body.split_once("data-version=\"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    let (head, _) = server.get(&format!("/player/{version}/watch.js")).await;
    assert!(head.contains("immutable"), "{head}");
    let (head, _) = server.get("/player/older/watch.js").await;
    assert!(head.contains("cache-control: no-cache"), "{head}");
    let (head, _) = server.get("/player/none.js").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    let (head, body) = server.get("/api/v1/relay").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.contains("\"quic_port\":null"), "{body}");
}
