//! [`ChurnOverTime`]: when a program allocates and frees, and how fast.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::analysis::churn::TraceChurn;
use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::analysis::scope::Scope;
use crate::analysis::trace_rows::Row;
use crate::analysis::trace_set::TraceSet;
use crate::error::Taint;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::time::Elapsed;

/// Allocations, frees and their bytes in equal steps of time.
///
/// ```
/// use heapprof::{ChurnOverTime, Reader};
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let churn = reader.ask(ChurnOverTime::every(Duration::from_secs(2)))?;
/// assert_eq!(churn.steps().len(), 11); // the program ran for 21.8 s
/// let busiest = churn.steps().max_by_key(|step| step.allocated).unwrap();
/// assert_eq!(busiest.from.as_secs(), 10);
/// assert_eq!(busiest.allocations, 2_127);
/// assert_eq!(busiest.bytes_per_second(), 7_520_195.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("allocation rate"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChurnOverTime {
    from: Elapsed,
    to: Elapsed,
    step: u64,
    steps: Vec<TraceChurn>,
    damaged: Taint,
}

/// One step of a [`ChurnOverTime`]: the events after `from` and up to `to`. An event at time 0 is in the
/// first step of a whole log.
///
/// ```
/// use heapprof::{ChurnOverTime, Reader};
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let churn = reader.ask(ChurnOverTime::every(Duration::from_secs(2)))?;
/// let last = churn.steps().last().unwrap();
/// assert_eq!((last.from.as_secs(), last.to.as_micros()), (20, 21_789_059)); // the end of the log
/// assert_eq!((last.allocations, last.frees, last.allocated), (2_784, 2_522, 1_016_618));
/// assert_eq!(last.allocations_per_second().round(), 1_556.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChurnStep {
    /// When it begins.
    pub from: Elapsed,
    /// When it ends; that of the last step is the end of the log, or of the window.
    pub to: Elapsed,
    /// How many blocks were allocated, as recorded.
    pub allocations: u64,
    /// How many blocks were freed, as recorded.
    pub frees: u64,
    /// The estimate of the bytes allocated.
    pub allocated: u64,
    /// The estimate of the bytes freed.
    pub freed: u64,
}

impl ChurnStep {
    /// Recorded allocations a second. 0, as the other rates, of a step that takes no time.
    pub fn allocations_per_second(&self) -> f64 {
        self.rate(self.allocations)
    }

    /// Recorded frees a second.
    pub fn frees_per_second(&self) -> f64 {
        self.rate(self.frees)
    }

    /// Bytes allocated a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.rate(self.allocated)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn rate(&self, count: u64) -> f64 {
        let seconds = self.to.since(self.from).as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }
}

impl ChurnOverTime {
    /// The largest number of steps, enough for a day of seconds. A clock can be off by a hundred years.
    pub const MAX_STEPS: usize = 1 << 17;

    /// A query for the churn in steps of this time, in whole microseconds and at least one;
    /// [`ChurnOverTimeQuestion`] can restrict it to a window and a set of traces.
    ///
    /// The query doubles the step while there would be more than [`MAX_STEPS`](Self::MAX_STEPS) steps: see
    /// [`step`](Self::step).
    pub fn every(step: Duration) -> ChurnOverTimeQuestion {
        ChurnOverTimeQuestion {
            scope: Scope::WHOLE,
            step: Elapsed::from(step).as_micros().max(1),
            steps: Vec::new(),
            current: TraceChurn::default(),
            current_end: None,
            is_over: false,
        }
    }

    /// The length of a step: the one that the query was given, or that times a power of two.
    pub fn step(&self) -> Duration {
        Duration::from_micros(self.step)
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The steps, in the order of time and without a gap, up to the end of the log or of the window.
    /// None if the window begins at or after the end of the log, and of an empty log.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = ChurnStep> + ExactSizeIterator + Clone {
        self.steps.iter().enumerate().map(|(number, counts)| {
            let begin = |number: u64| {
                let distance = Duration::from_micros(self.step.saturating_mul(number));
                (self.from + distance).min(self.to)
            };
            ChurnStep {
                from: begin(number as u64),
                to: begin(number as u64 + 1),
                allocations: counts.allocations,
                frees: counts.frees,
                allocated: counts.allocated,
                freed: counts.freed,
            }
        })
    }
}

