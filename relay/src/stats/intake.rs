//! What a publisher's frames leave behind at once, and what becomes of it when somebody looks.
//!
//! A frame touches a dozen histograms, rates and clocks, each in a cache line of its own, and with
//! hundreds of publishers none of them is in the core's cache when the stream's next frame comes.
//! So a frame is noted in one short list, and the list is counted as a whole when it is full or
//! when a reader comes: the lines are fetched once for [`PENDING`] frames.

use super::ingest::{Arrival, IngestRecorder, Kind};

/// Frames that wait to be counted: half a second of pictures.
const PENDING: usize = 16;

/// An object that a publisher has completed.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The media message that it is, where that is known.
    pub media: Option<Arrival>,
    /// How much later than it is decoded it is shown, in microseconds; only looked at for video.
    pub reorder_us: u64,
    /// When its first byte was read.
    pub first_byte_us: u64,
    /// When it was whole.
    pub complete_us: u64,
}

/// The record of what a stream's publisher sends: a list for the writer, counted for readers.
#[derive(Debug)]
pub struct Intake {
    pending: Vec<Received>,
    bytes_in: u64,
    /// Apart, so that what each frame touches is short.
    recorder: Box<IngestRecorder>,
}

impl Intake {
    /// A record whose windows start at `now_us`.
    pub fn new(now_us: u64) -> Self {
        Self {
            pending: Vec::with_capacity(PENDING),
            bytes_in: 0,
            recorder: Box::new(IngestRecorder::new(now_us)),
        }
    }

    /// Counts bytes read from the publisher's socket.
    pub fn on_bytes_in(&mut self, bytes: u64) {
        self.bytes_in += bytes;
    }

    /// Notes an object.
    pub fn on_object(&mut self, received: Received) {
        self.pending.push(received);
        if self.pending.len() >= PENDING {
            self.settle();
        }
    }

    /// The record with everything in it that was noted.
    pub fn settled(&mut self) -> &mut IngestRecorder {
        self.settle();
        &mut self.recorder
    }

    fn settle(&mut self) {
        self.recorder
            .on_bytes_in(std::mem::take(&mut self.bytes_in));
        for received in self.pending.drain(..) {
            let Received {
                media,
                reorder_us,
                first_byte_us,
                complete_us,
            } = received;
            let spent_us = complete_us.saturating_sub(first_byte_us);
            self.recorder.on_object(spent_us, complete_us);
            if let Some(arrival) = media {
                self.recorder.on_arrival(arrival, first_byte_us);
                if arrival.kind == Kind::Video {
                    self.recorder.on_reorder(reorder_us, first_byte_us);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Merged;

    fn received(frame: u64) -> Received {
        Received {
            media: Some(Arrival {
                kind: Kind::Video,
                media_us: frame * 40_000,
                bytes: 1_000,
                key_frame: frame.is_multiple_of(50),
            }),
            reorder_us: frame,
            first_byte_us: frame * 40_000,
            complete_us: frame * 40_000 + 300,
        }
    }

    #[test]
    fn what_was_noted_is_there_for_who_looks_however_many_wait() {
        for frames in [0, 1, 15, 16, 17, 100] {
            let mut intake = Intake::new(0);
            for frame in 0..frames {
                intake.on_bytes_in(1_100);
                intake.on_object(received(frame));
            }
            let recorder = intake.settled();
            assert_eq!(recorder.bytes_in(), frames * 1_100);
            let vitals = recorder.vitals(4_000_000);
            assert_eq!(vitals.reorder_us, frames.saturating_sub(1));
            let mut merged = Merged::new(4_000_000);
            merged.add_ingest(recorder);
            assert_eq!(merged.latency().ingest.count, frames);
        }
    }

    #[test]
    fn a_list_that_nobody_looks_at_does_not_grow() {
        let mut intake = Intake::new(0);
        (0..10_000).for_each(|frame| intake.on_object(received(frame)));
        assert!(intake.pending.capacity() <= PENDING);
    }
}
