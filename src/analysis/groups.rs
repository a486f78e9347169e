//! Things by the number that each belongs to: children by parent, edges by node.

use std::ops::Range;

/// Where the things of each number are, when those of one number stand together, in the order of their
/// numbers. There are fewer than 2³² of them, as many as a call tree has nodes at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    /// Where those of each number begin, and the end.
    begins: Vec<u32>,
}

impl Ranges {
    /// By the number that each thing belongs to; what has a number of `count` or more is left out.
    /// O(things + numbers).
    pub(super) fn new(numbers: impl Iterator<Item = usize>, count: usize) -> Self {
        let mut begins = vec![0_u32; count + 1];
        for number in numbers.filter(|&number| number < count) {
            if let Some(after) = begins.get_mut(number + 1) {
                *after += 1;
            }
        }
        let mut sum = 0;
        for begin in &mut begins {
            sum += *begin;
            *begin = sum;
        }
        Self { begins }
    }

    /// Where the things of a number are.
    pub(super) fn of(&self, number: usize) -> Range<usize> {
        match self.begins.get(number..) {
            Some(&[begin, end, ..]) => begin as usize..end as usize,
            _ => 0..0,
        }
    }

    /// Where the things of each number are.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let bounds = self.begins.iter().zip(self.begins.iter().skip(1));
        bounds.map(|(&begin, &end)| begin as usize..end as usize)
    }

    /// Things in the order of their numbers, each of which is given with the number that it belongs
    /// to: those that were counted, in the order of before among those of one number.
    pub(super) fn scatter<T: Copy + Default>(
        &self,
        things: impl Iterator<Item = (usize, T)>,
    ) -> Vec<T> {
        let end = self.begins.last().copied().unwrap_or(0);
        let mut scattered = vec![T::default(); end as usize];
        let mut next = self.begins.clone();
        // The last begins at the end, and has no things.
        next.pop();
        for (number, thing) in things {
            if let Some(next) = next.get_mut(number) {
                if let Some(slot) = scattered.get_mut(*next as usize) {
                    *slot = thing;
                }
                *next += 1;
            }
        }
        scattered
    }
}

/// The places of things, those that belong to one number together, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    places: Vec<u32>,
    ranges: Ranges,
}

impl Groups {
    /// Groups things by the number that each belongs to; what has a number of `count` or more is left
    /// out. O(things + numbers).
    pub(super) fn new(numbers: impl Iterator<Item = usize> + Clone, count: usize) -> Self {
        let ranges = Ranges::new(numbers.clone(), count);
        let places = ranges.scatter(numbers.zip(0_u32..));
        Self { places, ranges }
    }

    /// The places of the things that belong to a number.
    pub(super) fn of(
        &self,
        number: usize,
    ) -> impl ExactSizeIterator<Item = usize> + DoubleEndedIterator {
        let group = self.places.get(self.ranges.of(number)).unwrap_or_default();
        group.iter().map(|&place| place as usize)
    }

    /// Sorts the things of each number by a key, which is asked for once a thing: things are
    /// scattered, and to look at one costs more than to compare two keys.
    pub(super) fn sort_each_by_key<K: Ord>(&mut self, key: impl Fn(usize) -> K) {
        let mut keyed = Vec::new();
        for range in self.ranges.iter() {
            if range.len() > 1
                && let Some(group) = self.places.get_mut(range)
            {
                keyed.extend(group.iter().map(|&place| (key(place as usize), place)));
                keyed.sort_unstable();
                for (place, (_, sorted)) in group.iter_mut().zip(keyed.drain(..)) {
                    *place = sorted;
                }
            }
        }
    }

    /// All places, those of the first number first.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = usize> {
        self.places.iter().map(|&place| place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_keep_their_order_in_groups() {
        let numbers = [2, 0, 2, 9, 1, 2];
        let mut groups = Groups::new(numbers.into_iter(), 4);
        let of = |groups: &Groups, number| groups.of(number).collect::<Vec<_>>();
        assert_eq!(of(&groups, 2), [0, 2, 5]);
        assert_eq!(of(&groups, 0), [1]);
        assert_eq!(of(&groups, 3), [0_usize; 0]);
        assert_eq!(of(&groups, 9), [0_usize; 0]);
        groups.sort_each_by_key(std::cmp::Reverse);
        assert_eq!(groups.places().collect::<Vec<_>>(), [1, 4, 5, 2, 0]);
    }
}
