//! [`SamplingAdvice`]: the size of a sample with other rates, and the error of its estimates.

use std::ops::ControlFlow;

use crate::error::{Result, Taint};
use crate::heap::LiveHeap;
use crate::query::ask::{AppliedEvent, Query, QueryEnd, QueryStart};
use crate::raw::hpd::EventKind;
use crate::raw::rates::SamplingRates;
use crate::reader::Reader;

/// Recordings of the same run with other sampling rates: their expected number of events, and the errors of their
/// estimates. It needs one recording of everything, and helps to choose the rates of the next.
///
/// A recorder samples each block independently: it records a block of *s* bytes with a probability *p*, both its
/// allocation and its free. A recorded block counts *s/p* bytes (Horvitz and Thompson 1952), so its part of a
/// sum has the mean *s* and the variance *s²(1 − p)/p*. The variance of a sum is the sum of the variances of its
/// blocks. The rounding of estimates to whole bytes is ignored.
///
/// If the recording is a sample itself, the results are estimates.
///
/// ```
/// use heapprof::{Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let advice = reader.sampling_advice([
///     SamplingRates::unsampled(),
///     SamplingRates::new([(512, 0.1)])?,
///     SamplingRates::new([(512, 0.01), (65_536, 0.5)])?,
/// ])?;
/// let recordings = advice.recordings();
/// let events: Vec<f64> = recordings.iter().map(|one| one.events().round()).collect();
/// assert_eq!(events, [49_779.0, 12_033.0, 4_365.0]);
/// let errors: Vec<String> = recordings
///     .iter()
///     .map(|one| format!("{:.2} %", 100.0 * one.live_at_peak.relative_error()))
///     .collect();
/// assert_eq!(errors, ["0.00 %", "0.09 %", "2.72 %"]);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("sampling rate", "standard error", "gatherStats"))]
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingAdvice {
    recordings: Vec<ExpectedRecording>,
    damaged: Taint,
}

impl SamplingAdvice {
    /// The query for recordings with these rates.
    pub fn query(rates: impl IntoIterator<Item = SamplingRates>) -> SamplingAdviceQuery {
        SamplingAdviceQuery {
            candidates: rates.into_iter().collect(),
            rates: SamplingRates::unsampled(),
            cuts: Vec::new(),
            ranges: Vec::new(),
            highest: 0,
            maxima: 0,
        }
    }

    /// A recording for each of the rates, in the order in which they were given.
    pub fn recordings(&self) -> &[ExpectedRecording] {
        &self.recordings
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }
}

impl Reader {
    /// What recordings of the same run with these rates would have: see [`SamplingAdvice`]. One pass over the log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn sampling_advice(
        &self,
        rates: impl IntoIterator<Item = SamplingRates>,
    ) -> Result<SamplingAdvice> {
        self.ask(SamplingAdvice::query(rates))
    }
}

/// The query for [`SamplingAdvice`].
///
/// One pass over the log. Memory: 140 bytes for each upper size of any of the rates.
///
/// ```
/// use heapprof::query::{Peak, SamplingAdvice};
/// use heapprof::{Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let query = SamplingAdvice::query([SamplingRates::new([(512, 0.1)])?]);
/// let (advice, peak) = reader.ask((query, Peak::query()))?;
/// assert_eq!(advice.recordings()[0].live_at_peak.bytes, peak.total() as f64);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SamplingAdviceQuery {
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
/// use heapprof::{Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let rates = SamplingRates::new([(512, 0.1)])?;
/// let recording = reader.sampling_advice([rates])?.recordings()[0].clone();
/// assert_eq!((recording.allocations.round(), recording.frees.round()), (6_751.0, 5_282.0));
/// assert_eq!(recording.live_at_end.standard_error.round(), 20_630.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ExpectedRecording {
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
}

/// The expected error of an estimate of a sum of bytes.
///
/// ```
/// use heapprof::{Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let rates = SamplingRates::new([(32, 0.0), (512, 0.1)])?; // the smallest are never recorded
/// let end = reader.sampling_advice([rates])?.recordings()[0].live_at_end;
/// assert_eq!((end.bytes, end.unseen), (8_334_103.0, 45_212.0));
/// assert_eq!(format!("{:.2} %", 100.0 * end.relative_error()), "0.24 %");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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

impl ExpectedRecording {
    /// The expected number of recorded events; each takes 7 to 8 bytes of a log.
    pub fn events(&self) -> f64 {
        self.allocations + self.frees
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

impl SamplingAdviceQuery {
    /// Starts a new maximum. Each range saves its sums when they change for the first time after it.
    #[inline]
    fn mark(&mut self, total: i64) {
        self.highest = total;
        self.maxima += 1;
    }

    fn recording(&self, rates: &SamplingRates) -> ExpectedRecording {
        let mut recording = ExpectedRecording {
            rates: rates.clone(),
            allocations: 0.0,
            frees: 0.0,
            allocated: ExpectedEstimate::NONE,
            live_at_end: ExpectedEstimate::NONE,
            live_at_peak: ExpectedEstimate::NONE,
        };
        let smallest = std::iter::once(0).chain(self.cuts.iter().copied());
        for (smallest, range) in smallest.zip(&self.ranges) {
            let recorded = self.rates.probability(smallest);
            if recorded <= 0.0 {
                // These blocks do not count in any estimate.
                continue;
            }
            let probability = rates.probability(smallest);
            recording.allocations += float(range.allocations.into()) / recorded * probability;
            recording.frees += float(range.frees.into()) / recorded * probability;
            let at_peak = if range.maxima == self.maxima {
                range.before
            } else {
                range.live
            };
            for (estimate, sums) in [
                (&mut recording.allocated, range.allocated),
                (&mut recording.live_at_end, range.live),
                (&mut recording.live_at_peak, at_peak),
            ] {
                estimate.add(sums, recorded, probability);
            }
        }
        for estimate in [
            &mut recording.allocated,
            &mut recording.live_at_end,
            &mut recording.live_at_peak,
        ] {
            // It was the variance until now.
            estimate.standard_error = estimate.standard_error.max(0.0).sqrt();
        }
        recording
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

impl Query for SamplingAdviceQuery {
    type Output = SamplingAdvice;

    fn begin(&mut self, start: &QueryStart<'_>) -> Result<()> {
        self.rates = start.rates().clone();
        let all = self.candidates.iter().chain([start.rates()]);
        self.cuts = all
            .flat_map(|rates| rates.ranges().iter().map(|range| range.upper_size()))
            .collect();
        self.cuts.sort_unstable();
        self.cuts.dedup();
        self.ranges = vec![Range::default(); self.cuts.len() + 1];
        self.mark(start.total());
        Ok(())
    }

    #[inline]
    fn observe(&mut self, applied: &AppliedEvent, _: &LiveHeap) -> ControlFlow<()> {
        let event = &applied.event;
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
        if applied.total > self.highest {
            self.mark(applied.total);
        }
        ControlFlow::Continue(())
    }

    fn finish(self, end: &QueryEnd<'_>) -> SamplingAdvice {
        let candidates = self.candidates.iter();
        SamplingAdvice {
            recordings: candidates.map(|rates| self.recording(rates)).collect(),
            damaged: end.taint(),
        }
    }
}
