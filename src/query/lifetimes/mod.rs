//! [`Lifetimes`]: how long blocks live.
//!
//! The log does not say which allocation a free belongs to, only its trace and size. So the lifetimes
//! of a trace are known up to which blocks of a size were freed, and their sum lies between two
//! bounds that are both possible:
//!
//! ```text
//!   allocated   a     b                     sum of the lifetimes of what was freed
//!   freed                 f       g
//!               ├─────────┤
//!                     ├───────────┤         (f - a) + (g - b)     both freed: the same however
//!               ├─────────────────┤         (f - b) + (g - a)     they are paired
//!                     ├───┤
//! ```
//!
//! Let the allocations of one trace and size be at times a₁ ≤ a₂ ≤ …, and m of them be freed. Whatever
//! the pairing, the sum of their lifetimes is the sum of the times of the frees minus the sum of those
//! aᵢ that were freed. So it depends on *which* were freed, not on what is paired with what.
//!
//! * *Oldest first* frees a₁ to aₘ. No m allocations have a smaller sum, so no pairing has longer
//!   lifetimes.
//! * *Newest first* frees, at each free, the youngest live block x. No pairing has a larger sum of
//!   aᵢ: take one whose first free frees y instead. If x is not freed in it, let the first free take
//!   x: the sum does not become smaller, as x is no older than y. If x is freed later, by g, let the
//!   first free take x, and g take y, which was live at the first free and so is at g: the same
//!   blocks are freed. Either way the first free takes x; and so on with the second. So no
//!   pairing has shorter lifetimes.
//! * If all were freed, or all that were not are of the same time as others, both are equal, and the
//!   mean is exact.
//!
//! Sums of several sizes and traces add up: each can be at its bound whatever the others are.

mod pairs;

use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

use pairs::Pairs;

use crate::error::Result;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::scope::{Scope, scope_methods};
use crate::query::trace_rows::{Row, TraceRows};
use crate::raw::hpd::EventKind;
use crate::reader::Reader;
use crate::usage::{Usage, saturated};

/// The mean lifetime of the blocks of each trace that were freed.
///
/// The log does not pair a free with its allocation, so there are two bounds: the mean if each free of a trace and
/// size frees the newest block, and the mean if it frees the oldest. No pairing has a shorter or a longer mean.
/// If all blocks of each size were freed, both are equal and the mean is exact. Blocks that are still live are
/// counted, but are not part of the mean, so the mean is not meaningful for a trace that keeps most of its
/// blocks.
///
/// Lifetimes are elapsed times, which do not advance while the clock is stepped back. The mean is over recorded
/// blocks: in a sample, the small and large blocks of a trace have the weights with which they were recorded.
///
/// ```
/// use heapprof::view::Lines;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let lifetimes = reader.lifetimes()?;
/// let total = lifetimes.total();
/// assert_eq!((total.freed, total.live, total.unmatched), (21_909, 5_961, 0));
///
/// // How long do the blocks live that a line allocates? Of all its traces together:
/// let traces = reader.traces()?;
/// let line = traces.find(("/srv/app/workloads/shop/orders.py", 14)).unwrap();
/// let local = |usage| Lines::new(traces, &usage).get(line).unwrap().local;
/// let freed = local(lifetimes.freed());
/// assert_eq!((freed, local(lifetimes.live())), (1_968, 127));
/// assert_eq!(local(lifetimes.shortest_micros()) / freed, 2_526_057); // microseconds
/// assert_eq!(local(lifetimes.longest_micros()) / freed, 2_557_128);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifetimes {
    rows: TraceRows<TraceLifetimes>,
}

/// The lifetimes of the blocks of one trace.
///
/// ```
/// use heapprof::Reader;
/// use std::time::Duration;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let all = reader.lifetimes()?.total();
/// assert_eq!((all.freed, all.live), (21_909, 5_961));
/// let mean = all.mean().unwrap();
/// assert_eq!((*mean.start(), *mean.end()), (Duration::from_nanos(262_388_403), Duration::from_nanos(269_087_744)));
/// assert_eq!(all.exact_mean(), None); // some blocks live on, so it is not known which were freed
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TraceLifetimes {
    /// The number of recorded blocks that were freed. The mean is over these.
    pub freed: u64,
    /// The number of recorded blocks that are live at the end of the log.
    pub live: u64,
    /// The number of frees without a live block of their trace and size, for example in a log of two processes.
    /// They are not part of the mean. If there are some, other frees are likely to be paired wrongly.
    pub unmatched: u64,
    /// The sums of the lifetimes in microseconds, newest first and oldest first.
    shortest: u128,
    longest: u128,
}

impl TraceLifetimes {
    /// The bounds of the mean lifetime of the blocks that were freed, in whole nanoseconds, rounded
    /// down: as if of each size the newest were freed first, and the oldest. `None` if none were
    /// freed.
    pub fn mean(&self) -> Option<RangeInclusive<Duration>> {
        let mean = |sum: u128| {
            let freed = u128::from(self.freed);
            let micros = u64::try_from(sum.checked_div(freed)?).unwrap_or(u64::MAX);
            let nanos = u64::try_from(sum % freed * 1000 / freed).unwrap_or(0);
            Some(Duration::from_micros(micros) + Duration::from_nanos(nanos))
        };
        Some(mean(self.shortest)?..=mean(self.longest)?)
    }

    /// The mean lifetime of the blocks that were freed, if both bounds are equal.
    pub fn exact_mean(&self) -> Option<Duration> {
        let mean = self.mean()?;
        (self.shortest == self.longest).then_some(*mean.start())
    }
}

