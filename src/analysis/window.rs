//! [`Window`]: the time of the log that a query is about.

use crate::time::Elapsed;

/// All events, or those after one moment and up to another: `from` < elapsed ≤ `to`.
///
/// An event at time 0 is part of the whole log, and of no window that begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    from: Option<Elapsed>,
    to: Elapsed,
}

impl Window {
    pub(super) const WHOLE: Self = Self {
        from: None,
        to: Elapsed::MAX,
    };

    pub(super) fn new(from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        Self {
            from: Some(from.into()),
            to: to.into(),
        }
    }

    pub(super) fn until(to: impl Into<Elapsed>) -> Self {
        Self {
            from: None,
            to: to.into(),
        }
    }

    /// The moment at which it begins.
    pub(super) fn from(self) -> Elapsed {
        self.from.unwrap_or_default()
    }

    /// The moment at which it ends.
    pub(super) fn to(self) -> Elapsed {
        self.to
    }

    /// Whether an event at this time is after the moment at which it begins.
    #[inline]
    pub(super) fn has_begun(self, elapsed: Elapsed) -> bool {
        self.from.is_none_or(|from| elapsed > from)
    }

    /// Whether an event at this time is after the moment at which it ends.
    #[inline]
    pub(super) fn is_over(self, elapsed: Elapsed) -> bool {
        elapsed > self.to
    }
}
