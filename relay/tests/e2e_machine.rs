//! The machine fails the relay and not a peer: no room on a disk, a clock that is set while streams
//! run.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Process, Scratch, Weir, push, recipes, wait_for, weir};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A file that takes nothing: writing to it fails as on a disk without room.
const FULL: &str = "/dev/full";

const FREE: &str = "127.0.0.1:0";

/// A relay under a shell, whose `$0` are the words that begin it.
#[track_caller]
fn relay_under(script: &str) -> Weir {
    let program = env!("CARGO_BIN_EXE_weir");
    let serve = format!("{program} serve --rtmp {FREE} --quic {FREE} --http {FREE}");
    let mut command = Command::new("sh");
    command.args(["-c", &script.replace("$0", &serve)]);
    Weir::adopt(Process::spawn("weir-under", &mut command))
}

#[test]
fn a_log_without_room_is_no_end_of_the_relay() {
    let mut relay = relay_under(&format!("WEIR_LOG=debug exec $0 2>{FULL}"));
    let (source, mut publisher) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "4s");
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    publisher.signal("KILL");
    relay.hang_up();
    let _again = source.push(&relay.rtmp_url("live/again"));
    relay.wait_live("live/again", &["video", "audio"]);
    relay.terminate();
    assert_eq!(relay.exit().code(), Some(0));
}

#[test]
fn a_recording_without_room_ends_with_the_reason() {
    let relay = Weir::start();
    let (_source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let url = relay.moqt_url("live/cam");
    let args = ["pull", &url, "--insecure", "--duration", "2s", "-o", FULL];
    let mut pull = Process::run("pull-full", &mut weir(&args), LIMIT);
    assert_eq!(pull.exit(LIMIT).code(), Some(1));
    let said = pull.stderr();
    assert!(said.contains("cannot write"), "{said}");
    assert!(said.contains("No space left"), "{said}");
}

#[test]
fn keys_tokens_and_addresses_that_cannot_be_told_are_no_success() {
    let set = Scratch::new("keys.json");
    let jwks = weir(&["key", "--set"]).output().unwrap();
    fs::write(set.path(), &jwks.stdout).unwrap();
    let path = set.path().to_string_lossy();
    let commands: [&[&str]; 5] = [
        &["key", "live/cam"],
        &["key", "--set"],
        &["token", "--jwks", &path, "--watch", "live/*"],
        &["check", "--schema"],
        &["serve", "--rtmp", FREE, "--quic", FREE, "--http", FREE],
    ];
    for args in commands {
        let full = File::options().write(true).open(FULL).unwrap();
        let ended = weir(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("No space left"), "{args:?}: {said}");
    }
}

/// Debian's libfaketime, which is preloaded.
#[track_caller]
fn faketime() -> String {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = libraries.into_iter().find(|library| library.exists());
    let found = found.unwrap_or_else(|| panic!("no libfaketime: install the package libfaketime"));
    found.to_string_lossy().into_owned()
}

/// Sets the clock of whoever reads it there.
fn set_clock(path: &Path, offset: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, format!("{offset}\n")).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn a_clock_that_is_set_disturbs_no_stream() {
    let clock = Scratch::new("clock");
    set_clock(clock.path(), "+0");
    // The monotonic clock stays what it is, as when a clock is set.
    let environment = [
        format!("LD_PRELOAD={}", faketime()),
        "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1".to_owned(),
        format!("FAKETIME_TIMESTAMP_FILE={}", clock.path().display()),
    ];
    let environment = environment.join(" ");
    let relay = relay_under(&format!("{environment} exec $0"));
    let (source, first) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    let since = relay.wait_live("live/cam", &["video", "audio"])["since"].clone();
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "12s");
    pull.wait_flowing();
    for offset in ["+3600", "-86400", "+315360000", "+0"] {
        set_clock(clock.path(), offset);
        let mut joining = relay.pull(&relay.moqt_url("live/cam"), "2s");
        joining.end(LIMIT);
        joining.media().assert_part_of(&source.media(), source.gop);
        let stream = relay.stream("live/cam").unwrap();
        assert_eq!(stream["since"], since, "{stream}");
        for stage in ["ingest", "queue", "send", "relay"] {
            let longest = stream["latency_us"][stage]["max"].as_u64().unwrap();
            assert!(longest < 30_000_000, "{stage}: {stream}");
        }
    }
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    // Group ids begin at the clock's time: a publisher that returns to an earlier one goes on
    // upward all the same.
    set_clock(clock.path(), "-86400");
    let mut through = relay.pull(&relay.moqt_url("live/cam"), "8s");
    through.wait_flowing();
    drop(first);
    let _second = source.push(&relay.rtmp_url("live/cam"));
    wait_for("the publisher's return", LIMIT, || {
        let stream = relay.stream("live/cam").ok_or("the stream is gone")?;
        let back = stream["publisher"]["reconnects"] == 1;
        back.then_some(()).ok_or_else(|| stream.to_string())
    });
    through.end(LIMIT);
    let runs = through.media().video().group_runs_in(&source);
    assert!(
        runs.iter()
            .any(|(first, frames)| *first == 0 && *frames >= 30),
        "{runs:?}"
    );
}
