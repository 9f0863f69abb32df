//! What a run found. [`Report`] is also the format of JSON and JSONL: names stay as they are.

mod chart;
pub mod compare;
mod html;
mod kept;
mod problems;
mod text;

pub use compare::Spread;
pub use html::page as html;
pub use kept::KeptUse;

use serde::{Deserialize, Serialize};

use super::{
    Bar, Host, LoadError, Percentiles, Plan, PublishError,
    audience::latency,
    crew::Crew,
    process::Usage,
    tally::Tally,
    times::Times,
    window::{Measured, Reading},
};

/// Bytes of a gigabyte, as in the price of traffic.
const BYTES_PER_GB: f64 = 1e9;

/// What a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Why the numbers cannot be used, or what the relay did wrong; empty for a good run.
    pub problems: Vec<String>,
    /// What to keep in mind when reading the numbers.
    pub warnings: Vec<String>,
    /// What was asked for.
    pub plan: Plan,
    /// Where it ran.
    pub host: Host,
    /// Length of the measured window in seconds.
    pub window_s: f64,
    /// What the viewers received.
    pub delivery: Delivery,
    /// From the time when a frame was due to the viewer's read of all of it, in microseconds.
    pub latency_us: Percentiles,
    /// The same as a distribution.
    pub latency_bars: Vec<Bar>,
    /// From the start of a viewer's connection to its first whole frame, in microseconds.
    pub first_frame_us: Percentiles,
    /// Viewers that read too slowly on purpose.
    pub slow: Option<SlowUse>,
    /// Viewers that were served well. Reports of before this was counted lack it.
    pub kept: Option<KeptUse>,
    /// Viewers that came and went.
    pub churn: Option<ChurnUse>,
    /// What it cost the relay, where its process is known.
    pub server: Option<ServerUse>,
    /// What it cost the tester.
    pub client: ClientUse,
    /// The window, interval by interval.
    pub intervals: Vec<Interval>,
}

/// What the viewers received, added up. Those that are slow on purpose count for bytes and
/// objects only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Payload bytes that arrived inside the window.
    pub bytes: u64,
    /// Objects that arrived inside the window.
    pub objects: u64,
    /// Payload bytes that were published inside the window.
    pub bytes_published: u64,
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

/// Viewers that read too slowly on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowUse {
    /// How many they are.
    pub viewers: u64,
    /// Frames sent inside the window, times these viewers.
    pub expected: u64,
    /// Of those, how many they did not get.
    pub missed: u64,
    /// Streams that the relay gave up for them.
    pub streams_broken: u64,
    /// Frames that were not what was sent: slowness excuses none.
    pub corrupt: u64,
    /// Places in streams where object ids are missing: nor these.
    pub gaps: u64,
}

/// Viewers that came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChurnUse {
    /// How many came.
    pub joined: u64,
    /// How many saw nothing or were sent away.
    pub failed: u64,
    /// From each one's start to its first whole frame, in microseconds.
    pub first_frame_us: Percentiles,
    /// Frames that were wrong: corrupt, twice, out of order, or missing inside a stream.
    pub wrong: u64,
    /// Why the first of them failed.
    pub first_failure: Option<String>,
}

/// What the window cost the relay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// CPU seconds in user space.
    pub user_s: f64,
    /// CPU seconds in the kernel.
    pub system_s: f64,
    /// CPU seconds for each 10^9 payload bytes delivered.
    pub cpu_s_per_gb: f64,
    /// CPU seconds for each 10^9 payload bytes published.
    pub cpu_s_per_gb_published: f64,
    /// CPU microseconds for each object delivered.
    pub cpu_us_per_object: f64,
    /// Resident memory with the publishers and no viewer, in bytes.
    pub rss_before_bytes: u64,
    /// Resident memory at the window's end, in bytes.
    pub rss_with_viewers_bytes: u64,
    /// The difference of those for each viewer.
    pub rss_per_viewer_bytes: u64,
    /// Context switches for each second.
    pub switches_per_s: f64,
    /// Datagrams that its full sockets cost it, where the kernel tells.
    pub udp_drops: Option<u64>,
}

/// What the run cost the tester.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientUse {
    /// CPU seconds of publishers and viewers inside the window.
    pub cpu_s: f64,
    /// The same for each viewer and second, in microseconds.
    pub cpu_us_per_viewer_s: f64,
    /// The part of a core that the busiest thread of viewers used.
    pub busiest_thread: f64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// How late the viewers' threads woke, in microseconds.
    pub viewer_lag_us: Percentiles,
    /// How late frames were written, in microseconds.
    pub publisher_lag_us: Percentiles,
    /// Datagrams that its full sockets cost it, where the kernel tells.
    pub udp_drops: Option<u64>,
    /// CPU of everything else on the machine, in cores.
    pub others_cores: Option<f64>,
}

