//! Interners of frames: they give each distinct frame a dense id, in the order of first occurrence.
//!
//! [`Interner`] is the general one. [`RecordInterner`] is for a `.hpm` file of version 1, where each frame repeats its
//! file name: it looks up the bytes of the frame in a cache, and decodes and hashes the name only if they are not
//! there.

use std::borrow::Cow;

use crate::frame::Frame;
use crate::id::FrameId;
use crate::id_set::{Full, IdSet};
use crate::id_vec::{DenseId, IdVec};
use crate::raw::RawFrame;

/// A distinct name of a file or a function.
pub(crate) type TextId = DenseId<TextKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct TextKind;

/// A frame whose names are texts. [`TextId::NONE`] is the function of a frame without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TextFrame {
    pub(crate) function: TextId,
    pub(crate) file: TextId,
    pub(crate) line: u32,
}

/// The distinct frames of a table, by id. It has each name once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    texts: IdVec<TextId, Box<str>>,
    frames: IdVec<FrameId, TextFrame>,
}

impl Frames {
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn get(&self, id: FrameId) -> Option<Frame<'_>> {
        let frame = self.frames.find(id)?;
        Some(Frame {
            file: self.texts.find(frame.file)?,
            line: frame.line,
            function: self.texts.find(frame.function).map(|name| &**name),
        })
    }
}

/// Gives each distinct frame an id.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: IdSet<TextId, Box<str>>,
    frames: IdSet<FrameId, TextFrame>,
}

impl Interner {
    /// An interner that knows the frames of a table. O(frames).
    pub(crate) fn of(frames: Frames) -> Self {
        Self {
            texts: IdSet::found_from(frames.texts, 0),
            frames: IdSet::found_from(frames.frames, 0),
        }
    }

    pub(crate) fn insert(&mut self, frame: Frame<'_>) -> Result<FrameId, Full> {
        let file = self.text(frame.file)?;
        let function = match frame.function {
            Some(name) => self.text(name)?,
            None => TextId::NONE,
        };
        let line = frame.line;
        self.frame(TextFrame {
            function,
            file,
            line,
        })
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<TextId, Full> {
        self.texts.insert(text)
    }

    pub(crate) fn frame(&mut self, frame: TextFrame) -> Result<FrameId, Full> {
        self.frames.insert(&frame)
    }

    pub(crate) fn into_frames(self) -> Frames {
        Frames {
            texts: self.texts.into_values().shrunk(),
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
    pub(crate) fn new(interner: Interner) -> Self {
        Self {
            interner,
            cache: vec![(&[][..], FrameId(0)); 1 << CACHE_BITS].into_boxed_slice(),
            not_utf8: false,
        }
    }

    /// The number of distinct frames.
    pub(crate) fn len(&self) -> usize {
        self.interner.frames.len()
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
        let name = frame.file();
        // Only a name with replaced bytes is owned.
        self.not_utf8 |= matches!(name, Cow::Owned(_));
        let id = self.interner.insert(Frame::new(&name, frame.line()))?;
        if let Some(cached) = self.cache.get_mut(slot) {
            *cached = (frame.record(), id);
        }
        Ok(id)
    }

    pub(crate) fn into_interner(self) -> Interner {
        self.interner
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
        let in_function = Frame::new("a", 1).in_function("a");
        assert_eq!(interner.insert(in_function).unwrap(), FrameId(4));
        let frames = interner.into_frames();
        assert_eq!(frames.len(), 5);
        assert_eq!(frames.get(FrameId(4)), Some(in_function));
        assert_eq!(frames.get(FrameId(2)), Some(Frame::new("a", 2)));
        assert_eq!(frames.get(FrameId(3)), Some(Frame::new("", 0)));
        assert_eq!(frames.get(FrameId(5)), None);
        let mut again = Interner::of(frames);
        assert_eq!(again.insert(in_function).unwrap(), FrameId(4));
        assert_eq!(again.insert(Frame::new("b", 2)).unwrap(), FrameId(5));
    }
}
