//! Encoders as they are: clocks that jump, wrap and drift, another codec in the middle, no key
//! frame for long, frames of any size, storms, and networks that go away without a word. The stream
//! recovers or is refused with a reason; players survive.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::time::Duration;

use support::{
    FlvTag, Kind, MoqtClient, Publisher, Pull, Recipe, Scratch, Weir, now, recipes, sleep, wait_for,
};
use weir_protocol::moqt::{Params, Version};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(90);

/// Tags of some seconds of the plain source.
fn tags(seconds: u32) -> Vec<FlvTag> {
    tags_of(&recipes::PLAIN, seconds)
}

fn tags_of(recipe: &Recipe, seconds: u32) -> Vec<FlvTag> {
    let mut tags = FlvTag::read_all(&recipe.make().path);
    tags.retain(|tag| tag.kind != Kind::Other && tag.timestamp_ms < seconds * 1000);
    tags
}

/// The coded frames of the picture among the tags.
fn pictures(tags: &[FlvTag]) -> Vec<&[u8]> {
    let pictures = tags.iter().filter(|tag| tag.kind == Kind::Video);
    pictures.filter_map(FlvTag::frame).collect()
}

/// Asserts that what was pulled is an unbroken part of what was sent. Gives where it begins.
#[track_caller]
fn assert_unbroken(pull: &Pull, sent: &[FlvTag], least: usize) -> usize {
    let pulled = FlvTag::read_all(pull.file.path());
    let (pulled, sent) = (pictures(&pulled), pictures(sent));
    assert!(pulled.len() >= least, "{} frames", pulled.len());
    let mut windows = sent.windows(pulled.len());
    let found = windows.position(|window| window == pulled);
    found.unwrap_or_else(|| panic!("{} frames are no part of {}", pulled.len(), sent.len()))
}

/// Times of the pulled video rise and nothing within a group is missing.
#[track_caller]
fn assert_plays(pull: &Pull, least_frames: usize) {
    let media = pull.media();
    let frames = &media.video().frames;
    let times: Vec<i64> = frames.iter().map(|frame| frame.dts).collect();
    assert!(times.is_sorted(), "time goes on upward");
    assert!(frames.len() >= least_frames, "{} frames", frames.len());
}

/// Plays the tags once, then again with a clock that begins at `base_ms`, to a viewer who has to
/// see both.
fn in_two_parts(base_ms: u32) {
    let relay = Weir::start();
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let first = tags(4);
    let second = moved(&first, |ms| ms + base_ms);
    publisher.play(&first[..20]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "9s");
    publisher.play(&first[20..]);
    publisher.play_from(base_ms, &second);
    pull.end(LIMIT);
    assert_plays(&pull, 180);
    let stream = relay.stream("live/cam").unwrap();
    assert_eq!(stream["publisher"]["reconnects"], 0, "{stream}");
}

/// The tags with their times changed.
fn moved(tags: &[FlvTag], change: impl Fn(u32) -> u32) -> Vec<FlvTag> {
    let moved = tags.iter().cloned().map(|tag| FlvTag {
        timestamp_ms: change(tag.timestamp_ms),
        ..tag
    });
    moved.collect()
}

#[test]
fn timestamps_may_jump_back() {
    in_two_parts(0);
}

#[test]
fn timestamps_may_jump_forward() {
    in_two_parts(3_600_000);
}

#[test]
fn a_clock_that_wraps_goes_on() {
    let relay = Weir::start();
    let source = recipes::PLAIN.make();
    let base_ms = u32::MAX - 3_000;
    let sent = moved(&tags(8), |ms| base_ms.wrapping_add(ms));
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    sent[..20].iter().for_each(|tag| publisher.send(tag));
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "6s");
    publisher.play_from(base_ms, &sent[20..]);
    pull.end(LIMIT);
    // All times are moved by one and the same offset.
    pull.media().assert_part_of(&source.media(), source.gop);
    assert!(pull.media().video().frames.len() >= 150);
    let stream = relay.stream("live/cam").unwrap();
    let jitter = stream["arrival_jitter_us"]["p99"].as_u64().unwrap();
    assert!(jitter < 60_000_000, "{stream}");
}

