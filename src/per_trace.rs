//! [`PerTrace`]: something for each trace that was met, whatever indices a file holds.

use std::ops::Range;

use hashbrown::HashMap;

use crate::id::TraceId;

/// A value for each trace: in one run for those that the table has, of a large one as far as they were
/// met, and in a map for others.
#[derive(Debug)]
pub(crate) struct PerTrace<T> {
    /// By trace index; 0 is unknown. All of a table that takes little; else as far as traces were met:
    /// a file can have any number of them, and few that matter.
    items: Vec<T>,
    /// How many of these there may be.
    limit: usize,
    /// Of traces that the table does not have. Their index is out of a stranger's hand, up to 2³⁰,
    /// and must not size anything.
    overflow: HashMap<u32, T>,
}

// Written out, so that to copy one over another asks for no memory.
impl<T: Clone> Clone for PerTrace<T> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            limit: self.limit,
            overflow: self.overflow.clone(),
        }
    }

    fn clone_from(&mut self, other: &Self) {
        self.items.clone_from(&other.items);
        self.limit = other.limit;
        self.overflow.clone_from(&other.overflow);
    }
}

/// A table that takes no more bytes than this has all its places at once, and of a larger one traces
/// have places up to here, whether they are met or not.
const FREE: usize = 1 << 22;
/// Beyond that, one in so many must be met.
const SPARSE: usize = 16;

/// Whether so many places are too few to ask what they are for.
const fn is_free<T>(places: usize) -> bool {
    places.saturating_mul(size_of::<T>()) <= FREE
}

impl<T: Clone + Default> PerTrace<T> {
    /// Nothing yet, for a table of so many traces.
    pub(crate) fn new(traces: usize) -> Self {
        let limit = traces.min(TraceId::MAX.get() as usize) + 1;
        // To grow is to move what there is, and to ask for memory again and again.
        let places = if is_free::<T>(limit) { limit } else { 0 };
        Self {
            items: vec![T::default(); places],
            limit,
            overflow: HashMap::new(),
        }
    }

    /// Whether the table has the trace.
    pub(crate) fn is_of_the_table(&self, index: u32) -> bool {
        (index as usize) < self.limit
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.overflow.len()
    }

    /// How many traces have a place, the first ones of the table.
    pub(crate) fn places(&self) -> usize {
        self.items.len()
    }

    /// The values of the traces that the table has, by index, as far as they have a place.
    #[inline]
    pub(crate) fn places_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// Changes the value of a trace; one that was not met has the default.
    #[inline]
    pub(crate) fn update<R>(&mut self, index: u32, change: impl FnOnce(&mut T) -> R) -> R {
        match self.items.get_mut(index as usize) {
            Some(item) => change(item),
            None => change(self.new_item(index)),
        }
    }

    /// The value of a trace beyond those so far.
    #[cold]
    #[inline(never)]
    fn new_item(&mut self, index: u32) -> &mut T {
        let place = index as usize;
        // A trace can be a byte of its file, and less than that is no reason for as much memory as
        // this takes: where few of many traces are met, they stay overflow.
        let is_dense = is_free::<T>(place + 1) || place / SPARSE < self.overflow.len();
        if place < self.limit && is_dense && grow(&mut self.items, place, self.limit) {
            // Where there was no memory before, some of this range are among the overflow.
            let len = self.items.len();
            for (index, item) in self.overflow.extract_if(|&index, _| (index as usize) < len) {
                if let Some(place) = self.items.get_mut(index as usize) {
                    *place = item;
                }
            }
            if let Some(item) = self.items.get_mut(place) {
                return item;
            }
        }
        self.overflow.entry(index).or_default()
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.items.get(index as usize) {
            Some(item) => Some(item),
            None => self.overflow.get(&index),
        }
    }

    /// The values of traces whose indices follow on each other, as far as they have places.
    pub(crate) fn run(&self, indices: Range<usize>) -> &[T] {
        let end = indices.end.min(self.items.len());
        self.items.get(indices.start..end).unwrap_or_default()
    }

