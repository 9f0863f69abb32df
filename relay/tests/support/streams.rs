//! What a relay sends on unidirectional streams, read to the end and kept.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use weir_protocol::loc::{TIMESTAMP, TIMESTAMP_LEGACY};
use weir_protocol::moqt::fetch::{FetchEvent, FetchReader, RangeKind};
use weir_protocol::moqt::properties::{Value, find};
use weir_protocol::moqt::subgroup::{SubgroupEvent, SubgroupHeader, SubgroupId, SubgroupReader};
use weir_protocol::moqt::{GroupOrder, Location, Message, StreamRole, UniStreamType, Version};
use weir_protocol::wire::Reader;

/// Everything that came.
#[derive(Default)]
pub(crate) struct Seen {
    /// Messages of the control stream.
    pub(crate) control: Vec<Message>,
    /// Subgroup streams, in the order of their headers.
    pub(crate) groups: Vec<GroupStream>,
    /// FETCH streams.
    pub(crate) fetches: Vec<FetchStream>,
    /// FETCHes that asked for the newest group first.
    pub(crate) descending: Vec<u64>,
    /// The subgroup stream that is stopped after an object.
    pub(crate) stops: Option<usize>,
    /// The subgroup whose streams are left unread.
    pub(crate) unread: Option<u64>,
    /// What could not be read.
    pub(crate) wrong: Vec<String>,
}

/// An object, however it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MoqtObject {
    /// Where it stands.
    pub(crate) location: Location,
    /// Its properties block.
    pub(crate) properties: Bytes,
    /// Its payload.
    pub(crate) payload: Bytes,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// By a FIN.
    Fin,
    /// By a reset with this code.
    Reset(u64),
    /// By the viewer, with STOP_SENDING.
    Stopped,
}

/// A subgroup stream.
#[derive(Debug, Clone)]
pub(crate) struct GroupStream {
    /// Its header.
    pub(crate) header: SubgroupHeader,
    /// Its objects.
    pub(crate) objects: Vec<MoqtObject>,
    /// Its end, if it came.
    pub(crate) end: Option<StreamEnd>,
}

/// A FETCH stream.
#[derive(Debug, Clone)]
pub(crate) struct FetchStream {
    /// The FETCH that it answers.
    pub(crate) request_id: u64,
    /// Its objects.
    pub(crate) objects: Vec<MoqtObject>,
    /// Its ranges without objects.
    pub(crate) ranges: Vec<(RangeKind, Location)>,
    /// Its end, if it came.
    pub(crate) end: Option<StreamEnd>,
}

impl Seen {
    /// Whether the viewer has had enough of this subgroup stream.
    fn is_enough(&self, index: usize) -> bool {
        self.stops == Some(index) && !self.groups[index].objects.is_empty()
    }
}

impl MoqtObject {
    /// Its timestamps in microseconds: of loc-04, and of the older drafts of LOC.
    pub(crate) fn timestamps(&self) -> (Option<u64>, Option<u64>) {
        let int = |kind| match find(&self.properties, kind).unwrap() {
            Some(Value::Int(value)) => Some(value),
            _ => None,
        };
        (int(TIMESTAMP), int(TIMESTAMP_LEGACY))
    }
}

impl GroupStream {
    /// Group, ids of the first and last object, end: for messages.
    pub(crate) fn summary(&self) -> (u64, Option<u64>, Option<u64>, Option<StreamEnd>) {
        let id = |object: &MoqtObject| object.location.object;
        let first = self.objects.first().map(id);
        (
            self.header.group,
            first,
            self.objects.last().map(id),
            self.end,
        )
    }

    /// Whether it was finished by a FIN.
    pub(crate) fn is_whole(&self) -> bool {
        self.end == Some(StreamEnd::Fin)
    }
}

/// Reads every stream until the connection is gone.
pub(crate) async fn listen(
    connection: quinn::Connection,
    version: Version,
    seen: Arc<Mutex<Seen>>,
) {
    while let Ok(stream) = connection.accept_uni().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            if let Err(wrong) = read(stream, version, &seen).await {
                seen.lock().wrong.push(wrong);
            }
        });
    }
}

/// The next bytes of a stream, or how it ended; `None` when the connection is gone.
async fn chunk(stream: &mut quinn::RecvStream) -> Option<Result<Bytes, StreamEnd>> {
    match stream.read_chunk(usize::MAX, true).await {
        Ok(Some(chunk)) => Some(Ok(chunk.bytes)),
        Ok(None) => Some(Err(StreamEnd::Fin)),
        Err(quinn::ReadError::Reset(code)) => Some(Err(StreamEnd::Reset(code.into_inner()))),
        Err(_) => None,
    }
}

async fn read(
    mut stream: quinn::RecvStream,
    version: Version,
    seen: &Mutex<Seen>,
) -> Result<(), String> {
    let mut head = BytesMut::new();
    let kind = loop {
        let detected = UniStreamType::detect(&head).map_err(|error| error.to_string())?;
        if let Some(kind) = detected {
            break kind;
        }
        match chunk(&mut stream).await {
            Some(Ok(bytes)) => head.extend_from_slice(&bytes),
            Some(Err(StreamEnd::Fin)) => return Err("a stream without a type".to_owned()),
            Some(Err(_)) | None => return Ok(()),
        }
    };
    match kind {
        UniStreamType::Control => read_control(stream, head, version, seen).await,
        UniStreamType::Subgroup => read_group(stream, head.freeze(), seen).await,
        UniStreamType::Fetch => read_fetch(stream, head, seen).await,
        UniStreamType::Padding => Ok(()),
    }
}

