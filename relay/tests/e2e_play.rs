//! Playing over RTMP: what is played is what was pushed, whoever is slow, early or late.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use support::{
    FlvTag, Kind, Player, Process, Publisher, Recipe, Scratch, Weir, ffmpeg, opus_tags, push,
    recipes, sleep, wait_for,
};

/// Longer than any play here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// ffmpeg, playing `url` into a file for so many seconds.
struct Play {
    process: Process,
    file: Scratch,
}

impl Play {
    fn start(mut ffmpeg: Command, url: &str, options: &[&str], seconds: &str) -> Self {
        let file = Scratch::new("played.flv");
        ffmpeg.args(["-v", "error"]).args(options).args(["-i", url]);
        ffmpeg.args(["-t", seconds, "-map", "0", "-c", "copy", "-copyinkf"]);
        ffmpeg.args(["-f", "flv", "-y"]).arg(file.path());
        Self {
            process: Process::spawn("ffmpeg-play", &mut ffmpeg),
            file,
        }
    }

    #[track_caller]
    fn end(&mut self) {
        let status = self.process.exit(LIMIT);
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}

/// A relay with these lines of configuration; the file lives as long as the scratch.
fn configured(lines: &str) -> (Weir, Scratch) {
    let file = Scratch::new("weir.toml");
    fs::write(file.path(), lines).unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    (relay, file)
}

/// Pushes the recipe, plays it for four seconds and compares packet by packet.
#[track_caller]
fn carries(recipe: &Recipe, tracks: &[&str]) {
    let relay = Weir::start();
    let url = relay.rtmp_url("live/cam");
    let (source, _push) = push(recipe, &url);
    relay.wait_live("live/cam", tracks);
    let codecs = recipe.newer.then_some("hvc1,av01,vp09");
    let options: Vec<&str> = codecs.map_or_else(Vec::new, |c| vec!["-rtmp_enhanced_codecs", c]);
    let mut play = Play::start(ffmpeg(recipe.newer), &url, &options, "4");
    play.end();
    let played = source.read(play.file.path());
    played.assert_part_of(&source.media(), source.gop);
    if tracks.contains(&"video") {
        let frames = played.video().frames.len();
        assert!(frames >= 90, "{frames} frames");
    }
    source.assert_decodes(play.file.path());
}

#[test]
fn h264_and_aac_are_played_bit_for_bit() {
    carries(&recipes::PLAIN, &["video", "audio"]);
}

#[test]
fn what_an_upstream_has_is_played() {
    let origin = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &origin.rtmp_url("live/cam"));
    origin.wait_live("live/cam", &["video", "audio"]);
    let upstream = format!("moqt://{}?insecure", origin.quic);
    let edge = Weir::start_with(&["--upstream", &upstream]);
    let url = edge.rtmp_url("live/cam");
    let mut play = Play::start(ffmpeg(false), &url, &[], "4");
    play.end();
    let played = source.read(play.file.path());
    played.assert_part_of(&source.media(), source.gop);
    assert!(played.video().frames.len() >= 90);
}

#[test]
fn b_frames_keep_their_composition_times() {
    carries(&recipes::B_FRAMES, &["video", "audio"]);
}

#[test]
fn large_frames_arrive_whole() {
    carries(&recipes::HEAVY, &["video", "audio"]);
}

#[test]
fn a_stream_of_only_video() {
    carries(&recipes::VIDEO_ONLY, &["video"]);
}

#[test]
fn a_stream_of_only_audio() {
    carries(&recipes::AUDIO_ONLY, &["audio"]);
}

#[test]
fn hevc_is_played_by_who_says_it_can() {
    carries(&recipes::HEVC, &["video", "audio"]);
}

