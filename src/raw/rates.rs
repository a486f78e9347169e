//! Sampling rates: what a recorded block stands for.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};

/// The probability 1 on disk.
const FULL: u32 = u32::MAX;

/// Sizes below this have their estimate looked up.
const TABLE_LEN: usize = 4096;

/// With which probability a block was recorded, by its size.
///
/// A recording may be a sample: the block of a size is recorded with the probability of the range
/// its size falls in, and at or above the last upper size always. So a recorded block *stands for*
/// its size divided by that probability. This *estimate* is rounded once, to the nearest byte,
/// halves up, so that an allocation and its free cancel exactly.
///
/// What a file states can be wrong: heapprof 1.0 on 64-bit Linux records everything, whatever
/// probability above 0 it was given, and states the one it was given. Whether that looks to be so is
/// told by [`Reader::check_rates`](crate::Reader::check_rates). So the rates in use are the
/// caller's choice: [as recorded](crate::Reader::stated_rates), [none](Self::unsampled), or
/// [their own](Self::new).
///
/// ```
/// use heapprof::SamplingRates;
///
/// // Below 128 bytes one block in ten is recorded, below 8192 every second one.
/// let rates = SamplingRates::new([(128, 0.1), (8192, 0.5)])?;
/// assert_eq!(rates.estimate(100), 1000);
/// assert_eq!(rates.estimate(128), 256);
/// assert_eq!(rates.estimate(8192), 8192);
/// assert_eq!(SamplingRates::unsampled().estimate(100), 100);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("samplingRate", "DEFAULT_SAMPLING_RATE", "MemProfileRate"))]
#[derive(Clone)]
pub struct SamplingRates(Option<Arc<Rates>>);

/// Those of all recordings that state none.
static UNSAMPLED: Rates = Rates {
    stated: Vec::new(),
    deciding: Vec::new(),
    table: OnceLock::new(),
};

struct Rates {
    stated: Vec<SamplingRange>,
    /// The ranges that can decide, ascending: the first in the order of the file whose upper size
    /// is above decides, so one that is not above all before it never does.
    deciding: Vec<SamplingRange>,
    /// The estimates of the smallest sizes, made for the first pass: to open a profile takes less
    /// than to make them.
    table: OnceLock<Box<[u64; TABLE_LEN]>>,
}

/// One range of sizes and its probability.
///
/// ```
/// use heapprof::SamplingRates;
///
/// let rates = SamplingRates::new([(128, 0.5), (8192, 1.0)])?;
/// let range = rates.ranges()[0];
/// assert_eq!((range.upper_size(), range.stored_probability()), (128, 0x7fff_ffff));
/// assert_eq!(format!("{:.6}", range.probability()), "0.500000");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SamplingRange {
    upper_size: u64,
    probability: u32,
}

impl SamplingRange {
    /// The range holds sizes strictly below this, down to the upper size of the range before.
    pub const fn upper_size(self) -> u64 {
        self.upper_size
    }

    /// The probability with which a block of the range is recorded, 0 to 1.
    pub fn probability(self) -> f64 {
        f64::from(self.probability) / f64::from(FULL)
    }

    /// The probability as it is stored: 2³² − 1 is 1.
    pub const fn stored_probability(self) -> u32 {
        self.probability
    }

    /// Whether no block of the range is recorded.
    pub(crate) const fn is_never(self) -> bool {
        self.probability == 0
    }

    fn estimate(self, size: u64) -> u64 {
        if self.probability == 0 {
            return 0;
        }
        // size / (probability / FULL), halves up.
        let twice = u128::from(size) * 2 * u128::from(FULL) + u128::from(self.probability);
        u64::try_from(twice / (2 * u128::from(self.probability))).unwrap_or(u64::MAX)
    }

