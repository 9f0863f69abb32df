//! What the viewers of one thread share: whom they watch, and where they put what they measure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hdrhistogram::CreationError;
use parking_lot::Mutex;

use super::{
    media::Kind,
    payload::{Frames, Stamp},
    plan::{Door, Plan},
    tally::{StreamOrder, Tally},
    times::{Percentiles, Times},
};
use crate::clock::Clock;

/// Intervals of a run at most, each with a distribution of its own (20 kB).
const MAX_INTERVALS: usize = 4_096;

/// What the viewers of one thread share.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) plan: Arc<Plan>,
    pub(super) door: Door,
    pub(super) clock: Clock,
    pub(super) frames: Arc<Frames>,
    pub(super) window: Arc<Window>,
    /// Latencies, by the interval in which the frame was due.
    recorder: Mutex<Recorder>,
    /// Payload bytes received so far.
    pub(super) bytes: AtomicU64,
    /// Frames received so far.
    pub(super) objects: AtomicU64,
}

/// The times of sending whose latency counts, in microseconds on the run's clock.
#[derive(Debug)]
pub(super) struct Window {
    from_us: AtomicU64,
    to_us: AtomicU64,
    interval_us: u64,
}

impl Window {
    /// A window that has not begun.
    pub(super) fn new(interval_us: u64) -> Self {
        Self {
            from_us: AtomicU64::new(u64::MAX),
            to_us: AtomicU64::new(u64::MAX),
            interval_us: interval_us.max(1),
        }
    }

    pub(super) fn open(&self, now_us: u64) {
        self.from_us.store(now_us, Ordering::Relaxed);
    }

    pub(super) fn close(&self, now_us: u64) {
        self.to_us.store(now_us, Ordering::Relaxed);
    }

    /// The interval of a time inside the window.
    fn interval(&self, at_us: u64) -> Option<usize> {
        let from_us = self.from_us.load(Ordering::Relaxed);
        let inside = (from_us..self.to_us.load(Ordering::Relaxed)).contains(&at_us);
        inside.then(|| ((at_us - from_us) / self.interval_us) as usize)
    }
}

/// Latencies of a window: of all of it, and of each of its intervals.
#[derive(Debug)]
struct Recorder {
    all: Times,
    intervals: Vec<Times>,
    empty: Times,
}

impl Recorder {
    fn record(&mut self, interval: usize, micros: u64) {
        self.all.record(micros);
        if interval >= MAX_INTERVALS {
            return;
        }
        while self.intervals.len() <= interval {
            self.intervals.push(self.empty.clone());
        }
        if let Some(times) = self.intervals.get_mut(interval) {
            times.record(micros);
        }
    }
}

impl Audience {
    pub(super) fn new(
        plan: Arc<Plan>,
        door: Door,
        clock: Clock,
        frames: Arc<Frames>,
        window: Arc<Window>,
    ) -> Result<Self, CreationError> {
        let recorder = Recorder {
            all: Times::new()?,
            intervals: Vec::new(),
            empty: Times::new()?,
        };
        Ok(Self {
            plan,
            door,
            clock,
            frames,
            window,
            recorder: Mutex::new(recorder),
            bytes: 0.into(),
            objects: 0.into(),
        })
    }

    /// Adds what was recorded in interval `nth`, or in the whole window, to `times`.
    pub(super) fn add_latency(&self, interval: Option<usize>, times: &mut Times) {
        let recorder = self.recorder.lock();
        match interval {
            None => times.merge(&recorder.all),
            Some(nth) => recorder
                .intervals
                .get(nth)
                .into_iter()
                .for_each(|own| times.merge(own)),
        }
    }
}

/// Where one viewer puts what it receives.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) audience: Arc<Audience>,
    pub(super) tally: Arc<Mutex<Tally>>,
    /// The stream it watches.
    pub(super) stream: u32,
    /// When it began to connect, on the run's clock.
    pub(super) began_us: u64,
    /// Whether its latencies count: those of a viewer that reads slowly are its own.
    pub(super) counts: bool,
}

