//! [`QueryStart`] and [`QueryEnd`]: what a query knows when it begins and when it finishes.

use crate::error::{DecodeError, Result, Taint};
use crate::heap::LiveHeap;
use crate::raw::LogPosition;
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::trace::TraceTable;

/// Where a query begins, what is live there, and what the reader knows about the recording.
///
/// ```
/// use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd, QueryStart};
/// use heapprof::{Elapsed, Reader};
/// use std::ops::ControlFlow;
///
/// /// The number of events before a time, and the live bytes then.
/// struct Before(Elapsed, (u64, i64));
///
/// impl Query for Before {
///     type Output = (u64, i64);
///
///     fn start(&self) -> Elapsed {
///         self.0
///     }
///
///     fn begin(&mut self, start: &QueryStart<'_>) -> heapprof::Result<()> {
///         assert_eq!(start.time(), self.0);
///         assert_eq!(start.heap().usage().total(), start.total());
///         assert_eq!(start.traces()?.len(), start.trace_count() as usize);
///         assert_eq!(start.log_end()?.events(), 49_779);
///         self.1 = (start.position().events(), start.total());
///         Ok(())
///     }
///
///     fn observe(&mut self, _: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
///         ControlFlow::Break(())
///     }
///
///     fn finish(self, _: &QueryEnd<'_>) -> (u64, i64) {
///         self.1
///     }
/// }
///
/// let reader = Reader::open("examples/data/demo")?;
/// let before = reader.ask(Before(Elapsed::from_secs(5), (0, 0)))?;
/// assert_eq!(before, (14_585, 2_248_163));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct QueryStart<'a> {
    pub(super) reader: &'a Reader,
    pub(super) heap: &'a LiveHeap,
    pub(super) time: Elapsed,
    pub(super) position: LogPosition,
    pub(super) total: i64,
    pub(super) traces: u32,
}

impl<'a> QueryStart<'a> {
    /// The time at which the query [starts](super::Query::start), at most that of the end of the log.
    pub fn time(&self) -> Elapsed {
        self.time
    }

    /// The end of the last event before it.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// What is live.
    pub fn heap(&self) -> &'a LiveHeap {
        self.heap
    }

    /// All live bytes.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// The sampling rates in use.
    pub fn rates(&self) -> &'a SamplingRates {
        self.reader.rates()
    }

    /// The number of traces in the table. Events can name others.
    pub fn trace_count(&self) -> u32 {
        self.traces
    }

    /// The stacks of the traces.
    ///
    /// # Errors
    /// If the `.hpm` file cannot be read.
    pub fn traces(&self) -> Result<&'a TraceTable> {
        self.reader.traces()
    }

    /// The end of the log. The first call for a reader makes a pass over the log, unless a digest knows the end.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log_end(&self) -> Result<LogPosition> {
        self.reader.end()
    }
}

/// Where a pass ended, and what is live there.
///
/// All queries of a pass are given the same end. A query that breaks observes no more, but the pass goes on while
/// other queries observe: so such a query answers from what it has kept, not from [`heap`](Self::heap).
///
/// ```
/// use heapprof::query::{AppliedEvent, LiveHeap, Query, QueryEnd};
/// use heapprof::Reader;
/// use std::ops::ControlFlow;
///
/// /// How a log ends.
/// struct End;
///
/// impl Query for End {
///     type Output = (u64, usize, i64);
///
///     fn observe(&mut self, _: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
///         ControlFlow::Continue(())
///     }
///
///     fn finish(self, end: &QueryEnd<'_>) -> Self::Output {
///         assert_eq!(end.time(), end.position().elapsed());
///         assert!(!end.is_stopped() && !end.is_damaged());
///         (end.position().events(), end.damage().len(), end.heap().usage().total())
///     }
/// }
///
/// let end = Reader::open("examples/data/demo")?.ask(End)?;
/// assert_eq!(end, (49_779, 0, 8_334_103));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct QueryEnd<'a> {
    heap: &'a LiveHeap,
    position: LogPosition,
    is_stopped: bool,
    damage: &'a [DecodeError],
    damaged: Taint,
}

impl<'a> QueryEnd<'a> {
    pub(super) const fn new(
        heap: &'a LiveHeap,
        position: LogPosition,
        is_stopped: bool,
        damage: &'a [DecodeError],
        damaged: Taint,
    ) -> Self {
        Self {
            heap,
            position,
            is_stopped,
            damage,
            damaged,
        }
    }

    /// The time of the last event of the pass. If the pass [stopped](Self::is_stopped), the event at which the last
    /// query broke does not count.
    pub fn time(&self) -> Elapsed {
        self.position.elapsed()
    }

    /// The end of that event.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// What is live after it.
    pub fn heap(&self) -> &'a LiveHeap {
        self.heap
    }

    /// Whether the pass stopped before the end of the log, because no query wanted more events.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The damage of the log up to there: the first record of each kind, in the order of the file.
    pub fn damage(&self) -> &'a [DecodeError] {
        self.damage
    }

    /// Whether a result is derived from [damaged](crate::Usage::is_damaged) input: from [damage](Self::damage) other
    /// than a cut, or from a damaged `.hpm` file.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    pub(in crate::query) fn taint(&self) -> Taint {
        self.damaged
    }
}
