//! [`ChurnOverTime`]: when a program allocates and frees, and how fast.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::block_counts::BlockScale;
use crate::query::churn::ChurnSums;
use crate::query::scope::{Scope, scope_methods};
use crate::query::steps::{MAX_STEPS, Step, Steps, StepsBuilder, steps_methods};
use crate::query::trace_rows::Row;
use crate::reader::Reader;
use crate::time::Elapsed;

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
    steps: Steps<ChurnSums>,
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
    /// The estimate of the blocks allocated.
    pub allocations: u64,
    /// The estimate of the blocks freed.
    pub frees: u64,
    /// The estimate of the bytes allocated.
    pub allocated: u64,
    /// The estimate of the bytes freed.
    pub freed: u64,
    /// How many allocations were recorded.
    pub recorded_allocations: u64,
    /// How many frees were recorded.
    pub recorded_frees: u64,
}

impl ChurnStep {
    /// Allocations a second. 0, as the other rates, of a step that takes no time.
    pub fn allocations_per_second(&self) -> f64 {
        self.rate(self.allocations)
    }

    /// Frees a second.
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
    pub const MAX_STEPS: usize = MAX_STEPS;

    /// The query, for the whole log until restricted.
    pub fn query() -> ChurnOverTimeQuery {
        ChurnOverTimeQuery {
            scope: Scope::WHOLE,
            scale: BlockScale::default(),
            steps: StepsBuilder::new(),
            is_over: false,
        }
    }

    /// The length of a step: the one that the query [was given](ChurnOverTimeQuery::every), or that times a power of
    /// two.
    pub fn step(&self) -> Duration {
        self.steps.step()
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The steps, in the order of time and without a gap, up to the end of the log or of the window.
    /// None if the window begins at or after the end of the log, and of an empty log.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = ChurnStep> + ExactSizeIterator + Clone {
        self.steps.iter().map(|(from, to, counts)| ChurnStep {
            from,
            to,
            allocations: counts.allocations.estimated(),
            frees: counts.frees.estimated(),
            allocated: counts.allocated,
            freed: counts.freed,
            recorded_allocations: counts.allocations.recorded,
            recorded_frees: counts.frees.recorded,
        })
    }
}

/// The query for [`ChurnOverTime`].
///
/// One pass over the log, or over the window. Memory: 112 to 224 bytes a step.
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
    scale: BlockScale,
    steps: StepsBuilder<ChurnSums>,
    /// Whether the log goes on after the window.
    is_over: bool,
}

impl ChurnOverTimeQuery {
    scope_methods!(within);
    scope_methods!(of);

    steps_methods!();
}

impl Step for ChurnSums {
    fn append(&mut self, next: &Self) {
        self.add(next);
    }
}

impl Query for ChurnOverTimeQuery {
    type Output = ChurnOverTime;

    fn start(&self) -> Elapsed {
        self.scope.window.start()
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.scale = BlockScale::new(start.rates());
        self.steps.begin(self.scope.window, start)
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
        let bytes = applied.bytes.unsigned_abs();
        let blocks = self.scale.blocks(event.size);
        let step = self.steps.at(event.elapsed);
        step.add_event(event.kind, event.size, bytes, blocks);
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> ChurnOverTime {
        ChurnOverTime {
            steps: self.steps.finish(self.is_over, end),
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
