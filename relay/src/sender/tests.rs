//! One viewer of one track, its streams read as a peer would: nothing is missing within one.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use weir_protocol::moqt::object::ObjectStatus;
use weir_protocol::moqt::subgroup::{SubgroupEvent, SubgroupReader, put_object_header};
use weir_protocol::moqt::{GroupOrder, Namespace, Version};

use super::*;
use crate::clock::virtual_time;
use crate::ring::{Object, Subgroup, SubgroupEnd, SubgroupOptions};
use crate::stats::Recorder;
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::{self, Publisher, TrackOptions, TrackWriter, ViewerCounters};
use crate::subscription::Options;

/// Bytes of an object's payload.
const PAYLOAD: usize = 100;

/// The viewer's connection: takes so many bytes, and keeps what it took.
#[derive(Debug, Default)]
struct Peer(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    credit: usize,
    /// What a write costs, in microseconds of virtual time.
    cost_us: u64,
    streams: Vec<Received>,
}

/// A stream as it arrives.
#[derive(Clone, Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    end: Option<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Fin,
    Reset,
}

struct PeerStream(Arc<Peer>, usize);

impl Outlet for Peer {
    type Stream = PeerStream;

    fn open(self: &Arc<Self>) -> Opening<PeerStream> {
        let mut taken = self.0.lock();
        taken.streams.push(Received::default());
        let stream = PeerStream(Arc::clone(self), taken.streams.len() - 1);
        Box::pin(std::future::ready(Ok(stream)))
    }

    fn fit_send_window(&self) {}

    fn send_datagram(&self, _datagram: Bytes) -> bool {
        false
    }
}

impl PeerStream {
    fn end(&self, ending: Ending) {
        let ended = self.0.0.lock().streams[self.1].end.replace(ending);
        assert_eq!(ended, None);
    }
}

impl OutletStream for PeerStream {
    fn poll_write(
        &mut self,
        _cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>> {
        let taken = &mut *self.0.0.lock();
        if taken.credit == 0 {
            return Poll::Pending;
        }
        if taken.cost_us > 0 {
            virtual_time::set(clock::now_us() + taken.cost_us);
        }
        let mut whole = 0;
        for chunk in chunks {
            let piece = chunk.split_to(chunk.len().min(taken.credit));
            taken.credit -= piece.len();
            taken.streams[self.1].bytes.extend_from_slice(&piece);
            if !chunk.is_empty() {
                break;
            }
            whole += 1;
        }
        Poll::Ready(Ok(whole))
    }

    fn set_priority(&self, _priority: i32) {}

    fn finish(self) -> Option<impl Future<Output = bool> + Send + 'static> {
        self.end(Ending::Fin);
        None::<std::future::Ready<bool>>
    }

    fn reset(self, _code: u32) {
        self.end(Ending::Reset);
    }
}

/// A viewer of everything.
fn watching(peer: &Arc<Peer>) -> ViewerOptions<Peer> {
    ViewerOptions {
        connection: Arc::clone(peer),
        version: Version::Draft19,
        alias: 1,
        subscription: Options {
            start: Location::new(0, 0),
            end: None,
            waits_at_end: true,
            forward: true,
            behind_limit_us: u64::MAX,
        },
        subscriber_priority: 128,
        group_order: GroupOrder::Ascending,
        counters: Arc::<ViewerCounters>::default(),
        join: None,
    }
}

/// A stream as its reader understands it: group, objects, and how it ended.
type Read = (u64, Vec<u64>, Option<Ending>);

/// A track and one viewer of it.
struct Scene {
    publisher: Publisher,
    track: TrackWriter,
    reader: Reader,
    viewer: Viewer<Peer>,
    peer: Arc<Peer>,
    recorder: Recorder,
    now_us: u64,
    /// The id of the first group: groups are told apart by their distance to it.
    base: Option<u64>,
}

impl Scene {
    fn new() -> Self {
        // What is kept for later is of no interest, and short.
        let mut config = stream::Config::default();
        config.ring.groups = 3;
        let name = Namespace::from_path("live/cam").unwrap();
        let now_us = clock::now_us();
        let (names, log) = (watch::Sender::new(0), Arc::default());
        let stream = Stream::new(name, 1, config, names, log, Arc::default(), now_us);
        let publisher = Publisher::take_over(&Arc::new(stream), PublisherSnapshot::default());
        let publisher = publisher.unwrap();
        let options = TrackOptions {
            properties: Bytes::new(),
            priority: 128,
            first_frame: true,
        };
        let track = publisher.track("video", options);
        let peer = Arc::<Peer>::default();
        let (done, _) = oneshot::channel();
        let options = watching(&peer);
        let viewer = Viewer::new(options, track.track(), publisher.stream(), 0, done);
        Self {
            reader: Reader::new(Arc::clone(&track.track().ring), Arc::default()),
            publisher,
            track,
            viewer,
            peer,
            recorder: Recorder::new(now_us),
            now_us,
            base: None,
        }
    }

