//! What becomes of a viewer's streams when it changes what it wants, or gets less of it.

use weir_protocol::moqt::StreamResetCode;

use super::Viewer;
use crate::clock;
use crate::ring::Mirror;
use crate::sender::{Outlet, Update};
use crate::stats::Arrears;

impl<C: Outlet> Viewer<C> {
    pub(in crate::sender) fn update(&mut self, update: Update) {
        if !update.forward || update.restart.is_some() {
            self.reset(StreamResetCode::Cancelled);
            self.arrears = Arrears::new(clock::now_us());
            self.reached = None;
        }
        let Update {
            forward,
            restart,
            end,
            subscriber_priority,
        } = update;
        self.subscription.update(forward, restart, end);
        self.subscriber_priority = subscriber_priority;
    }

    /// Sees what the policy has passed over since it was asked last. A batch that begins with it
    /// is not wanted any more, and its stream may be cut inside an object.
    pub(super) fn pass_over(&mut self, mirror: &Mirror) {
        let position = self.subscription.position();
        let from = self.reached.replace(position).unwrap_or(position);
        if from == position {
            return;
        }
        if !self.batch.is_empty() {
            self.batch.clear();
            self.blocked = false;
            let kept = mirror.entry(from).and_then(|entry| mirror.object(entry));
            self.open.reset_current(match kept {
                Some(_) => StreamResetCode::Cancelled,
                None => StreamResetCode::DeliveryTimeout,
            });
        }
        self.open.pass_over(mirror, from..position);
    }

    pub(super) fn reset(&mut self, code: StreamResetCode) {
        self.batch.clear();
        self.blocked = false;
        self.open.reset_all(code);
    }
}
