//! Publishers: an encoder with its habits, and a peer that uses all of MoQT's freedom.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::object::ObjectStatus;
use weir_protocol::moqt::subgroup::put_object_header;
use weir_protocol::moqt::{Namespace, PublishDoneCode};

use super::chance::Chance;
use super::ledger::Ledger;
use crate::registry::Registry;
use crate::ring::{Object, PushError, Subgroup, SubgroupEnd, SubgroupOptions};
use crate::stats::snapshot::PublisherSnapshot;
use crate::stream::{Publisher, TrackOptions, TrackWriter};

/// The tracks of every publisher.
pub(super) const TRACKS: [&str; 3] = ["video", "audio", "catalog"];

/// How a publisher publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// One subgroup a group, one group after the other.
    Encoder,
    /// Several subgroups of several groups at a time.
    Peer,
}

/// Who publishes the stream.
pub(super) struct Source {
    chance: Chance,
    manner: Manner,
    /// Microseconds between frames, frames in a group, bytes of a frame.
    frame_us: u64,
    gop: u64,
    frame_bytes: u64,
    publisher: Option<Live>,
    /// Replaced by another one, and not aware of it.
    ghost: Option<Live>,
    frames: u64,
    /// Subgroups of all times, which the books tell apart by number.
    subgroups: u64,
    /// The next id in each group, by track: a peer that returns knows what it has published.
    ids: BTreeMap<(u64, u64), u64>,
}

struct Live {
    publisher: Publisher,
    tracks: Vec<TrackWriter>,
    groups: BTreeMap<&'static str, Numbered>,
    open: Vec<Written>,
    newest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Numbered {
    group: u64,
    subgroup: u64,
    next: u64,
}

struct Written {
    group: u64,
    number: u64,
    subgroup: Arc<Subgroup>,
}

impl Source {
    pub(super) fn new(mut chance: Chance) -> Self {
        let manner = match chance.one_in(3) {
            true => Manner::Peer,
            false => Manner::Encoder,
        };
        Self {
            manner,
            frame_us: chance.pick(&[40_000, 100_000, 200_000]),
            gop: chance.pick(&[3, 10, 10, 30, 1_000]),
            frame_bytes: chance.pick(&[300, 5_000, 15_000, 30_000]),
            publisher: None,
            ghost: None,
            frames: 0,
            subgroups: 0,
            ids: BTreeMap::new(),
            chance,
        }
    }

    /// Bits a second of all tracks, about.
    pub(super) fn rate_bps(&self) -> u64 {
        (self.frame_bytes * 3 / 2 + 800) * 8 * 1_000_000 / self.frame_us
    }

    /// Does what is to be done at `now_us`. Returns when there is something to do again.
    pub(super) fn step(&mut self, registry: &Registry, ledger: &mut Ledger, now_us: u64) -> u64 {
        self.haunt(now_us);
        let mut next_us = now_us + self.frame_us;
        if self.chance.one_in(8) {
            // Encoders and networks are not even.
            next_us = now_us + self.chance.between(1, 3 * self.frame_us);
        }
        let publishing = self.publisher.is_some();
        match publishing {
            false => self.connect(registry, ledger),
            // A crash, or the network: gone for less or more than the linger time.
            true if self.chance.one_in(60) => {
                self.publisher = None;
                next_us = now_us + self.chance.pick(&[1, 300_000, 900_000, 2_500_000]);
            }
            // The same encoder again, while its dead connection is still open.
            true if self.chance.one_in(80) => {
                self.ghost = self.publisher.take();
                self.connect(registry, ledger);
            }
            true if self.chance.one_in(150) => {
                if let Some(live) = &self.publisher {
                    let index = self.chance.below(2) as usize;
                    live.tracks[index].end(PublishDoneCode::TrackEnded);
                }
                // An encoder's tracks end with their stream only.
                self.publisher = None;
            }
            true => {
                let went = match self.manner {
                    Manner::Encoder => self.encode(ledger, now_us),
                    Manner::Peer => self.speak(ledger, now_us),
                };
                if went.is_err() {
                    self.publisher = None;
                }
            }
        }
        next_us
    }

    /// Stops for good.
    pub(super) fn stop(&mut self) {
        self.publisher = None;
        self.ghost = None;
    }

