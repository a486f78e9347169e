//! [`Groups`]: items grouped by a key each, such as the children of a node by their parent, and [`Ranges`]:
//! the range of each group where the items themselves are in that order.
//!
//! A counting sort makes both in linear time.

use std::ops::Range;

use crate::id::Id;
use crate::id_vec::IdVec;

/// The range of each key's items, where the items of one key follow each other in the order of the keys.
///
/// There are fewer than 2³² items: a call tree has no more nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges<K> {
    ranges: IdVec<K, (u32, u32)>,
}

impl<K: Id> Ranges<K> {
    /// Counts the items of each of the first `count` keys. An item with another key is in no range.
    /// O(items + keys).
    pub(super) fn new(keys: impl Iterator<Item = K>, count: usize) -> Self {
        let mut sizes = IdVec::<K, u32>::defaults(count);
        for key in keys {
            sizes.update(key, |size| *size += 1);
        }
        let mut end = 0;
        let range = |size| {
            let begin = end;
            end += size;
            (begin, end)
        };
        Self {
            ranges: sizes.into_values().into_iter().map(range).collect(),
        }
    }

    /// The range of a key.
    pub(super) fn of(&self, key: K) -> Range<usize> {
        let (begin, end) = self.ranges.get(key);
        begin as usize..end as usize
    }

    /// All ranges, in the order of the keys.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (K, Range<usize>)> {
        self.ranges.ids().map(|key| (key, self.of(key)))
    }

    /// Sorts items by their keys, which are the same as those that were counted. Items of one key stay in
    /// their order.
    pub(super) fn scatter<T: Copy + Default>(&self, items: impl Iterator<Item = (K, T)>) -> Vec<T> {
        let len = self.ranges.values().last().map_or(0, |&(_, end)| end);
        let mut scattered = vec![T::default(); len as usize];
        let mut next = self.ranges.clone();
        for (key, item) in items {
            next.update(key, |(next, _)| {
                if let Some(slot) = scattered.get_mut(*next as usize) {
                    *slot = item;
                }
                *next += 1;
            });
        }
        scattered
    }
}

/// The ids of items, grouped by the key of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups<K, V> {
    items: Vec<V>,
    ranges: Ranges<K>,
}

impl<K: Id, V: Id + Ord + Default> Groups<K, V> {
    /// Groups items by their keys, which come in the order of the items. An item whose key is not among the
    /// first `count` is in no group. O(items + keys).
    pub(super) fn new(keys: impl Iterator<Item = K> + Clone, count: usize) -> Self {
        let ranges = Ranges::new(keys.clone(), count);
        let items = ranges.scatter(keys.zip((0..).map(V::from_index)));
        Self { items, ranges }
    }

    /// The items of a key.
    pub(super) fn of(&self, key: K) -> &[V] {
        self.items.get(self.ranges.of(key)).unwrap_or_default()
    }

    /// The number of items in all groups.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Sorts the items of each group by a sort key, which is computed once for each item.
    pub(super) fn sort_each_by_key<S: Ord>(&mut self, sort_key: impl Fn(V) -> S) {
        let mut keyed = Vec::new();
        for (_, range) in self.ranges.iter().filter(|(_, range)| range.len() > 1) {
            let group = self.items.get_mut(range).unwrap_or_default();
            keyed.extend(group.iter().map(|&item| (sort_key(item), item)));
            keyed.sort_unstable();
            for (item, (_, sorted)) in group.iter_mut().zip(keyed.drain(..)) {
                *item = sorted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FrameId;
    use crate::id_vec::DenseId;

    #[test]
    fn items_keep_their_order_in_groups() {
        let keys = [2, 0, 2, 9, 1, 2].map(FrameId);
        let mut groups = Groups::<FrameId, DenseId<()>>::new(keys.into_iter(), 4);
        let of = |groups: &Groups<FrameId, DenseId<()>>, key| {
            let items = groups.of(FrameId(key)).iter();
            items.map(|item| item.index()).collect::<Vec<_>>()
        };
        assert_eq!(of(&groups, 2), [0, 2, 5]);
        assert_eq!(of(&groups, 0), [1]);
        assert_eq!(of(&groups, 3), [0_usize; 0]);
        assert_eq!(of(&groups, 9), [0_usize; 0]);
        assert_eq!(groups.len(), 5);
        groups.sort_each_by_key(std::cmp::Reverse);
        assert_eq!(of(&groups, 2), [5, 2, 0]);
    }
}
