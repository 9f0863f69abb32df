//! A subgroup stream of a peer's, read object by object into the ring.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;
use tracing::debug;
use weir_protocol::moqt::object::Remedy;
use weir_protocol::moqt::subgroup::{SubgroupHeader, SubgroupId, SubgroupPiece, SubgroupReader};
use weir_protocol::moqt::{PublishDoneCode, StreamResetCode};

use super::inlet::{Gate, Inlet};
use super::message::stream_code;
use super::object::Partial;
use super::{Fault, Peer, Room};
use crate::clock;
use crate::ring::{PushError, Subgroup, SubgroupEnd, SubgroupOptions};
use crate::webtransport::{ReadError, RecvStream};

/// Counts a stream among those that are read.
struct Reading<'a>(&'a Inlet);

impl<'a> Reading<'a> {
    fn new(inlet: &'a Inlet) -> Self {
        inlet.reading.fetch_add(1, Ordering::Relaxed);
        Self(inlet)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) async fn serve(
    peer: &Arc<Peer>,
    mut stream: RecvStream,
    head: BytesMut,
) -> Result<(), Fault> {
    let mut reader = SubgroupReader::new();
    reader.push(head.freeze());
    let header = timeout(HEADER_LIMIT, header(&mut reader, &mut stream)).await;
    let Some(header) = header.unwrap_or(Ok(None))? else {
        stop(&mut stream, StreamResetCode::Cancelled);
        return Ok(());
    };
    let Some(inlet) = peer.inlet(header.alias).await else {
        debug!(header.alias, "a stream of no track was stopped");
        stop(&mut stream, StreamResetCode::Cancelled);
        return Ok(());
    };
    let _reading = Reading::new(&inlet);
    let mut gate = inlet.gate();
    // An error would mean that the inlet is gone, which holds it.
    let _ = gate.wait_for(|gate| *gate != Gate::Closed).await;
    let mut source = Source {
        peer,
        inlet: &inlet,
        header,
        subgroup: None,
        partial: None,
    };
    let end = loop {
        if let Err(end) = source.take(&mut reader)? {
            break end;
        }
        if *gate.borrow() == Gate::Left {
            break End::Left;
        }
        let chunk = tokio::select! {
            chunk = stream.read_chunk(READ_BYTES, true) => chunk,
            _ = gate.changed() => continue,
        };
        match chunk {
            Ok(Some(chunk)) => reader.push(chunk.bytes),
            Ok(None) => {
                reader.finish()?;
                break End::Of(SubgroupEnd::Fin);
            }
            Err(ReadError::Reset(code)) => break End::Of(SubgroupEnd::Reset(code.into())),
            Err(_) => break End::Lost,
        }
    };
    source.end(&mut stream, end);
    Ok(())
}

async fn header(
    reader: &mut SubgroupReader,
    stream: &mut RecvStream,
) -> Result<Option<SubgroupHeader>, Fault> {
    loop {
        if let Some(SubgroupPiece::Header(header)) = reader.poll_piece()? {
            return Ok(Some(header));
        }
        match stream.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => reader.push(chunk.bytes),
            // A stream that is given up before it says what it is hurts nobody.
            Ok(None) | Err(_) => return Ok(None),
        }
    }
}

fn stop(stream: &mut RecvStream, code: StreamResetCode) {
    // Fails only when the stream has ended.
    let _ = stream.stop(stream_code(code));
}

/// Why a stream is not read further.
enum End {
    /// It ended, as its subgroup does.
    Of(SubgroupEnd),
    /// Another source goes on with the track.
    Left,
    /// The connection is gone.
    Lost,
    /// We do not want the rest.
    Refused(StreamResetCode),
}

/// A stream on its way into the ring.
struct Source<'a> {
    peer: &'a Peer,
    inlet: &'a Inlet,
    header: SubgroupHeader,
    subgroup: Option<Arc<Subgroup>>,
    partial: Option<(Partial, Room<'a>)>,
}

