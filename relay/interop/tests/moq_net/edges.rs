//! Weir as an edge of a relay that is not a Weir.

use std::time::Duration;

use bytes::Bytes;
use moq_net::Timestamp;
use moq_net::track::Subscription;

use crate::peer::{in_each_draft, listen, name_in, relay, soon, subscriber, weir};

#[tokio::test]
async fn edge_of_another_relay_serves_its_streams() {
    in_each_draft(move |draft| async move {
        // It tells its names unasked and asks for ours: both are refused, and the link stays.
        let (origin, upstream) = relay(draft);
        let broadcast = origin.create_broadcast(name_in(draft).as_str()).unwrap();
        let track = broadcast.create_track("data", None).unwrap();
        broadcast.announce(Default::default()).unwrap();
        let edge = weir(&[format!("moqt://{upstream}?insecure")]);
        let (subscriber, _watching) = subscriber(draft, edge).await;
        let found = soon("stream", subscriber.routed_broadcast(name_in(draft))).await;
        let found = found.unwrap();
        let patient = Subscription::default().with_max_age(Duration::from_secs(600));
        let subscribing = found.track("data").unwrap().subscribe(patient);
        let mut watched = soon("answer to SUBSCRIBE", subscribing).await.unwrap();
        for group in 0..20_u8 {
            let mut writer = track.append_group().unwrap();
            for object in 0..5_u8 {
                let payload = Bytes::from(vec![group, object]);
                writer.write_frame(Timestamp::now(), payload).unwrap();
            }
            writer.finish().unwrap();
            let mut reader = soon("group", watched.recv_group()).await.unwrap().unwrap();
            for object in 0..5_u8 {
                let frame = soon("object", reader.read_frame()).await.unwrap().unwrap();
                assert_eq!(frame.payload[..], [group, object], "{draft}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn upstream_that_takes_an_edge_and_drops_it_is_not_stormed() {
    let upstream = listen("moq-transport-22".parse().unwrap());
    let _edge = weir(&[format!(
        "moqt://{}?insecure",
        upstream.local_addr().unwrap()
    )]);
    let comes = async || {
        let incoming = upstream.accept().await.unwrap();
        if let Ok(connection) = incoming.await {
            connection.close(1_u32.into(), b"not you");
        }
    };
    for _ in 0..3 {
        soon("attempt of the edge", comes()).await;
    }
    let mut more = 0;
    let storm = async {
        while more < 12 {
            comes().await;
            more += 1;
        }
    };
    // Twice a second is what it may; a loaded machine makes it fewer.
    let stormed = tokio::time::timeout(Duration::from_secs(3), storm).await;
    assert!(stormed.is_err(), "twelve attempts within three seconds");
    assert!(more > 0, "it gave up");
}
