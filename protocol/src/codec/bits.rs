//! Bits of a codec's headers, most significant first, with the variable-length codes they use.

use super::Error;

/// Reads bits of `data`; `part` names what is read in the error of a short read.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// Index of the next bit.
    at: usize,
    part: &'static str,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], part: &'static str) -> Self {
        Self { data, at: 0, part }
    }

    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        let byte = self.data.get(self.at / 8);
        let byte = byte.ok_or(Error::Truncated(self.part))?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// Reads `count` bits, at most 32.
    pub(super) fn u(&mut self, count: u32) -> Result<u32, Error> {
        debug_assert!(count <= 32, "{count} bits do not fit the result");
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// Reads `count` bits, at most 8.
    pub(super) fn byte(&mut self, count: u32) -> Result<u8, Error> {
        debug_assert!(count <= 8, "{count} bits do not fit the result");
        Ok(self.u(count)?.to_be_bytes()[3])
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), Error> {
        let end = self.at.saturating_add(count);
        if end > self.data.len() * 8 {
            return Err(Error::Truncated(self.part));
        }
        self.at = end;
        Ok(())
    }

    pub(super) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// How many bits are left.
    pub(super) fn left(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.at)
    }

    /// Unsigned Exp-Golomb code (ITU-T H.264, 9.1), of at most 32 bits of value.
    pub(super) fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Invalid("Exp-Golomb code"));
            }
        }
        Ok((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// Signed Exp-Golomb code (ITU-T H.264, 9.1.1).
    pub(super) fn se(&mut self) -> Result<i32, Error> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        let value = if code % 2 == 1 { magnitude } else { -magnitude };
        i32::try_from(value).map_err(|_| Error::Invalid("Exp-Golomb code"))
    }

    /// AV1's `uvlc()` (AV1 bitstream specification, 4.10.3).
    pub(super) fn uvlc(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros >= 32 {
                return Ok(u32::MAX);
            }
        }
        Ok((1 << zeros) - 1 + self.u(zeros)?)
    }
}

/// The payload of a NAL unit without its emulation prevention bytes (ITU-T H.264, 7.4.1).
pub(super) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

/// Splits `count` bytes off the front of `data`.
pub(super) fn take<'a>(
    data: &mut &'a [u8],
    count: usize,
    part: &'static str,
) -> Result<&'a [u8], Error> {
    let (front, rest) = data.split_at_checked(count).ok_or(Error::Truncated(part))?;
    *data = rest;
    Ok(front)
}

/// Splits `N` bytes off the front of `data`.
pub(super) fn array<const N: usize>(
    data: &mut &[u8],
    part: &'static str,
) -> Result<[u8; N], Error> {
    let (front, rest) = data
        .split_first_chunk::<N>()
        .ok_or(Error::Truncated(part))?;
    *data = rest;
    Ok(*front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_of_the_specification() {
        // 1, 010, 011, 00100, 00111, padded with ones.
        let data = [0b1010_0110, 0b0100_0011, 0b1111_1111];
        let mut bits = Bits::new(&data, "test");
        let codes: Vec<_> = (0..5).map(|_| bits.ue().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 6]);
        let mut bits = Bits::new(&data, "test");
        let codes: Vec<_> = (0..5).map(|_| bits.se().unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -3]);
    }

    #[test]
    fn largest_codes_do_not_overflow() {
        let mut data = vec![0, 0, 0, 1];
        data.extend_from_slice(&[0xff; 8]);
        assert_eq!(Bits::new(&data, "test").ue(), Ok(u32::MAX - 1));
        assert_eq!(Bits::new(&data, "test").uvlc(), Ok(u32::MAX - 1));
        let zeros = [0; 8];
        assert_eq!(Bits::new(&zeros, "test").uvlc(), Ok(u32::MAX));
        assert!(Bits::new(&zeros, "test").ue().is_err());
    }

    #[test]
    fn short_reads_name_the_part() {
        let mut bits = Bits::new(&[0xff], "test");
        assert_eq!(bits.u(7), Ok(127));
        assert_eq!(bits.u(2), Err(Error::Truncated("test")));
        assert_eq!(bits.skip(usize::MAX), Err(Error::Truncated("test")));
    }

    #[test]
    fn emulation_prevention_is_removed_once() {
        assert_eq!(unescape(&[0, 0, 3, 0, 0, 3, 3]), [0, 0, 0, 0, 3]);
        assert_eq!(unescape(&[0, 0, 3]), [0, 0]);
        assert_eq!(unescape(&[0, 3, 0, 0, 1]), [0, 3, 0, 0, 1]);
    }
}
