//! The end-to-end harness notices what it is there to notice.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::net::TcpListener;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::time::Duration;

use support::{FlvTag, Kind, Media, Process, Publisher, Scratch, opus_tags, recipes, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// A pull that got everything, changed by `change`, against its source.
fn compare(change: impl FnOnce(&mut Media)) -> Result<Option<usize>, String> {
    let source = recipes::PLAIN.make();
    let mut pulled = source.media();
    change(&mut pulled);
    let compared = AssertUnwindSafe(|| pulled.assert_part_of(&source.media(), source.gop));
    panic::catch_unwind(compared)
        .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[track_caller]
fn caught(reason: &str, change: impl FnOnce(&mut Media)) {
    let said = compare(change).unwrap_err();
    assert!(said.contains(reason), "{said}");
}

#[test]
fn a_whole_and_a_shortened_pull_are_parts_of_the_source() {
    assert_eq!(compare(|_| {}), Ok(Some(0)));
    let later = |media: &mut Media| {
        media.video.as_mut().unwrap().frames.drain(..60);
        media.audio.as_mut().unwrap().frames.drain(..100);
    };
    assert_eq!(compare(later), Ok(Some(60)));
}

#[test]
fn what_is_wrong_with_a_pull_is_caught() {
    caught("unbroken", |media| {
        drop(media.video.as_mut().unwrap().frames.remove(77))
    });
    caught("unbroken", |media| {
        drop(media.audio.as_mut().unwrap().frames.remove(77))
    });
    caught("unbroken", |media| {
        media.video.as_mut().unwrap().frames.swap(5, 6)
    });
    caught("unbroken", |media| {
        media.video.as_mut().unwrap().frames[9].hash.push('0')
    });
    caught("no key frame", |media| {
        drop(media.video.as_mut().unwrap().frames.drain(..7))
    });
    caught("on one side", |media| media.audio = None);
    caught("configuration", |media| {
        media.video.as_mut().unwrap().config.push('0')
    });
    caught("composition", |media| {
        media.video.as_mut().unwrap().frames[9].dts -= 1
    });
    caught("time moved", |media| {
        media
            .audio
            .as_mut()
            .unwrap()
            .frames
            .iter_mut()
            .for_each(late)
    });
    caught("no video frame", |media| {
        media.video.as_mut().unwrap().frames.clear()
    });
}

fn late(frame: &mut support::Frame) {
    frame.dts += 1;
    frame.pts += 1;
}

#[test]
fn runs_tell_where_a_pull_was_broken() {
    let source = recipes::PLAIN.make().media();
    let mut pulled = recipes::PLAIN.make().media();
    let video = pulled.video.as_mut().unwrap();
    video.frames.drain(40..90);
    assert_eq!(video.runs_in(source.video())[..], [(0, 40), (90, 510)]);
}

#[test]
fn the_publisher_by_hand_is_understood_by_ffmpeg() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let file = Scratch::new("listened.flv");
    let mut command = Command::new("ffmpeg");
    let url = format!("rtmp://{free}/live/cam");
    command.args([
        "-v",
        "error",
        "-listen",
        "1",
        "-i",
        &url,
        "-c",
        "copy",
        "-copyinkf",
        "-f",
        "flv",
    ]);
    let mut server = Process::spawn("ffmpeg-listen", command.arg(file.path()));
    // The server takes one connection only, so it is looked for where the kernel lists it.
    wait_for("ffmpeg to listen", LIMIT, || {
        let port = format!(":{:04X} 00000000:0000 0A", free.port());
        let listening = std::fs::read_to_string("/proc/net/tcp")
            .unwrap()
            .contains(&port);
        if listening {
            Ok(())
        } else {
            Err(server.stderr())
        }
    });
    let source = recipes::PLAIN.make();
    let mut tags = FlvTag::read_all(&source.path);
    tags.retain(|tag| tag.timestamp_ms < 2_000);
    let mut publisher = Publisher::publish(free, "live", "cam");
    tags.iter().for_each(|tag| publisher.send(tag));
    drop(publisher);
    server.exit(LIMIT);
    let listened = Media::read(file.path());
    let frames = listened.video().runs_in(source.media().video());
    assert_eq!(frames, [(0, 60)], "{}", server.stderr());
}

#[test]
fn recipes_decode_and_have_their_key_frames_where_they_say() {
    let with_video = [
        recipes::PLAIN,
        recipes::B_FRAMES,
        recipes::LONG_GOP,
        recipes::HEAVY,
        recipes::VIDEO_ONLY,
        recipes::HEVC,
        recipes::AV1,
    ];
    for recipe in with_video {
        let tags = FlvTag::read_all(&recipe.make().path);
        let frames = tags
            .iter()
            .filter(|tag| tag.kind == Kind::Video && tag.frame().is_some());
        // The frame type stands in the three bits below the enhanced header's mark; 1 is a key.
        let keys: Vec<bool> = frames.map(|tag| tag.body[0] >> 4 & 7 == 1).collect();
        assert_eq!(keys.len(), recipe.seconds * 30, "{}", recipe.name);
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(
                *key,
                number % recipe.gop == 0,
                "frame {number} of {}",
                recipe.name
            );
        }
    }
}

#[test]
fn opus_comes_in_packets_of_20_ms() {
    let tags = opus_tags(2);
    assert!(tags[0].body.starts_with(b"\x90OpusOpusHead"));
    assert!(tags[0].frame().is_none());
    assert!(
        tags[1..]
            .iter()
            .all(|tag| tag.kind == Kind::Audio && tag.frame().is_some())
    );
    assert!(
        (100..105).contains(&tags[1..].len()),
        "{} packets",
        tags.len()
    );
}

#[test]
fn a_process_dies_with_its_handle_and_takes_its_children_along() {
    let mut command = Command::new("sh");
    let process = Process::spawn("parent", command.args(["-c", "sleep 1000 & echo $!; wait"]));
    let child = wait_for("the child's id", LIMIT, || {
        process
            .stdout()
            .trim()
            .parse::<u32>()
            .map_err(|error| error.to_string())
    });
    drop(process);
    wait_for("the child's end", LIMIT, || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let gone = stat.is_empty() || stat.contains(") Z ");
        if gone { Ok(()) } else { Err(stat) }
    });
}

#[test]
fn a_missing_program_names_its_package() {
    let mut command = Command::new("promtool");
    command.env("PATH", "/no/such/folder");
    let missing = panic::catch_unwind(AssertUnwindSafe(|| {
        Process::spawn("missing", &mut command);
    }));
    let said = missing
        .unwrap_err()
        .downcast_ref::<String>()
        .unwrap()
        .clone();
    assert!(said.contains("install the package prometheus"), "{said}");
}
