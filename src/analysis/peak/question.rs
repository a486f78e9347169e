//! The peak of a part of the log, or of some traces, and together with other questions.

use std::ops::ControlFlow;

use super::{HighWater, Peak};
use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::analysis::trace_set::TraceSet;
use crate::analysis::undo_log::UndoLog;
use crate::analysis::window::Window;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::time::Elapsed;
use crate::usage::{Usage, saturated};

/// Asks for a [`Peak`].
///
/// One pass over the log, at about the cost of knowing what is live at its end: the heap is not
/// copied at a new maximum. Memory: up to 16 bytes for each trace that has changed since the
/// maximum, and a bit a trace.
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
    window: Window,
    set: Option<TraceSet>,
    /// What is live now of the traces that are asked for.
    total: i128,
    /// The highest of these, and where it was first reached.
    highest: i128,
    time: Elapsed,
    events: u64,
    /// The traces that have changed since, with what they had then.
    touched: UndoLog,
    /// What was live then, once the window is over.
    usage: Option<Usage>,
}

impl PeakQuestion {
    pub(super) fn new() -> Self {
        Self {
            window: Window::WHOLE,
            set: None,
            total: 0,
            highest: i128::MIN,
            time: Elapsed::ZERO,
            events: 0,
            touched: UndoLog::new(0),
            usage: None,
        }
    }

    /// The peak up to one moment.
    pub fn until(mut self, to: impl Into<Elapsed>) -> Self {
        self.window = Window::until(to);
        self
    }

    /// The peak from one moment to another, both included. What is live at `from` counts, whenever
    /// it was allocated: if nothing exceeds it, `from` is the time of the peak. Also if `to` is
    /// before `from`.
    pub fn within(mut self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        self.window = Window::new(from, to);
        self
    }

    /// The peak of these traces: the moment at which they, and not all, had the most live bytes.
    ///
    /// [`TraceSet::of`] gives the traces of a line.
    pub fn of(mut self, traces: TraceSet) -> Self {
        self.set = Some(traces);
        self
    }

    /// What is live now is the highest so far.
    #[inline]
    fn mark(&mut self, time: Elapsed, events: u64) {
        self.highest = self.total;
        self.time = time;
        self.events = events;
        self.touched.clear();
    }

    /// An event after the window has changed a balance that was `before`.
    #[cold]
    fn end(&mut self, index: u32, before: i64, heap: &LiveHeap) {
        self.touched.record(index, before);
        self.usage = Some(self.usage_then(heap));
    }

    /// What was live at the peak, given what is live now.
    fn usage_then(&mut self, heap: &LiveHeap) -> Usage {
        let usage = self.touched.usage_before(heap);
        match &self.set {
            Some(set) => set.filter(&usage),
            None => usage,
        }
    }
}

impl Question for PeakQuestion {
    type Answer = Peak;

    fn from(&self) -> Elapsed {
        self.window.from()
    }

    fn begin(&mut self, heap: &LiveHeap, place: &LogPlace<'_>) {
        self.touched = UndoLog::new(place.traces as usize);
        self.total = match &self.set {
            Some(set) => {
                let live = set.filter(&heap.usage());
                live.by_trace().map(|(_, bytes)| i128::from(bytes)).sum()
            }
            None => heap.total(),
        };
        self.mark(self.window.from(), place.events);
    }

    #[expect(
        clippy::inline_always,
        reason = "a step in memory costs more than to replay it"
    )]
    #[inline(always)]
    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        let index = TraceId::to_disk(step.event.trace);
        let time = step.event.elapsed;
        if self.window.is_over(time) {
            self.end(index, step.before, heap);
            return ControlFlow::Break(());
        }
        if self.set.as_ref().is_none_or(|set| set.has(index)) {
            self.total += i128::from(step.live) - i128::from(step.before);
            if self.total > self.highest {
                self.mark(time, step.number);
            } else {
                self.touched.record(index, step.before);
            }
        }
        if !self.window.has_begun(time) {
            // Of a window that begins at time 0, events at time 0 lead to its beginning.
            self.mark(self.window.from(), step.number);
        }
        ControlFlow::Continue(())
    }

    fn answer(mut self, end: &LogEnd<'_>) -> Peak {
        let usage = match self.usage.take() {
            Some(usage) => usage,
            None => self.usage_then(end.heap),
        };
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
