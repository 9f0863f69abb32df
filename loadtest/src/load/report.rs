//! What a run found, for people and as JSON.

use std::fmt;

use serde::Serialize;

use super::{ClientLag, Measured, Percentiles, Plan, process::Cpu, tally::Tally, times::Times};

/// How late the tester's threads may run, in microseconds at the 99th percentile: a tenth of the
/// latencies that a player would notice. Beyond, latency and loss are the tester's own.
const LAG_LIMIT_US: u64 = 20_000;

/// Bytes of a gigabyte, as in the price of traffic.
const BYTES_PER_GB: f64 = 1e9;

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Why the numbers cannot be used, or what the relay did wrong; empty for a good run.
    pub problems: Vec<String>,
    /// What was asked for.
    pub plan: Plan,
    /// Length of the measured window in seconds.
    pub window_s: f64,
    /// What the viewers received.
    pub delivery: Delivery,
    /// From the publisher's write to the viewer's read of the whole frame, in microseconds.
    pub latency_us: Percentiles,
    /// From the start of a viewer's connection to its first whole frame, in microseconds.
    pub first_frame_us: Percentiles,
    /// What it cost the relay, where its process is known.
    pub server: Option<ServerUse>,
    /// What it cost the tester.
    pub client: ClientUse,
}

/// What the viewers received, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Payload bytes that arrived inside the window.
    pub bytes: u64,
    /// Objects that arrived inside the window.
    pub objects: u64,
    /// Frames sent inside the window, times viewers.
    pub expected: u64,
    /// Of those, how many did not arrive.
    pub lost: u64,
    /// Frames, of the whole run, that were not what was sent.
    pub corrupt: u64,
    /// Frames, of the whole run, that arrived again.
    pub duplicates: u64,
    /// Objects, of the whole run, behind a later one of their stream.
    pub misordered: u64,
    /// Places, in streams of the whole run, where object ids are missing.
    pub gaps: u64,
    /// Streams that were reset or cut.
    pub streams_broken: u64,
}

/// What the window cost the relay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerUse {
    /// CPU seconds in user space.
    pub user_s: f64,
    /// CPU seconds in the kernel.
    pub system_s: f64,
    /// CPU seconds for each 10^9 payload bytes delivered.
    pub cpu_s_per_gb: f64,
    /// Resident memory with the publisher and no viewer, in bytes.
    pub rss_before_bytes: u64,
    /// Resident memory at the window's end, in bytes.
    pub rss_with_viewers_bytes: u64,
    /// The difference of those for each viewer.
    pub rss_per_viewer_bytes: u64,
}

/// What the run cost the tester.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClientUse {
    /// CPU seconds of publisher and viewers inside the window.
    pub cpu_s: f64,
    /// How late the viewers' thread woke, in microseconds.
    pub viewer_lag_us: Percentiles,
    /// How late frames were written, in microseconds.
    pub publisher_lag_us: Percentiles,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        measured: &Measured,
        tallies: &[Tally],
        latency_us: Percentiles,
        lag: ClientLag,
    ) -> Self {
        let mut report = Self {
            problems: Vec::new(),
            plan: plan.clone(),
            window_s: measured.window.as_secs_f64(),
            delivery: Delivery::new(measured, tallies),
            latency_us,
            first_frame_us: first_frames(tallies),
            server: ServerUse::new(measured, tallies.len() as u64),
            client: ClientUse {
                cpu_s: measured.client_cpu.total_s(),
                viewer_lag_us: lag.viewer_lag,
                publisher_lag_us: lag.publisher_lag,
            },
        };
        report.problems = report.find_problems();
        let early = measured.failures.len();
        if let Some(first) = measured.failures.first() {
            report.problems.push(format!(
                "{early} viewers ended early, the first because {first}"
            ));
        }
        report
    }

    fn find_problems(&self) -> Vec<String> {
        let Delivery {
            expected,
            lost,
            corrupt,
            duplicates,
            misordered,
            gaps,
            ..
        } = self.delivery;
        let mut problems = Vec::new();
        let mut check = |bad: bool, problem: String| {
            if bad {
                problems.push(problem);
            }
        };
        check(expected == 0, "no frame was sent inside the window".into());
        check(lost > 0, format!("{lost} of {expected} frames were lost"));
        check(corrupt > 0, format!("{corrupt} frames arrived corrupt"));
        check(duplicates > 0, format!("{duplicates} frames arrived twice"));
        check(
            misordered > 0,
            format!("{misordered} frames arrived out of order"),
        );
        check(gaps > 0, format!("object ids are missing in {gaps} places"));
        let broken = self.delivery.streams_broken;
        check(broken > 0, format!("{broken} streams were reset or cut"));
        for (whose, lag) in [
            ("viewers'", self.client.viewer_lag_us),
            ("publisher's", self.client.publisher_lag_us),
        ] {
            check(
                lag.p99 > LAG_LIMIT_US,
                format!(
                    "the {whose} thread ran late ({} us at p99): the tester was too slow",
                    lag.p99
                ),
            );
        }
        problems
    }
}

