//! What a subscription is made of, and what comes of it.

use std::sync::Arc;

use weir_protocol::moqt::{GroupOrder, Version};

use super::join::Join;
use crate::stream::ViewerCounters;
use crate::subscription::{End, Options};
use crate::webtransport::Session;

/// What a subscription is made of.
pub struct ViewerOptions<C = Session> {
    /// The viewer's connection.
    pub connection: Arc<C>,
    /// The draft that it speaks.
    pub version: Version,
    /// The alias that the subscription has.
    pub alias: u64,
    /// What to send.
    pub subscription: Options,
    /// The subscriber's priority; lower is more urgent.
    pub subscriber_priority: u8,
    /// Which of two groups goes first.
    pub group_order: GroupOrder,
    /// The viewer's figures.
    pub counters: Arc<ViewerCounters>,
    /// When the viewer asked, if its first object is its first frame.
    pub join: Option<Arc<Join>>,
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Why.
    pub end: End,
    /// Streams that were opened for it.
    pub streams: u64,
}