/// A part of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds after the window's begin.
    pub at_s: f64,
    /// Latencies of the frames that were due in it, in microseconds.
    pub latency_us: Percentiles,
    /// What all viewers received, in bits per second.
    pub rate_bps: f64,
    /// CPU of the relay, in cores.
    pub server_cores: Option<f64>,
    /// CPU of the tester, in cores.
    pub client_cores: f64,
    /// Resident memory of the relay in bytes.
    pub server_rss_bytes: Option<u64>,
}

impl Interval {
    pub(super) fn new(
        begin: &Reading,
        from: &Reading,
        to: &Reading,
        latency_us: Percentiles,
    ) -> Self {
        let seconds = ((to.at_us - from.at_us) as f64 / 1e6).max(1e-6);
        let cores = |to: &Usage, from: &Usage| (to.cpu - from.cpu).total_s() / seconds;
        let server = to.server.as_ref().zip(from.server.as_ref());
        Self {
            at_s: (to.at_us - begin.at_us) as f64 / 1e6,
            latency_us,
            rate_bps: (to.bytes - from.bytes) as f64 * 8.0 / seconds,
            server_cores: server.map(|(to, from)| cores(to, from)),
            client_cores: cores(&to.client, &from.client),
            server_rss_bytes: to.server.map(|usage| usage.rss_bytes),
        }
    }
}

/// What the viewers found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) latency: Times,
    pub(super) tallies: Vec<Tally>,
    pub(super) churn: ChurnUse,
    pub(super) lost: u64,
}

impl Found {
    pub(super) fn take(crew: &Crew, measured: &Measured) -> Result<Self, LoadError> {
        let churned = crew.churned.lock();
        let mut first_frames = Times::new()?;
        for first_frame_us in &churned.first_frames_us {
            first_frames.record(*first_frame_us);
        }
        let wrong = &churned.wrong;
        let audiences = crew.audiences();
        let plan = audiences.first().map(|audience| &audience.plan);
        let missing = |plan| super::window::missing(plan, crew, &measured.frames);
        Ok(Self {
            latency: latency(&audiences, None)?,
            tallies: crew
                .tallies
                .iter()
                .map(|tally| tally.lock().clone())
                .collect(),
            lost: plan.map_or(0, |plan| missing(plan)),
            churn: ChurnUse {
                joined: churned.joined,
                failed: churned.failed,
                first_frame_us: first_frames.percentiles(),
                wrong: wrong.corrupt + wrong.duplicates + wrong.misordered + wrong.gaps,
                first_failure: churned.first_failure.clone(),
            },
        })
    }
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        host: Host,
        measured: &Measured,
        found: &Found,
        publisher_lag: Result<Percentiles, PublishError>,
    ) -> Self {
        let delivery = Delivery::new(plan, measured, found);
        let client = ClientUse::new(plan, measured, *publisher_lag.as_ref().unwrap_or(&NONE));
        let mut report = Self {
            problems: Vec::new(),
            warnings: Vec::new(),
            plan: plan.clone(),
            host,
            window_s: measured.seconds(),
            delivery,
            latency_us: found.latency.percentiles(),
            latency_bars: found.latency.bars(),
            first_frame_us: first_frames(&found.tallies),
            slow: plan
                .slow
                .map(|_| SlowUse::new(plan, measured, &found.tallies)),
            kept: Some(KeptUse::new(plan, measured, &found.tallies)),
            churn: plan.churn.map(|_| found.churn.clone()),
            server: ServerUse::new(plan, measured, &delivery),
            client,
            intervals: measured.intervals.clone(),
        };
        report.problems = report.find_problems(&measured.failures, publisher_lag.err());
        report.warnings = report.find_warnings();
        report
    }

    /// Whether the run found the relay good and can be relied on.
    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Of no times at all.
const NONE: Percentiles = Percentiles {
    count: 0,
    p50: 0,
    p90: 0,
    p99: 0,
    max: 0,
};

/// Frames that were sent to viewer `nth` inside the window.
fn sent_to(plan: &Plan, measured: &Measured, nth: usize) -> u64 {
    let ranges = measured
        .frames
        .get(nth % plan.streams)
        .into_iter()
        .flatten();
    ranges.map(|range| range.end - range.start).sum()
}

/// Of those, how many it did not get.
fn missed_by(plan: &Plan, measured: &Measured, nth: usize, tally: &Tally) -> u64 {
    let ranges = measured
        .frames
        .get(nth % plan.streams)
        .into_iter()
        .flatten();
    let missing = ranges.zip(&plan.tracks);
    missing
        .map(|(range, track)| tally.missing(track.kind, range.clone()))
        .sum()
}

