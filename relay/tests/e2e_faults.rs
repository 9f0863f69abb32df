//! Bad networks, bad peers and bad luck: the stream comes back or is refused with a reason, and
//! those who behave notice nothing.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stderr, reason = "what was measured is told")]

#[path = "support/support.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use support::{
    FlvTag, Habits, MoqtClient, Process, Publisher, Pull, Weir, now, push, recipes, wait_for, weir,
};
use weir_loadtest::impair::{Impairment, LinkConfig, Window};
use weir_protocol::moqt::{Params, Version};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(90);

/// Seed of every link: the same decisions in each run.
const SEED: u64 = 11;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A pull over a network like this one, beside one over none. What the first gets has no hole
/// within a group, and the second gets everything.
fn over(network: LinkConfig, least_frames: usize) {
    let relay = Weir::start();
    let up = LinkConfig {
        blackholes: network.blackholes.clone(),
        ..LinkConfig::default()
    };
    let bad = Impairment::udp(ANY, relay.quic, up, network, SEED).unwrap();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut good = relay.pull(&relay.moqt_url("live/cam"), "14s");
    let url = format!("moqt://{}/live/cam", bad.local_addr());
    let mut pull = Pull::start(&[&url, "--insecure", "--duration", "12s"]);
    pull.end(LIMIT);
    let runs = pull.media().video().group_runs_in(&source);
    let frames: usize = runs.iter().map(|(_, frames)| frames).sum();
    eprintln!("{frames} frames in {} runs", runs.len());
    assert!(frames >= least_frames, "{runs:?}");
    good.end(LIMIT);
    good.media().assert_part_of(&source.media(), source.gop);
}

fn lossy(loss: f64) -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(20),
        loss,
        ..LinkConfig::default()
    }
}

#[test]
fn a_network_that_loses_little_costs_nothing() {
    over(lossy(0.01), 250);
}

#[test]
fn a_network_that_loses_a_twentieth_is_borne() {
    over(lossy(0.05), 200);
}

#[test]
fn a_network_that_loses_a_fifth_gets_what_it_can_carry() {
    over(lossy(0.2), 60);
}

#[test]
fn late_and_out_of_order_packets_cost_nothing() {
    let network = LinkConfig {
        delay: Duration::from_millis(200),
        reorder: 0.1,
        duplicate: 0.05,
        ..LinkConfig::default()
    };
    over(network, 200);
}

#[test]
fn a_viewer_goes_on_after_a_blackhole() {
    let window = Window {
        from_us: 5_000_000,
        to_us: 9_000_000,
    };
    let network = LinkConfig {
        blackholes: vec![window],
        ..LinkConfig::default()
    };
    over(network, 90);
}

/// A relay on ports that the next one can have, too.
fn relay_at(addrs: [SocketAddr; 3]) -> Process {
    let [rtmp, quic, http] = addrs.map(|addr| addr.to_string());
    let args = ["serve", "--rtmp", &rtmp, "--quic", &quic, "--http", &http];
    let process = Process::spawn("weir-again", &mut weir(&args));
    wait_for("the relay's ready line", LIMIT, || {
        let ready = process.stdout().contains("ready");
        ready.then_some(()).ok_or_else(|| process.stderr())
    });
    process
}

#[test]
fn a_killed_relay_is_back_as_soon_as_it_is_started() {
    let mut relay = Weir::start();
    let addrs = [relay.rtmp, relay.quic, relay.http];
    let source = recipes::PLAIN.make();
    let mut tags = FlvTag::read_all(&source.path);
    tags.retain(|tag| tag.timestamp_ms < 4_000);
    let mut publisher = Publisher::publish(relay.rtmp, "live", "cam");
    tags.iter().for_each(|tag| publisher.send(tag));
    let viewer = MoqtClient::connect(relay.quic, Version::Draft19);
    relay.signal("KILL");
    relay.exit();
    let killed = now();
    let _again = relay_at(addrs);
    let back = killed.elapsed();
    drop((publisher, viewer));
    let mut publisher = Publisher::publish(addrs[0], "live", "cam");
    let mut viewer = MoqtClient::connect(addrs[1], Version::Draft19);
    let subscribed = wait_for("the stream", LIMIT, || {
        tags.iter().take(40).for_each(|tag| publisher.send(tag));
        let mut asked = viewer.subscribe("video", Params::default());
        match asked.next() {
            Some(weir_protocol::moqt::Message::SubscribeOk(ok)) => Ok((asked, ok)),
            other => Err(format!("{other:?}")),
        }
    });
    tags.iter().for_each(|tag| publisher.send(tag));
    let groups = |groups: &[support::GroupStream]| !groups.is_empty();
    viewer.wait_groups("frames again", subscribed.1.alias, groups);
    eprintln!("serves after {back:?}, frames after {:?}", killed.elapsed());
}

