//! [`ErrorBarsAt`] and [`ErrorBarsOfGrowth`]: the queries for error bars.

use std::ops::ControlFlow;

use super::ErrorBars;
use super::accounts::Accounts;
use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::Result;
use crate::heap::LiveHeap;
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The [`Question`] for the [`ErrorBars`] of the live bytes at a moment, for a pass that it shares with
/// others.
///
/// The rates must be those that the reader [uses](Reader::rates). Memory: about 60 bytes a trace
/// that has sampled blocks.
///
/// ```
/// use heapprof::{Elapsed, ErrorBarsAt, Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let reader = reader.with_rates(SamplingRates::new([(128, 0.1)])?);
/// let (early, end) = reader.ask((
///     ErrorBarsAt::time(Elapsed::from_secs(5), reader.rates()),
///     ErrorBarsAt::end(reader.rates()),
/// ))?;
/// assert_eq!(early.total().to_string(), "2881520 ± 20675");
/// assert_eq!(end.total().to_string(), "10197976 ± 34787");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ErrorBarsAt {
    moment: Moment,
    accounts: Accounts,
    taken: Option<Usage>,
}

#[derive(Debug, Clone, Copy)]
enum Moment {
    Time(Elapsed),
    Events(u64),
    End,
}

impl ErrorBarsAt {
    /// After all events with an elapsed time up to this.
    pub fn time(time: impl Into<Elapsed>, rates: &SamplingRates) -> Self {
        Self::new(Moment::Time(time.into()), rates)
    }

    /// After this number of events, for example those up to the peak.
    pub fn events(events: u64, rates: &SamplingRates) -> Self {
        Self::new(Moment::Events(events), rates)
    }

    /// At the end of the log.
    pub fn end(rates: &SamplingRates) -> Self {
        Self::new(Moment::End, rates)
    }

    fn new(moment: Moment, rates: &SamplingRates) -> Self {
        Self {
            moment,
            accounts: Accounts::new(rates),
            taken: None,
        }
    }
}

impl Question for ErrorBarsAt {
    type Answer = ErrorBars;

    fn from(&self) -> Elapsed {
        match self.moment {
            Moment::Time(time) => self.accounts.from(time),
            Moment::Events(_) => Elapsed::ZERO,
            Moment::End => self.accounts.from(Elapsed::MAX),
        }
    }

    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        let is_later = match self.moment {
            Moment::Time(time) => step.event.elapsed > time,
            Moment::Events(events) => step.number > events,
            Moment::End => false,
        };
        if is_later {
            self.taken = Some(before(step, heap));
            return ControlFlow::Break(());
        }
        self.accounts.enter(step, false);
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> ErrorBars {
        let usage = self.taken.unwrap_or_else(|| end.heap.usage());
        let usage = usage.marked(end.damaged);
        self.accounts
            .error_bars(usage, |account| account.live.spread())
    }
}

/// The [`Question`] for the [`ErrorBars`] of the growth from one moment to another, for a pass that it shares
/// with others. See [`Reader::error_bars_of_growth`].
///
/// The rates must be those that the reader [uses](Reader::rates). Memory: about 130 bytes a trace
/// that has sampled blocks.
///
/// ```
/// use heapprof::{Elapsed, ErrorBarsAt, ErrorBarsOfGrowth, Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let reader = reader.with_rates(SamplingRates::new([(128, 0.1)])?);
/// let (growth, end) = reader.ask((
///     ErrorBarsOfGrowth::new(Elapsed::from_secs(20), Elapsed::MAX, reader.rates()),
///     ErrorBarsAt::end(reader.rates()),
/// ))?;
/// // Blocks that are live at both moments do not add to the error of the growth.
/// assert!(growth.total().standard_error() < end.total().standard_error());
/// assert_eq!(growth.total().to_string(), "778032 ± 14822");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ErrorBarsOfGrowth {
    from: Elapsed,
    to: Elapsed,
    /// Whether the caller asked from the later to the earlier.
    backwards: bool,
    accounts: Accounts,
    at_from: Option<Usage>,
    at_to: Option<Usage>,
}

impl ErrorBarsOfGrowth {
    /// From one moment to another.
    pub fn new(from: impl Into<Elapsed>, to: impl Into<Elapsed>, rates: &SamplingRates) -> Self {
        let (from, to) = (from.into(), to.into());
        Self {
            from: from.min(to),
            to: to.max(from),
            backwards: from > to,
            accounts: Accounts::new(rates),
            at_from: None,
            at_to: None,
        }
    }
}

