//! FETCH: the past of a track, from the ring, standalone or joined to a subscription.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::{Duration, sleep, timeout};
use tracing::warn;
use weir_protocol::moqt::fetch::{FetchHeader, FetchObjectWriter, FetchOrderError, RangeKind};
use weir_protocol::moqt::location::LAST_OBJECT;
use weir_protocol::moqt::message::{
    Fetch, FetchKind, FetchOk, RequestError, RequestOk, exclusive_end, inclusive_end,
};
use weir_protocol::moqt::{
    Filter, GroupOrder, Location, Message, Params, RequestErrorCode, SessionError, StreamResetCode,
    StreamRole, Version,
};

use super::control::{MessageError, stream_code};
use super::request::{Request, obtain, properties};
use super::subscribe::{DEFAULT_PRIORITY, Granted, Joinable};
use super::{Close, Session};
use crate::clock;
use crate::ring::{Group, LegacyHeader, Placed};
use crate::sender::{Join, stream_priority};
use crate::stream::{Stream, Track};
use crate::webtransport::{SendStream, WriteError};

/// What is to be fetched: both ends inclusive.
pub(super) struct Plan {
    pub(super) stream: Arc<Stream>,
    pub(super) track: Arc<Track>,
    pub(super) start: Location,
    pub(super) end: Location,
    pub(super) subscriber_priority: u8,
    pub(super) join: Option<Arc<Join>>,
}

pub(super) async fn serve(mut request: Request, message: Fetch) -> Result<(), Close> {
    let session = Arc::clone(&request.session);
    let plan = match plan(&session, &message).await {
        Ok(plan) => plan,
        Err(refusal) => return request.refuse(refusal).await,
    };
    let order = message.params.group_order.unwrap_or(GroupOrder::Ascending);
    let mut groups = plan.track.ring.range(plan.start, plan.end);
    let oldest = groups.first().map(|group| group.id);
    if order == GroupOrder::Descending {
        groups.reverse();
    }
    let answer = FetchOk {
        end_of_track: plan.track.ring.is_ended() && Some(plan.end) == plan.track.ring.largest(),
        end: exclusive_end(plan.end),
        params: Params::default(),
        properties: properties(&plan.track, &message.params)?,
    };
    request.answer(answer).await?;
    let Ok(mut stream) = session.connection.open_uni().await else {
        return Ok(());
    };
    let subscriber = message.params.subscriber_priority;
    let subscriber = subscriber.unwrap_or(plan.subscriber_priority);
    // Fails only for a stream that is closed already, which the first write will tell.
    let _ = stream.set_priority(stream_priority(subscriber, plan.track.priority));
    let mut writer = Writer::new(&session, &plan, message.request_id, order);
    // The past that is no longer kept is unknown, which is not the same as empty.
    let missing = oldest.is_none_or(|oldest| oldest > plan.start.group);
    let failure = {
        let writing = writer.write(&mut stream, &groups, missing);
        attend(&mut request, writing).await?
    };
    // Both fail only when the peer has stopped the stream.
    let _ = match failure {
        None => stream.finish(),
        Some(code) => stream.reset(stream_code(code)),
    };
    request.finish().await;
    Ok(())
}

/// Waits for the writing to end, and listens to the peer meanwhile. Returns why the stream is to be
/// reset, if it is.
async fn attend(
    request: &mut Request,
    writing: impl Future<Output = Result<(), WriteError>>,
) -> Result<Option<StreamResetCode>, Close> {
    let mut writing = pin!(writing);
    let mut limit = pin!(sleep(FETCH_LIMIT));
    let role = StreamRole::Requester(request.kind);
    let mut listening = true;
    loop {
        tokio::select! {
            written = &mut writing => {
                return Ok(written.err().map(|_| StreamResetCode::Cancelled));
            }
            // Cancelled by the peer.
            _ = request.stream.stopped() => return Ok(Some(StreamResetCode::Cancelled)),
            () = &mut limit => return Ok(Some(StreamResetCode::DeliveryTimeout)),
            message = request.reader.next(role), if listening => match message {
                Ok(Some(Message::RequestUpdate(update))) => {
                    request.session.ids.lock().accept(update.request_id)?;
                    // What it may change, the priority, would change little of what is under way.
                    request.respond(RequestOk::default()).await?;
                }
                Ok(Some(other)) => {
                    let reason = format!("{} on a FETCH", other.name());
                    return Err(Close::new(SessionError::ProtocolViolation, reason));
                }
                Ok(None) => listening = false,
                Err(MessageError::Malformed(error)) => return Err(error.into()),
                Err(MessageError::Truncated | MessageError::Gone(_)) => {
                    return Ok(Some(StreamResetCode::Cancelled));
                }
            },
        }
    }
}

