//! A publisher by hand, or the beginning of a player: the few bytes of RTMP that it needs, and no
//! code of the relay's.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::flv::{FlvTag, Kind};
use super::process::{Process, Scratch, now, sleep, wait_for};

/// Larger than any message sent here, so that none is cut into chunks.
const CHUNK_SIZE: u32 = 8 << 20;

/// Time for each answer of the server.
const ANSWER: Duration = Duration::from_secs(5);

/// The id that servers give to the first message stream.
const STREAM: u32 = 1;

/// A connection that publishes.
pub(crate) struct Publisher {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Publisher {
    /// Connects, and asks to publish `key` in `app`; the answer is for [`Self::wait_said`].
    #[track_caller]
    pub(crate) fn connect(server: SocketAddr, app: &str, key: &str) -> Self {
        let wish = Wish {
            command: "publish",
            fourccs: &[],
            window: None,
        };
        Self::wish(server, app, key, &wish)
    }

    /// Connects, and asks for something else.
    #[track_caller]
    pub(crate) fn wish(server: SocketAddr, app: &str, key: &str, wish: &Wish<'_>) -> Self {
        let mut socket = open(server, wish.window);
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(ANSWER)).unwrap();
        // C0 and C1: version 3, time 0, zero, and 1528 bytes of whatever.
        let mut hello = vec![0; 1 + 1536];
        hello[0] = 3;
        hello[9..].fill(0x5a);
        socket.write_all(&hello).unwrap();
        let mut answer = [0; 1 + 1536 + 1536];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], 3, "S0 is the version");
        // C2 repeats S1.
        socket.write_all(&answer[1..1537]).unwrap();
        let mut publisher = Self {
            socket,
            received: Vec::new(),
        };
        let url = format!("rtmp://{server}/{app}");
        publisher.message(2, 1, 0, 0, &CHUNK_SIZE.to_be_bytes());
        let mut connect = amf_command("connect", 1.0);
        connect.push(3);
        for (name, value) in [
            ("app", app),
            ("tcUrl", &url),
            ("flashVer", "FMLE/3.0 (by hand)"),
        ] {
            connect.extend(&amf_string(name)[1..]);
            connect.extend(amf_string(value));
        }
        if !wish.fourccs.is_empty() {
            connect.extend(&amf_string("fourCcList")[1..]);
            connect.push(10);
            connect.extend(u32::try_from(wish.fourccs.len()).unwrap().to_be_bytes());
            connect.extend(wish.fourccs.iter().flat_map(|fourcc| amf_string(fourcc)));
        }
        connect.extend([0, 0, 9]);
        publisher.message(3, 20, 0, 0, &connect);
        publisher.wait_said("NetConnection.Connect.Success");
        let mut create = amf_command("createStream", 2.0);
        create.push(5);
        publisher.message(3, 20, 0, 0, &create);
        publisher.wait_answer(2.0);
        let mut publish = amf_command(wish.command, 3.0);
        publish.push(5);
        publish.extend(amf_string(key));
        publish.extend(amf_string("live"));
        publisher.message(4, 20, STREAM, 0, &publish);
        publisher
    }

    /// The same, and waits for the server's consent.
    #[track_caller]
    pub(crate) fn publish(server: SocketAddr, app: &str, key: &str) -> Self {
        let mut publisher = Self::connect(server, app, key);
        publisher.wait_said("NetStream.Publish.Start");
        publisher
    }

    /// Waits until the server's bytes hold `text`.
    #[track_caller]
    pub(crate) fn wait_said(&mut self, text: &str) {
        self.wait_said_within(text, ANSWER);
    }

    /// The same with more time, if the patience of a read is longer too.
    #[track_caller]
    pub(crate) fn wait_said_within(&mut self, text: &str, limit: Duration) {
        wait_for(&format!("the server to say {text}"), limit, || {
            let said = self
                .received
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            if said {
                return Ok(());
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes) {
                Ok(0) => panic!("closed without saying {text}: {:?}", self.printable()),
                Ok(length) => self.received.extend(&bytes[..length]),
                Err(error) => panic!("{error} while waiting for {text}: {:?}", self.printable()),
            }
            Err(self.printable())
        });
    }

    /// Waits for the answer to a call, and takes no byte behind it.
    #[track_caller]
    fn wait_answer(&mut self, transaction: f64) {
        let mut result = amf_command("_result", transaction);
        result.extend([5, 0]);
        result.extend(f64::from(STREAM).to_be_bytes());
        while !self.received.ends_with(&result) {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).unwrap();
            self.received.push(byte[0]);
        }
    }

    /// Reads what the server says next.
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.socket.read_exact(bytes)
    }

    /// How long a read may wait.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
    }

    /// Whether the server closes the connection within a moment.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut bytes = Vec::new();
        match self.socket.read_to_end(&mut bytes) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends a tag as a message.
    pub(crate) fn send(&mut self, tag: &FlvTag) {
        self.try_send(tag).unwrap();
    }

    /// The same for a server that may have left.
    pub(crate) fn try_send(&mut self, tag: &FlvTag) -> io::Result<()> {
        let (chunk_stream, kind) = match tag.kind {
            Kind::Audio => (4, 8),
            Kind::Video => (6, 9),
            Kind::Other => return Ok(()),
        };
        self.try_message(chunk_stream, kind, STREAM, tag.timestamp_ms, &tag.body)
    }

    /// Sends the tags at the pace of their timestamps.
    pub(crate) fn play(&mut self, tags: &[FlvTag]) {
        self.play_from(0, tags);
    }

    /// The same when the tags' clock began at `base_ms`, and may have wrapped since.
    pub(crate) fn play_from(&mut self, base_ms: u32, tags: &[FlvTag]) {
        let start = now();
        for tag in tags {
            let due = Duration::from_millis(tag.timestamp_ms.wrapping_sub(base_ms).into());
            sleep(due.saturating_sub(start.elapsed()));
            self.send(tag);
        }
    }

    /// Sends what an encoder says about itself, as a file's tag has it.
    pub(crate) fn describe(&mut self, tag: &FlvTag) {
        let body = [amf_string("@setDataFrame"), tag.body.clone()].concat();
        self.message(4, 18, STREAM, tag.timestamp_ms, &body);
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Whether the server has ended the connection.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        let read = self.socket.read(&mut bytes);
        self.socket.set_nonblocking(false).unwrap();
        match read {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn message(&mut self, chunk_stream: u8, kind: u8, stream: u32, time_ms: u32, body: &[u8]) {
        self.try_message(chunk_stream, kind, stream, time_ms, body)
            .unwrap();
    }

    fn try_message(
        &mut self,
        chunk_stream: u8,
        kind: u8,
        stream: u32,
        time_ms: u32,
        body: &[u8],
    ) -> io::Result<()> {
        let length = u32::try_from(body.len()).unwrap();
        let mut chunk = vec![chunk_stream];
        // What does not fit three bytes follows the header.
        let extended = time_ms >= 0xff_ffff;
        let short = time_ms.min(0xff_ffff);
        chunk.extend(&short.to_be_bytes()[1..]);
        chunk.extend(&length.to_be_bytes()[1..]);
        chunk.push(kind);
        chunk.extend(stream.to_le_bytes());
        if extended {
            chunk.extend(time_ms.to_be_bytes());
        }
        chunk.extend(body);
        self.socket.write_all(&chunk)
    }

    fn printable(&self) -> String {
        let printable = |byte: &u8| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                ' '
            }
        };
        self.received.iter().map(printable).collect()
    }
}

