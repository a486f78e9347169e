//! [`LiveBlocks`]: the number of live blocks, instead of their bytes.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::block_counts::{BlockScale, rounded};
use crate::query::error_bars::ErrorBars;
use crate::query::error_bars::accounts::{Accounts, Measure};
use crate::query::moment::{Moment, moment_methods};
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;
use crate::usage::Usage;

/// The number of blocks that were live at a moment, by trace: recorded blocks, and the estimate of all with error bars.
///
/// Many small blocks cost more than their bytes: each has its own overhead in the allocator.
///
/// ```
/// use heapprof::query::LiveBlocks;
/// use heapprof::view::Lines;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let blocks = reader.live_blocks()?;
/// assert_eq!(blocks.recorded().total(), 5_961);
/// assert_eq!(blocks.estimated(), blocks.recorded()); // nothing was sampled
/// let lines = Lines::new(reader.traces()?, blocks.estimated());
/// let most = lines.by_local().next().unwrap();
/// assert_eq!((most.frame.line, most.local), (11, 3_680));
///
/// // At the peak. Its number of events is more precise than its time.
/// let peak = reader.peak()?;
/// let blocks = reader.ask(LiveBlocks::query().after_events(peak.events()))?;
/// assert_eq!(blocks.recorded().total(), 4_048);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias = "inuse_objects")]
#[derive(Debug, Clone, PartialEq)]
pub struct LiveBlocks {
    recorded: Usage,
    estimated: ErrorBars,
}

impl LiveBlocks {
    /// The query, for the end of the log until told otherwise.
    pub fn query() -> LiveBlocksQuery {
        LiveBlocksQuery {
            moment: Moment::END,
            scale: BlockScale::default(),
            blocks: PerTrace::new(0),
            accounts: Accounts::new(&SamplingRates::unsampled(), Measure::Blocks),
        }
    }

    /// How many recorded blocks, by trace: recorded allocations minus recorded frees, blocks of size
    /// 0 among them.
    pub fn recorded(&self) -> &Usage {
        &self.recorded
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.recorded.is_damaged()
    }

    /// The estimate of all blocks. Each recorded block counts one over its probability, or 0 if that is 0.
    /// The sum of each trace is rounded once, to the nearest block, halves up; so a total can be off by half
    /// a block a trace.
    pub fn estimated(&self) -> &Usage {
        self.estimated.usage()
    }

    /// The estimate of all blocks with error bars, in blocks.
    ///
    /// ```
    /// use heapprof::{Reader, SamplingRates};
    ///
    /// let rates = SamplingRates::new([(128, 0.1)])?;
    /// let reader = Reader::open("examples/data/demo")?.with_rates(rates);
    /// let blocks = reader.live_blocks()?;
    /// let total = blocks.error_bars().total();
    /// assert_eq!(total.to_string(), "41223 ± 594");
    /// assert_eq!(total.value(), blocks.estimated().total());
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn error_bars(&self) -> &ErrorBars {
        &self.estimated
    }
}

/// The query for [`LiveBlocks`].
///
/// One pass over the log from its beginning, as a digest does not know blocks. Memory: 32 to 64 bytes a trace, and in
/// a sample 130 for each trace that has sampled blocks.
///
/// ```
/// use heapprof::query::LiveBlocks;
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (early, end) =
///     reader.ask((LiveBlocks::query().at(Elapsed::from_secs(5)), LiveBlocks::query()))?;
/// assert_eq!((early.recorded().total(), end.recorded().total()), (1_957, 5_961));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LiveBlocksQuery {
    moment: Moment,
    scale: BlockScale,
    blocks: PerTrace<LiveCount>,
    accounts: Accounts,
}

#[derive(Debug, Clone, Copy, Default)]
struct LiveCount {
    recorded: i64,
    /// In units of 2⁻³².
    estimated: i128,
}

impl LiveBlocksQuery {
    moment_methods!(moment);
}

impl Query for LiveBlocksQuery {
    type Output = LiveBlocks;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.scale = BlockScale::new(start.rates());
        self.blocks = PerTrace::new(start.trace_count() as usize);
        self.accounts = Accounts::new(start.rates(), Measure::Blocks);
        Ok(())
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
        if self.moment.is_over(applied) {
            return ControlFlow::Break(());
        }
        let index = TraceId::to_disk(event.trace);
        let window = self.moment.scope.window;
        if !self.scale.is_unsampled() && self.moment.scope.has_trace(index) {
            let is_growth = window.has_start() && window.has_begun(event.elapsed);
            self.accounts.enter(applied, is_growth);
        }
        if !self.moment.scope.contains(event.elapsed, index) {
            return ControlFlow::Continue(());
        }
        let estimate = i128::from(self.scale.blocks(event.size));
        let (one, estimate) = if event.is_free() {
            (-1, -estimate)
        } else {
            (1, estimate)
        };
        self.blocks.update(index, |blocks| {
            blocks.recorded += one;
            blocks.estimated += estimate;
        });
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> LiveBlocks {
        let column = |value: fn(&LiveCount) -> i64| {
            let rows = self.blocks.iter();
            let rows = rows.map(|(trace, blocks)| (trace, value(blocks)));
            let blocks = Usage::from_ascending(rows);
            self.moment.signed(blocks).marked(end.taint())
        };
        let recorded = column(|blocks| blocks.recorded);
        let estimated = if self.scale.is_unsampled() {
            recorded.clone()
        } else {
            column(|blocks| rounded(blocks.estimated))
        };
        let is_growth = self.moment.scope.window.has_start();
        LiveBlocks {
            recorded,
            estimated: self.accounts.error_bars(estimated, is_growth),
        }
    }
}

impl Reader {
    /// How many blocks are live at the end of the log, by trace; [`LiveBlocksQuery`] has other moments.
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn live_blocks(&self) -> Result<LiveBlocks> {
        self.ask(LiveBlocks::query())
    }
}
