//! What the driver has the session say.

use super::{Event, Phase, Refusal, RefusalCode, Session, UnpublishReason};
use crate::rtmp::StreamId;
use crate::rtmp::chunk::MessageKind;
use crate::rtmp::control::stream_begin;

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

    /// Turns a player away: this session takes streams and gives none.
    pub fn refuse_play(&mut self, stream_id: StreamId, description: &str) {
        let code = "NetStream.Play.StreamNotFound";
        self.outbox
            .status(stream_id, "onStatus", "error", code, description);
        self.close();
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

    fn key_of(&self, id: StreamId) -> Option<&str> {
        self.streams
            .iter()
            .find(|stream| stream.id == id)?
            .key
            .as_deref()
    }
}
