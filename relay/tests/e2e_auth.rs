//! Who may do what, at the doors of a running relay.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use support::{
    Asked, MoqtClient, Process, Publisher, Pull, Scratch, Weir, push, recipes, track_of, wait_for,
    weir,
};
use weir_protocol::moqt::message::{
    Publish, RequestOk, SubscribeNamespace, SubscribeTracks, TrackStatus,
};
use weir_protocol::moqt::token::Token;
use weir_protocol::moqt::{Message, Namespace, Params, Properties, RequestErrorCode, Version};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

const SECRET: &str = "a-long-secret-of-the-studio";
const OTHER: &str = "another-secret-for-the-van";

/// A relay with these lines of configuration; the file lives as long as the scratch.
fn configured(lines: &str) -> (Weir, Scratch) {
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), lines).unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    (relay, file)
}

fn keys() -> String {
    let key = |name: &str, secret: &str| {
        format!("[[auth.key]]\nstream = \"live/cam\"\nname = \"{name}\"\nplain = \"{secret}\"\n")
    };
    key("studio", SECRET) + &key("van", OTHER)
}

/// What `weir` prints with these arguments.
#[track_caller]
fn printed(args: &[&str]) -> String {
    Process::succeed("weir", &mut weir(args), LIMIT).stdout()
}

