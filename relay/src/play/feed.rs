//! A shard's view of one stream for its players: mirrors of both tracks, and what they carry.
//!
//! A published object wakes the shard once, whatever the number of players; the feed brings the
//! mirrors up to date and its players look into them.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::debug;
use weir_protocol::catalog::{hang, msf};
use weir_protocol::loc;
use weir_protocol::moqt::{Namespace, TrackProperties};

use super::cursor::{Kind, Tracks};
use super::description::Description;
use crate::ring::{Group, Reader, Wake};
use crate::stream::{Presence, Stream, Track};

/// The feeds of one shard.
#[derive(Debug, Default)]
pub struct Feeds(Mutex<HashMap<Namespace, Weak<Feed>>>);

impl Feeds {
    /// The feed of the stream. Must be called on the shard's runtime.
    pub(super) fn join(&self, stream: &Arc<Stream>) -> Arc<Feed> {
        let mut feeds = self.0.lock();
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let known = feeds.get(&stream.namespace).and_then(Weak::upgrade);
        // A stream that ended and began anew has the same name.
        if let Some(feed) = known.filter(|feed| Arc::ptr_eq(&feed.stream, stream)) {
            return feed;
        }
        let feed = Arc::new(Feed {
            stream: Arc::clone(stream),
            wake: Arc::default(),
            mirror: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        // Followed before they are looked at, so that none is missed.
        let tracks = stream.track_changes();
        feed.mirror.lock().sync(stream, &feed.wake);
        feeds.insert(stream.namespace.clone(), Arc::downgrade(&feed));
        let wake = Arc::clone(&feed.wake);
        tokio::spawn(follow(Arc::downgrade(&feed), wake, tracks));
        feed
    }
}

/// One stream's mirrors. It lives as long as somebody plays the stream.
pub(super) struct Feed {
    pub(super) stream: Arc<Stream>,
    pub(super) mirror: Mutex<Mirror>,
    wake: Arc<Wake>,
    changed: watch::Sender<()>,
}

impl Feed {
    /// Follows the mirrors: changes whenever they do.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // The task finds that nobody is left.
        self.wake.wake();
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

async fn follow(feed: Weak<Feed>, wake: Arc<Wake>, mut tracks: watch::Receiver<()>) {
    loop {
        let woken = poll_fn(|cx| match wake.take(cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            () = woken => {}
            Ok(()) = tracks.changed() => {}
        }
        let Some(feed) = feed.upgrade() else { return };
        if feed.mirror.lock().sync(&feed.stream, &feed.wake) {
            feed.changed.send_replace(());
        }
    }
}

/// What the shard knows of a stream.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    catalog: Option<Followed>,
    video: Option<Followed>,
    audio: Option<Followed>,
    /// The newest catalogs, oldest first: players that are behind are at an older one.
    descriptions: VecDeque<Arc<Description>>,
    /// The group of the newest catalog that was read.
    described: Option<u64>,
    ended: bool,
}

#[derive(Debug)]
struct Followed {
    name: Bytes,
    reader: Reader,
    timescale: u64,
}

impl Mirror {
    /// The tracks, for the policy.
    pub(super) fn tracks(&self) -> Tracks<'_> {
        Tracks {
            video: self.groups(Kind::Video),
            audio: self.groups(Kind::Audio),
            ended: self.ended,
        }
    }

    /// The groups of a track.
    pub(super) fn groups(&self, kind: Kind) -> Option<&VecDeque<Group>> {
        self.track(kind).map(|track| track.reader.groups())
    }

    /// Ticks a second of a track's timestamps.
    pub(super) fn timescale(&self, kind: Kind) -> u64 {
        let track = self.track(kind);
        track.map_or(loc::MICROSECONDS, |track| track.timescale)
    }

    /// What the stream carried at `at_us`; the oldest that is known, for what is older still.
    pub(super) fn description_at(&self, at_us: u64) -> Option<&Arc<Description>> {
        let mut newest_first = self.descriptions.iter().rev();
        let found = newest_first.find(|description| description.since_us <= at_us);
        found.or_else(|| self.descriptions.front())
    }

    /// What the stream carries.
    pub(super) fn description(&self) -> Option<&Arc<Description>> {
        self.descriptions.back()
    }

    fn track(&self, kind: Kind) -> Option<&Followed> {
        match kind {
            Kind::Video => self.video.as_ref(),
            Kind::Audio => self.audio.as_ref(),
        }
    }

    /// Brings everything up to date. Returns whether anything changed.
    fn sync(&mut self, stream: &Stream, wake: &Arc<Wake>) -> bool {
        let mut changed = false;
        let over = stream.presence() == Presence::Ended;
        if self.catalog.is_none() {
            let mut catalogs = CATALOGS.iter().filter_map(|name| stream.track(name));
            self.catalog = catalogs.next().map(|track| Followed::new(&track, wake));
        }
        // Until nothing came in between: so the mirrors are of one moment, and their objects in
        // the order in which they were published.
        for _ in 0..SYNC_ROUNDS {
            let mut news = self.sync_catalog(stream, wake);
            for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
                news |= track.reader.sync();
            }
            changed |= news;
            if !news {
                break;
            }
        }
        let followed = [&self.catalog, &self.video, &self.audio].into_iter();
        let mut followed = followed.flatten().peekable();
        let ended = match followed.peek() {
            Some(_) => followed.all(|track| track.reader.is_ended()),
            None => over,
        };
        changed |= self.ended != ended;
        self.ended = ended;
        changed
    }

    fn sync_catalog(&mut self, stream: &Stream, wake: &Arc<Wake>) -> bool {
        let Some(catalog) = &mut self.catalog else {
            return false;
        };
        if catalog.reader.sync() {
            self.describe(&stream.namespace);
        }
        let Some(description) = self.descriptions.back() else {
            return false;
        };
        let video = description.video.as_ref().map(|video| &video.name);
        let audio = description.audio.as_ref().map(|audio| &audio.name);
        follow_track(&mut self.video, video, stream, wake)
            | follow_track(&mut self.audio, audio, stream, wake)
    }

    fn describe(&mut self, namespace: &Namespace) {
        let Some(catalog) = &self.catalog else { return };
        let known = self.described;
        let news = catalog.reader.groups().iter();
        let news = news.filter(|group| known.is_none_or(|known| group.id > known));
        for group in news {
            let Some(object) = group.objects.first() else {
                continue;
            };
            self.described = Some(group.id);
            let catalog = match catalog.name == hang::TRACK_NAME.as_bytes() {
                true => hang::parse(&object.payload()),
                false => msf::Catalog::parse(&object.payload()),
            };
            match catalog {
                Ok(catalog) => {
                    let description = Description::of(&catalog, object.complete_us);
                    // The end of a stream says that it has no tracks: there may be frames yet.
                    if description.has_media() {
                        self.descriptions.push_back(Arc::new(description));
                    }
                }
                Err(error) => debug!(stream = %namespace, %error, "cannot read the catalog"),
            }
        }
        let surplus = self.descriptions.len().saturating_sub(DESCRIPTIONS);
        self.descriptions.drain(..surplus);
    }
}

impl Followed {
    fn new(track: &Arc<Track>, wake: &Arc<Wake>) -> Self {
        let block = weir_protocol::moqt::Properties::new(track.properties.clone());
        let properties = block.and_then(|block| TrackProperties::parse(&block));
        let timescale = properties.ok().and_then(|properties| properties.timescale);
        Self {
            name: track.name.clone(),
            reader: Reader::new(Arc::clone(&track.ring), Arc::clone(wake)),
            timescale: timescale.unwrap_or(loc::MICROSECONDS),
        }
    }
}

/// Follows the track of that name, if the stream has it. Returns whether that is new.
fn follow_track(
    followed: &mut Option<Followed>,
    name: Option<&String>,
    stream: &Stream,
    wake: &Arc<Wake>,
) -> bool {
    let Some(name) = name else { return false };
    let same = |followed: &Followed| followed.name == name.as_bytes();
    if followed.as_ref().is_some_and(same) {
        return false;
    }
    let Some(track) = stream.track(name.as_bytes()) else {
        return false;
    };
    *followed = Some(Followed::new(&track, wake));
    true
}

/// The names of the tracks that may have the catalog, the preferred one first: that of publishers
/// of MSF, and that of moq-dev's.
pub(super) const CATALOGS: [&[u8]; 2] = [msf::TRACK_NAME.as_bytes(), hang::TRACK_NAME.as_bytes()];

/// Catalogs that are kept: codecs change by hand.
const DESCRIPTIONS: usize = 4;

/// Rounds of looking at the rings; a second one is rare, as one takes microseconds.
const SYNC_ROUNDS: usize = 4;
