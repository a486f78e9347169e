//! [`BitSet`]: a bit for each index up to a length.

/// A bit for each index below its length, which is a multiple of 64.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    /// Bits for `len` indices or up to 63 more, all with this value.
    pub(crate) fn filled(len: usize, value: bool) -> Self {
        let word = if value { u64::MAX } else { 0 };
        Self {
            words: vec![word; len.div_ceil(64)],
        }
    }

    /// The bit of an index; `None` beyond the length.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<bool> {
        let word = self.words.get(index as usize / 64)?;
        Some(word >> (index % 64) & 1 == 1)
    }

    /// Sets the bit of an index and returns the old one; `None`, and nothing to set, beyond the length.
    #[inline]
    pub(crate) fn set(&mut self, index: u32, value: bool) -> Option<bool> {
        let word = self.words.get_mut(index as usize / 64)?;
        let bit = 1 << (index % 64);
        let old = *word & bit != 0;
        *word = if value { *word | bit } else { *word & !bit };
        Some(old)
    }

    /// The words, 64 bits each, the lowest index in the lowest bit.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words, to be extended.
    pub(crate) fn words_mut(&mut self) -> &mut Vec<u64> {
        &mut self.words
    }

    /// All indices whose bit is set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = (0_u32..).step_by(64).zip(&self.words);
        words.flat_map(|(base, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(base + bit)
            })
        })
    }

    /// The number of bits that are set.
    pub(crate) fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_cleared_and_listed() {
        let mut bits = BitSet::filled(65, false);
        assert_eq!(
            [3, 127, 64, 3].map(|bit| bits.set(bit, true)),
            [false, false, false, true].map(Some)
        );
        assert_eq!(bits.set(64, false), Some(true));
        assert_eq!((bits.set(128, true), bits.get(128)), (None, None));
        assert_eq!((bits.get(3), bits.get(4)), (Some(true), Some(false)));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3, 127]);
        assert_eq!(bits.count(), 2);
        assert_eq!(BitSet::filled(64, true).count(), 64);
    }
}
