//! Child processes that die with the test, with their output in files, and bounded waiting.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long one look at a condition is apart from the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The Debian package that brings a program.
const PACKAGES: &[(&str, &str)] = &[
    ("ffmpeg", "ffmpeg"),
    ("ffprobe", "ffmpeg"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("promtool", "prometheus"),
    ("xvfb-run", "xvfb"),
    ("obs", "obs-studio"),
    ("dbus-run-session", "dbus"),
    ("openssl", "openssl"),
];

/// The real clock: these tests are about real processes.
#[expect(
    clippy::disallowed_methods,
    reason = "end-to-end tests wait for real processes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "what a program says of the time is compared with the real one"
)]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Lets real time pass; for conditions there is [`wait_for`].
pub(crate) fn sleep(time: Duration) {
    thread::sleep(time);
}

/// Looks until `look` succeeds and gives its value; after `limit` the test fails with the last
/// state that `look` reported.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let start = now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(state) if start.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; last seen: {state}")
            }
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

/// A path of its own under cargo's folder for tests; removed at the end of a test that passes.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A path that nothing else uses and that ends in `name`.
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
        fs::create_dir_all(&folder).unwrap();
        Self(folder.join(format!("{}-{number}-{name}", std::process::id())))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Its text; empty while nothing is there.
    pub(crate) fn text(&self) -> String {
        fs::read(&self.0).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !thread::panicking() {
            let removed = fs::remove_file(&self.0);
            drop(removed.or_else(|_| fs::remove_dir_all(&self.0)));
        }
    }
}

/// A child in a process group of its own; the group is killed when this is dropped, and when the
/// test fails, what it said is shown.
pub(crate) struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    stdout: Scratch,
    stderr: Scratch,
}

impl Process {
    /// Starts `command` without standard input, its output going to files.
    #[track_caller]
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Self {
        Self::spawn_reading(name, command, Stdio::null())
    }

    #[track_caller]
    fn spawn_reading(name: &str, command: &mut Command, input: Stdio) -> Self {
        let (stdout, stderr) = (Scratch::new(&format!("{name}.out")), Scratch::new(name));
        let child = command
            .stdin(input)
            .stdout(File::create(stdout.path()).unwrap())
            .stderr(File::create(stderr.path()).unwrap())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}", cannot_start(command, &error)));
        Self {
            name: name.to_owned(),
            child,
            status: None,
            stdout,
            stderr,
        }
    }

    /// Starts `command` with a pipe to its standard input.
    #[track_caller]
    pub(crate) fn spawn_fed(name: &str, command: &mut Command) -> (Self, ChildStdin) {
        let mut process = Self::spawn_reading(name, command, Stdio::piped());
        let input = process.child.stdin.take().unwrap();
        (process, input)
    }

    /// Runs `command` to its end, which has to come within `limit`.
    #[track_caller]
    pub(crate) fn run(name: &str, command: &mut Command, limit: Duration) -> Self {
        let mut process = Self::spawn(name, command);
        process.exit(limit);
        process
    }

    /// Like [`Self::run`]; an exit code other than 0 fails the test.
    #[track_caller]
    pub(crate) fn succeed(name: &str, command: &mut Command, limit: Duration) -> Self {
        let mut process = Self::run(name, command, limit);
        let status = process.exit(limit);
        assert!(status.success(), "{name}: {status}: {}", process.stderr());
        process
    }

    /// Like [`Self::succeed`], with the file at `input` as standard input.
    #[track_caller]
    pub(crate) fn filter(name: &str, command: &mut Command, input: &Path, limit: Duration) -> Self {
        let mut process = Self::spawn_reading(name, command, File::open(input).unwrap().into());
        let status = process.exit(limit);
        assert!(status.success(), "{name}: {status}: {}", process.stderr());
        process
    }

    /// What it wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The most memory that it has had, in bytes, as Linux counts it.
    #[track_caller]
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().trim().parse::<u64>().unwrap() << 10
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.status = self.status.or_else(|| self.child.try_wait().unwrap());
        self.status.is_none()
    }

    /// Its exit status, which has to come within `limit`.
    #[track_caller]
    pub(crate) fn exit(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), limit, || {
            if self.is_running() {
                Err(self.stderr())
            } else {
                Ok(())
            }
        });
        self.status.unwrap()
    }

    /// Sends a signal by its name (`TERM`, `STOP`) to its whole group, while it runs.
    pub(crate) fn signal(&mut self, signal: &str) {
        if self.is_running() {
            let group = format!("kill -s {signal} -- -{}", self.child.id());
            let sent = Command::new("sh")
                .args(["-c", &group])
                .stderr(Stdio::null())
                .status();
            drop(sent);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group can outlive its leader, so it is signalled before the leader is reaped.
        self.signal("KILL");
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!(
                "---- {} ({:?})\n{}",
                self.name,
                self.status,
                tail(&self.stderr())
            );
        }
    }
}

/// The last lines, which is where a program says why it ended.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    let package = PACKAGES
        .iter()
        .find(|(name, _)| *name == program)
        .map(|(_, package)| *package);
    match package {
        Some(package) => format!("cannot start {program}: {error}: install the package {package}"),
        None => format!("cannot start {program}: {error}"),
    }
}