/// The query for [`ChurnOverTime`].
///
/// One pass over the log, or over the window. Memory: 48 to 96 bytes a step.
///
/// ```
/// use heapprof::{ChurnOverTime, Elapsed, Reader};
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let question = ChurnOverTime::every(Duration::from_millis(500))
///     .within(Elapsed::from_secs(11), Elapsed::from_secs(13));
/// let bytes: Vec<_> = reader.ask(question)?.steps().map(|step| step.allocated).collect();
/// assert_eq!(bytes, [14_403_320, 0, 0, 14_309_150]);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ChurnOverTimeQuestion {
    scope: Scope,
    step: u64,
    /// The steps before the current one.
    steps: Vec<TraceChurn>,
    current: TraceChurn,
    /// The last time in the current step; `None` before the first step.
    current_end: Option<Elapsed>,
    /// Whether the log goes on after the window.
    is_over: bool,
}

impl ChurnOverTimeQuestion {
    /// Restricts the query to events up to one moment, from the first event on.
    pub fn until(self, to: impl Into<Elapsed>) -> Self {
        let scope = self.scope.until(to);
        Self { scope, ..self }
    }

    /// Restricts the query to events with `from` < elapsed ≤ `to`. The first step begins at `from`. No such
    /// window has the events at time 0; a query [from the first event on](Self::until) has.
    pub fn within(self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        let scope = self.scope.within(from, to);
        Self { scope, ..self }
    }

    /// Restricts the query to these traces.
    pub fn of(self, traces: TraceSet) -> Self {
        let scope = self.scope.of(traces);
        Self { scope, ..self }
    }

    /// The number of the step with an event at this time.
    fn number(&self, elapsed: Elapsed) -> usize {
        let distance = elapsed
            .as_micros()
            .saturating_sub(self.scope.window().from().as_micros());
        usize::try_from(distance.saturating_sub(1) / self.step).unwrap_or(usize::MAX)
    }

    /// Makes the step of an event at this time the current one.
    #[cold]
    fn advance(&mut self, elapsed: Elapsed) {
        if self.current_end.is_some() {
            self.steps.push(std::mem::take(&mut self.current));
        }
        while self.number(elapsed) >= ChurnOverTime::MAX_STEPS {
            self.step = self.step.saturating_mul(2);
            self.steps = self.steps.chunks(2).map(sum).collect();
        }
        let number = self.number(elapsed);
        self.steps.resize(number + 1, TraceChurn::default());
        self.current = self.steps.pop().unwrap_or_default();
        let end = self.step.saturating_mul(number as u64 + 1);
        self.current_end = Some(self.scope.window().from() + Duration::from_micros(end));
    }
}

impl Question for ChurnOverTimeQuestion {
    type Answer = ChurnOverTime;

    fn from(&self) -> Elapsed {
        self.scope.window().from()
    }

    #[inline]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
        if self.scope.is_over(event.elapsed) {
            self.is_over = true;
            return ControlFlow::Break(());
        }
        let index = TraceId::to_disk(event.trace);
        if !self.scope.contains(event.elapsed, index) {
            return ControlFlow::Continue(());
        }
        if self.current_end.is_none_or(|end| event.elapsed > end) {
            self.advance(event.elapsed);
        }
        let bytes = step.bytes.unsigned_abs();
        self.current.add_event(event.kind, event.size, bytes);
        ControlFlow::Continue(())
    }

    fn answer(mut self, end: &LogEnd<'_>) -> ChurnOverTime {
        let to = if self.is_over {
            self.scope.window().to()
        } else {
            end.position.elapsed().min(self.scope.window().to())
        };
        let from = self.scope.window().from();
        if to > from && self.current_end.is_none_or(|end| to > end) {
            self.advance(to);
        }
        if self.current_end.is_some() {
            self.steps.push(self.current);
        }
        ChurnOverTime {
            from,
            to: to.max(from),
            step: self.step,
            steps: self.steps,
            damaged: end.damaged,
        }
    }
}

fn sum(steps: &[TraceChurn]) -> TraceChurn {
    steps.iter().fold(TraceChurn::default(), |mut sum, step| {
        sum.add(step);
        sum
    })
}
