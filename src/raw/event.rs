//! One event of a log, and a place between two of them.

use super::rates::SamplingRates;
use crate::id::TraceId;
use crate::time::{Clock, Elapsed, LARGEST, WallOffset};

/// The bytes of the shortest event: a head, and a byte for each number.
pub(crate) const SHORTEST: usize = 4 + 3;

/// The bytes of the longest event: a head, and three numbers of 64 bits.
pub(crate) const LONGEST: usize = 4 + 3 * 10;

/// In the head of a record: the time went backwards.
pub(crate) const BACKWARDS: u32 = 1 << 31;
/// In the head of a record: the event is a free.
pub(crate) const FREE: u32 = 1 << 30;

/// One recorded allocation or free.
///
/// ```
/// use heapprof::raw::{EventKind, EventLog};
///
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let event = EventLog::new(&bytes).events().next().unwrap()?;
/// assert_eq!((event.kind, event.size, event.trace.unwrap().get()), (EventKind::Allocation, 464, 1));
/// assert_eq!((event.elapsed.as_micros(), event.wall.as_micros()), (30, 30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "HPDEvent")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// When, on the clock that only grows.
    #[doc(alias = "timestamp")]
    pub elapsed: Elapsed,
    /// When, on the wall clock, which can step back.
    pub wall: WallOffset,
    /// The size of the block in bytes, at most 2⁶³ − 1.
    pub size: u64,
    /// Where the block was *allocated*, also for a free; `None` where that is unknown.
    #[doc(alias = "traceindex")]
    pub trace: Option<TraceId>,
    /// Allocation or free.
    pub kind: EventKind,
}

/// Whether an event is an allocation or a free. A reallocation is a free and an allocation.
///
/// ```
/// use heapprof::raw::{EventKind, EventLog};
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
pub enum EventKind {
    /// A block was allocated.
    Allocation,
    /// A block was freed.
    Free,
}

impl EventKind {
    /// What the head of a record says.
    #[inline]
    pub(crate) const fn from_head(head: u32) -> Self {
        match head & FREE {
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
        self.signed(self.size)
    }

    /// The estimate of how many bytes the block stands for: positive for an allocation, negative
    /// for a free. What is over 2⁶³ − 1 is taken as that.
    ///
    /// ```
    /// use heapprof::{Elapsed, SamplingRates, TraceId, WallOffset, raw::{Event, EventKind}};
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
        self.signed(rates.estimate(self.size))
    }

    /// The event that a function returned which is not inlined. That no size is more than 2⁶³ − 1 has to be
    /// said again then: else who asks each event of a loop for its [signed size](Self::signed_size) would
    /// look after larger ones.
    #[inline]
    pub(crate) const fn returned(self) -> Self {
        Self {
            size: self.size & LARGEST,
            ..self
        }
    }

    /// `bytes` with the sign of the event.
    #[inline]
    pub(crate) const fn signed(self, bytes: u64) -> i64 {
        self.signed_in_range(if bytes > LARGEST { LARGEST } else { bytes })
    }

    /// The same where the bytes are at most 2⁶³ − 1 for sure.
    #[inline]
    pub(crate) const fn signed_in_range(self, bytes: u64) -> i64 {
        let bytes = bytes.cast_signed();
        match self.kind {
            EventKind::Allocation => bytes,
            EventKind::Free => -bytes,
        }
    }
}

/// A place in a log, between two events: how far it is, and what both clocks show.
///
/// An iterator says where it [stands](super::Events::position) and can be [resumed
/// there](super::EventLog::events_from); the end of a log is such a place too.
///
/// ```
/// use heapprof::{LogPosition, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let mut events = reader.events()?;
/// events.by_ref().take(1000).for_each(drop);
/// let here = events.position();
/// assert_eq!((here.events(), here.offset(), here.elapsed().as_micros()), (1000, 7131, 2443));
///
/// // Noted down, and gone on from later.
/// let noted = LogPosition::new(here.offset(), here.events(), here.elapsed(), here.wall());
/// assert_eq!(reader.events_from(noted)?.count(), 48_779);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition {
    offset: u64,
    events: u64,
    elapsed: Elapsed,
    wall: WallOffset,
    /// Whose times these are.
    clock: Clock,
}

impl LogPosition {
    /// Before the first event.
    pub const START: Self = Self::new(0, 0, Elapsed::ZERO, WallOffset::ZERO);

    /// A place that was noted down: after so many `events`, the last of which ends at `offset` and
    /// has these times as recorded. For times of the corrected clock, see [`on`](Self::on).
    pub const fn new(offset: u64, events: u64, elapsed: Elapsed, wall: WallOffset) -> Self {
        Self {
            offset,
            events,
            elapsed,
            wall,
            clock: Clock::Recorded,
        }
    }

    /// A place with the times of this clock.
    #[inline]
    pub(crate) const fn shown(
        offset: u64,
        events: u64,
        elapsed: Elapsed,
        wall: WallOffset,
        clock: Clock,
    ) -> Self {
        Self {
            offset,
            events,
            elapsed,
            wall,
            clock,
        }
    }

    /// The same place with the times of another clock. Whoever notes a place down to [make it
    /// anew](Self::new) notes its recorded times.
    ///
    /// ```
    /// use heapprof::{Clock, Elapsed, LogPosition, WallOffset};
    ///
    /// let at = |micros| (Elapsed::from_micros(micros), WallOffset::from_micros(micros as i64));
    /// let (elapsed, wall) = at(500);
    /// let place = LogPosition::new(80, 11, elapsed, wall);
    /// let corrected = place.on(Clock::Corrected);
    /// assert_eq!((corrected.elapsed(), corrected.wall()), at(505));
    /// assert_eq!(corrected.on(Clock::Recorded), place);
    /// ```
    #[must_use]
    #[inline]
    pub const fn on(self, clock: Clock) -> Self {
        let (less, more) = (self.clock.ahead(self.events), clock.ahead(self.events));
        let elapsed = self.elapsed.as_micros().saturating_sub(less);
        let wall = self.wall.as_micros().saturating_sub_unsigned(less);
        Self {
            elapsed: Elapsed::from_micros(elapsed.saturating_add(more)),
            wall: WallOffset::from_micros(wall.saturating_add_unsigned(more)),
            clock,
            ..self
        }
    }

    /// Whose times it has.
    #[inline]
    pub const fn clock(self) -> Clock {
        self.clock
    }

    /// In bytes from the start of the log.
    #[inline]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// How many events stand before.
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
