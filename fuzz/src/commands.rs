//! RTMP beyond bytes: commands, a client's operations in any order, and what a server answers.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a fuzz target fails by panicking"
)]

use std::collections::BTreeSet;

use bytes::BytesMut;
use weir_protocol::body::Body;
use weir_protocol::rtmp::amf0::{self, Value};
use weir_protocol::rtmp::chunk::{ChunkStreamId, Message, MessageKind, Writer};
use weir_protocol::rtmp::client::{self, Target};
use weir_protocol::rtmp::command::{Command, Connect};
use weir_protocol::rtmp::handshake::{PACKET_LEN, RANDOM_LEN};
use weir_protocol::rtmp::metadata::Metadata;
use weir_protocol::rtmp::server::{
    Config, Event, PlayEnd, PlayRefusal, Refusal, RefusalCode, Session, UnpublishReason,
};
use weir_protocol::rtmp::{Limits, StreamId};

use crate::choices::Choices;

/// Small limits, so that short inputs reach them.
pub(crate) fn limits() -> Limits {
    Limits {
        media_bytes: 4000,
        command_bytes: 2000,
        partial_bytes: 6000,
        ..Limits::default()
    }
}

/// The first byte is the kind of the message, the rest its body: a command that is read can be
/// written, and is then read as the same.
pub fn command(data: &[u8]) {
    const KINDS: [MessageKind; 4] = [
        MessageKind::CommandAmf0,
        MessageKind::CommandAmf3,
        MessageKind::DataAmf0,
        MessageKind::DataAmf3,
    ];
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let message = |kind, body: &[u8]| Message {
        kind,
        chunk_stream: ChunkStreamId::COMMAND,
        stream_id: StreamId(1),
        timestamp_ms: 0,
        first_byte_us: 0,
        body: Body::copy_from(0, body),
    };
    let kind = KINDS[usize::from(*choice) % KINDS.len()];
    let read = message(kind, data);
    if let Ok(Some(metadata)) = Metadata::parse(&read) {
        let _ = (metadata.width(), metadata.height(), metadata.encoder());
    }
    let Ok(command) = Command::parse(&read) else {
        return;
    };
    let connect = Connect::from_object(&command.object);
    assert!(!connect.app.starts_with('/') && !connect.app.ends_with('/'));
    let written = written(&command);
    let again = Command::parse(&message(MessageKind::CommandAmf0, &written)).unwrap();
    // Compared as bytes: a NaN is not equal to itself.
    assert_eq!(self::written(&again), written);
}

fn written(command: &Command) -> BytesMut {
    let mut out = BytesMut::new();
    amf0::write_str(&mut out, &command.name);
    amf0::write_number(&mut out, command.transaction);
    amf0::write(&mut out, &command.object);
    for argument in &command.arguments {
        amf0::write(&mut out, argument);
    }
    out
}

/// A client that speaks RTMP well and makes no sense, and a driver that decides anything: each
/// stream's events come in an order that makes sense.
pub fn rtmp_operations(data: &[u8]) {
    let mut choices = Choices(data);
    let config = Config {
        limits: limits(),
        media_room: 16,
    };
    let mut server = Served {
        session: Session::new(config, [0; RANDOM_LEN]),
        publishing: BTreeSet::new(),
        playing: BTreeSet::new(),
        connected: false,
        ending: false,
        closed: false,
        now_us: 0,
    };
    let mut hello = vec![0; 1 + 2 * PACKET_LEN];
    hello[0] = 3;
    server.session.handle_input(&hello, 0).unwrap();
    let mut peer = Peer::default();
    while !choices.is_empty() {
        peer.operate(&mut choices);
        if server.take(&peer.out.split(), &mut choices).is_err() {
            return;
        }
    }
}

/// The client's side.
#[derive(Default)]
struct Peer {
    out: BytesMut,
    writer: Writer,
    transaction: f64,
    timestamp_ms: u64,
}

