//! One viewer of one track: its policy's actions, turned into subgroup streams.

mod range;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;
use weir_protocol::moqt::location::LAST_OBJECT;
use weir_protocol::moqt::{GroupOrder, StreamResetCode, Version};

use super::chunks::Batch;
use super::join::Join;
use super::options::{Done, ViewerOptions};
use super::outlet::{Lost, Opening, Outlet, OutletStream, WriteError};
use super::streams::{
    Open, Streams, datagram, distance, group_priority, header, reset, stream_priority,
};
use super::waker::ViewerWaker;
use crate::clock;
use crate::ring::{Entry, Mirror, Placed, Reader, SubgroupEnd};
use crate::stats::{Arrears, Recorder, SkipReason, Stage};
use crate::stream::{Stream, Track, ViewerCounters};
use crate::subscription::{Action, Subscription};

/// Whether the viewer is still to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Waiting,
    Over,
}

/// One viewer of one track.
pub(super) struct Viewer<C: Outlet> {
    id: u64,
    connection: Arc<C>,
    legacy: bool,
    alias: u64,
    /// The alias that datagrams were made with.
    track_alias: u64,
    subscriber_priority: u8,
    publisher_priority: u8,
    group_order: GroupOrder,
    shard: usize,
    source: Arc<Stream>,
    subscription: Subscription,
    opening: Option<Opening<C::Stream>>,
    open: Streams<C::Stream>,
    batch: Batch,
    /// The position in the log behind what was written last, where the batch begins; none before
    /// the first look.
    reached: Option<u64>,
    blocked: bool,
    arrears: Arrears,
    /// Puts the viewer on the pump's list.
    notice: Option<Arc<ViewerWaker<C>>>,
    waker: Waker,
    streams: u64,
    counters: Arc<ViewerCounters>,
    join: Option<Arc<Join>>,
    /// Whether this track says how far the viewer is behind.
    measures_behind: bool,
    done: Option<oneshot::Sender<Done>>,
}

