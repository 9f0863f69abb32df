//! The commands of encoders and the answers that they expect.

use super::{Error, Event, PlayRequest, PublishKind, PublishRequest, Session, Stream};
use crate::rtmp::StreamId;
use crate::rtmp::amf0::{Object, Value, object};
use crate::rtmp::chunk::MessageKind;
use crate::rtmp::command::{CAPS_MOD_EX, Command, Connect, split_query};
use crate::rtmp::control::DEFAULT_ACK_WINDOW;
use crate::rtmp::outbox::information;

/// Chunks of our answers, in bytes: none is longer.
const CHUNK_BYTES: u32 = 4096;

/// What Set Peer Bandwidth says about being exceeded: treat it as the last one did.
const DYNAMIC: u8 = 2;

/// What a stream can carry through the relay. An encoder asks before it sends any of these.
const VIDEO_FOURCCS: [&str; 4] = ["avc1", "hvc1", "av01", "vp09"];
const AUDIO_FOURCCS: [&str; 2] = ["mp4a", "Opus"];

/// Enhanced RTMP `FourCcInfoMask`: the codec is passed on, neither decoded nor encoded.
const CAN_FORWARD: f64 = 4.0;

impl Session {
    pub(super) fn on_command(&mut self, on: StreamId, command: &Command) -> Result<(), Error> {
        let transaction = command.transaction;
        match command.name.as_str() {
            "connect" => return self.on_connect(command),
            "createStream" => self.on_create_stream(transaction),
            "publish" => return self.on_publish(on, command),
            "play" | "play2" => return self.on_play(on, command),
            "deleteStream" => {
                let id = command
                    .arguments
                    .first()
                    .and_then(Value::as_number)
                    .unwrap_or_default();
                return self.on_delete_stream(StreamId(id as u32));
            }
            "closeStream" => return self.end_use(on),
            "pause" | "pauseRaw" => return self.on_pause(on, command),
            "FCUnpublish" => {
                self.acknowledge(transaction);
                return self.on_fc_unpublish(command.text(0).unwrap_or_default());
            }
            "releaseStream" | "FCPublish" | "FCSubscribe" | "_checkbw" => {
                self.acknowledge(transaction);
            }
            // A live stream has no length.
            "getStreamLength" => self.answer(transaction, Value::Number(0.0)),
            // Answers to calls that are never made, and what needs no answer.
            "_result" | "_error" | "onStatus" | "onBWDone" | "receiveAudio" | "receiveVideo"
            | "seek" => {}
            name => self.refuse_call(transaction, &format!("{name} is not supported")),
        }
        Ok(())
    }

    fn on_connect(&mut self, command: &Command) -> Result<(), Error> {
        if self.connect.is_some() {
            self.refuse_call(command.transaction, "connected already");
            return Ok(());
        }
        let connect = Connect::from_object(&command.object);
        let window = DEFAULT_ACK_WINDOW.to_be_bytes();
        let [a, b, c, d] = window;
        self.outbox.control(MessageKind::WindowAckSize, &window);
        self.outbox
            .control(MessageKind::SetPeerBandwidth, &[a, b, c, d, DYNAMIC]);
        self.outbox.set_chunk_bytes(CHUNK_BYTES);
        let (properties, information) = connect_answer();
        let values = [Value::Object(properties), Value::Object(information)];
        self.outbox
            .command(StreamId(0), "_result", command.transaction, &values);
        self.connect = Some(connect.clone());
        self.connect_transaction = command.transaction;
        self.push(Event::Connected(connect))
    }

    fn on_create_stream(&mut self, transaction: f64) {
        let id = StreamId(self.next_stream);
        if self.add_stream(id) {
            self.next_stream = self.next_stream.saturating_add(1);
            self.answer(transaction, Value::Number(f64::from(id.0)));
        } else {
            self.refuse_call(transaction, "too many streams");
        }
    }

    /// A stream that was never created is taken for one that was: some hardware encoders assume
    /// that theirs is number 1.
    fn on_publish(&mut self, id: StreamId, command: &Command) -> Result<(), Error> {
        let Some(connect) = &self.connect else {
            return Err(Error::BeforeConnect("publish"));
        };
        let (key, query) = name_and_query(command.text(0), connect);
        let app = connect.app.clone();
        let kind = match command.text(1) {
            Some("append") => PublishKind::Append,
            Some("record") => PublishKind::Record,
            _ => PublishKind::Live,
        };
        if self.is_published(id) || self.is_played(id) || !self.add_stream(id) {
            let code = "NetStream.Publish.BadName";
            self.outbox
                .status(id, "onStatus", "error", code, "the stream is in use");
            return Ok(());
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            stream.key = Some(key.clone());
        }
        self.push(Event::Publish(PublishRequest {
            stream_id: id,
            app,
            key,
            query,
            kind,
        }))
    }