impl Delivery {
    fn new(plan: &Plan, measured: &Measured, found: &Found) -> Self {
        let steady = || {
            found
                .tallies
                .iter()
                .enumerate()
                .filter(|(nth, _)| !plan.is_slow(*nth))
        };
        let sum = |count: fn(&Tally) -> u64| steady().map(|(_, tally)| count(tally)).sum();
        Self {
            bytes: measured.end.bytes - measured.begin.bytes,
            objects: measured.end.objects - measured.begin.objects,
            bytes_published: bytes_published(plan, measured),
            expected: steady().map(|(nth, _)| sent_to(plan, measured, nth)).sum(),
            lost: found.lost,
            corrupt: sum(|tally| tally.corrupt),
            duplicates: sum(|tally| tally.duplicates),
            misordered: sum(|tally| tally.misordered),
            gaps: sum(|tally| tally.gaps),
            streams_broken: sum(|tally| tally.streams_broken),
        }
    }
}

fn bytes_published(plan: &Plan, measured: &Measured) -> u64 {
    let mut bytes = 0;
    for (stream, ranges) in measured.frames.iter().enumerate() {
        for (range, track) in ranges.iter().zip(&plan.tracks) {
            let seed = plan.seed ^ stream as u64;
            let size = |index| track.bytes(seed, index, super::MIN_FRAME_BYTES) as u64;
            bytes += range.clone().map(size).sum::<u64>();
        }
    }
    bytes
}

impl SlowUse {
    fn new(plan: &Plan, measured: &Measured, tallies: &[Tally]) -> Self {
        let mut slow = Self::default();
        for (nth, tally) in tallies
            .iter()
            .enumerate()
            .filter(|(nth, _)| plan.is_slow(*nth))
        {
            slow.viewers += 1;
            slow.expected += sent_to(plan, measured, nth);
            slow.missed += missed_by(plan, measured, nth, tally);
            slow.streams_broken += tally.streams_broken;
            slow.corrupt += tally.corrupt;
            slow.gaps += tally.gaps;
        }
        slow
    }
}

impl ServerUse {
    fn new(plan: &Plan, measured: &Measured, delivery: &Delivery) -> Option<Self> {
        let (begin, end) = (measured.begin.server?, measured.end.server?);
        let (before, with) = (measured.rss_before?, end.rss_bytes);
        let cpu = end.cpu - begin.cpu;
        let per = |amount: f64| cpu.total_s() / amount;
        Some(Self {
            user_s: cpu.user.as_secs_f64(),
            system_s: cpu.system.as_secs_f64(),
            cpu_s_per_gb: per(delivery.bytes as f64 / BYTES_PER_GB),
            cpu_s_per_gb_published: per(delivery.bytes_published as f64 / BYTES_PER_GB),
            cpu_us_per_object: per(delivery.objects as f64 / 1e6),
            rss_before_bytes: before,
            rss_with_viewers_bytes: with,
            rss_per_viewer_bytes: with.saturating_sub(before) / plan.viewers.max(1) as u64,
            switches_per_s: end.switches.saturating_sub(begin.switches) as f64 / measured.seconds(),
            udp_drops: drops(end, begin),
        })
    }
}

impl ClientUse {
    fn new(plan: &Plan, measured: &Measured, publisher_lag_us: Percentiles) -> Self {
        let (begin, end) = (&measured.begin, &measured.end);
        let seconds = measured.seconds();
        let cpu_s = (end.client.cpu - begin.client.cpu).total_s();
        let threads = end.crew.iter().zip(&begin.crew);
        let busiest = threads.map(|(end, begin)| (*end - *begin).total_s() / seconds);
        let server_s = end
            .server
            .zip(begin.server)
            .map(|(e, b)| (e.cpu - b.cpu).total_s());
        let machine_s = end.machine.zip(begin.machine);
        let machine_s = machine_s.map(|(e, b)| e.saturating_sub(b).as_secs_f64());
        let others = machine_s
            .zip(server_s)
            .map(|(all, server)| all - server - cpu_s);
        Self {
            cpu_s,
            cpu_us_per_viewer_s: cpu_s * 1e6 / plan.viewers.max(1) as f64 / seconds,
            busiest_thread: busiest.fold(0.0, f64::max),
            rss_bytes: end.client.rss_bytes,
            viewer_lag_us: measured.viewer_lag,
            publisher_lag_us,
            udp_drops: drops(end.client, begin.client),
            others_cores: others.map(|others| (others / seconds).max(0.0)),
        }
    }
}

fn drops(end: Usage, begin: Usage) -> Option<u64> {
    let (end, begin) = end.udp_drops.zip(begin.udp_drops)?;
    // A socket that was closed takes its count with it.
    Some(end.saturating_sub(begin))
}

fn first_frames(tallies: &[Tally]) -> Percentiles {
    let Ok(mut times) = Times::new() else {
        return NONE;
    };
    for first_frame_us in tallies.iter().filter_map(|tally| tally.first_frame_us) {
        times.record(first_frame_us);
    }
    times.percentiles()
}

#[cfg(test)]
mod tests;
