//! [`LiveBlocks`]: the number of live blocks, instead of their bytes.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::moment::{Moment, moment_methods};
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;
use crate::usage::{Usage, saturated};

/// The number of blocks that were live at a moment, by trace: recorded blocks, and the estimate of all.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveBlocks {
    recorded: Usage,
    estimated: Usage,
}

impl LiveBlocks {
    /// The query, for the end of the log until told otherwise.
    pub fn query() -> LiveBlocksQuery {
        LiveBlocksQuery {
            moment: Moment::END,
            scale: BlockScale::default(),
            blocks: PerTrace::new(0),
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
        &self.estimated
    }
}

/// The query for [`LiveBlocks`].
///
/// One pass over the log from its beginning, as a digest does not know blocks. Memory: 32 to 64
/// bytes a trace.
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
    blocks: PerTrace<Blocks>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Blocks {
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
        Ok(())
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
        if self.moment.is_over(applied) {
            return ControlFlow::Break(());
        }
        let index = TraceId::to_disk(event.trace);
        if !self.moment.scope.contains(event.elapsed, index) {
            return ControlFlow::Continue(());
        }
        let estimate = self.scale.blocks(event.size);
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
        let column = |value: fn(&Blocks) -> i64| {
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
        LiveBlocks {
            recorded,
            estimated,
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

/// How many blocks a recorded block stands for.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockScale {
    /// `None` if everything was recorded.
    rates: Option<SamplingRates>,
}

impl BlockScale {
    pub(super) fn new(rates: &SamplingRates) -> Self {
        Self {
            rates: (!rates.is_unsampled()).then(|| rates.clone()),
        }
    }

    fn is_unsampled(&self) -> bool {
        self.rates.is_none()
    }

    /// The estimate for a block of a size, in units of 2⁻³².
    #[inline]
    pub(super) fn blocks(&self, size: u64) -> i128 {
        let blocks = self
            .rates
            .as_ref()
            .map_or(1 << 32, |rates| rates.blocks(size));
        blocks.into()
    }
}

/// A number in units of 2⁻³² to the nearest whole, halves up.
pub(super) fn rounded(sum: i128) -> i64 {
    saturated(sum.saturating_add(1 << 31) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_up() {
        let half = 1_i128 << 31;
        assert_eq!(
            [-3, -2, -1, 0, 1, 2, 3].map(|halves| rounded(halves * half)),
            [-1, -1, 0, 0, 1, 1, 2]
        );
        assert_eq!(rounded(half - 1), 0);
        assert_eq!(
            (rounded(i128::MAX), rounded(i128::MIN)),
            (i64::MAX, i64::MIN)
        );
    }
}
