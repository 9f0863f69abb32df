//! The session of a connection that was accepted: a publisher or a player, as it shows.
//!
//! What the peer gets when it is turned away: a publish that the driver refuses, the `onStatus` of
//! its [`Refusal`]; a play, that of its [`PlayRefusal`]; a command that is not known,
//! `_error` with `NetConnection.Call.Failed`. An [`Error`] gets no status, only the close.
//!
//! Of a play the session has the words only. Its media is long and shared by many: the driver
//! sends it with a [`MediaWriter`], between two messages of the session's.

mod aggregate;
mod answer;
mod calls;
mod event;
mod media;

pub use event::{
    Connected, Event, Media, PlayEnd, PlayRefusal, PlayRequest, PublishKind, PublishRequest,
    Refusal, RefusalCode, UnpublishReason,
};
pub use media::{MediaWriter, PLAY_CHUNK_BYTES};

use super::chunk::{self, Message, MessageKind, Reader};
use super::command::{self, Command, Connect};
use super::control::{AckWindow, Control, ping_response};
use super::handshake::{self, Form, RANDOM_LEN};
use super::metadata::Metadata;
use super::outbox::Outbox;
use super::{Limits, StreamId};
use bytes::Bytes;
use std::collections::VecDeque;

/// How a session behaves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds on the peer.
    pub limits: Limits,
    /// Bytes of room in front of the bodies of media messages.
    pub media_room: usize,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer's first bytes.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// The chunk stream, or a limit of it.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// A command that cannot be read.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// An aggregate message whose parts do not fill it.
    #[error("aggregate message is cut off")]
    AggregateCutOff,
    /// A publish or play before `connect`.
    #[error("{0} before connect")]
    BeforeConnect(&'static str),
    /// The session ended with an error before.
    #[error("the session has failed before")]
    Failed,
    /// The peer asks for more answers than it takes.
    #[error("{0} bytes of answers wait for the peer, the limit is {1}")]
    OutputFull(usize, usize),
    /// More happened than the driver took.
    #[error("more than {0} events wait")]
    TooManyEvents(usize),
    /// The peer's publish was not accepted in time.
    #[error("the peer sent {0} bytes before its publish was accepted, the limit is {1}")]
    TooMuchBeforePublish(u64, u64),
}

/// One connection, from its first byte.
///
/// Give it what the socket read with [`handle_input`](Self::handle_input); then take all events
/// and write all output. A [`Event::Publish`] waits for [`accept_publish`](Self::accept_publish) or
/// [`refuse_publish`](Self::refuse_publish); media that the peer sends without waiting are events
/// already. A [`Event::Play`] waits for [`accept_play`](Self::accept_play) or
/// [`refuse_play`](Self::refuse_play). After [`Event::Closed`] write the output that is left and
/// close.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    /// Dropped when it is done: its two packets would stay for as long as the peer does.
    handshake: Option<Box<handshake::Server>>,
    form: Option<Form>,
    reader: Reader,
    outbox: Outbox,
    ack: AckWindow,
    connect: Option<Connect>,
    connect_transaction: f64,
    encoder: Option<String>,
    streams: Vec<Stream>,
    next_stream: u32,
    accepted: bool,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Refused or ended: what still arrives is not read.
    Closing,
    Failed,
}

/// A message stream that the peer created.
#[derive(Debug)]
struct Stream {
    id: StreamId,
    /// The key, as soon as the peer publishes.
    key: Option<String>,
    /// Whether the peer plays it, or has asked to.
    played: bool,
}

impl Session {
    /// A session that has received nothing. `random` goes into the handshake; it need not be
    /// secret.
    pub fn new(config: Config, random: [u8; RANDOM_LEN]) -> Self {
        Self {
            phase: Phase::Open,
            handshake: Some(Box::new(handshake::Server::new(random))),
            form: None,
            reader: Reader::new(config.limits.before_publish(), config.media_room),
            outbox: Outbox::default(),
            ack: AckWindow::default(),
            connect: None,
            connect_transaction: 0.0,
            encoder: None,
            streams: Vec::new(),
            next_stream: 1,
            accepted: false,
            events: VecDeque::new(),
            config,
        }
    }

    /// Takes all of `input`, which arrived at `now_us` (microseconds, any monotonic origin).
    ///
    /// # Errors
    ///
    /// When the peer breaks the protocol or a limit. The session has then failed: events from
    /// before the error can still be taken, and every later call fails too.
    pub fn handle_input(&mut self, input: &[u8], now_us: u64) -> Result<(), Error> {
        match self.phase {
            Phase::Failed => return Err(Error::Failed),
            Phase::Closing => return Ok(()),
            Phase::Open => {}
        }
        let result = self.read(input, now_us);
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The bytes to write next.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        if let Some(handshake) = &mut self.handshake {
            if let Some(output) = handshake.poll_output() {
                return Some(output);
            }
            if handshake.is_done() {
                self.handshake = None;
            }
        }
        self.outbox.take()
    }

