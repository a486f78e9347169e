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