    fn variance(self, size: u64) -> u128 {
        if self.probability == 0 {
            return 0;
        }
        // size² (1 - p) / p² with p = probability / FULL, halves up.
        let square = u128::from(size) * u128::from(size);
        let above = u128::from(FULL) * u128::from(FULL - self.probability);
        let below = u128::from(self.probability) * u128::from(self.probability);
        // In two parts, of which the second is a product of two numbers of 64 bits.
        let product = (square % below) * above;
        let rest = product / below + u128::from(product % below >= below.div_ceil(2));
        (square / below).saturating_mul(above).saturating_add(rest)
    }
}

impl SamplingRates {
    /// Everything was recorded: every block stands for itself.
    ///
    /// ```
    /// use heapprof::SamplingRates;
    ///
    /// const EVERYTHING: SamplingRates = SamplingRates::unsampled();
    /// assert!(EVERYTHING.is_unsampled() && EVERYTHING.ranges().is_empty());
    /// assert_eq!(EVERYTHING, SamplingRates::from_stored([]));
    /// ```
    pub const fn unsampled() -> Self {
        Self(None)
    }

    /// Rates from pairs of an upper size, in bytes, and a probability.
    ///
    /// Give the ranges in ascending order: the first whose upper size is above a size decides. The
    /// probability is kept as a file keeps it, in steps of 1 / (2³² − 1), rounded down.
    ///
    /// # Errors
    /// [`Error::Probability`] if a probability is not in 0 to 1.
    pub fn new(ranges: impl IntoIterator<Item = (u64, f64)>) -> Result<Self> {
        let ranges = ranges
            .into_iter()
            .map(|(upper_size, probability)| {
                if !(0.0..=1.0).contains(&probability) {
                    return Err(Error::Probability { found: probability });
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and u32::MAX, as was checked"
                )]
                let stored = (probability * f64::from(FULL)) as u32;
                Ok((upper_size, stored))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::from_stored(ranges))
    }

    /// Rates from pairs of an upper size and a probability as it is stored, 2³² − 1 for 1.
    pub fn from_stored(ranges: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let stated: Vec<SamplingRange> = ranges
            .into_iter()
            .map(|(upper_size, probability)| SamplingRange {
                upper_size,
                probability,
            })
            .collect();
        if stated.is_empty() {
            return Self::unsampled();
        }
        let mut covered = 0;
        let deciding = stated
            .iter()
            .copied()
            .filter(|range| {
                let decides = range.upper_size > covered;
                covered = covered.max(range.upper_size);
                decides
            })
            .collect();
        let rates = Rates {
            stated,
            deciding,
            table: OnceLock::new(),
        };
        Self(Some(Arc::new(rates)))
    }

    fn rates(&self) -> &Rates {
        self.0.as_deref().unwrap_or(&UNSAMPLED)
    }

    /// The ranges, in the order of the file.
    pub fn ranges(&self) -> &[SamplingRange] {
        &self.rates().stated
    }

    /// Whether every block stands for itself.
    pub fn is_unsampled(&self) -> bool {
        self.rates()
            .deciding
            .iter()
            .all(|range| range.probability == FULL)
    }

    /// The probability with which a block of `size` bytes is recorded, 0 to 1. O(log ranges).
    pub fn probability(&self, size: u64) -> f64 {
        self.rates()
            .range(size)
            .map_or(1.0, SamplingRange::probability)
    }

    /// How many blocks a recorded block of `size` bytes stands for, in units of 2⁻³², rounded to
    /// the nearest; 0 where the probability is 0.
    pub(crate) fn blocks(&self, size: u64) -> u64 {
        let full = u64::from(FULL) << 32;
        match self
            .rates()
            .range(size)
            .map(|range| u64::from(range.probability))
        {
            None => 1 << 32,
            Some(0) => 0,
            Some(probability) => full.saturating_add(probability / 2) / probability,
        }
    }

    /// How many bytes a recorded block of `size` bytes stands for; 0 where the probability is 0.
    ///
    /// What does not fit is `u64::MAX`; in a log, a record whose estimate is over 2⁶³ − 1 is a bad
    /// record. O(1) for small sizes, else O(log ranges).
    #[doc(alias = "scaleFactor")]
    #[inline]
    pub fn estimate(&self, size: u64) -> u64 {
        self.estimates().of(size)
    }

