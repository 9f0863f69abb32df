//! The publisher: real RTMP over TCP, in a thread of its own, so that reading for a hundred viewers
//! never delays a frame.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep_until, timeout},
};
use weir_protocol::{
    codec::VideoCodec,
    flv::{mux, video::VideoPacket},
    rtmp::{
        client::{self, Event, Session, Target},
        handshake::RANDOM_LEN,
    },
};

use super::{
    Plan,
    payload::{AVC_CONFIG, Frames, Stamp},
    times::{Percentiles, Times},
};
use crate::clock::{Clock, epoch_us};

/// How long the relay may take to accept the publisher.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read from the relay at a time; it has little to say.
const READ_BYTES: usize = 4096;

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The connection could not be made, or broke.
    #[error("RTMP to {addr}: {error}")]
    Io {
        /// The relay.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The relay broke the protocol, or takes less than is sent.
    #[error("RTMP: {0}")]
    Session(#[from] client::Error),
    /// The relay turned the publisher down.
    #[error("the relay refused the publisher: {code}: {description}")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        description: String,
    },
    /// The relay closed the connection.
    #[error("the relay closed the publisher's connection")]
    Closed,
    /// The relay said nothing.
    #[error("the relay did not accept the publisher within {} s", ACCEPT_TIMEOUT.as_secs())]
    Timeout,
    /// Histograms would not be made.
    #[error(transparent)]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// A publisher at work.
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    next_index: AtomicU64,
    /// How late frames were written, against their schedule.
    lag: Mutex<Times>,
    error: Mutex<Option<PublishError>>,
}

impl Publisher {
    /// Connects and publishes; returns when the relay has accepted.
    pub(super) fn start(addr: SocketAddr, plan: &Plan) -> Result<Self, PublishError> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            next_index: AtomicU64::new(0),
            lag: Mutex::new(Times::new()?),
            error: Mutex::new(None),
        });
        let (accepted, is_accepted) = mpsc::channel();
        let (plan, theirs) = (plan.clone(), Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| PublishError::Io { addr, error })?;
        let thread = thread::spawn(move || {
            let result = runtime.block_on(publish(addr, &plan, &theirs, accepted));
            *theirs.error.lock() = result.err();
        });
        let publisher = Self {
            shared,
            thread: Some(thread),
        };
        // A failure drops the sender, which ends the wait.
        match is_accepted.recv() {
            Ok(()) => Ok(publisher),
            Err(_) => Err(publisher.stop().err().unwrap_or(PublishError::Closed)),
        }
    }

    /// The number of the next frame.
    pub(super) fn next_index(&self) -> u64 {
        self.shared.next_index.load(Ordering::Acquire)
    }

    /// Ends the publish; tells how late it was.
    pub(super) fn stop(mut self) -> Result<Percentiles, PublishError> {
        self.end();
        match self.shared.error.lock().take() {
            Some(error) => Err(error),
            None => Ok(self.shared.lag.lock().percentiles()),
        }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has printed itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end();
    }
}

async fn publish(
    addr: SocketAddr,
    plan: &Plan,
    shared: &Shared,
    accepted: mpsc::Sender<()>,
) -> Result<(), PublishError> {
    let (app, key) = plan
        .stream
        .split_once('/')
        .unwrap_or(("live", &plan.stream));
    let target = Target {
        authority: addr.to_string(),
        app: app.into(),
        key: key.into(),
    };
    let session = Session::publish(client::Config::new(target), [0x57; RANDOM_LEN]);
    let mut link = Link::connect(addr, session).await?;
    timeout(ACCEPT_TIMEOUT, link.wait_until_ready())
        .await
        .map_err(|_| PublishError::Timeout)??;
    // The receiver waits for this and for nothing else.
    let _ = accepted.send(());
    drop(accepted);

    let header = mux::video_header(VideoCodec::Avc, true, VideoPacket::Config);
    link.session.write_video(0, &[&header, AVC_CONFIG])?;
    let frames = Frames::new(plan.frame_bytes);
    let mut frame = Vec::with_capacity(plan.frame_bytes);
    let clock = Clock::start();
    for index in 0.. {
        // The schedule is absolute: a late frame does not shift those after it.
        let due_us = index * 1_000_000 / u64::from(plan.fps);
        link.serve_until(&clock, due_us).await?;
        if shared.stop.load(Ordering::Acquire) {
            break;
        }
        shared
            .lag
            .lock()
            .record(clock.now_us().saturating_sub(due_us));
        let key = index.is_multiple_of(u64::from(plan.gop));
        let packet = VideoPacket::Frame { composition_ms: 0 };
        let header = mux::video_header(VideoCodec::Avc, key, packet);
        shared.next_index.store(index + 1, Ordering::Release);
        frames.write(
            Stamp {
                index,
                sent_us: epoch_us(),
            },
            key,
            &mut frame,
        );
        link.session
            .write_video(due_us / 1_000, &[&header, &frame])?;
        link.flush().await?;
    }
    link.session.unpublish();
    link.flush().await
}

/// A session and its socket.
struct Link {
    addr: SocketAddr,
    socket: TcpStream,
    session: Session,
    input: Vec<u8>,
}

impl Link {
    async fn connect(addr: SocketAddr, session: Session) -> Result<Self, PublishError> {
        let failed = |error| PublishError::Io { addr, error };
        let socket = TcpStream::connect(addr).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        Ok(Self {
            addr,
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

    /// Answers the relay until `due_us`.
    async fn serve_until(&mut self, clock: &Clock, due_us: u64) -> Result<(), PublishError> {
        let Some(due) = clock.instant(due_us) else {
            return Ok(());
        };
        loop {
            tokio::select! {
                biased;
                () = sleep_until(due.into()) => return Ok(()),
                read = self.socket.read(&mut self.input) => {
                    self.on_read(read)?;
                    self.take_events()?;
                    self.flush().await?;
                }
            }
        }
    }

    fn on_read(&mut self, read: io::Result<usize>) -> Result<(), PublishError> {
        match read.map_err(|error| PublishError::Io {
            addr: self.addr,
            error,
        })? {
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
            written.map_err(|error| PublishError::Io {
                addr: self.addr,
                error,
            })?;
        }
        Ok(())
    }
}
