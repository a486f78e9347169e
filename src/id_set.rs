//! [`IdSet`]: distinct values with dense ids, in the order of first occurrence.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{DecodeErrorKind, EncodeError};
use crate::id::Id;
use crate::id_vec::IdVec;

/// The error of an [`IdSet`] that has 2³² − 1 values.
#[derive(Debug)]
pub(crate) struct Full;

impl From<Full> for DecodeErrorKind {
    fn from(_: Full) -> Self {
        Self::TooManyFrames
    }
}

impl From<Full> for EncodeError {
    fn from(_: Full) -> Self {
        Self::TooManyFrames
    }
}

/// Distinct values with dense ids.
#[derive(Debug)]
pub(crate) struct IdSet<I, T> {
    values: IdVec<I, T>,
    ids: HashTable<I>,
    hasher: DefaultHashBuilder,
}

impl<I: Id, T> IdSet<I, T> {
    /// A set of `values` that [`insert`](Self::insert) does not look up.
    pub(crate) fn new(values: IdVec<I, T>) -> Self {
        Self {
            ids: HashTable::with_capacity(values.capacity()),
            values,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// A set of distinct `values`. [`insert`](Self::insert) looks up those with an index of `first` or more.
    pub(crate) fn found_from(values: IdVec<I, T>, first: usize) -> Self
    where
        T: Hash,
    {
        let mut set = Self::new(values);
        for (id, value) in set.values.iter().skip(first) {
            let rehash = |&id: &I| set.values.find(id).map_or(0, |it| set.hasher.hash_one(it));
            set.ids
                .insert_unique(set.hasher.hash_one(value), id, rehash);
        }
        set
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The id of a value, which is inserted if the set does not have it.
    pub(crate) fn insert<Q>(&mut self, value: &Q) -> Result<I, Full>
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned: Into<T>> + ?Sized,
    {
        let hash = self.hasher.hash_one(value);
        let known = |&id: &I| self.values.find(id).map(Borrow::borrow);
        if let Some(&id) = self.ids.find(hash, |id| known(id) == Some(value)) {
            return Ok(id);
        }
        if self.values.len() >= u32::MAX as usize {
            return Err(Full);
        }
        let id = self.values.push(value.to_owned().into());
        let known = |&id: &I| self.values.find(id).map(Borrow::borrow);
        let rehash = |id: &I| known(id).map_or(0, |known| self.hasher.hash_one(known));
        self.ids.insert_unique(hash, id, rehash);
        Ok(id)
    }

    pub(crate) fn values(&self) -> &IdVec<I, T> {
        &self.values
    }

    pub(crate) fn into_values(self) -> IdVec<I, T> {
        self.values
    }
}

impl<I: Id, T> Default for IdSet<I, T> {
    fn default() -> Self {
        Self::new(IdVec::new())
    }
}
