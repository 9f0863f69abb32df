//! Tracks: subscribe-error, announce-subscribe and subscribe-before-announce of the runner, and
//! what players live on.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use moq_net::origin::Producer;
use moq_net::{Timescale, Timestamp, Version, broadcast, group, track};

use crate::peer::{Peer, in_each_draft, name_in, publisher, soon, subscriber, weir};

/// A track of microseconds, which keeps its groups for the length of a test.
fn microseconds() -> track::Info {
    let info = track::Info::default().with_timescale(Timescale::MICRO);
    info.with_max_age(Duration::from_secs(600))
}

/// A subscription that waits for every group.
fn patient() -> track::Subscription {
    track::Subscription::default().with_max_age(Duration::from_secs(600))
}

/// A payload that is no other's.
fn payload(group: u64, object: u64) -> Bytes {
    let seed = u8::try_from((group * 31 + object) % 251).unwrap();
    Bytes::from(vec![seed; 100 + object as usize])
}

fn time(group: u64, object: u64) -> Timestamp {
    Timestamp::from_micros(group * 1_000_001 + object * 40_007).unwrap()
}

fn write(writer: &mut group::Producer, group: u64, objects: std::ops::Range<u64>) {
    for object in objects {
        let written = writer.write_frame(time(group, object), payload(group, object));
        written.unwrap();
    }
}

async fn read(reader: &mut group::Consumer, group: u64, objects: std::ops::Range<u64>) {
    for object in objects {
        let frame = soon("object", reader.read_frame()).await.unwrap().unwrap();
        let place = format!("object {object} of group {group}");
        assert_eq!(frame.payload, payload(group, object), "{place}");
        let expected_us = time(group, object).as_micros();
        assert_eq!(frame.timestamp.as_micros(), expected_us, "{place}");
    }
}

/// A track that is published, for as long as this is held.
struct Published {
    track: track::Producer,
    _broadcast: broadcast::Producer,
    _origin: Producer,
    session: Peer,
}

/// Publishes a track of the draft's stream.
async fn published(draft: Version, relay: SocketAddr, name: &str, info: track::Info) -> Published {
    let (origin, session) = publisher(draft, relay).await;
    let broadcast = origin.create_broadcast(name_in(draft).as_str()).unwrap();
    let track = broadcast.create_track(name, info).unwrap();
    broadcast.announce(Default::default()).unwrap();
    Published {
        track,
        _broadcast: broadcast,
        _origin: origin,
        session,
    }
}

/// What a subscriber sees of the stream once it is there.
async fn found(draft: Version, relay: SocketAddr) -> (broadcast::Consumer, Peer) {
    let (subscriber, watching) = subscriber(draft, relay).await;
    let found = soon("stream", subscriber.routed_broadcast(name_in(draft))).await;
    (found.unwrap(), watching)
}

async fn watch(broadcast: &broadcast::Consumer, track: &str) -> track::Subscriber {
    let subscribing = broadcast.track(track).unwrap().subscribe(patient());
    soon("answer to SUBSCRIBE", subscribing).await.unwrap()
}

#[tokio::test]
async fn subscription_to_what_is_not_there_is_refused() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let _published = published(draft, relay, "other", microseconds()).await;
        let (found, _watching) = found(draft, relay).await;
        let subscribing = found.track("data").unwrap().subscribe(patient());
        let refused = soon("refusal", subscribing).await;
        assert!(refused.is_err(), "{draft}");
        assert!(!found.is_closed(), "{draft}: only the request is over");
    })
    .await;
}