    fn on_play(&mut self, id: StreamId, command: &Command) -> Result<(), Error> {
        let Some(connect) = &self.connect else {
            return Err(Error::BeforeConnect("play"));
        };
        let (name, query) = name_and_query(command.text(0), connect);
        let app = connect.app.clone();
        if self.is_published(id) || self.is_played(id) || !self.add_stream(id) {
            let code = "NetStream.Play.Failed";
            self.outbox
                .status(id, "onStatus", "error", code, "the stream is in use");
            return Ok(());
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            stream.played = true;
        }
        self.push(Event::Play(PlayRequest {
            stream_id: id,
            app,
            name,
            query,
        }))
    }

    fn on_pause(&mut self, id: StreamId, command: &Command) -> Result<(), Error> {
        let paused = command.arguments.first().and_then(Value::as_bool);
        match paused.filter(|_| self.is_played(id)) {
            Some(paused) => self.push(Event::Pause {
                stream_id: id,
                paused,
            }),
            None => Ok(()),
        }
    }

    fn on_delete_stream(&mut self, id: StreamId) -> Result<(), Error> {
        self.end_use(id)?;
        self.streams.retain(|stream| stream.id != id);
        Ok(())
    }

    fn on_fc_unpublish(&mut self, name: &str) -> Result<(), Error> {
        let name = split_query(name).0.trim_matches('/');
        let published = self
            .streams
            .iter()
            .find(|stream| stream.key.as_deref() == Some(name));
        published
            .map(|stream| stream.id)
            .map_or(Ok(()), |id| self.end_use(id))
    }

    /// Ends what the stream is used for, if it is.
    fn end_use(&mut self, stream_id: StreamId) -> Result<(), Error> {
        let mut streams = self.streams.iter_mut();
        let Some(stream) = streams.find(|stream| stream.id == stream_id) else {
            return Ok(());
        };
        let published = stream.key.take().is_some();
        let played = std::mem::take(&mut stream.played);
        match (published, played) {
            (true, _) => self.push(Event::Unpublish { stream_id }),
            (false, true) => self.push(Event::Stop { stream_id }),
            (false, false) => Ok(()),
        }
    }

    /// Whether the stream exists, which may be because this created it.
    fn add_stream(&mut self, id: StreamId) -> bool {
        if self.streams.iter().any(|stream| stream.id == id) {
            return true;
        }
        let room = self.streams.len() < self.config.limits.message_streams;
        if room {
            self.streams.push(Stream {
                id,
                key: None,
                played: false,
            });
        }
        room
    }

    /// Answers a call that has no result. With null and not with undefined, which xiu's client
    /// cannot read; and not under the number of `connect`, which it reuses for these calls and
    /// would take for that answer, and make them again.
    fn acknowledge(&mut self, transaction: f64) {
        if transaction != self.connect_transaction {
            self.answer(transaction, Value::Null);
        }
    }

    fn answer(&mut self, transaction: f64, value: Value) {
        if transaction != 0.0 {
            self.outbox
                .command(StreamId(0), "_result", transaction, &[Value::Null, value]);
        }
    }

    fn refuse_call(&mut self, transaction: f64, description: &str) {
        if transaction != 0.0 {
            let information = information("error", "NetConnection.Call.Failed", description);
            let values = [Value::Null, Value::Object(information)];
            self.outbox
                .command(StreamId(0), "_error", transaction, &values);
        }
    }
}

/// The properties and the information object of the answer to `connect`. Enhanced RTMP 2 puts what
/// the server can do into the one and Adobe's servers use the other, so it is in both.
fn connect_answer() -> (Object, Object) {
    let info_map = |fourccs: &[&str]| {
        Value::Object(
            fourccs
                .iter()
                .map(|name| ((*name).to_owned(), CAN_FORWARD.into()))
                .collect(),
        )
    };
    let all = VIDEO_FOURCCS
        .into_iter()
        .chain(AUDIO_FOURCCS)
        .map(Value::from)
        .collect();
    let enhanced = object([
        ("fourCcList", Value::StrictArray(all)),
        ("videoFourCcInfoMap", info_map(&VIDEO_FOURCCS)),
        ("audioFourCcInfoMap", info_map(&AUDIO_FOURCCS)),
        ("capsEx", f64::from(CAPS_MOD_EX).into()),
    ]);
    // Encoders parse the version; this one is old enough that none expects more than we do.
    let mut properties = object([
        ("fmsVer", "FMS/3,5,7,7009".into()),
        ("capabilities", 31.0.into()),
        ("mode", 1.0.into()),
    ]);
    let code = "NetConnection.Connect.Success";
    let mut information = information("status", code, "connected");
    // AMF0, whatever the peer asked for: it then uses that.
    information.push(("objectEncoding".to_owned(), 0.0.into()));
    properties.extend(enhanced.iter().cloned());
    information.extend(enhanced);
    (properties, information)
}

fn name_and_query(name: Option<&str>, connect: &Connect) -> (String, Option<String>) {
    let (name, query) = split_query(name.unwrap_or_default());
    let query = query.map(str::to_owned).or_else(|| connect.query.clone());
    (name.trim_matches('/').to_owned(), query)
}
