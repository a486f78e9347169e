//! [`SamplingAdvice`]: the size of a sample with other rates, and the error of its estimates.

use std::ops::ControlFlow;

use crate::analysis::question::{LogEnd, LogPlace, LogStep, Question};
use crate::error::Taint;
use crate::heap::LiveHeap;
use crate::raw::EventKind;
use crate::raw::rates::SamplingRates;

/// The query for recordings of the same run with other sampling rates: their number of events, and the errors of
/// their estimates. It needs one recording of everything, and helps to choose the rates of the next.
///
/// A recorder samples each block independently: it records a block of *s* bytes with a probability *p*, both its
/// allocation and its free. A recorded block counts *s/p* bytes (Horvitz and Thompson 1952), so its part of a
/// sum has the mean *s* and the variance *s²(1 − p)/p*. The variance of a sum is the sum of the variances of its
/// blocks. The rounding of estimates to whole bytes is ignored.
///
/// If the recording is a sample itself, the answers are estimates.
///
/// One pass over the log. Memory: 140 bytes for each upper size of any of the rates.
///
/// ```
/// use heapprof::{Reader, SamplingAdvice, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let advice = reader.ask(SamplingAdvice::new([
///     SamplingRates::unsampled(),
///     SamplingRates::new([(512, 0.1)])?,
///     SamplingRates::new([(512, 0.01), (65_536, 0.5)])?,
/// ]))?;
/// let events: Vec<f64> = advice.iter().map(|one| one.events().round()).collect();
/// assert_eq!(events, [49_779.0, 12_033.0, 4_365.0]);
/// let errors: Vec<String> = advice
///     .iter()
///     .map(|one| format!("{:.2} %", 100.0 * one.live_at_peak.relative_error()))
///     .collect();
/// assert_eq!(errors, ["0.00 %", "0.09 %", "2.72 %"]);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("sampling rate", "standard error", "gatherStats"))]
#[derive(Debug, Clone)]
#[must_use]
pub struct SamplingAdvice {
    candidates: Vec<SamplingRates>,
    /// The rates of the recording.
    rates: SamplingRates,
    /// All upper sizes, ascending. Between two of them no rates change.
    cuts: Vec<u64>,
    /// The events below each upper size and the previous one, and those above the last.
    ranges: Vec<Range>,
    /// The highest total so far, and the number of maxima so far.
    highest: i64,
    maxima: u64,
}

/// The expected recording with other rates.
///
/// ```
/// use heapprof::{Reader, SamplingAdvice, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let rates = SamplingRates::new([(512, 0.1)])?;
/// let advice = reader.ask(SamplingAdvice::new([rates]))?.remove(0);
/// assert_eq!((advice.allocations.round(), advice.frees.round()), (6_751.0, 5_282.0));
/// assert_eq!(advice.live_at_end.standard_error.round(), 20_630.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RatesAdvice {
    /// The rates.
    pub rates: SamplingRates,
    /// The expected number of recorded allocations.
    pub allocations: f64,
    /// The expected number of recorded frees.
    pub frees: f64,
    /// The estimate of all bytes allocated.
    pub allocated: ExpectedEstimate,
    /// The estimate of the live bytes at the end.
    pub live_at_end: ExpectedEstimate,
    /// The estimate of the live bytes at the peak of this recording. The sample can have its own peak at
    /// another time.
    pub live_at_peak: ExpectedEstimate,
    damaged: Taint,
}

/// The expected error of an estimate of a sum of bytes.
///
/// ```
/// use heapprof::{Reader, SamplingAdvice, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let rates = SamplingRates::new([(32, 0.0), (512, 0.1)])?; // the smallest are never recorded
/// let advice = reader.ask(SamplingAdvice::new([rates]))?.remove(0);
/// let end = advice.live_at_end;
/// assert_eq!((end.bytes, end.unseen), (8_334_103.0, 45_212.0));
/// assert_eq!(format!("{:.2} %", 100.0 * end.relative_error()), "0.24 %");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ExpectedEstimate {
    /// The sum itself.
    pub bytes: f64,
    /// The part of the sum in blocks whose probability is 0. The estimate is always too low by this.
    pub unseen: f64,
    /// The standard error in bytes, without the unseen part: the estimates of about two samples of three are
    /// within it. 0 for a log with more frees than allocations.
    pub standard_error: f64,
}

