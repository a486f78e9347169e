//! [`PerTrace`]: a value for each trace.
//!
//! Nearly all values are in a dense vector, by trace index. A file can hold any index up to 2³⁰, and a table can have
//! many more traces than the log uses, so neither sizes the vector: it grows with the traces that occur, and
//! the other values are in a map.

use std::ops::Range;

use hashbrown::HashMap;

use crate::id::TraceId;

/// A value for each trace. A trace that never occurred has the default.
#[derive(Debug, Clone)]
pub(crate) struct PerTrace<T> {
    /// By trace index; 0 is unknown. Complete for a small table; else up to the traces that occurred.
    dense: Vec<T>,
    /// The largest length of `dense`: the number of traces of the table, and unknown.
    limit: usize,
    /// The values of traces beyond `dense`.
    overflow: HashMap<u32, T>,
}

/// A dense vector of up to this many bytes is allocated at once, whether its traces occur or not.
const EAGER_BYTES: usize = 1 << 22;

/// Above [`EAGER_BYTES`], the dense vector grows to a trace only if the map has more than one in this many of the
/// traces up to it.
const MAX_TRACES_PER_ENTRY: usize = 16;

/// Whether a dense vector of this length is allocated at once.
const fn is_eager<T>(len: usize) -> bool {
    len.saturating_mul(size_of::<T>()) <= EAGER_BYTES
}

impl<T: Clone + Default> PerTrace<T> {
    /// Defaults for all traces of a table that has this many.
    pub(crate) fn new(traces: usize) -> Self {
        let limit = traces.min(TraceId::MAX.get() as usize) + 1;
        let len = if is_eager::<T>(limit) { limit } else { 0 };
        Self {
            dense: vec![T::default(); len],
            limit,
            overflow: HashMap::new(),
        }
    }

    /// Whether the table has the trace.
    pub(crate) fn table_has(&self, index: u32) -> bool {
        (index as usize) < self.limit
    }

    /// The number of stored values.
    pub(crate) fn len(&self) -> usize {
        self.dense.len() + self.overflow.len()
    }

    /// The length of the dense vector.
    pub(crate) fn dense_len(&self) -> usize {
        self.dense.len()
    }

    /// The dense vector.
    #[inline]
    pub(crate) fn dense_mut(&mut self) -> &mut [T] {
        &mut self.dense
    }

    /// Changes the value of a trace.
    #[inline]
    pub(crate) fn update<R>(&mut self, index: u32, change: impl FnOnce(&mut T) -> R) -> R {
        match self.dense.get_mut(index as usize) {
            Some(value) => change(value),
            None => change(self.value_slow(index)),
        }
    }

    /// The value of a trace beyond the dense vector, which may grow to hold it.
    #[cold]
    #[inline(never)]
    fn value_slow(&mut self, index: u32) -> &mut T {
        let at = index as usize;
        // A trace can be as small as one byte of its file, so the number of traces is no reason for a large vector:
        // a few values of many traces stay in the map.
        let is_worth_it = is_eager::<T>(at + 1) || at / MAX_TRACES_PER_ENTRY < self.overflow.len();
        if at < self.limit && is_worth_it && grow(&mut self.dense, at, self.limit) {
            let len = self.dense.len();
            for (index, value) in self.overflow.extract_if(|&index, _| (index as usize) < len) {
                if let Some(dense) = self.dense.get_mut(index as usize) {
                    *dense = value;
                }
            }
            if let Some(value) = self.dense.get_mut(at) {
                return value;
            }
        }
        self.overflow.entry(index).or_default()
    }

