//! Every socket option, and nothing else: UDP sockets of the shards, the TCP sockets of publishers
//! and players.

mod group;
pub mod handover;
#[cfg(target_os = "linux")]
mod steering;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

pub use group::{Group, Steered};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

fn udp_socket(addr: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(unix))]
    if shared {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "several shards need SO_REUSEPORT, which this system lacks: use --shards 1",
        ));
    }
    // The kernel clips these to its own maximum; what is left still works, with more drops.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Binds a UDP socket for a client, on a port that the system chooses.
pub fn udp_client(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    udp_socket(any, false)
}

/// Binds the listener for publishers.
pub fn tcp_listener(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the connections of the process before to time out.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

/// Prepares a publisher's connection: answers leave at once, and a peer that vanished without a
/// word is noticed.
pub fn tune_publisher(stream: &tokio::net::TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive)
}

/// Prepares a connection that plays: what a player has not taken waits in the ring, where it can
/// be skipped, and not in the system.
pub fn tune_player(stream: &tokio::net::TcpStream) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(PLAYER_UNSENT_BYTES)?;
    SockRef::from(stream).set_tcp_nodelay(true)
}

/// Round-trip time in microseconds and congestion window in bytes of a TCP connection, where the
/// system tells.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "socket2 has no TCP_INFO")]
pub fn tcp_path(stream: &tokio::net::TcpStream) -> Option<(u64, u64)> {
    use std::os::fd::AsRawFd;
    // SAFETY: the structure holds numbers only, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the pointers are to `info`, with its true length, and to that length; the kernel
    // writes no more than that. The descriptor is open: `stream` is borrowed.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    let cwnd_bytes = u64::from(info.tcpi_snd_cwnd) * u64::from(info.tcpi_snd_mss);
    (result == 0).then_some((info.tcpi_rtt.into(), cwnd_bytes))
}

/// Round-trip time in microseconds and congestion window in bytes of a TCP connection, where the
/// system tells.
#[cfg(not(target_os = "linux"))]
pub fn tcp_path(_: &tokio::net::TcpStream) -> Option<(u64, u64)> {
    None
}

/// Bytes of a player's connection that may wait in the system unsent: a key frame, and a tenth of
/// a second of 10 Mbit/s.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PLAYER_UNSENT_BYTES: u32 = 128 << 10;

/// Receive and send buffer of a shard's UDP socket: 30 ms of a gigabit, for the time that the
/// shard is busy elsewhere.
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// Connections waiting to be accepted; more are refused by the kernel.
const TCP_BACKLOG: i32 = 1024;

/// Silence after which a TCP peer is probed, and the pause between probes.
const KEEPALIVE: Duration = Duration::from_secs(10);

#[cfg(not(target_os = "linux"))]
mod steering {
    //! Elsewhere the system distributes by address alone: a viewer whose address changes is cut.

    /// Where packets should go.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Table {
        pub(super) places: Vec<(u8, u32)>,
        pub(super) fresh: (u8, u32),
    }

    pub(super) fn attach(_: &std::net::UdpSocket, _: &Table) -> std::io::Result<()> {
        Ok(())
    }
}
