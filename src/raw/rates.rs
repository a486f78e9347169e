//! [`SamplingRates`]: the number of bytes and blocks that a recorded block stands for.

use std::array;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};

/// The probability 1 on disk.
const FULL: u32 = u32::MAX;

/// Sizes below this have their estimate in a table.
const TABLE_LEN: usize = 4096;

/// The probability with which a block was recorded, by its size.
///
/// A recording may be a sample: a block is recorded with the probability of the range that its size is in, and
/// always if its size is at or above the last upper size. So a recorded block *stands for* its size divided by
/// that probability. This *estimate* is rounded once, to the nearest byte, halves up, so that an allocation and
/// its free cancel exactly.
///
/// The rates that a file states can be wrong: heapprof 1.0 on 64-bit Linux records everything, whatever
/// probability above 0 it is configured with, and states that probability.
/// [`Reader::rates_check`](crate::Reader::rates_check) looks for such a log. So the caller chooses the rates in
/// use: [as recorded](crate::Reader::stated_rates), [none](Self::unsampled), or [their own](Self::new).
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
#[derive(Clone, Default)]
pub struct SamplingRates(Option<Arc<Rates>>);

struct Rates {
    /// In the order of the file.
    stated: Vec<SamplingRange>,
    /// The ranges that decide for a size, ascending. The first range of the file with an upper size above a size
    /// decides, so a range whose upper size is not above those of all earlier ranges decides for none.
    deciding: Vec<SamplingRange>,
    /// The estimates of small sizes. The first pass computes them: that takes longer than to open a profile.
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
    /// The sizes above all ranges of a file.
    const ABOVE_ALL: Self = Self {
        upper_size: u64::MAX,
        probability: FULL,
    };

    /// The range has the sizes strictly below this, and from the upper size of the previous range on.
    pub const fn upper_size(self) -> u64 {
        self.upper_size
    }

    /// The probability with which a block of the range is recorded, 0 to 1.
    pub fn probability(self) -> f64 {
        f64::from(self.probability) / f64::from(FULL)
    }

    /// The probability as stored: 2³² − 1 is 1.
    pub const fn stored_probability(self) -> u32 {
        self.probability
    }

    /// Whether no block of the range is recorded.
    pub(crate) const fn is_never(self) -> bool {
        self.probability == 0
    }

    fn estimate(self, size: u64) -> u64 {
        match self.probability {
            0 => 0,
            FULL => size,
            probability => {
                // size / (probability / FULL), halves up.
                let twice = u128::from(size) * 2 * u128::from(FULL) + u128::from(probability);
                u64::try_from(twice / (2 * u128::from(probability))).unwrap_or(u64::MAX)
            }
        }
    }

    fn variance(self, size: u64) -> u128 {
        if self.is_never() {
            return 0;
        }
        // size² (1 - p) / p² with p = probability / FULL, halves up.
        let square = u128::from(size) * u128::from(size);
        let above = u128::from(FULL) * u128::from(FULL - self.probability);
        let below = u128::from(self.probability) * u128::from(self.probability);
        // In two parts, so that only the product of the first can overflow.
        let product = (square % below) * above;
        let rest = product / below + u128::from(product % below >= below.div_ceil(2));
        (square / below).saturating_mul(above).saturating_add(rest)
    }
}

impl SamplingRange {
    fn block_variance(self) -> u128 {
        if self.is_never() {
            return 0;
        }
        // (1 - p) / p² with p = probability / FULL, halves up.
        let above = u128::from(FULL) * u128::from(FULL - self.probability);
        let below = u128::from(self.probability) * u128::from(self.probability);
        ((above << 32) + below / 2) / below
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
    /// Each range has the sizes below its upper size, down to that of the next smaller range; the pairs can come in any
    /// order. Probabilities are rounded down to the steps of a file, 1 / (2³² − 1).
    ///
    /// # Errors
    /// [`Error::Probability`] if a probability is not in 0 to 1.
    pub fn new(ranges: impl IntoIterator<Item = (u64, f64)>) -> Result<Self> {
        let stored = |(upper_size, probability)| {
            if !(0.0..=1.0).contains(&probability) {
                return Err(Error::Probability { found: probability });
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and u32::MAX, as checked above"
            )]
            let probability = (probability * f64::from(FULL)) as u32;
            Ok((upper_size, probability))
        };
        let mut ranges = ranges.into_iter().map(stored).collect::<Result<Vec<_>>>()?;
        ranges.sort_by_key(|&(upper_size, _)| upper_size);
        Ok(Self::from_stored(ranges))
    }

