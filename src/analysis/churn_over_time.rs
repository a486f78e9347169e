//! When does a program allocate, and how fast?

use std::ops::ControlFlow;
use std::time::Duration;

use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::analysis::trace_set::TraceSet;
use crate::analysis::window::Window;
use crate::error::Damaged;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::raw::EventKind;
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
    steps: Vec<Counts>,
    damaged: Damaged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    allocations: u64,
    frees: u64,
    allocated: u64,
    freed: u64,
}

/// One step of a [`ChurnOverTime`]: what came after `from` and up to `to`. An event at time 0 is in
/// the first step of a whole log.
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
    /// There are no more steps than this, a day of seconds and more. A clock can be off by a hundred
    /// years.
    pub const MAX_STEPS: usize = 1 << 17;

    /// Asks for the churn in steps of so much time, whole microseconds and at least one; what it
    /// [returns](ChurnOverTimeQuestion) takes a window, or a set of traces.
    ///
    /// Where that would be more than [`MAX_STEPS`](Self::MAX_STEPS) steps it is doubled until it is
    /// not: see [`step`](Self::step). Memory: 80 bytes a step.
    pub fn every(step: Duration) -> ChurnOverTimeQuestion {
        ChurnOverTimeQuestion {
            window: Window::WHOLE,
            set: None,
            step: Elapsed::from(step).as_micros().max(1),
            steps: Vec::new(),
            current: Counts::default(),
            current_end: None,
            is_over: false,
        }
    }

    /// The time that a step takes: that which was asked for, or that times a power of two.
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

/// Asks for [`ChurnOverTime`].
///
/// One pass over the log, or over the window. Memory: 32 to 64 bytes a step.
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
    window: Window,
    set: Option<TraceSet>,
    step: u64,
    /// The steps before the current one.
    steps: Vec<Counts>,
    current: Counts,
    /// The last time that is in the current one; `None` while there is none.
    current_end: Option<Elapsed>,
    /// Whether the log goes on after the window.
    is_over: bool,
}

impl ChurnOverTimeQuestion {
    /// The churn up to one moment, from the first event on.
    pub fn until(mut self, to: impl Into<Elapsed>) -> Self {
        self.window = Window::until(to);
        self
    }

    /// The churn after one moment and up to another: of the events with `from` < elapsed ≤ `to`. Those
    /// at time 0 are in none such, but in one [from the first event on](Self::until).
    /// The first step begins at `from`.
    pub fn within(mut self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        self.window = Window::new(from, to);
        self
    }

    /// What these traces allocate and free.
    pub fn of(mut self, traces: TraceSet) -> Self {
        self.set = Some(traces);
        self
    }

    /// The number of the step with an event at this time.
    fn number(&self, elapsed: Elapsed) -> usize {
        let distance = elapsed
            .as_micros()
            .saturating_sub(self.window.from().as_micros());
        usize::try_from(distance.saturating_sub(1) / self.step).unwrap_or(usize::MAX)
    }

    /// Makes the step of an event at this time the current one.
    #[cold]
    fn go_on(&mut self, elapsed: Elapsed) {
        if self.current_end.is_some() {
            self.steps.push(std::mem::take(&mut self.current));
        }
        while self.number(elapsed) >= ChurnOverTime::MAX_STEPS {
            self.step = self.step.saturating_mul(2);
            self.steps = self.steps.chunks(2).map(Counts::sum).collect();
        }
        let number = self.number(elapsed);
        self.steps.resize(number + 1, Counts::default());
        self.current = self.steps.pop().unwrap_or_default();
        let end = self.step.saturating_mul(number as u64 + 1);
        self.current_end = Some(self.window.from() + Duration::from_micros(end));
    }
}

impl Counts {
    fn sum(counts: &[Self]) -> Self {
        let mut sum = Self::default();
        for counts in counts {
            sum.allocations += counts.allocations;
            sum.frees += counts.frees;
            sum.allocated = sum.allocated.saturating_add(counts.allocated);
            sum.freed = sum.freed.saturating_add(counts.freed);
        }
        sum
    }
}

impl Question for ChurnOverTimeQuestion {
    type Answer = ChurnOverTime;

    fn from(&self) -> Elapsed {
        self.window.from()
    }

    #[inline]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
        if self.window.is_over(event.elapsed) {
            self.is_over = true;
            return ControlFlow::Break(());
        }
        let index = TraceId::to_disk(event.trace);
        if !self.window.has_begun(event.elapsed)
            || !self.set.as_ref().is_none_or(|set| set.has(index))
        {
            return ControlFlow::Continue(());
        }
        if self.current_end.is_none_or(|end| event.elapsed > end) {
            self.go_on(event.elapsed);
        }
        let bytes = step.bytes.unsigned_abs();
        match event.kind {
            EventKind::Allocation => {
                self.current.allocations += 1;
                self.current.allocated = self.current.allocated.saturating_add(bytes);
            }
            EventKind::Free => {
                self.current.frees += 1;
                self.current.freed = self.current.freed.saturating_add(bytes);
            }
        }
        ControlFlow::Continue(())
    }

    fn answer(mut self, end: &LogEnd<'_>) -> ChurnOverTime {
        let to = if self.is_over {
            self.window.to()
        } else {
            end.position.elapsed().min(self.window.to())
        };
        let from = self.window.from();
        if to > from && self.current_end.is_none_or(|end| to > end) {
            self.go_on(to);
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
