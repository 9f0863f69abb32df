//! How soon the player has a picture, how late that is, and how often it stops where packets are
//! lost: figures for people, by `make player-bench`. Nothing passes or fails by a duration, and
//! nothing is measured that is not named on the command line, so that tests pass this over.
//!
//! Everything is read from the pixels of a real Chromium: each picture carries the time at which it
//! was drawn. PLAYER_GLASS_SECONDS and PLAYER_LOSS_SECONDS set how long it takes, WEIR which build
//! of the relay is measured, and PLAYER_PEERS where `make interop` has put moq-dev's programs,
//! beside which the player is then measured.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "figures are what this is for")]

#[path = "support/support.rs"]
mod support;

use std::env;
use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Browser, Drawing, PATIENCE, Process, Scratch, Site, Viewer, Weir, now, sleep};
use weir_loadtest::impair::{Impairment, LinkConfig};

/// What a streamer's encoder sends: 720p.
const HD: Drawing = Drawing {
    size: (1280, 720),
    ..Drawing::PLAIN
};

/// The same without sound, for which ffmpeg holds pictures back.
const PICTURE: Drawing = Drawing { audio: None, ..HD };

/// Starts of which the median is told, and those before them that only warm up.
const STARTS: usize = 20;
const WARM_UP: usize = 2;

/// Time in which a player settles at its distance before that is measured.
const SETTLE: Duration = Duration::from_secs(15);

/// Time of a lossy network before which the buffer need not have adapted: as long as the player
/// remembers what came late.
const ADAPT: Duration = Duration::from_secs(120);

/// Decides which packets are lost.
const SEED: u64 = 20_261_121;

/// What can be measured, by its name.
const MEASUREMENTS: [(&str, fn()); 4] = [
    ("start", navigation_to_first_picture),
    ("glass", glass_to_glass),
    ("loss", stalls_where_packets_are_lost),
    ("peers", moq_watch_beside_it),
];

fn main() {
    for asked in env::args().skip(1) {
        let named = MEASUREMENTS.iter().find(|(name, _)| *name == asked);
        if let Some((_, measure)) = named {
            measure();
        }
    }
}

/// A whole number of seconds from the environment.
fn seconds(name: &str, usual: u64) -> Duration {
    let set = env::var(name).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(set.unwrap_or(usual))
}

/// How busy the machine is: the mean number of running threads of the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The value below which so many of a hundred are.
fn percentile(values: &[f64], hundredths: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * hundredths / 100)
        .copied()
        .unwrap_or(f64::NAN)
}

/// `p50 12 ms, p99 34 ms, 900 samples`.
fn spread(values: &[f64]) -> String {
    let [p50, p99] = [50, 99].map(|hundredths| percentile(values, hundredths));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {} samples", values.len())
}

fn number(told: &Value, name: &str) -> f64 {
    told[name].as_f64().unwrap_or(f64::NAN)
}

fn watch_url(relay: &Weir) -> String {
    format!("http://{}/watch/live/cam", relay.http)
}

/// Milliseconds from a navigation to the first picture, and the page's weight in bytes.
fn start(browser: &Browser, url: &str, tag: &str, cold: bool) -> (f64, f64) {
    browser.open("about:blank");
    if cold {
        browser.devtools("Network.clearBrowserCache", &json!({}));
    }
    let viewer = Viewer::open_watched(browser, url, tag);
    let told = viewer.wait("a picture", |told| told["pictures"].as_u64() > Some(0));
    assert_eq!(told["blurred"], 0, "{told}");
    let weight = browser.run(
        "const entries = ['navigation', 'resource'].flatMap((kind) =>
             performance.getEntriesByType(kind));
         return entries.reduce((sum, entry) => sum + entry.transferSize, 0)",
    );
    (viewer.pictures()[0].at_ms, weight.as_f64().unwrap())
}

/// Starts again and again: the times, and the page's weight in kB.
fn starts(url: &str, tag: &str, cold: bool) -> (Vec<f64>, f64) {
    let browser = Browser::start();
    let all = (0..WARM_UP + STARTS).map(|_| start(&browser, url, tag, cold));
    let (times, weights): (Vec<f64>, Vec<f64>) = all.skip(WARM_UP).unzip();
    (times, weights[0] / 1000.0)
}