    fn connect(&mut self, registry: &Registry, ledger: &mut Ledger) {
        let name = Namespace::from_path("live/cam").unwrap();
        let info = PublisherSnapshot {
            protocol: "model".to_owned(),
            ..PublisherSnapshot::default()
        };
        let publisher = registry
            .publish(&name, info, crate::clock::now_us())
            .unwrap();
        let options = || TrackOptions {
            properties: Bytes::new(),
            priority: 128,
            first_frame: true,
        };
        let largest = |name: &str| {
            let known = publisher.stream().track(name.as_bytes());
            known.and_then(|known| known.ring.largest())
        };
        let tracks = TRACKS.map(|name| match self.manner {
            Manner::Encoder => publisher.track(name, options()),
            Manner::Peer => {
                let largest = largest(name);
                publisher.open_track(name.into(), options(), largest, false)
            }
        });
        for (name, writer) in TRACKS.iter().zip(&tracks) {
            ledger.open(name, writer.track());
        }
        publisher.announce();
        let newest = largest("video").map_or(0, |largest| largest.group);
        let mut live = Live {
            publisher,
            tracks: tracks.into(),
            groups: BTreeMap::new(),
            open: Vec::new(),
            newest,
        };
        let catalog = live.tracks[2].clone();
        if !catalog.track().ring.is_ended() {
            let mut object = BTreeMap::new();
            let group = self.begin(&catalog, &mut object, "catalog");
            if group.is_ok() {
                let numbered = object.get_mut("catalog").unwrap();
                let pushed = push(&catalog, numbered, 200, ledger, crate::clock::now_us());
                assert_eq!(pushed, Ok(()));
                catalog.complete_group().unwrap();
            }
        }
        live.groups.clear();
        self.publisher = Some(live);
    }

    fn begin(
        &mut self,
        writer: &TrackWriter,
        groups: &mut BTreeMap<&'static str, Numbered>,
        name: &'static str,
    ) -> Result<(), PushError> {
        let before = writer.track().ring.largest();
        let group = writer.begin_group()?;
        assert!(before.is_none_or(|before| group > before.group), "ids rise");
        self.subgroups += 1;
        let numbered = Numbered {
            group,
            subgroup: self.subgroups,
            next: 0,
        };
        groups.insert(name, numbered);
        Ok(())
    }

    /// A frame of video, two of audio.
    fn encode(&mut self, ledger: &mut Ledger, now_us: u64) -> Result<(), PushError> {
        let Some(mut live) = self.publisher.take() else {
            return Ok(());
        };
        self.frames += 1;
        let key = !live.groups.contains_key("video") || self.chance.one_in(self.gop);
        let frame = self.chance.between(1, 2 * self.frame_bytes);
        let bytes = match self.chance.below(40) {
            0 => 0,
            1 => 12 * self.frame_bytes,
            _ if key => 4 * frame,
            _ => frame,
        };
        let writer = live.tracks[0].clone();
        if key {
            self.begin(&writer, &mut live.groups, "video")?;
        }
        let video = live.groups.get_mut("video").unwrap();
        push(&writer, video, bytes, ledger, now_us)?;
        let writer = live.tracks[1].clone();
        for _ in 0..2 {
            let audio = live.groups.get("audio");
            if audio.is_none_or(|audio| audio.next >= 8) {
                self.begin(&writer, &mut live.groups, "audio")?;
            }
            let audio = live.groups.get_mut("audio").unwrap();
            push(&writer, audio, 400, ledger, now_us)?;
        }
        let jump = match self.chance.one_in(50) {
            true => self.chance.below(1 << 40),
            false => self.frames * self.frame_us,
        };
        let media_us = live.publisher.media_us(jump, now_us);
        assert!(
            media_us.abs_diff(now_us) < 120_000_000,
            "the timeline ran off"
        );
        self.publisher = Some(live);
        Ok(())
    }

    /// One thing that MoQT allows on a track.
    fn speak(&mut self, ledger: &mut Ledger, now_us: u64) -> Result<(), PushError> {
        let Some(mut live) = self.publisher.take() else {
            return Ok(());
        };
        let writer = live.tracks[0].clone();
        let choice = self.chance.below(12);
        if live.open.is_empty() || choice == 0 {
            let step = self.chance.pick(&[1, 1, 1, 1, 2, 5]);
            live.newest += step;
            let group = live.newest;
            self.open(&writer, &mut live, group)?;
        } else if choice == 1 {
            // Another one of a group that there is, or an older one.
            let back = self.chance.below(4).min(live.newest - 1);
            let group = live.newest - back;
            self.open(&writer, &mut live, group)?;
        } else if choice == 2 {
            let index = self.chance.below(live.open.len() as u64) as usize;
            let written = live.open.swap_remove(index);
            match self.chance.below(4) {
                0 => {
                    let end = SubgroupEnd::Reset(1);
                    writer.end_subgroup(written.group, &written.subgroup, end);
                }
                1 => writer.leave_subgroup(written.group, &written.subgroup),
                _ => {
                    let end = SubgroupEnd::Fin;
                    writer.end_subgroup(written.group, &written.subgroup, end);
                }
            }
        }
        for _ in 0..self.chance.between(1, 3) {
            self.push_somewhere(&writer, &mut live, ledger, now_us)?;
        }
        self.publisher = Some(live);
        Ok(())
    }

