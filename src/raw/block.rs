//! The building blocks that the three formats share: fixed-width integers, varints, strings.

use byteorder::{BigEndian, ByteOrder};

use crate::error::DecodeErrorKind;

/// The varint that begins at `at`, and where it ends.
///
/// Takes and gives positions by value, so that an iterator that calls it stays in registers.
#[inline]
pub(crate) fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), DecodeErrorKind> {
    match bytes.get(at) {
        Some(&byte) if byte < 0x80 => Ok((u64::from(byte), at + 1)),
        Some(_) => long_varint(bytes, at),
        None => Err(DecodeErrorKind::Cut),
    }
}

fn long_varint(bytes: &[u8], mut at: usize) -> Result<(u64, usize), DecodeErrorKind> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let &byte = bytes.get(at).ok_or(DecodeErrorKind::Cut)?;
        at += 1;
        let group = u64::from(byte & 0x7f);
        // The tenth byte has room for a single bit.
        if group > u64::MAX >> shift {
            return Err(DecodeErrorKind::Varint);
        }
        value |= group << shift;
        if byte < 0x80 {
            return Ok((value, at));
        }
    }
    Err(DecodeErrorKind::Varint)
}

/// The number of which these are the bytes, four at most and the first as the lowest.
#[expect(
    clippy::inline_always,
    reason = "a call for each event costs as much as decoding it"
)]
#[inline(always)]
pub(crate) const fn digits(bytes: u64) -> u64 {
    let pairs = (bytes & 0x007f_007f) | (bytes >> 1 & 0x3f80_3f80);
    (pairs & 0x3fff) | (pairs >> 2 & 0x0fff_c000)
}

/// The bits of the largest number that has four bytes.
pub(crate) const SHORT: u32 = 28;

/// The bytes of a number of [`SHORT`] bits at most, the first as the lowest, and how many bytes they are.
#[inline]
pub(crate) const fn short_varint(value: u32) -> (u64, u32) {
    let value = value as u64;
    let pairs = (value & 0x3fff) | (value & 0x0fff_c000) << 2;
    let bytes = (pairs & 0x007f_007f) | (pairs & 0x3f80_3f80) << 1;
    let len = (bytes | 1).ilog2() / u8::BITS + 1;
    // All but the last go on.
    (bytes | 0x80_8080 & ((1 << (u8::BITS * (len - 1))) - 1), len)
}

/// Reads blocks one after the other from a slice, for what is not read millions of times.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How many bytes of the slice were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, DecodeErrorKind> {
        self.take(4).map(BigEndian::read_u32)
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, DecodeErrorKind> {
        self.take(8).map(BigEndian::read_u64)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeErrorKind> {
        let (value, at) = varint(self.bytes, self.at)?;
        self.at = at;
        Ok(value)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeErrorKind> {
        let taken = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.get(..len))
            .ok_or(DecodeErrorKind::Cut)?;
        self.at += len;
        Ok(taken)
    }
}

/// Appends four bytes.
pub(crate) fn push_fixed32(out: &mut Vec<u8>, value: u32) {
    let mut block = [0; 4];
    BigEndian::write_u32(&mut block, value);
    out.extend_from_slice(&block);
}

/// Appends eight bytes.
pub(crate) fn push_fixed64(out: &mut Vec<u8>, value: u64) {
    let mut block = [0; 8];
    BigEndian::write_u64(&mut block, value);
    out.extend_from_slice(&block);
}

/// Appends a varint.
#[inline]
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use byteorder::LittleEndian;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<(u64, usize), DecodeErrorKind> {
        varint(bytes, 0)
    }

    #[test]
    fn varints_of_every_length_come_back() {
        for shift in 0..64 {
            for value in [1 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                push_varint(&mut bytes, value);
                assert_eq!(decoded(&bytes), Ok((value, bytes.len())));
                if bytes.len() <= 4 {
                    assert_eq!(digits(LittleEndian::read_uint(&bytes, bytes.len())), value);
                }
                for cut in 0..bytes.len() {
                    assert_eq!(decoded(&bytes[..cut]), Err(DecodeErrorKind::Cut));
                }
            }
        }
    }

    #[test]
    fn a_longer_form_than_needed_is_read_and_64_bits_are_the_limit() {
        assert_eq!(decoded(&[0x81, 0x80, 0x00]), Ok((1, 3)));
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(decoded(&largest), Ok((u64::MAX, 10)));
        largest[9] = 2;
        assert_eq!(decoded(&largest), Err(DecodeErrorKind::Varint));
        // Ten bytes that all say "go on" are too long, whether or not an eleventh is there.
        assert_eq!(decoded(&[0x80; 10]), Err(DecodeErrorKind::Varint));
        assert_eq!(decoded(&[0x80; 11]), Err(DecodeErrorKind::Varint));
        assert_eq!(decoded(&[0x80; 9]), Err(DecodeErrorKind::Cut));
    }
}
