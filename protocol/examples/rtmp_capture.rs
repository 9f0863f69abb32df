//! Makes the captures in `data/rtmp`: run by hand, see the README there.

use std::io::{Read, Write};
use std::net::TcpListener;
use weir_protocol::rtmp::handshake::RANDOM_LEN;
use weir_protocol::rtmp::server::{Config, Event, Session};

/// Captures end here, so that they stay small enough to commit.
const MAX_CAPTURE: usize = 60_000;

/// Accepts one publisher and writes what it sends to the file named by `RTMP_CAPTURE`.
#[test]
#[ignore = "waits for an encoder"]
fn capture() {
    let path = std::env::var("RTMP_CAPTURE").expect("RTMP_CAPTURE names the file to write");
    let address = std::env::var("RTMP_LISTEN").unwrap_or_else(|_| "127.0.0.1:19350".into());
    let (mut socket, _) = TcpListener::bind(address).unwrap().accept().unwrap();
    let mut session = Session::new(Config::default(), [0x5a; RANDOM_LEN]);
    let mut captured = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = match socket.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => length.min(MAX_CAPTURE - captured.len()),
        };
        captured.extend_from_slice(&buffer[..length]);
        session.handle_input(&buffer[..length], 0).unwrap();
        while let Some(event) = session.poll_event() {
            if let Event::Publish(request) = &event {
                session.accept_publish(request.stream_id);
            }
            if let Event::Play(request) = &event {
                session.refuse_play(request.stream_id, "nothing here");
            }
            if !matches!(event, Event::Video(_) | Event::Audio(_)) {
                println!("{event:?}");
            }
        }
        while let Some(bytes) = session.poll_output() {
            socket.write_all(&bytes).unwrap();
        }
        if captured.len() == MAX_CAPTURE {
            break;
        }
    }
    println!(
        "{} bytes, {:?}, {:?}",
        captured.len(),
        session.handshake_form(),
        session.encoder()
    );
    std::fs::write(path, captured).unwrap();
}
