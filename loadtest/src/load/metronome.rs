//! The metronome: a thread that tells publishers when a frame is due.
//!
//! It sleeps by the kernel's clock, to some 50 µs, where a timer of the publishers' runtime has
//! whole milliseconds. The schedule is absolute: a late frame does not shift those after it, and
//! a frame that is late is late from when it was due (no coordinated omission).

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    media::{Kind, Track},
    plan::Interleave,
};
use crate::clock::Clock;

/// Frames that may be due and not yet written, for each stream: seconds of them. Beyond, the
/// relay takes less than is sent.
pub(super) const BACKLOG: usize = 512;

/// The longest sleep: how soon the metronome stops when told.
const NAP: Duration = Duration::from_millis(50);

/// From the start to the first frame.
const LEAD_NS: u64 = 10_000_000;

/// A frame is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Which of the stream's tracks.
    pub(super) track: usize,
    /// The frame's number.
    pub(super) index: u64,
    /// When, in microseconds on the run's clock.
    pub(super) due_us: u64,
}

/// A running metronome.
#[derive(Debug)]
pub(super) struct Metronome {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Metronome {
    /// Begins to tick. A stream whose receiver is gone, or [`BACKLOG`] behind, is told no more:
    /// its publisher sees the channel closed.
    pub(super) fn start(
        clock: Clock,
        tracks: &[Track],
        interleave: Interleave,
        streams: Vec<mpsc::Sender<Tick>>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let schedule = Schedule::new(tracks, interleave, streams.len());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let begin_ns = clock.now_us() * 1_000 + LEAD_NS;
            let mut streams: Vec<_> = streams.into_iter().map(Some).collect();
            for (due_ns, stream, track, index) in schedule {
                let due_us = (begin_ns + due_ns) / 1_000;
                if !sleep_until(&clock, due_us, &stopped) {
                    return;
                }
                let tick = Tick {
                    track,
                    index,
                    due_us,
                };
                if let Some(slot) = streams.get_mut(stream) {
                    slot.take_if(|sender| sender.try_send(tick).is_err());
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has printed itself.
            let _ = thread.join();
        }
    }
}

/// Whether the time came before the stop.
fn sleep_until(clock: &Clock, due_us: u64, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Acquire) {
            return false;
        }
        let left = Duration::from_micros(due_us.saturating_sub(clock.now_us()));
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(NAP));
    }
}

/// All frames of all streams in the order in which they are due; it never ends.
#[derive(Debug)]
struct Schedule {
    tracks: Vec<Track>,
    /// From one video frame to the next, where audio waits for it; else 1.
    audio_grid_ns: u64,
    streams: u64,
    /// Time, stream, track, number of each track's next frame.
    next: BinaryHeap<Reverse<(u64, usize, usize, u64)>>,
}

impl Schedule {
    fn new(tracks: &[Track], interleave: Interleave, streams: usize) -> Self {
        let video = tracks.iter().find(|track| track.kind == Kind::Video);
        let audio_grid_ns = match (interleave, video) {
            (Interleave::Muxed, Some(video)) => video.interval_ns.max(1),
            (Interleave::Muxed, None) | (Interleave::Even, _) => 1,
        };
        let mut schedule = Self {
            tracks: tracks.to_vec(),
            audio_grid_ns,
            streams: streams.max(1) as u64,
            next: BinaryHeap::new(),
        };
        for stream in 0..streams {
            for track in 0..tracks.len() {
                schedule.push(stream, track, 0);
            }
        }
        schedule
    }

    fn push(&mut self, stream: usize, track: usize, index: u64) {
        let Some(kind) = self.tracks.get(track) else {
            return;
        };
        let (spread_ns, due_ns) = match kind.kind {
            Kind::Audio if self.audio_grid_ns > 1 => (
                self.audio_grid_ns,
                kind.due_ns(index).next_multiple_of(self.audio_grid_ns),
            ),
            Kind::Audio | Kind::Video => (kind.interval_ns, kind.due_ns(index)),
        };
        // Encoders do not work in step: streams are spread over the time of one frame.
        let due = due_ns + spread_ns / self.streams * stream as u64;
        self.next.push(Reverse((due, stream, track, index)));
    }
}

impl Iterator for Schedule {
    type Item = (u64, usize, usize, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((due, stream, track, index)) = self.next.pop()?;
        self.push(stream, track, index + 1);
        Some((due, stream, track, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_tracks_and_streams_are_due_in_order_and_none_is_left_out() {
        let tracks = [Track::constant(30.0, 60, 1_000), Track::aac(128_000)];
        let frames: Vec<_> = Schedule::new(&tracks, Interleave::Even, 3)
            .take(1_000)
            .collect();
        assert!(frames.is_sorted_by_key(|frame| frame.0));
        for stream in 0..3 {
            for track in 0..2 {
                let of = |frame: &&(u64, usize, usize, u64)| (frame.1, frame.2) == (stream, track);
                let indices: Vec<u64> = frames.iter().filter(of).map(|frame| frame.3).collect();
                assert!(indices.len() > 100);
                assert!(indices.iter().zip(0..).all(|(index, nth)| *index == nth));
            }
        }
    }

    #[test]
    fn streams_are_spread_over_the_time_of_a_frame() {
        let tracks = [Track::constant(10.0, 10, 1_000)];
        let schedule = Schedule::new(&tracks, Interleave::Even, 4);
        let first: Vec<u64> = schedule.take(5).map(|frame| frame.0).collect();
        assert_eq!(first, [0, 25_000_000, 50_000_000, 75_000_000, 100_000_000]);
    }

    #[test]
    fn audio_that_is_muxed_leaves_with_the_next_video_frame_and_none_is_left_out() {
        let tracks = [Track::constant(25.0, 50, 1_000), Track::aac(128_000)];
        let schedule = Schedule::new(&tracks, Interleave::Muxed, 2);
        let frames: Vec<_> = schedule.take(1_000).collect();
        assert!(frames.is_sorted_by_key(|frame| frame.0));
        let times = |wanted| {
            let of = move |frame: &&(u64, usize, usize, u64)| (frame.1, frame.2) == (1, wanted);
            frames.iter().filter(of).map(|frame| frame.0)
        };
        let video: std::collections::HashSet<u64> = times(0).collect();
        assert!(times(1).all(|due| video.contains(&due)));
        let even = |index: usize| tracks[1].due_ns(index as u64) + 20_000_000;
        let waits = times(1).enumerate().map(|(index, due)| due - even(index));
        assert!(waits.max() < Some(40_000_000));
        assert!(times(1).count() > 150);
    }

    #[test]
    fn ticks_come_when_they_are_due_and_end_with_the_metronome() {
        let clock = Clock::start();
        let (sender, mut receiver) = mpsc::channel(BACKLOG);
        let tracks = [Track::constant(1_000.0, 10, 1_000)];
        let metronome = Metronome::start(clock, &tracks, Interleave::Even, vec![sender]);
        let ticks: Vec<_> = (0..5).filter_map(|_| receiver.blocking_recv()).collect();
        drop(metronome);
        assert!(
            ticks
                .windows(2)
                .all(|pair| pair[1].due_us - pair[0].due_us == 1_000)
        );
        assert!(clock.now_us() >= ticks[4].due_us);
        while receiver.blocking_recv().is_some() {}
    }
}
