//! A publisher as OBS is one: RTMP over TCP.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weir_protocol::{
    codec::{AudioCodec, VideoCodec},
    flv::{audio::AudioPacket, mux, video::VideoPacket},
    rtmp::{
        client::{self, Event, Session, Target},
        handshake::RANDOM_LEN,
    },
};

use super::{Job, PublishError, Tick, accepted};
use crate::load::{
    media::Kind,
    payload::{AAC_CONFIG, AVC_CONFIG},
    plan::Door,
};

/// Bytes read from the relay at a time; it has little to say.
const READ_BYTES: usize = 4096;

pub(super) async fn publish(mut job: Job) -> Result<(), PublishError> {
    let name = job.plan.stream_name(job.stream);
    let (app, key) = name.split_once('/').unwrap_or(("live", &name));
    let target = Target {
        authority: job.door.authority(),
        app: app.into(),
        key: key.into(),
    };
    let session = Session::publish(client::Config::new(target), [0x57; RANDOM_LEN]);
    let mut link = Link::connect(&job.door, session).await?;
    accepted(link.wait_until_ready()).await?;
    job.on_accepted();
    link.write_configurations(&job)?;
    let mut first_due_us = None;
    while let Some(tick) = link.serve_until(&mut job).await? {
        let key = job.make(tick);
        let since_us = tick.due_us - *first_due_us.get_or_insert(tick.due_us);
        link.write(&job, tick.track, since_us / 1_000, key)?;
        link.flush().await?;
    }
    link.session.unpublish();
    link.flush().await
}

/// A session and its socket.
struct Link {
    door: Door,
    socket: TcpStream,
    session: Session,
    input: Vec<u8>,
}

impl Link {
    async fn connect(door: &Door, session: Session) -> Result<Self, PublishError> {
        let addr = door.addr;
        let failed = |error| PublishError::Io { addr, error };
        let socket = TcpStream::connect(addr).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        Ok(Self {
            door: door.clone(),
            socket,
            session,
            input: vec![0; READ_BYTES],
        })
    }

    async fn wait_until_ready(&mut self) -> Result<(), PublishError> {
        loop {
            self.flush().await?;
            if self.take_events()? {
                return Ok(());
            }
            let read = self.socket.read(&mut self.input).await;
            self.on_read(read)?;
        }
    }

    fn write_configurations(&mut self, job: &Job) -> Result<(), PublishError> {
        for track in &job.plan.tracks {
            match track.kind {
                Kind::Video => {
                    let header = mux::video_header(VideoCodec::Avc, true, VideoPacket::Config);
                    self.session.write_video(0, &[&header, AVC_CONFIG])?;
                }
                Kind::Audio => {
                    let header = mux::audio_header(AudioCodec::Aac, AudioPacket::Config);
                    self.session.write_audio(0, &[&header, AAC_CONFIG])?;
                }
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        job: &Job,
        track: usize,
        at_ms: u64,
        key: bool,
    ) -> Result<(), PublishError> {
        let kind = job.plan.tracks.get(track).map(|track| track.kind);
        match kind {
            Some(Kind::Audio) => {
                let header = mux::audio_header(AudioCodec::Aac, AudioPacket::Frame);
                self.session.write_audio(at_ms, &[&header, &job.frame])?;
            }
            Some(Kind::Video) | None => {
                let packet = VideoPacket::Frame { composition_ms: 0 };
                let header = mux::video_header(VideoCodec::Avc, key, packet);
                self.session.write_video(at_ms, &[&header, &job.frame])?;
            }
        }
        Ok(())
    }

    /// Answers the relay until a frame is due; `None` when no more will be.
    async fn serve_until(&mut self, job: &mut Job) -> Result<Option<Tick>, PublishError> {
        loop {
            tokio::select! {
                biased;
                tick = job.ticks.recv() => return Ok(tick),
                read = self.socket.read(&mut self.input) => {
                    self.on_read(read)?;
                    self.take_events()?;
                    self.flush().await?;
                }
            }
        }
    }

    fn failed(&self, error: io::Error) -> PublishError {
        PublishError::Io {
            addr: self.door.addr,
            error,
        }
    }

    fn on_read(&mut self, read: io::Result<usize>) -> Result<(), PublishError> {
        match read.map_err(|error| self.failed(error))? {
            0 => Err(PublishError::Closed),
            len => Ok(self
                .session
                .handle_input(self.input.get(..len).unwrap_or_default())?),
        }
    }

    /// Whether the relay has just accepted.
    fn take_events(&mut self) -> Result<bool, PublishError> {
        let mut ready = false;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Ready => ready = true,
                Event::Video(_) | Event::Audio(_) => {}
                Event::Refused { code, description } => {
                    return Err(PublishError::Refused { code, description });
                }
            }
        }
        Ok(ready)
    }

    async fn flush(&mut self) -> Result<(), PublishError> {
        while let Some(bytes) = self.session.poll_output() {
            let written = self.socket.write_all(&bytes).await;
            written.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }
}
