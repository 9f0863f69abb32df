//! The screen on a terminal that is a grid of cells, the client against servers that misbehave.

use super::*;
use crate::stats::health::{Code, Level, Warning};
use crate::stats::snapshot::{
    History, LatencySnapshot, PublisherSnapshot, StreamSnapshot, StreamState,
};
use crate::stats::snapshot::{TrackSnapshot, ViewerSnapshot};
use crate::stats::{Merged, StreamFacts};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};

fn stream(name: &str) -> StreamSnapshot {
    let mut stream = Merged::new(0).snapshot(StreamFacts {
        name: name.to_owned(),
        state: StreamState::Live,
        since: "2026-11-20T15:00:00Z".into(),
        publisher: PublisherSnapshot {
            encoder: "libobs\x1b[31m".into(),
            ..PublisherSnapshot::default()
        },
        tracks: vec![TrackSnapshot {
            codec: "avc1.42c01f".into(),
            width: Some(640),
            height: Some(360),
            fps: Some(30.0),
            bitrate_bps: 1_200_000,
            ..TrackSnapshot::default()
        }],
        subscribers: 7,
        viewers_reporting: 0,
        warnings: Vec::new(),
    });
    stream.latency_us.relay = LatencySnapshot {
        count: 100,
        p50: 210,
        p90: 400,
        p99: 1_900,
        max: 2_500,
    };
    stream
}

fn list(names: &[&str]) -> StreamList {
    StreamList {
        streams: names.iter().map(|name| stream(name)).collect(),
    }
}

fn detail(name: &str) -> StreamDetail {
    let viewer = |addr: &str, behind_ms| ViewerSnapshot {
        addr: addr.to_owned(),
        behind_ms,
        ..ViewerSnapshot::default()
    };
    StreamDetail {
        stream: stream(name),
        viewers: vec![viewer("10.0.0.1:5", 33), viewer("10.0.0.2:5", 1_500)],
        events: Vec::new(),
        history: History::default(),
    }
}

