//! FILL_PARAMETERS: the past of a track beside its subscription, since draft 20.
//!
//! What drafts before it do with a joining FETCH. The objects come on a FETCH stream of their own
//! that carries the subscription's request id, and end where the subscription begins. A range
//! without objects opens no stream; one that cannot be served is a stream that is reset.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_protocol::moqt::fetch::FetchHeader;
use weir_protocol::moqt::message::RequestError;
use weir_protocol::moqt::{
    Filter, GroupOrder, Location, Params, RequestErrorCode, StreamResetCode,
};

use super::Session;
use super::control::stream_code;
use super::fetch::{FETCH_LIMIT, Plan, Writer, past};
use crate::sender::stream_priority;
use crate::webtransport::SendStream;

/// A subscription, as far as its fills need to know it.
pub(super) struct Filled {
    pub(super) session: Arc<Session>,
    pub(super) request_id: u64,
    /// The subscription's filter, which holds for a fill that has none of its own.
    pub(super) filter: Filter,
    /// The largest object when the subscription, or its update, was made.
    pub(super) largest: Option<Location>,
    /// The whole range, to be narrowed.
    pub(super) plan: Plan,
}

/// The fills of one subscription. Dropping them resets their streams.
#[derive(Default)]
pub(super) struct Fills {
    running: JoinSet<bool>,
    opened: u64,
}

impl Fills {
    /// Begins to send what `params` ask for.
    pub(super) fn begin(&mut self, filled: Filled, params: &Params) -> Result<(), RequestError> {
        while let Some(Ok(opened)) = self.running.try_join_next() {
            self.opened += u64::from(opened);
        }
        if self.running.len() >= FILLS_MAX {
            let reason = format!("{FILLS_MAX} fills of a subscription are under way");
            return Err(RequestError::new(RequestErrorCode::ExcessiveLoad, reason));
        }
        let Filled {
            session,
            request_id,
            filter,
            largest,
            mut plan,
        } = filled;
        let filter = params.filter.unwrap_or(filter);
        let Some((start, end)) = largest.and_then(|largest| past(filter, largest)) else {
            return Ok(());
        };
        (plan.start, plan.end) = (start, end);
        let priority = params.subscriber_priority;
        plan.subscriber_priority = priority.unwrap_or(plan.subscriber_priority);
        let order = params.group_order.unwrap_or(GroupOrder::Ascending);
        let can = params.range_filters.is_empty();
        self.running.spawn(async move {
            match can {
                true => send(&session, &plan, request_id, order).await,
                false => refuse(&session, request_id).await,
            }
        });
        Ok(())
    }

    /// Waits for those that are under way. Returns how many streams there were in all.
    pub(super) async fn finish(&mut self) -> u64 {
        while let Some(ended) = self.running.join_next().await {
            self.opened += u64::from(ended.unwrap_or(false));
        }
        self.opened
    }
}

/// A stream that is reset unless it is finished.
struct Whole(Option<SendStream>);

impl Whole {
    async fn open(session: &Session) -> Option<Self> {
        let stream = session.connection.open_uni().await.ok()?;
        Some(Self(Some(stream)))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(mut stream) = self.0.take() {
            // Fails only when the peer stopped the stream, which has reset it.
            let _ = stream.reset(stream_code(StreamResetCode::Cancelled));
        }
    }
}

/// Sends a range. Returns whether a stream was opened for it.
async fn send(session: &Session, plan: &Plan, request_id: u64, order: GroupOrder) -> bool {
    let mut groups = plan.track.ring.range(plan.start, plan.end);
    let oldest = groups.first().map(|group| group.id);
    if order == GroupOrder::Descending {
        groups.reverse();
    }
    let Some(mut whole) = Whole::open(session).await else {
        return false;
    };
    let Some(stream) = &mut whole.0 else {
        return false;
    };
    let priority = stream_priority(plan.subscriber_priority, plan.track.priority);
    // Fails only for a stream that is closed already, which the first write will tell.
    let _ = stream.set_priority(priority);
    let mut writer = Writer::new(session, plan, request_id, order);
    let missing = oldest.is_none_or(|oldest| oldest > plan.start.group);
    let written = timeout(FETCH_LIMIT, writer.write(stream, &groups, missing)).await;
    if let (Ok(Ok(())), Some(mut stream)) = (written, whole.0.take()) {
        // Fails only when the peer has stopped the stream.
        let _ = stream.finish();
    }
    true
}

/// Says that the range cannot be served: this relay announces no range filters.
async fn refuse(session: &Session, request_id: u64) -> bool {
    let Some(mut whole) = Whole::open(session).await else {
        return false;
    };
    if let Some(stream) = &mut whole.0 {
        let mut header = BytesMut::new();
        FetchHeader { request_id }.encode(&mut header);
        // The reset that follows says the same to a peer that does not hear this.
        let _ = stream.write_chunk(header.freeze()).await;
    }
    true
}

/// Fills of one subscription at a time: one as it begins, and a few while its viewer seeks.
const FILLS_MAX: usize = 4;
