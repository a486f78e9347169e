//! [`UnusedDigest`]: whether a digest belongs to a log, and if not, why.

use thiserror::Error as ThisError;

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
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum UnusedDigest {
    /// It does not identify its log: another program wrote it, such as heapprof 1.0. [`Digest::open`] reads it.
    #[error("the digest does not say which log it is of")]
    Foreign,
    /// It belongs to another recording: the start time differs.
    #[error("the digest is of another recording, which began at {} ns", digest.as_nanos())]
    Recording {
        /// The start time of the digest.
        digest: StartTime,
    },
    /// It was made with different sampling rates.
    #[error("the digest was made with other sampling rates")]
    Rates,
    /// Its times are those of another clock.
    #[error("the digest has the times of another clock")]
    Clock,
    /// It was stopped before the end of the log.
    #[error("the digest was stopped before the end of the log")]
    Stopped,
    /// The log had another length when it was made.
    #[error("the digest was made when the log had {digested} bytes, and now it has {now}")]
    Length {
        /// The length of the log in bytes then.
        digested: u64,
        /// The length of the log in bytes now.
        now: u64,
    },
    /// It is damaged.
    #[error(transparent)]
    Damaged(DecodeError),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(Error),
}

impl Digest {
    /// Checks that this is a whole digest of the log that began at `start`, with these rates and the times of this
    /// clock. A `log_len` of `None` is not compared.
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
        let origin = self.origin().ok_or(UnusedDigest::Foreign)?;
        let (digest, digested) = (self.start(), origin.log_len);
        if digest != start {
            Err(UnusedDigest::Recording { digest })
        } else if let Some(now) = log_len.filter(|&now| now != digested) {
            Err(UnusedDigest::Length { digested, now })
        } else if origin.is_stopped {
            Err(UnusedDigest::Stopped)
        } else if origin.rates != *rates {
            Err(UnusedDigest::Rates)
        } else if origin.clock != clock {
            Err(UnusedDigest::Clock)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DecodeErrorKind, FileKind};

    #[test]
    fn displays_every_reason_on_one_line() {
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
        let mut count = 0;
        for why in all {
            // Exhaustive: a new reason needs an entry here and in `all`.
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
            assert_eq!((number, why.to_string().as_str()), (count, text));
            count += 1;
        }
        assert_eq!(count, 8);
    }
}
