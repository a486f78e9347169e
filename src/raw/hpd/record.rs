//! The record of an event: its layout, and the slow path that decodes any record.
//!
//! ```text
//! head          fixed32   bit 31: the time goes backwards
//!                         bit 30: the event is a free
//!                         low 30 bits: trace index, 0 for unknown
//! seconds       varint    time since the event before
//! microseconds  varint    0 to 999 999
//! size          varint    bytes
//! ```
//!
//! This file is the definition of a record and of every error that ends a log. The [fast path](super::fast)
//! decodes the records of the usual lengths and must agree with it; the tests compare the two.

use crate::error::DecodeErrorKind as Kind;
use crate::raw::block::varint;
use crate::raw::rates::SamplingRates;
use crate::time::{LARGEST, SECOND};

/// The length of the shortest record: a head and three numbers of one byte.
pub(crate) const MIN_LEN: usize = 4 + 3;

/// The length of the longest record: a head and three numbers of ten bytes.
pub(crate) const MAX_LEN: usize = 4 + 3 * 10;

/// The bit of the head that says that the time goes backwards.
pub(crate) const BACKWARDS_BIT: u32 = 1 << 31;

/// The bit of the head that says that the event is a free.
pub(crate) const FREE_BIT: u32 = 1 << 30;

/// This many zero bytes where a record should begin end the log: a file system leaves zeros after a crash.
/// Fewer are decoded as records.
pub(super) const ZEROS_LEN: usize = 64;

/// A decoded record. Its times are differences to the event before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) head: u32,
    /// By how much the time goes forward, in microseconds.
    pub(super) forward: u64,
    /// By how much it goes backwards; one of the two is 0.
    pub(super) backward: u64,
    pub(super) size: u64,
    /// The length of the record in bytes.
    pub(super) len: usize,
    /// The microseconds, if they are a second or more. Such a record counts all the same.
    pub(super) invalid_micros: Option<u64>,
}

impl Record {
    /// Decodes the record at the start of `bytes`.
    ///
    /// With `rates`, an estimate over 63 bits is an error. `is_last` says that the log ends with `bytes`.
    ///
    /// # Errors
    /// [`Kind::Cut`] if the bytes end inside the record, or too soon to know whether zeros end the log.
    pub(super) fn decode(
        bytes: &[u8],
        rates: Option<&SamplingRates>,
        is_last: bool,
    ) -> Result<Self, Kind> {
        let zeros = bytes.iter().take(ZEROS_LEN);
        let zeros = zeros.take_while(|&&byte| byte == 0).count();
        if zeros == ZEROS_LEN {
            return Err(Kind::Zeros { len: 0 }); // The decoder counts them.
        }
        if zeros == bytes.len() && !is_last {
            return Err(Kind::Cut);
        }

        let head = bytes.first_chunk().ok_or(Kind::Cut)?;
        let head = u32::from_be_bytes(*head);
        let (seconds, at) = varint(bytes, size_of_val(&head))?;
        let (micros, at) = varint(bytes, at)?;
        let (size, len) = varint(bytes, at)?;

        let seconds = seconds.checked_mul(SECOND).ok_or(Kind::Time)?;
        if seconds.checked_add(micros).is_none_or(|sum| sum > LARGEST) {
            return Err(Kind::Time);
        }
        if size > LARGEST {
            return Err(Kind::Size { found: size });
        }
        if rates.is_some_and(|rates| rates.estimate(size) > LARGEST) {
            return Err(Kind::Estimate { size });
        }
        // Backwards, the difference is −seconds + microseconds.
        let (forward, backward) = if head & BACKWARDS_BIT == 0 {
            (seconds + micros, 0)
        } else {
            (
                micros.saturating_sub(seconds),
                seconds.saturating_sub(micros),
            )
        };
        Ok(Self {
            head,
            forward,
            backward,
            size,
            len,
            invalid_micros: (micros >= SECOND).then_some(micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_end_the_log_from_64_bytes_on() {
        let decode = |bytes: &[u8], is_last| Record::decode(bytes, None, is_last);
        assert_eq!(decode(&[0; 64], true), Err(Kind::Zeros { len: 0 }));
        assert_eq!(decode(&[0; 65], false), Err(Kind::Zeros { len: 0 }));
        // 63 are records, once no byte can follow them.
        assert_eq!(decode(&[0; 63], false), Err(Kind::Cut));
        assert_eq!(decode(&[0; 63], true).map(|record| record.len), Ok(7));
        let mut bytes = [0; 64];
        bytes[63] = 1;
        assert_eq!(decode(&bytes, false).map(|record| record.len), Ok(7));
        assert_eq!(decode(&[0; 6], true), Err(Kind::Cut));
    }
}