#[tokio::test]
async fn thousand_objects_arrive_as_they_were_published() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let info = microseconds().with_priority(42);
        let published = published(draft, relay, "data", info).await;
        let track = &published.track;
        let (found, _watching) = found(draft, relay).await;
        let mut watched = watch(&found, "data").await;
        assert_eq!(watched.info().timescale, Timescale::MICRO, "{draft}");
        assert_eq!(watched.info().priority, 42, "{draft}");
        for group in 0..50 {
            let mut writer = track.append_group().unwrap();
            write(&mut writer, group, 0..20);
            writer.finish().unwrap();
            let mut reader = soon("group", watched.recv_group()).await.unwrap().unwrap();
            assert_eq!(reader.sequence, group, "{draft}");
            read(&mut reader, group, 0..20).await;
            let end = soon("end of the group", reader.read_frame()).await.unwrap();
            assert!(end.is_none(), "{draft}: group {group} has more");
        }
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_a_stream_gets_it_when_it_comes() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let waiting = tokio::spawn(async move { found(draft, relay).await });
        let published = published(draft, relay, "data", microseconds()).await;
        let track = &published.track;
        let (found, _watching) = waiting.await.unwrap();
        let mut watched = watch(&found, "data").await;
        let mut writer = track.append_group().unwrap();
        write(&mut writer, 0, 0..3);
        let mut reader = soon("group", watched.recv_group()).await.unwrap().unwrap();
        read(&mut reader, 0, 0..3).await;
    })
    .await;
}

#[tokio::test]
async fn who_joins_late_gets_the_newest_group_from_its_beginning() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let published = published(draft, relay, "data", microseconds()).await;
        let track = &published.track;
        for group in 0..3 {
            let mut writer = track.append_group().unwrap();
            write(&mut writer, group, 0..5);
            writer.finish().unwrap();
        }
        let mut writer = track.append_group().unwrap();
        write(&mut writer, 3, 0..4);
        // The first is served by the publisher, the second by the relay alone.
        let mut readers = Vec::new();
        for _ in 0..2 {
            let (found, watching) = found(draft, relay).await;
            let mut watched = watch(&found, "data").await;
            let mut reader = soon("group", watched.recv_group()).await.unwrap().unwrap();
            assert_eq!(reader.sequence, 3, "{draft}");
            read(&mut reader, 3, 0..4).await;
            readers.push((reader, watched, found, watching));
        }
        write(&mut writer, 3, 4..8);
        for (reader, ..) in &mut readers {
            read(reader, 3, 4..8).await;
        }
    })
    .await;
}

#[tokio::test]
async fn catalog_is_there_for_who_comes_early_and_who_comes_late() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let published = published(draft, relay, "catalog.json", microseconds()).await;
        let track = &published.track;
        let (early, _watching_early) = found(draft, relay).await;
        let mut early = watch(&early, "catalog.json").await;
        let mut writer = track.append_group().unwrap();
        write(&mut writer, 0, 0..1);
        writer.finish().unwrap();
        let mut reader = soon("catalog", early.recv_group()).await.unwrap().unwrap();
        read(&mut reader, 0, 0..1).await;
        for _ in 0..2 {
            let (late, _watching_late) = found(draft, relay).await;
            let mut late = watch(&late, "catalog.json").await;
            let mut reader = soon("catalog", late.recv_group()).await.unwrap().unwrap();
            read(&mut reader, 0, 0..1).await;
        }
    })
    .await;
}

#[tokio::test]
async fn publisher_hears_when_nobody_watches_any_more() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let published = published(draft, relay, "data", microseconds()).await;
        let track = &published.track;
        let (found, watching) = found(draft, relay).await;
        let watched = watch(&found, "data").await;
        soon("subscription", track.used()).await.unwrap();
        drop((watched, found));
        soon("end of the subscription", track.unused())
            .await
            .unwrap();
        assert!(!track.is_closed(), "{draft}");
        drop(watching);
    })
    .await;
}

#[tokio::test]
async fn subscriber_hears_that_the_publisher_is_gone() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let published = published(draft, relay, "data", microseconds()).await;
        let track = &published.track;
        let (found, _watching) = found(draft, relay).await;
        let mut watched = watch(&found, "data").await;
        let mut writer = track.append_group().unwrap();
        write(&mut writer, 0, 0..2);
        let mut reader = soon("group", watched.recv_group()).await.unwrap().unwrap();
        read(&mut reader, 0, 0..2).await;
        published.session.kill();
        let ended = soon("end of the group", reader.read_frame()).await;
        assert!(
            !matches!(ended, Ok(Some(_))),
            "{draft}: an object of nobody"
        );
        let ended = soon("end of the track", watched.recv_group()).await;
        assert!(!matches!(ended, Ok(Some(_))), "{draft}: a group of nobody");
        soon("end of the stream", found.closed()).await;
    })
    .await;
}
