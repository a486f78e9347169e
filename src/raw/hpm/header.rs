//! The header of a `.hpm` file, of either version.

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::raw::block::{Cursor, push_fixed32, push_fixed64, push_rates};
use crate::raw::properties::Properties;
use crate::raw::rates::SamplingRates;
use crate::time::StartTime;

/// The version that heapprof writes: each trace repeats its frames.
pub(super) const V1: u32 = 1;

/// The compact version, with properties and the names of functions.
pub(super) const V2: u32 = 2;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The decoded header, without a borrow of the file.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) start: StartTime,
    pub(crate) rates: SamplingRates,
    /// None in version 1.
    pub(crate) properties: Properties,
    /// The offset of the first trace, or of the first record of version 2.
    pub(crate) first_record: usize,
}

impl Header {
    /// The length of the fields that identify a recording: the version and the start time.
    pub(crate) const IDENTITY_LEN: usize = 20;

    /// # Errors
    /// If the bytes do not begin with a whole header of version 1 or 2.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields = || {
            let mut cursor = Cursor::new(bytes, 0);
            let version = cursor.fixed32()?;
            if !matches!(version, V1 | V2) {
                return Err(Kind::Version { found: version });
            }
            let start = StartTime::new(cursor.fixed64()?, cursor.fixed64()?);
            let rates = cursor.rates()?;
            let properties = match version {
                V2 => Properties::read(&mut cursor)?,
                _ => Properties::default(),
            };
            Ok(Self {
                version,
                start,
                rates,
                properties,
                first_record: cursor.at(),
            })
        };
        fields().map_err(|kind| DecodeError::new(FileKind::Hpm, 0, kind))
    }

    /// A start time with a second or more of nanoseconds, which is kept as it is.
    pub(crate) fn damage(&self) -> Option<DecodeError> {
        let found = self.start.nanoseconds();
        (found >= NANOS_PER_SECOND)
            .then(|| DecodeError::new(FileKind::Hpm, 0, Kind::Nanoseconds { found }))
    }
}

/// Appends the part of the header that both versions have.
pub(super) fn push_header(
    out: &mut Vec<u8>,
    version: u32,
    start: StartTime,
    rates: &SamplingRates,
) {
    push_fixed32(out, version);
    push_fixed64(out, start.seconds());
    push_fixed64(out, start.nanoseconds());
    push_rates(out, rates);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::block::push_varint;

    #[test]
    fn allocates_nothing_for_stated_numbers_of_ranges_and_properties() {
        let mut bytes = vec![0; Header::IDENTITY_LEN];
        bytes[3] = 2;
        let mut ranges = bytes.clone();
        push_varint(&mut ranges, u64::MAX);
        assert!(Header::read(&ranges).unwrap_err().is_cut());
        bytes.push(0);
        push_varint(&mut bytes, u64::MAX);
        assert!(Header::read(&bytes).unwrap_err().is_cut());
        push_varint(&mut bytes, u64::MAX); // the length of a key
        assert!(Header::read(&bytes).unwrap_err().is_cut());
    }
}
