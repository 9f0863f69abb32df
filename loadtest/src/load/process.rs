//! What the kernel says of processes and of the machine: `/proc` (proc(5)).

use std::{fs, io, ops::Sub, time::Duration};

use serde::{Deserialize, Serialize};

/// The kernel counts CPU time for user space in hundredths of a second on every architecture that
/// Linux runs servers on (`sysconf(_SC_CLK_TCK)`).
const TICK: Duration = Duration::from_millis(10);

/// A process, by the name under which `/proc` knows it.
#[derive(Clone, Debug)]
pub(super) struct Process {
    name: String,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

impl Cpu {
    pub(super) fn total_s(self) -> f64 {
        (self.user + self.system).as_secs_f64()
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// What a process has used up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu: Cpu,
    /// Resident memory in bytes.
    pub(super) rss_bytes: u64,
    /// Times that its threads gave way, by themselves or not.
    pub(super) switches: u64,
    /// Datagrams that the kernel dropped because its UDP sockets were full, where it tells.
    pub(super) udp_drops: Option<u64>,
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            name: pid.to_string(),
        }
    }

    /// The process that asks.
    pub(super) fn own() -> Self {
        Self {
            name: "self".into(),
        }
    }

    /// CPU time of all its threads since it was started.
    pub(super) fn cpu(&self) -> io::Result<Cpu> {
        let text = self.read("stat")?;
        parse_cpu(&text).ok_or_else(|| unexpected("stat"))
    }

    /// Resident memory in bytes.
    pub(super) fn rss_bytes(&self) -> io::Result<u64> {
        let text = self.read("status")?;
        let kib = field(&text, "VmRSS:").ok_or_else(|| unexpected("status"))?;
        Ok(kib * 1024)
    }

    /// All of it. CPU time is read first: the rest takes a while with many sockets.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        Ok(Usage {
            cpu: self.cpu()?,
            rss_bytes: self.rss_bytes()?,
            switches: self.switches(),
            udp_drops: self.udp_drops(),
        })
    }

    fn switches(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.name));
        let of = |task: fs::DirEntry| {
            // A thread may end while it is asked.
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let count = |name| field(&status, name).unwrap_or(0);
            count("voluntary_ctxt_switches:") + count("nonvoluntary_ctxt_switches:")
        };
        tasks.into_iter().flatten().flatten().map(of).sum()
    }

    fn udp_drops(&self) -> Option<u64> {
        let sockets = fs::read_dir(format!("/proc/{}/fd", self.name)).ok()?;
        let inode = |fd: fs::DirEntry| {
            let link = fs::read_link(fd.path()).ok()?;
            let text = link.to_str()?.strip_prefix("socket:[")?;
            text.strip_suffix(']')?.parse().ok()
        };
        let inodes: std::collections::HashSet<u64> = sockets.flatten().filter_map(inode).collect();
        let of = |file: &str| {
            let table = self.read(file).unwrap_or_default();
            parse_udp_drops(&table, |inode| inodes.contains(&inode))
        };
        Some(of("net/udp") + of("net/udp6"))
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let path = format!("/proc/{}/{file}", self.name);
        fs::read_to_string(&path).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))
    }
}

/// CPU time of one of our own threads, by its id.
pub(super) fn thread_cpu(tid: u64) -> Option<Cpu> {
    parse_cpu(&fs::read_to_string(format!("/proc/self/task/{tid}/stat")).ok()?)
}

/// The machine that a run was made on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The processor's name.
    pub cpu: String,
    /// How many of them the kernel has.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// When the run began, in UTC.
    pub date: String,
    /// The version of this program, and of a relay that it started.
    pub versions: Vec<String>,
}

impl Host {
    /// Asks the machine. What it does not tell stays empty.
    pub(super) fn read(date: String) -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let cpus = text("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.and_then(|rest| rest.split_once(':'));
        let memory = field(&text("/proc/meminfo"), "MemTotal:").unwrap_or(0);
        Self {
            cpu: model
                .map(|(_, name)| name.trim().to_owned())
                .unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory * 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            date,
            versions: vec![concat!("weir-loadtest ", env!("CARGO_PKG_VERSION")).to_owned()],
        }
    }
}

/// CPU time that all processes of the machine have used.
pub(super) fn machine_busy() -> Option<Duration> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    parse_busy(text.lines().next()?)
}

fn unexpected(file: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("/proc/PID/{file} has an unknown form"),
    )
}

fn parse_cpu(stat: &str) -> Option<Cpu> {
    // The second field is the command in parentheses, which may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    // Fields 14 and 15, counted from 1; the first one here is field 3.
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let mut next = || Some(TICK * ticks.next()?.ok()?);
    Some(Cpu {
        user: next()?,
        system: next()?,
    })
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All but idle time and the wait for disks.
fn parse_busy(line: &str) -> Option<Duration> {
    let fields = line.strip_prefix("cpu ")?.split_whitespace();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let ticks = fields
        .take(8)
        .enumerate()
        .filter(|(at, _)| !matches!(at, 3 | 4));
    let ticks = ticks.map(|(_, ticks)| ticks.parse::<u64>().ok());
    let ticks: u64 = ticks.sum::<Option<u64>>()?;
    Some(Duration::from_millis(10 * ticks))
}

/// Adds up the last column of the sockets whose inode is of interest.
fn parse_udp_drops(table: &str, wanted: impl Fn(u64) -> bool) -> u64 {
    let drops = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = fields.get(9)?.parse().ok()?;
        let drops = fields.get(12)?.parse::<u64>().ok()?;
        wanted(inode).then_some(drops)
    };
    table.lines().skip(1).filter_map(drops).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_command_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 1 0 55";
        let cpu = parse_cpu(stat).unwrap();
        assert_eq!(cpu.user, Duration::from_millis(2_500));
        assert_eq!(cpu.system, Duration::from_millis(310));
        assert_eq!(parse_cpu("42 (a) S 1 2"), None);
    }

    #[test]
    fn own_use_is_read() {
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let usage = Process::own().usage().unwrap();
        assert!(usage.rss_bytes > 100_000);
        assert!(usage.switches > 0);
        assert!(usage.udp_drops.is_some());
        assert!(Process::new(u32::MAX).usage().is_err());
        assert!(machine_busy().unwrap() >= usage.cpu.user);
        let host = Host::read(String::new());
        assert!(host.cores > 0 && host.memory_bytes > 0 && !host.kernel.is_empty());
    }

    #[test]
    fn the_machine_is_busy_with_all_but_idling() {
        let busy = parse_busy("cpu  100 20 30 9999 888 1 2 7 55 44").unwrap();
        assert_eq!(busy, Duration::from_millis(1_600));
    }

    #[test]
    fn drops_are_counted_for_the_sockets_that_were_asked_for() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 77 2 0 5\n\
            2: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 78 2 0 9";
        assert_eq!(parse_udp_drops(table, |inode| inode == 77), 5);
        assert_eq!(parse_udp_drops(table, |_| true), 14);
    }
}