    fn publish(&mut self, ids: std::ops::Range<u64>) {
        for id in ids {
            if id == 0 {
                let group = self.track.begin_group().unwrap();
                self.base.get_or_insert(group);
            }
            self.track.push(self.object(id)).unwrap();
        }
    }

    fn open(&self, group: u64, id: u64) -> Arc<Subgroup> {
        let options = SubgroupOptions {
            id,
            ..SubgroupOptions::WHOLE
        };
        self.track.open_subgroup(group, options, 0).unwrap()
    }

    fn object(&self, id: u64) -> Object {
        let mut wire = BytesMut::new();
        let status = Some(ObjectStatus::Normal);
        put_object_header(&mut wire, 0, Some(&[]), PAYLOAD as u64, status);
        let header_len = wire.len();
        wire.resize(header_len + PAYLOAD, 0x5a);
        Object {
            id,
            wire: wire.freeze(),
            header_len,
            properties: Bytes::new(),
            legacy: None,
            first_byte_us: self.now_us,
            complete_us: self.now_us,
        }
    }

    /// The viewer takes so many bytes, and is served.
    fn serve(&mut self, bytes: usize) {
        self.peer.0.lock().credit = bytes;
        self.reader.sync();
        self.viewer.on_writable();
        let flow = self
            .viewer
            .advance(&self.reader, &mut self.now_us, &mut self.recorder);
        assert_eq!(flow, Flow::Waiting);
    }

    /// A REQUEST_UPDATE that changes the end, which is looked at before the next one comes.
    fn set_end(&mut self, end: Option<(u64, u64)>) {
        let end = end.map(|(group, id)| Location::new(self.base.unwrap_or(0) + group, id));
        self.viewer.update(Update {
            forward: true,
            restart: None,
            end,
            subscriber_priority: 128,
        });
        self.serve(0);
    }

    /// What arrived. No stream has a hole, and none ends with a FIN inside an object.
    fn arrived(&self) -> Vec<Read> {
        let taken = self.peer.0.lock();
        let read = taken.streams.iter().map(|stream| {
            let mut reader = SubgroupReader::new();
            reader.push(Bytes::copy_from_slice(&stream.bytes));
            let (mut group, mut objects) = (u64::MAX, Vec::new());
            while let Some(event) = reader.poll().unwrap() {
                match event {
                    SubgroupEvent::Header(header) => group = header.group,
                    SubgroupEvent::Object { id, .. } => objects.push(id),
                }
            }
            let hole = objects.windows(2).find(|pair| pair[0] + 1 != pair[1]);
            assert_eq!(hole, None, "a hole in group {group}");
            if stream.end == Some(Ending::Fin) {
                reader.finish().unwrap();
            }
            (group - self.base.unwrap_or(0), objects, stream.end)
        });
        read.collect()
    }
}

/// Less than an object.
const SOME: usize = PAYLOAD / 2;
const ALL: usize = 1 << 20;

#[test]
fn range_that_narrows_in_front_of_a_half_written_batch_leaves_no_hole() {
    let mut scene = Scene::new();
    scene.publish(0..1);
    scene.serve(ALL);
    scene.publish(1..4);
    scene.serve(SOME);
    // Nothing of that is wanted any more, and a moment later all that follows.
    scene.set_end(Some((0, 0)));
    scene.publish(4..6);
    scene.publish(0..3);
    scene.set_end(None);
    scene.serve(ALL);
    scene.publish(3..5);
    scene.serve(ALL);
    let arrived = scene.arrived();
    assert_eq!(arrived.last(), Some(&(1, (0..5).collect(), None)));
}

#[test]
fn what_was_half_written_is_given_up_when_it_is_not_wanted_any_more() {
    let mut scene = Scene::new();
    scene.publish(0..2);
    scene.serve(ALL);
    scene.publish(2..4);
    scene.serve(SOME);
    scene.set_end(Some((0, 1)));
    assert_eq!(scene.arrived(), [(0, vec![0, 1], Some(Ending::Reset))]);
}

