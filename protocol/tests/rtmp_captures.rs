//! Sessions over what real encoders sent: `data/rtmp`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers are test code too"
)]

use weir_protocol::rtmp::handshake::{Form, RANDOM_LEN};
use weir_protocol::rtmp::server::{Config, Event, Session};

/// What is worth comparing of an event.
#[derive(Debug, PartialEq)]
enum Seen {
    Media {
        video: bool,
        time: u64,
        body: Vec<u8>,
    },
    Other(String),
}

fn capture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/rtmp/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn drain(session: &mut Session, seen: &mut Vec<Seen>) {
    while let Some(event) = session.poll_event() {
        if let Event::Publish(request) = &event {
            session.accept_publish(request.stream_id);
        }
        seen.push(match event {
            Event::Video(media) | Event::Audio(media) if media.body.is_empty() => panic!("empty"),
            Event::Video(media) => {
                let body = media.body.as_slice().to_vec();
                Seen::Media {
                    video: true,
                    time: media.timestamp_ms,
                    body,
                }
            }
            Event::Audio(media) => {
                let body = media.body.as_slice().to_vec();
                Seen::Media {
                    video: false,
                    time: media.timestamp_ms,
                    body,
                }
            }
            other @ (Event::Connected(_)
            | Event::Publish(_)
            | Event::Play(_)
            | Event::Pause { .. }
            | Event::Stop { .. }
            | Event::Metadata { .. }
            | Event::BadMetadata { .. }
            | Event::Unpublish { .. }
            | Event::Closed) => Seen::Other(format!("{other:?}")),
        });
    }
    while session.poll_output().is_some() {}
}

fn replay<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Session, Vec<Seen>) {
    let mut session = Session::new(Config::default(), [0; RANDOM_LEN]);
    let mut seen = Vec::new();
    for piece in pieces {
        session.handle_input(piece, 0).unwrap();
        drain(&mut session, &mut seen);
    }
    (session, seen)
}

fn others(seen: &[Seen]) -> Vec<&str> {
    let others = seen.iter().filter_map(|seen| match seen {
        Seen::Other(text) => Some(text.as_str()),
        Seen::Media { .. } => None,
    });
    others.collect()
}

/// Times and first bytes of the media of one sort.
fn media(seen: &[Seen], of_video: bool) -> Vec<(u64, u8)> {
    let media = seen.iter().filter_map(|seen| match seen {
        Seen::Media { video, time, body } if *video == of_video => Some((*time, body[0])),
        Seen::Media { .. } | Seen::Other(_) => None,
    });
    media.collect()
}

