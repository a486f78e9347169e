//! Whole microseconds, and the two clocks of a recording.
//!
//! The log is written with the wall clock, which can be stepped back while the program runs. So
//! each event has two times: [`Elapsed`] only ever grows; digests, series and windows use it.
//! [`WallOffset`] is what the clock said, relative to the [`StartTime`], and is what can be laid
//! beside another log.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, SystemTime};

/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;

/// The largest time, size or estimate that a record may hold: 2⁶³ − 1.
pub(crate) const LARGEST: u64 = i64::MAX as u64;

/// Time since the start of a recording, in whole microseconds, on the clock that only grows.
///
/// It is the sum of the steps forward of the wall clock, as the [`Clock`] in use counts them: while the wall clock is
/// stepped back it stands still, and goes on with the next step forward.
///
/// ```text
///   wall clock as recorded       0 ── 5 ── 9 ─╮
///                                             ╰─ 7 ── 12
///   elapsed                      0 ── 5 ── 9 ─── 9 ── 14
/// ```
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
/// assert_eq!(format!("{at} or {at:.1}"), "2.500000 s or 2.5 s");
/// assert_eq!(Duration::from(at), Duration::from_millis(2_500));
///
/// let later = at + Duration::from_secs(1);
/// assert_eq!(later - at, Duration::from_secs(1));
/// assert!(later > at);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
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

    /// This many seconds after the start, rounded to the nearest microsecond; what is not a number
    /// or negative is [`Elapsed::ZERO`], and what does not fit [`Elapsed::MAX`].
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates"
    )]
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as u64)
    }

    /// Whole microseconds since the start.
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start, rounded down.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the start, rounded down.
    #[inline]
    pub const fn as_secs(self) -> u64 {
        self.0 / SECOND
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

/// Rounds down to whole microseconds; what does not fit is [`Elapsed::MAX`].
impl Add<Duration> for Elapsed {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::from(duration).0))
    }
}

/// Rounds down to whole microseconds; what does not fit is [`Elapsed::MAX`].
impl AddAssign<Duration> for Elapsed {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// As [`Elapsed::since`]: zero where the other is later.
impl Sub for Elapsed {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Seconds, with six decimals or as many as asked for (`{:.3}`), rounded down.
impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(f, "", self.0)
    }
}

/// Seconds with the precision, the width and the alignment that `f` asks for.
fn write_seconds(f: &mut fmt::Formatter<'_>, sign: &str, micros: u64) -> fmt::Result {
    let (seconds, mut fraction) = (micros / SECOND, micros % SECOND);
    let decimals = f.precision().unwrap_or(6).min(6);
    for _ in decimals..6 {
        fraction /= 10;
    }
    let text = match decimals {
        0 => format!("{sign}{seconds} s"),
        _ => format!("{sign}{seconds}.{fraction:0decimals$} s"),
    };
    match f.width() {
        // `pad` would take the precision for a length to cut at.
        None => f.write_str(&text),
        Some(width) => match f.align() {
            Some(fmt::Alignment::Right) => write!(f, "{text:>width$}"),
            Some(fmt::Alignment::Center) => write!(f, "{text:^width$}"),
            _ => write!(f, "{text:<width$}"),
        },
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
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

/// Rounds down to whole microseconds; what does not fit is the largest offset.
impl From<Duration> for WallOffset {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Seconds, with six decimals or as many as asked for (`{:.3}`), rounded toward zero.
impl fmt::Display for WallOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write_seconds(f, sign, self.0.unsigned_abs())
    }
}

/// How the times of events are computed from those recorded.
///
/// ```
/// use heapprof::{Clock, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// assert_eq!(reader.elapsed()?.as_micros(), 21_789_059);
/// // The log has 49 779 events.
/// let reader = reader.with_clock(Clock::Corrected);
/// assert_eq!(reader.elapsed()?.as_micros(), 21_789_059 + 24_889);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Clock {
    /// The times as recorded.
    #[default]
    Recorded,
    /// Half a microsecond more for each event: after *n* events ⌊*n* / 2⌋ µs, on both clocks.
    ///
    /// heapprof's recorder rounds each difference of time down to whole microseconds, and so loses half a
    /// microsecond an event on average: of 15.0 s that a program ran with three million events, 13.5 s are
    /// recorded. This clock adds that half back. It is right on average.
    ///
    /// Use it for what heapprof recorded. A log written by [`raw::EventWriter`](crate::raw::EventWriter) has lost
    /// nothing: it is given the time since the start, and rounds only that.
    Corrected,
    /// As recorded, but a longer gap between two events takes only this long in elapsed time. The wall clock stays
    /// as recorded. A limit under a second counts as a second.
    ///
    /// Use it if the clock leaped forward, or the program slept for most of the recording: a grid over time, such as
    /// that of a digest, is useless then. [`Sanity::closing_clock`](crate::query::Sanity::closing_clock) has the limit that
    /// closes such gaps and no others.
    ///
    /// ```
    /// use heapprof::raw::{EventWriter, TraceWriter};
    /// use heapprof::{Clock, EventKind, Reader, SamplingRates, StartTime, WallOffset};
    /// use std::time::Duration;
    ///
    /// let start = StartTime::new(1_700_000_000, 0);
    /// let hpm = TraceWriter::new(Vec::new(), start, &SamplingRates::unsampled())?.into_inner();
    /// let mut hpd = EventWriter::new(Vec::new());
    /// for seconds in [1, 2, 86_402, 86_403] {
    ///     let wall = WallOffset::from_micros(seconds * 1_000_000);
    ///     hpd.write(wall, None, 10, EventKind::Allocation)?;
    /// }
    /// let reader = Reader::from_bytes(hpm, hpd.into_inner(), None)?
    ///     .with_clock(Clock::GapsClosed(Duration::from_secs(5)));
    /// let last = reader.events()?.last().unwrap()?;
    /// assert_eq!(last.elapsed.as_secs(), 2 + 5 + 1);
    /// assert_eq!(last.wall.as_micros(), 86_403_000_000);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[cfg_attr(
        feature = "serde",
        serde(
            serialize_with = "crate::serde_as::micros",
            deserialize_with = "crate::serde_as::from_micros"
        )
    )]
    GapsClosed(Duration),
}

