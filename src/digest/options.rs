//! [`DigestOptions`] and [`Progress`]: how to make a digest, and how far it is.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::raw::hpc::whole_millis;
use crate::time::Elapsed;

/// Options for making a digest: the interval between snapshots, their number, the precision, and a callback that
/// observes the progress.
///
/// ```
/// use heapprof::{DigestOptions, Reader};
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let options = DigestOptions::default()
///     .interval(Duration::from_secs(1))
///     .precision(0.01)
///     .progress(|progress| {
///         assert!(progress.fraction() <= 1.0);
///         ControlFlow::Continue(())
///     });
/// let digest = reader.digest_with(options)?;
/// assert_eq!(digest.len(), 22);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[non_exhaustive]
pub struct DigestOptions<'a> {
    interval: Option<Duration>,
    precision: f64,
    max_snapshots: u64,
    progress: Option<Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>>,
}

/// An interval that depends on the length of the recording, precision 0, and no callback.
impl Default for DigestOptions<'_> {
    fn default() -> Self {
        Self {
            interval: None,
            precision: 0.0,
            max_snapshots: Self::MAX_SNAPSHOTS,
            progress: None,
        }
    }
}

impl<'a> DigestOptions<'a> {
    /// The default limit for the number of snapshots: about a day at 1 ms. Each snapshot takes at least a byte, even
    /// if nothing happens, and a clock can be off by a hundred years.
    pub const MAX_SNAPSHOTS: u64 = 100_000_000;

    /// Sets the time between snapshots: whole milliseconds, at least one.
    ///
    /// The default depends on the length of the recording: a round number (1, 2, 5, 10, … ms, or whole seconds,
    /// minutes, hours) that gives at most a thousand snapshots. It takes another pass over the log, unless the
    /// length is known. heapprof 1.0 uses 60 s.
    #[doc(alias = "timeInterval")]
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Limits the number of snapshots. The default is [`MAX_SNAPSHOTS`](Self::MAX_SNAPSHOTS); a lower limit helps
    /// with untrusted logs and a fixed interval.
    ///
    /// An [interval](Self::interval) that gives more is an error, which names an interval that works. The default
    /// interval respects the limit. Two snapshots are always allowed.
    ///
    /// ```
    /// use heapprof::{DigestOptions, Error, Reader};
    /// use std::time::Duration;
    ///
    /// let reader = Reader::open("examples/data/demo")?; // 21.8 s
    /// let every = |interval| DigestOptions::default().interval(interval);
    /// let Err(Error::TooManySnapshots { needed, works, .. }) =
    ///     reader.digest_with(every(Duration::from_millis(100)).max_snapshots(50))
    /// else {
    ///     panic!()
    /// };
    /// assert_eq!((needed, works), (218, Duration::from_millis(436)));
    /// assert_eq!(reader.digest_with(every(works).max_snapshots(50))?.len(), 50);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn max_snapshots(mut self, snapshots: u64) -> Self {
        // A limit of one could need an interval that is out of range.
        self.max_snapshots = snapshots.max(2);
        self
    }

    /// Folds the smallest traces of a snapshot into "unknown", up to this fraction of its total: at least 0, and
    /// below 1. The total does not change.
    ///
    /// The default is 0: nothing is folded. heapprof 1.0 uses 0.01.
    #[must_use]
    pub fn precision(mut self, precision: f64) -> Self {
        self.precision = precision;
        self
    }

    /// Sets a callback that observes the progress: at least every 5000 events, and at the end.
    ///
    /// It can stop the pass with [`ControlFlow::Break`]. The result is a valid digest of the log up to there, and
    /// [is marked as stopped](crate::Digest::is_stopped).
    #[doc(alias = "verbose")]
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The interval in milliseconds, if one was set.
    pub(crate) fn checked_interval_ms(&self) -> Result<Option<u64>> {
        let Some(interval) = self.interval else {
            return Ok(None);
        };
        let millis = whole_millis(interval).ok_or(Error::Interval { found: interval })?;
        Ok(Some(millis))
    }

    pub(crate) fn max(&self) -> u64 {
        self.max_snapshots
    }

    pub(crate) fn checked_precision(&self) -> Result<f64> {
        let found = self.precision;
        let is_valid = (0.0..1.0).contains(&found);
        is_valid.then_some(found).ok_or(Error::Precision { found })
    }

    pub(crate) fn report(&mut self, progress: Progress) -> ControlFlow<()> {
        match &mut self.progress {
            Some(report) => report(progress),
            None => ControlFlow::Continue(()),
        }
    }
}

