//! What the kernel says a process used: `/proc/PID/stat` and `/proc/PID/status` (proc(5)).

use std::{fs, io, ops::Sub, time::Duration};

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
        parse_rss(&text).ok_or_else(|| unexpected("status"))
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let path = format!("/proc/{}/{file}", self.name);
        fs::read_to_string(&path).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))
    }
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

fn parse_rss(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
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
        let own = Process::own();
        assert!(own.rss_bytes().unwrap() > 100_000);
        own.cpu().unwrap();
        assert!(Process::new(u32::MAX).cpu().is_err());
    }
}
