//! What this process takes: CPU time and memory, where the system tells.

use std::fs;

/// CPU time since the start in seconds, user and system.
pub(super) fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    cpu_of(&stat)
}

/// Resident memory in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    resident_of(&status)
}

/// Four fifths of what this process may have: the control group's limit, or the machine's memory.
pub(super) fn most_of_memory() -> u64 {
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kib_of(&text, "MemTotal:"));
    let most = [group, machine].into_iter().flatten().min();
    most.map_or(u64::MAX, |bytes| bytes / 5 * 4)
}

/// The 14th and 15th field, counted behind the name, which may have anything in it (proc(5)).
fn cpu_of(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn resident_of(status: &str) -> Option<u64> {
    kib_of(status, "VmRSS:")
}

/// The bytes of a line that says kibibytes.
fn kib_of(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// USER_HZ, which Linux tells programs since it began, whatever its own ticks are.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_skipped() {
        let stat = "7 (we) ir) (x) S 1 7 7 0 -1 4194560 900 0 0 0 250 125 0 0 20 0 9 0 5 1";
        assert_eq!(cpu_of(stat), Some(3.75));
        assert_eq!(cpu_of("7 (weir) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(
            resident_of("Name:\tweir\nVmRSS:\t   2048 kB\n"),
            Some(2_097_152)
        );
        assert_eq!(resident_of("Name:\tweir\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_told() {
        assert!(cpu_s().is_some());
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!((32 << 20..1 << 50).contains(&most_of_memory()));
    }
}
