//! A checksum against accidents: a disk that forgets, a copy that stops.

/// So many words are added at once.
const LANES: usize = 4;

/// A bijection of the state, and one of the word.
const fn step(state: u64, word: u64) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / φ
    let state = (state ^ word).wrapping_mul(SPREAD);
    state ^ state >> 32
}

/// A checksum of 32 bits, eight bytes at a time.
///
/// Each step is a bijection, so that one changed byte always changes the 64 bits; that
/// they fold to the same 32 then is one chance in 2³². It guards against accidents, not malice.
#[derive(Debug, Clone)]
pub(crate) struct Checksum {
    state: u64,
}

impl Checksum {
    /// The checksum of bytes in one part.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut checksum = Self::new();
        checksum.update(bytes);
        checksum.finish()
    }

    pub(crate) fn new() -> Self {
        Self { state: 0 }
    }

    /// Adds a part: the same bytes divided otherwise give another checksum.
    ///
    /// A step waits for the one before it, so as many words at once as there are lanes are added to a lane
    /// each, and in the end the lanes to the state.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        let (rows, words) = words.as_chunks::<LANES>();
        let mut lanes = [0; LANES];
        for row in rows {
            for (lane, word) in lanes.iter_mut().zip(row) {
                *lane = step(*lane, u64::from_le_bytes(*word));
            }
        }
        let mut last = [0; 8];
        for (place, &byte) in last.iter_mut().zip(rest) {
            *place = byte;
        }
        let words = words.iter().chain([&last]);
        let words = words.map(|word| u64::from_le_bytes(*word));
        let all = lanes.into_iter().chain(words).chain([bytes.len() as u64]);
        self.state = all.fold(self.state, step);
    }

    pub(crate) fn finish(&self) -> u32 {
        u32::try_from(self.state & u64::from(u32::MAX)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_changes_the_checksum() {
        let sum = |bytes: &[u8]| {
            let mut checksum = Checksum::new();
            checksum.update(bytes);
            checksum.finish()
        };
        let bytes: Vec<u8> = (0..100).collect();
        let whole = sum(&bytes);
        for at in 0..bytes.len() {
            for flip in 1..=255 {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert_ne!(sum(&changed), whole);
            }
            assert_ne!(sum(&bytes[..at]), whole);
        }
    }
}
