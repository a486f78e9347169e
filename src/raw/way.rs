//! In which way is a window decoded: can a processor foretell how long the next events are?
//!
//! Where it can, the decoder branches on the length, and the processor works on several events at
//! once: up to three times as fast as computing where the next one begins. Where it cannot, each
//! wrong guess costs as much as decoding six events, and computing is faster. Programs repeat
//! themselves, so that nearly all recordings are of the first kind; but not all.
//!
//! Where it can also foretell that the next event is of the same trace, who replays the events need not wait
//! for what the one before has done to the balance of that.

use super::event::{BACKWARDS, FREE, SHORTEST};
use crate::time::SECOND;

/// The most bytes that are decoded at once. What holds for a whole window need not be asked for
/// each event.
pub(crate) const WINDOW: usize = 256 * 1024;

/// How events of the usual shapes are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By branches on their length, since lengths repeat themselves.
    Branching,
    /// The same, and nearly each event is of the trace of the one before. Else who has a balance for each
    /// trace would wait at each event for what the one before has stored.
    Repeating,
    /// By computing the length of sizes, which does not repeat itself.
    ComputingSizes,
    /// By computing the lengths of both numbers.
    Computing,
    /// Not at all: the clock is so near its limit that each event may be one too many. Or there is
    /// nothing to look at yet.
    Careful,
}

/// A look at the lengths holds for so many bytes: programs do not change that fast, and each look
/// costs as much as decoding a thousand events.
const OUTLOOK: u64 = 4 * WINDOW as u64;

/// So many events of a window may be longer than its way is for, though a look did not foretell it:
/// one is as slow as ten others.
pub(super) const PATIENCE: u16 = 512;

/// So many that are not longer may not be shown among the usual ones, where it was foretold that traces
/// repeat themselves: the first of each of eight pieces, and a few that come after too many of other traces.
pub(super) const PATIENCE_WITH_TRACES: u16 = 8 + 3;

impl Way {
    /// Through the window that begins at `offset`, if it was decoded this way `before` that.
    #[cold]
    #[inline(never)]
    pub(super) fn through(
        window: &[u8],
        offset: u64,
        is_near_limit: bool,
        before: Option<Self>,
    ) -> Self {
        debug_assert!(window.len() <= WINDOW);
        if is_near_limit || window.is_empty() {
            return Self::Careful;
        }
        if let Some(before) = before
            && before != Self::Careful
            && offset % OUTLOOK >= WINDOW as u64
        {
            return before;
        }
        match Steady::of(window) {
            Steady::All => Self::Repeating,
            Steady::Both => Self::Branching,
            Steady::Micros => Self::ComputingSizes,
            Steady::Neither => Self::Computing,
        }
    }
}

/// So far the clock can go in one window without a look at its limit: in microseconds, by the usual
/// shapes, which are less than a second.
pub(super) const STRIDE: u64 = (WINDOW as u64 / SHORTEST as u64 + 1) * SECOND;

/// How many events are looked at.
const SAMPLE: u32 = 512;

/// Of these, how many are for learning.
const LEARNING: u32 = 192;

/// From how many events before the next one a guess is made.
const HISTORY: u32 = 6;

/// What repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steady {
    /// The lengths of microseconds and sizes, and the traces.
    All,
    /// The lengths of microseconds and sizes.
    Both,
    /// Those of microseconds, but not those of sizes.
    Micros,
    /// Those of sizes at most.
    Neither,
}

impl Steady {
    /// How it is at the beginning of `bytes`, by what a simple predictor guesses: five events of eight
    /// or more; or of the microseconds alone, seven of eight. A number of more than two bytes, for
    /// which there is no branch, counts as three guesses more that are wrong. Traces repeat themselves if it
    /// is guessed for fifteen of sixteen events whether they are of the trace of the one before, and most are.
    #[inline(never)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut at = 0;
        let (mut micros, mut sizes, mut traces) =
            (Predictor::new(), Predictor::new(), Predictor::new());
        let (mut guessed, mut wrong, mut wrong_micros) = (0, 0, 0);
        let (mut last, mut repeated, mut wrong_traces) = (None, 0, 0);
        for event in 0..SAMPLE {
            // Past the head and the seconds.
            let Some(start) = past_varint(bytes, at + 4) else {
                break;
            };
            let Some(size) = past_varint(bytes, start) else {
                break;
            };
            let Some(next) = past_varint(bytes, size) else {
                break;
            };
            let trace = trace_at(bytes, at);
            let repeats = trace == last;
            (at, last) = (next, trace);
            let right_micros = micros.guesses(size - start > 1);
            let right_size = sizes.guesses(next - size > 1);
            let right_trace = traces.guesses(repeats);
            if event >= LEARNING {
                guessed += 1;
                let is_long = size - start > 2 || next - size > 2;
                let worse = if is_long { 3 } else { 0 };
                wrong += u32::from(!(right_micros && right_size)) + worse;
                wrong_micros += u32::from(!right_micros) + worse;
                repeated += u32::from(repeats);
                wrong_traces += u32::from(!right_trace);
            }
        }
        if wrong * 8 <= guessed * 3 {
            if wrong_traces * 16 <= guessed && repeated * 2 > guessed {
                return Self::All;
            }
            Self::Both
        } else if wrong_micros * 8 <= guessed {
            Self::Micros
        } else {
            Self::Neither
        }
    }
}

