//! [`ErrorBars`]: the standard errors of estimates. In a sample, each sum has one.

pub(super) mod accounts;
mod query;

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Range, RangeInclusive};

pub use query::ErrorBarsQuery;

use crate::id::TraceId;
use crate::query::trace_rows::find_row;
use crate::raw::rates::SamplingRates;
use crate::usage::{Usage, saturated};

/// Estimates with standard errors, of the live bytes at a moment or of the growth between two, by trace and in
/// total.
///
/// A recorder samples each block independently, with the probability *p* of its size. A recorded block counts
/// size / *p* (see [`SamplingRates`]). The variance of a sum of such estimates is itself estimated from the
/// recorded blocks, as the sum of their size² (1 − *p*) / *p*² (Horvitz and Thompson 1952):
/// [`SamplingRates::variance`]. It is summed in whole square bytes of 128 bits, so that an allocation and its
/// free cancel exactly. It is 0 if everything was recorded.
///
/// Error bars do not cover:
/// * Sizes of probability 0. They are never recorded: see
///   [`unseen`](Self::unseen).
/// * Wrong rates (see [`Reader::rates_check`]). With these the error bars are wrong as well.
/// * Traces without a recorded block. They have no row, and 0 ± 0 is no estimate of them.
///
/// [`Reader::rates_check`]: crate::Reader::rates_check
///
/// ```
/// use heapprof::{Reader, SamplingRates};
///
/// let reader = Reader::open("examples/data/demo")?;
/// // Everything was recorded.
/// assert_eq!(reader.error_bars()?.total().standard_error(), 0.0);
///
/// // Had it been a sample, of one in ten of the blocks below 128 bytes:
/// let reader = reader.with_rates(SamplingRates::new([(128, 0.1)])?);
/// let bars = reader.error_bars()?;
/// let total = bars.total();
/// assert_eq!(total.value(), 10_197_976);
/// assert_eq!(total.standard_error().round(), 34_787.0);
/// assert_eq!(total.confidence_interval(0.95).unwrap(), 10_129_779..=10_266_173);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct ErrorBars {
    usage: Usage,
    /// Ascending by trace, where the variance is not 0.
    spreads: Vec<(Option<TraceId>, Spread)>,
    /// Sizes of probability 0.
    unseen: Vec<Range<u64>>,
}

/// The error of the estimate of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Spread {
    /// In square bytes, or blocks.
    variance: f64,
    /// The number of recorded blocks whose probability is below 1.
    blocks: f64,
}

/// An estimate and its standard error.
///
/// ```
/// use heapprof::{Reader, SamplingRates};
///
/// let rates = SamplingRates::new([(128, 0.01)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(rates);
/// let bars = reader.error_bars()?;
/// let (_, heaviest) = bars.iter().next().unwrap();
/// assert_eq!((heaviest.to_string(), heaviest.blocks()), ("17542928 ± 252920".into(), 1774.0));
/// let (_, rough) = bars.iter().find(|(_, estimate)| estimate.is_rough()).unwrap();
/// // It is based on a single block, so the standard error is only an order of magnitude.
/// assert_eq!((rough.to_string(), rough.blocks()), ("9600 ± 9552".into(), 1.0));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    value: i64,
    variance: f64,
    blocks: f64,
}

/// With fewer blocks than this, the distribution of a sum is too different from a normal distribution.
const ENOUGH: f64 = 30.0;

impl Estimate {
    /// The estimate itself, in bytes, or in blocks if [blocks](crate::query::LiveBlocks::error_bars) are estimated.
    pub fn value(self) -> i64 {
        self.value
    }

    /// Its variance, in the square of that unit; 0 if all of its blocks were recorded.
    pub fn variance(self) -> f64 {
        self.variance
    }

    /// Its standard error, in the same unit: the square root of the variance.
    pub fn standard_error(self) -> f64 {
        self.variance.sqrt()
    }

    /// The number of recorded blocks on which the standard error is based.
    ///
    /// For one trace, the number of its blocks that were recorded with a probability below 1. For a sum, the
    /// number of equal blocks that would give it its variance: the square of the sum of the variances over the
    /// sum of their squares, since many blocks of a small variance count less than a few of a large one. It assumes
    /// that the blocks of a trace are equal, and is too large if they differ much.
    pub fn blocks(self) -> f64 {
        self.blocks
    }

    /// Whether the variance is 0. In a sample, an estimate without recorded blocks has no variance either, but may
    /// have blocks that were not recorded.
    pub fn is_exact(self) -> bool {
        self.variance <= 0.0
    }

    /// Whether the standard error is based on fewer than 30 [blocks](Self::blocks). Then the level of an
    /// [interval](Self::confidence_interval) is only approximate.
    pub fn is_rough(self) -> bool {
        !self.is_exact() && self.blocks < ENOUGH
    }

