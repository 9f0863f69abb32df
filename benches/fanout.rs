//! A publisher and a shard's pump: ring → mirror → policy → what a stream would be handed.

use std::sync::Arc;
use std::task::Waker;

use weir_protocol::body::Body;
use weir_protocol::moqt::Location;
use weir_relay::ring::{
    Entry, Limits, Mirror, Object, Placed, PushError, Reader, Ring, Wake, Writer,
};
use weir_relay::subscription::{Action, Options, Subscription};

use crate::ingest::{MEDIA_ROOM, ObjectBuilder, build, properties};
use crate::{FRAME_BYTES, FRAME_US, GROUP_FRAMES};

const WRITER: Writer = Writer(1);

/// Objects that a viewer's stream is handed at once, as in the relay.
const BATCH: usize = 4;

/// Publishes one frame after the other, each a clone of the same object with its own id and times.
#[derive(Debug)]
pub struct Publisher {
    ring: Arc<Ring>,
    object: Object,
    frames: u64,
}

impl Default for Publisher {
    /// A publisher of an empty ring with the relay's default limits.
    fn default() -> Self {
        let body = Body::copy_from(MEDIA_ROOM, &[0x17; FRAME_BYTES]);
        let said = properties(FRAME_US, false);
        Self {
            ring: Arc::new(Ring::new(Limits::default())),
            object: build(&mut ObjectBuilder::default(), 0, body, &said),
            frames: 0,
        }
    }
}

impl Publisher {
    /// The ring that it publishes to.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The object that every frame is a clone of.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Publishes a frame, in a new group when the last one has all of its frames.
    ///
    /// # Errors
    ///
    /// What the ring says; it has no reason to.
    pub fn publish(&mut self) -> Result<(), PushError> {
        let id = self.frames % GROUP_FRAMES;
        if id == 0 {
            self.ring.begin_group(WRITER, self.frames / GROUP_FRAMES)?;
        }
        let complete_us = self.frames * FRAME_US;
        self.frames += 1;
        let object = Object {
            id,
            first_byte_us: complete_us,
            complete_us,
            ..self.object.clone()
        };
        self.ring.push(WRITER, object)
    }
}

/// The viewers of one track on one shard, and the mirror that they are served from.
#[derive(Debug)]
pub struct Pump {
    wake: Arc<Wake>,
    reader: Reader,
    viewers: Vec<Subscription>,
}

impl Pump {
    /// A pump with `viewers` that begin with the first object to come.
    pub fn new(ring: &Arc<Ring>, viewers: usize) -> Self {
        let wake = Arc::<Wake>::default();
        let next = ring.largest().map_or(0, |largest| largest.group + 1);
        Self {
            reader: Reader::new(Arc::clone(ring), Arc::clone(&wake)),
            wake,
            viewers: vec![subscription(next); viewers],
        }
    }

    /// A viewer comes, is handed the newest group from its key frame on as far as it is there, and
    /// goes. Returns the objects handed over.
    pub fn join(&self, mut write: impl FnMut(&Object)) -> usize {
        let newest = self.reader.groups().back().map_or(0, |group| group.id);
        serve(&mut subscription(newest), &self.reader, &mut write)
    }

    /// Looks whether it was woken, brings the mirror up to date, and hands `write` what each
    /// viewer is to get. Returns the objects handed over.
    pub fn pass(&mut self, mut write: impl FnMut(&Object)) -> usize {
        if !self.wake.take(Waker::noop()) || !self.reader.sync() {
            return 0;
        }
        let mut written = 0;
        for viewer in &mut self.viewers {
            // The relay stores it for the API.
            std::hint::black_box(viewer.behind_us(self.reader.mirror()));
            written += serve(viewer, &self.reader, &mut write);
        }
        written
    }
}

/// A viewer that begins with a group.
fn subscription(group: u64) -> Subscription {
    Subscription::new(Options {
        start: Location { group, object: 0 },
        end: None,
        waits_at_end: false,
        forward: true,
        behind_limit_us: 2_000_000,
    })
}

fn serve(viewer: &mut Subscription, reader: &Reader, write: &mut impl FnMut(&Object)) -> usize {
    let mirror = reader.mirror();
    let mut written = 0;
    loop {
        match viewer.next(mirror) {
            Action::Wait | Action::End(_) => return written,
            Action::Write(first) => {
                let mut objects = 0;
                while let Some(object) = next_of_batch(viewer, mirror, first, objects) {
                    write(object);
                    objects += 1;
                }
                viewer.wrote(objects);
                written += objects;
            }
            Action::Skip { group, .. } => viewer.skipped(group),
        }
    }
}

/// The object that follows `taken` ones of a batch that begins with `first`, as in the relay.
fn next_of_batch<'a>(
    viewer: &Subscription,
    mirror: &'a Mirror,
    first: Entry,
    taken: usize,
) -> Option<&'a Placed> {
    let entry = mirror.entry(viewer.position() + taken as u64)?;
    let object = mirror.object(entry)?;
    let same = entry.group == first.group && viewer.wants(entry.group, object.id);
    (same && taken < BATCH).then_some(object)
}
