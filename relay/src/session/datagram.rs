//! Objects that come in datagrams: the peer's aliases, and who takes what comes on each.
//!
//! An alias means something from the moment its PUBLISH is granted until that request is over.
//! A datagram on any other alias is dropped and counted: datagrams overtake the request that
//! explains them, and may be lost anyway.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use weir_protocol::moqt::SessionError;
use weir_protocol::moqt::datagram::ObjectDatagram;

use super::{Close, Session};
use crate::clock;

/// Takes the objects of one track that the peer publishes. Called on the session's shard, one at
/// a time, and must not block.
pub(super) trait Sink: Send + Sync {
    /// Takes an object that arrived at `now_us`.
    fn on_object(&self, object: ObjectDatagram, now_us: u64);
}

/// The tracks that the peer publishes in this session, by its aliases.
#[derive(Default)]
pub(super) struct Published(Mutex<HashMap<u64, Arc<dyn Sink>>>);

/// A track in [`Published`]; dropping it takes the track out.
pub(super) struct Registration {
    session: Arc<Session>,
    alias: u64,
}

impl Registration {
    /// Gives what comes on `alias` to `sink`. The table has as many entries as the peer may have
    /// requests, which the endpoint bounds.
    ///
    /// # Errors
    ///
    /// A violation when the alias means another track already.
    pub(super) fn new(
        session: &Arc<Session>,
        alias: u64,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, Close> {
        let mut published = session.published.0.lock();
        if published.contains_key(&alias) {
            let reason = format!("track alias {alias} is in use");
            return Err(Close::new(SessionError::DuplicateTrackAlias, reason));
        }
        published.insert(alias, sink);
        Ok(Self {
            session: Arc::clone(session),
            alias,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.session.published.0.lock().remove(&self.alias);
    }
}

/// Receives datagrams until the connection is gone, or the peer breaks the protocol.
pub(super) async fn serve(session: Arc<Session>) -> Result<(), Close> {
    while let Ok(datagram) = session.connection.read_datagram().await {
        let object = match ObjectDatagram::decode(&datagram) {
            Ok(Some(object)) => object,
            Ok(None) => continue,
            Err(error) => {
                let reason = format!("a datagram: {error}");
                return Err(Close::new(SessionError::ProtocolViolation, reason));
            }
        };
        let sink = session.published.0.lock().get(&object.alias).cloned();
        match sink {
            Some(sink) => sink.on_object(object, clock::now_us()),
            // A track of a stream, and not of the hop.
            None if session.peer.on_datagram(&object, clock::now_us()) => {}
            None => {
                let counters = &session.context.shared.counters;
                counters.datagrams_unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}