    /// The same, to be changed.
    pub(crate) fn run_mut(&mut self, indices: Range<usize>) -> &mut [T] {
        let end = indices.end.min(self.items.len());
        self.items.get_mut(indices.start..end).unwrap_or_default()
    }

    /// All values, in any order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.items.iter().chain(self.overflow.values())
    }

    /// All traces that have a place or were met, and what they have, in the order of the ids. Those
    /// that were not met have the default.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<TraceId>, &T)> {
        let mut overflow: Vec<(u32, &T)> = self
            .overflow
            .iter()
            .map(|(&index, item)| (index, item))
            .collect();
        overflow.sort_unstable_by_key(|&(index, _)| index);
        (0_u32..)
            .zip(&self.items)
            .chain(overflow)
            .map(|(index, item)| (TraceId::new(index), item))
    }
}

/// Makes room for `place` and as much again, up to `limit`; `false` if there is no memory for it.
pub(crate) fn grow<T: Clone + Default>(items: &mut Vec<T>, place: usize, limit: usize) -> bool {
    let len = (2 * place).max(1 << 10).min(limit).max(place + 1);
    let more = len.saturating_sub(items.len());
    if items.try_reserve_exact(more).is_err() {
        return false;
    }
    items.resize(len, T::default());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(items: &mut PerTrace<i64>, index: u32, value: i64) {
        items.update(index, |item| *item += value);
    }

    #[test]
    fn overflow_cost_an_entry_and_count_like_others() {
        let mut items = PerTrace::new(2);
        for (index, value) in [(TraceId::MAX.get(), 7), (1, 5), (3, 1), (0, 2), (3, 1)] {
            add(&mut items, index, value);
        }
        assert!(items.items.len() <= 3);
        let all: Vec<_> = items
            .iter()
            .map(|(trace, &value)| (TraceId::to_disk(trace), value))
            .collect();
        let largest = TraceId::MAX.get();
        assert_eq!(all, [(0, 2), (1, 5), (2, 0), (3, 2), (largest, 7)]);
        assert_eq!(items.values().sum::<i64>(), 16);
        assert_eq!(
            (items.get(3), items.get(2), items.get(4)),
            (Some(&2), Some(&0), None)
        );
    }

    #[test]
    fn few_of_many_traces_cost_an_entry_each_and_many_a_place() {
        let mut items = PerTrace::new(1 << 29);
        for index in (1..=100).map(|n| n << 22) {
            add(&mut items, index, 1);
        }
        assert_eq!((items.items.len(), items.overflow.len()), (0, 100));
        // All of them, in their order: those after the ones that have a place wait to be enough.
        for index in 0..1 << 20 {
            add(&mut items, index, 2);
            assert!(items.items.len() <= 4 * (index as usize).max(1 << 10));
            assert!(items.overflow.len() <= 101 + index as usize / 8);
        }
        assert!(items.items.len() > 1 << 19);
        assert_eq!(items.values().sum::<i64>(), 100 + (2 << 20));
        assert_eq!(items.get(77), Some(&2));
        assert_eq!(
            (items.get(1_000_000), items.get(9 << 22)),
            (Some(&2), Some(&1))
        );
        let traces: Vec<_> = items.iter().filter(|&(_, &item)| item > 0).collect();
        assert_eq!(traces.len(), 100 + (1 << 20));
        assert!(traces.is_sorted_by_key(|&(trace, _)| trace));
    }

    #[test]
    fn memory_follows_what_is_used() {
        let mut items = PerTrace::new(1 << 29);
        add(&mut items, 5, 1);
        assert!(items.items.len() <= 1 << 10);
        add(&mut items, 3000, 1);
        assert!(items.items.len() <= 6000);
        assert_eq!(items.values().sum::<i64>(), 2);
        assert_eq!(items.get(6001), None);

        // A table of a few megabytes is there at once, and one that is a place larger is not.
        let most = FREE / size_of::<i64>() - 1;
        assert_eq!(PerTrace::<i64>::new(most).items.len(), most + 1);
        assert_eq!(PerTrace::<i64>::new(most + 1).items.len(), 0);
        assert_eq!(PerTrace::<i64>::new(0).get(1), None);
    }
}
