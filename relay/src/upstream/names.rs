//! The names that an upstream has, told here as if they were ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};
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
    let mut names: Names<Named> = Names::default();
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
                names.add(added.suffix, |name| {
                    let stream = edge.shared.registry.remote(name, clock::now_us())?;
                    stream.hold();
                    Some(Named(stream))
                });
            }
            Ok(Some(Message::NamespaceDone(done))) => names.remove(&done.suffix),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    // The upstream ended the request alone: what it told before is of no more use.
    sleep(FORGET).await;
}

/// What an upstream has told.
struct Names<T> {
    known: BTreeMap<Namespace, T>,
    /// Whether it was said that there are too many.
    said: bool,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            said: false,
        }
    }
}

impl<T> Names<T> {
    /// Takes a name that can be told here, if there is room for it.
    fn add(&mut self, name: Namespace, hold: impl FnOnce(&Namespace) -> Option<T>) {
        if name.is_empty() || name.is_reserved() {
            return;
        }
        if self.known.len() >= NAMES_MAX && !self.known.contains_key(&name) {
            if !std::mem::replace(&mut self.said, true) {
                warn!(
                    %name,
                    "an upstream tells more than {NAMES_MAX} names: the others are not told here"
                );
            }
            return;
        }
        // Held before the older one is given up, so that a name told twice stays.
        if let Some(held) = hold(&name) {
            self.known.insert(name, held);
        }
    }

    fn remove(&mut self, name: &Namespace) {
        self.known.remove(name);
    }
}

/// Names of an upstream that are told here: as many as a relay has streams by default.
const NAMES_MAX: usize = 4096;

/// How long names outlive the request that told them.
const FORGET: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_not_told_until_others_are_withdrawn() {
        let mut names = Names::default();
        let named = |at: usize| Namespace::from_path(&format!("live/{at}")).unwrap();
        for at in 0..NAMES_MAX {
            names.add(named(at), |_| Some(at));
        }
        names.add(named(NAMES_MAX), |_| panic!("there is no room"));
        assert_eq!(names.known.len(), NAMES_MAX);
        names.add(named(7), |_| Some(0));
        assert_eq!(names.known[&named(7)], 0, "one that is known is told again");
        names.remove(&named(0));
        names.add(named(NAMES_MAX), |_| Some(1));
        assert_eq!(names.known.len(), NAMES_MAX);
        assert!(names.known.contains_key(&named(NAMES_MAX)));
    }

    #[test]
    fn names_that_cannot_be_told_are_left_out() {
        let mut names: Names<()> = Names::default();
        names.add(Namespace::empty(), |_| panic!("nobody can ask for it"));
        assert!(names.known.is_empty());
    }
}
