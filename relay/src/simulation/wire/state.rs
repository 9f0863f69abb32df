//! What the relay's side of a modelled connection knows of what it has sent.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use bytes::Bytes;
use weir_loadtest::impair::{Link, Verdict};

use super::{Ack, Frame, Tally, Written};
use crate::simulation::rope::Rope;
use crate::simulation::witness::Witness;

/// A packet's payload: as much as goes out in one burst.
pub(super) const PACKET: u64 = 12_000;

/// Packets that overtake one before it is taken for lost (RFC 9002, section 6.1.1).
const REORDERED: u64 = 3;

/// The least that is on its way at a time.
const MIN_CWND: u64 = 2 * PACKET;

/// When a connection is given up of which nothing is heard.
const IDLE_US: u64 = 10_000_000;

/// What of a packet has to be sent again when it is lost.
#[derive(Clone, Debug)]
enum Part {
    Data {
        stream: u64,
        from: u64,
        to: u64,
        fin: bool,
    },
    Reset {
        stream: u64,
    },
    Datagram,
}

/// A packet on its way.
pub(super) struct Sent {
    at_us: u64,
    len: u64,
    part: Part,
}

/// A stream from the relay's side.
#[derive(Default)]
pub(super) struct Sending {
    pub(super) rope: Rope,
    /// Where what was never sent begins.
    pub(super) next: u64,
    pub(super) again: Vec<(u64, u64, bool)>,
    pub(super) acked: u64,
    pub(super) fin: bool,
    pub(super) fin_sent: bool,
    pub(super) fin_acked: bool,
    pub(super) reset: bool,
    pub(super) reset_sent: bool,
    pub(super) reset_acked: bool,
    pub(super) stopped: bool,
    pub(super) priority: i32,
    pub(super) finished: Vec<Waker>,
    pub(super) witness: Witness,
}

impl Sending {
    pub(super) fn all_acked(&self) -> bool {
        self.fin_acked && self.acked == self.rope.len()
    }

    pub(super) fn given_up(&self) -> bool {
        self.reset || self.stopped
    }

    pub(super) fn wants_to_send(&self) -> bool {
        match self.given_up() {
            true => self.reset && !self.reset_sent,
            false => {
                let fresh = self.next < self.rope.len() || self.fin && !self.fin_sent;
                fresh || !self.again.is_empty()
            }
        }
    }
}

/// All of it.
pub(super) struct State {
    pub(super) down: Link,
    pub(super) up: Link,
    pub(super) rtt_us: u64,
    pub(super) streams: BTreeMap<u64, Sending>,
    /// Those of them that may have something to send.
    pub(super) ready: BTreeSet<u64>,
    pub(super) opened: u64,
    pub(super) max_streams: u64,
    pub(super) in_flight: BTreeMap<u64, Sent>,
    pub(super) numbers: u64,
    pub(super) cwnd: u64,
    pub(super) threshold: u64,
    pub(super) recovery_from: u64,
    pub(super) timeouts: u32,
    pub(super) heard_us: u64,
    /// Bytes that streams hold, and what they may.
    pub(super) unacked: u64,
    pub(super) window: u64,
    pub(super) accepted: u64,
    pub(super) max_data: u64,
    pub(super) lost: bool,
    pub(super) blocked: Vec<Waker>,
    pub(super) openers: Vec<Waker>,
    pub(super) datagrams: Vec<Bytes>,
    pub(super) written: Written,
    pub(super) tally: Tally,
}

impl State {
    pub(super) fn limit(&self) -> u64 {
        let flow = self.max_data.saturating_sub(self.accepted);
        flow.min(self.window.saturating_sub(self.unacked))
    }

    pub(super) fn transmit(&mut self, now_us: u64) -> Vec<(u64, u64, Frame)> {
        let mut arriving = Vec::new();
        if self.lost {
            return arriving;
        }
        for datagram in std::mem::take(&mut self.datagrams) {
            let len = datagram.len() as u64;
            self.send(
                now_us,
                len,
                Part::Datagram,
                Frame::Datagram(datagram),
                &mut arriving,
            );
        }
        let mut flying: u64 = self.in_flight.values().map(|sent| sent.len).sum();
        while flying < self.cwnd
            && let Some(id) = self.next_ready()
        {
            let (part, frame, len) = self.next_part(id);
            flying += len;
            self.send(now_us, len, part, frame, &mut arriving);
        }
        arriving
    }

    /// The stream that goes next.
    fn next_ready(&mut self) -> Option<u64> {
        let streams = &self.streams;
        self.ready.retain(|id| streams[id].wants_to_send());
        let ready = self.ready.iter().copied();
        ready.max_by_key(|id| (streams[id].priority, u64::MAX - id))
    }

    /// Whether nothing is on its way and nothing waits to be sent.
    pub(super) fn is_quiet(&self) -> bool {
        let waits = |id| self.streams[id].wants_to_send();
        self.in_flight.is_empty() && !self.ready.iter().any(waits)
    }