impl Source<'_> {
    /// Takes what the reader has. The inner error ends the reading.
    fn take(&mut self, reader: &mut SubgroupReader) -> Result<Result<(), End>, Fault> {
        loop {
            let piece = match reader.poll_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(Ok(())),
                Err(error) => match error.remedy() {
                    Remedy::Close(_) => return Err(error.into()),
                    Remedy::Stop(code) => {
                        let reason = error.to_string();
                        self.inlet.fail(PublishDoneCode::ExcessiveLoad, reason);
                        return Ok(Err(End::Refused(code)));
                    }
                },
            };
            let now_us = clock::now_us();
            match piece {
                SubgroupPiece::Header(_) => {}
                SubgroupPiece::Object {
                    id,
                    properties,
                    status,
                    payload_len,
                } => {
                    // A block may be a slice of a packet, which is not to live as long.
                    let properties = Bytes::copy_from_slice(&properties);
                    let Some(room) = self.peer.room(payload_len) else {
                        return Ok(Err(End::Refused(StreamResetCode::ExcessiveLoad)));
                    };
                    let partial = Partial::new(id, properties, status, payload_len, now_us);
                    self.partial = Some((partial, room));
                }
                SubgroupPiece::Payload(piece) => {
                    if let Some((partial, _)) = &mut self.partial {
                        partial.append(&piece);
                    }
                }
            }
            let whole = self.partial.take_if(|(partial, _)| partial.is_whole());
            if let Some((partial, _)) = whole
                && let Err(error) = self.publish(partial, now_us)
            {
                return Ok(Err(self.refuse(error)));
            }
        }
    }

    fn publish(&mut self, partial: Partial, now_us: u64) -> Result<(), PushError> {
        let object = partial.finish(now_us);
        let group = self.header.group;
        let subgroup = match &self.subgroup {
            Some(subgroup) => subgroup,
            None => {
                let options = SubgroupOptions {
                    id: match self.header.subgroup {
                        SubgroupId::Zero => 0,
                        SubgroupId::FirstObject => object.id,
                        SubgroupId::Explicit(id) => id,
                    },
                    priority: self.header.priority,
                    end_of_group: self.header.end_of_group,
                    first_object: self.header.first_object,
                    datagrams: false,
                };
                let opened = self.inlet.writer.open_subgroup(group, options, object.id)?;
                self.subgroup.insert(opened)
            }
        };
        match self.inlet.push(group, subgroup, object) {
            // The seam between the past and the present, or between two sources.
            Err(PushError::Duplicate) => Ok(()),
            Err(PushError::Conflict) if self.inlet.resumable => Ok(()),
            pushed => pushed,
        }
    }

    /// What an object that was not taken means for its stream and its track.
    fn refuse(&self, error: PushError) -> End {
        let code = match error {
            PushError::Superseded | PushError::Ended | PushError::NoGroup => {
                StreamResetCode::Cancelled
            }
            PushError::TooLate | PushError::Duplicate => StreamResetCode::DeliveryTimeout,
            PushError::GroupTooLarge(..)
            | PushError::TooManySubgroups(_)
            | PushError::OverBudget(_) => {
                let reason = error.to_string();
                self.inlet.fail(PublishDoneCode::ExcessiveLoad, reason);
                StreamResetCode::ExcessiveLoad
            }
            PushError::Conflict => {
                let reason = error.to_string();
                self.inlet.fail(PublishDoneCode::MalformedTrack, reason);
                StreamResetCode::MalformedTrack
            }
        };
        End::Refused(code)
    }

    fn end(self, stream: &mut RecvStream, end: End) {
        let end = match end {
            End::Of(end) => Some(end),
            End::Left | End::Lost if self.inlet.resumable => None,
            End::Left | End::Lost => {
                let code = StreamResetCode::Cancelled;
                Some(SubgroupEnd::Reset(code.code()))
            }
            End::Refused(code) => {
                stop(stream, code);
                Some(SubgroupEnd::Reset(code.code()))
            }
        };
        let Some(subgroup) = self.subgroup else {
            return;
        };
        let group = self.header.group;
        match end {
            Some(end) => self.inlet.writer.end_subgroup(group, &subgroup, end),
            None => {
                stop(stream, StreamResetCode::Cancelled);
                self.inlet.writer.leave_subgroup(group, &subgroup);
            }
        }
    }
}

/// How long a stream may take to say what it is.
const HEADER_LIMIT: Duration = Duration::from_secs(5);

/// Read at a time: what a few packets bring.
const READ_BYTES: usize = 64 << 10;
