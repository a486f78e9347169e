//! When was the most memory in use, and by whom?

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::analysis::touched::Touched;
use crate::analysis::trace_set::TraceSet;
use crate::analysis::window::Window;
use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::{Usage, saturated};

/// The high-water mark: the first moment at which the live bytes were the most, and what was live
/// then.
///
/// It is exact, from the log and not from the snapshots of a digest, between which a spike can hide.
/// The state before the first event counts too, so that of an empty log the peak is 0 bytes at time
/// 0 after 0 events.
///
/// ```
/// use heapprof::{Lines, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let peak = reader.peak()?;
/// assert_eq!(peak.total(), 19_241_503);
/// assert_eq!(peak.time().as_micros(), 12_678_881);
/// assert_eq!(peak.events(), 29_174);
/// // Any view shows what was live then.
/// let lines = Lines::new(reader.traces()?, peak.usage());
/// let heaviest = lines.by_local().next().unwrap();
/// assert_eq!(heaviest.frame.to_string(), "/srv/app/workloads/shop/customers.py:11");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("high-water mark", "high watermark", "maximum", "HWM"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peak {
    time: Elapsed,
    events: u64,
    total: i64,
    usage: Usage,
}

impl Peak {
    /// Asks for the peak of the whole log; what it [returns](PeakQuestion) takes a window, or a set
    /// of traces.
    pub fn question() -> PeakQuestion {
        PeakQuestion {
            window: Window::WHOLE,
            set: None,
            total: 0,
            highest: i128::MIN,
            time: Elapsed::ZERO,
            events: 0,
            touched: Touched::new(0),
            usage: None,
        }
    }

    /// When it was reached.
    pub fn time(&self) -> Elapsed {
        self.time
    }

    /// How many events the log has up to the one that reached it, that one included. So it is told
    /// from others at the same time.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The estimate of all live bytes then, or of those of the set that was asked for.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// What was live then, by trace; of a set of traces, theirs alone.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.usage.is_damaged()
    }

    /// The usage alone.
    pub fn into_usage(self) -> Usage {
        self.usage
    }
}

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
    touched: Touched,
    /// What was live then, once the window is over.
    usage: Option<Usage>,
}

impl PeakQuestion {
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
        self.touched.forget();
    }

    /// An event after the window has changed a balance that was `before`.
    #[cold]
    fn end(&mut self, index: u32, before: i64, heap: &LiveHeap) {
        self.touched.note(index, before);
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
        self.touched = Touched::new(place.traces as usize);
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
                self.touched.note(index, step.before);
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
            time: self.time,
            events: self.events,
            total: saturated(self.highest),
            usage: usage.marked(end.damaged),
        }
    }
}

impl Reader {
    /// The exact peak: when the live bytes were the most, and what was live then. For a part of the
    /// log or of the program, [ask](Self::ask) a [`PeakQuestion`].
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn peak(&self) -> Result<Peak> {
        self.ask(Peak::question())
    }
}
