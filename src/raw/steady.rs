//! Can a processor foretell how long the next events are?
//!
//! Where it can, the decoder branches on the length, and the processor works on several events at
//! once: two to three times as fast as computing where the next one begins. Where it cannot, each
//! wrong guess costs as much as decoding six events, and computing is faster. Programs repeat
//! themselves, so that nearly all recordings are of the first kind; but not all.

/// How many events are looked at.
const SAMPLE: u32 = 512;

/// Of these, how many are for learning.
const LEARNING: u32 = 192;

/// How many lengths before the next one a guess is made from.
const HISTORY: u32 = 6;

/// Whether the lengths of the sizes of the events at the beginning of `bytes` repeat themselves: a
/// simple predictor guesses five of eight or more.
#[inline(never)]
pub(super) fn is_steady(bytes: &[u8]) -> bool {
    let mut at = 0;
    let mut history = 0_usize;
    let mut inclined = [0_i8; 1 << HISTORY];
    let (mut guessed, mut wrong) = (0, 0);
    for event in 0..SAMPLE {
        // Past the head and two varints.
        let Some(size) = past_varint(bytes, at + 4).and_then(|at| past_varint(bytes, at)) else {
            break;
        };
        let Some(next) = past_varint(bytes, size) else {
            break;
        };
        at = next;
        let long = next - size > 1;
        if let Some(inclined) = inclined.get_mut(history) {
            if event >= LEARNING {
                guessed += 1;
                wrong += u32::from((*inclined > 0) != long);
            }
            *inclined = (*inclined + if long { 1 } else { -1 }).clamp(-2, 2);
        }
        history = (history << 1 | usize::from(long)) & ((1 << HISTORY) - 1);
    }
    wrong * 8 <= guessed * 3
}

/// Where the varint ends that begins at `at`.
fn past_varint(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let len = rest.iter().take(10).position(|&byte| byte < 0x80)? + 1;
    Some(at + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(sizes: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            bytes.extend([0, 0, 0, 1, 0, 3]);
            super::super::block::push_varint(&mut bytes, size);
        }
        bytes
    }

    #[test]
    fn what_repeats_itself_is_foretold() {
        assert!(is_steady(&[]));
        assert!(is_steady(&log(vec![50; 1000])));
        assert!(is_steady(&log(
            (0..1000).map(|number| [50, 300, 300][number % 3])
        )));
        // An event in the middle of which the bytes end.
        assert!(is_steady(&log(vec![300; 20])[..59]));
        let mut state = 1_u32;
        let random = std::iter::from_fn(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some([50, 300][(state >> 24) as usize % 2])
        });
        assert!(!is_steady(&log(random.take(1000))));
    }
}