#[test]
fn sound_whose_clock_runs_fast_costs_nothing_and_is_told() {
    let relay = Weir::start();
    let paced = tags(12);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let pushed = paced.clone();
    let pushing = std::thread::spawn(move || {
        let began = now();
        for mut tag in pushed {
            let due = Duration::from_millis(tag.timestamp_ms.into());
            sleep(due.saturating_sub(began.elapsed()));
            if tag.kind == Kind::Audio {
                tag.timestamp_ms += tag.timestamp_ms / 10;
            }
            publisher.send(&tag);
        }
        publisher
    });
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "8s");
    pull.end(LIMIT);
    let publisher = pushing.join().unwrap();
    let stream = relay.stream("live/cam").unwrap();
    let skew = stream["av_skew_us"].as_i64().unwrap();
    assert!((300_000..5_000_000).contains(&skew), "{stream}");
    assert_unbroken(&pull, &paced, 180);
    let media = recipes::PLAIN.make().media();
    let sound = pull.media().audio().runs_in(media.audio());
    assert_eq!(sound.len(), 1, "{sound:?}");
    drop(publisher);
}

/// Another size and profile than the plain source has.
const LARGER: Recipe = Recipe {
    name: "larger",
    video: Some(&[
        "-vf",
        "scale=640:360",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]),
    ..recipes::PLAIN
};

#[test]
fn a_codec_that_changes_is_told_to_the_viewers() {
    let relay = Weir::start();
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let mut sent = tags(3);
    sent.extend(moved(&tags_of(&LARGER, 3), |ms| ms + 3_000));
    sent.extend(moved(&tags_of(&recipes::HEVC, 4), |ms| ms + 6_000));
    sent[..20].iter().for_each(|tag| publisher.send(tag));
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut catalog = viewer.subscribe("catalog", Params::default());
    let told_at = catalog.subscribed().alias;
    let mut video = viewer.subscribe("video", Params::default());
    let alias = video.subscribed().alias;
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "8s");
    publisher.play(&sent[20..]);
    let told = |words: &str| {
        let groups = viewer.wait_groups(words, told_at, |groups| {
            groups
                .iter()
                .flat_map(|group| &group.objects)
                .any(|object| {
                    let text = String::from_utf8_lossy(&object.payload);
                    text.contains(words)
                })
        });
        groups.len()
    };
    // Each change is one catalog more.
    assert!(told("avc1.42") <= told(r#""width":640"#));
    assert!(told(r#""width":640"#) <= told("hvc1."));
    pull.end(LIMIT);
    assert_unbroken(&pull, &sent, 200);
    // The viewer came in the middle of the first group.
    let groups = &viewer.groups(alias)[1..];
    assert!(groups.len() >= 3, "{} groups", groups.len());
    assert!(
        groups
            .iter()
            .all(|group| group.objects[0].location.object == 0)
    );
    let stream = relay.stream("live/cam").unwrap();
    let codec = stream["tracks"][0]["codec"].as_str().unwrap();
    assert!(codec.starts_with("hvc1."), "{stream}");
    assert_eq!(stream["publisher"]["reconnects"], 0, "{stream}");
}

#[test]
fn half_a_minute_without_a_key_frame_is_borne_and_told() {
    let relay = Weir::start();
    let source = tags(2);
    let second = |tag: &&FlvTag| tag.timestamp_ms < 1_000;
    let first: Vec<FlvTag> = source.iter().filter(second).cloned().collect();
    let inter = |tag: &&FlvTag| tag.kind == Kind::Video && tag.body[0] >> 4 == 2;
    let inter: Vec<FlvTag> = first.iter().filter(inter).cloned().collect();
    let mut sent = first;
    for again in 1..32 {
        sent.extend(moved(&inter, |ms| ms + again * 1_000));
    }
    sent.extend(moved(&source, |ms| ms + 32_000));
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    sent[..20].iter().for_each(|tag| publisher.send(tag));
    let mut early = relay.pull(&relay.moqt_url("live/cam"), "33s");
    let pushed = sent[20..].to_vec();
    let pushing = std::thread::spawn(move || {
        publisher.play(&pushed);
        publisher
    });
    wait_for("the warning", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("no stream")?;
        let warned = stream["warnings"].to_string().contains("no_key_frame");
        warned.then_some(()).ok_or_else(|| stream.to_string())
    });
    // The group is whole in the relay, however long it is.
    let mut late = relay.pull(&relay.moqt_url("live/cam"), "2s");
    late.end(LIMIT);
    assert_eq!(
        assert_unbroken(&late, &sent, 200),
        0,
        "from the key frame on"
    );
    early.end(LIMIT);
    assert_eq!(assert_unbroken(&early, &sent, 900), 0);
    drop(pushing.join().unwrap());
}

#[test]
fn a_publisher_that_falls_silent_is_given_up_and_its_viewers_are_told() {
    let file = Scratch::new("idle.toml");
    let lines = "[publisher]\nidle_timeout_ms = 2000\n[stream]\nlinger_ms = 1000\n";
    fs::write(file.path(), lines).unwrap();
    let relay = Weir::start_with(&["--config", file.path().to_str().unwrap()]);
    let tags = tags(3);
    // Its connection stays open: the network went away, and nobody said so.
    let mut silent = Publisher::publish(relay.rtmp, "live", "cam");
    silent.play(&tags);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "60s");
    pull.end(LIMIT);
    assert_plays(&pull, 1);
    wait_for("the end of the stream", LIMIT, || {
        let stream = relay.stream("live/cam");
        stream.map_or(Ok(()), |stream| Err(stream.to_string()))
    });
    assert!(relay.log().contains("silent for 2s"), "{}", relay.log());
    assert!(silent.is_closed(), "and the connection is");
    let mut again = Publisher::publish(relay.rtmp, "live", "cam");
    again.play(&tags);
    relay.wait_live("live/cam", &["video", "audio"]);
}

#[test]
fn a_storm_of_publishers_with_one_key_leaves_one_stream() {
    let relay = Weir::start();
    let tags = tags(3);
    for _ in 0..40 {
        let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
        tags.iter().take(10).for_each(|tag| publisher.send(tag));
    }
    let mut last = Publisher::publish(relay.rtmp, "live", "cam");
    last.send(&tags[0]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "3s");
    last.play(&tags);
    pull.end(LIMIT);
    assert_plays(&pull, 40);
    assert_eq!(relay.streams()["streams"].as_array().unwrap().len(), 1);
}

#[test]
fn frames_without_anything_and_frames_too_large_are_no_end_of_others() {
    let relay = Weir::start();
    let tags = tags(4);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    publisher.play(&tags[..20]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "4s");
    for (kind, body) in [
        (Kind::Video, vec![]),
        (Kind::Audio, vec![]),
        (Kind::Video, vec![0x27, 1, 0, 0, 0]),
    ] {
        publisher.send(&FlvTag {
            kind,
            timestamp_ms: tags[20].timestamp_ms,
            body,
        });
    }
    publisher.play(&tags[20..]);
    pull.end(LIMIT);
    assert_plays(&pull, 80);
    // Larger than the largest message: refused by name.
    let mut huge = Publisher::publish(relay.rtmp, "live", "huge");
    drop(huge.raw(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]));
    drop(huge.raw(&vec![0; 9 << 20]));
    assert!(huge.is_closed());
}