    fn next_part(&mut self, id: u64) -> (Part, Frame, u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            unreachable!("it was found");
        };
        if stream.reset {
            stream.reset_sent = true;
            let size = stream.rope.len();
            return (
                Part::Reset { stream: id },
                Frame::Reset { stream: id, size },
                20,
            );
        }
        let (from, to, fin) = match stream.again.pop() {
            Some(again) => again,
            None => {
                let from = stream.next;
                let to = stream.rope.len().min(from + PACKET);
                stream.next = to;
                let fin = stream.fin && to == stream.rope.len();
                stream.fin_sent |= fin;
                (from, to, fin)
            }
        };
        let frame = Frame::Data {
            stream: id,
            offset: from,
            chunks: stream.rope.slice(from, to),
            fin,
        };
        let part = Part::Data {
            stream: id,
            from,
            to,
            fin,
        };
        (part, frame, to - from + 40)
    }

    fn send(
        &mut self,
        now_us: u64,
        len: u64,
        part: Part,
        frame: Frame,
        arriving: &mut Vec<(u64, u64, Frame)>,
    ) {
        let number = self.numbers;
        self.numbers += 1;
        self.tally.packets += 1;
        if self.in_flight.is_empty() {
            self.heard_us = now_us;
        }
        let sent = Sent {
            at_us: now_us,
            len,
            part,
        };
        self.in_flight.insert(number, sent);
        match self.down.offer(now_us, len as usize) {
            Verdict::DeliverAt(at_us) => arriving.push((at_us, number, frame)),
            Verdict::DeliverTwice(at_us) => {
                arriving.push((at_us, number, frame.clone()));
                arriving.push((at_us, number, frame));
            }
            Verdict::Drop(_) => {}
        }
    }

    pub(super) fn on_ack(&mut self, ack: Ack, now_us: u64) {
        if self.lost {
            return;
        }
        self.heard_us = now_us;
        let before = self.limit();
        self.max_data = self.max_data.max(ack.max_data);
        if ack.max_streams > self.max_streams {
            self.max_streams = ack.max_streams;
            wake(&mut self.openers);
        }
        if let Some(id) = ack.stop {
            self.on_stop(id);
        }
        if let Some(number) = ack.number {
            self.timeouts = 0;
            if let Some(sent) = self.in_flight.remove(&number) {
                self.on_acked(&sent);
            }
            let overtaken = self.in_flight.range(..number.saturating_sub(REORDERED - 1));
            let overtaken: Vec<u64> = overtaken.map(|(number, _)| *number).collect();
            self.on_lost(&overtaken);
        }
        if before == 0 && self.limit() > 0 {
            wake(&mut self.blocked);
        }
    }

    fn on_acked(&mut self, sent: &Sent) {
        self.cwnd += match self.cwnd < self.threshold {
            true => sent.len,
            false => PACKET * sent.len / self.cwnd,
        };
        match sent.part {
            Part::Data {
                stream,
                from,
                to,
                fin,
            } => {
                let Some(stream) = self.streams.get_mut(&stream) else {
                    return;
                };
                if !stream.given_up() {
                    self.unacked -= to - from;
                    stream.acked += to - from;
                }
                stream.fin_acked |= fin;
                if stream.all_acked() {
                    wake(&mut stream.finished);
                }
            }
            Part::Reset { stream } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.reset_acked = true;
                }
            }
            Part::Datagram => {}
        }
    }

    fn on_lost(&mut self, numbers: &[u64]) {
        for number in numbers {
            let Some(sent) = self.in_flight.remove(number) else {
                continue;
            };
            self.tally.lost += 1;
            if *number >= self.recovery_from {
                self.recovery_from = self.numbers;
                self.cwnd = (self.cwnd / 2).max(MIN_CWND);
                self.threshold = self.cwnd;
            }
            match sent.part {
                Part::Data {
                    stream,
                    from,
                    to,
                    fin,
                } => {
                    if let Some(sending) = self.streams.get_mut(&stream) {
                        sending.again.push((from, to, fin));
                    }
                    self.ready.insert(stream);
                }
                Part::Reset { stream } => {
                    if let Some(sending) = self.streams.get_mut(&stream) {
                        sending.reset_sent = sending.reset_acked;
                    }
                    self.ready.insert(stream);
                }
                Part::Datagram => {}
            }
        }
    }

    pub(super) fn on_timer(&mut self, now_us: u64) -> Option<u64> {
        let oldest_us = self.in_flight.values().map(|sent| sent.at_us).min()?;
        if now_us.saturating_sub(self.heard_us) > IDLE_US {
            self.lose();
            return None;
        }
        let patience_us = (3 * self.rtt_us + 100_000) << self.timeouts.min(4);
        if oldest_us + patience_us > now_us {
            return Some(oldest_us + patience_us);
        }
        self.timeouts += 1;
        let late = self.in_flight.iter();
        let late = late.filter(|(_, sent)| sent.at_us + patience_us <= now_us);
        let late: Vec<u64> = late.map(|(number, _)| *number).collect();
        self.on_lost(&late);
        Some(now_us + patience_us)
    }

    fn on_stop(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.given_up()
            && !stream.all_acked()
        {
            stream.stopped = true;
            // QUIC answers STOP_SENDING with a reset.
            stream.reset = true;
            self.unacked -= stream.rope.len() - stream.acked;
            wake(&mut stream.finished);
            wake(&mut self.blocked);
            self.ready.insert(id);
        }
    }

    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.in_flight.clear();
        wake(&mut self.blocked);
        wake(&mut self.openers);
        for stream in self.streams.values_mut() {
            wake(&mut stream.finished);
        }
    }
}

/// Wakes all of them.
pub(super) fn wake(wakers: &mut Vec<Waker>) {
    for waker in wakers.drain(..) {
        waker.wake();
    }
}
