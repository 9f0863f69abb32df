//! One relay in the place of another, without a moment in which nobody listens.
//!
//! ```text
//!  older                                       newer
//!    listens on the Unix socket ◄───────────── asks at its start
//!    sockets, certificate ───────────────────► listens with the older one's TCP sockets, and with
//!                                              UDP sockets of its own in the same group
//!    GOAWAY to viewers, publishers told ◄───── "ready"
//!    serves who is left, then ends ──────────► takes the Unix socket for its own successor
//! ```
//!
//! Packets of the older one's connections go on reaching it, by their connection IDs; everything
//! new reaches the newer one.

use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::RelayError;
use crate::config::Config;
use crate::endpoint::Certificate;
use crate::net::{self, Steered};
use crate::shard::Shared;

/// What goes from one relay to the next.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Publishers' listener.
    pub(super) rtmp: TcpListener,
    /// That of publishers over TLS.
    pub(super) rtmps: Option<TcpListener>,
    /// Pages', API's and metrics' listener.
    pub(super) http: TcpListener,
    /// The shards' sockets by their place in their group, each with the first byte of its
    /// connection IDs.
    pub(super) quic: Vec<(u8, UdpSocket)>,
}

/// What is said of them.
#[derive(Debug, Deserialize, Serialize)]
struct Said {
    version: String,
    /// Whether there is a listener for publishers over TLS.
    rtmps: bool,
    /// Of the UDP sockets, in their order: first byte of the connection IDs.
    ids: Vec<u8>,
    /// The self-made certificate and its key, so that players that know its hash can come back.
    certificate: Option<(String, String)>,
}

/// What a newer relay was given by the older one.
#[derive(Debug)]
pub(super) struct Inherited {
    stream: UnixStream,
    pub(super) sockets: Sockets,
    /// The older one's self-made certificate.
    pub(super) certificate: Option<Certificate>,
}

/// The newer relay that asked. The older one ends before this is dropped.
#[derive(Debug)]
pub(super) struct Successor {
    _stream: UnixStream,
}

impl Inherited {
    /// Asks at `path` for an older relay's sockets. None if nobody answers there.
    pub(super) fn ask(path: &Path) -> io::Result<Option<Self>> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) => {
                let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
                return match nobody.contains(&error.kind()) {
                    true => Ok(None),
                    false => Err(error),
                };
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let (text, sockets) = net::handover::receive(&stream)?;
        let said: Said = serde_json::from_slice(&text)?;
        let certificate = match &said.certificate {
            Some(pair) => Some(certificate(pair)?),
            None => None,
        };
        let mut sockets = sockets.into_iter();
        let missing = || io::Error::other("the older relay gave too few sockets");
        let mut next = || sockets.next().ok_or_else(missing);
        let (rtmp, http) = (TcpListener::from(next()?), TcpListener::from(next()?));
        let rtmps = said.rtmps.then(&mut next).transpose()?;
        let rtmps = rtmps.map(TcpListener::from);
        info!(older = said.version, "taking over a relay's sockets");
        Ok(Some(Self {
            stream,
            sockets: Sockets {
                rtmp,
                rtmps,
                http,
                quic: said
                    .ids
                    .into_iter()
                    .zip(sockets.map(UdpSocket::from))
                    .collect(),
            },
            certificate,
        }))
    }

    /// Tells the older one that this one serves.
    pub(super) fn ready(&mut self) -> io::Result<()> {
        self.stream.write_all(READY)?;
        self.stream.set_read_timeout(None)
    }

    /// Waits until the older process has ended, however that ends.
    fn wait(mut self) {
        let _ = self.stream.read(&mut [0]);
    }
}

fn certificate((chain, key): &(String, String)) -> io::Result<Certificate> {
    let decoded = |text: &String| BASE64_STANDARD.decode(text).map_err(io::Error::other);
    Certificate::from_der(decoded(chain)?, decoded(key)?).map_err(io::Error::other)
}

