//! [`Envelope`]: the lowest, highest and last total of each step of time.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::scope::{Scope, scope_methods};
use crate::query::steps::{Step, Steps, StepsBuilder, steps_methods};
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::saturated;

/// All live bytes over time, with the lowest and the highest value in each step. So a plot shows every spike, however
/// short: a series on a grid, such as that of a digest, has only what is live at its points.
///
/// ```
/// use heapprof::query::Envelope;
/// use heapprof::Reader;
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (envelope, peak) = reader.ask((
///     Envelope::query().every(Duration::from_secs(2)),
///     heapprof::query::Peak::query(),
/// ))?;
/// assert_eq!(envelope.steps().len(), 11);
/// let highest = envelope.steps().map(|step| step.highest).max();
/// assert_eq!(highest, Some(peak.total()));
/// assert_eq!(envelope.steps().last().unwrap().last, 8_334_103);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("timePlot"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    steps: Steps<Range>,
    damaged: Taint,
}

/// One step of an [`Envelope`].
///
/// ```
/// use heapprof::query::Envelope;
/// use heapprof::Reader;
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let envelope = reader.ask(Envelope::query().every(Duration::from_secs(2)))?;
/// let busiest = envelope.steps().max_by_key(|step| step.highest).unwrap();
/// assert_eq!((busiest.from.as_secs(), busiest.to.as_secs()), (12, 14));
/// assert_eq!((busiest.lowest, busiest.highest, busiest.last), (5_011_263, 19_241_503, 5_080_039));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EnvelopeStep {
    /// When it begins.
    #[cfg_attr(feature = "serde", serde(rename = "from_us"))]
    pub from: Elapsed,
    /// When it ends; that of the last step is the end of the log, or of the window.
    #[cfg_attr(feature = "serde", serde(rename = "to_us"))]
    pub to: Elapsed,
    /// The fewest live bytes at any moment of the step, its begin included.
    pub lowest: i64,
    /// The most live bytes at any moment of the step, its begin included.
    pub highest: i64,
    /// The live bytes at its end.
    pub last: i64,
}

/// The totals of a step. Without an event they are `None` until the query finishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Range(Option<Totals>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Totals {
    lowest: i64,
    highest: i64,
    last: i64,
}

impl Totals {
    const fn of(total: i64) -> Self {
        Self {
            lowest: total,
            highest: total,
            last: total,
        }
    }

    /// The totals of both, if `next` comes after them.
    fn then(self, next: Self) -> Self {
        Self {
            lowest: self.lowest.min(next.lowest),
            highest: self.highest.max(next.highest),
            last: next.last,
        }
    }
}

impl Step for Range {
    #[inline]
    fn append(&mut self, next: &Self) {
        self.0 = match (self.0, next.0) {
            (Some(totals), Some(next)) => Some(totals.then(next)),
            (totals, next) => totals.or(next),
        };
    }
}

impl Envelope {
    /// The query, for the whole log until restricted.
    pub fn query() -> EnvelopeQuery {
        EnvelopeQuery {
            scope: Scope::WHOLE,
            steps: StepsBuilder::new(),
            at_start: 0,
            total: 0,
            is_over: false,
        }
    }

    /// The length of a step: the one that the query [was given](EnvelopeQuery::every), or that times a power of two.
    pub fn step(&self) -> Duration {
        self.steps.step()
    }

    /// The steps, in the order of time and without a gap, up to the end of the log or of the window.
    /// None if the window begins at or after the end of the log, and of an empty log.
    pub fn steps(
        &self,
    ) -> impl DoubleEndedIterator<Item = EnvelopeStep> + ExactSizeIterator + Clone {
        self.steps.iter().map(|(from, to, range)| {
            let totals = range.0.unwrap_or(Totals::of(0));
            EnvelopeStep {
                from,
                to,
                lowest: totals.lowest,
                highest: totals.highest,
                last: totals.last,
            }
        })
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

/// The query for [`Envelope`].
///
/// One pass over the log, or over the window. Memory: 64 bytes a step.
///
/// ```
/// use heapprof::query::{Envelope, TraceSet, Track};
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let line = reader.traces()?.search("report.py:17")[0];
/// let of_line = TraceSet::of(reader.traces()?, [Track::Local(line)]);
/// let query = Envelope::query()
///     .of(&of_line)
///     .within(Elapsed::from_secs(12)..Elapsed::from_secs(14));
/// let highest = reader.ask(query)?.steps().map(|step| step.highest).max();
/// assert_eq!(highest, Some(4_720_708));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct EnvelopeQuery {
    scope: Scope,
    steps: StepsBuilder<Range>,
    /// The live bytes of the traces in the scope: when the window starts, and now.
    at_start: i128,
    total: i128,
    /// Whether the log goes on after the window.
    is_over: bool,
}

impl EnvelopeQuery {
    scope_methods!(within);
    scope_methods!(of);
    steps_methods!();
}

impl Query for EnvelopeQuery {
    type Output = Envelope;

    fn start(&self) -> Elapsed {
        self.scope.window.start()
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        let live = self.scope.filter(start.heap().usage());
        self.at_start = live.by_trace().map(|(_, bytes)| i128::from(bytes)).sum();
        self.total = self.at_start;
        self.steps.begin(self.scope.window, start)
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let time = applied.event.elapsed;
        if self.scope.is_over(time) {
            self.is_over = true;
            return ControlFlow::Break(());
        }
        let is_counted = self.scope.has_trace(TraceId::to_disk(applied.event.trace));
        if is_counted {
            self.total += i128::from(applied.trace_after) - i128::from(applied.trace_before);
        }
        if self.scope.window.has_begun(time) {
            let step = self.steps.at(time);
            if is_counted {
                step.append(&Range(Some(Totals::of(saturated(self.total)))));
            }
        } else {
            // Events at time 0 are before a window that begins at time 0.
            self.at_start = self.total;
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Envelope {
        let mut steps = self.steps.finish(self.is_over, end);
        let mut before = saturated(self.at_start);
        for range in steps.values_mut() {
            let carried = Totals::of(before);
            let totals = range.0.map_or(carried, |totals| carried.then(totals));
            before = totals.last;
            *range = Range(Some(totals));
        }
        Envelope {
            steps,
            damaged: end.taint(),
        }
    }
}

impl Reader {
    /// The lowest, highest and last total of all live bytes over time, in up to a thousand steps; [`EnvelopeQuery`]
    /// has options.
    ///
    /// One pass over the log, and one before it if its [end](Self::end) is not known yet.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn envelope(&self) -> Result<Envelope> {
        self.ask(Envelope::query())
    }
}