/// `GET path` with a credential.
#[track_caller]
fn get(relay: &Weir, path: &str, authorization: &str) -> String {
    let mut socket = TcpStream::connect(relay.http).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         authorization: {authorization}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_publisher_without_a_key_is_told_and_one_with_any_of_them_is_let_in() {
    let (relay, _file) = configured(&keys());
    for key in ["cam", "cam?key=wrong-wrong", "guessed-guessed"] {
        let mut refused = Publisher::connect(relay.rtmp, "live", key);
        match key {
            // A name that has no keys is open on the relay's own machine.
            "guessed-guessed" => refused.wait_said("NetStream.Publish.Start"),
            _ => {
                refused.wait_said("NetStream.Publish.Unauthorized");
                refused.wait_said(if key == "cam" {
                    "has keys"
                } else {
                    "is not one for"
                });
                assert!(refused.is_closed());
            }
        }
    }
    for key in [format!("cam?key={SECRET}"), OTHER.to_owned()] {
        let publisher = Publisher::publish(relay.rtmp, "live", &key);
        wait_for("the stream by its public name", LIMIT, || {
            let stream = relay.stream("live/cam").ok_or("not there")?;
            match stream["state"] == "live" {
                true => Ok(()),
                false => Err(stream.to_string()),
            }
        });
        let shown = relay.streams().to_string() + &relay.get("/metrics").body + &relay.log();
        assert!(shown.contains("live/cam") && shown.contains("studio"));
        for secret in [SECRET, OTHER, "wrong-wrong"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        drop(publisher);
    }
}

#[test]
fn an_encoder_that_asks_again_and_again_is_slowed_down() {
    let (relay, _file) = configured(&keys());
    for _ in 0..4 {
        let mut refused = Publisher::connect(relay.rtmp, "live", "cam");
        refused.wait_said("NetStream.Publish.Unauthorized");
    }
    let log = relay.log();
    assert!(log.contains("delay=0ns"), "{log}");
    assert!(
        log.contains("delay=500ms") && log.contains("delay=1s"),
        "{log}"
    );
}

#[test]
fn a_key_that_ends_ends_its_publisher() {
    let mut date = Command::new("date");
    date.args(["-u", "-d", "+8 seconds", "+%Y-%m-%dT%H:%M:%SZ"]);
    let end = Process::succeed("date", &mut date, LIMIT).stdout();
    let (relay, _file) = configured(&format!(
        "[[auth.key]]\nstream = \"live/cam\"\nname = \"n\"\nplain = \"{SECRET}\"\nexpires = {end}"
    ));
    let key = format!("cam?key={SECRET}");
    let mut publisher = Publisher::publish(relay.rtmp, "live", &key);
    publisher.set_patience(LIMIT);
    publisher.wait_said_within("the credential has expired", LIMIT);
    let mut late = Publisher::connect(relay.rtmp, "live", &key);
    late.wait_said("NetStream.Publish.Unauthorized");
    late.wait_said("expired");
}

#[test]
fn watching_by_token_over_rtmp_quic_and_webtransport() {
    let jwks = Scratch::new("jwks.json");
    fs::write(jwks.path(), printed(&["key", "--set"])).unwrap();
    let set = jwks.path().to_string_lossy().into_owned();
    let token = |scope: &str| {
        let printed = printed(&["token", "--jwks", &set, "--watch", scope]);
        printed.trim().to_owned()
    };
    let (relay, _file) = configured(&format!(
        "[auth]\nwatch = \"credential\"\n[auth.tokens]\njwks = \"{set}\"\n"
    ));
    let url = relay.rtmp_url("live/cam");
    let (source, _push) = push(&recipes::PLAIN, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let (good, other) = (token("live/*"), token("other/*"));
    for address in [relay.moqt_url("live/cam"), relay.https_url("live/cam")] {
        let with = |query: &str| {
            let url = format!("{address}{query}");
            Pull::start(&[&url, "--insecure", "--duration", "2s"])
        };
        let mut pull = with(&format!("?token={good}"));
        pull.end(LIMIT);
        pull.media().assert_part_of(&source.media(), source.gop);
        for (query, reason) in [
            (String::new(), "needs a credential"),
            (format!("?token={other}"), "not one to watch"),
            (
                "?token=eyJhbGciOiJIUzI1NiJ9.e30.AAAA".to_owned(),
                "not one of this relay",
            ),
        ] {
            let mut pull = with(&query);
            assert_eq!(pull.process.exit(LIMIT).code(), Some(1));
            let said = pull.process.stderr();
            assert!(said.contains(reason), "{said}");
        }
    }
    let play = |query: &str| {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i", &format!("{url}{query}")]);
        ffmpeg.args(["-t", "1", "-c", "copy", "-f", "null", "-"]);
        let mut process = Process::run("ffmpeg-play", &mut ffmpeg, LIMIT);
        (process.exit(LIMIT).success(), process.stderr())
    };
    let (played, said) = play(&format!("?token={good}"));
    assert!(played, "{said}");
    let (played, said) = play("");
    assert!(!played && said.contains("needs a credential"), "{said}");
    assert!(!relay.log().contains(&good), "a token is a secret");
}

#[test]
fn the_control_pages_want_a_credential_and_the_player_does_not() {
    let jwks = Scratch::new("jwks.json");
    fs::write(jwks.path(), printed(&["key", "--set"])).unwrap();
    let set = jwks.path().to_string_lossy().into_owned();
    let (relay, _file) = configured(&format!(
        "[auth]\ncontrol = \"credential\"\n[auth.tokens]\njwks = \"{set}\"\n"
    ));
    for path in [
        "/",
        "/metrics",
        "/api/v1/streams",
        "/api/v1/streams/live/cam",
    ] {
        let answer = relay.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(
            answer.head.contains("www-authenticate: basic"),
            "{}",
            answer.head
        );
        assert!(
            answer.body.contains("weir token --control"),
            "{}",
            answer.body
        );
    }
    for path in [
        "/healthz",
        "/readyz",
        "/api/v1/relay",
        "/certificate.sha256",
        "/watch/live/cam",
    ] {
        assert_eq!(relay.get(path).status, 200, "{path}");
    }
    let token = |scope: &[&str]| {
        let mut args = vec!["token", "--jwks", &set];
        args.extend(scope);
        printed(&args).trim().to_owned()
    };
    let (good, other) = (token(&["--control"]), token(&["--watch", "*"]));
    let answer = get(&relay, "/api/v1/streams", &format!("Bearer {good}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = get(&relay, "/api/v1/streams", &format!("Bearer {other}"));
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let url = format!("http://{}", relay.http);
    printed(&["top", &url, "--once", "--token", &good]);
}

#[test]
fn the_configuration_is_read_anew_and_nobody_is_dropped() {
    let (mut relay, file) = configured(&keys());
    let mut publisher = Publisher::publish(relay.rtmp, "live", &format!("cam?key={SECRET}"));
    let post = |relay: &Weir| {
        let mut socket = TcpStream::connect(relay.http).unwrap();
        let request = "POST /api/v1/config/reload HTTP/1.1\r\nhost: test\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let newer = "third-secret-of-somebody";
    let text = keys().replace(SECRET, newer) + "[limits]\nsessions = 9\n";
    fs::write(file.path(), &text).unwrap();
    let answer = post(&relay);
    assert!(
        answer.contains(r#""applied":["auth"],"needs_restart":["limits"]"#),
        "{answer}"
    );
    let mut refused = Publisher::connect(relay.rtmp, "live", &format!("cam?key={SECRET}"));
    refused.wait_said("NetStream.Publish.Unauthorized");
    // A mistake changes nothing.
    fs::write(file.path(), "[auth]\nwatch = \"nobody\"\n").unwrap();
    let answer = post(&relay);
    assert!(
        answer.starts_with("HTTP/1.1 422") && answer.contains(":2: "),
        "{answer}"
    );
    assert_eq!(
        relay.stream("live/cam").unwrap()["publisher"]["reconnects"],
        0
    );
    publisher.raw(&[]).unwrap();
    drop(Publisher::publish(
        relay.rtmp,
        "live",
        &format!("cam?key={newer}"),
    ));
    // The same by signal.
    fs::write(file.path(), keys()).unwrap();
    relay.hang_up();
    wait_for("the log to say so", LIMIT, || match relay.log() {
        log if log.contains("read the configuration anew") => Ok(()),
        log => Err(log),
    });
    drop(Publisher::publish(
        relay.rtmp,
        "live",
        &format!("cam?key={SECRET}"),
    ));
}

#[test]
fn an_address_that_is_denied_reaches_nothing() {
    let (relay, _file) = configured("[auth]\ndeny = [\"127.0.0.0/8\"]\n");
    for addr in [relay.rtmp, relay.http] {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut answer = Vec::new();
        // Closed without a word, or reset.
        drop(socket.read_to_end(&mut answer));
        assert!(answer.is_empty());
    }
    let url = relay.moqt_url("live/cam");
    let mut pull = Pull::start(&[&url, "--insecure", "--duration", "2s"]);
    assert_eq!(pull.process.exit(LIMIT).code(), Some(1));
}

/// A token of a type, in the parameters of a request.
fn shown(kind: u64, value: &str) -> Params {
    let value = Bytes::from(value.to_owned());
    Params {
        auth_tokens: vec![Token::UseValue { kind, value }],
        ..Params::default()
    }
}

/// Publishes a track by hand, and holds it.
#[track_caller]
fn published(client: &mut MoqtClient, namespace: &str, alias: u64, params: Params) -> Asked {
    let request_id = client.fresh_id();
    let mut asked = client.ask(Publish {
        request_id,
        track: track_of(namespace, "video"),
        alias,
        params,
        properties: Properties::default(),
    });
    let answer = asked.next();
    assert!(matches!(answer, Some(Message::RequestOk(_))), "{answer:?}");
    asked
}

/// A relay whose live/cam has a key for everything, and that lets these watch without one.
fn keyed(watch: &str) -> (Weir, Scratch) {
    configured(&format!(
        "[auth]\nwatch = \"{watch}\"\n[[auth.key]]\nstream = \"live/cam\"\nname = \"n\"\n\
         plain = \"{SECRET}\"\nmay = [\"publish\", \"watch\", \"list\"]\n"
    ))
}

#[test]
fn leave_to_list_is_no_leave_to_watch() {
    let (relay, _file) = keyed("anyone");
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _closed = published(&mut source, "live/cam", 1, shown(0, SECRET));
    let _open = published(&mut source, "live/open", 2, Params::default());
    for (prefix, params, stream) in [
        ("live", Params::default(), "live/open"),
        ("live/cam", shown(0, SECRET), "live/cam"),
    ] {
        let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
        let request_id = viewer.fresh_id();
        let mut asked = viewer.ask(SubscribeTracks {
            request_id,
            prefix: Namespace::from_path(prefix).unwrap(),
            params,
        });
        assert!(matches!(asked.next(), Some(Message::RequestOk(_))));
        let mut offered = viewer.next_request();
        let Message::Publish(offer) = offered.message.clone() else {
            panic!("not PUBLISH: {:?}", offered.message);
        };
        assert_eq!(offer.track, track_of(stream, "video"));
        offered.say(true, RequestOk::default());
        assert!(!viewer.is_asked_within(Duration::from_secs(1)));
    }
}

#[test]
fn another_prefix_needs_leave_of_its_own() {
    let (relay, _file) = keyed("credential");
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let params = Params {
        namespace_prefix: Some(Namespace::from_path("live").unwrap()),
        ..Params::default()
    };
    let prefix = || Namespace::from_path("live/cam").unwrap();
    let (names, tracks) = (viewer.fresh_id(), viewer.fresh_id());
    let names = viewer.ask(SubscribeNamespace {
        request_id: names,
        prefix: prefix(),
        params: shown(0, SECRET),
    });
    let tracks = viewer.ask(SubscribeTracks {
        request_id: tracks,
        prefix: prefix(),
        params: shown(0, SECRET),
    });
    for mut asked in [names, tracks] {
        assert!(matches!(asked.next(), Some(Message::RequestOk(_))));
        let answer = asked.update(viewer.fresh_id(), params.clone());
        let Message::RequestError(refusal) = answer else {
            panic!("it was granted: {answer:?}");
        };
        assert_eq!(refusal.code, RequestErrorCode::Unauthorized);
        assert_eq!(asked.next(), None, "a refusal is the last message");
    }
}

#[test]
fn the_hop_itself_asks_for_no_credential_but_for_what_it_tells_of_a_stream() {
    let (relay, _file) = keyed("credential");
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _cam = published(&mut source, "live/cam", 1, shown(0, SECRET));
    let mut player = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut status = |track: &str| {
        let request_id = player.fresh_id();
        player.ask(TrackStatus {
            request_id,
            track: track_of(".session/weir", track),
            params: Params::default(),
        })
    };
    assert!(matches!(
        status("clock").next(),
        Some(Message::RequestOk(_))
    ));
    let refusal = status("clock/live/cam").refused();
    assert_eq!(refusal.code, RequestErrorCode::Unauthorized);
    let request_id = player.fresh_id();
    let mut report = player.ask(Publish {
        request_id,
        track: track_of(".session/weir", "report"),
        alias: 7,
        params: Params::default(),
        properties: Properties::default(),
    });
    assert!(matches!(report.next(), Some(Message::RequestOk(_))));
}

#[test]
fn the_relays_that_a_question_came_through_are_no_credential() {
    let relay = Weir::start();
    let mut source = MoqtClient::connect(relay.quic, Version::Draft19);
    let _cam = published(&mut source, "live/cam", 1, Params::default());
    let mut edge = MoqtClient::connect(relay.quic, Version::Draft19);
    // Ids may look like text.
    edge.subscribe("video", shown(0x5745_4952, "a relay!"))
        .subscribed();
    let refusal = edge.subscribe("video", shown(0, "a relay!")).refused();
    assert_eq!(refusal.code, RequestErrorCode::Unauthorized);
}
