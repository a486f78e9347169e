//! The header of a `.hpm` file.

use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::raw::block::Cursor;
use crate::raw::rates::SamplingRates;
use crate::time::StartTime;

/// The version of the format.
pub(super) const VERSION: u32 = 1;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The decoded header, without a borrow of the file.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) start: StartTime,
    pub(crate) rates: SamplingRates,
    /// The offset of the first trace.
    pub(crate) first_trace: usize,
}

impl Header {
    /// The length of the fields that identify a recording: the version and the start time.
    pub(crate) const IDENTITY_LEN: usize = 20;

    /// # Errors
    /// If the bytes do not begin with a whole header of version 1.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields = || {
            let mut cursor = Cursor::new(bytes, 0);
            let version = cursor.fixed32()?;
            if version != VERSION {
                return Err(Kind::Version { found: version });
            }
            let start = StartTime::new(cursor.fixed64()?, cursor.fixed64()?);
            Ok(Self {
                start,
                rates: cursor.rates()?,
                first_trace: cursor.at(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::block::push_varint;

    #[test]
    fn allocates_nothing_for_stated_number_of_ranges() {
        let mut bytes = vec![0; Header::IDENTITY_LEN];
        bytes[3] = 1;
        push_varint(&mut bytes, u64::MAX);
        assert!(Header::read(&bytes).unwrap_err().is_cut());
    }
}
