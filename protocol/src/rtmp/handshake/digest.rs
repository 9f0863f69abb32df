//! Signatures of the digest handshake: HMAC-SHA256 with keys that every implementation contains.
//!
//! A first packet carries the HMAC of its other bytes at a place that four of its own bytes name.
//! An answer ends with the HMAC of its other bytes, keyed with the HMAC of the digest it answers.

use super::PACKET_LEN;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a signature.
pub const DIGEST_LEN: usize = 32;

/// What both keys end with in answers; first packets are signed with the text in front of it.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
    0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Whose signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Of the side that connected.
    Client,
    /// Of the side that was connected to.
    Server,
}

impl Side {
    fn key_text(self) -> &'static [u8] {
        match self {
            Self::Client => b"Genuine Adobe Flash Player 001",
            Self::Server => b"Genuine Adobe Flash Media Server 001",
        }
    }
}

/// Where in a first packet the signature lies: behind an offset in one half or in the other. The
/// other half holds the Diffie-Hellman key of encrypted RTMP, which is of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The offset is at byte 8: "scheme 1" of most programs, and what ffmpeg sends.
    DigestFirst,
    /// The offset is at byte 772, "scheme 0".
    KeyFirst,
}

impl Layout {
    fn digest_at(self, packet: &[u8; PACKET_LEN]) -> usize {
        let offset_at = match self {
            Self::DigestFirst => 8,
            Self::KeyFirst => 772,
        };
        let sum: usize = packet[offset_at..offset_at + 4]
            .iter()
            .map(|byte| usize::from(*byte))
            .sum();
        // The half has 764 bytes: the offset's own four, and 728 places for 32 bytes.
        offset_at + 4 + sum % 728
    }
}

/// Finds the signature of a first packet, if it has a true one.
pub fn find(packet: &[u8; PACKET_LEN], side: Side) -> Option<(Layout, [u8; DIGEST_LEN])> {
    [Layout::DigestFirst, Layout::KeyFirst]
        .into_iter()
        .find_map(|layout| {
            let at = layout.digest_at(packet);
            let digest = compute(packet, at, side);
            (packet[at..at + DIGEST_LEN] == digest).then_some((layout, digest))
        })
}

/// Signs a first packet.
pub fn sign(packet: &mut [u8; PACKET_LEN], side: Side, layout: Layout) {
    let at = layout.digest_at(packet);
    let digest = compute(packet, at, side);
    packet[at..at + DIGEST_LEN].copy_from_slice(&digest);
}

/// Signs an answer to the first packet that had `digest`.
pub fn sign_answer(packet: &mut [u8; PACKET_LEN], side: Side, digest: &[u8; DIGEST_LEN]) {
    let key = hmac(&[side.key_text(), &KEY_TAIL].concat(), &[digest]);
    let (signed, signature) = packet.split_at_mut(PACKET_LEN - DIGEST_LEN);
    signature.copy_from_slice(&hmac(&key, &[signed]));
}

/// Whether `packet` is an answer by `side` to the first packet that had `digest`.
pub fn is_answer(packet: &[u8; PACKET_LEN], side: Side, digest: &[u8; DIGEST_LEN]) -> bool {
    let mut signed = *packet;
    sign_answer(&mut signed, side, digest);
    signed == *packet
}

fn compute(packet: &[u8; PACKET_LEN], at: usize, side: Side) -> [u8; DIGEST_LEN] {
    hmac(
        side.key_text(),
        &[&packet[..at], &packet[at + DIGEST_LEN..]],
    )
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_LEN] {
    // HMAC takes a key of any length; the type says otherwise for other constructions.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; DIGEST_LEN];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