impl Desk {
    /// Notes an object: its id, its payload, and the order of its stream when it came on one.
    pub(super) fn on_object(&self, id: u64, payload: &[u8], order: Option<&mut StreamOrder>) {
        let audience = &*self.audience;
        let now_us = audience.clock.now_us();
        let bytes = payload.len() as u64;
        audience.bytes.fetch_add(bytes, Ordering::Relaxed);
        audience.objects.fetch_add(1, Ordering::Relaxed);
        let mut tally = self.tally.lock();
        let kind = kind_of(payload);
        let stamp = audience.frames.check(kind, payload);
        let Some(stamp) = stamp.ok().filter(|stamp| self.expects(kind, stamp)) else {
            tally.corrupt += 1;
            return;
        };
        tally.on_frame(kind, stamp.index);
        if let Some(order) = order {
            order.on_object(kind, id, stamp.index, &mut tally);
        }
        let began_us = self.began_us;
        tally
            .first_frame_us
            .get_or_insert_with(|| now_us.saturating_sub(began_us));
        let interval = audience.window.interval(stamp.due_us);
        if let Some(interval) = interval.filter(|_| self.counts) {
            let late_us = now_us.saturating_sub(stamp.due_us);
            tally.on_due(late_us, audience.plan.kept_below.as_micros() as u64);
            drop(tally);
            audience.recorder.lock().record(interval, late_us);
        }
    }

    fn expects(&self, kind: Kind, stamp: &Stamp) -> bool {
        stamp.stream == self.stream && stamp.kind == kind
    }

    /// Notes a stream that was reset, cut or senseless.
    pub(super) fn on_broken_stream(&self) {
        self.tally.lock().streams_broken += 1;
    }
}

/// Video begins with the length of a NAL unit, which is no gigabyte; every byte of audio has its
/// high bit set.
fn kind_of(payload: &[u8]) -> Kind {
    match payload.first() {
        Some(byte) if byte & 0x80 != 0 => Kind::Audio,
        Some(_) | None => Kind::Video,
    }
}

/// The latencies that several audiences recorded together.
pub(super) fn latency(
    audiences: &[Arc<Audience>],
    interval: Option<usize>,
) -> Result<Times, CreationError> {
    let mut times = Times::new()?;
    for audience in audiences {
        audience.add_latency(interval, &mut times);
    }
    Ok(times)
}

/// The same as percentiles.
pub(super) fn percentiles(audiences: &[Arc<Audience>], interval: usize) -> Percentiles {
    let times = latency(audiences, Some(interval));
    times.map(|times| times.percentiles()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::plan::tests::plan, *};

    fn desk(stream: u32) -> Desk {
        let window = Window::new(1_000_000);
        window.open(0);
        let addr = ([127, 0, 0, 1], 1).into();
        let audience = Audience::new(
            Arc::new(plan()),
            Door::local(addr),
            Clock::start(),
            Arc::new(Frames::new()),
            Arc::new(window),
        );
        Desk {
            audience: Arc::new(audience.unwrap()),
            tally: Arc::default(),
            stream,
            began_us: 0,
            counts: true,
        }
    }

    fn frame(desk: &Desk, kind: Kind, index: u64) -> Vec<u8> {
        let stamp = Stamp {
            stream: 3,
            kind,
            index,
            due_us: 0,
        };
        let mut out = Vec::new();
        desk.audience.frames.write(stamp, true, 200, &mut out);
        out
    }

    #[test]
    fn objects_of_both_tracks_are_counted_and_timed() {
        let desk = desk(3);
        for kind in [Kind::Video, Kind::Audio] {
            let mut order = StreamOrder::new(0);
            for index in 0..4 {
                let payload = frame(&desk, kind, index);
                desk.on_object(index, &payload, Some(&mut order));
            }
        }
        let tally = desk.tally.lock().clone();
        assert_eq!((tally.corrupt, tally.gaps, tally.misordered), (0, 0, 0));
        assert_eq!(tally.missing(Kind::Video, 0..4), 0);
        assert_eq!(tally.missing(Kind::Audio, 0..4), 0);
        assert!(tally.first_frame_us.is_some());
        assert_eq!(desk.audience.bytes.load(Ordering::Relaxed), 8 * 200);
        assert_eq!(percentiles(&[desk.audience], 0).count, 8);
    }

    #[test]
    fn a_frame_of_another_stream_is_corrupt() {
        let desk = desk(4);
        desk.on_object(0, &frame(&desk, Kind::Video, 0), None);
        assert_eq!(desk.tally.lock().corrupt, 1);
    }

    #[test]
    fn times_outside_the_window_are_in_no_interval() {
        let window = Window::new(1_000);
        assert_eq!(window.interval(5_000), None);
        window.open(5_000);
        window.close(8_000);
        let of = |at_us| window.interval(at_us);
        assert_eq!(
            (of(4_999), of(5_000), of(7_500), of(8_000)),
            (None, Some(0), Some(2), None)
        );
    }
}
