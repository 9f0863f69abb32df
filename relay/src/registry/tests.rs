//! A stream's life: publishers come, go, return and take over.

use std::sync::Arc;

use bytes::Bytes;
use once::poll_once;
use weir_protocol::moqt::Namespace;

use super::{Config, PublishError, Registry};
use crate::ring::{Object, PushError};
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::{Presence, Publisher, TrackOptions, TrackWriter};

/// Polls a future once, which is all that a test of "already" and "not yet" needs.
mod once {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    pub(super) fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }
}

fn registry() -> Registry {
    let mut config = Config {
        max_streams: 2,
        ..Config::default()
    };
    config.stream.linger_us = LINGER_US;
    Registry::new(config, 1)
}

fn publish(registry: &Registry, name: &str) -> Result<Publisher, PublishError> {
    let namespace = Namespace::from_path(name).unwrap();
    registry.publish(&namespace, PublisherSnapshot::default(), EARLY_US)
}

fn video(publisher: &Publisher) -> TrackWriter {
    let options = TrackOptions {
        properties: Bytes::new(),
        priority: 128,
        first_frame: true,
    };
    publisher.track("video", options)
}

fn object() -> Object {
    Object {
        id: 0,
        wire: Bytes::from_static(b"object"),
        header_len: 0,
        properties: Bytes::new(),
        legacy: None,
        first_byte_us: 0,
        complete_us: 0,
    }
}

#[test]
fn stream_lingers_without_its_publisher_and_then_ends() {
    let registry = registry();
    let publisher = publish(&registry, "live/cam").unwrap();
    let stream = Arc::clone(publisher.stream());
    let track = video(&publisher);
    let first = track.begin_group().unwrap();
    assert_eq!(stream.presence(), Presence::Live);
    assert!(registry.sweep(LATE_US).is_empty(), "a live stream stays");
    drop(publisher);
    assert_eq!(stream.presence(), Presence::Lingering);
    assert!(registry.sweep(EARLY_US).is_empty());
    let ended = registry.sweep(LATE_US);
    assert_eq!(ended, std::slice::from_ref(&stream.namespace));
    assert_eq!(stream.presence(), Presence::Ended);
    assert!(stream.track(b"video").unwrap().ring.is_ended());
    assert!(registry.stream(&stream.namespace).is_none());
    let again = publish(&registry, "live/cam").unwrap();
    let second = video(&again).begin_group().unwrap();
    assert!(
        second >= first,
        "ids do not begin anew: {second} after {first}"
    );
}

#[test]
fn returning_publisher_continues_the_tracks() {
    let registry = registry();
    let publisher = publish(&registry, "live/cam").unwrap();
    let first = video(&publisher).begin_group().unwrap();
    drop(publisher);
    let returned = publish(&registry, "live/cam").unwrap();
    let stream = returned.stream();
    assert_eq!(stream.ingest().reconnects(), 1);
    assert_eq!(video(&returned).begin_group(), Ok(first + 1));
    assert!(registry.sweep(LATE_US).is_empty());
}

#[test]
fn publisher_takes_over_from_a_dead_connection_that_is_still_open() {
    let registry = registry();
    let dead = publish(&registry, "live/cam").unwrap();
    let old = video(&dead);
    old.begin_group().unwrap();
    assert!(poll_once(dead.superseded()).is_pending());
    let alive = publish(&registry, "live/cam").unwrap();
    assert!(poll_once(dead.superseded()).is_ready());
    assert_eq!(old.push(object()), Err(PushError::Superseded));
    let stream = Arc::clone(alive.stream());
    drop(dead);
    assert_eq!(
        stream.presence(),
        Presence::Live,
        "the one that went was not it"
    );
    let new = video(&alive);
    new.begin_group().unwrap();
    assert_eq!(new.push(object()), Ok(()));
}

#[test]
fn publisher_of_an_ended_stream_is_told_and_refused() {
    let registry = registry();
    let publisher = publish(&registry, "live/cam").unwrap();
    let track = video(&publisher);
    registry.end_all();
    assert!(poll_once(publisher.superseded()).is_ready());
    assert_eq!(track.begin_group(), Err(PushError::Ended));
}

#[test]
fn streams_are_limited_and_the_news_of_them_spreads() {
    let registry = registry();
    let mut changes = registry.changes();
    let _one = publish(&registry, "live/one").unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let _two = publish(&registry, "live/two").unwrap();
    let refused = publish(&registry, "live/three").map(|_| ());
    assert_eq!(refused, Err(PublishError::TooManyStreams(2)));
    let taken_over = publish(&registry, "live/two");
    assert!(taken_over.is_ok(), "a name that is there needs no room");
}

const LINGER_US: u64 = 10_000_000;

/// Before and after anything that happens while a test runs.
const EARLY_US: u64 = 0;
const LATE_US: u64 = u64::MAX / 2;
