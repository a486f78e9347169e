//! How many blocks are live, not how many bytes?

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::raw::rates::SamplingRates;
use crate::time::Elapsed;
use crate::usage::{Usage, saturated};

/// How many blocks were live at a moment, by trace: as recorded, and what they stand for.
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
/// // At the peak: after so many events, which says more than its time.
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
    /// Asks for the blocks that are live at a time: after all events with an elapsed time up to
    /// that.
    pub fn at(time: impl Into<Elapsed>) -> LiveBlocksQuestion {
        LiveBlocksQuestion::new(time.into(), u64::MAX)
    }

    /// Asks for the blocks that are live at the end of the log.
    pub fn at_end() -> LiveBlocksQuestion {
        Self::at(Elapsed::MAX)
    }

    /// Asks for the blocks that are live after so many events of the log.
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

    /// How many blocks these stand for: one over the probability with which it was recorded for
    /// each, and none where that is 0. The sum of a trace is rounded once, to the nearest block,
    /// halves up; so a total can be off by half a block a trace.
    pub fn estimated(&self) -> &Usage {
        &self.estimated
    }
}

/// Asks for [`LiveBlocks`].
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
    /// Unless everything was recorded.
    rates: Option<SamplingRates>,
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
            rates: None,
            blocks: PerTrace::new(0),
        }
    }
}

impl Question for LiveBlocksQuestion {
    type Answer = LiveBlocks;

    fn begin(&mut self, _: &LiveHeap, place: &LogPlace<'_>) {
        self.rates = (!place.rates.is_unsampled()).then(|| place.rates.clone());
        self.blocks = PerTrace::new(place.traces as usize);
    }

    #[inline]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
        if event.elapsed > self.time || step.number > self.events {
            return ControlFlow::Break(());
        }
        let stands_for = match &self.rates {
            Some(rates) => rates.blocks(event.size),
            None => 1 << 32,
        };
        let (one, stands_for) = if event.is_free() {
            (-1, -i128::from(stands_for))
        } else {
            (1, i128::from(stands_for))
        };
        self.blocks.update(TraceId::to_disk(event.trace), |blocks| {
            blocks.recorded += one;
            blocks.estimated += stands_for;
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
        let estimated = match self.rates {
            Some(_) => column(|blocks| rounded(blocks.estimated)),
            None => recorded.clone(),
        };
        LiveBlocks {
            recorded,
            estimated,
        }
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