#[test]
fn a_frame_of_four_megabytes_is_carried_whole() {
    let relay = Weir::start();
    let tags = tags(2);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    publisher.play(&tags[..20]);
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut video = viewer.subscribe("video", Params::default());
    let alias = video.subscribed().alias;
    // One slice of an IDR picture.
    let slice: u32 = 4 << 20;
    let head = [&[0x17, 1, 0, 0, 0], slice.to_be_bytes().as_slice(), &[0x65]].concat();
    let mut body = head;
    body.resize(body.len() + slice as usize - 1, 0x5a);
    let timestamp_ms = tags[20].timestamp_ms;
    publisher.send(&FlvTag {
        kind: Kind::Video,
        timestamp_ms,
        body,
    });
    viewer.wait_groups("the large frame", alias, |groups| {
        let mut objects = groups.iter().flat_map(|group| &group.objects);
        objects.any(|object| object.payload.len() == slice as usize + 4)
    });
}

#[test]
fn metadata_alone_is_no_stream_that_ends_a_player() {
    let relay = Weir::start();
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let all = FlvTag::read_all(&recipes::PLAIN.make().path);
    let metadata = all.iter().find(|tag| tag.kind == Kind::Other).unwrap();
    for _ in 0..100 {
        publisher.describe(metadata);
    }
    let mut viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    let refused = viewer.subscribe("video", Params::default()).refused();
    assert!(!refused.reason.is_empty());
    let tags = tags(3);
    publisher.play(&tags[..20]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "2s");
    publisher.play(&tags[20..]);
    pull.end(LIMIT);
    assert_plays(&pull, 30);
}