/// Lateness of the pictures of `time`, once the player has settled.
fn lateness(viewer: &Viewer<'_>, time: Duration) -> Vec<f64> {
    sleep(SETTLE);
    viewer.run("seen.pictures = []");
    sleep(time);
    viewer
        .pictures()
        .iter()
        .map(|picture| picture.late_ms)
        .collect()
}

fn navigation_to_first_picture() {
    let (relay, _push) = PICTURE.live();
    sleep(SETTLE);
    for cold in [false, true] {
        let (times, kilobytes) = starts(&watch_url(&relay), "weir-player", cold);
        let cache = if cold {
            "an empty cache"
        } else {
            "a warm cache"
        };
        println!(
            "start with {cache}: {}, {kilobytes:.1} kB, load {}",
            spread(&times),
            load()
        );
    }
}

fn glass_to_glass() {
    let time = seconds("PLAYER_GLASS_SECONDS", 60);
    for heard in [false, true] {
        let drawing = if heard { HD } else { PICTURE };
        let (relay, _push) = drawing.live();
        let browser = Browser::start();
        let viewer = Viewer::open(&browser, &relay, "live/cam");
        viewer.wait_state("live");
        if heard {
            viewer.unmute();
        }
        let late = lateness(&viewer, time);
        let told = viewer.statistics();
        let relay = &relay.detail("live/cam")["latency_us"]["relay"];
        let mut line = format!(
            "glass to glass, {}: {}; ",
            if heard {
                "with sound"
            } else {
                "a picture alone"
            },
            spread(&late)
        );
        let [own, own99] = ["p50", "p99"].map(|name| number(relay, name) / 1000.0);
        write!(
            line,
            "of it Weir p50 {own:.2} ms, p99 {own99:.2} ms; the player says"
        )
        .unwrap();
        for name in ["totalMs", "networkMs", "bufferMs", "decodeMs", "jitterMs"] {
            write!(line, " {name} {:.1}", number(&told, name)).unwrap();
        }
        let [stalls, dropped] = ["stalls", "dropped"].map(|name| number(&told, name));
        println!(
            "{line}; {stalls} stalls, {dropped} dropped, load {}",
            load()
        );
    }
}

fn stalls_where_packets_are_lost() {
    let time = seconds("PLAYER_LOSS_SECONDS", 600);
    let (relay, _push) = Drawing::PLAIN.live();
    let way = LinkConfig {
        loss: 0.02,
        delay: Duration::from_millis(50),
        ..LinkConfig::default()
    };
    let listen = ([127, 0, 0, 1], 0).into();
    let proxy = Impairment::udp(listen, relay.quic, way.clone(), way, SEED).unwrap();
    let (http, quic) = (relay.http, proxy.local_addr());
    let site = Site::start(&format!(
        "<script type=module src=http://{http}/player/weir-player.js></script>
         <weir-player src=https://{quic}/live/cam></weir-player>"
    ));
    let browser = Browser::start();
    let viewer = Viewer::open_page(&browser, &site.url()).remove(0);
    viewer.wait_state("live");
    viewer.unmute();
    let (begun, mut seen, mut early) = (now(), 0.0, 0.0);
    while begun.elapsed() < time {
        sleep(Duration::from_secs(1));
        let told = viewer.statistics();
        let stalls = number(&told, "stalls");
        if stalls > seen {
            let [target, jitter] = ["targetMs", "jitterMs"].map(|name| number(&told, name));
            let at = begun.elapsed().as_secs();
            println!(
                "{at} s: {stalls} stalls, target {target:.0} ms, jitter {jitter:.0} ms, load {}",
                load()
            );
        }
        seen = stalls;
        if begun.elapsed() < ADAPT {
            early = stalls;
        }
    }
    let told = viewer.statistics();
    let late: Vec<f64> = viewer
        .pictures()
        .iter()
        .map(|picture| picture.late_ms)
        .collect();
    println!(
        "{} s with sound, 2 % lost and 50 ms each way: {early} stalls in the first two minutes, {} \
         after; stood still {:.0} ms, {} skips, {} of {} pictures dropped, glass to glass {}, \
         {} packets lost, load {}",
        time.as_secs(),
        seen - early,
        number(&told, "stalledMs"),
        told["skips"],
        told["dropped"],
        told["rendered"],
        spread(&late),
        proxy.counters().down.dropped_loss + proxy.counters().up.dropped_loss,
        load()
    );
}