#[test]
fn hevc_is_refused_by_name_to_who_does_not_say_so() {
    let relay = Weir::start();
    let url = relay.rtmp_url("live/cam");
    let (_source, _push) = push(&recipes::HEVC, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut play = Play::start(ffmpeg(false), &url, &[], "4");
    assert!(!play.process.exit(LIMIT).success());
    let said = play.process.stderr();
    assert!(
        said.contains("HEVC") && said.contains("fourCcList"),
        "{said}"
    );
}

#[test]
fn hevc_and_opus_are_what_was_pushed() {
    let relay = Weir::start();
    let mut tags = FlvTag::read_all(&recipes::HEVC.make().path);
    tags.retain(|tag| tag.kind == Kind::Video && tag.timestamp_ms < 10_000);
    tags.extend(opus_tags(10));
    tags.sort_by_key(|tag| tag.timestamp_ms);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    let pushed = tags.clone();
    let pushing = std::thread::spawn(move || publisher.play(&pushed));
    relay.wait_live("live/cam", &["video", "audio"]);
    let fourccs = ["hvc1", "Opus"];
    let mut player = Player::connect(relay.rtmp, "live", "cam", &fourccs, None);
    player.until_said("onMetaData");
    let played = player.media(90);
    for kind in [Kind::Video, Kind::Audio] {
        let frames = |tags: &[FlvTag]| -> Vec<Vec<u8>> {
            let of_kind = tags.iter().filter(|tag| tag.kind == kind);
            of_kind
                .filter_map(|t| t.frame().map(<[u8]>::to_vec))
                .collect()
        };
        let (source, played) = (frames(&tags), frames(&played));
        assert!(played.len() >= 80, "{} frames of {kind:?}", played.len());
        let found = source.windows(played.len()).any(|w| w == played.as_slice());
        assert!(found, "{kind:?} is no unbroken part of the source");
    }
    drop(relay);
    drop(pushing.join());
}

#[test]
fn ffprobe_sees_the_codecs_and_the_api_sees_the_player() {
    let relay = Weir::start();
    let url = relay.rtmp_url("live/cam");
    let (_source, _push) = push(&recipes::B_FRAMES, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-of", "csv", "-show_entries"]);
    probe.args([
        "stream=codec_name,width,height,has_b_frames,sample_rate,channels",
        &url,
    ]);
    let seen = Process::succeed("ffprobe", &mut probe, LIMIT).stdout();
    assert!(seen.contains("h264,320,180,2"), "{seen}");
    assert!(seen.contains("aac,48000,2"), "{seen}");
    let play = Play::start(ffmpeg(false), &url, &[], "15");
    let viewer = wait_for("the player's row", LIMIT, || {
        let detail = relay.detail("live/cam");
        let rtmp = |row: &&serde_json::Value| row["transport"] == "rtmp";
        let rows = detail["viewers"].as_array().unwrap();
        let row = rows.iter().find(rtmp).cloned();
        let row = row.ok_or_else(|| detail.to_string())?;
        let sent = row["bytes_out"].as_u64().unwrap() > 50_000;
        if sent && row["rtt_us"].as_u64().unwrap() > 0 {
            Ok(row)
        } else {
            Err(row.to_string())
        }
    });
    assert_eq!(viewer["tracks"], serde_json::json!(["video", "audio"]));
    assert!(viewer["implementation"].as_str().unwrap().contains("LNX"));
    let stream = relay.stream("live/cam").unwrap();
    assert!(
        stream["latency_us"]["relay"]["count"].as_u64().unwrap() > 0,
        "{stream}"
    );
    assert!(
        stream["first_frame_us"]["count"].as_u64().unwrap() > 0,
        "{stream}"
    );
    drop(play);
    wait_for("the row to go", LIMIT, || {
        let detail = relay.detail("live/cam");
        match detail["viewers"].as_array().unwrap().is_empty() {
            true => Ok(()),
            false => Err(detail.to_string()),
        }
    });
}

/// The video frames that were played are runs of the source's, each from a key frame on.
#[track_caller]
fn runs(played: &[FlvTag], source: &[FlvTag], gop: usize) -> Vec<(usize, usize)> {
    let frames = |tags: &[FlvTag]| -> Vec<Vec<u8>> {
        let video = tags.iter().filter(|tag| tag.kind == Kind::Video);
        video
            .filter_map(|t| t.frame().map(<[u8]>::to_vec))
            .collect()
    };
    let (source, mut runs) = (frames(source), Vec::<(usize, usize)>::new());
    for frame in frames(played) {
        let next = runs.last().map(|(first, count)| first + count);
        if next.is_some_and(|next| source.get(next) == Some(&frame)) {
            runs.last_mut().unwrap().1 += 1;
        } else {
            let at = source.iter().position(|other| *other == frame).unwrap();
            assert_eq!(at % gop, 0, "a hole inside a GOP: {runs:?}, then {at}");
            runs.push((at, 1));
        }
    }
    runs
}

#[test]
fn a_slow_player_is_taken_to_a_key_frame_and_others_miss_nothing() {
    let (relay, _file) = configured("[viewer]\nbehind_limit_ms = 500\n");
    let url = relay.rtmp_url("live/cam");
    let (source, _push) = push(&recipes::HEAVY, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut slow = Player::connect(relay.rtmp, "live", "cam", &[], Some(4096));
    let mut play = Play::start(ffmpeg(false), &url, &[], "8");
    slow.until_said("onMetaData");
    let mut media = slow.media(5);
    // It stops reading until the relay has given something up.
    let skipped = |row: &serde_json::Value| row["objects_skipped"]["behind"].as_u64().unwrap();
    wait_for("a skip", LIMIT, || {
        let detail = relay.detail("live/cam");
        let rows = detail["viewers"].as_array().unwrap();
        let behind = rows.iter().map(|row| row["behind_ms"].as_u64().unwrap());
        match behind.max() {
            Some(behind_ms) if behind_ms > 3_000 => Ok(()),
            _ => Err(detail.to_string()),
        }
    });
    media.extend(slow.media(100));
    let tags = FlvTag::read_all(&source.path);
    let runs = runs(&media, &tags, source.gop);
    assert!(runs.len() >= 2, "nothing was given up: {runs:?}");
    let detail = relay.detail("live/cam");
    let rows = detail["viewers"].as_array().unwrap();
    assert!(rows.iter().map(skipped).sum::<u64>() > 0, "{detail}");
    for kind in [Kind::Video, Kind::Audio] {
        let of_kind = media.iter().filter(|tag| tag.kind == kind);
        let times: Vec<u32> = of_kind.map(|tag| tag.timestamp_ms).collect();
        assert!(times.is_sorted(), "time of {kind:?} goes on upward");
    }
    play.end();
    let played = source.read(play.file.path());
    played.assert_part_of(&source.media(), source.gop);
}

#[test]
fn a_player_goes_on_when_another_publisher_takes_over() {
    let relay = Weir::start();
    let url = relay.rtmp_url("live/cam");
    let (source, first) = push(&recipes::PLAIN, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut player = Player::connect(relay.rtmp, "live", "cam", &[], None);
    player.until_said("onMetaData");
    let mut media = player.media(60);
    let _second = source.push(&url);
    media.extend(player.media(120));
    drop(first);
    let tags = FlvTag::read_all(&source.path);
    let runs = runs(&media, &tags, source.gop);
    assert_eq!(runs.len(), 2, "one takeover and no other break: {runs:?}");
    assert_eq!(
        runs[1].0, 0,
        "the second push from its first frame: {runs:?}"
    );
    for kind in [Kind::Video, Kind::Audio] {
        let of_kind = media.iter().filter(|tag| tag.kind == kind);
        let times: Vec<u32> = of_kind.map(|tag| tag.timestamp_ms).collect();
        assert!(times.is_sorted(), "time of {kind:?} goes on upward");
    }
}

#[test]
fn a_player_that_is_early_waits_and_one_that_waits_in_vain_is_told() {
    let (relay, _file) = configured("[viewer]\nplay_wait_ms = 20000\n");
    let url = relay.rtmp_url("live/cam");
    let mut play = Play::start(ffmpeg(false), &url, &[], "3");
    sleep(Duration::from_secs(1));
    let (source, _push) = push(&recipes::PLAIN, &url);
    play.end();
    let played = source.read(play.file.path());
    let first = played.assert_part_of(&source.media(), source.gop);
    assert_eq!(first, Some(0), "who waits misses nothing");
    let (relay, _file) = configured("[viewer]\nplay_wait_ms = 200\n");
    let mut play = Play::start(ffmpeg(false), &relay.rtmp_url("live/none"), &[], "3");
    assert!(!play.process.exit(LIMIT).success());
    let said = play.process.stderr();
    assert!(said.contains("nobody published live/none"), "{said}");
}

#[test]
fn a_player_hears_the_end_after_the_linger_time() {
    let (relay, _file) = configured("[stream]\nlinger_ms = 1000\n");
    let url = relay.rtmp_url("live/cam");
    let (_source, publisher) = push(&recipes::PLAIN, &url);
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut play = Play::start(ffmpeg(false), &url, &[], "60");
    let mut player = Player::connect(relay.rtmp, "live", "cam", &[], None);
    player.until_said("NetStream.Play.Start");
    player.media(10);
    drop(publisher);
    player.until_said("NetStream.Play.UnpublishNotify");
    assert!(player.next().is_err(), "the connection is closed");
    play.end();
}

#[test]
fn a_player_of_a_relay_that_stops_is_told() {
    let mut relay = Weir::start();
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut player = Player::connect(relay.rtmp, "live", "cam", &[], None);
    player.until_said("NetStream.Play.Start");
    player.media(10);
    relay.terminate();
    player.until_said("the server is stopping");
    assert!(relay.exit().success());
}