async fn plan(session: &Session, message: &Fetch) -> Result<Plan, RequestError> {
    match &message.kind {
        FetchKind::Standalone { track, start, end } => {
            session.check_load(track)?;
            let (stream, track) = obtain(session, track, &message.params).await?;
            let largest = track.ring.largest();
            let largest = largest.ok_or_else(|| range("nothing has been published"))?;
            let end = inclusive_end(*end);
            if *start > largest || *start > end {
                return Err(range(
                    "the range begins after its end or after the newest object",
                ));
            }
            Ok(Plan {
                start: *start,
                end: end.min(largest),
                subscriber_priority: DEFAULT_PRIORITY,
                join: None,
                stream,
                track,
            })
        }
        FetchKind::Filtered { track } => {
            session.check_load(track)?;
            let (stream, track) = obtain(session, track, &message.params).await?;
            if !message.params.range_filters.is_empty() {
                let reason = "this relay does not filter by ranges (MAX_FILTER_RANGES is 0)";
                return Err(RequestError::new(RequestErrorCode::InvalidFilter, reason));
            }
            let largest = track.ring.largest();
            let largest = largest.ok_or_else(|| range("nothing has been published"))?;
            let wanted = past(message.params.filter.unwrap_or_default(), largest);
            let (start, end) =
                wanted.ok_or_else(|| range("the range begins after the newest object"))?;
            Ok(Plan {
                start,
                end,
                subscriber_priority: DEFAULT_PRIORITY,
                join: None,
                stream,
                track,
            })
        }
        FetchKind::RelativeJoining {
            joining_request_id,
            groups,
        } => {
            let joined = joined(session, *joining_request_id).await?;
            joining(joined, |at| at.group.saturating_sub(*groups))
        }
        FetchKind::AbsoluteJoining {
            joining_request_id,
            group,
        } => {
            let joined = joined(session, *joining_request_id).await?;
            joining(joined, |_| *group)
        }
    }
}

/// What a filter lets pass of what is there up to `largest`, both ends inclusive.
pub(super) fn past(filter: Filter, largest: Location) -> Option<(Location, Location)> {
    let start = match filter {
        Filter::Unfiltered => Location::default(),
        Filter::NextObject | Filter::Relative(_) | Filter::Absolute { .. } => {
            filter.start(Some(largest))
        }
    };
    let end = filter.end().map_or(largest, |end| end.min(largest));
    (start <= end).then_some((start, end))
}

fn joining(joined: Granted, first: impl Fn(Location) -> u64) -> Result<Plan, RequestError> {
    if !joined.forward {
        return Err(range("the subscription is paused"));
    }
    let end = joined.joined_at;
    let end = end.ok_or_else(|| range("nothing had been published at the subscription"))?;
    let start = Location {
        group: first(end),
        object: 0,
    };
    if start > end {
        return Err(range("the range begins after the subscription does"));
    }
    Ok(Plan {
        start,
        end,
        subscriber_priority: joined.subscriber_priority,
        join: joined.join,
        stream: joined.stream,
        track: joined.track,
    })
}

/// The subscription that a joining FETCH refers to. The two arrive on streams of their own, so the
/// FETCH may be first, and waits.
async fn joined(session: &Session, request_id: u64) -> Result<Granted, RequestError> {
    let mut changes = session.joinable_changes.subscribe();
    let find = || session.joinable.lock().get(&request_id).cloned();
    let seen = changes.wait_for(|()| find().is_some());
    let seen = timeout(REORDER_PATIENCE, seen).await.is_ok();
    let granted = async {
        loop {
            match find()? {
                Joinable::Granted(granted) => return Some(granted),
                Joinable::Pending => changes.changed().await.ok()?,
            }
        }
    };
    let granted = match seen {
        true => timeout(session.config().rendezvous_limit, granted).await,
        false => Ok(None),
    };
    granted.ok().flatten().ok_or_else(|| {
        let reason = format!("request {request_id} is no subscription of this session");
        RequestError::new(RequestErrorCode::InvalidJoiningRequestId, reason)
    })
}

