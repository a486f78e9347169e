//! [`Event`], an allocation or a free, and [`LogPosition`], a position between two events.

use super::record::FREE_BIT;
use crate::id::TraceId;
use crate::raw::rates::SamplingRates;
use crate::time::{Clock, Elapsed, LARGEST, WallOffset};

/// One recorded allocation or free.
///
/// ```
/// use heapprof::raw::EventLog;
/// use heapprof::EventKind;
///
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let event = EventLog::new(&bytes).events().next().unwrap()?;
/// assert_eq!((event.kind, event.size, event.trace.unwrap().get()), (EventKind::Allocation, 464, 1));
/// assert_eq!((event.elapsed.as_micros(), event.wall.as_micros()), (30, 30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "HPDEvent")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Event {
    /// The time on the clock that only grows.
    #[doc(alias = "timestamp")]
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_us"))]
    pub elapsed: Elapsed,
    /// The time on the wall clock, which can step back.
    #[cfg_attr(feature = "serde", serde(rename = "wall_us"))]
    pub wall: WallOffset,
    /// The size of the block in bytes, at most 2⁶³ − 1.
    pub size: u64,
    /// The trace that *allocated* the block, also for a free; `None` if it is unknown.
    #[doc(alias = "traceindex")]
    pub trace: Option<TraceId>,
    /// Allocation or free.
    pub kind: EventKind,
}

/// Whether an event is an allocation or a free. A reallocation is a free and an allocation.
///
/// ```
/// use heapprof::raw::EventLog;
/// use heapprof::EventKind;
///
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let (mut allocations, mut frees) = (0, 0);
/// for event in EventLog::new(&bytes).events() {
///     match event?.kind {
///         EventKind::Allocation => allocations += 1,
///         EventKind::Free => frees += 1,
///     }
/// }
/// assert_eq!((allocations, frees), (27_870, 21_909));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum EventKind {
    /// A block was allocated.
    Allocation,
    /// A block was freed.
    Free,
}

impl EventKind {
    /// The kind that the head of a record states.
    #[inline]
    pub(super) const fn from_head(head: u32) -> Self {
        match head & FREE_BIT {
            0 => Self::Allocation,
            _ => Self::Free,
        }
    }
}

impl Event {
    /// Whether a block was freed.
    #[inline]
    pub const fn is_free(self) -> bool {
        matches!(self.kind, EventKind::Free)
    }

    /// Whether a block was allocated.
    #[inline]
    pub const fn is_allocation(self) -> bool {
        !self.is_free()
    }

    /// The size as recorded: positive for an allocation, negative for a free.
    #[inline]
    pub const fn signed_size(self) -> i64 {
        self.with_sign(self.size)
    }

    /// The estimate of the bytes that the block represents: positive for an allocation, negative for a free.
    /// At most 2⁶³ − 1.
    ///
    /// ```
    /// use heapprof::{Elapsed, Event, EventKind, SamplingRates, TraceId, WallOffset};
    ///
    /// let event = Event {
    ///     elapsed: Elapsed::ZERO,
    ///     wall: WallOffset::ZERO,
    ///     size: 50,
    ///     trace: TraceId::new(1),
    ///     kind: EventKind::Free,
    /// };
    /// assert_eq!(event.signed_estimate(&SamplingRates::new([(128, 0.1)])?), -500);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[doc(alias = "scaleFactor")]
    #[inline]
    pub fn signed_estimate(self, rates: &SamplingRates) -> i64 {
        self.with_sign(rates.estimate(self.size))
    }

    /// Re-asserts that the size is below 2⁶³.
    ///
    /// PERF: the compiler loses this fact at a call that is not inlined, and
    /// [`signed_size`](Self::signed_size) then clamps each size of a loop.
    #[inline]
    pub(crate) const fn assume_size_fits(self) -> Self {
        Self {
            size: self.size & LARGEST,
            ..self
        }
    }

    /// Event `number` of a log with the times of `clock`, from those recorded.
    #[inline]
    pub(crate) const fn on(self, clock: Clock, number: u64) -> Self {
        let ahead = clock.ahead(number);
        let elapsed = self.elapsed.as_micros().wrapping_add(ahead);
        let wall = self.wall.as_micros().saturating_add_unsigned(ahead);
        Self {
            elapsed: Elapsed::from_micros(elapsed),
            wall: WallOffset::from_micros(wall),
            ..self
        }
    }

    /// `bytes` with the sign of the event: negative for a free. At most 2⁶³ − 1.
    #[inline]
    pub(crate) const fn with_sign(self, bytes: u64) -> i64 {
        self.with_sign_in_range(if bytes > LARGEST { LARGEST } else { bytes })
    }