    /// Rates from pairs of an upper size and a probability as stored, 2³² − 1 for 1. Like a file, it keeps their order:
    /// the first range with an upper size above a size decides.
    pub fn from_stored(ranges: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let range = |(upper_size, probability)| SamplingRange {
            upper_size,
            probability,
        };
        let stated: Vec<_> = ranges.into_iter().map(range).collect();
        if stated.is_empty() {
            return Self::unsampled();
        }
        let mut covered = 0;
        let mut deciding = stated.clone();
        deciding.retain(|range| {
            let decides = range.upper_size > covered;
            covered = covered.max(range.upper_size);
            decides
        });
        Self(Some(Arc::new(Rates {
            stated,
            deciding,
            table: OnceLock::new(),
        })))
    }

    /// The ranges, in the order of the file.
    pub fn ranges(&self) -> &[SamplingRange] {
        self.0.as_deref().map_or(&[], |rates| &rates.stated)
    }

    fn deciding(&self) -> &[SamplingRange] {
        self.0.as_deref().map_or(&[], |rates| &rates.deciding)
    }

    /// The range that decides for a size.
    fn range(&self, size: u64) -> SamplingRange {
        let deciding = self.deciding();
        let index = deciding.partition_point(|range| range.upper_size <= size);
        let range = deciding.get(index).copied();
        range.unwrap_or(SamplingRange::ABOVE_ALL)
    }

    /// Whether every block stands for itself.
    pub fn is_unsampled(&self) -> bool {
        let mut deciding = self.deciding().iter();
        deciding.all(|range| range.probability == FULL)
    }

    /// The probability with which a block of `size` bytes is recorded, 0 to 1. O(log ranges).
    pub fn probability(&self, size: u64) -> f64 {
        self.range(size).probability()
    }

    /// The number of blocks that a recorded block of `size` bytes stands for, in units of 2⁻³², rounded to the
    /// nearest; 0 where the probability is 0.
    pub(crate) fn blocks(&self, size: u64) -> u64 {
        let full = u64::from(FULL) << 32;
        match u64::from(self.range(size).probability) {
            0 => 0,
            probability => full.saturating_add(probability / 2) / probability,
        }
    }

    /// The number of bytes that a recorded block of `size` bytes stands for; 0 where the probability is 0.
    ///
    /// An estimate over 64 bits is `u64::MAX`; in a log, a record whose estimate is over 2⁶³ − 1 is damage. O(1)
    /// for small sizes, else O(log ranges).
    #[doc(alias = "scaleFactor")]
    #[inline]
    pub fn estimate(&self, size: u64) -> u64 {
        self.estimates()(size)
    }

    /// The function [`estimate`](Self::estimate) for a loop over events: it looks for the table only once.
    #[inline]
    pub(crate) fn estimates(&self) -> impl Fn(u64) -> u64 + Copy + '_ {
        let compute = || Box::new(array::from_fn(|size| self.estimate_slow(size as u64)));
        let table = self
            .0
            .as_ref()
            .map(|rates| rates.table.get_or_init(compute));
        move |size| {
            let Some(table) = table else {
                return size;
            };
            match usize::try_from(size).ok().and_then(|at| table.get(at)) {
                Some(&estimate) => estimate,
                None => self.estimate_slow(size),
            }
        }
    }

    #[cold]
    fn estimate_slow(&self, size: u64) -> u64 {
        self.range(size).estimate(size)
    }

    /// The variance that a recorded block of `size` bytes adds to a sum of estimates, in square bytes, rounded to
    /// the nearest.
    ///
    /// With the probability *p* this is size² (1 − *p*) / *p*², the estimate of Horvitz and Thompson (1952) for
    /// blocks that are recorded independently. It is 0 where everything was recorded, and where *p* is 0: blocks
    /// that are never recorded say nothing.
    ///
    /// O(log ranges). A variance over 128 bits is `u128::MAX`.
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
        self.range(size).variance(size)
    }

    /// The variance of the number of blocks that a recorded block of `size` bytes stands for, in units of 2⁻³².
    pub(crate) fn block_variance(&self, size: u64) -> u128 {
        self.range(size).block_variance()
    }

    /// The ranges that decide, ascending, each with the sizes it decides for.
    pub(crate) fn by_size(&self) -> impl Iterator<Item = (Range<u64>, SamplingRange)> + '_ {
        let mut lower = 0;
        self.deciding().iter().map(move |&range| {
            let sizes = lower..range.upper_size;
            lower = range.upper_size;
            (sizes, range)
        })
    }
}

