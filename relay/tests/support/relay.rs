//! The `weir` binary: a relay on free ports, its HTTP side, and pulls from it.

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use super::media::Media;
use super::process::{Process, Scratch, wait_for};

/// Time for the relay to bind and say so; seconds only when the machine is busy compiling.
const START: Duration = Duration::from_secs(20);

/// Time to drain and end after SIGTERM.
const STOP: Duration = Duration::from_secs(15);

/// Time until a place is free that was taken.
const OPEN: Duration = Duration::from_secs(60);

/// Time an HTTP answer may take.
const HTTP: Duration = Duration::from_secs(5);

/// `weir` with these arguments, to be started or run; another build of it where the environment's
/// WEIR names one.
pub(crate) fn weir(args: &[&str]) -> Command {
    let built = || env!("CARGO_BIN_EXE_weir").into();
    let mut command = Command::new(env::var_os("WEIR").unwrap_or_else(built));
    command.args(args);
    command
}

/// A running relay.
pub(crate) struct Weir {
    process: Process,
    /// Where RTMP is taken.
    pub(crate) rtmp: SocketAddr,
    /// Where MoQT is served, UDP.
    pub(crate) quic: SocketAddr,
    /// Where the API is.
    pub(crate) http: SocketAddr,
}

/// An HTTP answer.
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The header lines, lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl Weir {
    /// Starts a relay on free ports of the loopback and waits until it is ready.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments for `weir serve`.
    #[track_caller]
    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", args)
    }

    /// The same with MoQT served at this address.
    #[track_caller]
    pub(crate) fn start_at(quic: &str, args: &[&str]) -> Self {
        let free = "127.0.0.1:0";
        Self::start_on([free, quic, free], args)
    }

    /// The same at these addresses for RTMP, MoQT and HTTP.
    #[track_caller]
    pub(crate) fn start_on([rtmp, quic, http]: [&str; 3], args: &[&str]) -> Self {
        let mut command = weir(&["serve", "--rtmp", rtmp, "--quic", quic, "--http", http]);
        command.args(args);
        Self::adopt(Process::spawn("weir-serve", &mut command))
    }

    /// A relay that was started in another way.
    #[track_caller]
    pub(crate) fn adopt(mut process: Process) -> Self {
        let printed = wait_for("the relay's ready line", START, || {
            let printed = process.stdout();
            if printed.lines().any(|line| line == "ready") {
                return Ok(printed);
            }
            assert!(
                process.is_running(),
                "the relay ended: {}",
                process.stderr()
            );
            Err(printed)
        });
        let address = |name: &str| {
            let line = printed
                .lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
            line.and_then(|address| address.parse().ok())
                .unwrap_or_else(|| panic!("no {name}=ADDR line in: {printed}"))
        };
        let (rtmp, quic, http) = (address("rtmp"), address("quic"), address("http"));
        Self {
            process,
            rtmp,
            quic,
            http,
        }
    }

    /// Where to push the stream `name`, such as `live/cam`.
    pub(crate) fn rtmp_url(&self, name: &str) -> String {
        format!("rtmp://{}/{name}", self.rtmp)
    }

    /// Where to pull it over raw QUIC.
    pub(crate) fn moqt_url(&self, name: &str) -> String {
        format!("moqt://{}/{name}", self.quic)
    }

    /// Where to pull it over WebTransport.
    pub(crate) fn https_url(&self, name: &str) -> String {
        format!("https://{}/{name}", self.quic)
    }

    /// The address that the relay printed under this name.
    #[track_caller]
    pub(crate) fn printed(&self, name: &str) -> SocketAddr {
        let printed = self.process.stdout();
        let mut lines = printed.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found
            .and_then(|addr| addr.parse().ok())
            .unwrap_or_else(|| panic!("{printed}"))
    }

    /// What the relay logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.stderr()
    }

    /// `GET path`.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        let mut socket = TcpStream::connect(self.http).unwrap();
        socket.set_read_timeout(Some(HTTP)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Response {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// Waits until the relay takes a connection of its API and answers it: it may have no room for
    /// one, or not have seen an earlier one end.
    #[track_caller]
    pub(crate) fn wait_open(&self) {
        wait_for("the API to be open", OPEN, || {
            let mut socket = TcpStream::connect(self.http).unwrap();
            let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            drop(socket.write_all(request));
            let mut answer = String::new();
            let read = socket.read_to_string(&mut answer);
            let ok = read.is_ok() && answer.starts_with("HTTP/1.1 200");
            ok.then_some(()).ok_or(answer)
        });
    }

    /// The answer of `/api/v1/streams`.
    #[track_caller]
    pub(crate) fn streams(&self) -> Value {
        let answer = self.get("/api/v1/streams");
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The stream `name` in the list of streams.
    #[track_caller]
    pub(crate) fn stream(&self, name: &str) -> Option<Value> {
        let streams = self.streams();
        let list = streams["streams"]
            .as_array()
            .unwrap_or_else(|| panic!("no list: {streams}"));
        list.iter().find(|stream| stream["name"] == name).cloned()
    }

    /// `/api/v1/streams/{name}`.
    #[track_caller]
    pub(crate) fn detail(&self, name: &str) -> Value {
        let answer = self.get(&format!("/api/v1/streams/{name}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Waits until the stream is live with a track for each of `tracks`.
    #[track_caller]
    pub(crate) fn wait_live(&self, name: &str, tracks: &[&str]) -> Value {
        wait_for(&format!("{name} with {tracks:?}"), START, || {
            let stream = self
                .stream(name)
                .ok_or_else(|| self.streams().to_string())?;
            let named = |track: &str| {
                stream["tracks"]
                    .as_array()
                    .is_some_and(|t| t.iter().any(|t| t["name"] == track))
            };
            let live = stream["state"] == "live" && tracks.iter().all(|track| named(track));
            if live {
                Ok(stream)
            } else {
                Err(stream.to_string())
            }
        })
    }

    /// Starts `weir pull` from `url` into a file, for `duration` (`4s`).
    #[track_caller]
    pub(crate) fn pull(&self, url: &str, duration: &str) -> Pull {
        Pull::start(&[url, "--insecure", "--duration", duration])
    }

    /// The most memory that it has had, in bytes.
    #[track_caller]
    pub(crate) fn peak_memory(&self) -> u64 {
        self.process.peak_memory()
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&mut self) {
        self.process.signal("HUP");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&mut self) {
        self.process.signal("TERM");
    }

    /// Ends it without a word to anybody.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process.signal("KILL");
        self.process.exit(STOP);
    }

    /// The exit status, which has to come soon.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.process.exit(STOP)
    }
}

/// A running `weir pull` into a file.
pub(crate) struct Pull {
    /// The process.
    pub(crate) process: Process,
    /// The FLV file it writes.
    pub(crate) file: Scratch,
}

impl Pull {
    /// Starts `weir pull` with these arguments and a file of its own.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        let file = Scratch::new("pulled.flv");
        let mut command = weir(&["pull", "-o"]);
        command.arg(file.path()).args(args);
        Self {
            process: Process::spawn("weir-pull", &mut command),
            file,
        }
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.file
            .path()
            .metadata()
            .map_or(0, |metadata| metadata.len())
    }

    /// Waits until something beyond the FLV header is there.
    #[track_caller]
    pub(crate) fn wait_flowing(&mut self) {
        let before = self.bytes().max(1_000);
        wait_for("the pull's first frames", START, || {
            if self.bytes() > before {
                return Ok(());
            }
            assert!(
                self.process.is_running(),
                "the pull ended: {}",
                self.process.stderr()
            );
            Err(format!("{} bytes", self.bytes()))
        });
    }

    /// Waits for the end, which must be a success.
    #[track_caller]
    pub(crate) fn end(&mut self, limit: Duration) {
        let status = self.process.exit(limit);
        assert!(
            status.success(),
            "weir pull: {status}: {}",
            self.process.stderr()
        );
    }

    /// What it pulled, as ffmpeg reads it.
    #[track_caller]
    pub(crate) fn media(&self) -> Media {
        Media::read(self.file.path())
    }
}
