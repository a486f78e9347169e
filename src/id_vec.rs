//! [`IdVec`]: a vector indexed by a typed id.
//!
//! Its methods are total: an id that the vector does not have reads as the default, and writing to it does
//! nothing. So code that sums weights up by frame, node or trace needs no branch for an id that cannot occur,
//! and an id of one kind cannot index a vector of another.

use std::marker::PhantomData;

use crate::id::Id;

/// A vector with one item for each id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdVec<I, T> {
    items: Vec<T>,
    id: PhantomData<fn(I) -> I>,
}

impl<I: Id, T> IdVec<I, T> {
    pub(crate) const fn new() -> Self {
        Self::from_vec(Vec::new())
    }

    /// A vector whose items are in the order of their ids.
    pub(crate) const fn from_vec(items: Vec<T>) -> Self {
        Self {
            items,
            id: PhantomData,
        }
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::from_vec(Vec::with_capacity(capacity))
    }

    /// How many items there are, and ids.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Appends an item; returns its id.
    pub(crate) fn push(&mut self, item: T) -> I {
        let id = I::from_index(self.items.len());
        self.items.push(item);
        id
    }

    /// The item, if the vector has this id.
    #[inline]
    pub(crate) fn find(&self, id: I) -> Option<&T> {
        self.items.get(id.index())
    }

    /// Changes the item, if the vector has this id.
    #[inline]
    pub(crate) fn update(&mut self, id: I, change: impl FnOnce(&mut T)) {
        if let Some(item) = self.items.get_mut(id.index()) {
            change(item);
        }
    }

    /// Replaces the item, if the vector has this id.
    #[inline]
    pub(crate) fn set(&mut self, id: I, item: T) {
        self.update(id, |old| *old = item);
    }

    /// All ids and their items, in the order of the ids.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (I, &T)> + ExactSizeIterator {
        let items = self.items.iter().enumerate();
        items.map(|(index, item)| (I::from_index(index), item))
    }

    /// All items, in the order of their ids.
    pub(crate) fn values(&self) -> &[T] {
        &self.items
    }

    /// All items, to be changed.
    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<I: Id, T: Copy + Default> IdVec<I, T> {
    /// A vector of so many defaults.
    pub(crate) fn defaults(len: usize) -> Self {
        Self::from_vec(vec![T::default(); len])
    }

    /// The item; the default if the vector does not have this id.
    #[inline]
    pub(crate) fn get(&self, id: I) -> T {
        self.find(id).copied().unwrap_or_default()
    }
}

impl<I: Id> IdVec<I, i64> {
    /// Adds a weight to the item. A sum that leaves 64 bits stays at the limit.
    #[inline]
    pub(crate) fn add(&mut self, id: I, weight: i64) {
        self.update(id, |sum| *sum = sum.saturating_add(weight));
    }
}

impl<I: Id, T> Default for IdVec<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Id, T> FromIterator<T> for IdVec<I, T> {
    fn from_iter<Items: IntoIterator<Item = T>>(items: Items) -> Self {
        Self::from_vec(items.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FrameId;

    #[test]
    fn absent_id_reads_as_default_and_is_not_written() {
        let mut sums = IdVec::<FrameId, i64>::defaults(2);
        sums.add(FrameId(1), 5);
        sums.add(FrameId(1), i64::MAX);
        sums.add(FrameId(2), 7);
        assert_eq!(sums.values(), [0, i64::MAX]);
        assert_eq!((sums.get(FrameId(1)), sums.get(FrameId(2))), (i64::MAX, 0));
        assert_eq!(sums.push(9), FrameId(2));
        assert_eq!(sums.iter().last(), Some((FrameId(2), &9)));
        sums.set(FrameId(0), 3);
        assert_eq!(sums.find(FrameId(0)), Some(&3));
        assert_eq!(sums.find(FrameId(3)), None);
    }
}