    fn open(&mut self, writer: &TrackWriter, live: &mut Live, group: u64) -> Result<(), PushError> {
        self.subgroups += 1;
        let options = SubgroupOptions {
            id: self.subgroups,
            priority: self.chance.one_in(3).then_some(100),
            end_of_group: self.chance.one_in(3),
            first_object: true,
            datagrams: self.chance.one_in(10),
        };
        let alias = writer.track().alias;
        let first = self.ids.get(&(alias, group)).copied().unwrap_or(0);
        match writer.open_subgroup(group, options, first) {
            Ok(subgroup) => {
                let number = self.subgroups;
                live.open.push(Written {
                    group,
                    number,
                    subgroup,
                });
                Ok(())
            }
            Err(PushError::TooLate | PushError::TooManySubgroups(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn push_somewhere(
        &mut self,
        writer: &TrackWriter,
        live: &mut Live,
        ledger: &mut Ledger,
        now_us: u64,
    ) -> Result<(), PushError> {
        if live.open.is_empty() {
            return Ok(());
        }
        let index = self.chance.below(live.open.len() as u64) as usize;
        let written = &live.open[index];
        let next = self.ids.entry((writer.track().alias, written.group));
        let next = next.or_default();
        let id = *next + u64::from(self.chance.one_in(10));
        let bytes = self.chance.between(0, 2 * self.frame_bytes);
        let (group, track) = (written.group, writer.track());
        let object = match written.subgroup.options.datagrams {
            true => datagram(track.alias, group, id, now_us),
            false => object(group, id, bytes, now_us),
        };
        match writer.push_to(group, &written.subgroup, object.clone()) {
            Ok(()) => {
                *next = id + 1;
                ledger.on_pushed(track.alias, group, written.number, &object);
                Ok(())
            }
            Err(PushError::TooLate) => {
                live.open.swap_remove(index);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Who was replaced goes on, and is refused.
    fn haunt(&mut self, now_us: u64) {
        let Some(ghost) = &self.ghost else { return };
        for writer in &ghost.tracks {
            let refused = |error| matches!(error, PushError::Superseded | PushError::Ended);
            let alive = !writer.track().ring.is_ended();
            // A track that was opened anew is another one; the old one has ended.
            let pushed = writer.push(object(0, 0, 10, now_us));
            assert!(pushed.is_err_and(refused), "a ghost writes, {alive}");
        }
        if self.chance.one_in(5) {
            self.ghost = None;
        }
    }
}

fn push(
    writer: &TrackWriter,
    numbered: &mut Numbered,
    bytes: u64,
    ledger: &mut Ledger,
    now_us: u64,
) -> Result<(), PushError> {
    let object = object(numbered.group, numbered.next, bytes, now_us);
    writer.push(object.clone())?;
    numbered.next += 1;
    let alias = writer.track().alias;
    ledger.on_pushed(alias, numbered.group, numbered.subgroup, &object);
    Ok(())
}

/// An object whose payload tells it from all others.
fn object(group: u64, id: u64, bytes: u64, now_us: u64) -> Object {
    let mut wire = BytesMut::new();
    let status = Some(ObjectStatus::Normal);
    put_object_header(&mut wire, 0, Some(&[]), bytes, status);
    let header_len = wire.len();
    let tag = [group.to_be_bytes(), id.to_be_bytes()].concat();
    wire.resize(header_len + bytes as usize, 0x5a);
    let tagged = tag.len().min(bytes as usize);
    wire[header_len..header_len + tagged].copy_from_slice(&tag[..tagged]);
    Object {
        id,
        wire: wire.freeze(),
        header_len,
        properties: Bytes::new(),
        legacy: None,
        first_byte_us: now_us,
        complete_us: now_us,
    }
}

fn datagram(alias: u64, group: u64, id: u64, now_us: u64) -> Object {
    let payload = Bytes::from([group.to_be_bytes(), id.to_be_bytes()].concat());
    let datagram = ObjectDatagram {
        alias,
        group,
        object: id,
        payload: payload.clone(),
        ..ObjectDatagram::default()
    };
    let mut wire = BytesMut::new();
    datagram.encode(&mut wire);
    Object {
        id,
        header_len: wire.len() - payload.len(),
        wire: wire.freeze(),
        properties: Bytes::new(),
        legacy: None,
        first_byte_us: now_us,
        complete_us: now_us,
    }
}