impl RatesAdvice {
    /// The expected number of recorded events; each takes 7 to 8 bytes of a log.
    pub fn events(&self) -> f64 {
        self.allocations + self.frees
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl ExpectedEstimate {
    /// The standard error as a fraction of the sum; 0 if the sum is not above 0.
    pub fn relative_error(&self) -> f64 {
        if self.bytes > 0.0 {
            self.standard_error / self.bytes
        } else {
            0.0
        }
    }
}

/// The events with sizes between two upper sizes.
#[derive(Debug, Clone, Copy, Default)]
struct Range {
    allocations: u64,
    frees: u64,
    allocated: Sums,
    live: Sums,
    /// The live blocks at the last maximum, and the number of maxima up to it.
    before: Sums,
    maxima: u64,
}

/// The sum of the sizes of some blocks, and of their squares.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    sizes: i128,
    squares: i128,
}

impl Sums {
    #[inline]
    fn add(&mut self, size: i128) {
        let square = size * size.abs();
        self.sizes = self.sizes.saturating_add(size);
        self.squares = self.squares.saturating_add(square);
    }
}

impl SamplingAdvice {
    /// A query for these rates. The answer has one item for each, in the same order.
    pub fn new(rates: impl IntoIterator<Item = SamplingRates>) -> Self {
        Self {
            candidates: rates.into_iter().collect(),
            rates: SamplingRates::unsampled(),
            cuts: Vec::new(),
            ranges: Vec::new(),
            highest: 0,
            maxima: 0,
        }
    }

    /// Starts a new maximum. Each range saves its sums when they change for the first time after it.
    #[inline]
    fn mark(&mut self, total: i64) {
        self.highest = total;
        self.maxima += 1;
    }

    fn advice(&self, rates: &SamplingRates, damaged: Taint) -> RatesAdvice {
        let mut advice = RatesAdvice {
            rates: rates.clone(),
            allocations: 0.0,
            frees: 0.0,
            allocated: ExpectedEstimate::NONE,
            live_at_end: ExpectedEstimate::NONE,
            live_at_peak: ExpectedEstimate::NONE,
            damaged,
        };
        let smallest = std::iter::once(0).chain(self.cuts.iter().copied());
        for (smallest, range) in smallest.zip(&self.ranges) {
            let recorded = self.rates.probability(smallest);
            if recorded <= 0.0 {
                // These blocks do not count in any estimate.
                continue;
            }
            let probability = rates.probability(smallest);
            advice.allocations += float(range.allocations.into()) / recorded * probability;
            advice.frees += float(range.frees.into()) / recorded * probability;
            let at_peak = if range.maxima == self.maxima {
                range.before
            } else {
                range.live
            };
            for (estimate, sums) in [
                (&mut advice.allocated, range.allocated),
                (&mut advice.live_at_end, range.live),
                (&mut advice.live_at_peak, at_peak),
            ] {
                estimate.add(sums, recorded, probability);
            }
        }
        for estimate in [
            &mut advice.allocated,
            &mut advice.live_at_end,
            &mut advice.live_at_peak,
        ] {
            // It was the variance until now.
            estimate.standard_error = estimate.standard_error.max(0.0).sqrt();
        }
        advice
    }
}

impl ExpectedEstimate {
    const NONE: Self = Self {
        bytes: 0.0,
        unseen: 0.0,
        standard_error: 0.0,
    };

    /// Adds blocks that were recorded with one probability, for a sample with another. Adds their variance to
    /// the standard error.
    fn add(&mut self, sums: Sums, recorded: f64, probability: f64) {
        let bytes = float(sums.sizes) / recorded;
        self.bytes += bytes;
        if probability > 0.0 {
            let each = (1.0 - probability) / probability;
            self.standard_error += float(sums.squares) / recorded * each;
        } else {
            self.unseen += bytes;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 8 PB")]
fn float(sum: i128) -> f64 {
    sum as f64
}

impl Question for SamplingAdvice {
    type Answer = Vec<RatesAdvice>;

    fn begin(&mut self, _: &LiveHeap, place: &LogPlace<'_>) {
        self.rates = place.rates.clone();
        let all = self.candidates.iter().chain([place.rates]);
        self.cuts = all
            .flat_map(|rates| rates.ranges().iter().map(|range| range.upper_size()))
            .collect();
        self.cuts.sort_unstable();
        self.cuts.dedup();
        self.ranges = vec![Range::default(); self.cuts.len() + 1];
        self.mark(place.total);
    }

    #[inline]
    fn take(&mut self, step: &LogStep, _: &LiveHeap) -> ControlFlow<()> {
        let event = &step.event;
        let place = self.cuts.partition_point(|&cut| cut <= event.size);
        let maxima = self.maxima;
        if let Some(range) = self.ranges.get_mut(place) {
            if range.maxima != maxima {
                range.maxima = maxima;
                range.before = range.live;
            }
            let size = i128::from(event.signed_size());
            range.live.add(size);
            match event.kind {
                EventKind::Allocation => {
                    range.allocations += 1;
                    range.allocated.add(size);
                }
                EventKind::Free => range.frees += 1,
            }
        }
        if step.total > self.highest {
            self.mark(step.total);
        }
        ControlFlow::Continue(())
    }

    fn answer(self, end: &LogEnd<'_>) -> Vec<RatesAdvice> {
        self.candidates
            .iter()
            .map(|rates| self.advice(rates, end.damaged))
            .collect()
    }
}