    /// By how much the estimate of a recorded block of `size` bytes can be off: what it adds to the
    /// variance of a sum of estimates, in square bytes, rounded to the nearest.
    ///
    /// With the probability *p* this is size² (1 − *p*) / *p*², the estimate of Horvitz and Thompson
    /// (1952) where each block is recorded or not for itself. It is 0 where everything was recorded,
    /// and where *p* is 0: of what is never recorded nothing is known.
    ///
    /// O(log ranges). What does not fit is `u128::MAX`.
    ///
    /// ```
    /// use heapprof::SamplingRates;
    ///
    /// let rates = SamplingRates::new([(128, 0.1)])?;
    /// // A block of 100 bytes stands for 1000, give or take 949.
    /// assert_eq!(rates.variance(100), 900_000);
    /// assert_eq!(rates.variance(128), 0);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn variance(&self, size: u64) -> u128 {
        self.rates()
            .range(size)
            .map_or(0, |range| range.variance(size))
    }

    /// The ranges that decide, ascending, each with the sizes it decides for.
    pub(crate) fn by_size(&self) -> impl Iterator<Item = (Range<u64>, SamplingRange)> + '_ {
        let mut lower = 0;
        self.rates().deciding.iter().map(move |&range| {
            let sizes = lower..range.upper_size;
            lower = range.upper_size;
            (sizes, range)
        })
    }
}

impl fmt::Debug for SamplingRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SamplingRates")
            .field(&self.ranges())
            .finish()
    }
}

/// The estimates for one pass over a log, with what is asked for most in hand.
#[derive(Clone, Copy)]
pub(crate) struct Estimates<'a> {
    table: &'a [u64; TABLE_LEN],
    rates: &'a Rates,
}

impl SamplingRates {
    #[inline]
    pub(crate) fn estimates(&self) -> Estimates<'_> {
        Estimates {
            table: self.rates().table(),
            rates: self.rates(),
        }
    }
}

impl Estimates<'_> {
    #[inline]
    pub(crate) fn of(self, size: u64) -> u64 {
        match usize::try_from(size).ok().and_then(|at| self.table.get(at)) {
            Some(&estimate) => estimate,
            None => self.rates.compute(size),
        }
    }
}

impl Rates {
    #[inline]
    fn table(&self) -> &[u64; TABLE_LEN] {
        self.table.get_or_init(|| {
            #[expect(
                clippy::large_stack_arrays,
                reason = "32 KiB, once, and only if not optimized"
            )]
            let mut table = Box::new([0; TABLE_LEN]);
            for (size, estimate) in (0..).zip(table.iter_mut()) {
                *estimate = self.compute(size);
            }
            table
        })
    }

    fn range(&self, size: u64) -> Option<SamplingRange> {
        let at = self
            .deciding
            .partition_point(|range| range.upper_size <= size);
        self.deciding.get(at).copied()
    }

    #[cold]
    fn compute(&self, size: u64) -> u64 {
        self.range(size).map_or(size, |range| range.estimate(size))
    }
}

/// Everything was recorded.
impl Default for SamplingRates {
    fn default() -> Self {
        Self::unsampled()
    }
}

/// Rates are equal if the same ranges stand in the same order.
impl PartialEq for SamplingRates {
    fn eq(&self, other: &Self) -> bool {
        self.ranges() == other.ranges()
    }
}

impl Eq for SamplingRates {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_are_the_ranges_and_not_what_they_are_looked_up_in() {
        let rates = SamplingRates::from_stored([(128, 1)]);
        let shown = "SamplingRates([SamplingRange { upper_size: 128, probability: 1 }])";
        assert_eq!(format!("{rates:?}"), shown);
        assert_eq!(
            format!("{:?}", SamplingRates::unsampled()),
            "SamplingRates([])"
        );
    }

    #[test]
    fn the_first_range_above_in_the_order_of_the_file_decides() {
        // The second range lies below the first and never decides.
        let rates = SamplingRates::from_stored([(100, FULL / 2), (50, 1), (2000, FULL)]);
        assert_eq!(rates.ranges().len(), 3);
        assert_eq!(rates.estimate(10), 20);
        assert_eq!(rates.estimate(99), 198);
        assert_eq!(rates.estimate(100), 100);
        assert_eq!(rates.estimate(5000), 5000);
    }

