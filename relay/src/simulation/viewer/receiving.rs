//! What arrives at a viewer: streams put together, each object held against the ledger.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_protocol::moqt::datagram::ObjectDatagram;

use super::{Kind, Viewer};
use crate::simulation::ledger::Ledger;
use crate::simulation::wire::{Ack, Frame};
use crate::simulation::witness::Witness;

/// A stream of which something has arrived.
#[derive(Default)]
pub(super) struct Receiving {
    pub(super) witness: Witness,
    next: u64,
    pending: BTreeMap<u64, Vec<Bytes>>,
    fin: Option<u64>,
    ended: bool,
    stop: bool,
}

impl Viewer {
    /// Takes what arrives. Returns what goes back.
    pub(in crate::simulation) fn on_frame(
        &mut self,
        number: u64,
        frame: Frame,
        ledger: &Ledger,
        now_us: u64,
    ) -> Ack {
        match frame {
            Frame::Data {
                stream,
                offset,
                chunks,
                fin,
            } => {
                self.on_data(stream, offset, chunks, fin, ledger, now_us);
                let stop = self.receiving.get(&stream);
                let stop = stop.is_some_and(|stream| stream.stop && !stream.ended);
                self.ack(Some(number), stop.then_some(stream))
            }
            Frame::Reset { stream, size } => {
                let receiving = self.receiving.entry(stream).or_default();
                if !std::mem::replace(&mut receiving.ended, true) {
                    self.ended_streams += 1;
                    self.consumed += size - receiving.next;
                }
                self.ack(Some(number), None)
            }
            Frame::Datagram(datagram) => {
                let object = ObjectDatagram::decode(&datagram).unwrap().unwrap();
                let place = (object.group, object.object);
                let book = &ledger.books[&object.alias];
                self.delivered.push((now_us, book.name, place.0, place.1));
                self.ack(Some(number), None)
            }
        }
    }

    fn on_data(
        &mut self,
        stream: u64,
        offset: u64,
        chunks: Vec<Bytes>,
        fin: bool,
        ledger: &Ledger,
        now_us: u64,
    ) {
        let stops = self.kind == Kind::Picky && !self.receiving.contains_key(&stream);
        let stops = stops && self.chance.one_in(6);
        let receiving = self.receiving.entry(stream).or_default();
        receiving.stop |= stops;
        let len: usize = chunks.iter().map(Bytes::len).sum();
        if fin {
            receiving.fin = Some(offset + len as u64);
        }
        if receiving.ended || offset < receiving.next {
            return;
        }
        if len > 0 {
            receiving.pending.insert(offset, chunks);
        }
        let mut fresh = Vec::new();
        while let Some(chunks) = receiving.pending.remove(&receiving.next) {
            for chunk in chunks {
                receiving.next += chunk.len() as u64;
                self.consumed += chunk.len() as u64;
                let from = receiving.witness.objects.len();
                receiving.witness.on_written(chunk);
                fresh.extend(from..receiving.witness.objects.len());
            }
        }
        let witness = &receiving.witness;
        assert_eq!(witness.error, None, "on stream {stream}");
        if let Some(header) = &witness.header {
            let subscribed = self.subscriptions.iter();
            let mut subscribed = subscribed.filter(|one| one.alias == header.alias);
            // One that was paused goes on in the middle of a group, on another stream.
            let subscribed = subscribed.next().filter(|one| !one.changed);
            let start = subscribed.map(|one| one.start);
            for index in fresh {
                let (id, payload) = &witness.objects[index];
                let before = index.checked_sub(1).map(|before| witness.objects[before].0);
                let place = (header.group, *id);
                // Of a subscription that is over already, the start is not known any more either.
                ledger.check(header.alias, place, payload, before, start);
                let name = ledger.books[&header.alias].name;
                self.delivered.push((now_us, name, place.0, place.1));
            }
        }
        if receiving.fin == Some(receiving.next) {
            assert!(witness.is_whole(), "stream {stream} ends inside an object");
            receiving.ended = true;
            self.ended_streams += 1;
        }
    }

    pub(super) fn ack(&self, number: Option<u64>, stop: Option<u64>) -> Ack {
        let read = self.consumed + self.grants.credit;
        Ack {
            number,
            max_data: if self.stalled { 0 } else { read },
            max_streams: match self.kind == Kind::Stingy && self.seed & 1 == 0 {
                // One who never grants another.
                true => self.grants.streams,
                false => self.ended_streams + self.grants.streams,
            },
            stop,
        }
    }
}
