//! What carries an endpoint's datagrams, in batches, in and out: a UDP socket.

use std::io::{self, IoSliceMut};
use std::net::{self, SocketAddr};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What carries datagrams. Tests have one that fails as a network does.
pub(super) trait Wire: Send + Sync {
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Whether the path's MTU can be probed: routers do not cut our datagrams.
    fn may_probe_mtu(&self) -> bool;

    /// Datagrams that one call may send.
    fn segments(&self) -> usize;

    /// Datagrams that one message may hold when it is received.
    fn segments_received(&self) -> usize;

    /// Sends the datagrams that `contents` holds. What is refused other than by `WouldBlock` is
    /// lost as it would be on the way.
    fn try_send(&self, transmit: &Transmit, contents: &[u8]) -> io::Result<()>;

    /// Waits until more may be sent.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Receives a batch; the number is that of the messages in `inbox`.
    fn poll_recv(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<io::Result<usize>>;
}

/// A socket that a runtime watches.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    /// Takes over a socket. Must be called on a runtime.
    pub(super) fn new(socket: net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            io: UdpSocket::from_std(socket)?,
        })
    }
}

impl Wire for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_probe_mtu(&self) -> bool {
        !self.state.may_fragment()
    }

    /// Falls to 1 when the system turns out to lack GSO.
    fn segments(&self) -> usize {
        self.state.max_gso_segments().min(SEGMENTS_MAX)
    }

    fn segments_received(&self) -> usize {
        self.state.gro_segments()
    }

    fn try_send(&self, transmit: &Transmit, contents: &[u8]) -> io::Result<()> {
        let datagrams = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.map(|ecn| match ecn {
                EcnCodepoint::Ect0 => quinn_udp::EcnCodepoint::Ect0,
                EcnCodepoint::Ect1 => quinn_udp::EcnCodepoint::Ect1,
                EcnCodepoint::Ce => quinn_udp::EcnCodepoint::Ce,
            }),
            contents: &contents[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.io.try_io(Interest::WRITABLE, || {
            self.state.send((&self.io).into(), &datagrams)
        })
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_send_ready(cx)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let mut messages = 0;
            let result = self.io.try_io(Interest::READABLE, || {
                messages = inbox
                    .recv(|buffers, metas| self.state.recv((&self.io).into(), buffers, metas))?;
                // Linux fills a batch as long as there is something: to say that the socket is
                // empty spares the call that would find it so.
                match cfg!(target_os = "linux") && messages < BATCH_SIZE {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => Ok(()),
                }
            });
            match result {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ if messages > 0 => return Poll::Ready(Ok(messages)),
                _ => {}
            }
        }
    }
}

/// Room for a batch of messages, each of which may be several datagrams of one sender (GRO).
pub(super) struct Inbox {
    buffers: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Inbox {
    /// Room for datagrams of up to `payload` bytes. The system backs it with memory as it is used.
    pub(super) fn new(wire: &dyn Wire, payload: usize) -> Self {
        let bytes = payload * wire.segments_received() * BATCH_SIZE;
        Self {
            buffers: vec![0; bytes].into(),
            metas: [RecvMeta::default(); BATCH_SIZE],
        }
    }

    fn stride(&self) -> usize {
        self.buffers.len() / BATCH_SIZE
    }

    /// Has `recv` fill it, which returns the number of messages.
    pub(super) fn recv(
        &mut self,
        recv: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let stride = self.stride();
        let mut chunks = self.buffers.chunks_mut(stride);
        let mut slices: [_; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        recv(&mut slices, &mut self.metas)
    }

    /// A message of the batch, and where it came from.
    pub(super) fn message(&self, index: usize) -> (BytesMut, &RecvMeta) {
        let meta = &self.metas[index];
        let start = index * self.stride();
        (self.buffers[start..start + meta.len].into(), meta)
    }
}

/// The codepoint that a message was marked with on its way.
pub(super) fn ecn(meta: &RecvMeta) -> Option<EcnCodepoint> {
    EcnCodepoint::from_bits(meta.ecn? as u8)
}

/// Datagrams in one call to the system: a key frame of 60 kB, and as much as the kernel lets pass
/// in one piece (64 KiB).
const SEGMENTS_MAX: usize = 44;
