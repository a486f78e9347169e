//! [`Churn`]: what each trace allocates and frees, whether it stays or not.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::block_counts::{BlockScale, Blocks};
use crate::query::scope::{Scope, scope_methods};
use crate::query::trace_rows::{Row, TraceRows};
use crate::raw::hpd::EventKind;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The allocations and frees of each trace, and its temporary blocks.
///
/// Each trace has a row. Each column is a [`Usage`], so that any view can show it: which line allocates
/// the most bytes, calls the allocator most often, or makes the most blocks that live only for a moment.
/// A free counts for the trace that allocated the block.
///
/// ```
/// use heapprof::view::Lines;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let churn = reader.churn()?;
/// let total = churn.total();
/// assert_eq!((total.allocations, total.allocated), (27_870, 39_830_786));
/// assert_eq!((total.frees, total.freed), (21_909, 31_496_683));
/// assert_eq!(total.temporary, 9_262);
///
/// // Which line makes the most temporary blocks?
/// let lines = Lines::new(reader.traces()?, &churn.temporary());
/// let first = lines.by_local().next().unwrap();
/// assert_eq!(first.frame.to_string(), "/srv/app/workloads/shop/orders.py:10");
/// assert_eq!(first.local, 7_142);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("allocations", "temporary allocations"))]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Churn {
    rows: TraceRows<TraceChurn>,
}

/// The allocations and frees of one trace. Blocks and bytes are estimates, but for the `recorded` ones. Each recorded
/// block counts one over its probability, or 0 if that is 0; the sum is rounded once, to the nearest block.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (heaviest, _) = reader.peak()?.usage().iter().nth(3).unwrap();
/// let churn = reader.churn()?.get(heaviest);
/// assert_eq!((churn.allocations, churn.allocated, churn.largest), (48, 9_439_512, 393_249));
/// assert_eq!(churn.frees, churn.allocations); // no block is left
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TraceChurn {
    /// How many blocks were allocated, those of size 0 among them.
    pub allocations: u64,
    /// How many of its blocks were freed.
    pub frees: u64,
    /// The bytes allocated.
    pub allocated: u64,
    /// The bytes freed.
    pub freed: u64,
    /// The size of the largest block allocated, as recorded.
    pub largest: u64,
    /// How many of the allocations were temporary: the next event in the log frees a block of the same trace and
    /// size, even if it comes after the window. A sample has few that are recorded next to each other.
    pub temporary: u64,
    /// The bytes of the temporary allocations.
    pub temporary_bytes: u64,
    /// How many allocations were recorded.
    pub recorded_allocations: u64,
    /// How many frees were recorded.
    pub recorded_frees: u64,
    /// How many of the recorded allocations were temporary.
    pub recorded_temporary: u64,
}

/// The sums behind a [`TraceChurn`], or behind a step of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ChurnSums {
    pub(super) allocations: Blocks,
    pub(super) frees: Blocks,
    temporary: Blocks,
    pub(super) allocated: u64,
    pub(super) freed: u64,
    temporary_bytes: u64,
    largest: u64,
}

impl ChurnSums {
    /// Adds an event of an estimated size in bytes and blocks.
    #[inline]
    pub(super) fn add_event(&mut self, kind: EventKind, size: u64, bytes: u64, blocks: u64) {
        match kind {
            EventKind::Allocation => {
                self.allocations.add_one(blocks);
                self.allocated = self.allocated.saturating_add(bytes);
                self.largest = self.largest.max(size);
            }
            EventKind::Free => {
                self.frees.add_one(blocks);
                self.freed = self.freed.saturating_add(bytes);
            }
        }
    }

    fn add_temporary(&mut self, bytes: u64, blocks: u64) {
        self.temporary.add_one(blocks);
        self.temporary_bytes = self.temporary_bytes.saturating_add(bytes);
    }
}

impl Row for ChurnSums {
    fn is_empty(&self) -> bool {
        self.allocations.recorded == 0 && self.frees.recorded == 0
    }

    fn add(&mut self, other: &Self) {
        self.allocations.add(other.allocations);
        self.frees.add(other.frees);
        self.temporary.add(other.temporary);
        self.allocated = self.allocated.saturating_add(other.allocated);
        self.freed = self.freed.saturating_add(other.freed);
        self.temporary_bytes = self.temporary_bytes.saturating_add(other.temporary_bytes);
        self.largest = self.largest.max(other.largest);
    }
}

impl From<&ChurnSums> for TraceChurn {
    fn from(sums: &ChurnSums) -> Self {
        Self {
            allocations: sums.allocations.estimated(),
            frees: sums.frees.estimated(),
            allocated: sums.allocated,
            freed: sums.freed,
            largest: sums.largest,
            temporary: sums.temporary.estimated(),
            temporary_bytes: sums.temporary_bytes,
            recorded_allocations: sums.allocations.recorded,
            recorded_frees: sums.frees.recorded,
            recorded_temporary: sums.temporary.recorded,
        }
    }
}