#[test]
fn range_that_widens_again_goes_on_with_another_stream() {
    let mut scene = Scene::new();
    scene.publish(0..3);
    scene.serve(ALL);
    scene.set_end(Some((0, 2)));
    scene.publish(3..5);
    scene.serve(ALL);
    scene.set_end(None);
    scene.publish(5..7);
    scene.serve(ALL);
    // The first one said that it ends with the group, and does not.
    scene.publish(0..1);
    scene.serve(ALL);
    let expected = [
        (0, vec![0, 1, 2], Some(Ending::Reset)),
        (0, vec![5, 6], Some(Ending::Fin)),
        (1, vec![0], None),
    ];
    assert_eq!(scene.arrived(), expected);
}

#[test]
fn streams_that_wait_for_their_subgroups_end_are_one_a_subgroup() {
    let mut scene = Scene::new();
    for round in 0..8 {
        scene.publish(2 * round..2 * round + 1);
        scene.serve(ALL);
        scene.set_end(Some((0, 2 * round)));
        scene.publish(2 * round + 1..2 * round + 2);
        scene.serve(ALL);
        scene.set_end(None);
    }
    let open = scene.arrived();
    let open = open.iter().filter(|(_, _, end)| end.is_none());
    assert_eq!(open.count(), 1);
}

#[test]
fn group_that_the_ring_drops_out_of_its_turn_takes_its_half_written_stream_along() {
    let mut scene = Scene::new();
    // Begun with a high id, it outlives what comes after it until it pins too much of the log.
    let pinning = scene.open(1 << 40, 0);
    let push = |scene: &Scene, group, subgroup: &Arc<Subgroup>, id| {
        let object = scene.object(id);
        scene.track.push_to(group, subgroup, object).unwrap();
    };
    push(&scene, 1 << 40, &pinning, 0);
    push(&scene, 1 << 40, &pinning, 1);
    scene
        .track
        .end_subgroup(1 << 40, &pinning, SubgroupEnd::Fin);
    scene.serve(SOME);
    for group in 0..4_000 {
        let subgroup = scene.open(group, 0);
        push(&scene, group, &subgroup, 0);
        scene.track.end_subgroup(group, &subgroup, SubgroupEnd::Fin);
    }
    let kept = scene.track.track().ring.largest().unwrap();
    assert_eq!(kept.group, 3_999, "the ring has dropped it");
    scene.serve(ALL);
    let arrived = scene.arrived();
    assert_eq!(arrived[0], (1 << 40, vec![], Some(Ending::Reset)));
    assert_eq!(arrived.last(), Some(&(3_999, vec![0], Some(Ending::Fin))));
    drop(scene.publisher);
}

#[test]
fn send_window_follows_the_congestion_window_within_bounds() {
    assert_eq!(send_window(0), MIN_SEND_WINDOW);
    assert_eq!(send_window(1 << 20), 2 << 20);
    assert_eq!(send_window(u64::MAX), MAX_SEND_WINDOW);
}

#[tokio::test]
async fn how_long_viewers_wait_for_their_turn_is_told() {
    virtual_time::set(1_000_000);
    let mut scene = Scene::new();
    let fanout = Arc::new(Fanout::new(0));
    let peers: Vec<_> = (0..4 * VIEWERS_PER_POLL)
        .map(|_| {
            let peer = Arc::<Peer>::default();
            let mut taken = peer.0.lock();
            (taken.credit, taken.cost_us) = (usize::MAX, 10_000);
            drop(taken);
            peer
        })
        .collect();
    let subscribe = |peer| {
        let (stream, track) = (scene.publisher.stream(), scene.track.track());
        fanout.subscribe(stream, track, watching(peer))
    };
    let handles: Vec<_> = peers.iter().map(subscribe).collect();
    tokio::task::yield_now().await;
    fanout.lateness().take();
    scene.publish(0..1);
    let all = || peers.iter().all(|peer| !peer.0.lock().streams.is_empty());
    while !all() {
        tokio::task::yield_now().await;
    }
    let (waited_us, looks) = fanout.lateness().take();
    assert_eq!(looks, peers.len() as u64);
    // Four turns of eight, each as long after the one before it as that took.
    let turn_us = VIEWERS_PER_POLL as u64 * 10_000;
    assert!(waited_us / looks >= turn_us * 3 / 2, "{waited_us} us");
    drop(handles);
}
