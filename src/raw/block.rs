//! The fields that the three formats share: fixed-width integers, varints and lists of sampling rates.

use byteorder::{BigEndian, ByteOrder};

use crate::error::DecodeErrorKind as Kind;
use crate::raw::rates::SamplingRates;

/// Decodes the varint at `at`, and returns it with the position of its end.
///
/// PERF: positions are passed by value, so an iterator that calls this keeps its state in registers.
#[inline]
pub(crate) fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), Kind> {
    match bytes.get(at) {
        Some(&byte) if byte < 0x80 => Ok((u64::from(byte), at + 1)),
        Some(_) => long_varint(bytes, at),
        None => Err(Kind::Cut),
    }
}

fn long_varint(bytes: &[u8], mut at: usize) -> Result<(u64, usize), Kind> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let &byte = bytes.get(at).ok_or(Kind::Cut)?;
        at += 1;
        let group = u64::from(byte & 0x7f);
        // The tenth byte has room for a single bit.
        if group > u64::MAX >> shift {
            return Err(Kind::Varint);
        }
        value |= group << shift;
        if byte < 0x80 {
            return Ok((value, at));
        }
    }
    Err(Kind::Varint)
}

/// The value of a varint of at most four bytes. Its first byte is the lowest of `bytes`.
///
/// PERF: always inlined: a call for each event costs as much as decoding the event.
#[expect(clippy::inline_always, reason = "see PERF above")]
#[inline(always)]
pub(crate) const fn digits(bytes: u64) -> u64 {
    let pairs = (bytes & 0x007f_007f) | (bytes >> 1 & 0x3f80_3f80);
    (pairs & 0x3fff) | (pairs >> 2 & 0x0fff_c000)
}

/// Reads fields one after the other from a slice. For headers and indexes; events and entries use [`varint`].
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The position of the next field in the slice.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The number of bytes left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, Kind> {
        self.take(4).map(BigEndian::read_u32)
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, Kind> {
        self.take(8).map(BigEndian::read_u64)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Kind> {
        let (value, at) = varint(self.bytes, self.at)?;
        self.at = at;
        Ok(value)
    }

    /// Reads a fixed32 that must be `expected`.
    pub(crate) fn magic(&mut self, expected: u32) -> Result<(), Kind> {
        match self.fixed32()? {
            found if found == expected => Ok(()),
            found => Err(Kind::Magic { expected, found }),
        }
    }

    /// Reads a list of sampling rates: its length as a varint, then the ranges.
    pub(crate) fn rates(&mut self) -> Result<SamplingRates, Kind> {
        let mut ranges = Vec::new();
        // The stated number of ranges sizes nothing: memory grows with the ranges that were read.
        for _ in 0..self.varint()? {
            ranges.push((self.fixed64()?, self.fixed32()?));
        }
        Ok(SamplingRates::from_stored(ranges))
    }

    /// Reads a string: its length as a varint, then its bytes.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Kind> {
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| Kind::Cut)?)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Kind> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(Kind::Cut)?;
        self.at += len;
        Ok(taken)
    }
}

/// Appends four bytes, big-endian.
pub(crate) fn push_fixed32(out: &mut Vec<u8>, value: u32) {
    let mut field = [0; 4];
    BigEndian::write_u32(&mut field, value);
    out.extend_from_slice(&field);
}

/// Appends eight bytes, big-endian.
pub(crate) fn push_fixed64(out: &mut Vec<u8>, value: u64) {
    let mut field = [0; 8];
    BigEndian::write_u64(&mut field, value);
    out.extend_from_slice(&field);
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

/// Appends a list of sampling rates, as [`Cursor::rates`] reads it.
pub(crate) fn push_rates(out: &mut Vec<u8>, rates: &SamplingRates) {
    push_varint(out, rates.ranges().len() as u64);
    for range in rates.ranges() {
        push_fixed64(out, range.upper_size());
        push_fixed32(out, range.stored_probability());
    }
}

#[cfg(test)]
mod tests {
    use byteorder::LittleEndian;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<(u64, usize), Kind> {
        varint(bytes, 0)
    }

    #[test]
    fn round_trips_varints_of_every_length() {
        for shift in 0..64 {
            for value in [1 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                push_varint(&mut bytes, value);
                assert_eq!(decoded(&bytes), Ok((value, bytes.len())));
                if bytes.len() <= 4 {
                    assert_eq!(digits(LittleEndian::read_uint(&bytes, bytes.len())), value);
                }
                for cut in 0..bytes.len() {
                    assert_eq!(decoded(&bytes[..cut]), Err(Kind::Cut));
                }
            }
        }
    }

    #[test]
    fn accepts_overlong_varints_and_rejects_over_64_bits() {
        assert_eq!(decoded(&[0x81, 0x80, 0x00]), Ok((1, 3)));
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(decoded(&largest), Ok((u64::MAX, 10)));
        largest[9] = 2;
        assert_eq!(decoded(&largest), Err(Kind::Varint));
        // Ten continuation bytes are too many, with or without an eleventh byte.
        assert_eq!(decoded(&[0x80; 10]), Err(Kind::Varint));
        assert_eq!(decoded(&[0x80; 11]), Err(Kind::Varint));
        assert_eq!(decoded(&[0x80; 9]), Err(Kind::Cut));
    }
}
