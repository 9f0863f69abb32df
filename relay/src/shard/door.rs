//! The door for first packets: who may begin a handshake.

use std::net::IpAddr;

use tracing::debug;

use super::{Context, Phase};
use crate::clock;
use crate::pressure::{self, Bucket, Limit};
use crate::quic;
use crate::session::Coming;
use crate::stats::events::{Event, EventKind};

/// A shard's door.
#[derive(Debug)]
pub(super) struct Door {
    /// Answers that cost the relay a packet and whoever asks nothing.
    answers: Bucket,
    answers_per_s: u32,
}

impl Door {
    pub(super) fn new(config: &pressure::Config) -> Self {
        Self {
            answers: Bucket::new(clock::now_us()),
            answers_per_s: config.stateless_per_s,
        }
    }

    /// Lets a handshake begin, or turns it away.
    pub(super) fn open(&mut self, context: &Context, incoming: quic::Incoming) -> Option<Coming> {
        let shared = &context.shared;
        let phase = *shared.phase.borrow();
        match phase {
            Phase::Running => {}
            // It will be sent again, and reach the newer relay.
            Phase::HandedOver => {
                incoming.ignore();
                return None;
            }
            Phase::Draining | Phase::Stopped => {
                incoming.refuse();
                return None;
            }
        }
        let addr = incoming.remote_address().ip();
        if !shared.policy().addresses.admit(addr) {
            debug!(%addr, "refused an address: auth.allow, auth.deny");
            self.refuse(context, incoming);
            return None;
        }
        let pressure = &shared.pressure;
        let validated = incoming.remote_address_validated();
        let crowded = pressure.handshakes.taken() >= pressure.config.retry_above;
        if crowded && !validated && incoming.may_retry() {
            pressure.hit(Limit::Retry);
            if self.may_answer(context) {
                incoming.retry();
            } else {
                incoming.ignore();
            }
            return None;
        }
        match Self::place(context, addr, validated) {
            Ok(place) => Some(Coming {
                incoming,
                place,
                validated,
            }),
            Err(limit) => {
                debug!(%addr, limit = limit.name(), "refused a handshake");
                self.refuse(context, incoming);
                None
            }
        }
    }

    fn place(context: &Context, addr: IpAddr, valid: bool) -> Result<pressure::Place, Limit> {
        let shared = &context.shared;
        let pressure = &shared.pressure;
        if shared.sessions.available_permits() == 0 {
            pressure.hit(Limit::Sessions);
            let event = Event::new(EventKind::Refused, clock::unix_ms());
            let reason = "a viewer: limits.sessions are connected";
            shared.registry.log(event.detail(reason));
            return Err(Limit::Sessions);
        }
        // A handshake costs more than anything else: a shard that has too much to do goes on with
        // a few at a time, whose requests hear why they are refused.
        let busy = pressure.overload(context.shard);
        if let Some(limit) = busy.filter(|_| pressure.handshakes.taken() >= BUSY_HANDSHAKES) {
            pressure.hit(limit);
            return Err(limit);
        }
        let now_us = clock::now_us();
        match valid {
            true => pressure.arrive(addr, now_us)?,
            false => pressure.look(addr, now_us)?,
        }
        let place = pressure.handshakes.take();
        place.ok_or_else(|| {
            pressure.hit(Limit::Handshakes);
            Limit::Handshakes
        })
    }

    fn refuse(&mut self, context: &Context, incoming: quic::Incoming) {
        match self.may_answer(context) {
            true => incoming.refuse(),
            false => incoming.ignore(),
        }
    }

    fn may_answer(&mut self, context: &Context) -> bool {
        let may = self.answers.take(self.answers_per_s, clock::now_us());
        if !may {
            context.shared.pressure.hit(Limit::Stateless);
        }
        may
    }
}

/// Handshakes that may be under way while a shard has too much to do.
const BUSY_HANDSHAKES: usize = 16;