impl Delivery {
    fn new(measured: &Measured, tallies: &[Tally]) -> Self {
        let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum();
        let frames = measured.frames.end - measured.frames.start;
        Self {
            bytes: measured.bytes,
            objects: measured.objects,
            expected: frames * tallies.len() as u64,
            lost: tallies
                .iter()
                .map(|tally| tally.missing(measured.frames.clone()))
                .sum(),
            corrupt: sum(|tally| tally.corrupt),
            duplicates: sum(|tally| tally.duplicates),
            misordered: sum(|tally| tally.misordered),
            gaps: sum(|tally| tally.gaps),
            streams_broken: sum(|tally| tally.streams_broken),
        }
    }
}

impl ServerUse {
    fn new(measured: &Measured, viewers: u64) -> Option<Self> {
        let cpu: Cpu = measured.server_cpu?;
        let (before, with) = (measured.rss_before?, measured.rss_with_viewers?);
        Some(Self {
            user_s: cpu.user.as_secs_f64(),
            system_s: cpu.system.as_secs_f64(),
            cpu_s_per_gb: cpu.total_s() / (measured.bytes as f64 / BYTES_PER_GB),
            rss_before_bytes: before,
            rss_with_viewers_bytes: with,
            rss_per_viewer_bytes: with
                .saturating_sub(before)
                .checked_div(viewers)
                .unwrap_or(0),
        })
    }
}

fn first_frames(tallies: &[Tally]) -> Percentiles {
    let Ok(mut times) = Times::new() else {
        return Percentiles::default();
    };
    for first_frame_us in tallies.iter().filter_map(|tally| tally.first_frame_us) {
        times.record(first_frame_us);
    }
    times.percentiles()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery {
            bytes,
            objects,
            expected,
            lost,
            ..
        } = self.delivery;
        let Plan {
            viewers,
            frame_bytes,
            fps,
            gop,
            ..
        } = self.plan;
        let gigabytes = bytes as f64 / BYTES_PER_GB;
        let rate_mbit = bytes as f64 * 8e-6 / self.window_s;
        writeln!(
            f,
            "{viewers} viewers x {frame_bytes} bytes x {fps}/s, groups of {gop}"
        )?;
        writeln!(
            f,
            "delivered    {gigabytes:.3} GB, {objects} objects in {:.1} s ({rate_mbit:.0} Mbit/s)",
            self.window_s
        )?;
        writeln!(f, "lost         {lost} of {expected} frames")?;
        writeln!(f, "latency      {}", self.latency_us)?;
        writeln!(f, "first frame  {}", self.first_frame_us)?;
        match &self.server {
            Some(server) => writeln!(f, "relay        {server}")?,
            None => writeln!(f, "relay        cost unknown (--pid names its process)")?,
        }
        let ClientUse {
            cpu_s,
            viewer_lag_us,
            publisher_lag_us,
        } = self.client;
        writeln!(f, "tester       {cpu_s:.2} CPU s")?;
        writeln!(f, "  viewers ran late by    {viewer_lag_us}")?;
        writeln!(f, "  publisher ran late by  {publisher_lag_us}")?;
        for problem in &self.problems {
            writeln!(f, "INVALID: {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50, p90, p99, max, ..
        } = self;
        write!(f, "p50 {p50} us, p90 {p90}, p99 {p99}, max {max}")
    }
}

impl fmt::Display for ServerUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total_s = self.user_s + self.system_s;
        write!(
            f,
            "{:.2} CPU s/GB ({total_s:.2} s: {:.2} user, {:.2} system), RSS {} MB, {} kB a viewer",
            self.cpu_s_per_gb,
            self.user_s,
            self.system_s,
            self.rss_with_viewers_bytes / 1_000_000,
            self.rss_per_viewer_bytes / 1_000,
        )
    }
}

#[cfg(test)]
mod tests;
