//! The measured window: what is read at its ends and in between.

use std::{io, ops::Range, thread, time::Duration};

use super::{
    LOOK, LoadError, Phase, Progress, ViewError,
    audience::percentiles,
    crew::{Brief, Crew},
    process::{Cpu, Process, Usage, machine_busy},
    publisher::Publishers,
    report::Interval,
    times::Percentiles,
};

/// Intervals of a window at most; each is at least [`MIN_INTERVAL`] long.
const INTERVALS: u32 = 600;
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How long frames may still arrive after the window's end before they count as lost: longer than
/// any viewer would wait for a live picture, and only waited for where some are missing.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Counters at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) at_us: u64,
    pub(super) server: Option<Usage>,
    pub(super) client: Usage,
    /// CPU time of each thread of viewers.
    pub(super) crew: Vec<Cpu>,
    /// CPU time of everything on the machine.
    pub(super) machine: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) objects: u64,
}

/// What was read in a window.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Memory of the relay with publishers and no viewer.
    pub(super) rss_before: Option<u64>,
    pub(super) begin: Reading,
    pub(super) end: Reading,
    pub(super) intervals: Vec<Interval>,
    /// For each stream and track, the frames that were sent inside the window.
    pub(super) frames: Vec<Vec<Range<u64>>>,
    /// How late the viewers' threads woke.
    pub(super) viewer_lag: Percentiles,
    /// Why viewers ended early.
    pub(super) failures: Vec<ViewError>,
}

impl Measured {
    pub(super) fn seconds(&self) -> f64 {
        (self.end.at_us - self.begin.at_us) as f64 / 1e6
    }
}

/// Everything that takes part.
pub(super) struct Session<'a> {
    pub(super) brief: &'a Brief,
    pub(super) crew: &'a Crew,
    pub(super) publishers: &'a Publishers,
    pub(super) process: Option<&'a Process>,
}

/// The length of a window's intervals.
pub(super) fn interval(window: Duration) -> Duration {
    (window / INTERVALS).max(MIN_INTERVAL).min(window)
}

impl Session<'_> {
    /// Opens the window, reads at each interval, closes it, and waits for what is missing.
    pub(super) fn measure(
        &self,
        interval: Duration,
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Measured, LoadError> {
        let (plan, clock) = (&self.brief.plan, self.brief.clock);
        self.crew.reset_lag();
        let begin = self.read()?;
        self.brief.window.open(clock.now_us());
        let first = self.publishers.next();
        let intervals = self.watch(&begin, interval, watch)?;
        self.brief.window.close(clock.now_us());
        let next = self.publishers.next();
        let end = self.read()?;
        let viewer_lag = self.crew.lag()?;
        let pairs = first.into_iter().zip(next);
        let frames = pairs.map(|(from, to)| from.into_iter().zip(to).map(|(a, b)| a..b).collect());
        let measured = Measured {
            begin,
            end,
            intervals,
            frames: frames.collect(),
            viewer_lag,
            ..Measured::default()
        };
        watch(Progress {
            joined: plan.viewers,
            ..Progress::of(Phase::Drain)
        });
        self.wait_for_missing(&measured);
        Ok(Measured {
            failures: self.crew.failures(),
            ..measured
        })
    }

    /// Reads at the end of each interval of the window.
    fn watch(
        &self,
        begin: &Reading,
        interval: Duration,
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<Interval>, LoadError> {
        let (plan, clock) = (&self.brief.plan, self.brief.clock);
        let end_us = begin.at_us + plan.window.as_micros() as u64;
        let audiences = self.crew.audiences();
        let mut intervals: Vec<Interval> = Vec::new();
        let mut last = begin.clone();
        loop {
            let next_us = end_us.min(last.at_us + interval.as_micros() as u64);
            while clock.now_us() < next_us {
                let left = Duration::from_micros(next_us.saturating_sub(clock.now_us()));
                thread::sleep(left.min(LOOK));
                let share = (clock.now_us() - begin.at_us) as f64 / plan.window.as_micros() as f64;
                watch(Progress {
                    phase: Phase::Measure,
                    joined: plan.viewers,
                    share: share.min(1.0),
                    interval: intervals.last(),
                });
            }
            if clock.now_us() >= end_us {
                break;
            }
            let reading = self.read()?;
            let latency = percentiles(&audiences, intervals.len());
            intervals.push(Interval::new(begin, &last, &reading, latency));
            last = reading;
        }
        let latency = percentiles(&audiences, intervals.len());
        intervals.push(Interval::new(begin, &last, &self.read()?, latency));
        Ok(intervals)
    }

    fn read(&self) -> io::Result<Reading> {
        let (bytes, objects) = self.crew.received();
        Ok(Reading {
            at_us: self.brief.clock.now_us(),
            server: self.process.map(Process::usage).transpose()?,
            client: Process::own().usage()?,
            crew: self.crew.cpu(),
            machine: machine_busy(),
            bytes,
            objects,
        })
    }

    fn wait_for_missing(&self, measured: &Measured) {
        let clock = self.brief.clock;
        let deadline_us = clock.now_us() + DRAIN_TIMEOUT.as_micros() as u64;
        while missing(&self.brief.plan, self.crew, &measured.frames) > 0
            && clock.now_us() < deadline_us
        {
            thread::sleep(LOOK);
        }
    }
}

/// Frames that viewers should have and have not; slow ones are not expected to have all.
pub(super) fn missing(plan: &super::Plan, crew: &Crew, frames: &[Vec<Range<u64>>]) -> u64 {
    let steady = crew.tallies.iter().enumerate();
    let steady = steady.filter(|(nth, _)| !plan.is_slow(*nth));
    let of = |(nth, tally): (
        usize,
        &std::sync::Arc<parking_lot::Mutex<super::tally::Tally>>,
    )| {
        let tally = tally.lock();
        let ranges = frames.get(nth % plan.streams).into_iter().flatten();
        let tracks = ranges.zip(&plan.tracks);
        tracks
            .map(|(range, track)| tally.missing(track.kind, range.clone()))
            .sum::<u64>()
    };
    steady.map(of).sum()
}