impl<C: Outlet> Viewer<C> {
    pub(super) fn new(
        options: ViewerOptions<C>,
        track: &Arc<Track>,
        source: &Arc<Stream>,
        shard: usize,
        done: oneshot::Sender<Done>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            connection: options.connection,
            legacy: options.version == Version::Draft18,
            alias: options.alias,
            track_alias: track.alias,
            subscriber_priority: options.subscriber_priority,
            publisher_priority: track.priority,
            group_order: options.group_order,
            shard,
            source: Arc::clone(source),
            subscription: Subscription::new(options.subscription),
            opening: None,
            open: Streams::default(),
            batch: Batch::default(),
            reached: None,
            blocked: false,
            arrears: Arrears::new(clock::now_us()),
            notice: None,
            waker: Waker::noop().clone(),
            streams: 0,
            counters: options.counters,
            join: options.join,
            measures_behind: track.first_frame,
            done: Some(done),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn set_waker(&mut self, waker: ViewerWaker<C>) {
        let notice = Arc::new(waker);
        self.waker = Waker::from(Arc::clone(&notice));
        self.notice = Some(notice);
    }

    pub(super) fn on_writable(&mut self) {
        self.blocked = false;
        if let Some(notice) = &self.notice {
            notice.on_served();
        }
    }

    /// Does what the policy says until there is nothing to do or the stream takes no more.
    ///
    /// `now_us` is read again after each write, so that each viewer's times are its own.
    pub(super) fn advance(
        &mut self,
        reader: &Reader,
        now_us: &mut u64,
        recorder: &mut Recorder,
    ) -> Flow {
        let mirror = reader.mirror();
        if self.measures_behind {
            let behind_us = self.subscription.behind_us(mirror);
            self.counters.behind_us.store(behind_us, Ordering::Relaxed);
        }
        loop {
            let action = self.subscription.next(mirror);
            self.pass_over(mirror);
            let late = self.subscription.take_late();
            self.on_behind(late, recorder);
            match action {
                Action::Wait => {
                    self.close_ended(*now_us);
                    self.arrears.on_caught_up();
                    return Flow::Waiting;
                }
                Action::Write(_) if self.blocked => return Flow::Waiting,
                Action::Write(entry) => match self.write(mirror, entry, now_us, recorder) {
                    Poll::Ready(Some(flow)) => return flow,
                    Poll::Ready(None) => {}
                    Poll::Pending => return self.held(*now_us),
                },
                Action::Skip { group, objects } => {
                    self.batch.clear();
                    self.blocked = false;
                    let code = StreamResetCode::DeliveryTimeout;
                    self.open.reset_before(group, code);
                    self.subscription.skipped(group);
                    self.on_behind(objects, recorder);
                }
                Action::End(end) => {
                    self.close_ended(*now_us);
                    if let Some(done) = self.done.take() {
                        let streams = self.streams;
                        // The request's task may be gone already, which is as well.
                        let _ = done.send(Done { end, streams });
                    }
                    return Flow::Over;
                }
            }
        }
    }

    /// Writes objects from `entry` on to their subgroup's stream, which is opened if need be.
    /// Pending when the stream takes no more; `Some` when the viewer is not to be served further.
    fn write(
        &mut self,
        mirror: &Mirror,
        entry: Entry,
        now_us: &mut u64,
        recorder: &mut Recorder,
    ) -> Poll<Option<Flow>> {
        if self.batch.is_empty() {
            let Some(object) = mirror.object(entry) else {
                return Poll::Ready(Some(Flow::Waiting));
            };
            if object.subgroup.options.datagrams {
                self.send_datagram(object, now_us, recorder);
                return Poll::Ready(None);
            }
            if !self.open.select(&object.subgroup) {
                self.close_ended(*now_us);
                return match self.poll_open(entry.group, object) {
                    Poll::Ready(Ok(())) => Poll::Ready(None),
                    Poll::Ready(Err(Lost)) => Poll::Ready(Some(Flow::Over)),
                    Poll::Pending => Poll::Pending,
                };
            }
            if self
                .open
                .current()
                .is_some_and(|open| open.stream.is_none())
            {
                self.on_refused(recorder);
                return Poll::Ready(None);
            }
            self.fill(mirror, entry.group, *now_us, recorder);
        }
        match self.poll_write() {
            Poll::Ready(Ok(())) => self.on_written(now_us, recorder),
            // The viewer refuses the rest of the subgroup.
            Poll::Ready(Err(WriteError::Stopped)) => {
                self.batch.clear();
                if let Some(open) = self.open.current() {
                    reset(open.stream.take(), StreamResetCode::Cancelled.code());
                }
            }
            Poll::Ready(Err(WriteError::Lost)) => return Poll::Ready(Some(Flow::Over)),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(None)
    }

    /// The stream takes no more: what comes from here on waits for the viewer.
    fn held(&mut self, now_us: u64) -> Flow {
        self.blocked = true;
        self.arrears.on_blocked(now_us);
        Flow::Waiting
    }

    fn poll_open(&mut self, group: u64, first: &Placed) -> Poll<Result<(), Lost>> {
        let connection = &self.connection;
        let opening = self.opening.get_or_insert_with(|| connection.open());
        let mut cx = Context::from_waker(&self.waker);
        let Poll::Ready(opened) = opening.as_mut().poll(&mut cx) else {
            return Poll::Pending;
        };
        self.opening = None;
        let stream = opened?;
        let subgroup = &first.subgroup;
        let publisher = subgroup.options.priority.unwrap_or(self.publisher_priority);
        let priority = stream_priority(self.subscriber_priority, publisher)
            + group_priority(self.group_order, group);
        if priority != 0 {
            stream.set_priority(priority);
        }
        self.connection.fit_send_window();
        self.streams += 1;
        self.open.add(Open {
            group,
            subgroup: Arc::clone(subgroup),
            stream: Some(stream),
            previous: None,
            ends_group: false,
            cut: false,
        });
        Poll::Ready(Ok(()))
    }

    /// Puts as many objects into the batch as follow each other on the current stream and fit.
    fn fill(&mut self, mirror: &Mirror, group: u64, now_us: u64, recorder: &mut Recorder) {
        let Some(open) = self.open.current() else {
            return;
        };
        let mut position = self.subscription.position();
        while self.batch.has_room() {
            let entry = mirror.entry(position).filter(|entry| entry.group == group);
            let object = entry.and_then(|entry| mirror.object(entry));
            let object = object.filter(|object| {
                let wanted = self.subscription.wants(group, object.id);
                wanted && Arc::ptr_eq(&object.subgroup, &open.subgroup)
            });
            let Some(object) = object else { break };
            position += 1;
            let prefix = match open.previous {
                None => {
                    // A range that ends within the group does not say where the group ends.
                    let whole = self.subscription.wants(group, LAST_OBJECT);
                    let header = header(self.alias, group, &open.subgroup, object, whole);
                    self.batch.push(header);
                    open.ends_group = whole && open.subgroup.options.end_of_group;
                    (object.id > 0).then_some(object.id)
                }
                Some(previous) => object.id.checked_sub(previous + 1).filter(|gap| *gap > 0),
            };
            let prefix = prefix.map(distance);
            let taken_us = self.arrears.taken_us(object.complete_us, now_us);
            self.batch
                .push_object(object, prefix, self.legacy, taken_us);
            open.previous = Some(object.id);
            if let Some(taken_us) = taken_us {
                let queued_us = taken_us.saturating_sub(object.complete_us);
                recorder.record(Stage::Queue, queued_us, now_us);
            }
        }
    }

    /// Sends an object that came in a datagram. What does not fit the viewer's path is dropped, as
    /// the drafts say.
    fn send_datagram(&mut self, object: &Placed, now_us: &mut u64, recorder: &mut Recorder) {
        let wire = datagram(&object.wire, self.track_alias, self.alias);
        let sent = self.connection.send_datagram(wire);
        let taken_us = self.arrears.taken_us(object.complete_us, *now_us);
        if let (true, Some(taken_us)) = (sent, taken_us) {
            let queued_us = taken_us.saturating_sub(object.complete_us);
            recorder.record(Stage::Queue, queued_us, *now_us);
            *now_us = clock::now_us();
            recorder.record(Stage::Send, now_us.saturating_sub(taken_us), *now_us);
            let relay_us = now_us.saturating_sub(object.first_byte_us);
            recorder.record(Stage::Relay, relay_us, *now_us);
        }
        if !sent {
            return self.on_refused(recorder);
        }
        self.on_sent(object.wire.len() as u64, 1, *now_us, recorder);
    }

    fn poll_write(&mut self) -> Poll<Result<(), WriteError>> {
        let open = self.open.current();
        let Some(stream) = open.and_then(|open| open.stream.as_mut()) else {
            return Poll::Ready(Err(WriteError::Stopped));
        };
        let mut cx = Context::from_waker(&self.waker);
        while !self.batch.is_empty() {
            match stream.poll_write(&mut cx, self.batch.remaining()) {
                Poll::Ready(Ok(chunks)) => self.batch.on_accepted(chunks),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn on_written(&mut self, now_us: &mut u64, recorder: &mut Recorder) {
        *now_us = clock::now_us();
        let (objects, bytes) = self.batch.take();
        for times in objects {
            let Some(taken_us) = times.taken_us else {
                continue;
            };
            let send_us = now_us.saturating_sub(taken_us);
            recorder.record(Stage::Send, send_us, *now_us);
            let relay_us = now_us.saturating_sub(times.first_byte_us);
            recorder.record(Stage::Relay, relay_us, *now_us);
        }
        let objects = objects.len();
        self.on_sent(bytes, objects, *now_us, recorder);
    }

    fn on_sent(&mut self, bytes: u64, objects: usize, now_us: u64, recorder: &mut Recorder) {
        self.confirm(objects);
        recorder.on_bytes_out(bytes, objects as u64);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(join) = self.join.take() {
            join.on_object(now_us, recorder);
        }
    }

    /// So many objects of the log are done with.
    fn confirm(&mut self, objects: usize) {
        self.subscription.wrote(objects);
        self.reached = Some(self.subscription.position());
    }

    /// So many objects come too late for the viewer.
    fn on_behind(&self, objects: u64, recorder: &mut Recorder) {
        if objects > 0 {
            recorder.on_skip(SkipReason::Behind, objects);
            let skipped = &self.counters.skipped_behind;
            skipped.fetch_add(objects, Ordering::Relaxed);
        }
    }

    /// The viewer does not take the next object.
    fn on_refused(&mut self, recorder: &mut Recorder) {
        self.confirm(1);
        recorder.on_skip(SkipReason::Reset, 1);
        self.counters.skipped_reset.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the streams of subgroups that have ended, as far as the viewer has got.
    fn close_ended(&mut self, now_us: u64) {
        let position = self.subscription.position();
        while let Some((stream, end)) = self.open.ended(position) {
            match end {
                SubgroupEnd::Fin => self.finish(stream, now_us),
                SubgroupEnd::Reset(code) => reset(stream, code),
            }
        }
    }

    fn finish(&self, stream: Option<C::Stream>, now_us: u64) {
        let Some(acknowledged) = stream.and_then(C::Stream::finish) else {
            return;
        };
        let (source, shard) = (Arc::clone(&self.source), self.shard);
        tokio::spawn(async move {
            if acknowledged.await {
                let acked_us = clock::now_us();
                let took_us = acked_us.saturating_sub(now_us);
                let mut recorder = source.recorder(shard).lock();
                recorder.record(Stage::Ack, took_us, acked_us);
            }
        });
    }
}

impl<C: Outlet> Drop for Viewer<C> {
    fn drop(&mut self) {
        self.reset(StreamResetCode::Cancelled);
    }
}

impl<C: Outlet> std::fmt::Debug for Viewer<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewer")
            .field("id", &self.id)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
