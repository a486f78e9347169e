//! [`ErrorBarsAt`] and [`ErrorBarsOfGrowth`]: the queries for error bars.

use std::ops::ControlFlow;

use hashbrown::HashMap;

use super::{ErrorBars, Spread};
use crate::analysis::question::{LogEnd, LogStep, Question};
use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
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

/// The variance and the number of blocks of each trace.
#[derive(Debug, Clone)]
struct Accounts {
    rates: SamplingRates,
    /// The variances of small sizes, which are the most frequent.
    small: Box<[i128]>,
    of: HashMap<u32, Account>,
}

/// The sampled blocks of one trace.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// The live blocks.
    live: Blocks,
    /// The blocks that were live when the growth began.
    at_from: Blocks,
    /// The blocks freed since then.
    freed: Blocks,
}

#[derive(Debug, Clone, Copy, Default)]
struct Blocks {
    /// The variance of the sum of their estimates, in whole square bytes, so that a free cancels its
    /// allocation.
    variance: i128,
    count: i64,
}

impl Blocks {
    fn add(&mut self, variance: i128, count: i64) {
        self.variance = self.variance.saturating_add(variance);
        self.count = self.count.saturating_add(count);
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate of an error")]
    fn spread(self) -> Spread {
        // A log of two processes can have more frees than allocations.
        Spread {
            variance: self.variance.max(0) as f64,
            blocks: self.count.max(0) as f64,
        }
    }
}

impl Account {
    /// The blocks that are live and were not, and those that were live and are not.
    ///
    /// The log does not say which block a free frees. At most as many of the blocks that were live at the beginning
    /// were freed as were freed in total, so the result may be too large, but never too small.
    fn growth(self) -> Blocks {
        let Self {
            live,
            at_from,
            freed,
        } = self;
        let changed = |live: i128, at_from: i128, freed: i128| {
            let gone = at_from.min(freed).saturating_mul(2);
            live.saturating_sub(at_from).saturating_add(gone)
        };
        let count = changed(live.count.into(), at_from.count.into(), freed.count.into());
        Blocks {
            variance: changed(live.variance, at_from.variance, freed.variance),
            count: i64::try_from(count).unwrap_or(i64::MAX),
        }
    }
}

/// For sizes below this the variance is looked up.
const SMALL: u64 = 1024;

impl Accounts {
    fn new(rates: &SamplingRates) -> Self {
        let small = if rates.is_unsampled() { 0 } else { SMALL };
        Self {
            small: (0..small).map(|size| variance(rates, size)).collect(),
            rates: rates.clone(),
            of: HashMap::new(),
        }
    }

    /// The time from which on the query needs events for the error bars at `time`: the start, unless all variances
    /// are 0.
    fn from(&self, time: Elapsed) -> Elapsed {
        if self.rates.is_unsampled() {
            time
        } else {
            Elapsed::ZERO
        }
    }

    fn enter(&mut self, step: &LogStep, is_growth: bool) {
        let size = step.event.size;
        let small = usize::try_from(size).ok().and_then(|at| self.small.get(at));
        let variance = match small {
            Some(&variance) => variance,
            None => variance(&self.rates, size),
        };
        if variance == 0 {
            return;
        }
        let account = self.of.entry(TraceId::to_disk(step.event.trace));
        let account = account.or_default();
        if step.event.is_free() {
            account.live.add(-variance, -1);
            if is_growth {
                account.freed.add(variance, 1);
            }
        } else {
            account.live.add(variance, 1);
        }
    }

    fn begin_growth(&mut self) {
        for account in self.of.values_mut() {
            account.at_from = account.live;
        }
    }

    fn error_bars(&self, usage: Usage, spread: impl Fn(Account) -> Spread) -> ErrorBars {
        let spreads = self
            .of
            .iter()
            .map(|(&index, &account)| (index, spread(account)));
        ErrorBars::new(usage, spreads, &self.rates)
    }
}

fn variance(rates: &SamplingRates, size: u64) -> i128 {
    i128::try_from(rates.variance(size)).unwrap_or(i128::MAX)
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
