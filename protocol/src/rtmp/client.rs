//! The session of a connection that was made: a publisher's or a player's.
//!
//! It calls what ffmpeg and OBS call, in their order, so that a server cannot tell the difference.

use super::amf0::{self, Object, Value, object};
use super::chunk::{self, ChunkStreamId, MessageKind, Reader};
use super::command::{self, Command};
use super::control::{AckWindow, Control, ping_response};
use super::handshake::{self, Form, RANDOM_LEN};
use super::outbox::Outbox;
use super::{Limits, StreamId};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Bytes of output that may wait for the driver: some seconds of any stream. The writer of media
/// is told so that it can wait or drop.
pub const MAX_OUTPUT: usize = 16 << 20;

/// Bytes of a chunk unless the driver wants others: what OBS and most servers use.
pub const DEFAULT_CHUNK_BYTES: u32 = 4096;

/// The properties of the calls are counted from here; 1 is `connect` by convention.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH: f64 = 5.0;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Publish,
    Play,
}

/// Where to publish, or what to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, the port only when the URL has one.
    pub authority: String,
    /// The application.
    pub app: String,
    /// The stream key, with its query.
    pub key: String,
}

impl Target {
    /// Cuts `rtmp://host:port/app/key?query`. The last slash in front of the query ends the
    /// application. `None` when it is not such a URL.
    pub fn parse(url: &str) -> Option<Self> {
        let (authority, path) = url.strip_prefix("rtmp://")?.split_once('/')?;
        let path_end = path.find('?').unwrap_or(path.len());
        let slash = path.get(..path_end)?.rfind('/')?;
        let (app, key) = path.split_at_checked(slash)?;
        let target = Self {
            authority: authority.to_owned(),
            app: app.to_owned(),
            key: key.strip_prefix('/')?.to_owned(),
        };
        (!target.authority.is_empty() && !target.app.is_empty()).then_some(target)
    }

    fn tc_url(&self) -> String {
        format!("rtmp://{}/{}", self.authority, self.app)
    }
}

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to publish, or what to play.
    pub target: Target,
    /// The form of the handshake to open with.
    pub form: Form,
    /// Bytes of our chunks.
    pub chunk_bytes: u32,
    /// What `connect` says as `flashVer`.
    pub flash_ver: String,
    /// Bounds on the server; those about publishing do not apply.
    pub limits: Limits,
}

impl Config {
    /// The usual, towards `target`.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            form: Form::Plain,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            flash_ver: "FMLE/3.0 (compatible; weir)".to_owned(),
            limits: Limits::default(),
        }
    }
}

/// Why a session cannot go on, or a message not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server's first bytes.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// The chunk stream, or a limit of it.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// A command that cannot be read.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// Media before [`Event::Ready`].
    #[error("the server has not accepted the publish")]
    NotReady,
    /// The driver writes faster than it sends; nothing was written.
    #[error("{0} bytes wait to be sent, the limit is {MAX_OUTPUT}")]
    OutputFull(usize),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Media may be written, or comes from now on.
    Ready,
    /// A video message that is played: from its FLV tag header on.
    Video(Bytes),
    /// An audio message, likewise.
    Audio(Bytes),
    /// The server turned a call down, or ended the publish.
    Refused {
        /// Its code, such as `NetStream.Publish.BadName`.
        code: String,
        /// Its words.
        description: String,
    },
}

/// One connection, from its first byte.
#[derive(Debug)]
pub struct Session {
    config: Config,
    handshake: handshake::Client,
    reader: Reader,
    outbox: Outbox,
    ack: AckWindow,
    purpose: Purpose,
    stream_id: Option<StreamId>,
    ready: bool,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that wants to publish. `random` goes into the handshake; it need not be secret.
    pub fn publish(config: Config, random: [u8; RANDOM_LEN]) -> Self {
        Self::new(config, random, Purpose::Publish)
    }

    /// A session that wants to play. Take the events after each input: they hold the media.
    pub fn play(config: Config, random: [u8; RANDOM_LEN]) -> Self {
        Self::new(config, random, Purpose::Play)
    }

