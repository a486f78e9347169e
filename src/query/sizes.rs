//! [`Sizes`]: how many blocks there are of each size.

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::query::block_counts::{BlockScale, Blocks};
use crate::query::scope::{Scope, scope_methods};
use crate::reader::Reader;
use crate::time::Elapsed;

/// A bucket for size 0, and one for each power of two up to 2⁶²: a log holds no larger sizes.
const BUCKETS: usize = 64;

/// How many allocations there were of each size, and how many bytes, in buckets by powers of two.
///
/// ```
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let sizes = reader.sizes()?;
/// let most = sizes.buckets().max_by_key(|bucket| bucket.allocations).unwrap();
/// assert_eq!((most.sizes, most.allocations), (16..=31, 11_891));
/// let heaviest = sizes.buckets().max_by_key(|bucket| bucket.bytes).unwrap();
/// assert_eq!((heaviest.sizes, heaviest.bytes), (32_768..=65_535, 9_588_512));
/// assert_eq!(sizes.total().allocations, 27_870);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("histogram", "gatherStats"))]
#[derive(Clone, PartialEq, Eq)]
pub struct Sizes {
    sums: [BucketSums; BUCKETS],
    damaged: Taint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct BucketSums {
    allocations: Blocks,
    bytes: u64,
    recorded_bytes: u64,
}

/// The allocations of some sizes.
///
/// ```
/// use heapprof::Reader;
///
/// let bucket = Reader::open("examples/data/demo")?.sizes()?.bucket(100_000);
/// assert_eq!(bucket.sizes, 65_536..=131_071);
/// assert_eq!((bucket.allocations, bucket.bytes), (0, 0));
/// assert_eq!(bucket.recorded_bytes, bucket.bytes); // nothing was sampled
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeBucket {
    /// The sizes: 0 alone, or from a power of two up to the next.
    pub sizes: RangeInclusive<u64>,
    /// The estimate of all allocations. Each recorded one counts one over its probability, or 0 if that is 0.
    /// Rounded to the nearest.
    pub allocations: u64,
    /// The estimate of the bytes allocated.
    pub bytes: u64,
    /// How many allocations were recorded.
    pub recorded_allocations: u64,
    /// The sum of their sizes.
    pub recorded_bytes: u64,
}

impl Sizes {
    /// A query for the sizes of all allocations; [`SizesQuery`] can restrict it to a window and a set of
    /// traces.
    pub fn query() -> SizesQuery {
        SizesQuery {
            scope: Scope::WHOLE,
            scale: BlockScale::default(),
            sums: [BucketSums::default(); BUCKETS],
        }
    }

    /// All buckets from size 0 up to the one of the largest allocation, empty ones among them; none
    /// if there was no allocation.
    pub fn buckets(
        &self,
    ) -> impl DoubleEndedIterator<Item = SizeBucket> + ExactSizeIterator + Clone {
        let largest = self
            .sums
            .iter()
            .rposition(|sums| sums.allocations.recorded > 0);
        let used = self.sums.iter().take(largest.map_or(0, |last| last + 1));
        used.enumerate()
            .map(|(index, sums)| sums.over(sizes(index)))
    }

    /// The bucket in which a size falls. A log holds no size over 2⁶³ − 1.
    pub fn bucket(&self, size: u64) -> SizeBucket {
        let index = bucket(size);
        let sums = self.sums.get(index).copied().unwrap_or_default();
        sums.over(sizes(index))
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// All buckets together.
    pub fn total(&self) -> SizeBucket {
        let mut sum = BucketSums::default();
        for sums in &self.sums {
            sum.add(sums);
        }
        sum.over(0..=*sizes(BUCKETS - 1).end())
    }
}

impl BucketSums {
    #[inline]
    fn add(&mut self, other: &Self) {
        self.allocations.add(other.allocations);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.recorded_bytes = self.recorded_bytes.saturating_add(other.recorded_bytes);
    }

    fn over(&self, sizes: RangeInclusive<u64>) -> SizeBucket {
        SizeBucket {
            sizes,
            allocations: self.allocations.estimated(),
            bytes: self.bytes,
            recorded_allocations: self.allocations.recorded,
            recorded_bytes: self.recorded_bytes,
        }
    }
}

/// The index of a size's bucket.
#[inline]
fn bucket(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()) as usize
}

/// The sizes of a bucket.
fn sizes(bucket: usize) -> RangeInclusive<u64> {
    match bucket.checked_sub(1) {
        None => 0..=0,
        Some(power) => {
            let from = 1_u64 << power.min(63);
            from..=from + (from - 1)
        }
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.buckets()).finish()
    }
}

/// The query for [`Sizes`]. One pass over the log, or over the window.
///
/// ```
/// use heapprof::query::{Sizes, TraceSet, Track};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let line = traces.find(("/srv/app/workloads/shop/customers.py", 11)).unwrap();
/// let of_line = TraceSet::of(traces, [Track::Local(line)]);
/// let sizes = reader.ask(Sizes::query().of(&of_line))?;
/// assert_eq!(sizes.total().allocations, 4_640);
/// assert_eq!(sizes.bucket(1000).allocations, 960);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SizesQuery {
    scope: Scope,
    scale: BlockScale,
    sums: [BucketSums; BUCKETS],
}

impl SizesQuery {
    scope_methods!(within);
    scope_methods!(of);
}

impl Query for SizesQuery {
    type Output = Sizes;

    fn start(&self) -> Elapsed {
        self.scope.window.start()
    }

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.scale = BlockScale::new(start.rates());
        Ok(())
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
        if self.scope.is_over(event.elapsed) {
            return ControlFlow::Break(());
        }
        let index = TraceId::to_disk(event.trace);
        if event.is_allocation()
            && self.scope.contains(event.elapsed, index)
            && let Some(sums) = self.sums.get_mut(bucket(event.size))
        {
            sums.allocations.add_one(self.scale.blocks(event.size));
            sums.bytes = sums.bytes.saturating_add(applied.bytes.unsigned_abs());
            sums.recorded_bytes = sums.recorded_bytes.saturating_add(event.size);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> Sizes {
        Sizes {
            sums: self.sums,
            damaged: end.taint(),
        }
    }
}

impl Reader {
    /// How large the allocations of the whole log were. For a part of the log or of the program,
    /// [ask](Self::ask) a [`SizesQuery`].
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn sizes(&self) -> Result<Sizes> {
        self.ask(Sizes::query())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_adjacent_powers_of_two() {
        assert_eq!(sizes(0), 0..=0);
        assert_eq!(sizes(1), 1..=1);
        assert_eq!(sizes(63).end() + 1, 1 << 63);
        for bucket in 1..BUCKETS {
            assert_eq!(sizes(bucket - 1).end() + 1, *sizes(bucket).start());
        }
        for size in [0, 1, 2, 3, 4, 63, 64, (1 << 63) - 1] {
            assert!(sizes(bucket(size)).contains(&size), "{size}");
        }
    }
}
