//! Sessions driven by messages that the tests write themselves.

use super::*;
use crate::rtmp::amf0::{self, Value, object};
use crate::rtmp::chunk::{ChunkStreamId, Writer};
use crate::rtmp::handshake::PACKET_LEN;
use bytes::BytesMut;

/// A peer: what it sends, and what it understands of the answers.
struct Peer {
    session: Session,
    writer: Writer,
    reader: Reader,
}

impl Peer {
    fn with(limits: Limits) -> Self {
        let config = Config {
            limits,
            media_room: 8,
        };
        let mut session = Session::new(config, [1; RANDOM_LEN]);
        let mut hello = vec![0; 1 + 2 * PACKET_LEN];
        hello[0] = 3;
        session.handle_input(&hello, 0).unwrap();
        while session.poll_output().is_some() {}
        let reader = Reader::new(Limits::default(), 0);
        Self {
            session,
            writer: Writer::default(),
            reader,
        }
    }

    fn connected() -> Self {
        let mut peer = Self::with(Limits::default());
        let connect = Value::Object(object([("app", "live".into()), ("flashVer", "F 1".into())]));
        peer.call("connect", 1.0, &[connect]).unwrap();
        assert!(matches!(
            peer.session.poll_event(),
            Some(Event::Connected(_))
        ));
        peer.answers();
        peer
    }

    fn publishing() -> Self {
        let mut peer = Self::connected();
        peer.call_on(
            1,
            "publish",
            5.0,
            &[Value::Null, "cam".into(), "live".into()],
        )
        .unwrap();
        assert!(matches!(peer.session.poll_event(), Some(Event::Publish(_))));
        peer.session.accept_publish(StreamId(1));
        peer.answers();
        peer
    }

    fn send(
        &mut self,
        kind: MessageKind,
        stream: u32,
        time: u64,
        body: &[u8],
    ) -> Result<(), Error> {
        let mut wire = BytesMut::new();
        let id = ChunkStreamId(7);
        self.writer
            .write(&mut wire, id, kind, StreamId(stream), time, &[body]);
        self.session.handle_input(&wire, 0)
    }

    fn call(&mut self, name: &str, transaction: f64, values: &[Value]) -> Result<(), Error> {
        self.call_on(0, name, transaction, values)
    }

    fn call_on(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) -> Result<(), Error> {
        let body = command_body(name, transaction, values);
        self.send(MessageKind::CommandAmf0, stream, 0, &body)
    }

    fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(bytes) = self.session.poll_output() {
            let mut input = &bytes[..];
            while let Some(message) = self.reader.read(&mut input, 0).unwrap() {
                messages.push(message);
            }
        }
        messages
    }

    /// The commands that the session has sent.
    fn answers(&mut self) -> Vec<Command> {
        let messages = self.messages().into_iter();
        let commands = messages.filter(|message| message.kind == MessageKind::CommandAmf0);
        commands
            .map(|message| Command::parse(&message).unwrap())
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

fn command_body(name: &str, transaction: f64, values: &[Value]) -> BytesMut {
    let mut body = BytesMut::new();
    amf0::write_str(&mut body, name);
    amf0::write_number(&mut body, transaction);
    values
        .iter()
        .for_each(|value| amf0::write(&mut body, value));
    body
}

fn code(command: &Command) -> &str {
    command.arguments[0]
        .field("code")
        .and_then(Value::as_str)
        .unwrap()
}

#[test]
fn connect_is_answered_with_what_the_relay_can_carry() {
    let mut peer = Peer::with(Limits::default());
    let encoder = Value::Object(object([
        ("app", "live/".into()),
        ("objectEncoding", 3.0.into()),
    ]));
    peer.call("connect", 1.0, &[encoder]).unwrap();
    let messages = peer.messages();
    let kinds: Vec<_> = messages.iter().map(|message| message.kind).collect();
    let expected = [
        MessageKind::WindowAckSize,
        MessageKind::SetPeerBandwidth,
        MessageKind::SetChunkSize,
        MessageKind::CommandAmf0,
    ];
    assert_eq!(kinds, expected);
    let result = Command::parse(&messages[3]).unwrap();
    assert_eq!((result.name.as_str(), result.transaction), ("_result", 1.0));
    assert_eq!(code(&result), "NetConnection.Connect.Success");
    assert_eq!(
        result.arguments[0].field("objectEncoding"),
        Some(&0.0.into())
    );
    for place in [&result.object, &result.arguments[0]] {
        let list = place.field("fourCcList").and_then(Value::as_array).unwrap();
        let names: Vec<_> = list.iter().filter_map(Value::as_str).collect();
        assert_eq!(names, ["avc1", "hvc1", "av01", "vp09", "mp4a", "Opus"]);
        let map = place.field("videoFourCcInfoMap").unwrap();
        assert_eq!(map.field("hvc1"), Some(&4.0.into()));
        assert_eq!(map.field("vp08"), None);
    }
}

#[test]
fn calls_of_encoders_get_the_answers_they_wait_for() {
    let mut peer = Peer::connected();
    for (index, name) in [
        "releaseStream",
        "FCPublish",
        "_checkbw",
        "getStreamLength",
        "createStream",
    ]
    .into_iter()
    .enumerate()
    {
        let transaction = index as f64 + 2.0;
        peer.call(name, transaction, &[Value::Null, "cam".into()])
            .unwrap();
        let answers = peer.answers();
        assert_eq!(answers.len(), 1, "{name}");
        assert_eq!(
            (answers[0].name.as_str(), answers[0].transaction),
            ("_result", transaction)
        );
    }
    peer.call("createStream", 9.0, &[Value::Null]).unwrap();
    assert_eq!(peer.answers()[0].arguments, [Value::Number(2.0)]);

    peer.call("setPeerInfo", 10.0, &[Value::Null]).unwrap();
    let answers = peer.answers();
    assert_eq!(
        (answers[0].name.as_str(), answers[0].transaction),
        ("_error", 10.0)
    );
    assert_eq!(code(&answers[0]), "NetConnection.Call.Failed");
    peer.call("setPeerInfo", 0.0, &[Value::Null]).unwrap();
    peer.call("_result", 11.0, &[Value::Null]).unwrap();
    assert!(peer.answers().is_empty());
}

#[test]
fn a_call_under_the_number_of_connect_is_not_answered_as_connect() {
    let mut peer = Peer::connected();
    peer.call("releaseStream", 1.0, &[Value::Null, "cam".into()])
        .unwrap();
    peer.call("FCPublish", 1.0, &[Value::Null, "cam".into()])
        .unwrap();
    assert!(peer.answers().is_empty());
}

#[test]
fn commands_of_type_17_are_amf0_behind_a_zero_byte() {
    let mut peer = Peer::connected();
    let body = command_body("createStream", 4.0, &[Value::Null]);
    peer.send(MessageKind::CommandAmf3, 0, 0, &[&[0], &body[..]].concat())
        .unwrap();
    assert_eq!(peer.answers()[0].name, "_result");
    let amf3 = [&[0], &command_body("x", 4.0, &[])[..], &[0x11, 1]].concat();
    let error = peer
        .send(MessageKind::CommandAmf3, 0, 0, &amf3)
        .unwrap_err();
    assert_eq!(
        error,
        Error::Command(command::Error::Amf0(amf0::Error::Amf3))
    );
    assert_eq!(error.to_string(), "AMF3 value in an AMF0 message");
    assert_eq!(peer.call("x", 0.0, &[]), Err(Error::Failed));
}

#[test]
fn publish_names_application_key_query_and_kind() {
    for (name, kind, expected) in [
        ("cam", None, ("cam", None, PublishKind::Live)),
        (
            "cam?t=1&u=2",
            Some("record"),
            ("cam", Some("t=1&u=2"), PublishKind::Record),
        ),
        ("/cam/", Some("append"), ("cam", None, PublishKind::Append)),
        ("", Some("live"), ("", None, PublishKind::Live)),
    ] {
        let mut peer = Peer::connected();
        let kind = kind.map_or(Value::Undefined, Value::from);
        peer.call_on(1, "publish", 5.0, &[Value::Null, name.into(), kind])
            .unwrap();
        let Some(Event::Publish(request)) = peer.session.poll_event() else {
            panic!()
        };
        assert_eq!(
            (request.stream_id, request.app.as_str()),
            (StreamId(1), "live")
        );
        assert_eq!(
            (request.key.as_str(), request.query.as_deref(), request.kind),
            expected
        );
    }
}

#[test]
fn accepted_publisher_is_told_that_it_may_start() {
    let mut peer = Peer::connected();
    peer.session.accept_publish(StreamId(1));
    assert!(peer.answers().is_empty(), "nothing was asked");
    peer.call_on(1, "publish", 5.0, &[Value::Null, "cam".into()])
        .unwrap();
    peer.session.accept_publish(StreamId(1));
    let answers = peer.answers();
    let names: Vec<_> = answers.iter().map(|answer| answer.name.as_str()).collect();
    assert_eq!(names, ["onFCPublish", "onStatus"]);
    assert_eq!(code(&answers[1]), "NetStream.Publish.Start");
}

#[test]
fn refusals_have_their_codes_and_end_the_session() {
    for (refusal_code, text) in [
        (RefusalCode::BadName, "NetStream.Publish.BadName"),
        (RefusalCode::Rejected, "NetStream.Publish.Rejected"),
        (RefusalCode::Unauthorized, "NetStream.Publish.Unauthorized"),
    ] {
        let mut peer = Peer::connected();
        peer.call_on(1, "publish", 5.0, &[Value::Null, "cam".into()])
            .unwrap();
        peer.events();
        let refusal = Refusal {
            code: refusal_code,
            description: "because".into(),
        };
        peer.session.refuse_publish(StreamId(1), &refusal);
        assert!(matches!(peer.events()[..], [Event::Closed]));
        let answers = peer.answers();
        assert_eq!(code(&answers[0]), text);
        assert_eq!(
            answers[0].arguments[0].field("level"),
            Some(&"error".into())
        );
        // What still arrives is not looked at.
        peer.session.handle_input(&[0xff; 100], 0).unwrap();
    }
}

#[test]
fn player_is_turned_away_or_let_in() {
    let mut peer = Peer::connected();
    peer.call_on(
        1,
        "play",
        5.0,
        &[Value::Null, "cam?a".into(), (-2000.0).into()],
    )
    .unwrap();
    let Some(Event::Play(request)) = peer.session.poll_event() else {
        panic!()
    };
    assert_eq!(
        (request.name.as_str(), request.query.as_deref()),
        ("cam", Some("a"))
    );
    peer.session.accept_play(request.stream_id);
    let codes: Vec<_> = peer.answers().iter().map(code).map(str::to_owned).collect();
    assert_eq!(codes, ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    assert!(
        peer.events().is_empty(),
        "a play that goes on closes nothing"
    );
    let refusal = PlayRefusal::NotFound("nobody publishes it".into());
    peer.session.refuse_play(request.stream_id, &refusal);
    assert_eq!(code(&peer.answers()[0]), "NetStream.Play.StreamNotFound");
    assert!(matches!(peer.events()[..], [Event::Closed]));
}

#[test]
fn player_pauses_stops_and_plays_again() {
    let mut peer = Peer::connected();
    let play = [Value::Null, "cam".into()];
    peer.call_on(1, "pause", 4.0, &[Value::Null, Value::Boolean(true)])
        .unwrap();
    assert!(peer.events().is_empty(), "nothing is played yet");
    for _ in 0..2 {
        peer.call_on(1, "play", 5.0, &play).unwrap();
        assert!(matches!(peer.events()[..], [Event::Play(_)]));
        peer.session.accept_play(StreamId(1));
        peer.answers();
        peer.call_on(1, "play", 6.0, &play).unwrap();
        assert!(peer.events().is_empty());
        assert_eq!(code(&peer.answers()[0]), "NetStream.Play.Failed");
        peer.call_on(1, "publish", 7.0, &play).unwrap();
        assert!(peer.events().is_empty(), "a stream has one use at a time");
        peer.answers();
        let pause = [Value::Null, Value::Boolean(true), 0.0.into()];
        peer.call_on(1, "pause", 8.0, &pause).unwrap();
        assert!(matches!(
            peer.events()[..],
            [Event::Pause { paused: true, .. }]
        ));
        peer.call_on(1, "closeStream", 0.0, &[Value::Null]).unwrap();
        assert!(matches!(peer.events()[..], [Event::Stop { .. }]));
    }
}

#[test]
fn takeover_and_shutdown_are_told_apart() {
    for (reason, text) in [
        (UnpublishReason::TakenOver, "NetStream.Publish.BadName"),
        (UnpublishReason::ShuttingDown, "NetStream.Unpublish.Success"),
        (
            UnpublishReason::Rejected("codec".into()),
            "NetStream.Publish.Rejected",
        ),
    ] {
        let mut peer = Peer::publishing();
        peer.session.unpublish_notice(StreamId(1), &reason);
        assert_eq!(code(&peer.answers()[0]), text);
        assert!(matches!(peer.events()[..], [Event::Closed]));
    }
}

#[test]
fn media_keep_their_time_and_get_room() {
    let mut peer = Peer::publishing();
    peer.send(MessageKind::Video, 1, 70_000, b"frame").unwrap();
    peer.send(MessageKind::Audio, 1, 70_010, b"sound").unwrap();
    let Some(Event::Video(video)) = peer.session.poll_event() else {
        panic!()
    };
    assert_eq!(
        (video.timestamp_ms, video.body.as_slice()),
        (70_000, &b"frame"[..])
    );
    assert_eq!(video.body.room(), 8);
    let Some(Event::Audio(audio)) = peer.session.poll_event() else {
        panic!()
    };
    assert_eq!(
        (audio.timestamp_ms, audio.body.as_slice()),
        (70_010, &b"sound"[..])
    );
}

#[test]
fn media_of_no_publish_and_empty_media_are_dropped() {
    let mut peer = Peer::publishing();
    peer.send(MessageKind::Video, 2, 0, b"frame").unwrap();
    peer.send(MessageKind::Video, 1, 0, b"").unwrap();
    assert!(peer.events().is_empty());
}

#[test]
fn media_that_do_not_wait_for_the_answer_are_not_lost() {
    let mut peer = Peer::connected();
    peer.call_on(1, "publish", 5.0, &[Value::Null, "cam".into()])
        .unwrap();
    peer.send(MessageKind::Video, 1, 0, b"config").unwrap();
    assert!(matches!(
        peer.events()[..],
        [Event::Publish(_), Event::Video(_)]
    ));
}

#[test]
fn aggregate_is_split_and_counts_from_its_own_time() {
    let tag = |type_id: u8, time: u8, body: &[u8]| {
        let length = body.len() as u8;
        let header = [type_id, 0, 0, length, 0, 0, time, 0, 0, 0, 0];
        [&header[..], body, &[0, 0, 0, 11 + length]].concat()
    };
    let body = [
        tag(9, 10, b"video"),
        tag(8, 30, b"audio"),
        tag(9, 50, b"more"),
    ]
    .concat();
    let mut peer = Peer::publishing();
    peer.send(MessageKind::Aggregate, 1, 1000, &body).unwrap();
    let events = peer.events();
    let [Event::Video(a), Event::Audio(b), Event::Video(c)] = &events[..] else {
        panic!()
    };
    assert_eq!(
        [a, b, c].map(|media| media.timestamp_ms),
        [1000, 1020, 1040]
    );
    assert_eq!(c.body.as_slice(), b"more");
    let cut = peer.send(MessageKind::Aggregate, 1, 1000, &body[..20]);
    assert_eq!(cut, Ok(()), "the last back pointer may be missing");
    let cut = peer.send(MessageKind::Aggregate, 1, 1000, &body[..15]);
    assert_eq!(cut, Err(Error::AggregateCutOff));
}

#[test]
fn metadata_are_read_bare_and_wrapped_and_name_the_encoder() {
    let mut peer = Peer::publishing();
    assert_eq!(peer.session.encoder(), Some("F 1"));
    for wrapped in [false, true] {
        let mut body = BytesMut::new();
        if wrapped {
            amf0::write_str(&mut body, "@setDataFrame");
        }
        amf0::write_str(&mut body, "onMetaData");
        let properties = object([
            ("fps", 30.0.into()),
            ("width", (-1.0).into()),
            ("encoder", "E".into()),
        ]);
        amf0::write(&mut body, &Value::EcmaArray(properties));
        peer.send(MessageKind::DataAmf0, 1, 0, &body).unwrap();
        let Some(Event::Metadata { metadata, .. }) = peer.session.poll_event() else {
            panic!()
        };
        assert_eq!((metadata.framerate(), metadata.width()), (Some(30.0), None));
        assert_eq!(peer.session.encoder(), Some("E"));
    }
}

#[test]
fn metadata_that_cannot_be_read_do_not_end_the_stream() {
    let mut peer = Peer::publishing();
    peer.send(MessageKind::DataAmf0, 1, 0, b"\x02\0\x0aonMetaData\x08\0\0")
        .unwrap();
    let event = peer.session.poll_event();
    assert!(matches!(
        event,
        Some(Event::BadMetadata {
            error: amf0::Error::CutOff,
            ..
        })
    ));
    let mut cue = BytesMut::new();
    amf0::write_str(&mut cue, "onCuePoint");
    peer.send(MessageKind::DataAmf0, 1, 0, &cue).unwrap();
    assert!(peer.session.poll_event().is_none());
}

#[test]
fn each_way_to_stop_ends_the_publish_once() {
    type Stop = (u32, &'static str, Vec<Value>);
    let ways: [&[Stop]; 3] = [
        &[
            (0, "FCUnpublish", vec![Value::Null, "cam".into()]),
            (0, "deleteStream", vec![Value::Null, 1.0.into()]),
        ],
        &[(0, "deleteStream", vec![Value::Null, 1.0.into()])],
        &[(1, "closeStream", vec![Value::Null])],
    ];
    for way in ways {
        let mut peer = Peer::publishing();
        for (stream, name, values) in way {
            peer.call_on(*stream, name, 0.0, values).unwrap();
        }
        assert!(matches!(
            peer.events()[..],
            [Event::Unpublish {
                stream_id: StreamId(1)
            }]
        ));
        peer.send(MessageKind::Video, 1, 0, b"late").unwrap();
        assert!(peer.events().is_empty());
        peer.call_on(1, "publish", 8.0, &[Value::Null, "cam".into()])
            .unwrap();
        assert!(matches!(peer.events()[..], [Event::Publish(_)]));
    }
}

#[test]
fn pings_and_windows_are_answered() {
    let mut peer = Peer::publishing();
    peer.send(MessageKind::UserControl, 0, 0, &[0, 6, 1, 2, 3, 4])
        .unwrap();
    peer.send(MessageKind::SetPeerBandwidth, 0, 0, &[0, 1, 0, 0, 2])
        .unwrap();
    let messages = peer.messages();
    assert_eq!(messages[0].body.as_slice(), [0, 7, 1, 2, 3, 4]);
    assert_eq!(messages[1].kind, MessageKind::WindowAckSize);
    assert_eq!(messages[1].body.as_slice(), [0, 1, 0, 0]);

    peer.send(MessageKind::WindowAckSize, 0, 0, &[0, 0, 0x40, 0])
        .unwrap();
    peer.send(MessageKind::Video, 1, 0, &[1; 20_000]).unwrap();
    let messages = peer.messages();
    assert_eq!(messages[0].kind, MessageKind::Acknowledgement);
    let sequence = u32::try_from(peer.session.bytes_received()).unwrap();
    assert_eq!(messages[0].body.as_slice(), sequence.to_be_bytes());
}

#[test]
fn each_limit_of_the_session_refuses_by_its_name() {
    let mut peer = Peer::with(Limits {
        bytes_before_publish: 5000,
        ..Limits::default()
    });
    let sent = peer.session.bytes_received();
    peer.session.handle_input(&[0; 100][..0], 0).unwrap();
    let error = peer.session.handle_input(&vec![0; 5001 - sent as usize], 0);
    assert_eq!(error, Err(Error::TooMuchBeforePublish(5001, 5000)));

    let mut peer = Peer::publishing();
    let limit = peer.session.config.limits.output_bytes;
    let flood = |peer: &mut Peer| peer.send(MessageKind::UserControl, 0, 0, &[0, 6, 1, 2, 3, 4]);
    let error = (0..100_000).find_map(|_| flood(&mut peer).err());
    assert!(matches!(error, Some(Error::OutputFull(_, l)) if l == limit));

    let mut peer = Peer::publishing();
    peer.session.config.limits.events = 2;
    peer.send(MessageKind::Video, 1, 0, b"a").unwrap();
    peer.send(MessageKind::Video, 1, 0, b"b").unwrap();
    assert_eq!(
        peer.send(MessageKind::Video, 1, 0, b"c"),
        Err(Error::TooManyEvents(2))
    );
    assert_eq!(peer.events().len(), 2);

    let mut peer = Peer::connected();
    for _ in 0..Limits::default().message_streams {
        peer.call("createStream", 4.0, &[Value::Null]).unwrap();
    }
    peer.answers();
    peer.call("createStream", 4.0, &[Value::Null]).unwrap();
    assert_eq!(peer.answers()[0].name, "_error");

    let mut peer = Peer::with(Limits::default());
    let publish = peer.call_on(1, "publish", 5.0, &[Value::Null, "cam".into()]);
    assert_eq!(publish, Err(Error::BeforeConnect("publish")));
}

#[test]
fn a_frame_longer_than_the_limit_before_publish_may_begin_before_it() {
    let frame = vec![1; Limits::default().bytes_before_publish as usize + 1];
    let mut peer = Peer::connected();
    let publish = command_body("publish", 5.0, &[Value::Null, "cam".into()]);
    let mut wire = BytesMut::new();
    let (id, command) = (ChunkStreamId(7), MessageKind::CommandAmf0);
    peer.writer
        .write(&mut wire, id, command, StreamId(1), 0, &[&publish]);
    peer.writer
        .write(&mut wire, id, MessageKind::Video, StreamId(1), 0, &[&frame]);
    let (first, rest) = wire.split_at(50_000);
    peer.session.handle_input(first, 0).unwrap();
    assert!(matches!(peer.events()[..], [Event::Publish(_)]));
    peer.session.accept_publish(StreamId(1));
    peer.session.handle_input(rest, 0).unwrap();
    let Some(Event::Video(video)) = peer.session.poll_event() else {
        panic!()
    };
    assert_eq!(video.body.as_slice(), frame);
}
