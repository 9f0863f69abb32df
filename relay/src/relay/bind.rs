//! The relay's sockets: bound anew, or an older relay's.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::takeover::{Inherited, Sockets};
use super::{Addrs, RelayError};
use crate::config::{Config, Listener};
use crate::endpoint::Certificate;
use crate::net::{self, Group};

/// Everything that has to be had before anybody can be served.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) rtmp: TcpListener,
    pub(super) rtmps: Option<TcpListener>,
    pub(super) http: TcpListener,
    pub(super) group: Group,
    pub(super) addrs: Addrs,
    pub(super) certificate: Certificate,
    /// Who waits for the news that this relay serves.
    pub(super) older: Option<Inherited>,
}

impl Bound {
    /// Binds the configured addresses, or uses the sockets of an older relay, whatever their
    /// addresses are.
    pub(super) fn new(config: &Config, mut older: Option<Inherited>) -> Result<Self, RelayError> {
        let inherited = older.as_mut().and_then(|older| older.certificate.take());
        let certificate = match (&config.tls, inherited) {
            (Some((chain, key)), _) => Certificate::from_files(chain, key)?,
            (None, Some(inherited)) => inherited,
            (None, None) => Certificate::self_made()?,
        };
        let joinable = config.takeover.is_some();
        let secure = |older: Option<TcpListener>| match (older, config.rtmps) {
            (Some(older), _) => Ok(Some(older)),
            (None, Some(addr)) => bind("rtmps", Listener::At(addr), net::tcp_listener).map(Some),
            (None, None) => Ok(None),
        };
        let (rtmp, rtmps, http, group) = match &mut older {
            Some(older) => {
                let sockets = &mut older.sockets;
                let quic = std::mem::take(&mut sockets.quic);
                let group = Group::join(quic, config.shards)?;
                let rtmps = secure(sockets.rtmps.take())?;
                (
                    sockets.rtmp.try_clone()?,
                    rtmps,
                    sockets.http.try_clone()?,
                    group,
                )
            }
            None => {
                let group = |addr| Group::bind(addr, config.shards, joinable);
                (
                    bind("rtmp", config.rtmp, net::tcp_listener)?,
                    secure(None)?,
                    bind("http", config.http, net::tcp_listener)?,
                    bind("quic", config.quic, group)?,
                )
            }
        };
        let addrs = Addrs {
            rtmp: rtmp.local_addr()?,
            rtmps: rtmps.as_ref().map(TcpListener::local_addr).transpose()?,
            quic: group.local_addr()?,
            http: http.local_addr()?,
        };
        Ok(Self {
            rtmp,
            rtmps,
            http,
            group,
            addrs,
            certificate,
            older,
        })
    }

    /// The same sockets once more, for a newer relay.
    pub(super) fn offer(&self) -> io::Result<Sockets> {
        let Group {
            sockets, first_id, ..
        } = &self.group;
        let numbered = (*first_id..=u8::MAX).zip(sockets);
        let quic = numbered.map(|(id, socket)| Ok((id, socket.try_clone()?)));
        let rtmps = self.rtmps.as_ref().map(TcpListener::try_clone);
        Ok(Sockets {
            rtmp: self.rtmp.try_clone()?,
            rtmps: rtmps.transpose()?,
            http: self.http.try_clone()?,
            quic: quic.collect::<io::Result<_>>()?,
        })
    }
}

fn bind<T: Local>(
    what: &'static str,
    listener: Listener,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, RelayError> {
    let addr = match listener {
        Listener::At(addr) => addr,
        Listener::Anywhere(port) => SocketAddr::from(([0u16; 8], port)),
    };
    let bound = match bind(addr) {
        Err(_) if matches!(listener, Listener::Anywhere(_)) && !has_ipv6() => {
            bind(SocketAddr::from(([0, 0, 0, 0], addr.port())))
        }
        bound => bound,
    };
    let failed = |reason: io::Error| RelayError::Bind {
        what,
        addr,
        remedy: remedy(what, &reason),
        reason,
    };
    bound.map_err(failed)
}

fn has_ipv6() -> bool {
    net::tcp_listener(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))).is_ok()
}

fn remedy(what: &str, reason: &io::Error) -> String {
    let otherwise = format!("choose another address with --{what} ADDR");
    if reason.kind() == io::ErrorKind::AddrInUse {
        format!("stop the program that uses the port, or {otherwise}")
    } else if reason.kind() == io::ErrorKind::PermissionDenied {
        format!("ports below 1024 need privileges; {otherwise}")
    } else {
        otherwise
    }
}

/// A socket that knows where it is.
trait Local {
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

impl Local for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

impl Local for Group {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        let first = self.sockets.first().ok_or(io::ErrorKind::InvalidInput)?;
        first.local_addr()
    }
}