async fn read_control(
    mut stream: quinn::RecvStream,
    mut buffer: BytesMut,
    version: Version,
    seen: &Mutex<Seen>,
) -> Result<(), String> {
    loop {
        let decoded = Message::decode(version, StreamRole::Control, &mut buffer);
        if let Some(message) = decoded.map_err(|error| error.to_string())? {
            seen.lock().control.push(message);
            continue;
        }
        match chunk(&mut stream).await {
            Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
            Some(Err(end)) => return Err(format!("the control stream ended: {end:?}")),
            None => return Ok(()),
        }
    }
}

async fn read_group(
    mut stream: quinn::RecvStream,
    head: Bytes,
    seen: &Mutex<Seen>,
) -> Result<(), String> {
    let mut reader = SubgroupReader::new();
    reader.push(head);
    let (mut index, mut unread) = (None, false);
    loop {
        while let Some(event) = reader.poll().map_err(|error| error.to_string())? {
            let seen = &mut *seen.lock();
            let groups = &mut seen.groups;
            match (event, index) {
                (SubgroupEvent::Header(header), _) => {
                    index = Some(groups.len());
                    let left = seen.unread.map(SubgroupId::Explicit);
                    unread = left == Some(header.subgroup);
                    groups.push(GroupStream {
                        header,
                        objects: Vec::new(),
                        end: None,
                    });
                }
                (
                    SubgroupEvent::Object {
                        id,
                        properties,
                        payload,
                        ..
                    },
                    Some(index),
                ) => {
                    let group = groups[index].header.group;
                    groups[index].objects.push(MoqtObject {
                        location: Location::new(group, id),
                        properties,
                        payload,
                    });
                }
                (SubgroupEvent::Object { .. }, None) => return Err("no header".to_owned()),
            }
        }
        if unread {
            // The stream stays open, and what comes fills its window.
            std::future::pending::<()>().await;
        }
        if let Some(index) = index.filter(|index| seen.lock().is_enough(*index)) {
            drop(stream.stop(1u32.into()));
            seen.lock().groups[index].end = Some(StreamEnd::Stopped);
            return Ok(());
        }
        match (chunk(&mut stream).await, index) {
            (Some(Ok(bytes)), _) => reader.push(bytes),
            (Some(Err(end)), Some(index)) => {
                seen.lock().groups[index].end = Some(end);
                return match end {
                    StreamEnd::Fin => reader.finish().map_err(|error| error.to_string()),
                    StreamEnd::Reset(_) | StreamEnd::Stopped => Ok(()),
                };
            }
            (Some(Err(_)) | None, _) => return Ok(()),
        }
    }
}

async fn read_fetch(
    mut stream: quinn::RecvStream,
    mut head: BytesMut,
    seen: &Mutex<Seen>,
) -> Result<(), String> {
    // The order is not on the stream: it is what the request with this id asked for.
    let request_id = loop {
        let mut header = Reader::new(&head);
        if let (Ok(_), Ok(request_id)) = (header.vi64(), header.vi64()) {
            break request_id;
        }
        match chunk(&mut stream).await {
            Some(Ok(bytes)) => head.extend_from_slice(&bytes),
            Some(Err(_)) | None => return Ok(()),
        }
    };
    let order = match seen.lock().descending.contains(&request_id) {
        true => GroupOrder::Descending,
        false => GroupOrder::Ascending,
    };
    let mut reader = FetchReader::new(order);
    reader.push(head.freeze());
    let mut index = None;
    loop {
        while let Some(event) = reader.poll().map_err(|error| error.to_string())? {
            let fetches = &mut seen.lock().fetches;
            match (event, index) {
                (FetchEvent::Header(header), _) => {
                    index = Some(fetches.len());
                    fetches.push(FetchStream {
                        request_id: header.request_id,
                        objects: Vec::new(),
                        ranges: Vec::new(),
                        end: None,
                    });
                }
                (
                    FetchEvent::Object {
                        location,
                        properties,
                        payload,
                        ..
                    },
                    Some(index),
                ) => fetches[index].objects.push(MoqtObject {
                    location,
                    properties,
                    payload,
                }),
                (FetchEvent::RangeEnd { kind, end }, Some(index)) => {
                    fetches[index].ranges.push((kind, end));
                }
                (_, None) => return Err("no header".to_owned()),
            }
        }
        match (chunk(&mut stream).await, index) {
            (Some(Ok(bytes)), _) => reader.push(bytes),
            (Some(Err(end)), Some(index)) => {
                seen.lock().fetches[index].end = Some(end);
                return match end {
                    StreamEnd::Fin => reader.finish().map_err(|error| error.to_string()),
                    StreamEnd::Reset(_) | StreamEnd::Stopped => Ok(()),
                };
            }
            (Some(Err(_)) | None, _) => return Ok(()),
        }
    }
}