impl Row for TraceLifetimes {
    fn is_empty(&self) -> bool {
        self.freed == 0 && self.live == 0 && self.unmatched == 0
    }

    fn add(&mut self, other: &Self) {
        self.freed += other.freed;
        self.live += other.live;
        self.unmatched += other.unmatched;
        self.shortest += other.shortest;
        self.longest += other.longest;
    }
}

impl Lifetimes {
    /// A query for the lifetimes of all blocks; [`LifetimesQuery`] can restrict it to a set of traces.
    pub fn query() -> LifetimesQuery {
        LifetimesQuery {
            scope: Scope::WHOLE,
            rows: PerTrace::new(0),
            pairs: Pairs::new(),
        }
    }

    /// All traces that allocated or freed, in the order of the ids, unknown first.
    pub fn rows(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Option<TraceId>, &TraceLifetimes)> + ExactSizeIterator + Clone
    {
        self.rows.iter()
    }

    /// The lifetimes of one trace, or with `None` of unknown. O(log rows).
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> TraceLifetimes {
        self.rows.get(trace.into())
    }

    /// All rows together.
    pub fn total(&self) -> TraceLifetimes {
        self.rows.total()
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.rows.damaged().0
    }

    /// How many blocks were freed, by trace. O(rows), as all columns.
    pub fn freed(&self) -> Usage {
        self.column(|row| row.freed.into())
    }

    /// How many blocks are live at the end, by trace.
    pub fn live(&self) -> Usage {
        self.column(|row| row.live.into())
    }

    /// The sum of the lifetimes in microseconds, by trace, if of each size the newest block was freed
    /// first. So a view can sum them up: the mean of a line is its sum over what it
    /// [freed](Self::freed).
    pub fn shortest_micros(&self) -> Usage {
        self.column(|row| row.shortest)
    }

    /// The sum of the lifetimes in microseconds, by trace, if of each size the oldest block was freed
    /// first.
    pub fn longest_micros(&self) -> Usage {
        self.column(|row| row.longest)
    }

    fn column(&self, value: impl Fn(&TraceLifetimes) -> u128) -> Usage {
        let weight = |row: &_| saturated(i128::try_from(value(row)).unwrap_or(i128::MAX));
        self.rows.column(weight)
    }
}

/// The query for [`Lifetimes`].
///
/// One pass over the log from its beginning. Memory: 64 to 128 bytes a trace; for each trace and size
/// with a live block 40 to 80, and 32 to 64 more for each block if there are several. So it depends on the number
/// of live blocks, 40 to 100 MB for a million, and not on the length of the log. Blocks beyond 2³¹ live ones are
/// left out.
///
/// ```
/// use heapprof::query::{Lifetimes, TraceSet, Track};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let line = reader.traces()?.search("report.py:21")[0];
/// let of_line = TraceSet::of(reader.traces()?, [Track::Local(line)]);
/// let total = reader.ask(Lifetimes::query().of(&of_line))?.total();
/// assert_eq!((total.freed, total.live), (48, 0));
/// assert_eq!(total.exact_mean().unwrap().as_micros(), 3_277);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LifetimesQuery {
    scope: Scope,
    rows: PerTrace<TraceLifetimes>,
    pairs: Pairs,
}

impl LifetimesQuery {
    scope_methods!(of);
}

impl Query for LifetimesQuery {
    type Output = Lifetimes;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.rows = PerTrace::new(start.trace_count() as usize);
        Ok(())
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
        let index = TraceId::to_disk(event.trace);
        if !self.scope.contains(event.elapsed, index) {
            return ControlFlow::Continue(());
        }
        let (key, now) = ((index, event.size), event.elapsed);
        match event.kind {
            EventKind::Allocation => {
                let live = self.pairs.allocate(key, now);
                self.rows.update(index, |row| row.live += u64::from(live));
            }
            EventKind::Free => {
                let freed = self.pairs.free(key);
                self.rows.update(index, |row| match freed {
                    Some((oldest, newest)) => {
                        row.live = row.live.saturating_sub(1);
                        row.freed += 1;
                        row.longest += now.since(oldest).as_micros();
                        row.shortest += now.since(newest).as_micros();
                    }
                    None => row.unmatched += 1,
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Lifetimes {
        Lifetimes {
            rows: TraceRows::new(&self.rows, end.taint()),
        }
    }
}

impl Reader {
    /// How long the blocks of each trace lived. For a part of the traces, [ask](Self::ask) a
    /// [`LifetimesQuery`], which also states the memory it takes.
    ///
    /// One pass over the log on each call, several times as long as others.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn lifetimes(&self) -> Result<Lifetimes> {
        self.ask(Lifetimes::query())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(range: &RangeInclusive<Duration>) -> (u128, u128) {
        (range.start().as_nanos(), range.end().as_nanos())
    }

    #[test]
    fn mean_is_exact_to_the_nanosecond() {
        let row = |freed, shortest, longest| TraceLifetimes {
            freed,
            shortest,
            longest,
            ..TraceLifetimes::default()
        };
        assert_eq!(row(0, 0, 0).mean(), None);
        assert_eq!(row(0, 0, 0).exact_mean(), None);
        let third = row(3, 10, 11);
        assert_eq!(micros(&third.mean().unwrap()), (3_333, 3_666));
        assert_eq!(third.exact_mean(), None);
        assert_eq!(
            row(4, 10, 10).exact_mean(),
            Some(Duration::from_nanos(2_500))
        );
        let largest = u128::from(u64::MAX) * (1 << 62);
        let mean = row(1 << 62, largest, largest).exact_mean().unwrap();
        assert_eq!(mean, Duration::from_micros(u64::MAX));
    }
}
