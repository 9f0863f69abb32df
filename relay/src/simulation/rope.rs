//! Bytes that were written one behind the other, shared and not copied.

use bytes::Bytes;

#[derive(Default)]
pub(super) struct Rope {
    /// Each piece with the offset at which it begins.
    pieces: Vec<(u64, Bytes)>,
    len: u64,
}

impl Rope {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        let len = piece.len() as u64;
        if len > 0 {
            self.pieces.push((self.len, piece));
            self.len += len;
        }
    }

    /// The bytes from `from` to `to`.
    pub(super) fn slice(&self, from: u64, to: u64) -> Vec<Bytes> {
        let first = self
            .pieces
            .partition_point(|(at, piece)| at + piece.len() as u64 <= from);
        let pieces = self.pieces[first..].iter();
        let within = pieces.take_while(|(at, _)| *at < to);
        within
            .map(|(at, piece)| {
                let begin = from.saturating_sub(*at) as usize;
                let end = (to - at).min(piece.len() as u64) as usize;
                piece.slice(begin..end)
            })
            .collect()
    }
}
