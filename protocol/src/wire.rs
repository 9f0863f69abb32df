//! Bounded reads over byte slices, and MoQT's variable-length integers.
//!
//! A [`Reader`] never reads past its slice and never allocates: what is not there yet is
//! [`Incomplete`], which a stream reader turns into "come back with more" and a message parser
//! into a malformed message.

use bytes::BufMut;

/// The longest encoding of a `vi64`, in bytes.
pub const VI64_LEN_MAX: usize = 9;

/// The input ends inside a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the input ends inside a field")]
pub struct Incomplete;

/// A cursor over a byte slice. A failed read leaves it where it was.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            len: input.len(),
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Bytes left to read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8, Incomplete> {
        let (&first, rest) = self.rest.split_first().ok_or(Incomplete)?;
        self.rest = rest;
        Ok(first)
    }

    /// Reads a 16-bit integer in network byte order.
    pub fn u16(&mut self) -> Result<u16, Incomplete> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Incomplete)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// Reads `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Incomplete> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Incomplete)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a length as `vi64`, then as many bytes.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Incomplete> {
        let before = self.rest;
        let bytes = self.vi64().and_then(|len| {
            // A length that does not fit in memory is longer than any input.
            self.bytes(usize::try_from(len).map_err(|_| Incomplete)?)
        });
        if bytes.is_err() {
            self.rest = before;
        }
        bytes
    }

    /// Reads a MoQT variable-length integer (draft 18, "Variable-Length Integers"): the leading
    /// one bits of the first byte count the bytes that follow it. Longer encodings than needed are
    /// legal.
    pub fn vi64(&mut self) -> Result<u64, Incomplete> {
        let &first = self.rest.first().ok_or(Incomplete)?;
        let len = vi64_len_of(first);
        let bytes = self.bytes(len)?;
        let mask = 0xff_u8.checked_shr(len as u32).unwrap_or(0);
        let tail = bytes.get(1..).unwrap_or_default();
        Ok(big_endian(u64::from(first & mask), tail))
    }

    /// Reads a QUIC variable-length integer (RFC 9000, section 16): the two top bits of the first
    /// byte are the logarithm of the length.
    pub fn varint(&mut self) -> Result<u64, Incomplete> {
        let &first = self.rest.first().ok_or(Incomplete)?;
        let bytes = self.bytes(1 << (first >> 6))?;
        let tail = bytes.get(1..).unwrap_or_default();
        Ok(big_endian(u64::from(first & 0x3f), tail))
    }
}

fn big_endian(high: u64, tail: &[u8]) -> u64 {
    tail.iter()
        .fold(high, |value, &byte| value << 8 | u64::from(byte))
}

/// Length in bytes of the `vi64` whose first byte is `first`.
pub fn vi64_len_of(first: u8) -> usize {
    first.leading_ones() as usize + 1
}

/// Length in bytes of the shortest `vi64` encoding of `value`.
pub fn vi64_len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()) as usize;
    bits.div_ceil(7).clamp(1, VI64_LEN_MAX)
}

/// Writes `value` as the shortest `vi64`.
pub fn put_vi64(out: &mut impl BufMut, value: u64) {
    // Nearly all types and lengths.
    if value < 0x80 {
        out.put_u8(value as u8);
        return;
    }
    let len = vi64_len(value);
    if len == VI64_LEN_MAX {
        out.put_u8(0xff);
        out.put_u64(value);
        return;
    }
    let prefix = !(0xff_u8 >> (len - 1));
    let mut bytes = value.to_be_bytes();
    if let Some(tail) = bytes.get_mut(8 - len..) {
        if let Some(first) = tail.first_mut() {
            *first |= prefix;
        }
        out.put_slice(tail);
    }
}

/// Writes a length as `vi64`, then the bytes.
pub fn put_prefixed(out: &mut impl BufMut, bytes: &[u8]) {
    put_vi64(out, bytes.len() as u64);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests;
