//! One viewer of one track: its policy's actions, turned into subgroup streams.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use web_transport_quinn::{SendStream, Session, SessionError, WriteError};
use weir_protocol::moqt::subgroup::{SubgroupHeader, SubgroupId};
use weir_protocol::moqt::{GroupOrder, StreamResetCode, Version};
use weir_protocol::wire::put_vi64;

use super::arrears::Arrears;
use super::chunks::Batch;
use super::waker::ViewerWaker;
use super::{Update, send_window};
use crate::clock;
use crate::ring::{Group, Object, Reader, find};
use crate::stats::{Recorder, SkipReason, Stage};
use crate::stream::{Stream, Track, ViewerCounters};
use crate::subscription::{Action, End, Options, Subscription};

/// What a subscription is made of.
pub struct ViewerOptions {
    /// The viewer's connection.
    pub connection: Arc<Session>,
    /// The draft that it speaks.
    pub version: Version,
    /// What to send.
    pub subscription: Options,
    /// The subscriber's priority; lower is more urgent.
    pub subscriber_priority: u8,
    /// Which of two groups goes first.
    pub group_order: GroupOrder,
    /// The viewer's figures.
    pub counters: Arc<ViewerCounters>,
    /// When the viewer asked, if its first object is its first frame.
    pub join: Option<Arc<Join>>,
}

/// A viewer's wait for its first frame, which a subscription or a FETCH may end.
#[derive(Debug)]
pub struct Join {
    asked_us: u64,
    seen: AtomicBool,
}

impl Join {
    /// A viewer asked at `asked_us`.
    pub fn new(asked_us: u64) -> Self {
        Self {
            asked_us,
            seen: AtomicBool::new(false),
        }
    }

    /// An object was accepted; the first one is recorded.
    pub fn on_object(&self, now_us: u64, recorder: &mut Recorder) {
        if !self.seen.swap(true, Ordering::Relaxed) {
            recorder.on_first_frame(now_us.saturating_sub(self.asked_us), now_us);
        }
    }
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Why.
    pub end: End,
    /// Streams that were opened for it.
    pub streams: u64,
}

/// Whether the viewer is still to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Waiting,
    Over,
}

type Opening = Pin<Box<dyn Future<Output = Result<SendStream, SessionError>> + Send>>;

/// One viewer of one track.
pub(super) struct Viewer {
    id: u64,
    connection: Arc<Session>,
    legacy: bool,
    alias: u64,
    priority: i32,
    publisher_priority: u8,
    group_order: GroupOrder,
    shard: usize,
    source: Arc<Stream>,
    subscription: Subscription,
    opening: Option<Opening>,
    stream: Option<SendStream>,
    /// Id of the object written last to the open stream.
    previous: Option<u64>,
    batch: Batch,
    blocked: bool,
    arrears: Arrears,
    /// Puts the viewer on the pump's list.
    notice: Option<Arc<ViewerWaker>>,
    waker: Waker,
    streams: u64,
    counters: Arc<ViewerCounters>,
    join: Option<Arc<Join>>,
    /// Whether this track says how far the viewer is behind.
    measures_behind: bool,
    done: Option<oneshot::Sender<Done>>,
}

