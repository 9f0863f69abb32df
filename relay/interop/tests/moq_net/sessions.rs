//! Sessions and names: setup-only, announce-only and publish-namespace-done of the runner.

use moq_net::Client;

use crate::peer::{connect, in_each_draft, name_in, publisher, soon, subscriber, weir};

#[tokio::test]
async fn session_is_opened_and_closed() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let peer = connect(Client::new(), draft, relay).await;
        let closed = soon("end of the session", peer.session.close()).await;
        assert!(closed.is_ok(), "{draft}: {closed:?}");
    })
    .await;
}

#[tokio::test]
async fn name_is_told_and_withdrawn() {
    let relay = weir(&[]);
    in_each_draft(move |draft| async move {
        let name = name_in(draft);
        let (subscriber, _watching) = subscriber(draft, relay).await;
        let mut announced = subscriber.announced();
        let (origin, _publishing) = publisher(draft, relay).await;
        let broadcast = origin.create_broadcast(name.as_str()).unwrap();
        broadcast.announce(Default::default()).unwrap();
        // The other drafts' names come and go as well.
        let mut told = async |active| loop {
            let update = soon("news of the name", announced.next()).await.unwrap();
            if update.prefix.as_str() == name && update.kind.is_active() == active {
                break;
            }
        };
        told(true).await;
        broadcast.close();
        told(false).await;
    })
    .await;
}