    /// Bytes that the peer has sent.
    pub fn bytes_received(&self) -> u64 {
        self.ack.received()
    }

    /// What the peer said in `connect`.
    pub fn connect(&self) -> Option<&Connect> {
        self.connect.as_ref()
    }

    /// The peer's program: as its metadata says, else as its `connect` did.
    pub fn encoder(&self) -> Option<&str> {
        let flash_ver = || {
            self.connect
                .as_ref()
                .map(|connect| connect.flash_ver.as_str())
        };
        self.encoder
            .as_deref()
            .or_else(flash_ver)
            .filter(|name| !name.is_empty())
    }

    /// The form of the handshake, as soon as the peer has chosen.
    pub fn handshake_form(&self) -> Option<Form> {
        self.form
    }

    fn read(&mut self, mut input: &[u8], now_us: u64) -> Result<(), Error> {
        let acknowledge = self.ack.on_received(input.len());
        let (received, limit) = (self.ack.received(), self.config.limits.bytes_before_publish);
        if !self.accepted && received > limit {
            return Err(Error::TooMuchBeforePublish(received, limit));
        }
        if let Some(handshake) = &mut self.handshake {
            handshake.handle_input(&mut input)?;
            self.form = handshake.form();
            if !handshake.is_done() {
                return Ok(());
            }
        }
        if let Some(sequence) = acknowledge {
            self.outbox
                .control(MessageKind::Acknowledgement, &sequence.to_be_bytes());
        }
        while let Some(message) = self.reader.read(&mut input, now_us)? {
            self.on_message(message)?;
            if self.phase != Phase::Open {
                break;
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> Result<(), Error> {
        match message.kind {
            MessageKind::Audio | MessageKind::Video => self.on_media(message),
            MessageKind::Aggregate => self.on_aggregate(&message),
            MessageKind::CommandAmf0 | MessageKind::CommandAmf3 => {
                self.check_output()?;
                self.on_command(message.stream_id, &Command::parse(&message)?)
            }
            MessageKind::DataAmf0 | MessageKind::DataAmf3 => self.on_data(&message),
            MessageKind::WindowAckSize
            | MessageKind::SetPeerBandwidth
            | MessageKind::UserControl => {
                self.check_output()?;
                self.on_control(&message);
                Ok(())
            }
            // The chunk reader has obeyed the first two; nothing waits for acknowledgements;
            // encoders send no shared objects.
            MessageKind::SetChunkSize
            | MessageKind::Abort
            | MessageKind::Acknowledgement
            | MessageKind::SharedObjectAmf0
            | MessageKind::SharedObjectAmf3
            | MessageKind::Other(_) => Ok(()),
        }
    }

    /// Bounds the answers to a peer that asks and does not read.
    fn check_output(&self) -> Result<(), Error> {
        let (waiting, limit) = (self.outbox.len(), self.config.limits.output_bytes);
        if waiting > limit {
            Err(Error::OutputFull(waiting, limit))
        } else {
            Ok(())
        }
    }

    fn on_control(&mut self, message: &Message) {
        match Control::parse(message) {
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
    }

    /// Media of a stream that is not published, and messages without a byte, are dropped.
    fn on_media(&mut self, message: Message) -> Result<(), Error> {
        let Message {
            kind,
            stream_id,
            timestamp_ms,
            first_byte_us,
            body,
            ..
        } = message;
        if body.is_empty() || !self.is_published(stream_id) {
            return Ok(());
        }
        let media = Media {
            stream_id,
            timestamp_ms,
            first_byte_us,
            body,
        };
        let video = kind == MessageKind::Video;
        self.push(if video {
            Event::Video(media)
        } else {
            Event::Audio(media)
        })
    }

    /// Metadata of a peer that publishes nothing is dropped. Which of its streams it is about is
    /// not looked at: encoders have one.
    fn on_data(&mut self, message: &Message) -> Result<(), Error> {
        if self.streams.iter().all(|stream| stream.key.is_none()) {
            return Ok(());
        }
        let event = match Metadata::parse(message) {
            Ok(Some(metadata)) => {
                if let Some(encoder) = metadata.encoder() {
                    self.encoder = Some(encoder.to_owned());
                }
                Event::Metadata {
                    stream_id: message.stream_id,
                    metadata,
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => Event::BadMetadata {
                stream_id: message.stream_id,
                error,
            },
        };
        self.push(event)
    }

    fn is_published(&self, id: StreamId) -> bool {
        self.streams
            .iter()
            .any(|stream| stream.id == id && stream.key.is_some())
    }

    fn push(&mut self, event: Event) -> Result<(), Error> {
        let limit = self.config.limits.events;
        if self.events.len() >= limit {
            return Err(Error::TooManyEvents(limit));
        }
        self.events.push_back(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
