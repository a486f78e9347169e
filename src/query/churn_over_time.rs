//! [`ChurnOverTime`]: when a program allocates and frees, and how fast.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::digest::options::default_interval_ms;
use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::churn::TraceChurn;
use crate::query::scope::{Scope, scope_methods};
use crate::query::trace_rows::Row;
use crate::reader::Reader;
use crate::time::Elapsed;

/// At most this many steps if the caller states no length.
const DEFAULT_STEPS: usize = 1000;

/// Allocations, frees and their bytes in equal steps of time.
///
/// ```
/// use heapprof::query::ChurnOverTime;
/// use heapprof::Reader;
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let churn = reader.ask(ChurnOverTime::query().every(Duration::from_secs(2)))?;
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
/// use heapprof::query::ChurnOverTime;
/// use heapprof::Reader;
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let churn = reader.ask(ChurnOverTime::query().every(Duration::from_secs(2)))?;
/// let last = churn.steps().last().unwrap();
/// assert_eq!((last.from.as_secs(), last.to.as_micros()), (20, 21_789_059)); // the end of the log
/// assert_eq!((last.allocations, last.frees, last.allocated), (2_784, 2_522, 1_016_618));
/// assert_eq!(last.allocations_per_second().round(), 1_556.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ChurnStep {
    /// When it begins.
    #[cfg_attr(feature = "serde", serde(rename = "from_us"))]
    pub from: Elapsed,
    /// When it ends; that of the last step is the end of the log, or of the window.
    #[cfg_attr(feature = "serde", serde(rename = "to_us"))]
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

    /// The query, for the whole log until restricted.
    pub fn query() -> ChurnOverTimeQuery {
        ChurnOverTimeQuery {
            scope: Scope::WHOLE,
            every: None,
            step: 1,
            steps: Vec::new(),
            current: TraceChurn::default(),
            current_end: None,
            is_over: false,
        }
    }

    /// The length of a step: the one that the query [was given](ChurnOverTimeQuery::every), or that times a power of two.
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
/// use heapprof::query::ChurnOverTime;
/// use heapprof::{Elapsed, Reader};
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let query = ChurnOverTime::query()
///     .every(Duration::from_millis(500))
///     .within(Elapsed::from_secs(11)..Elapsed::from_secs(13));
/// let bytes: Vec<_> = reader.ask(query)?.steps().map(|step| step.allocated).collect();
/// assert_eq!(bytes, [14_403_320, 0, 0, 14_309_150]);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ChurnOverTimeQuery {
    scope: Scope,
    every: Option<Duration>,
    /// The length of a step, in microseconds.
    step: u64,
    /// The steps before the current one.
    steps: Vec<TraceChurn>,
    current: TraceChurn,
    /// The last time in the current step; `None` before the first step.
    current_end: Option<Elapsed>,
    /// Whether the log goes on after the window.
    is_over: bool,
}

impl ChurnOverTimeQuery {
    scope_methods!(within);
    scope_methods!(of);

    /// The length of a step, in whole microseconds and at least one. The default is the
    /// [interval of a digest](crate::DigestOptions::interval), for about a thousand steps.
    ///
    /// The query doubles it while there would be more than [`MAX_STEPS`](ChurnOverTime::MAX_STEPS) steps.
    pub fn every(mut self, step: Duration) -> Self {
        self.every = Some(step);
        self
    }

    /// The number of the step with an event at this time.
    fn number(&self, elapsed: Elapsed) -> usize {
        let distance = elapsed
            .as_micros()
            .saturating_sub(self.scope.window.start().as_micros());
        usize::try_from(distance.saturating_sub(1) / self.step).unwrap_or(usize::MAX)
    }

    /// Makes the step of an event at this time the current one.
    #[cold]
    fn advance(&mut self, elapsed: Elapsed) {
        if self.current_end.is_some() {
            self.steps.push(std::mem::take(&mut self.current));
        }
        let max = match self.every {
            Some(_) => ChurnOverTime::MAX_STEPS,
            // A digest of another log can have another end.
            None => 2 * DEFAULT_STEPS,
        };
        while self.number(elapsed) >= max {
            self.step = self.step.saturating_mul(2);
            self.steps = self.steps.chunks(2).map(sum).collect();
        }
        let number = self.number(elapsed);
        self.steps.resize(number + 1, TraceChurn::default());
        self.current = self.steps.pop().unwrap_or_default();
        let end = self.step.saturating_mul(number as u64 + 1);
        self.current_end = Some(self.scope.window.start() + Duration::from_micros(end));
    }
}

impl Query for ChurnOverTimeQuery {
    type Output = ChurnOverTime;

    fn start(&self) -> Elapsed {
        self.scope.window.start()
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        let window = self.scope.window;
        self.step = match self.every {
            Some(step) => Elapsed::from(step).as_micros(),
            None => {
                let end = start.log_end()?.elapsed().min(window.end());
                let length = Elapsed::from(end.since(window.start()));
                default_interval_ms(length, DEFAULT_STEPS as u64).saturating_mul(1000)
            }
        };
        self.step = self.step.max(1);
        Ok(())
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
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
        let bytes = applied.bytes.unsigned_abs();
        self.current.add_event(event.kind, event.size, bytes);
        ControlFlow::Continue(())
    }

    fn finish(mut self, end: &QueryEnd<'_>) -> ChurnOverTime {
        let to = if self.is_over {
            self.scope.window.end()
        } else {
            end.position().elapsed().min(self.scope.window.end())
        };
        let from = self.scope.window.start();
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
            damaged: end.taint(),
        }
    }
}

impl Reader {
    /// Allocations and frees over time, in up to a thousand steps; [`ChurnOverTimeQuery`] has options.
    ///
    /// One pass over the log, and one before it if its [end](Self::end) is not known yet.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn churn_over_time(&self) -> Result<ChurnOverTime> {
        self.ask(ChurnOverTime::query())
    }
}

fn sum(steps: &[TraceChurn]) -> TraceChurn {
    steps.iter().fold(TraceChurn::default(), |mut sum, step| {
        sum.add(step);
        sum
    })
}