impl Peer {
    fn operate(&mut self, choices: &mut Choices<'_>) {
        let operation = choices.below(16);
        let stream = StreamId(u32::from(choices.below(4)));
        match operation {
            0 => {
                let app = choices.text();
                let object = amf0::object([("app", app.as_str().into()), ("fpad", 0.0.into())]);
                self.call(StreamId(0), "connect", Value::Object(object), &[]);
            }
            1 => self.call(StreamId(0), "createStream", Value::Null, &[]),
            2 | 3 => {
                let (name, kind) = (choices.text(), choices.text());
                let arguments = [name.as_str().into(), kind.as_str().into()];
                self.call(stream, "publish", Value::Null, &arguments);
            }
            4 => {
                let name = choices.text();
                self.call(stream, "play", Value::Null, &[name.as_str().into()]);
            }
            5..=7 => self.media(stream, operation, choices),
            8 => {
                let id = Value::Number(f64::from(stream.0));
                self.call(StreamId(0), "deleteStream", Value::Null, &[id]);
            }
            9 => self.call(stream, "closeStream", Value::Null, &[]),
            10 => {
                let paused = Value::Boolean(choices.byte() & 1 == 0);
                self.call(stream, "pause", Value::Null, &[paused, 0.0.into()]);
            }
            11 => {
                const NAMES: [&str; 4] = ["releaseStream", "FCPublish", "FCUnpublish", "_error"];
                let name = NAMES[usize::from(choices.below(4))];
                let key = choices.text();
                self.call(stream, name, Value::Null, &[key.as_str().into()]);
            }
            12 => {
                let bytes = u32::from(choices.u16());
                let body = bytes.to_be_bytes();
                self.message(MessageKind::SetChunkSize, StreamId(0), &body);
                self.writer.set_chunk_bytes(bytes as usize);
            }
            13 => {
                let body = u32::from(choices.byte()).to_be_bytes();
                self.message(MessageKind::Abort, StreamId(0), &body);
            }
            14 => {
                let kind = MessageKind::from_type_id(choices.below(24));
                self.message(kind, stream, choices.bytes());
            }
            _ => self.out.extend_from_slice(choices.bytes()),
        }
    }

    fn media(&mut self, stream: StreamId, operation: u8, choices: &mut Choices<'_>) {
        // Clocks jump: forwards, by a little and by much, and backwards.
        let step = u64::from(choices.byte());
        self.timestamp_ms = match step {
            255 => self.timestamp_ms.wrapping_sub(1 << 31),
            254 => self.timestamp_ms.wrapping_add(1 << 31),
            step => self.timestamp_ms.wrapping_add(step),
        };
        match operation {
            5 => self.message(MessageKind::Video, stream, choices.bytes()),
            6 => self.message(MessageKind::Audio, stream, choices.bytes()),
            _ => {
                let mut body = BytesMut::new();
                amf0::write_str(&mut body, "@setDataFrame");
                amf0::write_str(&mut body, "onMetaData");
                let pairs = amf0::object([("width", f64::from(choices.u16()).into())]);
                amf0::write(&mut body, &Value::EcmaArray(pairs));
                self.message(MessageKind::DataAmf0, stream, &body);
            }
        }
    }

    fn call(&mut self, stream: StreamId, name: &str, object: Value, arguments: &[Value]) {
        self.transaction += 1.0;
        let command = Command {
            name: name.to_owned(),
            transaction: self.transaction,
            object,
            arguments: arguments.to_vec(),
        };
        self.message(MessageKind::CommandAmf0, stream, &written(&command));
    }

    fn message(&mut self, kind: MessageKind, stream: StreamId, body: &[u8]) {
        let (out, timestamp_ms) = (&mut self.out, self.timestamp_ms);
        let chunks = match kind.is_media() {
            true => ChunkStreamId::VIDEO,
            false => ChunkStreamId::COMMAND,
        };
        let parts = [body];
        self.writer
            .write(out, chunks, kind, stream, timestamp_ms, &parts);
    }
}

/// The server's side, and what its driver knows.
struct Served {
    session: Session,
    /// Streams whose publish was accepted.
    publishing: BTreeSet<u32>,
    playing: BTreeSet<u32>,
    connected: bool,
    /// Whether this side has ended the session: what was read before then still comes.
    ending: bool,
    closed: bool,
    now_us: u64,
}

impl Served {
    fn take(&mut self, bytes: &[u8], choices: &mut Choices<'_>) -> Result<(), ()> {
        self.now_us += 1;
        let taken = self.session.handle_input(bytes, self.now_us);
        while let Some(event) = self.session.poll_event() {
            assert!(!self.closed, "{event:?} behind the end");
            self.on_event(event, choices);
        }
        while self.session.poll_output().is_some() {}
        taken.map_err(|error| assert!(!error.to_string().is_empty()))
    }