/// moq-dev's programs, and a page with their player.
struct Peers {
    folder: PathBuf,
    page: Scratch,
}

impl Peers {
    /// A page's script with nothing in it but the player, as small as it gets.
    fn new(folder: PathBuf) -> Self {
        let (npm, page) = (folder.join("npm"), Scratch::new("moq-watch.js"));
        let entry = npm.join("player-bench.js");
        fs::write(&entry, "import \"@moq/watch/element\";\n").unwrap();
        let mut bundle = Command::new(npm.join("node_modules/.bin/esbuild"));
        bundle
            .arg(&entry)
            .args(["--bundle", "--minify", "--format=esm", "--target=chrome120"]);
        bundle.arg(format!("--outfile={}", page.path().display()));
        Process::succeed("esbuild", &mut bundle, PATIENCE);
        Self { folder, page }
    }

    /// A page that plays from the relay there, which has its certificate's hash at the same port.
    fn page(&self, relay: SocketAddr, name: &str) -> String {
        let script = self.page.text();
        format!(
            "<moq-watch url=http://{relay}/ name={name} muted><canvas></canvas></moq-watch>
             <script type=module>{script}</script>"
        )
    }

    /// Starts a moq-relay, pushes to it, and says where it is.
    fn relay(&self) -> (Process, support::Drawn, SocketAddr) {
        let addr = free_addr();
        let [relay, moq] = ["moq-relay", "moq"].map(|name| self.folder.join("bin").join(name));
        let mut command = Command::new(relay);
        command.args([
            "--listen",
            &addr.to_string(),
            "--web-http-listen",
            &addr.to_string(),
        ]);
        command.args(["--listen-tls-generate", "localhost", "--auth-public", "**"]);
        let process = Process::spawn("moq-relay", &mut command);
        support::wait_for("moq-relay's certificate", PATIENCE, || {
            std::net::TcpStream::connect(addr).map_err(|error| error.to_string())
        });
        let into = format!(
            "{} --connect http://{addr}/ --broadcast live/cam import flv",
            moq.display()
        );
        (process, PICTURE.pipe(&into), addr)
    }
}

/// A port that is free for TCP and UDP.
fn free_addr() -> SocketAddr {
    loop {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = socket.local_addr().unwrap();
        if UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
}

fn tell_peer(name: &str, page: &str) {
    let site = Site::start(page);
    // A page that is isolated, as the relay's own is, waits for a process of its own.
    let isolated = Site::start_isolated(page);
    for (site, how) in [(&site, "start"), (&isolated, "start in an isolated page")] {
        let (times, kilobytes) = starts(&site.url(), "moq-watch", false);
        println!(
            "{name}, {how}: {}, {kilobytes:.1} kB, load {}",
            spread(&times),
            load()
        );
    }
    let browser = Browser::start();
    let viewer = Viewer::open_watched(&browser, &site.url(), "moq-watch");
    let time = seconds("PLAYER_GLASS_SECONDS", 60);
    println!(
        "{name}, a picture alone: {}, load {}",
        spread(&lateness(&viewer, time)),
        load()
    );
}

fn moq_watch_beside_it() {
    let folder = env::var_os("PLAYER_PEERS").unwrap();
    let peers = Peers::new(folder.into());
    let (_relay, _push, addr) = peers.relay();
    tell_peer("@moq/watch on moq-relay", &peers.page(addr, "live/cam"));
    // Its player looks for the hash at the same port.
    let addr = free_addr().to_string();
    let relay = Weir::start_on(["127.0.0.1:0", &addr, &addr], &[]);
    let _push = PICTURE.push(&relay.rtmp_url("live/cam"));
    relay.wait_live("live/cam", &["video"]);
    tell_peer("@moq/watch on Weir", &peers.page(relay.http, "live/cam"));
}
