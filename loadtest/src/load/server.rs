//! A relay of our own for the run: `weir serve` on free ports.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::plan::{Door, Plan, Publish, Transport};

/// How long a relay may take from its start to its ready line.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Lines of the relay's log that are kept to explain a failure.
const LOG_LINES: usize = 20;

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program could not be started.
    #[error("cannot start {path}: {error} (--weir names the relay's program)")]
    Start {
        /// The program.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It ended, closed its output or said nothing before it was ready.
    #[error("the relay did not get ready; its last words: {0}")]
    NotReady(String),
    /// It was ready without having said where it listens.
    #[error("the relay did not say where it listens for {0}")]
    NoAddress(&'static str),
}

/// A relay that ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where it takes publishers, and players of RTMP.
    rtmp: SocketAddr,
    /// Where it speaks MoQT.
    quic: SocketAddr,
}

impl Server {
    /// Starts `weir serve`, with further arguments, and waits until it is ready.
    pub(super) fn start(path: &Path, args: &[String]) -> Result<Self, ServerError> {
        let any = "127.0.0.1:0";
        let mut child = Command::new(path)
            .args(["serve", "--rtmp", any, "--quic", any, "--http", any])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ServerError::Start {
                path: path.into(),
                error,
            })?;
        let log = last_lines(child.stderr.take());
        let ready = addresses(child.stdout.take());
        // From here on dropping it ends the child.
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self {
            child,
            rtmp: any,
            quic: any,
        };
        let Ok(bound) = ready.recv_timeout(START_TIMEOUT) else {
            drop(server);
            let words = log.join().unwrap_or_default();
            return Err(ServerError::NotReady(Vec::from(words).join("\n")));
        };
        server.rtmp = bound.rtmp.ok_or(ServerError::NoAddress("rtmp"))?;
        server.quic = bound.quic.ok_or(ServerError::NoAddress("quic"))?;
        Ok(server)
    }

    /// Where publishers go.
    pub(super) fn publish(&self, publish: Publish) -> Door {
        Door::local(match publish {
            Publish::Rtmp => self.rtmp,
            Publish::Moqt => self.quic,
        })
    }

    /// Where viewers go.
    pub(super) fn watch(&self, plan: &Plan) -> Door {
        Door::local(match plan.transport {
            Transport::Rtmp => self.rtmp,
            Transport::Quic | Transport::WebTransport => self.quic,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// What a program says of itself when asked for its version.
pub(super) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the relay has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `name=addr` lines of a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bound {
    rtmp: Option<SocketAddr>,
    quic: Option<SocketAddr>,
}

impl Bound {
    /// Reads lines up to `ready`; `None` when they end before it.
    fn read(lines: impl Iterator<Item = String>) -> Option<Self> {
        let mut bound = Self::default();
        for line in lines {
            match line.split_once('=') {
                Some(("rtmp", addr)) => bound.rtmp = addr.parse().ok(),
                Some(("quic", addr)) => bound.quic = addr.parse().ok(),
                Some(_) => {}
                None if line.starts_with("ready") => return Some(bound),
                None => {}
            }
        }
        None
    }
}

/// Reads the relay's standard output to its end, in a thread: a pipe that nobody reads would block
/// the relay once it is full.
fn addresses(stdout: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Bound> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = stdout {
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            if let Some(bound) = Bound::read(&mut lines) {
                // The receiver is gone when the start has timed out.
                let _ = sender.send(bound);
            }
            lines.for_each(drop);
        });
    }
    receiver
}

/// Reads the relay's standard error to its end, in a thread that returns the last lines.
fn last_lines(stderr: Option<impl Read + Send + 'static>) -> thread::JoinHandle<VecDeque<String>> {
    thread::spawn(move || {
        let mut kept = VecDeque::new();
        let Some(stderr) = stderr else {
            return kept;
        };
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if kept.len() == LOG_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Bound> {
        Bound::read(text.lines().map(str::to_owned))
    }

    #[test]
    fn addresses_are_read_up_to_the_ready_line() {
        let text = "rtmp=127.0.0.1:1\nquic=127.0.0.1:2\nhttp=127.0.0.1:3\nready\nrtmp=1.1.1.1:1";
        let bound = read(text).unwrap();
        assert_eq!(bound.rtmp, Some(([127, 0, 0, 1], 1).into()));
        assert_eq!(bound.quic, Some(([127, 0, 0, 1], 2).into()));
        assert_eq!(read("rtmp=127.0.0.1:1\n"), None);
        assert_eq!(read("rtmp=nowhere\nready\n"), Some(Bound::default()));
    }

    #[test]
    fn a_program_that_fails_is_quoted_and_one_that_is_missing_named() {
        // It complains about the flags, as any program that is not a relay.
        let error = Server::start(Path::new("/bin/ls"), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("--rtmp"), "{error}");
        let error = Server::start(Path::new("/nowhere/weir"), &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nowhere/weir") && error.contains("--weir"),
            "{error}"
        );
    }
}
