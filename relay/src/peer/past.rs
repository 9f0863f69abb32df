//! A FETCH stream of a peer's: the past of a track, into the ring before the present.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;
use weir_protocol::moqt::fetch::{FetchEvent, FetchReader};
use weir_protocol::moqt::object::ObjectStatus;
use weir_protocol::moqt::{GroupOrder, Location};

use super::inlet::Inlet;
use super::object::Partial;
use super::{Fault, Peer};
use crate::clock;
use crate::ring::{PushError, Subgroup, SubgroupEnd, SubgroupOptions};
use crate::webtransport::RecvStream;

/// A FETCH of ours on its way into a ring.
#[derive(Debug)]
pub struct Past {
    inlet: Arc<Inlet>,
    /// Where the past ends and the present begins.
    end: Location,
    open: Mutex<Open>,
    /// Whether all of it came; none while it is coming.
    over: watch::Sender<Option<bool>>,
}

/// The subgroups of the group that is being fetched.
#[derive(Debug, Default)]
struct Open {
    group: u64,
    subgroups: Vec<(u64, Arc<Subgroup>)>,
}

/// A FETCH in its peer's table. Dropping it takes it out.
pub(super) struct Fetching<'a> {
    peer: &'a Peer,
    request_id: u64,
    past: Arc<Past>,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(peer: &'a Peer, request_id: u64, inlet: &Arc<Inlet>, end: Location) -> Self {
        let past = Arc::new(Past {
            inlet: Arc::clone(inlet),
            end,
            open: Mutex::default(),
            over: watch::Sender::new(None),
        });
        peer.pasts.lock().insert(request_id, Arc::clone(&past));
        peer.past_changes.send_replace(());
        Self {
            peer,
            request_id,
            past,
        }
    }

    /// Waits for the end of it. Returns whether all of it came.
    pub(super) async fn finished(&self) -> bool {
        let mut over = self.past.over.subscribe();
        let finished = timeout(PAST_LIMIT, over.wait_for(Option::is_some)).await;
        finished.is_ok_and(|over| over.is_ok_and(|over| *over == Some(true)))
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.peer.pasts.lock().remove(&self.request_id);
        // What is still coming has nobody to wait for it.
        self.past.finish(false);
    }
}

pub(super) async fn serve(
    peer: &Peer,
    mut stream: RecvStream,
    head: BytesMut,
) -> Result<(), Fault> {
    let mut reader = FetchReader::new(GroupOrder::Ascending);
    reader.push(head.freeze());
    let mut past: Option<Arc<Past>> = None;
    let whole = loop {
        match reader.poll()? {
            Some(FetchEvent::Header(header)) => {
                past = peer.past(header.request_id).await;
                if past.is_none() {
                    debug!(header.request_id, "a FETCH stream that nobody asked for");
                    // Fails only when the stream has ended.
                    let _ = stream.stop(CANCELLED);
                    return Ok(());
                }
            }
            Some(FetchEvent::Object {
                location,
                subgroup,
                priority,
                properties,
                payload,
            }) => {
                let object = Fetched {
                    location,
                    subgroup: subgroup.unwrap_or_default(),
                    priority,
                    properties,
                    payload,
                };
                let taken = past.as_ref().map(|past| past.take(object));
                if let Some(Err(error)) = taken {
                    debug!(%error, "the past of a track was given up");
                    // Fails only when the stream has ended.
                    let _ = stream.stop(CANCELLED);
                    break false;
                }
            }
            Some(FetchEvent::RangeEnd { .. }) => {}
            None => match stream.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => reader.push(chunk.bytes),
                Ok(None) => {
                    reader.finish()?;
                    break true;
                }
                Err(_) => break false,
            },
        }
    };
    if let Some(past) = past {
        past.finish(whole);
    }
    Ok(())
}

struct Fetched {
    location: Location,
    subgroup: u64,
    priority: u8,
    properties: Bytes,
    payload: Bytes,
}

impl Past {
    fn take(&self, fetched: Fetched) -> Result<(), PushError> {
        let writer = &self.inlet.writer;
        let Location { group, object: id } = fetched.location;
        let mut open = self.open.lock();
        if open.group != group {
            self.close(&mut open, SubgroupEnd::Fin);
            open.group = group;
        }
        let mut known = open.subgroups.iter();
        let known = known.find(|(id, _)| *id == fetched.subgroup);
        let known = known.map(|(_, subgroup)| Arc::clone(subgroup));
        let subgroup = match known {
            Some(subgroup) => subgroup,
            None => {
                let default = fetched.priority == writer.track().priority;
                let options = SubgroupOptions {
                    id: fetched.subgroup,
                    priority: (!default).then_some(fetched.priority),
                    end_of_group: false,
                    first_object: id == 0,
                    datagrams: false,
                };
                let opened = writer.open_subgroup(group, options, id)?;
                open.subgroups.push((fetched.subgroup, Arc::clone(&opened)));
                opened
            }
        };
        drop(open);
        let now_us = clock::now_us();
        let (properties, payload) = (fetched.properties, fetched.payload);
        let status = ObjectStatus::Normal;
        let mut partial = Partial::new(id, properties, status, payload.len(), now_us);
        partial.append(&payload);
        let object = partial.finish(now_us);
        match self.inlet.push_past(group, &subgroup, object) {
            // What the track had already.
            Err(PushError::Duplicate | PushError::Conflict) => Ok(()),
            pushed => pushed,
        }
    }

    /// The past is over: its last group is left open for the present to go on with.
    fn finish(&self, whole: bool) {
        let mut open = self.open.lock();
        if open.group == self.end.group {
            for (_, subgroup) in std::mem::take(&mut open.subgroups) {
                self.inlet.writer.leave_subgroup(open.group, &subgroup);
            }
        } else {
            let end = match whole {
                true => SubgroupEnd::Fin,
                false => SubgroupEnd::Reset(CANCELLED.into()),
            };
            self.close(&mut open, end);
        }
        drop(open);
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            *over = over.or(Some(whole));
            first
        });
    }

    fn close(&self, open: &mut Open, end: SubgroupEnd) {
        for (_, subgroup) in std::mem::take(&mut open.subgroups) {
            self.inlet.writer.end_subgroup(open.group, &subgroup, end);
        }
    }
}

/// The longest that a track's present waits for its past: it is a group, and viewers wait too.
const PAST_LIMIT: Duration = Duration::from_secs(3);

/// Read at a time: what a few packets bring.
const READ_BYTES: usize = 64 << 10;

/// CANCELLED, as streams are stopped with it.
const CANCELLED: u32 = 0x1;
