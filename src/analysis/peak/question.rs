//! [`PeakQuestion`]: the peak of a part of the log or of some traces, also together with other questions.

use std::ops::ControlFlow;

use super::{HighWater, Peak};
use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::analysis::scope::Scope;
use crate::analysis::trace_set::TraceSet;
use crate::analysis::undo_log::UndoLog;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::time::Elapsed;
use crate::usage::{Usage, saturated};

/// Asks for a [`Peak`].
///
/// One pass over the log, at about the cost of [`live_at_end`](crate::Reader::live_at_end): a new maximum does not
/// copy the heap. Memory: up to 16 bytes for each trace that has changed since the maximum, and one bit a trace.
///
/// ```
/// use heapprof::{Elapsed, Peak, Reader, TraceSet, Track};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let leak = traces.find(("/srv/app/workloads/shop/customers.py", 11)).unwrap();
/// let (all, early, leak) = reader.ask((
///     Peak::question(),
///     Peak::question().within(Elapsed::ZERO, Elapsed::from_secs(10)),
///     Peak::question().of(TraceSet::of(traces, [Track::Cumulative(leak)])),
/// ))?;
/// assert_eq!((all.time().as_micros(), all.total()), (12_678_881, 19_241_503));
/// assert_eq!((early.time().as_micros(), early.total()), (9_841_604, 4_394_128));
/// assert_eq!((leak.time().as_micros(), leak.total()), (21_628_244, 8_150_081));
/// assert_eq!(leak.usage().total(), leak.total());
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PeakQuestion {
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

impl PeakQuestion {
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

    /// The peak up to a time.
    pub fn until(mut self, to: impl Into<Elapsed>) -> Self {
        self.scope = self.scope.until(to);
        self
    }

    /// The peak between two times, both included. The live bytes at `from` count, whenever they were allocated: if
    /// no later total exceeds theirs, the peak is at `from`. That also holds if `to` is before `from`.
    pub fn within(mut self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        self.scope = self.scope.within(from, to);
        self
    }

    /// The peak of these traces: when they, and not all traces, had the most live bytes.
    ///
    /// [`TraceSet::of`] gives the traces of a line.
    pub fn of(mut self, traces: TraceSet) -> Self {
        self.scope = self.scope.of(traces);
        self
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

impl Question for PeakQuestion {
    type Answer = Peak;

    fn from(&self) -> Elapsed {
        self.scope.window().from()
    }

    fn begin(&mut self, heap: &LiveHeap, place: &LogPlace<'_>) {
        self.undo = UndoLog::new(place.traces as usize);
        let live = self.scope.filter(heap.usage());
        self.total = live.by_trace().map(|(_, bytes)| i128::from(bytes)).sum();
        self.mark(self.scope.window().from(), place.events);
    }

    #[expect(
        clippy::inline_always,
        reason = "a step that is passed through memory costs more than to replay it"
    )]
    #[inline(always)]
    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        let index = TraceId::to_disk(step.event.trace);
        let time = step.event.elapsed;
        if self.scope.is_over(time) {
            self.end(index, step.before, heap);
            return ControlFlow::Break(());
        }
        if self.scope.has_trace(index) {
            self.total += i128::from(step.live) - i128::from(step.before);
            if self.total > self.highest {
                self.mark(time, step.number);
            } else {
                self.undo.record(index, step.before);
            }
        }
        let window = self.scope.window();
        if !window.has_begun(time) {
            // Events at time 0 are before a window that begins at time 0.
            self.mark(window.from(), step.number);
        }
        ControlFlow::Continue(())
    }

    fn answer(mut self, end: &LogEnd<'_>) -> Peak {
        let usage = self.usage.take();
        let usage = usage.unwrap_or_else(|| self.usage_at_peak(end.heap));
        Peak {
            high: HighWater {
                time: self.time,
                events: self.events,
                total: saturated(self.highest),
                damaged: end.damaged,
            },
            usage: usage.marked(end.damaged),
        }
    }
}
