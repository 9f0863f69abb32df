//! The handshake: three packets each way before the first chunk.
//!
//! RTMP 1.0 section 5.2, and the digest form that Flash Player 9 introduced and the specification
//! leaves out: the peers sign their packets with keys that everyone knows. ffmpeg opens with it.
//! A peer is answered in its own form.

pub mod digest;

use bytes::{BufMut, Bytes, BytesMut};
use digest::{Layout, Side};

/// Bytes of C1, S1, C2 and S2.
pub const PACKET_LEN: usize = 1536;

/// Random bytes in C1 and S1: all of the packet but its time and its version.
pub const RANDOM_LEN: usize = PACKET_LEN - 8;

/// The version of plain RTMP, in C0 and S0.
const VERSION: u8 = 3;

/// What our digest packets give as the version of the program, where plain packets have zeros.
/// Peers look whether the first byte is 3 or more.
const PROGRAM_VERSION: [u8; 4] = [4, 5, 0, 1];

type Packet = [u8; PACKET_LEN];

/// Whether the packets are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the specification has it.
    Plain,
    /// Signed.
    Digest,
}

/// The peer does not speak plain RTMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// RTMPE and its relatives, versions 6, 8 and 9.
    #[error("the peer asks for encrypted RTMP (version {0}), which is not supported")]
    Encrypted(u8),
    /// The first bytes are those of an HTTP request.
    #[error("the peer speaks HTTP on the RTMP port")]
    Http,
    /// The first byte is that of a TLS hello.
    #[error("the peer speaks TLS (rtmps) on the plain RTMP port")]
    Tls,
    /// Any other first byte.
    #[error("RTMP version {0} is not supported")]
    Version(u8),
}

fn check_version(version: u8) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        6 | 8 | 9 => Err(Error::Encrypted(version)),
        0x16 => Err(Error::Tls),
        b'A'..=b'Z' => Err(Error::Http),
        other => Err(Error::Version(other)),
    }
}

/// Collects a version byte, unless it has come, and packets.
#[derive(Debug)]
struct Inbox {
    version_checked: bool,
    packet: BytesMut,
}

impl Inbox {
    fn new() -> Self {
        Self {
            version_checked: false,
            packet: BytesMut::new(),
        }
    }

    /// Moves bytes of `input` here; the next packet when it is complete.
    fn next_packet(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, Error> {
        if !self.version_checked {
            let Some((version, rest)) = input.split_first() else {
                return Ok(None);
            };
            check_version(*version)?;
            self.version_checked = true;
            *input = rest;
        }
        let (now, later) = input.split_at(input.len().min(PACKET_LEN - self.packet.len()));
        self.packet.extend_from_slice(now);
        *input = later;
        let packet = self.packet.as_ref().try_into().ok();
        if packet.is_some() {
            self.packet.clear();
        }
        Ok(packet)
    }
}

/// Our first packet: time zero, a version unless plain, random bytes, and the signature.
fn first_packet(random: &[u8; RANDOM_LEN], signed: Option<(Side, Layout)>) -> Packet {
    let mut packet = [0; PACKET_LEN];
    if signed.is_some() {
        packet[4..8].copy_from_slice(&PROGRAM_VERSION);
    }
    packet[8..].copy_from_slice(random);
    if let Some((side, layout)) = signed {
        digest::sign(&mut packet, side, layout);
    }
    packet
}

/// The side that was connected to.
#[derive(Debug)]
pub struct Server {
    random: Box<[u8; RANDOM_LEN]>,
    inbox: Inbox,
    output: BytesMut,
    form: Option<Form>,
    done: bool,
}

impl Server {
    /// A server that has received nothing. `random` need not be secret.
    pub fn new(random: [u8; RANDOM_LEN]) -> Self {
        Self {
            random: Box::new(random),
            inbox: Inbox::new(),
            output: BytesMut::new(),
            form: None,
            done: false,
        }
    }

    /// Takes the handshake's part of `input` and moves it behind that.
    ///
    /// # Errors
    ///
    /// When the first byte says that the peer speaks something else.
    pub fn handle_input(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        while !self.done {
            let Some(packet) = self.inbox.next_packet(input)? else {
                break;
            };
            if self.form.is_none() {
                self.answer(&packet);
            } else {
                // C2 says nothing that matters, and peers send all sorts of bytes.
                self.done = true;
            }
        }
        Ok(())
    }

    /// The bytes to send next.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// The form that the peer chose, as soon as it has.
    pub fn form(&self) -> Option<Form> {
        self.form
    }

    /// Whether chunks come next.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn answer(&mut self, c1: &Packet) {
        let signed = digest::find(c1, Side::Client);
        let layout = signed.map(|(layout, _)| (Side::Server, layout));
        self.output.reserve(1 + 2 * PACKET_LEN);
        self.output.put_u8(VERSION);
        self.output.put_slice(&first_packet(&self.random, layout));
        // S2 is C1 in the plain form; in the digest form only its signature matters.
        let mut s2 = *c1;
        if let Some((_, digest)) = signed {
            digest::sign_answer(&mut s2, Side::Server, &digest);
        }
        self.output.put_slice(&s2);
        self.form = Some(if signed.is_some() {
            Form::Digest
        } else {
            Form::Plain
        });
    }
}

/// The side that connected.
#[derive(Debug)]
pub struct Client {
    inbox: Inbox,
    output: BytesMut,
    form: Form,
    answered: bool,
    done: bool,
}

impl Client {
    /// A client that opens in this form; its first packets are ready to be sent.
    pub fn new(random: [u8; RANDOM_LEN], form: Form) -> Self {
        let signed = (form == Form::Digest).then_some((Side::Client, Layout::DigestFirst));
        let mut output = BytesMut::with_capacity(1 + PACKET_LEN);
        output.put_u8(VERSION);
        output.put_slice(&first_packet(&random, signed));
        Self {
            inbox: Inbox::new(),
            output,
            form,
            answered: false,
            done: false,
        }
    }

    /// Takes the handshake's part of `input` and moves it behind that.
    ///
    /// # Errors
    ///
    /// When the first byte says that the peer speaks something else.
    pub fn handle_input(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        while !self.done {
            let Some(packet) = self.inbox.next_packet(input)? else {
                break;
            };
            if self.answered {
                self.done = true;
            } else {
                self.answer(&packet);
            }
        }
        Ok(())
    }

    /// The bytes to send next.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// Whether chunks come next.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// C2 is S1, signed when both sides sign.
    fn answer(&mut self, s1: &Packet) {
        let mut c2 = *s1;
        if self.form == Form::Digest
            && let Some((_, digest)) = digest::find(s1, Side::Server)
        {
            digest::sign_answer(&mut c2, Side::Client, &digest);
        }
        self.output.put_slice(&c2);
        self.answered = true;
    }
}

#[cfg(test)]
mod tests;
