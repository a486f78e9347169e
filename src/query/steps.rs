//! [`StepsBuilder`]: sums over equal steps of time, filled in the order of the log.

use std::time::Duration;

use crate::digest::options::default_interval_ms;
use crate::error::Result;
use crate::query::ask::{QueryEnd, QueryStart};
use crate::query::window::Window;
use crate::time::Elapsed;

/// The largest number of steps, enough for a day of seconds. A clock can be off by a hundred years.
pub(super) const MAX_STEPS: usize = 1 << 17;

/// At most this many steps if the caller states no length.
const DEFAULT_STEPS: usize = 1000;

/// What is kept of a step.
pub(super) trait Step: Copy + Default {
    /// Adds the step that follows, to make one of both.
    fn append(&mut self, next: &Self);
}

/// The steps of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steps<T> {
    from: Elapsed,
    to: Elapsed,
    /// The length of a step, in microseconds.
    step: u64,
    values: Vec<T>,
}

impl<T> Steps<T> {
    pub(super) fn step(&self) -> Duration {
        Duration::from_micros(self.step)
    }

    /// Each step with the times at which it begins and ends.
    pub(super) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Elapsed, Elapsed, &T)> + ExactSizeIterator + Clone {
        self.values.iter().enumerate().map(|(number, step)| {
            let begin = |number: u64| {
                let distance = Duration::from_micros(self.step.saturating_mul(number));
                (self.from + distance).min(self.to)
            };
            (begin(number as u64), begin(number as u64 + 1), step)
        })
    }

    pub(super) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

/// The steps of a window, while a query runs.
#[derive(Debug, Clone)]
pub(super) struct StepsBuilder<T> {
    /// The length that the caller states.
    pub(super) every: Option<Duration>,
    window: Window,
    /// The length of a step, in microseconds.
    step: u64,
    /// The steps before the current one.
    steps: Vec<T>,
    current: T,
    /// The last time in the current step; `None` before the first step.
    current_end: Option<Elapsed>,
}

impl<T: Step> StepsBuilder<T> {
    pub(super) fn new() -> Self {
        Self {
            every: None,
            window: Window::WHOLE,
            step: 1,
            steps: Vec::new(),
            current: T::default(),
            current_end: None,
        }
    }

    pub(super) fn begin(&mut self, window: Window, start: &QueryStart<'_>) -> Result<()> {
        self.window = window;
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

    /// The step of an event at this time.
    #[inline]
    pub(super) fn at(&mut self, elapsed: Elapsed) -> &mut T {
        if self.current_end.is_none_or(|end| elapsed > end) {
            self.advance(elapsed);
        }
        &mut self.current
    }

    /// The number of the step with an event at this time.
    fn number(&self, elapsed: Elapsed) -> usize {
        let distance = elapsed.as_micros();
        let distance = distance.saturating_sub(self.window.start().as_micros());
        usize::try_from(distance.saturating_sub(1) / self.step).unwrap_or(usize::MAX)
    }

    /// Makes the step of an event at this time the current one. Doubles the length of a step while there would be too
    /// many.
    #[cold]
    fn advance(&mut self, elapsed: Elapsed) {
        if self.current_end.is_some() {
            self.steps.push(std::mem::take(&mut self.current));
        }
        let max = match self.every {
            Some(_) => MAX_STEPS,
            // A digest of another log can have another end.
            None => 2 * DEFAULT_STEPS,
        };
        while self.number(elapsed) >= max {
            self.step = self.step.saturating_mul(2);
            self.steps = self.steps.chunks(2).map(joined).collect();
        }
        let number = self.number(elapsed);
        self.steps.resize(number + 1, T::default());
        self.current = self.steps.pop().unwrap_or_default();
        let end = self.step.saturating_mul(number as u64 + 1);
        self.current_end = Some(self.window.start() + Duration::from_micros(end));
    }

    /// The steps up to the end of the window, or of the log if that is sooner. `is_over` says that the log goes on
    /// after the window.
    pub(super) fn finish(mut self, is_over: bool, end: &QueryEnd<'_>) -> Steps<T> {
        let (from, mut to) = (self.window.start(), self.window.end());
        if !is_over {
            to = to.min(end.position().elapsed());
        }
        if to > from && self.current_end.is_none_or(|end| to > end) {
            self.advance(to);
        }
        if self.current_end.is_some() {
            self.steps.push(self.current);
        }
        Steps {
            from,
            to: to.max(from),
            step: self.step,
            values: self.steps,
        }
    }
}

fn joined<T: Step>(steps: &[T]) -> T {
    let mut steps = steps.iter().copied();
    let mut sum = steps.next().unwrap_or_default();
    steps.for_each(|step| sum.append(&step));
    sum
}

/// The builder method of a query with a [`StepsBuilder`] in the field `steps`.
macro_rules! steps_methods {
    () => {
        /// The length of a step, in whole microseconds and at least one. The default is a round length that gives up
        /// to a thousand steps.
        ///
        /// The query doubles it while there would be more than 2¹⁷ steps.
        pub fn every(mut self, step: std::time::Duration) -> Self {
            self.steps.every = Some(step);
            self
        }
    };
}
pub(super) use steps_methods;
