//! How a digest is to be made.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::time::{Elapsed, LARGEST};

/// How to make a digest: the interval between snapshots, the precision, and who is told how far it
/// is.
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

/// An interval chosen from the length of the recording, precision 0, and nobody told.
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
    /// By default a digest has no more snapshots than this, a day at 1 ms: each takes a byte at
    /// least, also where nothing happens, and a clock can be off by a hundred years.
    pub const MAX_SNAPSHOTS: u64 = 100_000_000;

    /// The time between snapshots: whole milliseconds, at least one.
    ///
    /// By default it is chosen from the length of the recording, so that there are at most a
    /// thousand snapshots, at a round number: 1, 2, 5, 10, … ms, and whole seconds, minutes, hours.
    /// That takes a look through the log ahead, unless its length is known.
    /// heapprof 1.0 takes 60 s.
    #[doc(alias = "timeInterval")]
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// How many snapshots there may be: by default [`MAX_SNAPSHOTS`](Self::MAX_SNAPSHOTS). Who makes
    /// digests of a stranger's logs at an interval of their own may want fewer.
    ///
    /// An interval that gives more is an error, which names one that works; without one, one is
    /// chosen that does. Two are always allowed.
    ///
    /// ```
    /// use heapprof::{DigestOptions, Error, Reader};
    /// use std::time::Duration;
    ///
    /// let reader = Reader::open("examples/data/demo")?; // 21.8 s
    /// let every = |millis| DigestOptions::default().interval(Duration::from_millis(millis));
    /// let Err(Error::TooManySnapshots { needed, works_ms, .. }) =
    ///     reader.digest_with(every(100).max_snapshots(50))
    /// else {
    ///     panic!()
    /// };
    /// assert_eq!((needed, works_ms), (218, 436));
    /// assert_eq!(reader.digest_with(every(works_ms).max_snapshots(50))?.len(), 50);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn max_snapshots(mut self, snapshots: u64) -> Self {
        // One could need an interval that is out of range.
        self.max_snapshots = snapshots.max(2);
        self
    }

    /// Which fraction of the total the smallest traces of a snapshot may be together to be folded
    /// into "unknown": at least 0 and below 1. The total never changes.
    ///
    /// By default it is 0: nothing is folded. heapprof 1.0 takes 0.01.
    #[must_use]
    pub fn precision(mut self, precision: f64) -> Self {
        self.precision = precision;
        self
    }

    /// Who is told, after 5000 events or sooner each time and at the end, how far the digest is, and
    /// can stop it with [`ControlFlow::Break`]. What was digested so far is a valid digest then, as if the log ended
    /// there, and [says so](crate::Digest::is_stopped).
    #[doc(alias = "verbose")]
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The interval in milliseconds, if one was chosen.
    pub(crate) fn checked_interval_ms(&self) -> Result<Option<u64>> {
        let Some(interval) = self.interval else {
            return Ok(None);
        };
        u64::try_from(interval.as_millis())
            .ok()
            .filter(|&millis| (1..=LARGEST / 1000).contains(&millis))
            .filter(|&millis| Duration::from_millis(millis) == interval)
            .map(Some)
            .ok_or(Error::Interval { found: interval })
    }

    pub(crate) fn max(&self) -> u64 {
        self.max_snapshots
    }

    pub(crate) fn checked_precision(&self) -> Result<f64> {
        if (0.0..1.0).contains(&self.precision) {
            Ok(self.precision)
        } else {
            Err(Error::Precision {
                found: self.precision,
            })
        }
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

/// How far a digest is.
///
/// ```
/// use heapprof::{DigestOptions, Reader};
/// use std::ops::ControlFlow;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let mut told = Vec::new();
/// reader.digest_with(DigestOptions::default().progress(|progress| {
///     told.push((progress.bytes, progress.fraction()));
///     ControlFlow::Continue(())
/// }))?;
/// let length = std::fs::metadata("examples/data/demo.hpd").unwrap().len();
/// assert_eq!(told.last(), Some(&(2 * length, 1.0))); // how long it runs had to be found first
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the log that were read.
    pub bytes: u64,
    /// Bytes that are to be read in all: the length of the log, or twice that where its length in
    /// time has to be found first.
    pub total_bytes: u64,
    /// How far into the recording the pass is.
    pub elapsed: Elapsed,
}

impl Progress {
    /// Which fraction of the bytes was read, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
    pub fn fraction(self) -> f64 {
        if self.total_bytes == 0 {
            1.0
        } else {
            self.bytes as f64 / self.total_bytes as f64
        }
    }
}

/// The interval for a recording of this length: at most a thousand snapshots, or as few as there may
/// be, at a round number.
pub(crate) fn default_interval_ms(elapsed: Elapsed, most: u64) -> u64 {
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
    // At least this many milliseconds give so few.
    let least = elapsed.as_micros().div_ceil(1000 * most.clamp(2, 1000));
    ROUND
        .into_iter()
        .find(|&round| round >= least)
        .unwrap_or_else(|| least.div_ceil(DAY) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_round_and_gives_a_thousand_snapshots_at_most() {
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
    fn intervals_and_precisions_that_make_no_sense_are_refused() {
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