    fn new(config: Config, random: [u8; RANDOM_LEN], purpose: Purpose) -> Self {
        let mut session = Self {
            handshake: handshake::Client::new(random, config.form),
            reader: Reader::new(config.limits.clone(), 0),
            outbox: Outbox::default(),
            ack: AckWindow::default(),
            purpose,
            stream_id: None,
            ready: false,
            events: VecDeque::new(),
            config,
        };
        session.call_connect();
        session
    }

    /// Takes all of `input`.
    ///
    /// # Errors
    ///
    /// When the server breaks the protocol or a limit.
    pub fn handle_input(&mut self, mut input: &[u8]) -> Result<(), Error> {
        let acknowledge = self.ack.on_received(input.len());
        self.handshake.handle_input(&mut input)?;
        if !self.handshake.is_done() {
            return Ok(());
        }
        if let Some(sequence) = acknowledge {
            self.outbox
                .control(MessageKind::Acknowledgement, &sequence.to_be_bytes());
        }
        while let Some(message) = self.reader.read(&mut input, 0)? {
            match Control::parse(&message) {
                Some(Control::Ping(stamp)) => {
                    self.outbox
                        .control(MessageKind::UserControl, &ping_response(stamp));
                }
                Some(Control::WindowAckSize(bytes)) => self.ack.set_window(bytes),
                Some(Control::PeerBandwidth(bytes)) => {
                    self.outbox
                        .control(MessageKind::WindowAckSize, &bytes.to_be_bytes());
                }
                None => {}
            }
            let plays = self.purpose == Purpose::Play;
            if matches!(
                message.kind,
                MessageKind::CommandAmf0 | MessageKind::CommandAmf3
            ) {
                self.on_command(&Command::parse(&message)?);
            } else if plays && message.kind == MessageKind::Video {
                self.events.push_back(Event::Video(message.body.freeze()));
            } else if plays && message.kind == MessageKind::Audio {
                self.events.push_back(Event::Audio(message.body.freeze()));
            }
            if self.output_len() > MAX_OUTPUT {
                return Err(Error::OutputFull(self.output_len()));
            }
        }
        Ok(())
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The bytes to write next.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.handshake.poll_output() {
            return Some(bytes);
        }
        if self.handshake.is_done() {
            self.outbox.take()
        } else {
            None
        }
    }

    /// Bytes that wait for [`poll_output`](Self::poll_output), the handshake's not counted.
    pub fn output_len(&self) -> usize {
        self.outbox.len()
    }

    /// Sends a video message: from its FLV tag header on, `parts` one behind the other.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] and [`Error::OutputFull`].
    pub fn write_video(&mut self, timestamp_ms: u64, parts: &[&[u8]]) -> Result<(), Error> {
        self.write(
            ChunkStreamId::VIDEO,
            MessageKind::Video,
            timestamp_ms,
            parts,
        )
    }

    /// Sends an audio message, as [`write_video`](Self::write_video) does.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] and [`Error::OutputFull`].
    pub fn write_audio(&mut self, timestamp_ms: u64, parts: &[&[u8]]) -> Result<(), Error> {
        self.write(
            ChunkStreamId::AUDIO,
            MessageKind::Audio,
            timestamp_ms,
            parts,
        )
    }

    /// Sends `onMetaData`.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] and [`Error::OutputFull`].
    pub fn write_metadata(&mut self, properties: &Object) -> Result<(), Error> {
        let mut body = BytesMut::new();
        amf0::write_str(&mut body, "@setDataFrame");
        amf0::write_str(&mut body, "onMetaData");
        amf0::write(&mut body, &Value::EcmaArray(properties.clone()));
        self.write(ChunkStreamId::AUDIO, MessageKind::DataAmf0, 0, &[&body])
    }

    /// Ends the publish; what is written last is [`poll_output`](Self::poll_output)'s.
    pub fn unpublish(&mut self) {
        if let Some(stream_id) = self.stream_id.take() {
            self.ready = false;
            let key = self.config.target.key.clone();
            let connection = StreamId(0);
            self.outbox.command(
                connection,
                "FCUnpublish",
                PUBLISH + 1.0,
                &[Value::Null, Value::String(key)],
            );
            let id = Value::Number(stream_id.0.into());
            self.outbox.command(
                connection,
                "deleteStream",
                PUBLISH + 2.0,
                &[Value::Null, id],
            );
        }
    }

