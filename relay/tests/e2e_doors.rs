//! Doors with a lock: TLS in front of RTMP and HTTP, another server that decides, keys from
//! elsewhere, and credentials that are taken back.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use support::{Process, Publisher, Pull, Scratch, Weir, push, recipes, wait_for, weir};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

const SECRET: &str = "a-long-secret-of-the-studio";

/// A relay with these lines of configuration; the file lives as long as the scratch.
fn configured(lines: &str, args: &[&str]) -> (Weir, Scratch) {
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), lines).unwrap();
    let path = file.path().to_string_lossy().into_owned();
    let relay = Weir::start_with(&[&["--config", &path], args].concat());
    (relay, file)
}

/// A self-signed certificate for localhost and its key, made by openssl.
#[track_caller]
fn certificate(chain: &Scratch, key: &Scratch, name: &str) {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    openssl.arg("-keyout").arg(key.path());
    openssl.arg("-out").arg(chain.path());
    Process::succeed("openssl", &mut openssl, LIMIT);
}

/// What `openssl s_client` says of whoever listens there, after this input.
#[track_caller]
fn over_tls(addr: SocketAddr, input: &str) -> String {
    let file = Scratch::new("input.txt");
    fs::write(file.path(), input).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-ign_eof", "-connect", &addr.to_string()]);
    Process::filter("s_client", &mut openssl, file.path(), LIMIT).stdout()
}

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[test]
fn pages_are_https_where_there_is_a_certificate_which_changes_without_a_restart() {
    let (chain, key) = (Scratch::new("chain.pem"), Scratch::new("key.pem"));
    certificate(&chain, &key, "first");
    let lines = format!("[tls]\ncert = {:?}\nkey = {:?}\n", chain.path(), key.path());
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), lines).unwrap();
    let mut relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    let said = over_tls(relay.http, GET);
    assert!(
        said.contains("HTTP/1.1 200") && said.contains("first"),
        "{said}"
    );
    let plain = relay.get("/healthz");
    assert_eq!(plain.status, 400);
    assert!(plain.body.contains("https://"), "{}", plain.body);
    certificate(&chain, &key, "second");
    relay.hang_up();
    wait_for("the other certificate", LIMIT, || {
        let said = over_tls(relay.http, GET);
        said.contains("second").then_some(()).ok_or(said)
    });
}

#[test]
fn ffmpeg_publishes_over_rtmps() {
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), "[listen]\nrtmps = \"127.0.0.1:0\"\n").unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    let addr = relay.printed("rtmps");
    let source = recipes::PLAIN.make();
    let _push = source.push(&format!("rtmps://{addr}/live/cam"));
    let stream = relay.wait_live("live/cam", &["video", "audio"]);
    // It is shown where it comes from, and not the connection within the relay.
    assert!(
        stream["publisher"]["addr"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "3s");
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    // Who does not speak TLS there hears nothing, and disturbs nobody.
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.write_all(&[3; 1537]).unwrap();
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer));
    assert!(!answer.starts_with(&[3]));
}

#[test]
fn a_key_that_is_taken_back_ends_its_publisher_and_nobody_else() {
    let key = |name: &str, revoked: bool| {
        format!(
            "[[auth.key]]\nstream = \"live/{name}\"\nname = \"{name}\"\n\
             plain = \"{SECRET}-{name}\"\nrevoked = {revoked}\n"
        )
    };
    let (mut relay, file) = configured(&(key("one", false) + &key("two", false)), &[]);
    let publish =
        |name: &str| Publisher::publish(relay.rtmp, "live", &format!("{name}?key={SECRET}-{name}"));
    let (mut one, mut two) = (publish("one"), publish("two"));
    one.set_patience(LIMIT);
    fs::write(file.path(), key("one", true) + &key("two", false)).unwrap();
    relay.hang_up();
    one.wait_said_within("was revoked", LIMIT);
    assert!(one.is_closed());
    assert!(!two.has_ended());
    assert_eq!(relay.stream("live/two").unwrap()["state"], "live");
}

/// A server that answers each POST with what it is told, and remembers the bodies.
struct Decider {
    addr: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Decider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let decider = Self {
            addr: listener.local_addr().unwrap(),
            answer: Arc::default(),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&decider.answer), Arc::clone(&decider.asked));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let body = body(&mut socket);
                asked.lock().push(body);
                let answer = answer.lock().clone();
                drop(socket.write_all(answer.as_bytes()));
            }
        });
        decider
    }

    fn answer(&self, status: &str, body: &str) {
        let length = body.len();
        *self.answer.lock() = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
    }
}

/// The body of a request, as long as its head says, or a whole GET.
fn body(socket: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut bytes = [0; 4096];
    loop {
        let length = socket.read(&mut bytes).unwrap();
        request += &String::from_utf8_lossy(&bytes[..length]);
        let Some((head, body)) = request.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            return body.to_owned();
        }
    }
}

