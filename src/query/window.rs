//! [`Window`]: the part of a recording between two moments.

use std::ops::{Range, RangeFrom, RangeFull, RangeTo};

use crate::time::Elapsed;

/// The part of a recording between two moments: `a..b`, or from the first event `..b`, or to the last `a..`.
///
/// Moments are [`Elapsed`] times or [`Duration`](std::time::Duration)s since the start. A moment comes after all events
/// of its time, as in [`Reader::live_at`](crate::Reader::live_at). So the window `a..b` has the events with
/// a < elapsed ≤ b, windows `a..b` and `b..c` share no event, and what changes within `a..b` is the difference between
/// what is live at `b` and at `a`. Events at time 0 are in `..b`, but not in `Elapsed::ZERO..b`.
///
/// A window whose end is before its start has no events. The growth within it is that of the window turned around, with
/// the other sign.
///
/// ```
/// use heapprof::query::{Churn, Window};
/// use heapprof::{Elapsed, Reader};
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let window = Window::from(Elapsed::from_secs(10)..Elapsed::from_secs(12));
/// assert_eq!(window, (Duration::from_secs(10)..Duration::from_secs(12)).into());
/// assert!(window.contains(Elapsed::from_secs(12)) && !window.contains(Elapsed::from_secs(10)));
/// // Queries take a range.
/// let churn = reader.ask(Churn::query().within(Elapsed::from_secs(10)..Elapsed::from_secs(12)))?;
/// assert_eq!(churn, reader.ask(Churn::query().within(window))?);
/// assert_eq!(churn.total().allocations, 2_127);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// `None` is the start of the log, before the events at time 0.
    start: Option<Elapsed>,
    end: Elapsed,
}

impl Window {
    pub(super) const WHOLE: Self = Self {
        start: None,
        end: Elapsed::MAX,
    };

    /// Whether an event at this time is in the window.
    #[inline]
    pub fn contains(self, time: impl Into<Elapsed>) -> bool {
        let time = time.into();
        self.has_begun(time) && !self.is_over(time)
    }

    /// The moment at which it starts; 0 for the start of the log.
    pub(super) fn start(self) -> Elapsed {
        self.start.unwrap_or_default()
    }

    /// Whether it starts at a moment, not with the first event.
    pub(super) fn has_start(self) -> bool {
        self.start.is_some()
    }

    /// The moment at which it ends.
    pub(super) fn end(self) -> Elapsed {
        self.end
    }

    /// Whether an event at this time is after the moment at which it starts.
    #[inline]
    pub(super) fn has_begun(self, time: Elapsed) -> bool {
        self.start.is_none_or(|start| time > start)
    }

    /// Whether an event at this time is after the moment at which it ends.
    #[inline]
    pub(super) fn is_over(self, time: Elapsed) -> bool {
        time > self.end
    }
}

impl<T: Into<Elapsed>> From<Range<T>> for Window {
    fn from(range: Range<T>) -> Self {
        Self {
            start: Some(range.start.into()),
            end: range.end.into(),
        }
    }
}

impl<T: Into<Elapsed>> From<RangeFrom<T>> for Window {
    fn from(range: RangeFrom<T>) -> Self {
        Self::from(range.start.into()..Elapsed::MAX)
    }
}

impl<T: Into<Elapsed>> From<RangeTo<T>> for Window {
    fn from(range: RangeTo<T>) -> Self {
        Self {
            start: None,
            end: range.end.into(),
        }
    }
}

/// The whole recording.
impl From<RangeFull> for Window {
    fn from(_: RangeFull) -> Self {
        Self::WHOLE
    }
}