impl Question for ErrorBarsOfGrowth {
    type Answer = ErrorBars;

    fn from(&self) -> Elapsed {
        self.accounts.from(self.from)
    }

    fn take(&mut self, step: &LogStep, heap: &LiveHeap) -> ControlFlow<()> {
        if step.event.elapsed > self.from && self.at_from.is_none() {
            self.at_from = Some(before(step, heap));
            self.accounts.begin_growth();
        }
        if step.event.elapsed > self.to {
            self.at_to = Some(before(step, heap));
            return ControlFlow::Break(());
        }
        self.accounts.enter(step, self.at_from.is_some());
        ControlFlow::Continue(())
    }

    fn answer(mut self, end: &LogEnd<'_>) -> ErrorBars {
        if self.at_from.is_none() {
            self.accounts.begin_growth();
        }
        let at_end = || end.heap.usage();
        let at_to = self.at_to.unwrap_or_else(at_end);
        let at_from = self.at_from.unwrap_or_else(at_end);
        let growth = if self.backwards {
            at_from - at_to
        } else {
            at_to - at_from
        };
        let growth = growth.marked(end.damaged);
        self.accounts
            .error_bars(growth, |account| account.growth().spread())
    }
}

/// The usage before an event.
fn before(step: &LogStep, heap: &LiveHeap) -> Usage {
    let trace = step.event.trace;
    heap.usage() + Usage::from_iter([(trace, step.before.saturating_sub(step.live))])
}

impl Reader {
    /// The live bytes at `time`, with error bars: as [`live_at`](Self::live_at), with standard errors.
    ///
    /// One pass over the log from its start, since a digest has no blocks. If everything was recorded, one pass
    /// from the previous snapshot.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader, SamplingRates};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let reader = reader.with_rates(SamplingRates::new([(128, 0.1)])?);
    /// let largest = reader.error_bars_at(Elapsed::from_micros(12_678_881))?.total();
    /// assert_eq!(largest.to_string(), "20482576 ± 28534");
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn error_bars_at(&self, time: impl Into<Elapsed>) -> Result<ErrorBars> {
        self.ask(ErrorBarsAt::time(time, self.rates()))
    }

    /// The live bytes after this number of events, with error bars. The peak, for example, can be between two
    /// events of the same time.
    ///
    /// ```
    /// use heapprof::{Reader, SamplingRates};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let reader = reader.with_rates(SamplingRates::new([(1 << 40, 0.5)])?);
    /// // The first event is an allocation of 464 bytes, half of which are recorded.
    /// let first = reader.error_bars_after(1)?.total();
    /// assert_eq!((first.value(), first.variance()), (928, 2.0 * 464.0 * 464.0));
    /// assert_eq!(reader.error_bars_after(0)?.total().value(), 0);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn error_bars_after(&self, events: u64) -> Result<ErrorBars> {
        self.ask(ErrorBarsAt::events(events, self.rates()))
    }

    /// The live bytes at the end of the log, with error bars. The cost is that of
    /// [`error_bars_at`](Self::error_bars_at).
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn error_bars_at_end(&self) -> Result<ErrorBars> {
        self.ask(ErrorBarsAt::end(self.rates()))
    }

    /// The growth of each trace from one moment to another, with error bars.
    ///
    /// Blocks that are live at both moments do not add to the error, so these error bars are smaller than those
    /// of the two moments together. They are exact for a trace without frees in between. Otherwise they can be too
    /// large, but never too small, since the log does not say which block was freed. One pass over the log from
    /// its start.
    ///
    /// ```
    /// use heapprof::{Elapsed, Reader, SamplingRates};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let reader = reader.with_rates(SamplingRates::new([(128, 0.1)])?);
    /// let (from, to) = (Elapsed::from_secs(5), Elapsed::from_secs(20));
    /// let growth = reader.error_bars_of_growth(from, to)?;
    /// assert_eq!(growth.usage(), &reader.growth(from, to)?);
    /// assert_eq!(growth.total().to_string(), "6538424 ± 30048");
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn error_bars_of_growth(
        &self,
        from: impl Into<Elapsed>,
        to: impl Into<Elapsed>,
    ) -> Result<ErrorBars> {
        self.ask(ErrorBarsOfGrowth::new(from, to, self.rates()))
    }
}