/// What a relay offers to the next one.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) path: PathBuf,
    pub(super) sockets: Sockets,
    /// The self-made certificate and its key.
    pub(super) certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl Offer {
    /// Offers the sockets to whoever of the same user asks; the answer is whoever is ready to
    /// serve in this relay's place. While an older relay is still there nobody can ask: three in
    /// one group are too many.
    pub(super) fn open(
        self,
        older: Option<(Inherited, Steered)>,
    ) -> io::Result<mpsc::Receiver<Successor>> {
        let (asked, successors) = mpsc::channel(1);
        let listener = match &older {
            Some(_) => None,
            None => Some(listen(&self.path)?),
        };
        let thread = std::thread::Builder::new().name("weir-takeover".to_owned());
        thread.spawn(move || match self.serve(older, listener) {
            // The only receiver is the relay itself.
            Ok(successor) => drop(asked.blocking_send(successor)),
            Err(error) => warn!(%error, "no newer relay can take over"),
        })?;
        Ok(successors)
    }

    fn serve(
        mut self,
        older: Option<(Inherited, Steered)>,
        listener: Option<UnixListener>,
    ) -> io::Result<Successor> {
        if let Some((older, steered)) = older {
            older.wait();
            let ids = steered.forget_older()?;
            info!("the older relay has ended");
            let place = |id: u8| ids.iter().position(|known| *known == id);
            self.sockets.quic.sort_by_key(|(id, _)| place(*id));
        }
        let listener = match listener {
            Some(listener) => listener,
            None => listen(&self.path)?,
        };
        let encoded = |bytes: &Vec<u8>| BASE64_STANDARD.encode(bytes);
        let certificate = self.certificate.as_ref();
        let said = Said {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rtmps: self.sockets.rtmps.is_some(),
            ids: self.sockets.quic.iter().map(|(id, _)| *id).collect(),
            certificate: certificate.map(|(chain, key)| (encoded(chain), encoded(key))),
        };
        let text = serde_json::to_vec(&said)?;
        loop {
            let (stream, _) = listener.accept()?;
            match give(stream, &text, &self.sockets) {
                Ok(successor) => return Ok(successor),
                Err(error) => warn!(%error, "a newer relay did not take over"),
            }
        }
    }
}

/// Listens at `path`, bound beside it and moved: there is no moment without somebody who answers.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let mut beside = PathBuf::from(path).into_os_string();
    beside.push(".new");
    // Left over by a relay that was killed.
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

fn give(stream: UnixStream, text: &[u8], sockets: &Sockets) -> io::Result<Successor> {
    if !net::handover::is_own_user(&stream) {
        return Err(io::Error::other("it is another user's"));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut all = vec![sockets.rtmp.as_fd(), sockets.http.as_fd()];
    all.extend(sockets.rtmps.iter().map(AsFd::as_fd));
    all.extend(sockets.quic.iter().map(|(_, socket)| socket.as_fd()));
    net::handover::send(&stream, text, &all)?;
    let mut ready = [0; READY.len()];
    let mut reading = &stream;
    reading.read_exact(&mut ready)?;
    Ok(Successor { _stream: stream })
}

/// What an older relay gives, where there is one.
pub(super) fn inherit(config: &Config) -> Result<Option<Inherited>, RelayError> {
    let Some(path) = &config.takeover else {
        return Ok(None);
    };
    let failed = |reason| RelayError::TakeOver {
        path: path.display().to_string(),
        reason,
    };
    Inherited::ask(path).map_err(failed)
}

/// Tells an older relay that this one serves, and waits for a newer one.
pub(super) fn succeed(
    config: &Config,
    shared: &Shared,
    offered: Sockets,
    older: Option<Inherited>,
    steered: Steered,
) -> Result<mpsc::Receiver<Successor>, RelayError> {
    let Some(path) = &config.takeover else {
        return Ok(mpsc::channel(1).1);
    };
    let failed = |reason| RelayError::TakeOver {
        path: path.display().to_string(),
        reason,
    };
    let offer = Offer {
        path: path.clone(),
        sockets: offered,
        certificate: shared.certificate.der(),
    };
    let ready = older.map(|mut older| older.ready().map(|()| (older, steered)));
    let older = ready.transpose().map_err(failed)?;
    offer.open(older).map_err(failed)
}

/// What a newer relay says when it serves.
const READY: &[u8] = b"ready\n";

/// How long the other side may take: a start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