impl Churn {
    /// A query for the churn of the whole log; [`ChurnQuery`] can restrict it to a window.
    pub fn query() -> ChurnQuery {
        ChurnQuery {
            scope: Scope::WHOLE,
            scale: BlockScale::default(),
            rows: PerTrace::new(0),
            before: None,
        }
    }

    /// All traces that allocated or freed, in the order of the ids, unknown first.
    pub fn rows(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Option<TraceId>, &TraceChurn)> + ExactSizeIterator + Clone
    {
        self.rows.iter()
    }

    /// The row of one trace, or with `None` of unknown. O(log rows).
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> TraceChurn {
        self.rows.get(trace.into())
    }

    /// All rows together; its `largest` is the largest of all.
    pub fn total(&self) -> TraceChurn {
        self.rows.total()
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.rows.damaged().0
    }

    /// Bytes allocated, by trace. O(rows), as all columns.
    #[doc(alias = "alloc_space")]
    pub fn allocated(&self) -> Usage {
        self.column(|row| row.allocated)
    }

    /// Bytes freed, by trace.
    pub fn freed(&self) -> Usage {
        self.column(|row| row.freed)
    }

    /// How many blocks were allocated, by trace: an estimate, as all columns.
    #[doc(alias = "alloc_objects")]
    pub fn allocations(&self) -> Usage {
        self.column(|row| row.allocations)
    }

    /// How many blocks were freed, by trace.
    pub fn frees(&self) -> Usage {
        self.column(|row| row.frees)
    }

    /// How many allocations were [temporary](TraceChurn::temporary), by trace.
    pub fn temporary(&self) -> Usage {
        self.column(|row| row.temporary)
    }

    /// The bytes of the [temporary](TraceChurn::temporary) allocations, by trace.
    pub fn temporary_bytes(&self) -> Usage {
        self.column(|row| row.temporary_bytes)
    }

    fn column(&self, value: impl Fn(&TraceChurn) -> u64) -> Usage {
        let weight = |row: &_| i64::try_from(value(row)).unwrap_or(i64::MAX);
        self.rows.column(weight)
    }
}

/// The query for [`Churn`].
///
/// One pass over the log, or over the window. Memory: 112 to 224 bytes a trace.
///
/// ```
/// use heapprof::query::Churn;
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let window = Churn::query().within(Elapsed::from_secs(10)..Elapsed::from_secs(12));
/// let total = reader.ask(window)?.total();
/// assert_eq!((total.allocations, total.allocated), (2_127, 15_040_390));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ChurnQuery {
    scope: Scope,
    scale: BlockScale,
    rows: PerTrace<ChurnSums>,
    /// The trace index and the size of the previous event, if it is an allocation in the scope.
    before: Option<(u32, u64)>,
}

impl ChurnQuery {
    scope_methods!(within);
    scope_methods!(of);
}

impl Query for ChurnQuery {
    type Output = Churn;

    fn start(&self) -> Elapsed {
        self.scope.window.start()
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.scale = BlockScale::new(start.rates());
        self.rows = PerTrace::new(start.trace_count() as usize);
        Ok(())
    }

    #[expect(
        clippy::inline_always,
        reason = "a step in memory costs more than to replay it"
    )]
    #[inline(always)]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let (time, size, kind) = (
            applied.event.elapsed,
            applied.event.size,
            applied.event.kind,
        );
        let index = TraceId::to_disk(applied.event.trace);
        let is_free = kind == EventKind::Free;
        let is_over = self.scope.is_over(time);
        let counts = !is_over && self.scope.contains(time, index);
        let is_temporary = is_free && self.before == Some((index, size));
        self.before = (counts && !is_free).then_some((index, size));
        if counts || is_temporary {
            let bytes = applied.bytes.unsigned_abs();
            let blocks = self.scale.blocks(size);
            // PERF: `move`, since a closure that borrows its variables puts them into memory.
            self.rows.update(index, move |row| {
                if is_temporary {
                    row.add_temporary(bytes, blocks);
                }
                if counts {
                    row.add_event(kind, size, bytes, blocks);
                }
            });
        }
        if is_over {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Churn {
        Churn {
            rows: TraceRows::new(&self.rows, end.taint()).map(|sums| sums.into()),
        }
    }
}

impl Reader {
    /// The allocations and frees of each trace over the whole log. For a part of it, [ask](Self::ask) a
    /// [`ChurnQuery`].
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn churn(&self) -> Result<Churn> {
        self.ask(Churn::query())
    }
}