impl Viewer {
    pub(super) fn new(
        options: ViewerOptions,
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
            alias: track.alias,
            priority: stream_priority(options.subscriber_priority, track.priority),
            publisher_priority: track.priority,
            group_order: options.group_order,
            shard,
            source: Arc::clone(source),
            subscription: Subscription::new(options.subscription),
            opening: None,
            stream: None,
            previous: None,
            batch: Batch::default(),
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

    pub(super) fn set_waker(&mut self, waker: ViewerWaker) {
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

    pub(super) fn update(&mut self, update: Update) {
        if !update.forward || update.restart.is_some() {
            self.reset(StreamResetCode::Cancelled);
            self.arrears = Arrears::new(clock::now_us());
        }
        let Update {
            forward,
            restart,
            end_group,
            subscriber_priority,
        } = update;
        self.subscription.update(forward, restart, end_group);
        self.priority = stream_priority(subscriber_priority, self.publisher_priority);
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
        if self.measures_behind {
            let behind_us = self.subscription.behind_us(reader.groups());
            self.counters.behind_us.store(behind_us, Ordering::Relaxed);
        }
        loop {
            match self.subscription.next(reader.groups(), reader.is_ended()) {
                Action::Wait => {
                    self.arrears.on_caught_up();
                    return Flow::Waiting;
                }
                Action::Open { .. } | Action::Write { .. } if self.blocked => return Flow::Waiting,
                Action::Open { group, index } => match self.poll_open(group, index) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Flow::Over,
                    Poll::Pending => return self.held(*now_us),
                },
                Action::Write { group, index } => {
                    if self.batch.is_empty() {
                        self.fill(reader, group, index, *now_us, recorder);
                    }
                    match self.poll_write() {
                        Poll::Ready(Ok(())) => self.on_written(now_us, recorder),
                        Poll::Ready(Err(WriteError::Stopped(_))) => {
                            self.on_stopped(reader, recorder)
                        }
                        Poll::Ready(Err(_)) => return Flow::Over,
                        Poll::Pending => return self.held(*now_us),
                    }
                }
                Action::Finish { .. } => self.finish(*now_us),
                Action::Skip { group, objects } => {
                    self.reset(StreamResetCode::DeliveryTimeout);
                    self.subscription.skipped(group);
                    recorder.on_skip(SkipReason::Behind, objects);
                    let skipped = &self.counters.skipped_behind;
                    skipped.fetch_add(objects, Ordering::Relaxed);
                }
                Action::End(end) => {
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

    /// The stream takes no more: what comes from here on waits for the viewer.
    fn held(&mut self, now_us: u64) -> Flow {
        self.blocked = true;
        self.arrears.on_blocked(now_us);
        Flow::Waiting
    }

    fn poll_open(&mut self, group: u64, index: usize) -> Poll<Result<(), SessionError>> {
        let connection = &self.connection;
        let opening = self.opening.get_or_insert_with(|| {
            let connection = Arc::clone(connection);
            Box::pin(async move { connection.open_uni().await })
        });
        let mut cx = Context::from_waker(&self.waker);
        let Poll::Ready(opened) = opening.as_mut().poll(&mut cx) else {
            return Poll::Pending;
        };
        self.opening = None;
        let stream = opened?;
        let priority = self.priority + group_priority(self.group_order, group);
        if priority != 0 {
            // Fails only for a stream that is closed already, which the first write will tell.
            let _ = stream.set_priority(priority);
        }
        let cwnd = quinn::Connection::stats(&self.connection).path.cwnd;
        self.connection.set_send_window(send_window(cwnd));
        self.stream = Some(stream);
        self.streams += 1;
        self.previous = None;
        self.subscription.opened(group, index);
        Poll::Ready(Ok(()))
    }

    fn fill(
        &mut self,
        reader: &Reader,
        group: u64,
        index: usize,
        now_us: u64,
        recorder: &mut Recorder,
    ) {
        let Some(group) = find(reader.groups(), group) else {
            return;
        };
        for object in &group.objects[index..] {
            if !self.batch.has_room() {
                break;
            }
            let prefix = match self.previous {
                None => {
                    self.batch.push(self.header(group, object));
                    (object.id > 0).then_some(object.id)
                }
                Some(previous) => object.id.checked_sub(previous + 1).filter(|gap| *gap > 0),
            };
            let prefix = prefix.map(distance);
            let taken_us = self.arrears.taken_us(object.complete_us, now_us);
            self.batch
                .push_object(object, prefix, self.legacy, taken_us);
            self.previous = Some(object.id);
            if let Some(taken_us) = taken_us {
                let queued_us = taken_us.saturating_sub(object.complete_us);
                recorder.record(Stage::Queue, queued_us, now_us);
            }
        }
    }

    fn header(&self, group: &Group, first: &Object) -> Bytes {
        let header = SubgroupHeader {
            alias: self.alias,
            group: group.id,
            subgroup: SubgroupId::Zero,
            priority: None,
            properties: true,
            end_of_group: true,
            first_object: first.id == 0,
        };
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES);
        header.encode(&mut bytes);
        bytes.freeze()
    }

    fn poll_write(&mut self) -> Poll<Result<(), WriteError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(WriteError::ClosedStream));
        };
        let mut cx = Context::from_waker(&self.waker);
        while !self.batch.is_empty() {
            let written = pin!(stream.write_chunks(self.batch.remaining())).poll(&mut cx);
            match written {
                Poll::Ready(Ok(written)) => self.batch.on_accepted(written.chunks),
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
        self.subscription.wrote(objects.len());
        recorder.on_bytes_out(bytes, objects.len() as u64);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(join) = self.join.take() {
            join.on_object(*now_us, recorder);
        }
    }

    /// The viewer refused the rest of the group: it is not opened again (draft 19, "Closing
    /// Subgroup Streams").
    fn on_stopped(&mut self, reader: &Reader, recorder: &mut Recorder) {
        self.reset(StreamResetCode::Cancelled);
        let objects = self.subscription.refused(reader.groups());
        recorder.on_skip(SkipReason::Reset, objects);
        let skipped = &self.counters.skipped_reset;
        skipped.fetch_add(objects, Ordering::Relaxed);
    }

    fn finish(&mut self, now_us: u64) {
        self.subscription.finished();
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        if stream.finish().is_err() {
            return;
        }
        let (source, shard) = (Arc::clone(&self.source), self.shard);
        tokio::spawn(async move {
            if let Ok(None) = stream.stopped().await {
                let acked_us = clock::now_us();
                let took_us = acked_us.saturating_sub(now_us);
                let mut recorder = source.recorder(shard).lock();
                recorder.record(Stage::Ack, took_us, acked_us);
            }
        });
    }

    fn reset(&mut self, code: StreamResetCode) {
        self.batch.clear();
        self.blocked = false;
        if let Some(mut stream) = self.stream.take() {
            // Fails only when the peer stopped the stream, which has reset it.
            let _ = stream.reset(u32::try_from(code.code()).unwrap_or(0));
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.reset(StreamResetCode::Cancelled);
    }
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewer")
            .field("id", &self.id)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

fn distance(ids: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(9);
    put_vi64(&mut bytes, ids);
    bytes.freeze()
}

/// quinn sends higher numbers first, MoQT lower ones; the defaults of both meet at 0.
pub fn stream_priority(subscriber: u8, publisher: u8) -> i32 {
    const DEFAULT: i32 = 128 << 8 | 128;
    let urgency = i32::from(subscriber) << 8 | i32::from(publisher);
    (DEFAULT - urgency) * GROUPS
}

/// Newest first where the viewer wants that; else streams go in the order in which they opened.
fn group_priority(order: GroupOrder, group: u64) -> i32 {
    match order {
        GroupOrder::Ascending => 0,
        GroupOrder::Descending => i32::try_from(group % GROUPS as u64).unwrap_or(0),
    }
}

/// Groups that are told apart by priority before the count begins anew.
const GROUPS: i32 = 1 << 12;

/// Type, alias and group id.
const HEADER_BYTES: usize = 1 + 9 + 9;