    #[test]
    fn estimates_are_rounded_once_halves_up() {
        // 2^32 - 1 = 3 × 1431655765: a probability of exactly 2/3, so that odd sizes end in ½.
        let rates = SamplingRates::from_stored([(1 << 40, 2 * 1_431_655_765)]);
        assert_eq!(rates.estimate(1), 2); // 1.5
        assert_eq!(rates.estimate(2), 3);
        assert_eq!(rates.estimate(3), 5); // 4.5
        assert_eq!(rates.estimate(4097), 6146); // 6145.5, beyond the table
        assert_eq!(rates.estimate((1 << 40) - 2), 1_649_267_441_661);
    }

    #[test]
    fn blocks_stand_for_blocks() {
        let rates = SamplingRates::from_stored([(10, 0), (20, 1), (30, FULL / 3), (40, FULL)]);
        let blocks = [9, 19, 29, 39, 40].map(|size| rates.blocks(size));
        assert_eq!(
            blocks,
            [0, u64::from(FULL) << 32, 3 << 32, 1 << 32, 1 << 32]
        );
        // 1 / (2/7 of FULL, rounded down) is 3.5 and a little.
        let rates = SamplingRates::from_stored([(10, FULL / 7 * 2)]);
        assert_eq!(rates.blocks(5) >> 16, 3 << 16 | 1 << 15);
    }

    #[test]
    fn what_leaves_64_bits_saturates_and_probability_0_is_nothing() {
        let rates = SamplingRates::from_stored([(10, 0), (u64::MAX, 1)]);
        assert_eq!(rates.estimate(9), 0);
        assert_eq!(rates.estimate(10), 10 * u64::from(FULL));
        assert_eq!(rates.estimate(u64::MAX - 1), u64::MAX);
        assert_eq!(rates.estimate(u64::MAX), u64::MAX);
        assert_eq!(rates.probability(9).to_bits(), 0f64.to_bits());
        assert_eq!(rates.probability(u64::MAX).to_bits(), 1f64.to_bits());
    }

    #[test]
    fn variances_are_rounded_halves_up_and_saturate() {
        // 2/3: size² / 3 × 9 / 4 = size² × 3 / 4
        let rates = SamplingRates::from_stored([(u64::MAX, 2 * 1_431_655_765)]);
        assert_eq!([1, 2, 3].map(|size| rates.variance(size)), [1, 3, 7]);
        assert_eq!(rates.variance(1 << 62), 3 << 122);
        // A half, and the smallest probability there is.
        let rates = SamplingRates::from_stored([(100, FULL / 2), (200, 0), (u64::MAX, 1)]);
        assert_eq!(rates.variance(99), 2 * 99 * 99);
        assert_eq!((rates.variance(0), rates.variance(150)), (0, 0));
        let full = u128::from(FULL);
        assert_eq!(
            rates.variance(1_000_003),
            1_000_003 * 1_000_003 * full * (full - 1)
        );
        assert_eq!(rates.variance(u64::MAX - 1), u128::MAX);
        assert_eq!(SamplingRates::unsampled().variance(u64::MAX), 0);
    }

    #[test]
    fn sizes_go_to_the_range_that_decides() {
        let rates = SamplingRates::from_stored([(100, 5), (50, 6), (300, FULL)]);
        let by_size: Vec<_> = rates
            .by_size()
            .map(|(sizes, range)| (sizes, range.stored_probability()))
            .collect();
        assert_eq!(by_size, [(0..100, 5), (100..300, FULL)]);
    }

    #[test]
    fn a_probability_outside_0_to_1_is_refused() {
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(
                SamplingRates::new([(10, wrong)]),
                Err(Error::Probability { .. })
            ));
        }
        assert!(SamplingRates::new([(10, 1.0)]).unwrap().is_unsampled());
    }
}
