//! RTMP: handshake, chunks, AMF0 and the server session.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a fuzz target fails by panicking"
)]

use bytes::BytesMut;
use weir_protocol::rtmp::amf0 as values;
use weir_protocol::rtmp::chunk::{Error, Reader};
use weir_protocol::rtmp::handshake::{self, Form, PACKET_LEN, RANDOM_LEN};
use weir_protocol::rtmp::server::{
    Config, Event, PlayEnd, PlayRefusal, Refusal, RefusalCode, Session, UnpublishReason,
};

use crate::commands::limits;

/// What a server makes of the bytes: how many it uses, its answer, and the form.
type Shaken = (Result<usize, handshake::Error>, Vec<u8>, Option<Form>);

/// The handshake is the same in one piece and byte by byte, and answers once.
pub fn handshake(data: &[u8]) {
    let shake = |piece: usize| -> Shaken {
        let mut server = handshake::Server::new([0x33; RANDOM_LEN]);
        let mut answer = Vec::new();
        let mut used = 0;
        for bytes in data.chunks(piece) {
            let mut input = bytes;
            if let Err(error) = server.handle_input(&mut input) {
                return (Err(error), answer, None);
            }
            used += bytes.len() - input.len();
            while let Some(bytes) = server.poll_output() {
                answer.extend_from_slice(&bytes);
            }
        }
        (Ok(used), answer, server.form())
    };
    let whole = shake(data.len().max(1));
    assert_eq!(whole, shake(1));
    assert!(whole.1.is_empty() || whole.1.len() == 1 + 2 * PACKET_LEN);
}

/// Messages and the error behind them do not depend on how the bytes are cut, which the first
/// byte says.
pub fn chunk(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let read = |piece: usize| {
        let mut reader = Reader::new(limits(), 0);
        let mut messages = Vec::new();
        for mut input in data.chunks(piece) {
            loop {
                match reader.read(&mut input, 0) {
                    Ok(Some(message)) => messages.push((
                        message.kind,
                        message.chunk_stream,
                        message.stream_id,
                        message.timestamp_ms,
                        message.body.as_slice().to_vec(),
                    )),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
            assert!(reader.partial_bytes() <= limits().partial_bytes);
        }
        (messages, None::<Error>)
    };
    let whole = read(data.len().max(1));
    assert_eq!(whole, read(usize::from(*piece).max(1)));
}

/// What can be read can be written, and is then read as the same.
pub fn amf0(data: &[u8]) {
    let mut reader = values::Reader::new(data);
    while let Ok(Some(value)) = reader.next_value() {
        let mut bytes = BytesMut::new();
        values::write(&mut bytes, &value);
        // Compared as bytes: a NaN is not equal to itself.
        let again = values::Reader::new(&bytes).next_value().unwrap().unwrap();
        let mut twice = BytesMut::new();
        values::write(&mut twice, &again);
        assert_eq!(bytes, twice);
    }
}

/// A peer that has shaken hands does anything; the driver answers each wish as the first byte
/// says. Nothing grows beyond its limit, and nothing happens behind the end.
pub fn rtmp_session(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let config = Config {
        limits: limits(),
        media_room: 16,
    };
    let mut session = Session::new(config, [0; RANDOM_LEN]);
    let mut hello = vec![0; 1 + 2 * PACKET_LEN];
    hello[0] = 3;
    session.handle_input(&hello, 0).unwrap();
    let mut closed = false;
    for (index, piece) in data.chunks(1 + usize::from(*choice)).enumerate() {
        let failed = session.handle_input(piece, index as u64).is_err();
        while let Some(event) = session.poll_event() {
            assert!(!closed, "{event:?} behind the end");
            match event {
                Event::Publish(request) if choice & 1 == 0 => {
                    session.accept_publish(request.stream_id);
                }
                Event::Publish(request) => {
                    let description = request.key;
                    let refusal = Refusal {
                        code: RefusalCode::BadName,
                        description,
                    };
                    session.refuse_publish(request.stream_id, &refusal);
                }
                Event::Play(request) if choice & 4 == 0 => {
                    session.accept_play(request.stream_id);
                    session.play_metadata(request.stream_id, 0, request.name.as_bytes());
                }
                Event::Play(request) => {
                    let refusal = PlayRefusal::NotFound(request.name);
                    session.refuse_play(request.stream_id, &refusal);
                }
                Event::Pause { stream_id, paused } => session.notify_pause(stream_id, paused),
                Event::Stop { stream_id } if choice & 8 == 0 => {
                    session.end_play(stream_id, &PlayEnd::StreamEnded);
                }
                Event::Video(media) | Event::Audio(media) => {
                    assert!(media.body.room() == 16 && !media.body.is_empty());
                    assert!(media.body.len() <= limits().media_bytes);
                    assert!(media.first_byte_us <= index as u64);
                }
                Event::Unpublish { stream_id } if choice & 2 == 0 => {
                    session.unpublish_notice(stream_id, &UnpublishReason::ShuttingDown);
                }
                Event::Closed => closed = true,
                Event::Connected(_)
                | Event::Metadata { .. }
                | Event::BadMetadata { .. }
                | Event::Stop { .. }
                | Event::Unpublish { .. } => {}
            }
        }
        while session.poll_output().is_some() {}
        if failed {
            assert!(session.handle_input(piece, 0).is_err());
            return;
        }
    }
}
