//! A built-in clip, pushed to this relay by RTMP like any other stream.
//!
//! It goes the way of every stream, from a socket on: what it shows is what the relay does. The
//! clip loops with timestamps that rise, so that to the relay it is one endless stream. It is made
//! by `assets/demo.py`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use weir_protocol::flv::demux::{self, Demuxer, Tag};
use weir_protocol::flv::{self, TagKind, VideoPacket};
use weir_protocol::rtmp::client::{self, Config, Event, Session, Target};
use weir_protocol::rtmp::handshake::RANDOM_LEN;

/// The stream's name.
pub const STREAM: &str = "live/demo";

/// Application and key of [`STREAM`].
const APP: &str = "live";
const KEY: &str = "demo";

const CLIP: &[u8] = include_bytes!("../assets/demo.flv");

/// Bytes of the clip's largest tag, and more.
const MAX_TAG: usize = 1 << 20;

/// Answers are short.
const READ_BYTES: usize = 4096;

/// Why the demo ends.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The clip cannot be read.
    #[error("the built-in clip: {0}")]
    Clip(#[from] demux::Error),
    /// The clip has no pictures.
    #[error("the built-in clip has no pictures")]
    Empty,
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The relay broke the protocol, or reads too slowly.
    #[error(transparent)]
    Rtmp(#[from] client::Error),
    /// The relay does not want it, or another publisher took the name over.
    #[error("{0}")]
    Refused(String),
    /// The relay ended the connection.
    #[error("the relay ended the connection")]
    Closed,
}

/// A clip that loops.
#[derive(Debug)]
struct Clip {
    tags: Vec<Tag>,
    length_ms: u64,
}

impl Clip {
    /// Reads an FLV file.
    fn parse(file: &[u8]) -> Result<Self, DemoError> {
        let mut demuxer = Demuxer::new(MAX_TAG);
        demuxer.handle_bytes(file)?;
        let mut tags = Vec::new();
        let (mut pictures, mut first, mut last) = (0_u64, u64::MAX, 0_u64);
        while let Some(tag) = demuxer.next_tag()? {
            match (tag.kind, tag.kind == TagKind::Video && is_picture(&tag)) {
                (TagKind::Script, _) => continue,
                (TagKind::Video, true) => {
                    pictures += 1;
                    first = first.min(tag.timestamp_ms.into());
                    last = last.max(tag.timestamp_ms.into());
                }
                // The file's end is not the stream's.
                (TagKind::Video, false) if !tags.is_empty() && pictures > 0 => continue,
                (TagKind::Video | TagKind::Audio, _) => {}
            }
            tags.push(tag);
        }
        // As many distances as pictures: the last one is as far from the next loop's first.
        let distances = pictures.checked_sub(1).filter(|n| *n > 0);
        let distances = distances.ok_or(DemoError::Empty)?;
        let span = last - first;
        let length_ms = span + (span + distances / 2) / distances;
        // Sound that lasts longer than the pictures would overlap the next loop's.
        let begin = tags.iter().map(|tag| tag.timestamp_ms).min().unwrap_or(0);
        let end = u64::from(begin) + length_ms;
        tags.retain(|tag| u64::from(tag.timestamp_ms) < end);
        Ok(Self { tags, length_ms })
    }

    /// The `n`th tag of the endless stream, and its time in milliseconds.
    fn tag(&self, n: usize) -> Option<(&Tag, u64)> {
        let tag = self.tags.get(n % self.tags.len())?;
        let before = (n / self.tags.len()) as u64 * self.length_ms;
        Some((tag, before + u64::from(tag.timestamp_ms)))
    }
}

/// Publishes the clip to the relay that listens on `rtmp`, in real time, until that ends it.
///
/// # Errors
///
/// Always: why it ended.
pub async fn publish(rtmp: SocketAddr) -> Result<(), DemoError> {
    let clip = Clip::parse(CLIP)?;
    let server = reachable(rtmp);
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let mut random = [0; RANDOM_LEN];
    rand::fill(&mut random);
    let mut config = Config::new(Target {
        authority: server.to_string(),
        app: APP.to_owned(),
        key: KEY.to_owned(),
    });
    config.flash_ver = concat!("weir/", env!("CARGO_PKG_VERSION"), " demo").to_owned();
    let connection = Connection {
        socket,
        session: Session::publish(config, random),
        started: None,
    };
    connection.run(&clip).await
}

struct Connection {
    socket: TcpStream,
    session: Session,
    /// When the relay was ready for media.
    started: Option<Instant>,
}

impl Connection {
    async fn run(mut self, clip: &Clip) -> Result<(), DemoError> {
        let mut buffer = [0; READ_BYTES];
        let mut next = 0;
        loop {
            while let Some(output) = self.session.poll_output() {
                self.socket.write_all(&output).await?;
            }
            let due = self.started.zip(clip.tag(next));
            let due = due.map(|(at, (tag, ms))| (at + Duration::from_millis(ms), tag, ms));
            let turn = async {
                match &due {
                    Some((at, _, _)) => sleep_until(*at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = self.socket.read(&mut buffer) => match read? {
                    0 => return Err(DemoError::Closed),
                    bytes => self.on_input(&buffer[..bytes])?,
                },
                () = turn => if let Some((_, tag, ms)) = due {
                    self.write(tag, ms)?;
                    next += 1;
                },
            }
        }
    }

    fn on_input(&mut self, input: &[u8]) -> Result<(), DemoError> {
        self.session.handle_input(input)?;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Ready => self.started = Some(Instant::now()),
                Event::Refused { description, .. } => return Err(DemoError::Refused(description)),
                // A publisher is played nothing.
                Event::Video(_) | Event::Audio(_) => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tag: &Tag, ms: u64) -> Result<(), DemoError> {
        let body = [&tag.body[..]];
        match tag.kind {
            TagKind::Video => self.session.write_video(ms, &body)?,
            TagKind::Audio => self.session.write_audio(ms, &body)?,
            TagKind::Script => {}
        }
        Ok(())
    }
}

/// Whether a video tag is a picture, and no configuration or end mark.
fn is_picture(tag: &Tag) -> bool {
    let parsed = flv::video::parse(&tag.body);
    parsed.is_ok_and(|tag| matches!(tag.packet, VideoPacket::Frame { .. }))
}

/// Where a listener can be reached from this machine: the loopback if it listens everywhere.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let loopback = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(loopback, listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_is_small_and_ten_seconds_long() {
        let clip = Clip::parse(CLIP).unwrap();
        assert_eq!(clip.length_ms, 10_000);
        assert!(CLIP.len() < 300_000, "{} bytes", CLIP.len());
        let pictures = clip.tags.iter().filter(|tag| tag.kind == TagKind::Video);
        assert_eq!(pictures.count(), 301, "300 and their configuration");
    }

    #[test]
    fn a_track_never_goes_back_in_time_from_loop_to_loop() {
        let clip = Clip::parse(CLIP).unwrap();
        for kind in [TagKind::Video, TagKind::Audio] {
            let all = (0..clip.tags.len() * 3).filter_map(|n| clip.tag(n));
            let times = all.filter(|(tag, _)| tag.kind == kind).map(|(_, ms)| ms);
            let times: Vec<_> = times.collect();
            assert!(times.is_sorted(), "{kind:?}");
            let widest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(widest.is_some_and(|ms| ms <= 50), "{kind:?}: {widest:?} ms");
        }
    }

    #[test]
    fn a_file_without_pictures_is_refused() {
        assert!(matches!(
            Clip::parse(b"not a clip at all"),
            Err(DemoError::Clip(_))
        ));
        assert!(matches!(Clip::parse(&CLIP[..13]), Err(DemoError::Empty)));
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_the_loopback() {
        let at = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:1935"), "127.0.0.1:1935");
        assert_eq!(at("[::]:1935"), "[::1]:1935");
        assert_eq!(at("10.0.0.7:1"), "10.0.0.7:1");
    }
}
