//! Starting a contestant and waiting until it listens.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{Contestant, Programs};
use crate::{
    clock::Clock,
    load::{Door, Relay},
};

/// How long a contestant may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(50);

/// Free ports are asked for this often: the TCP port of a free UDP port may be taken.
const PORT_TRIES: usize = 50;

/// Why a contestant does not run.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The program could not be started.
    #[error("cannot start {}: {error} ({advice})", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        error: io::Error,
        /// How to get it.
        advice: &'static str,
    },
    /// It ended before it listened, or did not listen in time.
    #[error(
        "{} does not listen on port {port} (its configuration and log are in {}); its last words: \
         {words}",
        program.display(),
        folder.display()
    )]
    NotReady {
        /// The program.
        program: PathBuf,
        /// Where it was to listen.
        port: u16,
        /// Its configuration and log, which stay there.
        folder: PathBuf,
        /// The end of its log.
        words: String,
    },
    /// No certificate could be made for it.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A contestant that runs; it ends with this value.
#[derive(Debug)]
pub struct Running {
    /// What a run needs to know of it.
    pub relay: Relay,
    child: Option<Child>,
    folder: Option<Folder>,
}

/// A contestant's configuration and log, removed with this value unless they are to be kept.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Running {
    /// Starts a contestant on free ports.
    ///
    /// # Errors
    /// When it does not start, or does not listen.
    pub fn start(contestant: Contestant, programs: &Programs) -> Result<Self, PeerError> {
        match contestant {
            Contestant::Weir => Ok(weir(&programs.weir, &[])),
            Contestant::WeirOneShard => Ok(weir(&programs.weir, &["--shards", "1"])),
            Contestant::MoqRelay => moq_relay(&programs.moq_relay, &[]),
            Contestant::MoqRelayOneWorker => {
                moq_relay(&programs.moq_relay, &["--runtime-workers", "1"])
            }
            Contestant::Nginx => nginx(&programs.nginx, &programs.nginx_rtmp),
        }
    }

    /// Leaves its configuration and log where they are, for who looks why a run failed. Returns
    /// where, unless it has none.
    pub fn keep_folder(&mut self) -> Option<&Path> {
        self.folder.as_mut().map(Folder::keep)
    }
}

impl Folder {
    fn new(port: u16) -> io::Result<Self> {
        let name = format!("weir-peers-{}-{port}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self { path, kept: false })
    }

    fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // What is left in the system's temporary folder harms nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // nginx's worker ends when its master does so in good order.
            let terminated = Command::new("kill").arg(child.id().to_string()).status();
            if terminated.is_ok_and(|status| status.success()) {
                let clock = Clock::start();
                while matches!(child.try_wait(), Ok(None)) && clock.now_us() < 3_000_000 {
                    thread::sleep(LOOK);
                }
            }
            // Both fail only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The run itself starts it, finds its ports and ends it.
fn weir(program: &Path, args: &[&str]) -> Running {
    Running {
        relay: Relay::Start {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        },
        child: None,
        folder: None,
    }
}

fn moq_relay(program: &Path, args: &[&str]) -> Result<Running, PeerError> {
    let port = free_port()?;
    let mut folder = Folder::new(port)?;
    let (certificate, key) = certificate(&folder.path)?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut command = Command::new(program);
    command
        .args(["--listen", &addr.to_string()])
        .arg("--listen-tls-cert")
        .arg(&certificate)
        .arg("--listen-tls-key")
        .arg(&key)
        .args(["--auth-public", "**"])
        .args(args);
    let advice = "`make peers` installs it from crates.io";
    let mut child = spawn(command, &folder.path, program, advice)?;
    wait(&mut child, program, &mut folder, port, |_| {
        // A port that somebody has cannot be bound again.
        UdpSocket::bind(addr).is_err()
    })?;
    let pid = child.id();
    Ok(Running {
        relay: running(addr, pid),
        child: Some(child),
        folder: Some(folder),
    })
}

/// A certificate for this machine and its key, as files: its workers generate none. They have a
/// folder of their own, because it is watched, and a log beside them would be news without end.
fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf), PeerError> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let folder = folder.join("tls");
    fs::create_dir_all(&folder)?;
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((certificate, key))
}