/// What a connection asks for.
pub(crate) struct Wish<'a> {
    /// `publish` or `play`.
    pub(crate) command: &'a str,
    /// Codecs of Enhanced RTMP that it says it can receive.
    pub(crate) fourccs: &'a [&'a str],
    /// Bytes that the system may take for it.
    pub(crate) window: Option<usize>,
}

fn open(server: SocketAddr, window: Option<usize>) -> TcpStream {
    let domain = socket2::Domain::for_address(server);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    if let Some(bytes) = window {
        // Before the connection is made: the window is agreed then.
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.connect(&server.into()).unwrap();
    socket.into()
}

fn amf_command(name: &str, transaction: f64) -> Vec<u8> {
    let mut command = amf_string(name);
    command.push(0);
    command.extend(transaction.to_be_bytes());
    command
}

fn amf_string(text: &str) -> Vec<u8> {
    let mut string = vec![2];
    string.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    string.extend(text.as_bytes());
    string
}

/// Opus by Enhanced RTMP, as tags: ffmpeg encodes it, the tags are made here, as no released
/// ffmpeg of the package used here writes them.
#[track_caller]
pub(crate) fn opus_tags(seconds: u32) -> Vec<FlvTag> {
    let file = Scratch::new("tone.ogg");
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=330:r=48000",
    ]);
    command.args([
        "-t",
        &seconds.to_string(),
        "-c:a",
        "libopus",
        "-b:a",
        "64k",
        "-ac",
        "2",
    ]);
    command
        .args(["-frame_duration", "20", "-f", "ogg"])
        .arg(file.path());
    Process::succeed("encode", &mut command, Duration::from_secs(30));
    let packets = ogg_packets(file.path());
    let tag = |packet_type: u8, timestamp_ms: u32, payload: &[u8]| {
        let body = [&[0x90 | packet_type], b"Opus".as_slice(), payload].concat();
        FlvTag {
            kind: Kind::Audio,
            timestamp_ms,
            body,
        }
    };
    // The first packet is the configuration, the second holds comments.
    let mut tags = vec![tag(0, 0, &packets[0])];
    tags.extend(
        packets[2..]
            .iter()
            .zip(0..)
            .map(|(packet, at)| tag(1, at * 20, packet)),
    );
    tags
}

/// The packets of an Ogg file with one stream (RFC 3533).
fn ogg_packets(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let mut rest = file.as_slice();
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        assert!(rest.starts_with(b"OggS"), "no Ogg page");
        let lacing = &rest[27..27 + usize::from(rest[26])];
        let mut data = &rest[27 + lacing.len()..];
        for segment in lacing {
            let (taken, left) = data.split_at(usize::from(*segment));
            packet.extend_from_slice(taken);
            data = left;
            if *segment < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        rest = data;
    }
    packets
}
