//! [`checksum`]: 32 bits that detect accidental damage, such as lost writes and incomplete copies. It is no protection
//! against malice.

/// The number of words that are added at once.
const LANES: usize = 4;

/// A bijection of the state for each word, and of the word for each state.
const fn step(state: u64, word: u64) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / φ
    let state = (state ^ word).wrapping_mul(SPREAD);
    state ^ state >> 32
}

/// The checksum of several parts. It depends on how bytes are divided into parts.
///
/// Each step is a bijection, so one changed byte always changes the state of 64 bits. The chance that its low half
/// stays the same is 2⁻³².
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let state = parts.iter().copied().fold(0, add);
    u32::try_from(state & u64::from(u32::MAX)).unwrap_or_default()
}

/// The state after a part.
///
/// PERF: each step waits for the previous one. Four independent lanes keep the multiplier busy; in the end they are
/// added to the state.
fn add(state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let (rows, words) = words.as_chunks::<LANES>();
    let mut lanes = [0; LANES];
    for row in rows {
        for (lane, word) in lanes.iter_mut().zip(row) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
    let mut last = [0; 8];
    for (padded, &byte) in last.iter_mut().zip(rest) {
        *padded = byte;
    }
    let words = words.iter().chain([&last]);
    let words = words.map(|word| u64::from_le_bytes(*word));
    let all = lanes.into_iter().chain(words).chain([bytes.len() as u64]);
    all.fold(state, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_every_changed_byte_and_every_cut() {
        let bytes: Vec<u8> = (0..100).collect();
        let whole = checksum(&[&bytes]);
        for at in 0..bytes.len() {
            for flip in 1..=255 {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert_ne!(checksum(&[&changed]), whole);
            }
            assert_ne!(checksum(&[&bytes[..at]]), whole);
        }
    }

    #[test]
    fn stays_the_same_on_disk() {
        let bytes: Vec<u8> = (0..100).collect();
        assert_eq!(checksum(&[&bytes]), 0x50e9_0a34);
    }
}
