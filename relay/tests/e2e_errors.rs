//! What a user meets when something is wrong: one line that says what and what to do, and the
//! exit code that scripts rely on.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use support::{Process, Scratch, Weir, push, recipes, wait_for, weir};

/// Time for a program to notice what is wrong; a dead UDP port is noticed by silence only.
const LIMIT: Duration = Duration::from_secs(30);

/// Exit code of bad usage and bad configuration.
const USAGE: i32 = 64;

/// Runs `weir` and asserts its exit code, and that it says all of `words` in one line of errors.
#[track_caller]
fn fails(args: &[&str], code: i32, words: &[&str]) {
    let mut process = Process::run("weir", &mut weir(args), LIMIT);
    let said = process.stderr();
    assert_eq!(
        process.exit(LIMIT).code(),
        Some(code),
        "weir {args:?}: {said}"
    );
    assert!(!said.contains("panicked"), "weir {args:?}: {said}");
    let errors: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains(" INFO "))
        .collect();
    // Bad usage may show the usage below.
    assert!(
        code == USAGE || errors.len() == 1,
        "weir {args:?} says more than one line: {said}"
    );
    for word in words {
        assert!(
            said.contains(word),
            "weir {args:?} does not say `{word}`: {said}"
        );
    }
}

#[test]
fn a_port_in_use_is_named_with_its_remedy() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, udp) = (
        tcp.local_addr().unwrap().to_string(),
        udp.local_addr().unwrap().to_string(),
    );
    let free = "127.0.0.1:0";
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    fails(
        &["serve", "--rtmp", &tcp, "--quic", free, "--http", free],
        1,
        &[&port(&tcp), "--rtmp"],
    );
    fails(
        &["serve", "--rtmp", free, "--quic", &udp, "--http", free],
        1,
        &[&port(&udp), "--quic"],
    );
    fails(
        &["serve", "--rtmp", free, "--quic", free, "--http", &tcp],
        1,
        &[&port(&tcp), "--http"],
    );
}

#[test]
fn a_second_relay_does_not_share_the_ports_of_the_first() {
    let relay = Weir::start();
    let quic = relay.quic.to_string();
    let free = "127.0.0.1:0";
    fails(
        &["serve", "--rtmp", free, "--quic", &quic, "--http", free],
        1,
        &["--quic"],
    );
}

#[test]
fn bad_usage_exits_64() {
    fails(&["serve", "--no-such-flag"], USAGE, &["--no-such-flag"]);
    fails(
        &["serve", "--rtmp", "localhost:notaport"],
        USAGE,
        &["--rtmp", "notaport"],
    );
    fails(&["serve", "--shards", "0"], USAGE, &["--shards"]);
    fails(&["no-such-command"], USAGE, &["no-such-command"]);
    fails(&["pull"], USAGE, &["URL"]);
    fails(
        &["pull", "rtmp://localhost/live/cam"],
        USAGE,
        &["moqt", "https"],
    );
    fails(
        &["pull", "moqt://localhost/live/cam", "--duration", "soon"],
        USAGE,
        &["--duration"],
    );
}

#[test]
fn bad_configuration_exits_64_and_names_the_line() {
    let file = Scratch::new("bad.toml");
    fs::write(file.path(), "# a comment\n[listen]\nno_such_key = 1\n").unwrap();
    let path = file.path().to_str().unwrap();
    let line = format!("{path}:3:");
    fails(&["check", path], USAGE, &["no_such_key", &line]);
    fails(&["serve", "--config", path], USAGE, &["no_such_key", &line]);
    fails(
        &["serve", "--config", "/no/such/file.toml"],
        USAGE,
        &["/no/such/file.toml"],
    );
}

#[test]
fn a_bad_certificate_is_named() {
    let file = Scratch::new("bad.pem");
    fs::write(file.path(), "not a certificate").unwrap();
    let path = file.path().to_str().unwrap();
    let free = "127.0.0.1:0";
    let serve = [
        "serve",
        "--rtmp",
        free,
        "--quic",
        free,
        "--http",
        free,
        "--tls-cert",
        path,
    ];
    fails(&[&serve[..], &["--tls-key", path]].concat(), 1, &[path]);
    fails(&serve, USAGE, &["--tls-key"]);
}

#[test]
fn pulling_a_stream_that_is_not_there_says_so() {
    let relay = Weir::start();
    for url in [
        relay.moqt_url("live/nobody"),
        relay.https_url("live/nobody"),
    ] {
        fails(
            &["pull", &url, "--insecure", "-o", "/dev/null"],
            1,
            &["live/nobody"],
        );
    }
}

#[test]
fn pulling_from_a_dead_port_says_so() {
    let dead = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("moqt://{dead}/live/cam");
    fails(
        &["pull", &url, "--insecure", "-o", "/dev/null"],
        1,
        &[&dead.to_string()],
    );
}

#[test]
fn an_unknown_certificate_is_refused_with_the_remedy() {
    let relay = Weir::start();
    let url = relay.moqt_url("live/cam");
    fails(
        &["pull", &url, "-o", "/dev/null"],
        1,
        &["--insecure", "--cert-sha256"],
    );
}

#[test]
fn sigterm_drains_and_exits_0() {
    let mut relay = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "60s");
    pull.wait_flowing();
    assert_eq!(relay.get("/readyz").status, 200);
    relay.terminate();
    assert_eq!(relay.exit().code(), Some(0), "{}", relay.log());
    // The viewer is told, so it ends at once and keeps what it has.
    pull.process.exit(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
}

#[test]
fn http_answers_are_what_the_contract_says() {
    let relay = Weir::start();
    assert_eq!(relay.streams(), serde_json::json!({ "streams": [] }));
    for path in ["/healthz", "/readyz", "/", "/certificate.sha256"] {
        assert_eq!(relay.get(path).status, 200, "{path}");
    }
    for path in ["/no/such/page", "/api/v1/streams/live/nobody"] {
        let answer = relay.get(path);
        assert_eq!(answer.status, 404, "{path}");
        let error: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(error.is_object(), "{path}: {error}");
    }
    assert!(
        relay
            .get("/api/v1/streams")
            .head
            .contains("content-type: application/json")
    );
}

#[test]
fn metrics_pass_promtool() {
    let relay = Weir::start();
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "2s");
    pull.end(LIMIT);
    let file = Scratch::new("metrics.txt");
    let metrics = wait_for("the stream in the metrics", LIMIT, || {
        let body = relay.get("/metrics").body;
        if body.contains("live/cam") {
            Ok(body)
        } else {
            Err(body)
        }
    });
    fs::write(file.path(), metrics).unwrap();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    let checked = Process::filter("promtool", &mut command, file.path(), LIMIT);
    assert_eq!(
        checked.stderr() + &checked.stdout(),
        "",
        "promtool has complaints"
    );
}
