//! Does a digest fit the log it stands beside?

use std::fmt;

use super::Digest;
use crate::error::{DecodeError, Error};
use crate::raw::rates::SamplingRates;
use crate::time::{Clock, StartTime};

/// Why the `.hpc` file beside a log is not used.
///
/// ```
/// use heapprof::{DigestOptions, Reader, SamplingRates, UnusedDigest};
///
/// let folder = tempfile::tempdir()?;
/// for file in ["demo.hpm", "demo.hpd"] {
///     std::fs::copy(format!("examples/data/{file}"), folder.path().join(file))?;
/// }
/// let reader = Reader::open(folder.path().join("demo"))?;
/// reader.make_digest(DigestOptions::default())?;
///
/// let reader = Reader::open(folder.path().join("demo"))?;
/// assert!(reader.unused_digest().is_none());
/// let reader = reader.with_rates(SamplingRates::new([(512, 0.1)])?);
/// assert!(matches!(reader.unused_digest(), Some(UnusedDigest::Rates)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum UnusedDigest {
    /// It does not say which log it is of: another program wrote it, as heapprof 1.0 does.
    /// [`Digest::open`] reads it all the same.
    Foreign,
    /// It is of another recording: the start time differs.
    Recording {
        /// The start time that the digest has.
        digest: StartTime,
    },
    /// It was made with other sampling rates.
    Rates,
    /// It has the times of another clock.
    Clock,
    /// It was stopped before the end of the log.
    Stopped,
    /// It was made when the log had another length.
    Length {
        /// How many bytes the log had then.
        digested: u64,
        /// How many it has now.
        now: u64,
    },
    /// It is damaged: what is in it cannot be relied on.
    Damaged(DecodeError),
    /// It cannot be read.
    Unreadable(Error),
}

impl fmt::Display for UnusedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("the digest does not say which log it is of"),
            Self::Recording { digest } => write!(
                f,
                "the digest is of another recording, which began at {} ns",
                digest.as_nanos()
            ),
            Self::Rates => f.write_str("the digest was made with other sampling rates"),
            Self::Clock => f.write_str("the digest has the times of another clock"),
            Self::Stopped => f.write_str("the digest was stopped before the end of the log"),
            Self::Length { digested, now } => write!(
                f,
                "the digest was made when the log had {digested} bytes, and now it has {now}"
            ),
            Self::Damaged(error) => error.fmt(f),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

impl Digest {
    /// Whether this is a whole digest of the log that began at `start` and has `log_len` bytes, if
    /// it is there, with these rates and the times of this clock.
    pub(crate) fn fits(
        &self,
        start: StartTime,
        rates: &SamplingRates,
        clock: Clock,
        log_len: Option<u64>,
    ) -> Result<(), UnusedDigest> {
        if let Some(damage) = self.own_damage() {
            return Err(UnusedDigest::Damaged(damage));
        }
        let (Some(digested_rates), Some(digested)) = (self.rates(), self.log_len()) else {
            return Err(UnusedDigest::Foreign);
        };
        if self.start() != start {
            let digest = self.start();
            return Err(UnusedDigest::Recording { digest });
        }
        if let Some(now) = log_len.filter(|&now| now != digested) {
            return Err(UnusedDigest::Length { digested, now });
        }
        if self.is_stopped() {
            return Err(UnusedDigest::Stopped);
        }
        if digested_rates != rates {
            return Err(UnusedDigest::Rates);
        }
        if self.clock() != Some(clock) {
            return Err(UnusedDigest::Clock);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DecodeErrorKind, FileKind};

    #[test]
    fn every_reason_is_said_in_a_line() {
        let record = DecodeError::new(FileKind::Hpc, 9, DecodeErrorKind::Unfinished);
        let all = [
            UnusedDigest::Foreign,
            UnusedDigest::Recording {
                digest: StartTime::new(3, 7),
            },
            UnusedDigest::Rates,
            UnusedDigest::Clock,
            UnusedDigest::Stopped,
            UnusedDigest::Length {
                digested: 70,
                now: 90,
            },
            UnusedDigest::Damaged(record),
            UnusedDigest::Unreadable(Error::Decode {
                path: Some("a.hpc".into()),
                source: record,
            }),
        ];
        let mut met = 0;
        for why in all {
            // A new reason has to be told here, and among those above.
            let (number, text) = match &why {
                UnusedDigest::Foreign => (0, "the digest does not say which log it is of"),
                UnusedDigest::Recording { .. } => (
                    1,
                    "the digest is of another recording, which began at 3000000007 ns",
                ),
                UnusedDigest::Rates => (2, "the digest was made with other sampling rates"),
                UnusedDigest::Clock => (3, "the digest has the times of another clock"),
                UnusedDigest::Stopped => (4, "the digest was stopped before the end of the log"),
                UnusedDigest::Length { .. } => (
                    5,
                    "the digest was made when the log had 70 bytes, and now it has 90",
                ),
                UnusedDigest::Damaged(_) => (
                    6,
                    ".hpc, record at byte 9: the digest was never finished: it has no index; \
                     the digest can be made anew from the log",
                ),
                UnusedDigest::Unreadable(_) => (
                    7,
                    "a.hpc: record at byte 9: the digest was never finished: it has no index; \
                     the digest can be made anew from the log",
                ),
            };
            assert_eq!((number, why.to_string().as_str()), (met, text));
            met += 1;
        }
        assert_eq!(met, 8);
    }
}
