//! Whole microseconds, and the two clocks of a recording.
//!
//! The log is written with the wall clock, which can be stepped back while the program runs. So
//! each event has two times:
//!
//! ```text
//!   wall clock as recorded       0 ── 5 ── 9 ─╮              (may step back)
//!                                             ╰─ 7 ── 12
//!   elapsed                      0 ── 5 ── 9 ─── 9 ── 14     (sum of the steps forward)
//! ```
//!
//! [`Elapsed`] only ever grows; digests, series and windows use it. [`WallOffset`] is what the
//! clock said, relative to the [`StartTime`], and is what can be laid beside another log.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;

/// The largest time, size or estimate that a record may hold: 2⁶³ − 1.
pub(crate) const LARGEST: u64 = i64::MAX as u64;

/// Time since the start of a recording, in whole microseconds, on the clock that only grows.
///
/// Made from a [`Duration`] where that is at hand; what takes a time takes either.
///
/// ```
/// use heapprof::Elapsed;
/// use std::time::Duration;
///
/// let at = Elapsed::from(Duration::from_millis(2_500));
/// assert_eq!(at.as_micros(), 2_500_000);
/// assert_eq!(at.as_secs_f64(), 2.5);
/// assert_eq!(at.to_string(), "2.500000 s");
/// assert_eq!(Duration::from(at), Duration::from_millis(2_500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Elapsed(u64);

impl Elapsed {
    /// The start of the recording.
    pub const ZERO: Self = Self(0);

    /// Later than any event.
    pub const MAX: Self = Self(u64::MAX);

    /// This many microseconds after the start.
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// This many milliseconds after the start; what does not fit is [`Elapsed::MAX`].
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// This many seconds after the start; what does not fit is [`Elapsed::MAX`].
    #[inline]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Whole microseconds since the start.
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Seconds since the start, for plots and people.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The time from `earlier` to this, or zero where `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Rounds down to whole microseconds; what does not fit is [`Elapsed::MAX`].
impl From<Duration> for Elapsed {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Elapsed> for Duration {
    fn from(elapsed: Elapsed) -> Self {
        Self::from_micros(elapsed.0)
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / SECOND, self.0 % SECOND)
    }
}

/// What the wall clock said, in whole microseconds relative to the [`StartTime`]; negative where
/// the clock was stepped back beyond the start.
///
/// ```
/// use heapprof::WallOffset;
///
/// assert_eq!(WallOffset::from_micros(-300_000).to_string(), "-0.300000 s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallOffset(i64);

impl WallOffset {
    /// The start of the recording.
    pub const ZERO: Self = Self(0);

    /// This many microseconds after the start.
    #[inline]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Whole microseconds since the start.
    #[inline]
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for WallOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06} s", micros / SECOND, micros % SECOND)
    }
}

/// When a recording began: Unix time, as the file states it, to the nanosecond.
///
/// ```
/// use heapprof::{StartTime, WallOffset};
/// use std::time::{Duration, SystemTime};
///
/// let start = StartTime::new(1_600_000_000, 250_000_000);
/// assert_eq!(start.as_nanos(), 1_600_000_000_250_000_000);
/// let later = start.at(WallOffset::from_micros(750_000));
/// assert_eq!(later, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_001)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StartTime {
    seconds: u64,
    nanoseconds: u64,
}

impl StartTime {
    /// A start at this Unix time. A recorder gives less than 10⁹ nanoseconds; a file can hold more.
    #[inline]
    pub const fn new(seconds: u64, nanoseconds: u64) -> Self {
        Self {
            seconds,
            nanoseconds,
        }
    }

    /// Whole seconds, as in the file.
    #[inline]
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Nanoseconds beside the seconds, as in the file.
    #[inline]
    pub const fn nanoseconds(self) -> u64 {
        self.nanoseconds
    }

    /// Nanoseconds since the Unix epoch.
    #[inline]
    pub const fn as_nanos(self) -> u128 {
        self.seconds as u128 * 1_000_000_000 + self.nanoseconds as u128
    }

    /// The start as a system time, or `None` where the platform cannot hold it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(self.seconds))?
            .checked_add(Duration::from_nanos(self.nanoseconds))
    }

    /// The moment at which the wall clock showed `offset`, or `None` where the platform cannot
    /// hold it.
    pub fn at(self, offset: WallOffset) -> Option<SystemTime> {
        let start = self.to_system_time()?;
        let distance = Duration::from_micros(offset.0.unsigned_abs());
        if offset.0 < 0 {
            start.checked_sub(distance)
        } else {
            start.checked_add(distance)
        }
    }
}

/// The start of a recording that begins at this system time.
///
/// A time before 1970 gives the epoch itself: the file holds no negative seconds.
impl From<SystemTime> for StartTime {
    fn from(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self::new(since.as_secs(), u64::from(since.subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_saturates() {
        assert_eq!(Elapsed::from_secs(u64::MAX), Elapsed::MAX);
        assert_eq!(Elapsed::from(Duration::MAX), Elapsed::MAX);
        assert_eq!(Elapsed::ZERO.since(Elapsed::MAX), Duration::ZERO);
        assert_eq!(
            WallOffset::from_micros(i64::MIN).to_string(),
            "-9223372036854.775808 s"
        );
    }

    #[test]
    fn a_start_that_no_clock_shows_is_kept_and_has_no_system_time() {
        let start = StartTime::new(u64::MAX, u64::MAX);
        assert_eq!(
            start.as_nanos(),
            u128::from(u64::MAX) * 1_000_000_000 + u128::from(u64::MAX)
        );
        assert_eq!(start.to_system_time(), None);
    }
}