fn nginx(program: &Path, module: &Path) -> Result<Running, PeerError> {
    let port = free_port()?;
    let mut folder = Folder::new(port)?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let file = folder.path.join("nginx.conf");
    fs::write(&file, nginx_config(module, addr, &folder.path))?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).arg("-p").arg(&folder.path);
    let advice = "Debian: apt-get install nginx libnginx-mod-rtmp";
    let mut child = spawn(command, &folder.path, program, advice)?;
    wait(&mut child, program, &mut folder, port, |folder| {
        TcpStream::connect(addr).is_ok() && worker(child_id(folder)).is_some()
    })?;
    let pid = worker(Some(child.id())).unwrap_or_else(|| child.id());
    Ok(Running {
        relay: running(addr, pid),
        child: Some(child),
        folder: Some(folder),
    })
}

fn running(addr: SocketAddr, pid: u32) -> Relay {
    Relay::Running {
        publish: Door::local(addr),
        watch: Door::local(addr),
        pid: Some(pid),
    }
}

/// Live relaying and nothing else.
fn nginx_config(module: &Path, addr: SocketAddr, folder: &Path) -> String {
    let (module, folder) = (module.display(), folder.display());
    format!(
        "load_module {module};\ndaemon off;\nworker_processes 1;\nuser root;\n\
         pid {folder}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 8192; }}\n\
         rtmp {{\n  access_log off;\n  server {{\n    listen {addr};\n    chunk_size 4096;\n    \
         application live {{ live on; record off; }}\n  }}\n}}\n"
    )
}

/// nginx writes its number down.
fn child_id(folder: &Path) -> Option<u32> {
    let text = fs::read_to_string(folder.join("nginx.pid")).ok()?;
    text.trim().parse().ok()
}

/// The first child of a process: nginx's worker, which does the work.
fn worker(pid: Option<u32>) -> Option<u32> {
    let pid = pid?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn spawn(
    mut command: Command,
    folder: &Path,
    program: &Path,
    advice: &'static str,
) -> Result<Child, PeerError> {
    let log = fs::File::create(folder.join("log"))?;
    command
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command.spawn().map_err(|error| PeerError::Start {
        program: program.to_owned(),
        error,
        advice,
    })
}

/// Waits until a contestant listens, and ends it when it does not.
fn wait(
    child: &mut Child,
    program: &Path,
    folder: &mut Folder,
    port: u16,
    listens: impl Fn(&Path) -> bool,
) -> Result<(), PeerError> {
    let clock = Clock::start();
    loop {
        let ended = child.try_wait()?.is_some();
        if !ended && listens(&folder.path) {
            return Ok(());
        }
        if ended || u128::from(clock.now_us()) > START_TIMEOUT.as_micros() {
            // Both fail only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(folder.path.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let words = lines
                .get(lines.len().saturating_sub(10)..)
                .unwrap_or_default();
            return Err(PeerError::NotReady {
                program: program.to_owned(),
                port,
                folder: folder.keep().to_owned(),
                words: words.join("\n"),
            });
        }
        thread::sleep(LOOK);
    }
}

/// A port of this machine that is free for UDP and TCP.
fn free_port() -> io::Result<u16> {
    let mut last = io::Error::other("no port is free for both UDP and TCP");
    for _ in 0..PORT_TRIES {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let addr = socket.local_addr()?;
        match TcpListener::bind(addr) {
            Ok(_) => return Ok(addr.port()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_with_what_brings_it() {
        let error = moq_relay(Path::new("/nowhere/moq-relay"), &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/nowhere/moq-relay") && text.contains("make peers"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_does_not_listen_is_quoted() {
        let error = moq_relay(Path::new("/bin/ls"), &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("does not listen") && text.contains("--listen"),
            "{text}"
        );
        let PeerError::NotReady { folder, .. } = error else {
            panic!("{text}");
        };
        assert!(text.contains(&folder.display().to_string()), "{text}");
        assert!(folder.join("log").is_file(), "it is there to be looked at");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_a_contestant_was_given_goes_with_it_unless_it_is_kept() {
        let mut kept = Folder::new(1).unwrap();
        let path = kept.keep().to_owned();
        drop(kept);
        assert!(path.is_dir());
        drop(Folder::new(1).unwrap());
        assert!(!path.exists());
    }
}