fn screen(names: &[&str]) -> Screen {
    Screen::new(Base::parse("127.0.0.1:8080").unwrap(), list(names))
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn a_wide_terminal_shows_every_column() {
    let text = drawn(&mut screen(&["live/cam"]), 200, 30);
    for words in [
        "STREAM",
        "STATE",
        "VIEWERS",
        "MBIT/S",
        "INGEST",
        "QUEUE",
        "SEND",
        "RELAY",
        "ACK",
        "JITTER",
        "SKEW",
        "MEDIA",
        "ENCODER",
        "live/cam",
        "1.20",
        "210us/1.9ms",
        "avc1.42c01f 640x360 30fps",
        "libobs",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    assert!(
        !text.contains('\x1b'),
        "no escape of a peer reaches the terminal"
    );
}

#[test]
fn what_is_wrong_with_the_selected_stream_is_said_with_its_remedy() {
    let warning = |level, message: &str| Warning {
        code: Code::KeyFramesApart,
        level,
        since_ms: 0,
        message: message.to_owned(),
        remedy: "Set 2 s.".to_owned(),
    };
    let mut list = list(&["live/cam", "live/other"]);
    list.streams[0].warnings = vec![
        warning(Level::Hint, "B-frames delay\x1b[2J pictures."),
        warning(Level::Warning, "Key frames are 10 s apart."),
    ];
    let mut screen = Screen::new(Base::parse("127.0.0.1:8080").unwrap(), list);
    let text = drawn(&mut screen, 120, 30);
    let at = |words: &str| {
        text.find(words)
            .unwrap_or_else(|| panic!("{words} in\n{text}"))
    };
    assert!(at("Key frames are 10 s apart. Set 2 s.") < at("B-frames delay"));
    assert!(!text.contains('\x1b'), "{text}");
    screen.select(1);
    let text = drawn(&mut screen, 120, 30);
    assert!(!text.contains("Warnings of"), "{text}");
}

#[test]
fn a_narrow_terminal_keeps_what_matters_most() {
    let text = drawn(&mut screen(&["live/cam"]), 40, 24);
    for words in ["live/cam", "VIEWERS", "RELAY", "210us/1.9ms"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    assert!(!text.contains("JITTER"), "{text}");
}

#[test]
fn any_size_of_terminal_is_drawn() {
    for width in [0, 1, 2, 5, 20, 300] {
        for height in [0, 1, 2, 3, 5, 8, 13, 60] {
            let mut screen = screen(&["live/a", "live/b"]);
            screen.on_streams(list(&["live/a", "live/b"]), Some(detail("live/a")));
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| screen.draw(frame)).unwrap();
        }
    }
}

#[test]
fn the_selected_stream_shows_its_viewers_furthest_behind_first() {
    let mut screen = screen(&["live/a", "live/b"]);
    assert!(screen.select(1));
    screen.on_streams(list(&["live/a", "live/b"]), Some(detail("live/b")));
    let text = drawn(&mut screen, 120, 30);
    assert!(
        text.contains("Viewers of live/b, furthest behind first: 2 of 2"),
        "{text}"
    );
    let (far, near) = (
        text.find("10.0.0.2:5").unwrap(),
        text.find("10.0.0.1:5").unwrap(),
    );
    assert!(far < near, "{text}");
}

#[test]
fn an_answer_to_an_older_selection_is_not_shown() {
    let mut screen = screen(&["live/a", "live/b"]);
    screen.select(1);
    screen.on_streams(list(&["live/a", "live/b"]), Some(detail("live/a")));
    assert!(!drawn(&mut screen, 120, 30).contains("10.0.0.1:5"));
}

#[test]
fn the_selection_stays_with_its_stream_and_within_the_list() {
    let mut screen = screen(&["live/a", "live/b", "live/c"]);
    assert!(screen.select(isize::MAX));
    assert!(!screen.select(1), "at the end");
    assert_eq!(screen.selected(), Some("live/c"));
    screen.on_streams(list(&["live/0", "live/a", "live/c", "live/d"]), None);
    assert_eq!(screen.selected(), Some("live/c"));
    screen.on_streams(list(&["live/a", "live/b"]), None);
    assert_eq!(screen.selected(), Some("live/a"), "its stream is gone");
    screen.on_streams(list(&[]), None);
    assert_eq!(screen.selected(), None);
    assert!(!screen.select(isize::MIN));
    assert!(drawn(&mut screen, 80, 24).contains("Nothing is live"));
}

#[test]
fn a_failure_is_shown_above_what_was_known_and_goes_away() {
    let mut screen = screen(&["live/a"]);
    screen.on_failure("no relay answers".to_owned());
    let text = drawn(&mut screen, 80, 24);
    assert!(
        text.contains("no relay answers") && text.contains("live/a"),
        "{text}"
    );
    screen.on_streams(list(&["live/a"]), None);
    assert!(!drawn(&mut screen, 80, 24).contains("no relay answers"));
}

#[test]
fn a_crowd_of_streams_leaves_room_for_the_stages() {
    let names: Vec<_> = (0..100).map(|at| format!("live/{at:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut screen = screen(&names);
    screen.select(60);
    let text = drawn(&mut screen, 80, 30);
    assert!(
        text.contains("live/060"),
        "the selected one is in view\n{text}"
    );
    assert!(text.contains("STAGE") && text.contains("player"), "{text}");
}

/// Answers one connection after the other with `answer`, whatever is asked.
fn serve(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    addr
}

fn client(addr: SocketAddr) -> Client {
    Client::new(Base::parse(&addr.to_string()).unwrap(), None)
}

#[test]
fn the_list_is_sorted_and_an_unknown_stream_is_none() {
    let body = serde_json::to_string(&list(&["live/b", "live/a"])).unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let names = client(serve(answer.leak())).streams().unwrap().streams;
    let names: Vec<_> = names.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["live/a", "live/b"]);
    let missing = client(serve("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
    assert!(missing.stream("live/a").unwrap().is_none());
}

#[test]
fn what_is_not_a_relay_is_told_from_what_is_not_there() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let error = client(serve(answer)).streams().unwrap_err();
        assert!(
            matches!(error, Error::Stranger { .. }),
            "{answer:?}: {error}"
        );
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = client(closed).streams().unwrap_err().to_string();
    let expected = format!("no relay answers at http://{closed} (connection refused): start one");
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn exit_codes_tell_a_bad_address_from_a_relay_that_is_down() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let code = |url: String| {
        let code = run(TopArgs {
            url,
            once: true,
            token: None,
        })
        .unwrap();
        format!("{code:?}")
    };
    assert_eq!(code(closed.to_string()), format!("{:?}", ExitCode::from(1)));
    assert_eq!(
        code("rtmp://x".to_owned()),
        format!("{:?}", ExitCode::from(64))
    );
}

#[test]
fn keys_do_what_the_footer_says() {
    let key = |code| command(KeyEvent::new(code, KeyModifiers::NONE));
    assert_eq!(key(KeyCode::Char('q')), Some(Command::Quit));
    assert_eq!(key(KeyCode::Down), Some(Command::Select(1)));
    assert_eq!(key(KeyCode::Up), Some(Command::Select(-1)));
    assert_eq!(key(KeyCode::Char('c')), None);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(command(interrupt), Some(Command::Quit));
}
