//! A viewer that plays RTMP: to compare relays that speak nothing else.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use weir_protocol::rtmp::{
    client::{self, Event, Session, Target},
    handshake::RANDOM_LEN,
};

use super::{audience::Desk, viewer::ViewError};

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A frame stands behind the header of an FLV tag: frame type and codec, packet type, and for
/// video the composition time.
const VIDEO_HEADER_BYTES: usize = 5;
const AUDIO_HEADER_BYTES: usize = 2;

/// The packet type of a frame, in the second byte of both headers.
const FRAME: u8 = 1;

/// Watches until the connection ends. A viewer with a rate reads no faster, in bits per second.
pub(super) async fn watch(desk: Desk, rate_bps: Option<u64>) -> Result<(), ViewError> {
    let door = &desk.audience.door;
    let name = desk.audience.plan.stream_name(desk.stream as usize);
    let (app, key) = name.split_once('/').unwrap_or(("live", &name));
    let target = Target {
        authority: door.authority(),
        app: app.into(),
        key: key.into(),
    };
    let mut session = Session::play(client::Config::new(target), [0x57; RANDOM_LEN]);
    let addr = door.addr;
    let failed = |error| ViewError::Rtmp(addr, error);
    let mut socket = TcpStream::connect(addr).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let mut input = vec![0; READ_BYTES];
    loop {
        flush(&mut session, &mut socket).await.map_err(failed)?;
        let len = socket.read(&mut input).await.map_err(failed)?;
        if len == 0 {
            return Err(ViewError::Done("it closed the connection".into()));
        }
        if let Some(rate_bps) = rate_bps {
            let seconds = len as f64 * 8.0 / rate_bps as f64;
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        session.handle_input(input.get(..len).unwrap_or_default())?;
        take_events(&mut session, &desk)?;
    }
}

async fn flush(session: &mut Session, socket: &mut TcpStream) -> io::Result<()> {
    while let Some(bytes) = session.poll_output() {
        socket.write_all(&bytes).await?;
    }
    Ok(())
}

fn take_events(session: &mut Session, desk: &Desk) -> Result<(), ViewError> {
    while let Some(event) = session.poll_event() {
        let (message, header) = match event {
            Event::Video(message) => (message, VIDEO_HEADER_BYTES),
            Event::Audio(message) => (message, AUDIO_HEADER_BYTES),
            Event::Ready => continue,
            Event::Refused { code, description } => {
                return Err(ViewError::Refused(format!("{code}: {description}")));
            }
        };
        // Configurations are not timed.
        if message.get(1) == Some(&FRAME)
            && let Some(payload) = message.get(header..)
        {
            desk.on_object(0, payload, None);
        }
    }
    Ok(())
}
