//! The loop of one player: objects in the policy's order into the socket, as it takes them.

use std::io::{self, IoSlice};
use std::sync::Arc;

use tokio::time::Instant;
use weir_protocol::rtmp::StreamId;
use weir_protocol::rtmp::command::Connect;
use weir_protocol::rtmp::server::PlayEnd;

use super::batch::{Batch, SLICES};
use super::cursor::{Action, At, Cursor};
use super::description::Description;
use super::feed::{Feed, Mirror};
use super::muxer::Muxer;
use super::viewing::Viewing;
use super::{Heard, Over, Peer, PlayError};
use crate::clock;
use crate::ring::find;
use crate::shard::Phase;

/// A play that was let in.
pub(super) struct Sender<'a> {
    peer: Peer<'a>,
    stream_id: StreamId,
    connect: Connect,
    feed: Arc<Feed>,
    viewing: Viewing,
    cursor: Cursor,
    muxer: Muxer,
    /// What the player was told of the stream.
    told: Option<Arc<Description>>,
    batch: Batch,
    paused: bool,
    /// Why there will be no further object.
    end: Option<PlayEnd>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        peer: Peer<'a>,
        stream_id: StreamId,
        connect: Connect,
        feed: Arc<Feed>,
        viewing: Viewing,
    ) -> Self {
        let behind_limit_us = peer.context.shared.play.behind_limit_us;
        Self {
            peer,
            stream_id,
            connect,
            feed,
            viewing,
            cursor: Cursor::new(behind_limit_us),
            muxer: Muxer::new(stream_id),
            told: None,
            batch: Batch::default(),
            paused: false,
            end: None,
        }
    }

    /// Serves until either side ends it.
    pub(super) async fn run(mut self) -> Result<Over, PlayError> {
        let stall_limit = self.peer.context.shared.play.stall_limit;
        let mut changes = self.feed.changes();
        let mut taken = Instant::now();
        loop {
            if self.batch.is_empty() {
                self.look_behind();
                self.refill();
                taken = Instant::now();
            }
            if self.write()? {
                taken = Instant::now();
            }
            if self.batch.is_empty() {
                if let Some(reason) = self.end.take() {
                    self.peer.session.end_play(self.stream_id, &reason);
                    self.peer.flush().await?;
                    return Ok(Over::Told);
                }
                self.viewing.on_caught_up();
            } else {
                self.viewing.on_blocked(clock::now_us());
                self.look_behind();
            }
            let held = !self.batch.is_empty();
            let socket = self.peer.socket;
            tokio::select! {
                readable = socket.readable() => {
                    readable?;
                    if let Some(over) = self.listen()? {
                        return Ok(over);
                    }
                }
                writable = socket.writable(), if held => writable?,
                // The sender is in the feed, which is here.
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(taken + stall_limit), if held => {
                    return Err(PlayError::Stalled(stall_limit));
                }
            }
        }
    }

    fn listen(&mut self) -> Result<Option<Over>, PlayError> {
        match self.peer.listen()? {
            Some(Heard::Over(over)) => return Ok(Some(over)),
            Some(Heard::Pause(paused)) => {
                if self.paused && !paused {
                    self.cursor.restart();
                }
                self.paused = paused;
            }
            None => {}
        }
        Ok(None)
    }

    /// Writes what the socket takes; goes on with further batches until there is nothing to send
    /// or it takes no more. Returns whether it took anything.
    fn write(&mut self) -> Result<bool, PlayError> {
        let mut any = false;
        for _ in 0..BATCHES_PER_TURN {
            if self.batch.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.batch.slices(&mut slices);
            match self.peer.socket.try_write_vectored(&slices[..filled]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(bytes) => self.batch.on_written(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) => return Err(error.into()),
            }
            any = true;
            if self.batch.is_empty() {
                let (objects, bytes) = self.batch.objects();
                self.viewing.on_written(objects, bytes, self.peer.socket);
                self.refill();
            }
        }
        Ok(any)
    }

    /// Notes how far behind the player is, also while it takes nothing.
    fn look_behind(&self) {
        let mirror = self.feed.mirror.lock();
        let behind_us = self.cursor.behind_us(mirror.tracks());
        self.viewing.on_behind(behind_us);
    }

    /// Fills the batch, which is empty: the session's answers first, then objects.
    fn refill(&mut self) {
        self.batch.clear();
        let feed = Arc::clone(&self.feed);
        let mirror = feed.mirror.lock();
        let now_us = clock::now_us();
        while let Some(output) = self.peer.session.poll_output() {
            self.batch.push_bytes(output);
        }
        if self.paused && mirror.tracks().ended {
            self.end = Some(self.end_of_stream());
        }
        while self.end.is_none() && !self.paused && self.batch.has_room() {
            match self.cursor.next(mirror.tracks()) {
                Action::Wait => break,
                Action::Skip { to_us, objects } => {
                    self.cursor.skipped(to_us);
                    if objects > 0 {
                        self.viewing.on_skip(objects);
                    }
                }
                Action::Send(at) => {
                    self.end = self.add(&mirror, at, now_us).err();
                    self.cursor.sent(at);
                }
                Action::End => self.end = Some(self.end_of_stream()),
            }
        }
    }

    fn end_of_stream(&self) -> PlayEnd {
        match *self.peer.context.shared.phase.borrow() {
            Phase::Running => PlayEnd::StreamEnded,
            Phase::Draining | Phase::HandedOver | Phase::Stopped => PlayEnd::ShuttingDown,
        }
    }

    /// Adds one object to the batch, and in front of it what is new about the stream.
    fn add(&mut self, mirror: &Mirror, at: At, now_us: u64) -> Result<(), PlayEnd> {
        let groups = mirror.groups(at.kind);
        let group = groups.and_then(|groups| find(groups, at.group));
        let Some(object) = group.and_then(|group| group.objects.get(at.index)) else {
            return Ok(());
        };
        let Some(description) = mirror.description_at(object.complete_us) else {
            return Ok(());
        };
        if !self
            .told
            .as_ref()
            .is_some_and(|told| Arc::ptr_eq(told, description))
        {
            self.introduce(description)?;
        }
        let pushed = self.muxer.push(
            &mut self.batch,
            description,
            at.kind,
            at.index == 0,
            object,
            mirror.timescale(at.kind),
        );
        if pushed.map_err(|error| PlayEnd::Failed(error.to_string()))? {
            let (first_byte_us, complete_us) = (object.first_byte_us, object.complete_us);
            let times = self.viewing.times(first_byte_us, complete_us, now_us);
            if let Some(taken_us) = times.taken_us {
                self.viewing
                    .on_taken(taken_us.saturating_sub(complete_us), now_us);
            }
            self.batch.push_times(times);
        }
        Ok(())
    }

    /// Tells the player what the stream carries from here on.
    fn introduce(&mut self, description: &Arc<Description>) -> Result<(), PlayEnd> {
        if let Some(reason) = description.refusal(&self.connect) {
            return Err(PlayEnd::Failed(reason));
        }
        let session = &mut self.peer.session;
        let time_ms = self.muxer.newest_ms();
        session.play_metadata(self.stream_id, time_ms, &description.metadata());
        while let Some(output) = session.poll_output() {
            self.batch.push_bytes(output);
        }
        self.muxer.configure(&mut self.batch, description);
        self.told = Some(Arc::clone(description));
        Ok(())
    }
}

/// Vectored writes before the shard's other tasks have their turn.
const BATCHES_PER_TURN: usize = 16;
