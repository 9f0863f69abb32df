//! Makes the captures in `tests/data/rtmp`: accepts one publisher and keeps what it sends.
#![expect(
    clippy::print_stdout,
    reason = "it says what it captured to whoever runs it"
)]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use weir_protocol::rtmp::handshake::RANDOM_LEN;
use weir_protocol::rtmp::server::{Config, Event, PlayRefusal, Session};

/// Captures end here, so that they stay small enough to commit.
const CAPTURE_MAX: usize = 60_000;

/// Where the publisher is awaited when no address is given.
const LISTEN: &str = "127.0.0.1:19350";

const USAGE: &str = "usage: rtmp_capture FILE [ADDR]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let address = match arguments.next() {
        Some(address) => address.into_string().map_err(|_| USAGE)?,
        None => LISTEN.to_owned(),
    };
    let (socket, _) = TcpListener::bind(address)?.accept()?;
    let captured = capture(socket)?;
    std::fs::write(path, captured)?;
    Ok(())
}

/// What the client sends until it leaves or enough is there; it is answered meanwhile.
fn capture(mut socket: TcpStream) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut session = Session::new(Config::default(), [0x5a; RANDOM_LEN]);
    let mut captured = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while captured.len() < CAPTURE_MAX {
        let length = match socket.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => length.min(CAPTURE_MAX - captured.len()),
        };
        let input = buffer.get(..length).unwrap_or_default();
        captured.extend_from_slice(input);
        session.handle_input(input, 0)?;
        answer(&mut session);
        while let Some(bytes) = session.poll_output() {
            socket.write_all(&bytes)?;
        }
    }
    println!(
        "{} bytes, {:?}, {:?}",
        captured.len(),
        session.handshake_form(),
        session.encoder()
    );
    Ok(captured)
}

/// Lets publishers in and turns players away.
fn answer(session: &mut Session) {
    while let Some(event) = session.poll_event() {
        if let Event::Publish(request) = &event {
            session.accept_publish(request.stream_id);
        }
        if let Event::Play(request) = &event {
            let refusal = PlayRefusal::NotFound("nothing here".to_owned());
            session.refuse_play(request.stream_id, &refusal);
        }
        if !matches!(event, Event::Video(_) | Event::Audio(_)) {
            println!("{event:?}");
        }
    }
}
