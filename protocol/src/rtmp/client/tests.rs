//! A client against our own server: every call and answer goes over real bytes.

use super::*;
use crate::rtmp::server::{self, Refusal, RefusalCode};

const RANDOM: [u8; RANDOM_LEN] = [7; RANDOM_LEN];

fn pair(form: Form) -> (Session, server::Session) {
    let target = Target::parse("rtmp://relay/live/cam?token=1").unwrap();
    let client = Session::publish(
        Config {
            form,
            ..Config::new(target)
        },
        RANDOM,
    );
    (
        client,
        server::Session::new(server::Config::default(), RANDOM),
    )
}

/// Carries bytes both ways until nothing moves.
fn exchange(client: &mut Session, server: &mut server::Session) {
    loop {
        let mut moved = false;
        while let Some(bytes) = client.poll_output() {
            server.handle_input(&bytes, 5).unwrap();
            moved = true;
        }
        while let Some(bytes) = server.poll_output() {
            client.handle_input(&bytes).unwrap();
            moved = true;
        }
        if !moved {
            return;
        }
    }
}

fn publish(client: &mut Session, server: &mut server::Session) -> StreamId {
    exchange(client, server);
    let Some(server::Event::Connected(connect)) = server.poll_event() else {
        panic!()
    };
    assert_eq!(
        (connect.app.as_str(), connect.tc_url.as_str()),
        ("live", "rtmp://relay/live")
    );
    let Some(server::Event::Publish(request)) = server.poll_event() else {
        panic!()
    };
    assert_eq!(
        (request.app.as_str(), request.key.as_str()),
        ("live", "cam")
    );
    assert_eq!(request.query.as_deref(), Some("token=1"));
    request.stream_id
}

#[test]
fn publishes_media_in_both_forms_of_the_handshake() {
    for form in [Form::Plain, Form::Digest] {
        let (mut client, mut server) = pair(form);
        let stream_id = publish(&mut client, &mut server);
        assert_eq!(server.handshake_form(), Some(form));
        assert_eq!(client.write_video(0, &[b"early"]), Err(Error::NotReady));
        server.accept_publish(stream_id);
        exchange(&mut client, &mut server);
        assert_eq!(client.poll_event(), Some(Event::Ready));

        let frame = vec![9; 100_000];
        client
            .write_metadata(&object([("encoder", "x 1".into()), ("width", 64.0.into())]))
            .unwrap();
        client.write_video(40, &[b"head", &frame]).unwrap();
        client.write_audio(41, &[b"sound"]).unwrap();
        exchange(&mut client, &mut server);
        let Some(server::Event::Metadata { metadata, .. }) = server.poll_event() else {
            panic!()
        };
        assert_eq!(
            (metadata.width(), server.encoder()),
            (Some(64.0), Some("x 1"))
        );
        let Some(server::Event::Video(video)) = server.poll_event() else {
            panic!()
        };
        assert_eq!((video.timestamp_ms, video.first_byte_us), (40, 5));
        assert_eq!(video.body.as_slice(), [b"head", &frame[..]].concat());
        let Some(server::Event::Audio(audio)) = server.poll_event() else {
            panic!()
        };
        assert_eq!(
            (audio.timestamp_ms, audio.body.as_slice()),
            (41, &b"sound"[..])
        );

        client.unpublish();
        exchange(&mut client, &mut server);
        assert!(matches!(
            server.poll_event(),
            Some(server::Event::Unpublish { .. })
        ));
        assert!(server.poll_event().is_none());
    }
}

#[test]
fn refused_publisher_learns_the_code_and_the_reason() {
    let (mut client, mut server) = pair(Form::Plain);
    let stream_id = publish(&mut client, &mut server);
    let code = RefusalCode::Unauthorized;
    server.refuse_publish(
        stream_id,
        &Refusal {
            code,
            description: "wrong key".into(),
        },
    );
    assert!(matches!(server.poll_event(), Some(server::Event::Closed)));
    exchange(&mut client, &mut server);
    let code = "NetStream.Publish.Unauthorized".to_owned();
    assert_eq!(
        client.poll_event(),
        Some(Event::Refused {
            code,
            description: "wrong key".into()
        })
    );
    assert_eq!(client.write_audio(0, &[b"a"]), Err(Error::NotReady));
}

#[test]
fn writing_faster_than_sending_is_an_error_that_loses_nothing() {
    let (mut client, mut server) = pair(Form::Plain);
    let stream_id = publish(&mut client, &mut server);
    server.accept_publish(stream_id);
    exchange(&mut client, &mut server);
    let frame = vec![1; 6 << 20];
    assert_eq!(client.write_video(0, &[&frame]), Ok(()));
    assert_eq!(client.write_video(1, &[&frame]), Ok(()));
    assert!(matches!(
        client.write_video(2, &[&frame]),
        Err(Error::OutputFull(_))
    ));
    exchange(&mut client, &mut server);
    let videos = std::iter::from_fn(|| server.poll_event());
    assert_eq!(
        videos
            .filter(|event| matches!(event, server::Event::Video(_)))
            .count(),
        2
    );
}

#[test]
fn target_is_cut_at_the_last_slash_before_the_query() {
    let target = |url| Target::parse(url).map(|target| (target.app, target.key));
    assert_eq!(
        target("rtmp://h:1935/live/cam"),
        Some(("live".into(), "cam".into()))
    );
    assert_eq!(
        target("rtmp://h/live/a/b"),
        Some(("live/a".into(), "b".into()))
    );
    assert_eq!(
        target("rtmp://h/live/cam?u=/x"),
        Some(("live".into(), "cam?u=/x".into()))
    );
    assert_eq!(target("rtmp://h/live"), None);
    assert_eq!(target("http://h/live/cam"), None);
    assert_eq!(target("rtmp:///live/cam"), None);
}

#[test]
fn a_player_asks_for_its_stream_and_takes_media_only_when_it_plays() {
    let target = Target::parse("rtmp://relay/live/cam?token=1").unwrap();
    let mut client = Session::play(Config::new(target), RANDOM);
    let mut server = server::Session::new(server::Config::default(), RANDOM);
    exchange(&mut client, &mut server);
    let mut played = None;
    while let Some(event) = server.poll_event() {
        assert!(!matches!(event, server::Event::Publish(_)), "{event:?}");
        if let server::Event::Play(request) = event {
            played = Some((request.app, request.name));
        }
    }
    assert_eq!(played, Some(("live".into(), "cam".into())));

    let mut outbox = Outbox::default();
    let stream = StreamId(1);
    outbox.message(ChunkStreamId::VIDEO, MessageKind::Video, stream, 0, &[b"v"]);
    outbox.message(ChunkStreamId::AUDIO, MessageKind::Audio, stream, 5, &[b"a"]);
    let media: Vec<Bytes> = std::iter::from_fn(|| outbox.take()).collect();
    media
        .iter()
        .for_each(|bytes| client.handle_input(bytes).unwrap());
    let events: Vec<Event> = std::iter::from_fn(|| client.poll_event()).collect();
    let expected = [Bytes::from_static(b"v"), Bytes::from_static(b"a")];
    let [video, audio] = expected;
    assert_eq!(events, [Event::Video(video), Event::Audio(audio)]);
}
