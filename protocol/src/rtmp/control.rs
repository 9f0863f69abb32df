//! Protocol control and user control messages: fixed fields, big-endian.

use super::StreamId;
use super::chunk::{Message, MessageKind};

/// A Ping Request asks for these four bytes back (RTMP 1.0 section 7.1.7, events 6 and 7).
pub const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;
const STREAM_BEGIN: u16 = 0;
const STREAM_EOF: u16 = 1;

/// What a control message asks of its receiver. What asks for nothing is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Answer with these bytes.
    Ping([u8; 4]),
    /// Say so when this many bytes have arrived (section 5.4.4).
    WindowAckSize(u32),
    /// Let no more than this many bytes be unacknowledged (section 5.4.5).
    PeerBandwidth(u32),
}

impl Control {
    /// Reads a control message; `None` for other messages, for those that need no answer, and for
    /// those that are too short.
    pub fn parse(message: &Message) -> Option<Self> {
        let bytes = message.body.as_slice();
        let field = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied();
        match message.kind {
            MessageKind::WindowAckSize => Some(Self::WindowAckSize(u32::from_be_bytes(field(0)?))),
            MessageKind::SetPeerBandwidth => {
                Some(Self::PeerBandwidth(u32::from_be_bytes(field(0)?)))
            }
            MessageKind::UserControl if bytes.starts_with(&PING_REQUEST.to_be_bytes()) => {
                Some(Self::Ping(field(2)?))
            }
            MessageKind::UserControl
            | MessageKind::Abort
            | MessageKind::Acknowledgement
            | MessageKind::Aggregate
            | MessageKind::Audio
            | MessageKind::CommandAmf0
            | MessageKind::CommandAmf3
            | MessageKind::DataAmf0
            | MessageKind::DataAmf3
            | MessageKind::Other(_)
            | MessageKind::SetChunkSize
            | MessageKind::SharedObjectAmf0
            | MessageKind::SharedObjectAmf3
            | MessageKind::Video => None,
        }
    }
}

/// The body of the answer to a ping.
pub fn ping_response(stamp: [u8; 4]) -> [u8; 6] {
    let [a, b] = PING_RESPONSE.to_be_bytes();
    let [c, d, e, f] = stamp;
    [a, b, c, d, e, f]
}

/// The body of the event that says that a stream can be used.
pub fn stream_begin(stream_id: StreamId) -> [u8; 6] {
    stream_event(STREAM_BEGIN, stream_id)
}

/// The body of the event that says that a stream that is played is over.
pub fn stream_eof(stream_id: StreamId) -> [u8; 6] {
    stream_event(STREAM_EOF, stream_id)
}

fn stream_event(event: u16, stream_id: StreamId) -> [u8; 6] {
    let [a, b] = event.to_be_bytes();
    let [c, d, e, f] = stream_id.0.to_be_bytes();
    [a, b, c, d, e, f]
}

/// Counts what arrives and says when the peer is owed an Acknowledgement (section 5.4.3).
#[derive(Debug)]
pub struct AckWindow {
    window: u64,
    received: u64,
    acknowledged: u64,
}

/// Acknowledge this often when the peer does not say how often: the window that Flash Media Server
/// announces.
pub const DEFAULT_ACK_WINDOW: u32 = 2_500_000;

/// A peer that asks for more acknowledgements gets them this often, in bytes.
const MIN_ACK_WINDOW: u32 = 4096;

impl Default for AckWindow {
    fn default() -> Self {
        Self {
            window: DEFAULT_ACK_WINDOW.into(),
            received: 0,
            acknowledged: 0,
        }
    }
}

impl AckWindow {
    /// Sets the bytes between acknowledgements.
    pub fn set_window(&mut self, bytes: u32) {
        self.window = bytes.max(MIN_ACK_WINDOW).into();
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Counts bytes. The sequence number to acknowledge with, when it is time; it wraps.
    pub fn on_received(&mut self, bytes: usize) -> Option<u32> {
        self.received += bytes as u64;
        if self.received - self.acknowledged < self.window {
            return None;
        }
        self.acknowledged = self.received;
        Some(self.received as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_come_once_a_window_and_wrap_at_32_bits() {
        let mut window = AckWindow::default();
        window.set_window(10_000);
        assert_eq!(window.on_received(9_999), None);
        assert_eq!(window.on_received(1), Some(10_000));
        assert_eq!(window.on_received(9_999), None);
        window.received = u64::from(u32::MAX);
        assert_eq!(window.on_received(3), Some(2));
    }

    #[test]
    fn a_window_of_one_byte_does_not_cause_an_acknowledgement_per_byte() {
        let mut window = AckWindow::default();
        window.set_window(1);
        assert_eq!(window.on_received(100), None);
    }
}
