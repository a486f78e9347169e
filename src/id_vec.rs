//! [`IdVec`]: a vector indexed by a typed id.
//!
//! Its methods are total: an id that the vector does not have reads as the default, and writing to it does
//! nothing. So code that sums weights up by frame, node or trace needs no branch for an id that cannot occur,
//! and an id of one kind cannot index a vector of another.

use std::marker::PhantomData;

use crate::id::Id;

/// An id of 32 bits. `Kind` distinguishes the ids of different vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct DenseId<Kind>(u32, PhantomData<Kind>);

impl<Kind> DenseId<Kind> {
    /// The first id, that of a tree's root.
    pub(crate) const ROOT: Self = Self(0, PhantomData);
    /// No vector has this id.
    pub(crate) const NONE: Self = Self(u32::MAX, PhantomData);
}

impl<Kind: Copy> Id for DenseId<Kind> {
    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }

    #[inline]
    fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX), PhantomData)
    }
}

impl<Kind> From<DenseId<Kind>> for u32 {
    fn from(id: DenseId<Kind>) -> Self {
        id.0
    }
}

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

    /// A vector with `len` equal items.
    pub(crate) fn filled(len: usize, item: T) -> Self
    where
        T: Clone,
    {
        Self::from_vec(vec![item; len])
    }

    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// The same vector without spare capacity.
    pub(crate) fn shrunk(mut self) -> Self {
        self.items.shrink_to_fit();
        self
    }

    /// The number of items, and of ids.
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

    /// Adds an item to the vector of each parent, the last first, so that an item then includes all items below
    /// it. Parents come before their children; the first item is the root.
    pub(crate) fn sum_up(&mut self, parents: impl Fn(&Self, I) -> I, add: impl Fn(&mut T, T))
    where
        T: Copy,
    {
        for index in (1..self.len()).rev() {
            let id = I::from_index(index);
            if let Some(&item) = self.find(id) {
                let parent = parents(self, id);
                self.update(parent, |above| add(above, item));
            }
        }
    }

    /// All ids, ascending.
    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = I> + ExactSizeIterator + use<I, T> {
        (0..self.len()).map(I::from_index)
    }

    /// All ids and their items, in the order of the ids.
    pub(crate) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (I, &T)> + ExactSizeIterator + Clone {
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

    /// All items, in the order of their ids, without the ids.
    pub(crate) fn into_values(self) -> Vec<T> {
        self.items
    }

    /// Keeps the items that pass the test, which become the first ids; returns the new id of each old one.
    pub(crate) fn retain(
        &mut self,
        mut keep: impl FnMut(I, &mut T) -> bool,
    ) -> IdVec<I, Option<I>> {
        let mut new_ids = IdVec::with_capacity(self.len());
        let mut kept = 0;
        self.items.retain_mut(|item| {
            let keeps = keep(I::from_index(new_ids.len()), item);
            new_ids.push(keeps.then(|| I::from_index(kept)));
            kept += usize::from(keeps);
            keeps
        });
        new_ids
    }
}

impl<I: Id, T: Copy + Default> IdVec<I, T> {
    /// A vector with `len` defaults.
    pub(crate) fn defaults(len: usize) -> Self {
        Self::from_vec(vec![T::default(); len])
    }

    /// Replaces the item; returns the old one. The default if the vector does not have this id.
    #[inline]
    pub(crate) fn replace(&mut self, id: I, item: T) -> T {
        let old = self.get(id);
        self.set(id, item);
        old
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

impl<I, T> Default for IdVec<I, T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            id: PhantomData,
        }
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