impl fmt::Debug for SamplingRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("SamplingRates");
        tuple.field(&self.ranges()).finish()
    }
}

/// Rates are equal if they have the same ranges in the same order.
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
    fn debug_shows_only_ranges() {
        let rates = SamplingRates::from_stored([(128, 1)]);
        let shown = "SamplingRates([SamplingRange { upper_size: 128, probability: 1 }])";
        assert_eq!(format!("{rates:?}"), shown);
        assert_eq!(
            format!("{:?}", SamplingRates::unsampled()),
            "SamplingRates([])"
        );
    }

    #[test]
    fn first_range_of_file_above_size_decides() {
        // The second range is below the first and decides for no size.
        let rates = SamplingRates::from_stored([(100, FULL / 2), (50, 1), (2000, FULL)]);
        assert_eq!(rates.ranges().len(), 3);
        assert_eq!(rates.estimate(10), 20);
        assert_eq!(rates.estimate(99), 198);
        assert_eq!(rates.estimate(100), 100);
        assert_eq!(rates.estimate(5000), 5000);
    }

    #[test]
    fn rounds_estimates_halves_up() {
        // 2^32 - 1 = 3 × 1431655765: a probability of exactly 2/3, so that odd sizes end in ½.
        let rates = SamplingRates::from_stored([(1 << 40, 2 * 1_431_655_765)]);
        assert_eq!(rates.estimate(1), 2); // 1.5
        assert_eq!(rates.estimate(2), 3);
        assert_eq!(rates.estimate(3), 5); // 4.5
        assert_eq!(rates.estimate(4097), 6146); // 6145.5, beyond the table
        assert_eq!(rates.estimate((1 << 40) - 2), 1_649_267_441_661);
    }

    #[test]
    fn estimates_numbers_of_blocks() {
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
    fn saturates_at_64_bits_and_probability_0_is_nothing() {
        let rates = SamplingRates::from_stored([(10, 0), (u64::MAX, 1)]);
        assert_eq!(rates.estimate(9), 0);
        assert_eq!(rates.estimate(10), 10 * u64::from(FULL));
        assert_eq!(rates.estimate(u64::MAX - 1), u64::MAX);
        assert_eq!(rates.estimate(u64::MAX), u64::MAX);
        assert_eq!(rates.probability(9).to_bits(), 0f64.to_bits());
        assert_eq!(rates.probability(u64::MAX).to_bits(), 1f64.to_bits());
    }

    #[test]
    fn rounds_variances_halves_up_and_saturates() {
        // 2/3: size² / 3 × 9 / 4 = size² × 3 / 4
        let rates = SamplingRates::from_stored([(u64::MAX, 2 * 1_431_655_765)]);
        assert_eq!([1, 2, 3].map(|size| rates.variance(size)), [1, 3, 7]);
        assert_eq!(rates.variance(1 << 62), 3 << 122);
        // One half, and the smallest probability.
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
    fn by_size_has_only_deciding_ranges() {
        let rates = SamplingRates::from_stored([(100, 5), (50, 6), (300, FULL)]);
        let by_size: Vec<_> = rates
            .by_size()
            .map(|(sizes, range)| (sizes, range.stored_probability()))
            .collect();
        assert_eq!(by_size, [(0..100, 5), (100..300, FULL)]);
    }

    #[test]
    fn rejects_probability_outside_0_to_1() {
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(
                SamplingRates::new([(10, wrong)]),
                Err(Error::Probability { .. })
            ));
        }
        assert!(SamplingRates::new([(10, 1.0)]).unwrap().is_unsampled());
    }
}
