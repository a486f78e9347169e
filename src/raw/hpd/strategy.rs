//! [`Strategy`]: which form of the fast path decodes a window.
//!
//! Where the lengths of numbers repeat, a processor predicts the branches on them, and the branchy form is up
//! to three times as fast as computing lengths. Where they do not repeat, each misprediction costs as much as
//! decoding six records, and the branchless forms win. Programs repeat themselves, so nearly all recordings are
//! of the first kind. The decoder samples 512 records and simulates a branch predictor on them.

use super::record::MIN_LEN;
use crate::time::SECOND;

/// The most bytes that are decoded at once.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

/// An upper bound, in microseconds, on how far the fast records of one window advance the clock. A fast record advances
/// it by less than a second. With this bound, one check of the clock's limit per window is enough.
pub(super) const MAX_WINDOW_MICROS: u64 = (WINDOW_BYTES as u64 / MIN_LEN as u64 + 1) * SECOND;

/// The decoder takes a sample each time it has decoded this many bytes. Programs do not change faster, and a sample
/// costs as much as decoding a thousand records.
pub(super) const RESAMPLE_BYTES: u64 = 4 * WINDOW_BYTES as u64;

/// How many records of a window the form may decline that [`Strategy::Branchless`] decodes, before that one decodes
/// the rest. One costs as much as ten others.
pub(super) const MISS_BUDGET: u16 = 512;

/// The form of the fast path that decodes a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Branches on lengths.
    Branchy,
    /// Computes the lengths of sizes.
    BranchlessSize,
    /// Computes the lengths of microseconds and sizes.
    Branchless,
    /// The slow path alone: the window is empty, or the clock is so near its limit that each record may be one
    /// too many.
    SlowOnly,
}

impl Strategy {
    /// The best strategy for the records at the start of `window`, which is not empty.
    ///
    /// Mispredictions of up to 3 in 8 records are cheaper than computing both lengths; if those of the
    /// microseconds alone are at most 1 in 8, only the lengths of sizes are computed. The branchy form has no
    /// branch for a number of over two bytes, so such a record counts as three mispredictions more.
    #[cold]
    #[inline(never)]
    pub(super) fn sample(window: &[u8]) -> Self {
        const RECORDS: u32 = 512;
        /// The first records of a sample only train the predictors.
        const TRAINING: u32 = 192;
        const LONG_PENALTY: u32 = 3;

        let mut at = 0;
        let (mut micros_predictor, mut size_predictor) = (Predictor::new(), Predictor::new());
        let (mut scored, mut misses, mut micros_misses) = (0, 0, 0);
        for record in 0..RECORDS {
            let Some((micros_len, size_len, next)) = lengths_at(window, at) else {
                break;
            };
            at = next;
            let micros_hit = micros_predictor.predict_and_train(micros_len > 1);
            let size_hit = size_predictor.predict_and_train(size_len > 1);
            if record >= TRAINING {
                scored += 1;
                let is_long = micros_len > 2 || size_len > 2;
                let penalty = if is_long { LONG_PENALTY } else { 0 };
                misses += u32::from(!(micros_hit && size_hit)) + penalty;
                micros_misses += u32::from(!micros_hit) + penalty;
            }
        }
        if misses * 8 <= scored * 3 {
            Self::Branchy
        } else if micros_misses * 8 <= scored {
            Self::BranchlessSize
        } else {
            Self::Branchless
        }
    }
}

/// The lengths of microseconds and size of the record at `at`, and its end.
fn lengths_at(bytes: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let varint_end = |from: usize| {
        let mut bytes = bytes.get(from..)?.iter().take(10);
        Some(from + bytes.position(|&byte| byte < 0x80)? + 1)
    };
    let micros_start = varint_end(at + 4)?;
    let size_start = varint_end(micros_start)?;
    let end = varint_end(size_start)?;
    Some((size_start - micros_start, end - size_start, end))
}

/// A branch predictor, as processors have them: a saturating counter for each history of recent outcomes.
struct Predictor {
    history: usize,
    counters: [i8; 1 << Self::HISTORY_BITS],
}

impl Predictor {
    /// How many outcomes before it a prediction depends on.
    const HISTORY_BITS: u32 = 6;

    const fn new() -> Self {
        Self {
            history: 0,
            counters: [0; 1 << Self::HISTORY_BITS],
        }
    }

    /// Whether it predicts the outcome, from which it then learns.
    fn predict_and_train(&mut self, outcome: bool) -> bool {
        let mut is_hit = false;
        if let Some(counter) = self.counters.get_mut(self.history) {
            is_hit = (*counter > 0) == outcome;
            *counter = (*counter + if outcome { 1 } else { -1 }).clamp(-2, 2);
        }
        self.history = (self.history << 1 | usize::from(outcome)) % self.counters.len();
        is_hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::block::push_varint;

    /// A log with these microseconds and sizes.
    fn log(numbers: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (micros, size) in numbers {
            bytes.extend([0, 0, 0, 1, 0]);
            push_varint(&mut bytes, micros);
            push_varint(&mut bytes, size);
        }
        bytes
    }

    #[test]
    fn repeated_lengths_are_branchy_and_random_ones_branchless() {
        let sample = |numbers: Vec<(u64, u64)>| Strategy::sample(&log(numbers));
        assert_eq!(Strategy::sample(&[]), Strategy::Branchy);
        assert_eq!(sample(vec![(3, 50); 1000]), Strategy::Branchy);
        let repeated = (0..1000).map(|number| ([3, 3, 200][number % 3], [50, 300][number % 2]));
        assert_eq!(sample(repeated.collect()), Strategy::Branchy);
        // The bytes end inside a record.
        let cut = &log(vec![(3, 300); 20])[..59];
        assert_eq!(Strategy::sample(cut), Strategy::Branchy);

        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [50, 300][(state >> 24) as usize % 2]
        };
        let sizes = (0..1000).map(|_| (3, random())).collect();
        assert_eq!(sample(sizes), Strategy::BranchlessSize);
        let both = (0..1000).map(|_| (random(), random())).collect();
        assert_eq!(sample(both), Strategy::Branchless);
        let micros = (0..1000).map(|_| (random(), 50)).collect();
        assert_eq!(sample(micros), Strategy::Branchless);
    }
}