#[test]
fn another_server_decides_who_publishes() {
    let decider = Decider::start();
    let (relay, _file) = configured(
        &format!(
            "[auth]\npublish = \"credential\"\n[auth.webhook]\nurl = \"http://{}/\"\n\
             cache_ms = 600000\n",
            decider.addr
        ),
        &[],
    );
    decider.answer("200 OK", r#"{"name":"live/public","who":"anna"}"#);
    let publisher = Publisher::publish(relay.rtmp, "live", &format!("cam?key={SECRET}"));
    assert_eq!(relay.stream("live/public").unwrap()["state"], "live");
    let asked = decider.asked.lock().clone();
    let asked: serde_json::Value = serde_json::from_str(&asked[0]).unwrap();
    assert_eq!(asked["action"], "publish");
    assert_eq!(asked["name"], "live/cam");
    assert_eq!(asked["addr"], "127.0.0.1");
    assert_eq!(asked["credentials"], serde_json::json!([SECRET]));
    drop(publisher);
    // The answer holds, whatever it would be now.
    decider.answer("403 Forbidden", "not today");
    drop(Publisher::publish(
        relay.rtmp,
        "live",
        &format!("cam?key={SECRET}"),
    ));
    assert_eq!(decider.asked.lock().len(), 1);
    let mut refused = Publisher::connect(relay.rtmp, "live", "other?key=somebody-else");
    refused.wait_said("not today");
    assert!(!relay.log().contains(SECRET), "{}", relay.log());
}

#[test]
fn a_server_that_does_not_answer_lets_nobody_in_or_everybody_as_configured() {
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let lines = |on_failure: &str| {
        format!(
            "[auth]\npublish = \"credential\"\n[auth.webhook]\nurl = \"http://{dead}/\"\n\
             on_failure = \"{on_failure}\"\n"
        )
    };
    let (relay, _file) = configured(&lines("deny"), &[]);
    let mut refused = Publisher::connect(relay.rtmp, "live", "cam");
    refused.wait_said("cannot be asked");
    let (relay, _file) = configured(&lines("allow"), &[]);
    drop(Publisher::publish(relay.rtmp, "live", "cam"));
    assert!(relay.log().contains("does not answer"), "{}", relay.log());
}

#[test]
fn keys_may_come_from_another_server() {
    let keys = Process::succeed("weir", &mut weir(&["key", "--set"]), LIMIT).stdout();
    let set = Scratch::new("jwks.json");
    fs::write(set.path(), &keys).unwrap();
    let path = set.path().to_string_lossy().into_owned();
    let args = ["token", "--jwks", &path, "--publish", "live/*"];
    let token = Process::succeed("weir", &mut weir(&args), LIMIT).stdout();
    let server = Decider::start();
    server.answer("200 OK", &keys);
    let (relay, _file) = configured(
        &format!(
            "[auth]\npublish = \"credential\"\n[auth.tokens]\njwks = \"http://{}/\"\n",
            server.addr
        ),
        &[],
    );
    let key = format!("cam?token={}", token.trim());
    drop(Publisher::publish(relay.rtmp, "live", &key));
}

#[test]
fn the_end_of_a_token_ends_the_session_of_its_viewer() {
    let keys = Process::succeed("weir", &mut weir(&["key", "--set"]), LIMIT).stdout();
    let set: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let file = Scratch::new("jwks.json");
    fs::write(file.path(), &keys).unwrap();
    let (relay, _file) = configured(
        &format!(
            "[auth]\nwatch = \"credential\"\n[auth.tokens]\njwks = {:?}\n",
            file.path()
        ),
        &[],
    );
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let until_s = support::unix_ms() / 1000 + 8;
    let token = signed(&set, until_s);
    let url = format!("{}?token={token}", relay.moqt_url("live/cam"));
    let mut pull = Pull::start(&[&url, "--insecure", "--duration", "50s"]);
    pull.wait_flowing();
    pull.process.exit(LIMIT);
    assert!(support::unix_ms() / 1000 >= until_s, "not before its time");
    assert!(relay.log().contains("expired"), "{}", relay.log());
}

/// A token to watch everything, until then.
fn signed(set: &serde_json::Value, until_s: u64) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    let key = &set["keys"][0];
    let secret = BASE64.decode(key["k"].as_str().unwrap()).unwrap();
    let algorithm = key["alg"].as_str().unwrap().parse().unwrap();
    let header = jsonwebtoken::Header {
        kid: key["kid"].as_str().map(str::to_owned),
        ..jsonwebtoken::Header::new(algorithm)
    };
    let claims = serde_json::json!({"watch": ["*"], "exp": until_s});
    let secret = jsonwebtoken::EncodingKey::from_secret(&secret);
    jsonwebtoken::encode(&header, &claims, &secret).unwrap()
}
