//! A player by hand: the few bytes of RTMP that a play needs, and no code of the relay's.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

use super::flv::{FlvTag, Kind};
use super::rtmp::{Publisher, Wish};

/// Time for each message of the server.
const MESSAGE: Duration = Duration::from_secs(40);

/// A message header that a later one may refer to.
#[derive(Clone, Copy, Default)]
struct Header {
    time_ms: u32,
    delta_ms: u32,
    length: usize,
    kind: u8,
}

/// A connection that plays.
pub(crate) struct Player {
    connection: Publisher,
    chunk_size: usize,
    headers: [Header; 64],
}

impl Player {
    /// Connects and asks to play `name` of `app`, saying that it receives the codecs of `fourccs`.
    /// `window` bounds the bytes that the system takes for it.
    #[track_caller]
    pub(crate) fn connect(
        server: SocketAddr,
        app: &str,
        name: &str,
        fourccs: &[&str],
        window: Option<usize>,
    ) -> Self {
        let wish = Wish {
            command: "play",
            fourccs,
            window,
        };
        let connection = Publisher::wish(server, app, name, &wish);
        connection.set_patience(MESSAGE);
        let mut headers = [Header::default(); 64];
        // The newest control message so far set the chunk size.
        headers[2] = Header {
            length: 4,
            kind: 1,
            ..Header::default()
        };
        Self {
            connection,
            chunk_size: 4096,
            headers,
        }
    }

    /// The next message of the server: its type, and as a tag.
    pub(crate) fn next(&mut self) -> io::Result<(u8, FlvTag)> {
        let mut first = [0];
        self.connection.read_exact(&mut first)?;
        let stream = usize::from(first[0] & 63);
        assert!(stream > 1, "the server names chunk streams in one byte");
        let mut header = self.headers[stream];
        let mut bytes = [0; 11];
        let len = [11, 7, 3, 0][usize::from(first[0] >> 6)];
        self.connection.read_exact(&mut bytes[..len])?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        if len >= 3 {
            header.delta_ms = number(&bytes[..3]);
            assert!(header.delta_ms < 0xff_ffff, "tests are shorter than hours");
        }
        if len >= 7 {
            header.length = number(&bytes[3..6]) as usize;
            header.kind = bytes[6];
        }
        header.time_ms = match len {
            11 => header.delta_ms,
            _ => header.time_ms + header.delta_ms,
        };
        self.headers[stream] = header;
        let mut body = vec![0; header.length];
        for (index, chunk) in body.chunks_mut(self.chunk_size).enumerate() {
            if index > 0 {
                self.connection.read_exact(&mut [0])?;
            }
            self.connection.read_exact(chunk)?;
        }
        if header.kind == 1 {
            self.chunk_size = number(&body) as usize;
        }
        let kind = match header.kind {
            8 => Kind::Audio,
            9 => Kind::Video,
            _ => Kind::Other,
        };
        let tag = FlvTag {
            kind,
            timestamp_ms: header.time_ms,
            body,
        };
        Ok((header.kind, tag))
    }

    /// Reads messages until one says `text`; the media before it.
    #[track_caller]
    pub(crate) fn until_said(&mut self, text: &str) -> Vec<FlvTag> {
        let mut media = Vec::new();
        loop {
            let (_, tag) = self.next().unwrap_or_else(|e| panic!("{e} before {text}"));
            let said = |tag: &FlvTag| tag.body.windows(text.len()).any(|w| w == text.as_bytes());
            match tag.kind {
                Kind::Other if said(&tag) => return media,
                Kind::Other => {}
                Kind::Audio | Kind::Video => media.push(tag),
            }
        }
    }

    /// Reads until `count` video frames have come; all media that came.
    #[track_caller]
    pub(crate) fn media(&mut self, count: usize) -> Vec<FlvTag> {
        let (mut media, mut frames) = (Vec::new(), 0);
        while frames < count {
            let (_, tag) = self.next().unwrap();
            frames += usize::from(tag.kind == Kind::Video && tag.frame().is_some());
            if tag.kind != Kind::Other {
                media.push(tag);
            }
        }
        media
    }
}
