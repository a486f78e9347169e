//! [`ErrorBarsQuery`]: the query for error bars of the live bytes at a moment, or of the growth between two.

use std::ops::ControlFlow;

use super::ErrorBars;
use super::accounts::{Accounts, Measure};
use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::moment::{LiveAtMoment, Place, moment_methods};
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;

/// The query for [`ErrorBars`].
///
/// One pass over the log from its start, since a digest has no blocks. Memory: about 60 bytes for each trace that has
/// sampled blocks, and 130 for a growth.
///
/// ```
/// use heapprof::query::ErrorBars;
/// use heapprof::{Elapsed, Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let reader = reader.with_rates(SamplingRates::new([(128, 0.1)])?);
/// let (early, end, growth) = reader.ask((
///     ErrorBars::query().at(Elapsed::from_secs(5)),
///     ErrorBars::query(),
///     ErrorBars::query().within(Elapsed::from_secs(20)..),
/// ))?;
/// assert_eq!(early.total().to_string(), "2881520 ± 20675");
/// assert_eq!(end.total().to_string(), "10197976 ± 34787");
/// assert_eq!(growth.total().to_string(), "778032 ± 14822");
/// # Ok::<(), heapprof::Error>(())
/// ```
///
/// Blocks that are live at both moments do not add to the error of a growth, so its error bars are smaller than those
/// of the two moments together. They are exact for a trace without frees in between. Otherwise they can be too large,
/// but never too small, since the log does not say which block was freed.
#[derive(Debug, Clone)]
#[must_use]
pub struct ErrorBarsQuery {
    live: LiveAtMoment,
    accounts: Accounts,
}

impl ErrorBarsQuery {
    moment_methods!(live.moment);
}

impl ErrorBars {
    /// The query, for the end of the log until told otherwise.
    pub fn query() -> ErrorBarsQuery {
        ErrorBarsQuery {
            live: LiveAtMoment::END,
            accounts: Accounts::new(&SamplingRates::unsampled(), Measure::Bytes),
        }
    }
}

impl Query for ErrorBarsQuery {
    type Output = ErrorBars;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.accounts = Accounts::new(start.rates(), Measure::Bytes);
        Ok(())
    }

    fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> ControlFlow<()> {
        if self.live.observe(applied, heap) == Place::After {
            return ControlFlow::Break(());
        }
        let is_growth = self.live.has_started();
        let trace = TraceId::to_disk(applied.event.trace);
        if self.live.moment.scope.has_trace(trace) {
            self.accounts.enter(applied, is_growth);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> ErrorBars {
        let is_growth = self.live.moment.scope.window.has_start();
        let usage = self.live.finish(end);
        self.accounts.error_bars(usage, is_growth)
    }
}

impl Reader {
    /// The live bytes at the end of the log, by trace, with error bars. [`ErrorBarsQuery`] has other moments, and the
    /// growth between two.
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn error_bars(&self) -> Result<ErrorBars> {
        self.ask(ErrorBars::query())
    }
}
