//! [`Blocks`]: recorded blocks, and the estimate of all.

use crate::raw::rates::SamplingRates;
use crate::usage::saturated;

/// How many blocks a recorded block stands for.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockScale {
    /// `None` if everything was recorded.
    rates: Option<SamplingRates>,
}

impl BlockScale {
    pub(super) fn new(rates: &SamplingRates) -> Self {
        Self {
            rates: (!rates.is_unsampled()).then(|| rates.clone()),
        }
    }

    pub(super) fn is_unsampled(&self) -> bool {
        self.rates.is_none()
    }

    /// The estimate for a block of a size, in units of 2⁻³².
    #[inline]
    pub(super) fn blocks(&self, size: u64) -> u64 {
        self.rates
            .as_ref()
            .map_or(1 << 32, |rates| rates.blocks(size))
    }
}

/// A number of recorded blocks, and what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Blocks {
    pub(super) recorded: u64,
    /// In units of 2⁻³². A log has fewer than 2⁶¹ events, so this cannot overflow.
    estimated: u128,
}

impl Blocks {
    /// Adds a recorded block that stands for `blocks`, in units of 2⁻³².
    #[inline]
    pub(super) fn add_one(&mut self, blocks: u64) {
        self.recorded += 1;
        self.estimated += u128::from(blocks);
    }

    pub(super) fn add(&mut self, other: Self) {
        self.recorded += other.recorded;
        self.estimated += other.estimated;
    }

    /// The estimate of all blocks, to the nearest.
    pub(super) fn estimated(self) -> u64 {
        rounded(i128::try_from(self.estimated).unwrap_or(i128::MAX)).unsigned_abs()
    }
}

/// A number in units of 2⁻³² to the nearest whole, halves up.
pub(super) fn rounded(sum: i128) -> i64 {
    saturated(sum.saturating_add(1 << 31) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_up() {
        let half = 1_i128 << 31;
        assert_eq!(
            [-3, -2, -1, 0, 1, 2, 3].map(|halves| rounded(halves * half)),
            [-1, -1, 0, 0, 1, 1, 2]
        );
        assert_eq!(rounded(half - 1), 0);
        assert_eq!(
            (rounded(i128::MAX), rounded(i128::MIN)),
            (i64::MAX, i64::MIN)
        );
    }
}
