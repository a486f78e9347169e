//! Which allocations are recorded: those that a draw with the probability of their size hits.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use heapprof::SamplingRates;
use heapprof::raw::SamplingRange;

thread_local! {
    /// This thread's random generator, and the recording that it was seeded for.
    static GENERATOR: Cell<(u32, u64)> = const { Cell::new((0, 0)) };
}

/// What the generators of all threads begin with, and how many threads have one.
static SEED: AtomicU64 = AtomicU64::new(0);
static THREADS: AtomicU64 = AtomicU64::new(0);

/// The probability of each size, in the form in which it is looked up.
#[derive(Debug)]
pub(crate) struct Sampler {
    rates: SamplingRates,
    /// For each length of a size in bits, the first range that can hold it.
    first: [u16; 65],
}

impl Sampler {
    pub(crate) fn new(rates: &SamplingRates) -> Self {
        let first = |bits: usize| {
            let lowest = if bits == 0 { 0 } else { 1_u64 << (bits - 1) };
            let range = |range: &SamplingRange| range.upper_size() > lowest;
            let ranges = rates.ranges();
            let first = ranges.iter().position(range).unwrap_or(ranges.len());
            first.try_into().unwrap_or(u16::MAX)
        };
        Self {
            rates: rates.clone(),
            first: std::array::from_fn(first),
        }
    }

    pub(crate) fn rates(&self) -> &SamplingRates {
        &self.rates
    }

    /// Whether this allocation is recorded.
    ///
    /// A probability is stored as a multiple of 1 / (2³² − 1), so a number that is drawn below 2³² − 1 is below it with
    /// just that probability.
    #[inline]
    pub(crate) fn samples(&self, size: u64, generation: u32) -> bool {
        let bits = (u64::BITS - size.leading_zeros()) as usize;
        let ranges = self.rates.ranges().get(usize::from(self.first[bits])..);
        let mut ranges = ranges.unwrap_or_default().iter();
        match ranges.find(|range| size < range.upper_size()) {
            None => true,
            Some(range) => match range.stored_probability() {
                0 => false,
                u32::MAX => true,
                probability => draw(generation) < probability,
            },
        }
    }
}

/// A number below 2³² − 1, all of which are as likely.
#[inline]
fn draw(generation: u32) -> u32 {
    let (seeded_for, state) = GENERATOR.get();
    let mut generator = if seeded_for == generation {
        Rng::with_seed(state)
    } else {
        seeded()
    };
    let drawn = generator.u32(..u32::MAX);
    GENERATOR.set((generation, generator.get_seed()));
    drawn
}

#[cold]
fn seeded() -> Rng {
    let number = THREADS.fetch_add(1, Ordering::Relaxed);
    let seed = SEED.load(Ordering::Relaxed) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // A draw scatters seeds that are next to each other.
    Rng::with_seed(seed).fork()
}

/// Says what the draws of the next recording depend on.
pub(crate) fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    THREADS.store(0, Ordering::Relaxed);
}

/// Rates that record a block of s bytes with about the probability 1 − e^(−s/N): as if one byte in N were drawn. Each
/// range has the probability of its middle; sizes of 8 N and more are all recorded.
pub(crate) fn by_bytes(mean: u64) -> SamplingRates {
    if mean <= 1 {
        return SamplingRates::unsampled();
    }
    let mut ranges = Vec::new();
    let (mut lower, mut power) = (0_u64, 16_u64);
    while lower / 8 < mean && power < 1 << 62 {
        for upper in [power, power + power / 2] {
            #[expect(clippy::cast_precision_loss, reason = "a probability")]
            let share = (lower + upper) as f64 / 2.0 / mean as f64;
            // Never 0: what is never recorded is in no estimate.
            ranges.push((
                upper,
                (-(-share).exp_m1()).max(1.0 / f64::from(u32::MAX - 1)),
            ));
            lower = upper;
        }
        power *= 2;
    }
    // The ranges ascend and the probabilities are between 0 and 1.
    SamplingRates::new(ranges).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_near_the_curve() {
        let mean = 512 * 1024;
        let rates = by_bytes(mean);
        assert_eq!(rates.ranges().len(), 38);
        for size in [16, 100, 4096, 100_000, mean, 3 * mean, 7 * mean] {
            #[expect(clippy::cast_precision_loss)]
            let curve = 1.0 - (-(size as f64) / mean as f64).exp();
            let found = rates.probability(size);
            assert!(
                (found / curve).ln().abs() < 0.3,
                "{size}: {found} for {curve}"
            );
        }
        assert!((rates.probability(12 * mean) - 1.0).abs() < f64::EPSILON);
        assert!(by_bytes(1).is_unsampled());
        assert!(by_bytes(u64::MAX).ranges().len() > 100);
    }

    #[test]
    fn each_size_finds_its_range() {
        let rates = SamplingRates::new([(10, 0.0), (100, 1.0), (128, 0.0), (1000, 1.0)]).unwrap();
        let sampler = Sampler::new(&rates);
        for size in (0..3000).chain([u64::MAX]) {
            let expected = rates.probability(size) > 0.0;
            assert_eq!(sampler.samples(size, 1), expected, "{size}");
        }
        assert!(Sampler::new(&SamplingRates::unsampled()).samples(7, 1));
    }

    #[test]
    fn draws_hit_as_often_as_stated() {
        let rates = SamplingRates::new([(100, 0.3)]).unwrap();
        let sampler = Sampler::new(&rates);
        let hits = (0..1_000_000).filter(|_| sampler.samples(50, 7)).count();
        // Five standard deviations.
        assert!(hits.abs_diff(300_000) < 2300, "{hits}");
    }
}