impl fmt::Debug for DigestOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestOptions")
            .field("interval", &self.interval)
            .field("precision", &self.precision)
            .field("max_snapshots", &self.max_snapshots)
            .finish_non_exhaustive()
    }
}

/// The progress of a pass that makes a digest.
///
/// ```
/// use heapprof::{DigestOptions, Reader};
/// use std::ops::ControlFlow;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let mut observed = Vec::new();
/// reader.digest_with(DigestOptions::default().progress(|progress| {
///     observed.push((progress.bytes, progress.fraction()));
///     ControlFlow::Continue(())
/// }))?;
/// let length = std::fs::metadata("examples/data/demo.hpd").unwrap().len();
/// assert_eq!(observed.last(), Some(&(2 * length, 1.0))); // a first pass measured the recording
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of bytes of the log that were read.
    pub bytes: u64,
    /// The number of bytes to read: the length of the log, or twice that if a first pass measures how long the
    /// recording took.
    pub total_bytes: u64,
    /// The elapsed time that the pass has reached.
    pub elapsed: Elapsed,
}

impl Progress {
    /// The fraction of the bytes that was read, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
    pub fn fraction(self) -> f64 {
        if self.total_bytes == 0 {
            1.0
        } else {
            self.bytes as f64 / self.total_bytes as f64
        }
    }
}

/// A round interval, in milliseconds, that gives at most a thousand snapshots and at most `max_snapshots`.
pub(crate) fn default_interval_ms(elapsed: Elapsed, max_snapshots: u64) -> u64 {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    #[rustfmt::skip]
    const ROUND: [u64; 23] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500,
        SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND,
        MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE,
        HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR,
    ];
    let least = elapsed
        .as_micros()
        .div_ceil(1000 * max_snapshots.clamp(2, 1000));
    let round = ROUND.into_iter().find(|&round| round >= least);
    round.unwrap_or_else(|| least.div_ceil(DAY) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::LARGEST;

    #[test]
    fn default_interval_is_round_and_gives_at_most_a_thousand_snapshots() {
        for (seconds, millis) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (21, 50),
            (290, 500),
            (3600, 5000),
            (43_200, 60_000),
            (86_400, 120_000),
            (365 * 86_400, 12 * 3_600_000),
            (3 * 365 * 86_400, 2 * 86_400_000),
        ] {
            let elapsed = Elapsed::from_secs(seconds);
            let most = DigestOptions::MAX_SNAPSHOTS;
            assert_eq!(default_interval_ms(elapsed, most), millis, "{seconds} s");
            assert!(elapsed.as_micros().div_ceil(millis * 1000) <= 1000);
        }
        for most in [2, 7, u64::MAX] {
            let longest = default_interval_ms(Elapsed::from_micros(LARGEST), most);
            assert!(longest <= LARGEST / 1000);
            assert!(LARGEST.div_ceil(longest * 1000) <= most.min(1000));
        }
    }

    #[test]
    fn rejects_invalid_intervals_and_precisions() {
        for wrong in [
            Duration::ZERO,
            Duration::from_micros(999),
            Duration::from_micros(1_500),
            Duration::MAX,
        ] {
            let options = DigestOptions::default().interval(wrong);
            assert!(matches!(
                options.checked_interval_ms(),
                Err(Error::Interval { found }) if found == wrong
            ));
        }
        for wrong in [-0.01, 1.0, f64::NAN, f64::INFINITY] {
            let options = DigestOptions::default().precision(wrong);
            assert!(matches!(
                options.checked_precision(),
                Err(Error::Precision { .. })
            ));
        }
        let options = DigestOptions::default()
            .interval(Duration::from_millis(1))
            .precision(0.999);
        assert_eq!(options.checked_interval_ms().unwrap(), Some(1));
        assert!(options.checked_precision().is_ok());
    }
}