    /// As [`with_sign`](Self::with_sign), for bytes that are known to be at most 2⁶³ − 1.
    #[inline]
    pub(crate) const fn with_sign_in_range(self, bytes: u64) -> i64 {
        let bytes = bytes.cast_signed();
        match self.kind {
            EventKind::Allocation => bytes,
            EventKind::Free => -bytes,
        }
    }
}

/// A position between two events of a log: an offset, a number of events, and what both clocks show.
///
/// An iterator over a log has a [position](super::Events::position), and another can be [resumed
/// there](super::EventLog::events_from). The end of a log is a position too.
///
/// ```
/// use heapprof::raw::LogPosition;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let mut events = reader.events()?;
/// events.by_ref().take(1000).for_each(drop);
/// let here = events.position();
/// assert_eq!((here.events(), here.offset(), here.elapsed().as_micros()), (1000, 7131, 2443));
///
/// // Store its recorded times, and resume later.
/// let here = here.recorded();
/// let stored = LogPosition::new(here.offset(), here.events(), here.elapsed(), here.wall());
/// assert_eq!(reader.events_from(stored)?.count(), 48_779);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogPosition {
    offset: u64,
    events: u64,
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_us"))]
    elapsed: Elapsed,
    #[cfg_attr(feature = "serde", serde(rename = "wall_us"))]
    wall: WallOffset,
    /// The clock of both times.
    clock: Clock,
    /// How much shorter the elapsed time is for the gaps that the clock closed, in microseconds.
    #[cfg_attr(feature = "serde", serde(rename = "closed_us", default))]
    closed: u64,
}

impl LogPosition {
    /// The position before the first event.
    pub const START: Self = Self::new(0, 0, Elapsed::ZERO, WallOffset::ZERO);

    /// The position after the first `events` events. The last of these ends at `offset`, and `elapsed` and `wall` are
    /// its times as [recorded](Self::recorded). Restores a position that was stored.
    pub const fn new(offset: u64, events: u64, elapsed: Elapsed, wall: WallOffset) -> Self {
        Self {
            offset,
            events,
            elapsed,
            wall,
            clock: Clock::Recorded,
            closed: 0,
        }
    }

    /// The same position with its recorded times, as [`new`](Self::new) needs them.
    ///
    /// ```
    /// use heapprof::{Clock, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let recorded = reader.end()?;
    /// let corrected = reader.with_clock(Clock::Corrected).end()?;
    /// assert_ne!(corrected.elapsed(), recorded.elapsed());
    /// assert_eq!(corrected.recorded(), recorded);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub const fn recorded(self) -> Self {
        let ahead = self.clock.ahead(self.events);
        let elapsed = self.elapsed.as_micros().saturating_sub(ahead);
        let wall = self.wall.as_micros().saturating_sub_unsigned(ahead);
        Self {
            elapsed: Elapsed::from_micros(elapsed.saturating_add(self.closed)),
            wall: WallOffset::from_micros(wall),
            clock: Clock::Recorded,
            closed: 0,
            ..self
        }
    }

    /// The same position with the times of `clock`, which closed gaps of `closed` microseconds before it.
    #[inline]
    pub(crate) const fn on(self, clock: Clock, closed: u64) -> Self {
        let recorded = self.recorded();
        let ahead = clock.ahead(self.events);
        let elapsed = recorded.elapsed.as_micros().saturating_add(ahead);
        let wall = recorded.wall.as_micros().saturating_add_unsigned(ahead);
        let closed = if closed > elapsed { elapsed } else { closed };
        Self {
            elapsed: Elapsed::from_micros(elapsed - closed),
            wall: WallOffset::from_micros(wall),
            clock,
            closed,
            ..self
        }
    }

    /// The position before the first event, on `clock`.
    pub(crate) const fn start(clock: Clock) -> Self {
        Self::START.on(clock, 0)
    }

    /// How much shorter the elapsed time is for the gaps that the clock closed, in microseconds.
    #[inline]
    pub(crate) const fn closed(self) -> u64 {
        self.closed
    }

    /// The clock of both times.
    #[inline]
    pub const fn clock(self) -> Clock {
        self.clock
    }

    /// The offset in bytes from the start of the log.
    #[inline]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// The number of events before this position.
    #[inline]
    pub const fn events(self) -> u64 {
        self.events
    }

    /// The elapsed time of the event before.
    #[inline]
    pub const fn elapsed(self) -> Elapsed {
        self.elapsed
    }

    /// The wall clock at the event before.
    #[inline]
    pub const fn wall(self) -> WallOffset {
        self.wall
    }
}