/// Guesses whether something is so of the next event, such as that a number has more than one byte, by
/// what followed before on how it was of the last ones.
struct Predictor {
    history: usize,
    inclined: [i8; 1 << HISTORY],
}

impl Predictor {
    const fn new() -> Self {
        Self {
            history: 0,
            inclined: [0; 1 << HISTORY],
        }
    }

    /// Whether the guess is right; and learns from it.
    #[inline]
    fn guesses(&mut self, is: bool) -> bool {
        let mut right = false;
        if let Some(inclined) = self.inclined.get_mut(self.history) {
            right = (*inclined > 0) == is;
            *inclined = (*inclined + if is { 1 } else { -1 }).clamp(-2, 2);
        }
        self.history = (self.history << 1 | usize::from(is)) & ((1 << HISTORY) - 1);
        right
    }
}

/// The trace of the event that begins at `at`.
fn trace_at(bytes: &[u8], at: usize) -> Option<u32> {
    let head = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*head) & !(BACKWARDS | FREE))
}

/// Where the varint ends that begins at `at`.
fn past_varint(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let len = rest.iter().take(10).position(|&byte| byte < 0x80)? + 1;
    Some(at + len)
}

#[cfg(test)]
mod tests {
    use super::super::block::push_varint;
    use super::*;

    /// A log of two traces that take turns.
    fn log(numbers: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
        log_of(numbers, [1, 2])
    }

    /// A log of these traces, over and over.
    fn log_of<const TRACES: usize>(
        numbers: impl IntoIterator<Item = (u64, u64)>,
        traces: [u8; TRACES],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ((micros, size), &trace) in numbers.into_iter().zip(traces.iter().cycle()) {
            bytes.extend([0, 0, 0, trace, 0]);
            push_varint(&mut bytes, micros);
            push_varint(&mut bytes, size);
        }
        bytes
    }

    #[test]
    fn what_repeats_itself_is_foretold() {
        assert_eq!(Steady::of(&[]), Steady::Both);
        assert_eq!(Steady::of(&log(vec![(3, 50); 1000])), Steady::Both);
        let repeated = (0..1000).map(|number| ([3, 3, 200][number % 3], [50, 300][number % 2]));
        assert_eq!(Steady::of(&log(repeated)), Steady::Both);
        // An event in the middle of which the bytes end.
        assert_eq!(Steady::of(&log(vec![(3, 300); 20])[..59]), Steady::Both);
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [50, 300][(state >> 24) as usize % 2]
        };
        let sizes: Vec<_> = (0..1000).map(|_| (3, random())).collect();
        assert_eq!(Steady::of(&log(sizes)), Steady::Micros);
        let both: Vec<_> = (0..1000).map(|_| (random(), random())).collect();
        assert_eq!(Steady::of(&log(both)), Steady::Neither);
        let micros: Vec<_> = (0..1000).map(|_| (random(), 50)).collect();
        assert_eq!(Steady::of(&log(micros)), Steady::Neither);
    }

    #[test]
    fn traces_repeat_themselves_if_nearly_all_do() {
        let steady = || std::iter::repeat_n((3, 50), 1000);
        assert_eq!(Steady::of(&log_of(steady(), [7])), Steady::All);
        // Too few to tell.
        assert_eq!(Steady::of(&log_of(steady().take(150), [7])), Steady::Both);
        // Another one now and then.
        let mut traces = [7; 50];
        traces[11] = 8;
        assert_eq!(Steady::of(&log_of(steady(), traces)), Steady::All);
        for at in [5, 20, 25, 38, 42] {
            traces[at] = 8;
        }
        assert_eq!(Steady::of(&log_of(steady(), traces)), Steady::Both);
        // Allocated and freed again: half of them, and foretold.
        assert_eq!(
            Steady::of(&log_of(steady(), [7, 7, 8, 8, 9, 9])),
            Steady::Both
        );
        // Where lengths do not, it does not matter.
        let lengths = (0..1000_u64).map(|number| (1 << (number * number % 17), 50));
        assert_eq!(Steady::of(&log_of(lengths, [7])), Steady::Neither);
    }
}
