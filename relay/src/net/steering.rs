//! A classic BPF program on a SO_REUSEPORT group: connection ID → socket.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Where the packets of a group go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// First byte of connection IDs → place of the socket in the group.
    pub(super) places: Vec<(u8, u32)>,
    /// First byte of the IDs of those that take new connections, and their number, of which the
    /// byte is a multiple.
    pub(super) fresh: (u8, u32),
}

/// Attaches the program to the group that `socket` belongs to, in place of the one before.
///
/// The program sees the UDP payload (RFC 9000, 17.2 and 17.3). Our connection IDs begin with a
/// byte that names the socket: at byte 1 of a short header, at byte 6 of a Handshake packet. Other
/// long headers carry an ID that the client chose, or ours that followed from it: its remainder
/// chooses among those that take new connections, and stays the same when ours takes its place.
#[expect(unsafe_code, reason = "socket2 has no SO_ATTACH_REUSEPORT_CBPF")]
pub(super) fn attach(socket: &UdpSocket, table: &Table) -> io::Result<()> {
    let mut program = program(table);
    let filter = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` points to `program`, which outlives the call, with its true length; the
    // kernel copies and verifies it. The descriptor is open: `socket` is borrowed.
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

fn program(table: &Table) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const REMAINDER: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
    const ADD: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K;
    const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
    const IF_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN_K: u32 = libc::BPF_RET | libc::BPF_K;
    let op = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let (first, number) = table.fresh;
    let mut program = vec![
        op(LOAD, 0, 0, 0),                  // 0: first byte
        op(IF_SET, 2, 0, 0x80),             // 1: long header → 4
        op(LOAD, 0, 0, 1),                  // 2: short header: the ID's first byte
        op(JUMP, 0, 0, 7),                  // 3: → 11
        op(AND, 0, 0, 0x30),                // 4: packet type
        op(IF_EQUAL, 4, 0, 0x20),           // 5: Handshake → 10
        op(LOAD, 0, 0, 6),                  // 6: the first byte of whichever ID
        op(REMAINDER, 0, 0, number.max(1)), // 7: one of those that take new connections
        op(ADD, 0, 0, first.into()),        // 8
        op(JUMP, 0, 0, 1),                  // 9: → 11
        op(LOAD, 0, 0, 6),                  // 10: the ID's first byte
    ];
    // 11: the table
    for (id, place) in &table.places {
        program.push(op(IF_EQUAL, 0, 1, (*id).into()));
        program.push(op(RETURN_K, 0, 0, *place));
    }
    // No such socket: the kernel falls back to hashing the addresses.
    program.push(op(RETURN_K, 0, 0, u32::MAX));
    program
}
