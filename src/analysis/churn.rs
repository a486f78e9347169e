//! Who allocates, and who frees: not what stays, but what passes through.

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::analysis::window::Window;
use crate::error::{Damaged, Result};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::raw::EventKind;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::usage::Usage;

/// What each trace allocated and freed, and how much of it was temporary.
///
/// A row stands for a trace, a column is a [`Usage`], so that any view shows it: which line
/// allocates the most bytes, calls the allocator most often, makes the most blocks that live for a
/// moment only. A free counts for the trace that allocated the block.
///
/// ```
/// use heapprof::{Lines, Reader};
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
    /// Ascending by trace; none is empty.
    rows: Box<[(Option<TraceId>, TraceChurn)]>,
    total: TraceChurn,
    damaged: Damaged,
}

/// What one trace allocated and freed. Counts are of what was recorded, bytes are estimates.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (heaviest, _) = reader.peak()?.usage().iter().nth(3).unwrap();
/// let churn = reader.churn()?.get(heaviest);
/// assert_eq!((churn.allocations, churn.allocated, churn.largest), (48, 9_439_512, 393_249));
/// assert_eq!(churn.frees, churn.allocations); // all is gone
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// How many of the allocations were temporary: the very next event in the log frees a block of
    /// the same trace and size. Also if that comes after the window.
    pub temporary: u64,
}

impl TraceChurn {
    fn is_empty(&self) -> bool {
        self.allocations == 0 && self.frees == 0
    }

    fn add(&mut self, other: &Self) {
        self.allocations += other.allocations;
        self.frees += other.frees;
        self.allocated = self.allocated.saturating_add(other.allocated);
        self.freed = self.freed.saturating_add(other.freed);
        self.largest = self.largest.max(other.largest);
        self.temporary += other.temporary;
    }
}

impl Churn {
    /// Asks for the churn of the whole log; what it [returns](ChurnQuestion) takes a window.
    pub fn question() -> ChurnQuestion {
        ChurnQuestion {
            window: Window::WHOLE,
            rows: PerTrace::new(0),
            before: None,
        }
    }

    /// All traces that allocated or freed, in the order of the ids, unknown first.
    pub fn rows(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Option<TraceId>, &TraceChurn)> + ExactSizeIterator + Clone
    {
        self.rows.iter().map(|(trace, row)| (*trace, row))
    }

    /// What one trace, or with `None` unknown, allocated and freed. O(log rows).
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> TraceChurn {
        let trace = trace.into();
        let place = self.rows.binary_search_by_key(&trace, |row| row.0).ok();
        let row = place.and_then(|place| self.rows.get(place));
        row.map_or_else(TraceChurn::default, |(_, row)| *row)
    }

    /// All rows together; its `largest` is the largest of all.
    pub fn total(&self) -> TraceChurn {
        self.total
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
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

    /// How many blocks were allocated, by trace.
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

    fn column(&self, value: impl Fn(&TraceChurn) -> u64) -> Usage {
        let weight = |row| i64::try_from(value(row)).unwrap_or(i64::MAX);
        let rows = self.rows.iter().map(|(trace, row)| (*trace, weight(row)));
        Usage::from_ascending(rows).marked(self.damaged)
    }
}

/// Asks for [`Churn`].
///
/// One pass over the log, or over the window. Memory: 48 to 96 bytes a trace.
///
/// ```
/// use heapprof::{Churn, Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let window = Churn::question().within(Elapsed::from_secs(10), Elapsed::from_secs(12));
/// let total = reader.ask(window)?.total();
/// assert_eq!((total.allocations, total.allocated), (2_127, 15_040_390));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ChurnQuestion {
    window: Window,
    rows: PerTrace<TraceChurn>,
    /// The trace index and the size of the event before, if that allocated, in the window.
    before: Option<(u32, u64)>,
}

impl ChurnQuestion {
    /// The churn up to one moment, from the first event on.
    pub fn until(mut self, to: impl Into<Elapsed>) -> Self {
        self.window = Window::until(to);
        self
    }

    /// The churn after one moment and up to another: of the events with `from` < elapsed ≤ `to`. Those
    /// at time 0 are in none such, but in one [from the first event on](Self::until).
    pub fn within(mut self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        self.window = Window::new(from, to);
        self
    }
}

impl Question for ChurnQuestion {
    type Answer = Churn;

    fn from(&self) -> Elapsed {
        self.window.from()
    }

    fn begin(&mut self, _: &LiveHeap, place: &LogPlace<'_>) {
        self.rows = PerTrace::new(place.traces as usize);
    }

    #[expect(
        clippy::inline_always,
        reason = "a step in memory costs more than to replay it"
    )]
    #[inline(always)]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let (time, size, kind) = (step.event.elapsed, step.event.size, step.event.kind);
        let index = TraceId::to_disk(step.event.trace);
        let is_free = kind == EventKind::Free;
        let is_over = self.window.is_over(time);
        let counts = self.window.has_begun(time) && !is_over;
        let frees_the_one_before = is_free && self.before == Some((index, size));
        self.before = (counts && !is_free).then_some((index, size));
        if counts || frees_the_one_before {
            let bytes = step.bytes.unsigned_abs();
            // What a closure refers to is put into memory for it: so nothing of this does.
            self.rows.update(index, move |row| {
                row.temporary += u64::from(frees_the_one_before);
                match (counts, kind) {
                    (true, EventKind::Allocation) => {
                        row.allocations += 1;
                        row.allocated = row.allocated.saturating_add(bytes);
                        row.largest = row.largest.max(size);
                    }
                    (true, EventKind::Free) => {
                        row.frees += 1;
                        row.freed = row.freed.saturating_add(bytes);
                    }
                    (false, _) => {}
                }
            });
        }
        if is_over {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Churn {
        let mut total = TraceChurn::default();
        let rows = self.rows.iter().filter(|(_, row)| !row.is_empty());
        let rows = rows
            .map(|(trace, row)| {
                total.add(row);
                (trace, *row)
            })
            .collect();
        Churn {
            rows,
            total,
            damaged: end.damaged,
        }
    }
}

impl Reader {
    /// What each trace allocated and freed over the whole log. For a part of it, [ask](Self::ask) a
    /// [`ChurnQuestion`].
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn churn(&self) -> Result<Churn> {
        self.ask(Churn::question())
    }
}
