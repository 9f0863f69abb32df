//! What the driver has the session say.

use super::media::PLAY_CHUNK_BYTES;
use super::{
    Event, Phase, PlayEnd, PlayRefusal, Refusal, RefusalCode, Session, Stream, UnpublishReason,
};
use crate::rtmp::StreamId;
use crate::rtmp::amf0;
use crate::rtmp::chunk::{ChunkStreamId, MessageKind};
use crate::rtmp::control::{stream_begin, stream_eof};
use bytes::BytesMut;

impl Session {
    /// Lets the peer publish; the limits of a publisher apply from here on. Does nothing when the
    /// stream does not ask to.
    pub fn accept_publish(&mut self, stream_id: StreamId) {
        let Some(key) = self.key_of(stream_id).map(str::to_owned) else {
            return;
        };
        self.accepted = true;
        self.reader.set_limits(self.config.limits.clone());
        self.outbox
            .control(MessageKind::UserControl, &stream_begin(stream_id));
        let description = format!("{key} is published");
        let code = "NetStream.Publish.Start";
        // FMLE and its descendants wait for the first, everyone for the second.
        self.outbox
            .status(StreamId(0), "onFCPublish", "status", code, &description);
        self.outbox
            .status(stream_id, "onStatus", "status", code, &description);
    }

    /// Turns the peer away, with the status that its program shows.
    pub fn refuse_publish(&mut self, stream_id: StreamId, refusal: &Refusal) {
        let Refusal { code, description } = refusal;
        self.outbox
            .status(stream_id, "onStatus", "error", code.as_str(), description);
        self.close();
    }

    /// Lets the peer play, with chunks of [`PLAY_CHUNK_BYTES`] from here on. Does nothing when the
    /// stream does not ask to.
    pub fn accept_play(&mut self, stream_id: StreamId) {
        if !self.is_played(stream_id) {
            return;
        }
        self.accepted = true;
        self.outbox.set_chunk_bytes(PLAY_CHUNK_BYTES as u32);
        self.outbox
            .control(MessageKind::UserControl, &stream_begin(stream_id));
        // Flash waits for both, ffmpeg and its descendants for the second.
        for (code, description) in [
            ("NetStream.Play.Reset", "the stream begins anew"),
            ("NetStream.Play.Start", "the stream begins"),
        ] {
            self.outbox
                .status(stream_id, "onStatus", "status", code, description);
        }
        let mut access = BytesMut::new();
        amf0::write_str(&mut access, "|RtmpSampleAccess");
        for _ in ["audio", "video"] {
            amf0::write(&mut access, &amf0::Value::Boolean(true));
        }
        self.data(stream_id, 0, &access);
    }

    /// Says what a stream that is played is: `body` is `onMetaData` as
    /// [`flv::mux::metadata`](crate::flv::mux::metadata) writes it.
    pub fn play_metadata(&mut self, stream_id: StreamId, timestamp_ms: u64, body: &[u8]) {
        self.data(stream_id, timestamp_ms, body);
    }

    /// Answers [`Event::Pause`].
    pub fn notify_pause(&mut self, stream_id: StreamId, paused: bool) {
        let (code, description) = match paused {
            true => ("NetStream.Pause.Notify", "the stream is held"),
            false => ("NetStream.Unpause.Notify", "the stream goes on"),
        };
        self.outbox
            .status(stream_id, "onStatus", "status", code, description);
    }

    /// Turns a player away, with the status that its program shows.
    pub fn refuse_play(&mut self, stream_id: StreamId, refusal: &PlayRefusal) {
        let (code, description) = match refusal {
            PlayRefusal::Failed(description) => ("NetStream.Play.Failed", description),
            PlayRefusal::NotFound(description) => ("NetStream.Play.StreamNotFound", description),
            // There is no code of its own for a player in any source.
            PlayRefusal::Unauthorized(description) => ("NetStream.Play.Failed", description),
        };
        self.outbox
            .status(stream_id, "onStatus", "error", code, description);
        self.close();
    }

    /// Ends a play from this side and tells the peer why.
    pub fn end_play(&mut self, stream_id: StreamId, reason: &PlayEnd) {
        let (level, code, description) = match reason {
            PlayEnd::Failed(description) => ("error", "NetStream.Play.Failed", &**description),
            PlayEnd::StreamEnded => (
                "status",
                "NetStream.Play.UnpublishNotify",
                "the stream has ended",
            ),
            PlayEnd::ShuttingDown => (
                "status",
                "NetStream.Play.UnpublishNotify",
                "the server is stopping",
            ),
        };
        self.outbox
            .control(MessageKind::UserControl, &stream_eof(stream_id));
        self.outbox
            .status(stream_id, "onStatus", level, code, description);
        self.close();
    }

    fn data(&mut self, stream_id: StreamId, timestamp_ms: u64, body: &[u8]) {
        let (chunk_stream, kind) = (ChunkStreamId::DATA, MessageKind::DataAmf0);
        self.outbox
            .message(chunk_stream, kind, stream_id, timestamp_ms, &[body]);
    }

    /// Ends a publish from this side and tells the peer why.
    pub fn unpublish_notice(&mut self, stream_id: StreamId, reason: &UnpublishReason) {
        let (level, code, description) = match reason {
            UnpublishReason::Rejected(description) => (
                "error",
                RefusalCode::Rejected.as_str(),
                description.as_str(),
            ),
            UnpublishReason::ShuttingDown => (
                "status",
                "NetStream.Unpublish.Success",
                "the server is stopping",
            ),
            UnpublishReason::TakenOver => (
                "error",
                RefusalCode::BadName.as_str(),
                "another connection publishes this stream",
            ),
        };
        self.outbox
            .status(stream_id, "onStatus", level, code, description);
        self.close();
    }

    /// Not bounded by `Limits::events`: it happens once.
    fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.events.push_back(Event::Closed);
        }
    }

    pub(super) fn is_played(&self, id: StreamId) -> bool {
        let played = |stream: &Stream| stream.id == id && stream.played;
        self.streams.iter().any(played)
    }

    fn key_of(&self, id: StreamId) -> Option<&str> {
        self.streams
            .iter()
            .find(|stream| stream.id == id)?
            .key
            .as_deref()
    }
}
