//! Tracks as moq-dev's players want them, made from the stream's own while somebody wants them.
//!
//! ```text
//!  catalog  ─► catalog.json   the same in hang's words
//!  video    ─► video.hang     [object header | timestamp] + the payload of the LOC object, shared
//!  audio    ─► audio.hang
//! ```
//!
//! Such a view is a track with a ring of its own, which follows the ring of the track that it
//! shows: same groups, same objects, and the payloads themselves, of which only a reference count
//! is copied. It costs one small allocation an object, whatever the number of its viewers. It is
//! made when the first one asks, and gone when the last one is.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tracing::debug;
use weir_protocol::catalog::hang::{self, PREFIX_LEN_MAX, put_prefix};
use weir_protocol::catalog::msf::Catalog;
use weir_protocol::loc::{MICROSECONDS, ObjectProperties, TIMESTAMP};
use weir_protocol::moqt::Properties;
use weir_protocol::moqt::properties::{PairWriter, TrackProperties};
use weir_protocol::moqt::subgroup::put_object_header;

use crate::ring::{LegacyHeader, Object, PushError, Reader, Ring, Wake, Writer};
use crate::stream::{Stream, Track};

/// The view of that name, if the stream has the track that it would show, with something on it.
///
/// Must be called on a runtime: the view is kept up to date by a task of its own.
pub(crate) fn track(stream: &Arc<Stream>, name: &[u8]) -> Option<Arc<Track>> {
    let (source, content) = match name == hang::TRACK_NAME.as_bytes() {
        true => (stream.track(SOURCE_CATALOG)?, Content::Catalog),
        false => {
            let source = name.strip_suffix(SUFFIX.as_bytes())?;
            (stream.track(source)?, Content::Media)
        }
    };
    source.ring.largest()?;
    Some(stream.view(name, || {
        let ring = Arc::new(stream.ring());
        let view = Arc::new(source.view(name, Arc::clone(&ring), properties(&source, content)));
        let mut follower = Follower::new(&source, &view, content);
        // At once, so that who subscribes is told the largest object.
        follower.sync();
        tokio::spawn(follower.run());
        view
    }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Catalog,
    Media,
}

/// Copies what comes on one ring to another.
struct Follower {
    reader: Reader,
    wake: Arc<Wake>,
    /// Weak: the view is gone when nobody else has it.
    view: Weak<Track>,
    ring: Arc<Ring>,
    content: Content,
    timescale: u64,
    /// Where in the log of the source the next object is.
    position: u64,
    /// The group that is written.
    group: Option<u64>,
}

impl Follower {
    fn new(source: &Track, view: &Arc<Track>, content: Content) -> Self {
        let wake = Arc::<Wake>::default();
        let mut reader = Reader::new(Arc::clone(&source.ring), Arc::clone(&wake));
        reader.sync();
        let newest = reader.groups().back().map_or(0, |group| group.id);
        let position = reader.mirror().first_from(newest);
        Self {
            reader,
            wake,
            view: Arc::downgrade(view),
            ring: Arc::clone(&view.ring),
            content,
            timescale: timescale(source),
            position,
            group: None,
        }
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        while self.wake.take(cx.waker()) {
            if self.view.strong_count() == 0 {
                return Poll::Ready(());
            }
            self.reader.sync();
            self.sync();
        }
        match self.reader.is_ended() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Copies what is new.
    fn sync(&mut self) {
        if let Err(error) = self.copy() {
            debug!(%error, "a view is behind the track that it shows");
        }
        if self.reader.is_ended() {
            self.ring.end();
        }
    }

    fn copy(&mut self) -> Result<(), PushError> {
        let mirror = self.reader.mirror();
        self.position = self.position.max(mirror.first());
        while let Some(entry) = mirror.entry(self.position) {
            self.position += 1;
            let object = mirror.object(entry);
            // Media have one subgroup a group; what else there may be is no media.
            let object = object.filter(|object| object.subgroup.options.id == 0);
            let Some(object) = object.filter(|object| !object.is_status()) else {
                continue;
            };
            if self.group.is_some_and(|group| entry.group < group) {
                continue;
            }
            if self.group != Some(entry.group) {
                self.ring.begin_group(WRITER, entry.group)?;
                self.group = Some(entry.group);
            }
            if let Some(shown) = self.show(object) {
                self.ring.push(WRITER, shown)?;
            }
        }
        let newest = mirror.groups().back();
        if newest.is_some_and(|newest| newest.complete && Some(newest.id) == self.group) {
            self.ring.complete_group(WRITER)?;
        }
        Ok(())
    }

    fn show(&self, object: &Object) -> Option<Object> {
        let mut prefix = BytesMut::with_capacity(PREFIX_LEN_MAX);
        let mut properties = BytesMut::new();
        let payload = match self.content {
            Content::Catalog => {
                let catalog = Catalog::parse(&object.payload()).ok()?;
                Bytes::from(hang::from_msf(&catalog, view_name))
            }
            Content::Media => {
                let said = &object.properties;
                let said = ObjectProperties::parse_with_timescale(said, self.timescale).ok()?;
                let timestamp_us = said.timestamp_us?;
                put_prefix(&mut prefix, timestamp_us);
                PairWriter::new(&mut properties).int(TIMESTAMP, timestamp_us);
                object.payload()
            }
        };
        let len = prefix.len() + payload.len();
        let mut header = BytesMut::with_capacity(HEADER_ROOM);
        put_object_header(&mut header, 0, Some(&properties), len as u64, None);
        header.extend_from_slice(&prefix);
        let properties = properties.freeze();
        Some(Object {
            id: object.id,
            wire: payload,
            header_len: 0,
            properties: properties.clone(),
            legacy: Some(LegacyHeader {
                header: header.freeze(),
                properties,
                prefix_len: prefix.len(),
                always: true,
            }),
            first_byte_us: object.first_byte_us,
            complete_us: object.complete_us,
        })
    }
}

/// What a view says of itself: its timestamps are microseconds.
fn properties(source: &Track, content: Content) -> Bytes {
    let timescale = (content == Content::Media).then_some(MICROSECONDS);
    let properties = TrackProperties {
        timescale,
        publisher_priority: Some(source.priority),
        ..TrackProperties::default()
    };
    properties.to_block().as_bytes().clone()
}

fn timescale(source: &Track) -> u64 {
    let block = Properties::new(source.properties.clone()).unwrap_or_default();
    let known = TrackProperties::parse(&block).ok();
    known
        .and_then(|known| known.timescale)
        .unwrap_or(MICROSECONDS)
}

fn view_name(track: &str) -> String {
    format!("{track}{SUFFIX}")
}

/// The MSF catalog that the hang catalog is made of.
const SOURCE_CATALOG: &[u8] = b"catalog";

/// What follows a track's name in the name of its view.
const SUFFIX: &str = ".hang";

/// Nobody else writes a view.
const WRITER: Writer = Writer(1);

/// Distance, lengths, a timestamp property and the timestamp in front of the chunk.
const HEADER_ROOM: usize = 48;