    fn write(
        &mut self,
        chunk_stream: ChunkStreamId,
        kind: MessageKind,
        timestamp_ms: u64,
        parts: &[&[u8]],
    ) -> Result<(), Error> {
        let stream_id = self
            .stream_id
            .filter(|_| self.ready)
            .ok_or(Error::NotReady)?;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.output_len() + length > MAX_OUTPUT {
            return Err(Error::OutputFull(self.output_len()));
        }
        self.outbox
            .message(chunk_stream, kind, stream_id, timestamp_ms, parts);
        Ok(())
    }

    fn call_connect(&mut self) {
        let target = &self.config.target;
        let fourccs = ["avc1", "hvc1", "av01", "vp09", "mp4a", "Opus"];
        let properties = object([
            ("app", target.app.as_str().into()),
            ("type", "nonprivate".into()),
            ("flashVer", self.config.flash_ver.as_str().into()),
            ("tcUrl", target.tc_url().as_str().into()),
            (
                "fourCcList",
                Value::StrictArray(fourccs.into_iter().map(Value::from).collect()),
            ),
        ]);
        self.outbox.set_chunk_bytes(self.config.chunk_bytes);
        self.outbox.command(
            StreamId(0),
            "connect",
            CONNECT,
            &[Value::Object(properties)],
        );
    }

    fn on_command(&mut self, command: &Command) {
        match command.name.as_str() {
            "_result" if command.transaction == CONNECT => self.call_create_stream(),
            "_result" if command.transaction == CREATE_STREAM => {
                let id = command
                    .arguments
                    .first()
                    .and_then(Value::as_number)
                    .unwrap_or(1.0);
                self.call_purpose(StreamId(id as u32));
            }
            // Servers that do not know the other calls say so, and it does not matter.
            "_error" if [CONNECT, CREATE_STREAM, PUBLISH].contains(&command.transaction) => {
                self.on_refused(command);
            }
            "onStatus" => self.on_status(command),
            _ => {}
        }
    }

    fn call_create_stream(&mut self) {
        let key = || Value::String(self.config.target.key.clone());
        let connection = StreamId(0);
        let named = [Value::Null, key()];
        if self.purpose == Purpose::Publish {
            self.outbox
                .command(connection, "releaseStream", RELEASE_STREAM, &named);
            self.outbox
                .command(connection, "FCPublish", FC_PUBLISH, &named);
        }
        self.outbox
            .command(connection, "createStream", CREATE_STREAM, &[Value::Null]);
    }

    fn call_purpose(&mut self, stream_id: StreamId) {
        if self.stream_id.is_none() {
            self.stream_id = Some(stream_id);
            let key = self.config.target.key.as_str().into();
            let (name, kind) = match self.purpose {
                Purpose::Publish => ("publish", Value::from("live")),
                // Live or, where there is none, recorded.
                Purpose::Play => ("play", Value::Number(-2000.0)),
            };
            self.outbox
                .command(stream_id, name, PUBLISH, &[Value::Null, key, kind]);
        }
    }

    fn on_status(&mut self, command: &Command) {
        let information = command.arguments.first();
        let text = |name| {
            information
                .and_then(|object| object.field(name))
                .and_then(Value::as_str)
        };
        if text("level") == Some("error") {
            self.on_refused(command);
        } else if text("code") == Some(self.start_code()) && !self.ready {
            self.ready = true;
            self.events.push_back(Event::Ready);
        }
    }

    fn start_code(&self) -> &'static str {
        match self.purpose {
            Purpose::Publish => "NetStream.Publish.Start",
            Purpose::Play => "NetStream.Play.Start",
        }
    }

    fn on_refused(&mut self, command: &Command) {
        self.ready = false;
        // A server that goes on refusing must not fill the queue.
        if self
            .events
            .iter()
            .any(|event| matches!(event, Event::Refused { .. }))
        {
            return;
        }
        let information = command.arguments.first();
        let text = |name| {
            information
                .and_then(|object| object.field(name))
                .and_then(Value::as_str)
        };
        let code = text("code").unwrap_or_default().to_owned();
        let description = text("description").unwrap_or_default().to_owned();
        self.events.push_back(Event::Refused { code, description });
    }
}

#[cfg(test)]
mod tests;
