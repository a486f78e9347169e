//! How large are the blocks?

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

use crate::analysis::live_blocks::rounded;
use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::analysis::trace_set::TraceSet;
use crate::analysis::window::Window;
use crate::error::{Damaged, Result};
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::raw::rates::SamplingRates;
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
    counts: [Counts; BUCKETS],
    damaged: Damaged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    allocations: u64,
    bytes: u64,
    /// In units of 2⁻³².
    stand_for: i128,
    estimate: u64,
}

/// The allocations of some sizes.
///
/// ```
/// use heapprof::Reader;
///
/// let bucket = Reader::open("examples/data/demo")?.sizes()?.bucket(100_000);
/// assert_eq!(bucket.sizes, 65_536..=131_071);
/// assert_eq!((bucket.allocations, bucket.bytes), (0, 0));
/// assert_eq!(bucket.estimated_bytes, bucket.bytes); // nothing was sampled
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeBucket {
    /// The sizes: 0 alone, or from a power of two up to the next.
    pub sizes: RangeInclusive<u64>,
    /// How many allocations were recorded.
    pub allocations: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// How many allocations these stand for: one over the probability with which it was recorded for
    /// each, and none where that is 0. Rounded to the nearest.
    pub estimated_allocations: u64,
    /// The estimate of the bytes allocated.
    pub estimated_bytes: u64,
}

impl Sizes {
    /// Asks for the sizes of all allocations; what it [returns](SizesQuestion) takes a window, or a
    /// set of traces.
    pub fn question() -> SizesQuestion {
        SizesQuestion {
            window: Window::WHOLE,
            set: None,
            rates: None,
            counts: [Counts::default(); BUCKETS],
        }
    }

    /// All buckets from size 0 up to the one of the largest allocation, empty ones among them; none
    /// if there was no allocation.
    pub fn buckets(
        &self,
    ) -> impl DoubleEndedIterator<Item = SizeBucket> + ExactSizeIterator + Clone {
        let largest = self
            .counts
            .iter()
            .rposition(|counts| counts.allocations > 0);
        let used = self
            .counts
            .iter()
            .take(largest.map_or(0, |place| place + 1));
        used.enumerate()
            .map(|(place, counts)| counts.over(sizes(place)))
    }

    /// The bucket in which a size falls. A log holds no size over 2⁶³ − 1.
    pub fn bucket(&self, size: u64) -> SizeBucket {
        let place = place(size);
        let counts = self.counts.get(place).copied().unwrap_or_default();
        counts.over(sizes(place))
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// All buckets together.
    pub fn total(&self) -> SizeBucket {
        let mut sum = Counts::default();
        for counts in &self.counts {
            sum.allocations += counts.allocations;
            sum.bytes = sum.bytes.saturating_add(counts.bytes);
            sum.stand_for += counts.stand_for;
            sum.estimate = sum.estimate.saturating_add(counts.estimate);
        }
        sum.over(0..=*sizes(BUCKETS - 1).end())
    }
}

impl Counts {
    fn over(&self, sizes: RangeInclusive<u64>) -> SizeBucket {
        SizeBucket {
            sizes,
            allocations: self.allocations,
            bytes: self.bytes,
            estimated_allocations: rounded(self.stand_for).unsigned_abs(),
            estimated_bytes: self.estimate,
        }
    }
}

/// The bucket of a size.
#[inline]
fn place(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()) as usize
}

/// The sizes of a bucket.
fn sizes(place: usize) -> RangeInclusive<u64> {
    match place.checked_sub(1) {
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

/// Asks for [`Sizes`]. One pass over the log, or over the window.
///
/// ```
/// use heapprof::{Reader, Sizes, TraceSet, Track};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let line = traces.find(("/srv/app/workloads/shop/customers.py", 11)).unwrap();
/// let of_line = TraceSet::of(traces, [Track::Local(line)]);
/// let sizes = reader.ask(Sizes::question().of(of_line))?;
/// assert_eq!(sizes.total().allocations, 4_640);
/// assert_eq!(sizes.bucket(1000).allocations, 960);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SizesQuestion {
    window: Window,
    set: Option<TraceSet>,
    /// Unless everything was recorded.
    rates: Option<SamplingRates>,
    counts: [Counts; BUCKETS],
}

impl SizesQuestion {
    /// The allocations up to one moment, from the first event on.
    pub fn until(mut self, to: impl Into<Elapsed>) -> Self {
        self.window = Window::until(to);
        self
    }

    /// The allocations after one moment and up to another: those with `from` < elapsed ≤ `to`. Those at
    /// time 0 are in none such, but in one [from the first event on](Self::until).
    pub fn within(mut self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        self.window = Window::new(from, to);
        self
    }

    /// The allocations of these traces.
    pub fn of(mut self, traces: TraceSet) -> Self {
        self.set = Some(traces);
        self
    }
}

impl Question for SizesQuestion {
    type Answer = Sizes;

    fn from(&self) -> Elapsed {
        self.window.from()
    }

    fn begin(&mut self, _: &LiveHeap, place: &LogPlace<'_>) {
        self.rates = (!place.rates.is_unsampled()).then(|| place.rates.clone());
    }

    #[inline]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
        if self.window.is_over(event.elapsed) {
            return ControlFlow::Break(());
        }
        let index = TraceId::to_disk(event.trace);
        if event.is_allocation()
            && self.window.has_begun(event.elapsed)
            && self.set.as_ref().is_none_or(|set| set.has(index))
            && let Some(counts) = self.counts.get_mut(place(event.size))
        {
            let stands_for = match &self.rates {
                Some(rates) => rates.blocks(event.size),
                None => 1 << 32,
            };
            counts.allocations += 1;
            counts.bytes = counts.bytes.saturating_add(event.size);
            counts.stand_for += i128::from(stands_for);
            counts.estimate = counts.estimate.saturating_add(step.bytes.unsigned_abs());
        }
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Sizes {
        Sizes {
            counts: self.counts,
            damaged: end.damaged,
        }
    }
}

impl Reader {
    /// How large the allocations of the whole log were. For a part of the log or of the program,
    /// [ask](Self::ask) a [`SizesQuestion`].
    ///
    /// One pass over the log on each call.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn sizes(&self) -> Result<Sizes> {
        self.ask(Sizes::question())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two_and_meet() {
        assert_eq!(sizes(0), 0..=0);
        assert_eq!(sizes(1), 1..=1);
        assert_eq!(sizes(63).end() + 1, 1 << 63);
        for bucket in 1..BUCKETS {
            assert_eq!(sizes(bucket - 1).end() + 1, *sizes(bucket).start());
        }
        for size in [0, 1, 2, 3, 4, 63, 64, (1 << 63) - 1] {
            assert!(sizes(place(size)).contains(&size), "{size}");
        }
    }
}