    fn on_event(&mut self, event: Event, choices: &mut Choices<'_>) {
        match event {
            Event::Connected(_) => {
                assert!(!self.connected, "connected twice");
                self.connected = true;
            }
            Event::Publish(request) => {
                assert!(self.connected, "a publish in front of connect");
                let stream = request.stream_id.0;
                let fresh = self.ending || !self.publishing.contains(&stream);
                assert!(fresh, "stream {stream} asks for a publish that it has");
                self.answer_publish(request.stream_id, choices.below(4));
            }
            Event::Play(request) => {
                assert!(self.connected, "a play in front of connect");
                match choices.below(2) {
                    0 => {
                        self.playing.insert(request.stream_id.0);
                        self.session.accept_play(request.stream_id);
                    }
                    _ => {
                        let refusal = PlayRefusal::NotFound(request.name);
                        self.ending = true;
                        self.session.refuse_play(request.stream_id, &refusal);
                    }
                }
            }
            Event::Video(media) | Event::Audio(media) => {
                let stream = media.stream_id.0;
                let known = self.ending || self.publishing.contains(&stream);
                assert!(known, "media on {stream}");
                assert!(media.body.room() == 16 && !media.body.is_empty());
                if choices.below(8) == 7 {
                    self.ending = true;
                    let reason = UnpublishReason::TakenOver;
                    self.session.unpublish_notice(media.stream_id, &reason);
                }
            }
            Event::Metadata { .. } | Event::BadMetadata { .. } => {
                assert!(self.ending || !self.publishing.is_empty(), "metadata");
            }
            Event::Unpublish { stream_id } => {
                let known = self.publishing.remove(&stream_id.0);
                assert!(self.ending || known, "unpublish");
            }
            Event::Pause { stream_id, paused } => {
                assert!(self.ending || self.playing.contains(&stream_id.0), "pause");
                self.session.notify_pause(stream_id, paused);
                if choices.below(4) == 3 {
                    self.ending = true;
                    self.session.end_play(stream_id, &PlayEnd::StreamEnded);
                }
            }
            Event::Stop { stream_id } => {
                self.playing.remove(&stream_id.0);
            }
            Event::Closed => self.closed = true,
        }
    }

    fn answer_publish(&mut self, stream_id: StreamId, choice: u8) {
        if choice < 3 {
            self.publishing.insert(stream_id.0);
            return self.session.accept_publish(stream_id);
        }
        let refusal = Refusal {
            code: RefusalCode::BadName,
            description: "no".to_owned(),
        };
        self.ending = true;
        self.session.refuse_publish(stream_id, &refusal);
    }
}

/// A server that says anything to our client: what the client makes of it does not depend on how
/// the bytes are cut. The first byte is the cut and what the client wants.
pub fn rtmp_client(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let target = Target::parse("rtmp://localhost/live/cam").unwrap();
    let converse = |piece: usize| {
        let config = client::Config {
            limits: limits(),
            ..client::Config::new(target.clone())
        };
        let mut session = match choice & 1 {
            0 => client::Session::publish(config, [7; RANDOM_LEN]),
            _ => client::Session::play(config, [7; RANDOM_LEN]),
        };
        let hello = session.poll_output().unwrap();
        let mut answer = vec![0; 1 + PACKET_LEN];
        answer[0] = 3;
        answer.extend_from_slice(&hello[1..]);
        session.handle_input(&answer).unwrap();
        let (mut events, mut output) = (Vec::new(), Vec::new());
        let mut failed = None;
        for bytes in data.chunks(piece.max(1)) {
            failed = session.handle_input(bytes).err();
            events.extend(std::iter::from_fn(|| session.poll_event()));
            while let Some(bytes) = session.poll_output() {
                output.extend_from_slice(&bytes);
            }
            if failed.is_some() {
                break;
            }
        }
        assert!(session.output_len() <= client::MAX_OUTPUT);
        (events, failed)
    };
    let whole = converse(data.len());
    assert_eq!(whole, converse(1 + usize::from(choice >> 1)));
}
