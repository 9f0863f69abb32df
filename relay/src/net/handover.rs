//! Sockets on their way from one process to the next, over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends sockets, and what is to be said of them.
pub fn send(stream: &UnixStream, text: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::other(format!(
            "{} sockets are too many: {SOCKETS_MAX} can be handed over",
            sockets.len()
        )));
    }
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    // The sockets go with the first bytes.
    let length = length.to_be_bytes();
    sendmsg(
        stream.as_fd(),
        &[IoSlice::new(&length)],
        &mut control,
        SendFlags::empty(),
    )?;
    let mut stream = stream;
    stream.write_all(text)
}

/// Receives them.
pub fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 4];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received = recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut length)],
        &mut control,
        flags,
    );
    if received?.bytes < length.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights);
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > TEXT_MAX {
        return Err(io::Error::other("it says more than there is to say"));
    }
    let mut text = vec![0; length];
    let mut stream = stream;
    stream.read_exact(&mut text)?;
    Ok((text, sockets))
}

/// Whether the peer runs as the same user.
pub fn is_own_user(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Sockets that one message carries: the listeners, and as many shards as there may be.
const SOCKETS_MAX: usize = 72;

/// Bytes that are said of them: some numbers, and a certificate with its key.
const TEXT_MAX: usize = 64 << 10;