#[test]
fn a_relay_without_descriptors_keeps_those_it_has_and_recovers() {
    let program = env!("CARGO_BIN_EXE_weir");
    let script = format!("ulimit -n 48; exec {program} serve --shards 1 $0");
    let mut command = std::process::Command::new("sh");
    let free = "127.0.0.1:0";
    let addresses = format!("--rtmp {free} --quic {free} --http {free}");
    command.args(["-c", &script.replace("$0", &addresses)]);
    let relay = Weir::adopt(Process::spawn("weir-few", &mut command));
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "8s");
    pull.wait_flowing();
    let held: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(relay.rtmp).unwrap())
        .collect();
    wait_for("the relay to notice", LIMIT, || {
        let log = relay.log();
        log.contains("cannot accept").then_some(()).ok_or(log)
    });
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    drop(held);
    relay.wait_open();
}

#[test]
fn peers_that_say_nothing_are_given_up_and_disturb_nobody() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "15s");
    pull.wait_flowing();
    let silent = |addr: SocketAddr, hello: &[u8]| {
        let mut socket = TcpStream::connect(addr).unwrap();
        drop(socket.write_all(hello));
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket
    };
    let mut held: Vec<TcpStream> = (0..100).map(|_| silent(relay.rtmp, &[3])).collect();
    held.extend((0..100).map(|_| silent(relay.http, b"GET / HT")));
    let habits = Habits {
        silent: true,
        ..Habits::default()
    };
    let silent = |_| MoqtClient::with_habits(relay.quic, Version::Draft19, habits);
    let viewers: Vec<MoqtClient> = (0..20).map(silent).collect();
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    for mut socket in held {
        let mut answer = Vec::new();
        // Closed, or reset; what HTTP says before that is its own.
        drop(socket.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    for viewer in viewers {
        let (_, reason) = viewer.closed();
        assert!(reason.contains("SETUP"), "{reason}");
    }
    wait_for("the sessions to be gone", LIMIT, || {
        let body = relay.get("/api/v1/limits").body;
        let list: serde_json::Value = serde_json::from_str(&body).unwrap();
        let limits = list["limits"].as_array().unwrap();
        let sessions = limits
            .iter()
            .find(|limit| limit["name"] == "limits.sessions");
        let none = sessions.is_some_and(|sessions| sessions["used"] == 0);
        none.then_some(()).ok_or(body)
    });
}

/// Every file of the corpora in these folders.
#[track_caller]
fn corpus(folders: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut files = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            files.push(fs::read(entry.unwrap().path()).unwrap());
        }
    }
    assert!(files.len() > 10, "the corpora are there");
    files
}

#[test]
fn malformed_input_at_every_door_disturbs_nobody() {
    let relay = Weir::start();
    let (source, _push) = push(&recipes::PLAIN, &relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video", "audio"]);
    let mut pull = relay.pull(&relay.moqt_url("live/cam"), "18s");
    pull.wait_flowing();
    let began = now();
    let enough = || began.elapsed() > Duration::from_secs(10);
    let tcp = corpus(&["handshake", "rtmp_session", "chunk", "amf0", "flv"]);
    for bytes in tcp.iter().take_while(|_| !enough()) {
        for addr in [relay.rtmp, relay.http] {
            drop(TcpStream::connect(addr).unwrap().write_all(bytes));
        }
    }
    let publisher = |bytes: &Vec<u8>| {
        let mut publisher = Publisher::publish(relay.rtmp, "live", "noise");
        drop(publisher.raw(bytes));
    };
    tcp.iter()
        .take(60)
        .take_while(|_| !enough())
        .for_each(publisher);
    let quic = corpus(&["moqt_message", "subgroup", "fetch_stream"]);
    for bytes in quic.iter().take(60).take_while(|_| !enough()) {
        let client = MoqtClient::connect(relay.quic, Version::Draft19);
        client.throw_request(bytes);
        client.throw_data(bytes);
    }
    pull.end(LIMIT);
    pull.media().assert_part_of(&source.media(), source.gop);
    assert!(!relay.log().contains("panicked"), "{}", relay.log());
}