    /// The confidence interval that contains the true value in a fraction `level` of all recordings, such as 0.95.
    /// It is that of a normal distribution with this standard error. `None` if the level is not above 0 and
    /// below 1.
    ///
    /// It is an approximation. In twenty thousand samples of generated logs, intervals of 95 % contained the true
    /// value in 94.7 to 96.2 % if they were based on 30 blocks or more. [Rough](Self::is_rough) ones contained it
    /// in 89 to 91 %, and can reach below 0. Those of [growth](ErrorBarsQuery::within) are wider than
    /// necessary and contained it in 97 %.
    #[doc(alias = "interval")]
    pub fn confidence_interval(self, level: f64) -> Option<RangeInclusive<i64>> {
        if !(level > 0.0 && level < 1.0) {
            return None;
        }
        let reach = normal_quantile(f64::midpoint(level, 1.0)) * self.standard_error();
        #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
        let reach = reach.ceil() as i64;
        Some(self.value.saturating_sub(reach)..=self.value.saturating_add(reach))
    }
}

/// The value and the standard error, rounded up: `1200 ± 340`.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!(
            "{} ± {:.0}",
            self.value,
            self.standard_error().ceil()
        ))
    }
}

/// How many standard errors a normal distribution reaches up to this probability, from ½ to 1.
///
/// The approximation of Hastings (1955), as Abramowitz and Stegun 26.2.23: off by 0.00045 at most.
fn normal_quantile(probability: f64) -> f64 {
    let t = (-2.0 * (1.0 - probability).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    (t - above / below).max(0.0)
}

impl ErrorBars {
    fn new(
        usage: Usage,
        spreads: impl Iterator<Item = (u32, Spread)>,
        rates: &SamplingRates,
    ) -> Self {
        let mut spreads: Vec<_> = spreads
            .filter(|(_, spread)| spread.variance > 0.0)
            .map(|(index, spread)| (TraceId::new(index), spread))
            .collect();
        spreads.sort_unstable_by_key(|&(trace, _)| trace);
        let never = rates.by_size().filter(|(_, range)| range.is_never());
        Self {
            usage,
            spreads,
            unseen: never.map(|(sizes, _)| sizes).collect(),
        }
    }

    /// The estimates alone, by trace.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether they are derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.usage.is_damaged()
    }

    /// All traces together, unknown included.
    pub fn total(&self) -> Estimate {
        self.sum(|_| true)
    }

    /// One trace, or with `None` unknown. O(log traces).
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> Estimate {
        let trace = trace.into();
        let spread = find_row(&self.spreads, trace).copied().unwrap_or_default();
        Estimate {
            value: self.usage.get(trace),
            variance: spread.variance,
            blocks: spread.blocks,
        }
    }

    /// All traces with an estimate that is not 0, the heaviest first.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = (Option<TraceId>, Estimate)> + FusedIterator {
        self.usage.iter().map(|(trace, _)| (trace, self.get(trace)))
    }

    /// The traces that pass the test, together. O(traces).
    pub fn sum(&self, mut keep: impl FnMut(Option<TraceId>) -> bool) -> Estimate {
        let mut sum = Sum::default();
        for (trace, value, spread) in self.rows() {
            if keep(trace) {
                sum.add(value, spread);
            }
        }
        sum.estimate()
    }

    /// The sizes of blocks that are never recorded, of probability 0, ascending. Neither the estimates nor their
    /// error bars include these blocks.
    pub fn unseen(&self) -> &[Range<u64>] {
        &self.unseen
    }

    /// The traces that have a value or a variance, in the order of their ids. A trace can have a variance and the
    /// value 0.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Option<TraceId>, i64, Spread)> + '_ {
        let mut values = self.usage.by_trace().peekable();
        let mut spreads = self.spreads.iter().copied().peekable();
        std::iter::from_fn(move || {
            let trace = match (values.peek(), spreads.peek()) {
                (Some(&(a, _)), Some(&(b, _))) => a.min(b),
                (Some(&(trace, _)), None) | (None, Some(&(trace, _))) => trace,
                (None, None) => return None,
            };
            let value = values.next_if(|row| row.0 == trace);
            let spread = spreads.next_if(|row| row.0 == trace);
            Some((
                trace,
                value.map_or(0, |(_, value)| value),
                spread.map(|(_, spread)| spread).unwrap_or_default(),
            ))
        })
    }
}

impl fmt::Debug for ErrorBars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorBars")
            .field("total", &self.total())
            .field("traces", &self.usage.len())
            .field("unseen", &self.unseen)
            .finish_non_exhaustive()
    }
}

/// A sum of independent estimates.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    value: i128,
    variance: f64,
    /// The sum of the squares of the variances of the blocks.
    squares: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: i64, spread: Spread) {
        self.value += i128::from(value);
        self.variance += spread.variance;
        if spread.blocks > 0.0 {
            self.squares += spread.variance * spread.variance / spread.blocks;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.value = self.value.saturating_add(other.value);
        self.variance += other.variance;
        self.squares += other.squares;
    }

    pub(crate) fn estimate(self) -> Estimate {
        Estimate {
            value: saturated(self.value),
            variance: self.variance,
            blocks: if self.squares > 0.0 {
                self.variance * self.variance / self.squares
            } else {
                0.0
            },
        }
    }
}
