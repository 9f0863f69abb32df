//! The names that an upstream has, told here as if they were ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;
use weir_protocol::moqt::message::SubscribeNamespace;
use weir_protocol::moqt::{Message, Namespace, Params};

use super::Edge;
use super::link::Link;
use crate::clock;
use crate::stream::Stream;

/// A name of the upstream's; withdrawn when it is dropped.
struct Named(Arc<Stream>);

impl Drop for Named {
    fn drop(&mut self) {
        self.0.release(clock::now_us());
    }
}

/// Follows the upstream's names until the link is gone. They stay a linger time longer, so that
/// those of the next link are the same names.
pub(super) async fn follow(edge: &Edge, link: &Link) {
    let mut known: BTreeMap<Namespace, Named> = BTreeMap::new();
    let subscribe = SubscribeNamespace {
        request_id: link.peer.ids.lock().next_id(),
        prefix: Namespace::empty(),
        params: Params::default(),
    };
    let Ok(mut exchange) = link.peer.request(subscribe).await else {
        return;
    };
    match exchange.answer().await {
        Ok(Some(Message::RequestOk(_))) => {}
        _ => return debug!(upstream = link.address, "the upstream tells no names"),
    }
    loop {
        let message = tokio::select! {
            message = exchange.next() => message,
            _ = link.peer.connection.closed() => return,
        };
        match message {
            Ok(Some(Message::Namespace(added))) => {
                let name = added.suffix;
                let usable = !name.is_empty() && !name.is_reserved() && known.len() < NAMES_MAX;
                let stream = usable.then(|| edge.shared.registry.remote(&name, clock::now_us()));
                if let Some(Some(stream)) = stream {
                    stream.hold();
                    known.insert(name, Named(stream));
                }
            }
            Ok(Some(Message::NamespaceDone(done))) => drop(known.remove(&done.suffix)),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    // The upstream ended the request alone: what it told before is of no more use.
    sleep(FORGET).await;
}

/// Names of an upstream that are told here: as many as a relay has streams by default.
const NAMES_MAX: usize = 4096;

/// How long names outlive the request that told them.
const FORGET: Duration = Duration::from_secs(1);