fn range(reason: &str) -> RequestError {
    RequestError::new(RequestErrorCode::InvalidRange, reason)
}

/// Writes the objects of a FETCH or a fill.
pub(super) struct Writer<'a> {
    session: &'a Session,
    plan: &'a Plan,
    objects: FetchObjectWriter,
    order: GroupOrder,
    chunks: Vec<Bytes>,
    request_id: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        session: &'a Session,
        plan: &'a Plan,
        request_id: u64,
        order: GroupOrder,
    ) -> Self {
        Self {
            session,
            plan,
            objects: FetchObjectWriter::new(order),
            order,
            chunks: Vec::with_capacity(3 * OBJECTS_PER_WRITE),
            request_id,
        }
    }

    pub(super) async fn write(
        &mut self,
        stream: &mut SendStream,
        groups: &[Group],
        missing: bool,
    ) -> Result<(), WriteError> {
        let mut head = BytesMut::new();
        let request_id = self.request_id;
        FetchHeader { request_id }.encode(&mut head);
        let oldest = groups.iter().map(|group| group.id).min();
        let unknown = oldest.map_or(self.plan.end, |oldest| Location {
            group: oldest.saturating_sub(1),
            object: LAST_OBJECT,
        });
        if missing && self.order == GroupOrder::Ascending {
            self.put_unknown(&mut head, unknown)?;
        }
        self.chunks.push(head.freeze());
        for group in groups {
            for objects in group.objects.chunks(OBJECTS_PER_WRITE) {
                for object in objects.iter().filter(|object| !object.is_status()) {
                    self.add(group, object)?;
                }
                stream.write_all_chunks(&mut self.chunks).await?;
                self.chunks.clear();
                self.on_written();
            }
        }
        if missing && self.order == GroupOrder::Descending {
            let mut tail = BytesMut::new();
            self.put_unknown(&mut tail, self.plan.start)?;
            self.chunks.push(tail.freeze());
        }
        stream.write_all_chunks(&mut self.chunks).await
    }

    fn put_unknown(&mut self, out: &mut BytesMut, end: Location) -> Result<(), WriteError> {
        let put = self.objects.put_range_end(out, RangeKind::Unknown, end);
        put.map_err(out_of_order)
    }

    fn add(&mut self, group: &Group, object: &Placed) -> Result<(), WriteError> {
        let split = object.split(self.session.version == Version::Draft18);
        let properties = split.map_or(&object.properties, |split| &split.properties);
        let prefix = split.filter(|split| split.prefix_len > 0);
        let prefix = prefix.map_or_else(Bytes::new, LegacyHeader::prefix);
        let mut header = BytesMut::with_capacity(FETCH_HEADER_BYTES + properties.len());
        let payload = object.payload();
        let subgroup = &object.subgroup.options;
        let put = self.objects.put(
            &mut header,
            group.id,
            subgroup.id,
            object.id,
            subgroup.priority.unwrap_or(self.plan.track.priority),
            Some(properties),
            (prefix.len() + payload.len()) as u64,
        );
        put.map_err(out_of_order)?;
        self.chunks.push(header.freeze());
        if !prefix.is_empty() {
            self.chunks.push(prefix);
        }
        self.chunks.push(payload);
        Ok(())
    }

    fn on_written(&self) {
        if let Some(join) = &self.plan.join {
            let shard = self.session.context.shard;
            let mut recorder = self.plan.stream.recorder(shard).lock();
            join.on_object(clock::now_us(), &mut recorder);
        }
    }
}

/// A ring is in order, so this cannot be; a stream that cannot say what it leaves out is reset, as
/// silence would mean that there is nothing.
fn out_of_order(error: FetchOrderError) -> WriteError {
    warn!(%error, "a FETCH was given up");
    WriteError::ClosedStream
}

/// How long a FETCH may take: what it still has to send stays in memory beyond the ring's budget.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// How long a FETCH waits for a SUBSCRIBE that its peer sent before it: one lost packet.
const REORDER_PATIENCE: Duration = Duration::from_secs(1);

/// Objects written at a time: bounds what is prepared for a viewer that reads slowly.
const OBJECTS_PER_WRITE: usize = 16;

/// Flags, ids, priority and lengths of an object's header.
const FETCH_HEADER_BYTES: usize = 32;
