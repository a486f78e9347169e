//! Interners: they give each distinct value a dense id, in the order of first occurrence.
//!
//! [`IdSet`] is the general one. [`Interner`] gives ids to frames. [`RecordInterner`] does so for the frames of a
//! `.hpm` file, where each frame repeats its file name: it looks up the bytes of the frame in a cache, and decodes
//! and hashes the name only if they are not there.

use std::borrow::{Borrow, Cow};
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::DecodeErrorKind;
use crate::frame::Frame;
use crate::id::{FrameId, Id};
use crate::id_vec::{DenseId, IdVec};
use crate::raw::RawFrame;

/// The error of an [`IdSet`] that has 2³² − 1 values.
#[derive(Debug)]
pub(crate) struct Full;

impl From<Full> for DecodeErrorKind {
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
    /// A set that has the `values`, but does not [find](Self::insert) them.
    pub(crate) fn new(values: IdVec<I, T>) -> Self {
        Self {
            ids: HashTable::with_capacity(values.capacity()),
            values,
            hasher: DefaultHashBuilder::default(),
        }
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

/// A distinct file name.
type FileId = DenseId<FileKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct FileKind;

/// The distinct frames of a table, by id. It has each file name once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    files: IdVec<FileId, Box<str>>,
    frames: IdVec<FrameId, (FileId, u32)>,
}

impl Frames {
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn get(&self, id: FrameId) -> Option<Frame<'_>> {
        let &(file, line) = self.frames.find(id)?;
        Some(Frame::new(self.files.find(file)?, line))
    }
}

/// Gives each distinct frame an id.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    files: IdSet<FileId, Box<str>>,
    frames: IdSet<FrameId, (FileId, u32)>,
}

impl Interner {
    pub(crate) fn insert(&mut self, frame: Frame<'_>) -> Result<FrameId, Full> {
        let file = self.files.insert(frame.file)?;
        self.frames.insert(&(file, frame.line))
    }

    pub(crate) fn into_frames(self) -> Frames {
        Frames {
            files: self.files.into_values().shrunk(),
            frames: self.frames.into_values().shrunk(),
        }
    }
}

/// The number of slots of the cache of [`RecordInterner`], as a power of two.
const CACHE_BITS: u32 = 12;

/// Gives each distinct frame of a `.hpm` file an id. Frames that differ only in bytes that are not UTF-8 are one.
///
/// PERF: without the cache, reading a table takes 1.3x the time (docutils and pylint); with a map from the bytes
/// of a frame in its place, 1.25x; cargo bench --bench ratios -- FILEBASE, row `intern_of_sum`.
#[derive(Debug)]
pub(crate) struct RecordInterner<'a> {
    interner: Interner,
    /// The bytes and the id of the latest frame of each slot. An unused slot has no bytes, as no frame has.
    cache: Box<[(&'a [u8], FrameId)]>,
    /// Whether a file name was not UTF-8.
    pub(crate) not_utf8: bool,
}

impl<'a> RecordInterner<'a> {
    pub(crate) fn new() -> Self {
        Self {
            interner: Interner::default(),
            cache: vec![(&[][..], FrameId(0)); 1 << CACHE_BITS].into_boxed_slice(),
            not_utf8: false,
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, frame: RawFrame<'a>) -> Result<FrameId, Full> {
        let slot = cache_slot(frame);
        match self.cache.get_mut(slot) {
            Some((record, id)) if *record == frame.record() => {
                *record = frame.record(); // the processor's cache still has these bytes next time
                Ok(*id)
            }
            _ => self.insert_slow(frame, slot),
        }
    }

    #[inline(never)]
    fn insert_slow(&mut self, frame: RawFrame<'a>, slot: usize) -> Result<FrameId, Full> {
        let name = frame.file_name();
        // Only a name with replaced bytes is owned.
        self.not_utf8 |= matches!(name, Cow::Owned(_));
        let id = self.interner.insert(Frame::new(&name, frame.line()))?;
        if let Some(cached) = self.cache.get_mut(slot) {
            *cached = (frame.record(), id);
        }
        Ok(id)
    }

    pub(crate) fn into_frames(self) -> Frames {
        self.interner.into_frames()
    }
}

/// A hash of the line number, the length and the last bytes of a frame. File names differ more at their end than
/// at their beginning.
#[inline]
fn cache_slot(frame: RawFrame<'_>) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / φ
    let tail = frame.record().last_chunk();
    let tail = tail.map_or(0, |tail| u64::from_le_bytes(*tail));
    let line = u64::from(frame.line()) << 8 | (frame.record().len() as u64 & 0xff);
    let mixed = (tail ^ line.wrapping_mul(SPREAD)).wrapping_mul(SPREAD);
    (mixed >> (u64::BITS - CACHE_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_in_order_of_first_occurrence() {
        let mut interner = Interner::default();
        let lines = [("a", 1), ("b", 1), ("a", 1), ("a", 2), ("", 0), ("b", 1)];
        let ids = lines.map(|frame| interner.insert(frame.into()).unwrap().index());
        assert_eq!(ids, [0, 1, 0, 2, 3, 1]);
        let frames = interner.into_frames();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames.get(FrameId(2)), Some(Frame::new("a", 2)));
        assert_eq!(frames.get(FrameId(3)), Some(Frame::new("", 0)));
        assert_eq!(frames.get(FrameId(4)), None);
    }
}
