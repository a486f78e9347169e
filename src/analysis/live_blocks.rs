//! [`LiveBlocks`]: the number of live blocks, instead of their bytes.

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::raw::rates::SamplingRates;
use crate::time::Elapsed;
use crate::usage::{Usage, saturated};

/// The number of blocks that were live at a moment, by trace: recorded blocks, and the estimate of all.
///
/// Many small blocks cost more than their bytes: each has its own overhead in the allocator.
///
/// ```
/// use heapprof::{LiveBlocks, Lines, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let blocks = reader.ask(LiveBlocks::at_end())?;
/// assert_eq!(blocks.recorded().total(), 5_961);
/// assert_eq!(blocks.estimated(), blocks.recorded()); // nothing was sampled
/// let lines = Lines::new(reader.traces()?, blocks.estimated());
/// let most = lines.by_local().next().unwrap();
/// assert_eq!((most.frame.line, most.local), (11, 3_680));
///
/// // At the peak. Its number of events is more precise than its time.
/// let peak = reader.peak()?;
/// let blocks = reader.ask(LiveBlocks::after(peak.events()))?;
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
    /// A query for the blocks that are live at a time: after all events with an elapsed time up to it.
    pub fn at(time: impl Into<Elapsed>) -> LiveBlocksQuestion {
        LiveBlocksQuestion::new(time.into(), u64::MAX)
    }

    /// A query for the blocks that are live at the end of the log.
    pub fn at_end() -> LiveBlocksQuestion {
        Self::at(Elapsed::MAX)
    }

    /// A query for the blocks that are live after this number of events of the log.
    pub fn after(events: u64) -> LiveBlocksQuestion {
        LiveBlocksQuestion::new(Elapsed::MAX, events)
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
/// use heapprof::{Elapsed, LiveBlocks, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (early, end) =
///     reader.ask((LiveBlocks::at(Elapsed::from_secs(5)), LiveBlocks::at_end()))?;
/// assert_eq!((early.recorded().total(), end.recorded().total()), (1_957, 5_961));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LiveBlocksQuestion {
    time: Elapsed,
    events: u64,
    scale: BlockScale,
    blocks: PerTrace<Blocks>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Blocks {
    recorded: i64,
    /// In units of 2⁻³².
    estimated: i128,
}

impl LiveBlocksQuestion {
    fn new(time: Elapsed, events: u64) -> Self {
        Self {
            time,
            events,
            scale: BlockScale::default(),
            blocks: PerTrace::new(0),
        }
    }
}

impl Question for LiveBlocksQuestion {
    type Answer = LiveBlocks;

    fn begin(&mut self, _: &LiveHeap, place: &LogPlace<'_>) {
        self.scale = BlockScale::new(place.rates);
        self.blocks = PerTrace::new(place.traces as usize);
    }

    #[inline]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
        if event.elapsed > self.time || step.number > self.events {
            return ControlFlow::Break(());
        }
        let estimate = self.scale.blocks(event.size);
        let (one, estimate) = if event.is_free() {
            (-1, -estimate)
        } else {
            (1, estimate)
        };
        self.blocks.update(TraceId::to_disk(event.trace), |blocks| {
            blocks.recorded += one;
            blocks.estimated += estimate;
        });
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> LiveBlocks {
        let column = |value: fn(&Blocks) -> i64| {
            let rows = self.blocks.iter();
            let rows = rows.map(|(trace, blocks)| (trace, value(blocks)));
            Usage::from_ascending(rows).marked(end.damaged)
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
