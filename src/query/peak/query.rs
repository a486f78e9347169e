//! [`PeakQuery`]: the peak of a part of the log or of some traces, also together with other queries.

use std::ops::ControlFlow;

use super::{HighWater, Peak};
use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::scope::{Scope, scope_methods};
use crate::query::undo_log::UndoLog;
use crate::time::Elapsed;
use crate::usage::{Usage, saturated};

/// Asks for a [`Peak`].
///
/// One pass over the log, at about the cost of [`live_at_end`](crate::Reader::live_at_end): a new maximum does not
/// copy the heap. Memory: up to 16 bytes for each trace that has changed since the maximum, and one bit a trace.
///
/// ```
/// use heapprof::query::{Peak, TraceSet, Track};
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let leak = traces.find(("/srv/app/workloads/shop/customers.py", 11)).unwrap();
/// let (all, early, leak) = reader.ask((
///     Peak::query(),
///     Peak::query().within(Elapsed::ZERO..Elapsed::from_secs(10)),
///     Peak::query().of(&TraceSet::of(traces, [Track::Cumulative(leak)])),
/// ))?;
/// assert_eq!((all.time().as_micros(), all.total()), (12_678_881, 19_241_503));
/// assert_eq!((early.time().as_micros(), early.total()), (9_841_604, 4_394_128));
/// assert_eq!((leak.time().as_micros(), leak.total()), (21_628_244, 8_150_081));
/// assert_eq!(leak.usage().total(), leak.total());
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PeakQuery {
    scope: Scope,
    /// The live bytes of the traces in the scope.
    total: i128,
    /// The highest total, and when it was first reached.
    highest: i128,
    time: Elapsed,
    events: u64,
    /// The changes since then.
    undo: UndoLog,
    /// The usage at the peak, once the window is over.
    usage: Option<Usage>,
}

impl PeakQuery {
    scope_methods!(within);
    scope_methods!(of);

    pub(super) fn new() -> Self {
        Self {
            scope: Scope::WHOLE,
            total: 0,
            highest: i128::MIN,
            time: Elapsed::ZERO,
            events: 0,
            undo: UndoLog::new(0),
            usage: None,
        }
    }

    /// The current total is the highest so far.
    #[inline]
    fn mark(&mut self, time: Elapsed, events: u64) {
        self.highest = self.total;
        self.time = time;
        self.events = events;
        self.undo.clear();
    }

    /// Takes the usage at the peak. The first event after the window changed the balance of a trace from `before`.
    #[cold]
    fn end(&mut self, index: u32, before: i64, heap: &LiveHeap) {
        self.undo.record(index, before);
        self.usage = Some(self.usage_at_peak(heap));
    }

    /// The usage at the peak, from the live heap now.
    fn usage_at_peak(&mut self, heap: &LiveHeap) -> Usage {
        self.scope.filter(self.undo.usage_before(heap))
    }
}

impl Query for PeakQuery {
    type Output = Peak;

    fn start(&self) -> Elapsed {
        self.scope.window.start()
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.undo = UndoLog::new(start.trace_count() as usize);
        let live = self.scope.filter(start.heap().usage());
        self.total = live.by_trace().map(|(_, bytes)| i128::from(bytes)).sum();
        self.mark(self.scope.window.start(), start.position().events());
        Ok(())
    }

    #[expect(
        clippy::inline_always,
        reason = "a step that is passed through memory costs more than to replay it"
    )]
    #[inline(always)]
    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()> {
        let index = TraceId::to_disk(applied.event.trace);
        let time = applied.event.elapsed;
        if self.scope.is_over(time) {
            self.end(index, applied.trace_before, heap);
            return ControlFlow::Break(());
        }
        if self.scope.has_trace(index) {
            self.total += i128::from(applied.trace_after) - i128::from(applied.trace_before);
            if self.total > self.highest {
                self.mark(time, applied.number);
            } else {
                self.undo.record(index, applied.trace_before);
            }
        }
        let window = self.scope.window;
        if !window.has_begun(time) {
            // Events at time 0 are before a window that begins at time 0.
            self.mark(window.start(), applied.number);
        }
        ControlFlow::Continue(())
    }

    fn finish(mut self, end: &QueryEnd<'_>) -> Peak {
        let usage = self.usage.take();
        let usage = usage.unwrap_or_else(|| self.usage_at_peak(end.heap()));
        Peak {
            high: HighWater {
                time: self.time,
                events: self.events,
                total: saturated(self.highest),
                damaged: end.taint(),
            },
            usage: usage.marked(end.taint()),
        }
    }
}