impl Clock {
    /// How many microseconds it is ahead of the recorded times after `events` events, gaps apart.
    #[inline]
    pub(crate) const fn ahead(self, events: u64) -> u64 {
        match self {
            Self::Recorded | Self::GapsClosed(_) => 0,
            Self::Corrected => events / 2,
        }
    }

    /// The same clock in one form: with a limit of whole microseconds, and of a second or more.
    pub(crate) fn normalized(self) -> Self {
        match self {
            Self::GapsClosed(_) => Self::GapsClosed(Duration::from_micros(self.gap_limit())),
            other => other,
        }
    }

    /// The longest time between two events in microseconds, at least a second. Longer gaps are closed to this.
    pub(crate) const fn gap_limit(self) -> u64 {
        match self {
            Self::Recorded | Self::Corrected => u64::MAX,
            Self::GapsClosed(limit) if limit.as_secs() == 0 => SECOND,
            Self::GapsClosed(limit) if limit.as_secs() > LARGEST / SECOND => LARGEST,
            #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
            Self::GapsClosed(limit) => limit.as_micros() as u64,
        }
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
///
/// // A recorder asks the other way round.
/// assert_eq!(start.offset_of(later.unwrap()), WallOffset::from_micros(750_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

    /// What the wall clock shows at `time`, relative to this start: what a recorder writes with each
    /// event. Rounded toward the start; what does not fit is the largest offset.
    pub fn offset_of(self, time: SystemTime) -> WallOffset {
        let start = self.to_system_time().unwrap_or(SystemTime::UNIX_EPOCH);
        match time.duration_since(start) {
            Ok(after) => WallOffset::from(after),
            Err(before) => WallOffset(-WallOffset::from(before.duration()).0),
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
        assert_eq!(Elapsed::MAX + Duration::from_secs(1), Elapsed::MAX);
        assert_eq!(Elapsed::ZERO - Elapsed::MAX, Duration::ZERO);
        assert_eq!(Elapsed::from_secs_f64(-1.0), Elapsed::ZERO);
        assert_eq!(Elapsed::from_secs_f64(f64::INFINITY), Elapsed::MAX);
    }

    #[test]
    fn times_are_shown_with_width_and_decimals() {
        let at = Elapsed::from_micros(1_009_999);
        assert_eq!(format!("{at:.3}|{at:.0}|{at:.9}"), "1.009 s|1 s|1.009999 s");
        assert_eq!(
            format!("{at:12.2}|{at:>12.2}|{at:^12.2}|"),
            "1.00 s      |      1.00 s|   1.00 s   |"
        );
        let before = WallOffset::from_micros(-1_500);
        assert_eq!(format!("{before:.3}|{before:>12}"), "-0.001 s| -0.001500 s");
    }

    #[test]
    fn offsets_of_a_system_time_go_both_ways() {
        let start = StartTime::new(1_000, 500);
        for micros in [0, 1, -1, 3_000_000, -900_000_000] {
            let offset = WallOffset::from_micros(micros);
            assert_eq!(start.offset_of(start.at(offset).unwrap()), offset);
        }
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