#[test]
fn ffmpeg_publishes_h264_and_aac() {
    let bytes = capture("ffmpeg_h264_aac");
    let (session, seen) = replay([&bytes[..]]);
    assert_eq!(session.handshake_form(), Some(Form::Digest));
    assert_eq!(session.encoder(), Some("Lavf59.27.100"));
    let others = others(&seen);
    assert_eq!(others.len(), 4, "{others:?}");
    assert!(others[0].contains(r#"app: "live""#), "{}", others[0]);
    assert!(
        others[1].contains(r#"key: "cam", query: Some("token=1")"#),
        "{}",
        others[1]
    );
    assert!(
        others[2].contains(r#"("width", Number(64.0))"#),
        "{}",
        others[2]
    );
    assert!(others[3].starts_with("Unpublish"));

    let video = media(&seen, true);
    // The configuration, 30 frames of which every 15th is a key frame, the end of the sequence.
    assert_eq!(video.len(), 32);
    assert!(video.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    let keys = video
        .iter()
        .filter(|(_, first)| *first == 0x17)
        .map(|(time, _)| *time);
    // Frames begin 23 ms late: the encoder shifts everything by the 1024 samples that AAC primes.
    assert_eq!(keys.collect::<Vec<_>>(), [0, 23, 1023, video[31].0]);
    let audio = media(&seen, false);
    assert!(audio.iter().all(|(_, first)| *first & 0xf0 == 0xa0));
    assert!(audio.last().unwrap().0 > 1900);
}

#[test]
fn ffmpeg_publishes_below_an_instance() {
    let bytes = capture("ffmpeg_bframes");
    let (_, seen) = replay([&bytes[..]]);
    assert!(others(&seen)[1].contains(r#"app: "live/room", key: "cam""#));
    assert_eq!(media(&seen, true).len(), 32);
    assert!(media(&seen, false).is_empty());
}

#[test]
fn ffmpeg_times_cross_24_bits() {
    let bytes = capture("ffmpeg_extended_timestamp");
    let (_, seen) = replay([&bytes[..]]);
    let times: Vec<_> = media(&seen, true).iter().map(|(time, _)| *time).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
    assert!(
        times[0] < 0xff_ffff && times[times.len() - 1] > 0xff_ffff,
        "{times:?}"
    );
    assert!(times[times.len() - 1] - times[1] < 1100, "{times:?}");
}

#[test]
fn ffmpeg_publishes_audio_alone() {
    let bytes = capture("ffmpeg_audio_only");
    let (_, seen) = replay([&bytes[..]]);
    assert!(media(&seen, true).is_empty());
    assert!(media(&seen, false).len() > 40);
}

#[test]
fn ffmpeg_publishes_enhanced_rtmp() {
    let bytes = capture("ffmpeg_enhanced_hevc_opus");
    let (_, seen) = replay([&bytes[..]]);
    assert!(others(&seen)[0].contains(r#"fourcc_list: ["hvc1", "av01", "vp09"]"#));
    let first = |of_video| {
        seen.iter().find_map(|seen| match seen {
            Seen::Media { video, body, .. } if *video == of_video => Some(&body[..5]),
            Seen::Media { .. } | Seen::Other(_) => None,
        })
    };
    assert_eq!(first(true), Some(&b"\x90hvc1"[..]));
    assert_eq!(first(false), Some(&b"\x90Opus"[..]));
}

#[test]
fn ffmpeg_asks_to_play() {
    let bytes = capture("ffmpeg_play");
    let (session, seen) = replay([&bytes[..]]);
    assert_eq!(session.handshake_form(), Some(Form::Digest));
    assert!(others(&seen)[1].starts_with("Play"));
    assert!(others(&seen)[1].contains(r#"name: "cam""#));
}

#[test]
fn obs_publishes_through_librtmp() {
    let bytes = capture("obs");
    let (session, seen) = replay([&bytes[..]]);
    assert_eq!(session.handshake_form(), Some(Form::Plain));
    assert_eq!(
        session.encoder(),
        Some("obs-output module (libobs version 29.0.2.1-1+b1)")
    );
    assert!(others(&seen)[1].contains(r#"app: "live", key: "cam", query: None"#));
    let video = media(&seen, true);
    assert_eq!((video[0], video[1].1), ((0, 0x17), 0x17));
    assert!(media(&seen, false).len() > 100);
}

/// The package publishes on the connection itself, reuses the transaction of `connect`, and was
/// given the frames of the other capture.
#[test]
fn the_rtmp_package_publishes_on_stream_0() {
    let (ffmpeg, package) = (capture("ffmpeg_h264_aac"), capture("rtmp_package"));
    let (session, seen) = replay([&package[..]]);
    assert_eq!(session.encoder(), Some("FMLE/3.0 (compatible; xiu)"));
    assert!(others(&seen)[1].contains("stream_id: StreamId(0)"));
    let is_media = |seen: &Seen| matches!(seen, Seen::Media { .. });
    let (_, original) = replay([&ffmpeg[..]]);
    let original: Vec<_> = original.into_iter().filter(is_media).collect();
    let copy: Vec<_> = seen.into_iter().filter(is_media).collect();
    assert_eq!(copy.len(), original.len());
    assert!(copy == original);
}

#[test]
fn captures_read_the_same_in_pieces_of_any_size() {
    for name in [
        "ffmpeg_h264_aac",
        "ffmpeg_extended_timestamp",
        "ffmpeg_enhanced_hevc_opus",
        "obs",
    ] {
        let bytes = capture(name);
        let (_, whole) = replay([&bytes[..]]);
        for size in [1, 13, 1448, 4096] {
            let (_, seen) = replay(bytes.chunks(size));
            assert!(seen == whole, "{name} in pieces of {size}");
        }
    }
}

#[test]
fn a_capture_split_at_any_byte_reads_the_same() {
    let bytes = capture("ffmpeg_audio_only");
    let (_, whole) = replay([&bytes[..]]);
    for at in 0..bytes.len() {
        let (_, seen) = replay([&bytes[..at], &bytes[at..]]);
        assert!(seen == whole, "split at {at}");
    }
}

#[test]
fn damaged_captures_do_not_panic() {
    for name in [
        "ffmpeg_h264_aac",
        "ffmpeg_enhanced_hevc_opus",
        "ffmpeg_play",
    ] {
        let bytes = capture(name);
        for seed in 0..200_u64 {
            let mut state = seed;
            let mut random = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as usize
            };
            let mut damaged = bytes.clone();
            for _ in 0..1 + random() % 10 {
                // Behind the handshake, whose bytes hardly matter.
                let at = 3073 + random() % (damaged.len() - 3073);
                damaged[at] = random() as u8;
            }
            let mut session = Session::new(Config::default(), [0; RANDOM_LEN]);
            for piece in damaged.chunks(700) {
                if session.handle_input(piece, 0).is_err() {
                    break;
                }
                drain(&mut session, &mut Vec::new());
            }
        }
    }
}