    /// The value of a trace; `None` if none is stored.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let dense = self.dense.get(index as usize);
        dense.or_else(|| self.overflow.get(&index))
    }

    /// The values of a range of indices, as far as the dense vector has them.
    pub(crate) fn dense_range(&self, indices: Range<usize>) -> &[T] {
        let end = indices.end.min(self.dense.len());
        self.dense.get(indices.start..end).unwrap_or_default()
    }

    /// The values of a range of indices, as far as the dense vector has them.
    pub(crate) fn dense_range_mut(&mut self, indices: Range<usize>) -> &mut [T] {
        let end = indices.end.min(self.dense.len());
        self.dense.get_mut(indices.start..end).unwrap_or_default()
    }

    /// All stored values, in any order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.dense.iter().chain(self.overflow.values())
    }

    /// All stored values with their traces, in the order of the ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<TraceId>, &T)> {
        let overflow = self.overflow.iter().map(|(&index, value)| (index, value));
        let mut overflow: Vec<(u32, &T)> = overflow.collect();
        overflow.sort_unstable_by_key(|&(index, _)| index);
        let all = (0..).zip(&self.dense).chain(overflow);
        all.map(|(index, value)| (TraceId::new(index), value))
    }
}

/// Grows a vector to hold index `at`, and to twice that, up to `limit`. Returns `false` if there is not enough
/// memory.
pub(crate) fn grow<T: Clone + Default>(items: &mut Vec<T>, at: usize, limit: usize) -> bool {
    let len = (2 * at).max(1 << 10).min(limit).max(at + 1);
    let more = len.saturating_sub(items.len());
    let has_memory = items.try_reserve_exact(more).is_ok();
    if has_memory {
        items.resize(len, T::default());
    }
    has_memory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(values: &mut PerTrace<i64>, index: u32, more: i64) {
        values.update(index, |value| *value += more);
    }

    #[test]
    fn traces_that_the_table_lacks_take_one_map_entry_each() {
        let mut values = PerTrace::new(2);
        for (index, value) in [(TraceId::MAX.get(), 7), (1, 5), (3, 1), (0, 2), (3, 1)] {
            add(&mut values, index, value);
        }
        assert!(values.dense_len() <= 3);
        let all: Vec<_> = values
            .iter()
            .map(|(trace, &value)| (TraceId::to_disk(trace), value))
            .collect();
        let largest = TraceId::MAX.get();
        assert_eq!(all, [(0, 2), (1, 5), (2, 0), (3, 2), (largest, 7)]);
        assert_eq!(values.values().sum::<i64>(), 16);
        assert_eq!(
            (values.get(3), values.get(2), values.get(4)),
            (Some(&2), Some(&0), None)
        );
    }

    #[test]
    fn few_of_many_traces_are_in_map_and_many_in_dense_vector() {
        let mut values = PerTrace::new(1 << 29);
        for index in (1..=100).map(|n| n << 22) {
            add(&mut values, index, 1);
        }
        assert_eq!((values.dense_len(), values.overflow.len()), (0, 100));
        // The dense vector grows while these come in ascending order; the map keeps some until it does.
        for index in 0..1 << 20 {
            add(&mut values, index, 2);
            assert!(values.dense_len() <= 4 * (index as usize).max(1 << 10));
            assert!(values.overflow.len() <= 101 + index as usize / 8);
        }
        assert!(values.dense_len() > 1 << 19);
        assert_eq!(values.values().sum::<i64>(), 100 + (2 << 20));
        assert_eq!(values.get(77), Some(&2));
        assert_eq!(
            (values.get(1_000_000), values.get(9 << 22)),
            (Some(&2), Some(&1))
        );
        let traces: Vec<_> = values.iter().filter(|&(_, &value)| value > 0).collect();
        assert_eq!(traces.len(), 100 + (1 << 20));
        assert!(traces.is_sorted_by_key(|&(trace, _)| trace));
    }

    #[test]
    fn memory_follows_traces_that_occur() {
        let mut values = PerTrace::new(1 << 29);
        add(&mut values, 5, 1);
        assert!(values.dense_len() <= 1 << 10);
        add(&mut values, 3000, 1);
        assert!(values.dense_len() <= 6000);
        assert_eq!(values.values().sum::<i64>(), 2);
        assert_eq!(values.get(6001), None);

        // The largest table whose dense vector is allocated at once, and one with one trace more.
        let most = EAGER_BYTES / size_of::<i64>() - 1;
        assert_eq!(PerTrace::<i64>::new(most).dense_len(), most + 1);
        assert_eq!(PerTrace::<i64>::new(most + 1).dense_len(), 0);
        assert_eq!(PerTrace::<i64>::new(0).get(1), None);
    }
}
