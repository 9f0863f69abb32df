//! Every socket option, and nothing else: UDP sockets of the shards, the TCP sockets of publishers
//! and players.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Binds the UDP sockets of `shards` shards to one address.
///
/// With more than one shard the sockets form a SO_REUSEPORT group, and where the system can, a
/// filter hands each packet to the shard whose number its connection ID begins with.
pub fn udp_group(addr: SocketAddr, shards: usize) -> io::Result<Vec<UdpSocket>> {
    if shards > 1 {
        // A group takes in whoever asks, also another relay of the same user, and the two would
        // share the viewers between them; alone, the port is had only if nobody has it.
        drop(udp_socket(addr, false)?);
    }
    let first = udp_socket(addr, shards > 1)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(udp_socket(bound, true)?);
    }
    if shards > 1 {
        steering::attach(&sockets[0], shards)?;
    }
    Ok(sockets)
}

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

#[cfg(target_os = "linux")]
mod steering {
    //! A classic BPF program on a SO_REUSEPORT group: connection ID → shard.

    use std::io;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    /// Attaches the program to the group that `socket` belongs to.
    ///
    /// The program sees the UDP payload (RFC 9000, 17.2 and 17.3). Our connection IDs begin with
    /// the shard's number: at byte 1 of a short header, at byte 6 of a Handshake packet. Other
    /// long headers carry an ID that the client chose, and get a number that no shard has, for
    /// which the kernel falls back to hashing the addresses.
    #[expect(unsafe_code, reason = "socket2 has no SO_ATTACH_REUSEPORT_CBPF")]
    pub(super) fn attach(socket: &UdpSocket, shards: usize) -> io::Result<()> {
        let mut program = program(u32::try_from(shards).unwrap_or(u32::MAX));
        let filter = libc::sock_fprog {
            len: program.len() as libc::c_ushort,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: `filter` points to `program`, which outlives the call, with its true length;
        // the kernel copies and verifies it. The descriptor is open: `socket` is borrowed.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_REUSEPORT_CBPF,
                (&raw const filter).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn program(shards: u32) -> [libc::sock_filter; 10] {
        const LOAD: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
        const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
        const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
        const IF_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
        const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
        const RETURN_A: u32 = libc::BPF_RET | libc::BPF_A;
        const RETURN_K: u32 = libc::BPF_RET | libc::BPF_K;
        let op = |code: u32, jt, jf, k| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        [
            op(LOAD, 0, 0, 0),             // 0: first byte
            op(IF_SET, 2, 0, 0x80),        // 1: long header → 4
            op(LOAD, 0, 0, 1),             // 2: short header: the ID's first byte
            op(JUMP, 0, 0, 3),             // 3: → 7
            op(AND, 0, 0, 0x30),           // 4: packet type
            op(IF_EQUAL, 0, 3, 0x20),      // 5: not Handshake → 9
            op(LOAD, 0, 0, 6),             // 6: the ID's first byte
            op(IF_AT_LEAST, 1, 0, shards), // 7: no such shard → 9
            op(RETURN_A, 0, 0, 0),         // 8
            op(RETURN_K, 0, 0, u32::MAX),  // 9: hash
        ]
    }
}

#[cfg(not(target_os = "linux"))]
mod steering {
    //! Elsewhere the system distributes by address alone: a viewer whose address changes is cut.

    pub(super) fn attach(_: &std::net::UdpSocket, _: usize) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn packets_reach_the_shard_that_their_connection_id_names() {
        let shards = 3;
        let sockets = udp_group(([127, 0, 0, 1], 0).into(), shards).unwrap();
        let target = sockets[0].local_addr().unwrap();
        for socket in &sockets {
            socket.set_nonblocking(false).unwrap();
            let patience = Some(Duration::from_secs(5));
            socket.set_read_timeout(patience).unwrap();
        }
        let mut buffer = [0; 64];
        for attempt in 0..20 {
            // A new address each time: the hash alone would scatter these.
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            for (shard, socket) in sockets.iter().enumerate() {
                let short = [0x40, shard as u8, 1, 2, 3, 4, 5, 6, attempt];
                client.send_to(&short, target).unwrap();
                assert_eq!(socket.recv(&mut buffer).unwrap(), short.len());
                let handshake = [0xe0, 0, 0, 0, 1, 8, shard as u8, 1, 2, 3, attempt, 5];
                client.send_to(&handshake, target).unwrap();
                assert_eq!(socket.recv(&mut buffer).unwrap(), handshake.len());
            }
        }
    }
}
