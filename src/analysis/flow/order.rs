//! The order of nodes and edges: the heaviest first.

/// A thing in its order among others: the heaviest first, and of those that weigh the same the one with
/// the smallest number. It is one number itself, since to compare several costs a branch for each that
/// cannot be foretold; and it says where the thing is, so that nothing need be moved with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked(u128);

impl Ranked {
    #[inline]
    pub(super) fn new(size: u64, number: u32, place: u32) -> Self {
        Self(u128::from(!size) << 64 | u128::from(number) << 32 | u128::from(place))
    }

    /// The number that it was given.
    #[expect(clippy::cast_possible_truncation, reason = "this part of it")]
    pub(super) const fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Where the thing is.
    #[expect(clippy::cast_possible_truncation, reason = "this part of it")]
    pub(super) const fn place(self) -> u32 {
        self.0 as u32
    }
}

/// Puts at each place what stood at the one that `order` has there, of all places. In place: memory
/// that is new costs more than to swap.
pub(super) fn put_in_order<T>(things: &mut [T], mut order: Vec<usize>) {
    for first in 0..order.len() {
        let mut place = first;
        // Round the circle in which they change places.
        while let Some(slot) = order.get_mut(place) {
            let from = std::mem::replace(slot, place);
            if from == first || from == place || from.max(place) >= things.len() {
                break;
            }
            things.swap(place, from);
            place = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_is_first_and_of_equals_the_smallest_number() {
        let things = [
            (7, 3, 0),
            (u64::MAX, 9, 1),
            (7, 2, 2),
            (0, u32::MAX, u32::MAX),
        ];
        let mut order = things.map(|(size, number, place)| Ranked::new(size, number, place));
        order.sort_unstable();
        assert_eq!(order.map(Ranked::place), [1, 2, 0, u32::MAX]);
        assert_eq!(order.map(Ranked::number), [9, 2, 3, u32::MAX]);
    }

    #[test]
    fn things_are_put_in_any_order() {
        let order = [3, 0, 2, 6, 5, 4, 1];
        let mut things = ["a", "b", "c", "d", "e", "f", "g"];
        let expected = order.map(|place| things[place]);
        put_in_order(&mut things, order.to_vec());
        assert_eq!(things, expected);
    }
}
