//! What the relay sends on streams of its own: read, taken apart, and put into one channel.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{mpsc, watch};
use tracing::debug;
use weir_protocol::moqt::fetch::{FetchEvent, FetchReader};
use weir_protocol::moqt::subgroup::{SubgroupEvent, SubgroupReader};
use weir_protocol::moqt::{GroupOrder, Message, StreamRole, UniStreamType, Version};

use super::order::Object;
use crate::peer::MessageReader;
use crate::webtransport::{RecvStream, Session};

/// Where an object belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A subscription, by its alias.
    Alias(u64),
    /// A FETCH, by its request id.
    Fetch(u64),
}

/// What arrived.
#[derive(Debug)]
pub(super) enum Event {
    Object(Source, Object),
    /// A subscription's stream of a group ended or was reset.
    GroupEnd(u64, u64),
    /// A track's subscription is over (PUBLISH_DONE), by its request id.
    Done(u64),
    /// The connection is gone, for this reason.
    Lost(String),
}

/// Hears what the relay says.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) session: Arc<Session>,
    pub(super) version: Version,
    pub(super) events: mpsc::Sender<Event>,
    /// Where the relay asks to go.
    pub(super) goaway: Arc<watch::Sender<Option<String>>>,
}

impl Listener {
    /// Accepts streams until the connection is gone.
    pub(super) async fn accept(self) {
        loop {
            match self.session.accept_uni().await {
                Ok(stream) => {
                    tokio::spawn(read(stream, self.clone()));
                }
                Err(error) => {
                    // The reader may have gone first, which is how a pull ends.
                    let _ = self.events.send(Event::Lost(error.to_string())).await;
                    return;
                }
            }
        }
    }
}

async fn read(mut stream: RecvStream, listener: Listener) {
    let Listener { events, .. } = &listener;
    let mut head = BytesMut::new();
    let kind = loop {
        match UniStreamType::detect(&head) {
            Ok(Some(kind)) => break kind,
            Ok(None) => match stream.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => head.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => return,
            },
            Err(error) => return debug!(%error, "a stream of an unknown kind"),
        }
    };
    let result = match kind {
        UniStreamType::Subgroup => subgroup(stream, head, events).await,
        UniStreamType::Fetch => fetch(stream, head, events).await,
        UniStreamType::Control => control(stream, head, &listener).await,
        UniStreamType::Padding => drain(stream).await,
    };
    if let Some(error) = result.err() {
        debug!(error, "a stream was given up");
    }
}

async fn control(stream: RecvStream, head: BytesMut, listener: &Listener) -> Result<(), String> {
    let mut reader = MessageReader::with_head(stream, listener.version, head);
    loop {
        match reader.next(StreamRole::Control).await {
            Ok(Some(Message::Goaway(goaway))) => {
                listener.goaway.send_replace(Some(goaway.uri));
            }
            // SETUP changes nothing for a reader.
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn drain(mut stream: RecvStream) -> Result<(), String> {
    while let Ok(Some(_)) = stream.read_chunk(READ_BYTES, false).await {}
    Ok(())
}

async fn subgroup(
    mut stream: RecvStream,
    head: BytesMut,
    events: &mpsc::Sender<Event>,
) -> Result<(), String> {
    let mut reader = SubgroupReader::new();
    reader.push(head.freeze());
    let mut place = None;
    let result = loop {
        match reader.poll() {
            Ok(Some(SubgroupEvent::Header(header))) => place = Some((header.alias, header.group)),
            Ok(Some(SubgroupEvent::Object {
                id,
                properties,
                payload,
                ..
            })) => {
                let Some((alias, group)) = place else {
                    break Err("an object before the header".to_owned());
                };
                let object = Object {
                    group,
                    id,
                    properties,
                    payload,
                };
                if send(events, Event::Object(Source::Alias(alias), object))
                    .await
                    .is_err()
                {
                    return Ok(());
                }
            }
            Ok(None) => match stream.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => reader.push(chunk.bytes),
                Ok(None) => break reader.finish().map_err(|error| error.to_string()),
                Err(error) => break Err(error.to_string()),
            },
            Err(error) => break Err(error.to_string()),
        }
    };
    if let Some((alias, group)) = place {
        send(events, Event::GroupEnd(alias, group)).await?;
    }
    result
}

async fn fetch(
    mut stream: RecvStream,
    head: BytesMut,
    events: &mpsc::Sender<Event>,
) -> Result<(), String> {
    let mut reader = FetchReader::new(GroupOrder::Ascending);
    reader.push(head.freeze());
    let mut request = None;
    loop {
        match reader.poll() {
            Ok(Some(FetchEvent::Header(header))) => request = Some(header.request_id),
            Ok(Some(FetchEvent::Object {
                location,
                properties,
                payload,
                ..
            })) => {
                let request = request.ok_or("an object before the header")?;
                let object = Object {
                    group: location.group,
                    id: location.object,
                    properties,
                    payload,
                };
                send(events, Event::Object(Source::Fetch(request), object)).await?;
            }
            Ok(Some(FetchEvent::RangeEnd { .. })) => {}
            Ok(None) => match stream.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => reader.push(chunk.bytes),
                Ok(None) => return reader.finish().map_err(|error| error.to_string()),
                Err(error) => return Err(error.to_string()),
            },
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn send(events: &mpsc::Sender<Event>, event: Event) -> Result<(), String> {
    let sent = events.send(event).await;
    sent.map_err(|_| "nobody listens any more".to_owned())
}

/// Read at a time: what a few packets bring.
const READ_BYTES: usize = 64 << 10;
