//! Gives each distinct line of code a dense number, and keeps each distinct file name once.
//!
//! Real programs have a few thousand distinct lines in hundreds of thousands of frames, and a
//! `.hpm` file repeats the name in each. So a frame on its way to its number passes three doors:
//!
//! ```text
//!   bytes of the frame ──► recent    a small direct-mapped cache; compares all bytes
//!                          files     a hash map from the bytes of the name; two spellings of one
//!                                    name (bytes that are no UTF-8) end up the same
//!                          frames    a hash map from (file, line)
//! ```

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::frame::Frame;
use crate::id::FrameId;
use crate::raw::RawFrame;

/// The distinct lines of a table, by their number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    names: Names,
    /// For each frame its file and its line.
    frames: Vec<(u32, u32)>,
}

impl Frames {
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn get(&self, id: FrameId) -> Option<Frame<'_>> {
        let &(file, line) = self.frames.get(id.index())?;
        Some(Frame::new(self.names.get(file)?, line))
    }
}

/// Strings by their number, one after the other in one allocation.
#[derive(Debug, Clone, Default)]
struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    fn get(&self, number: u32) -> Option<&str> {
        let number = number as usize;
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..*self.ends.get(number)?)
    }
}

/// There are more than 2³² − 1 distinct lines or files.
#[derive(Debug)]
pub(crate) struct Full;

/// Finds the number of a line, or gives it the next.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    frames: Frames,
    hasher: DefaultHashBuilder,
    file_numbers: HashTable<u32>,
    frame_numbers: HashMap<(u32, u32), u32>,
}

impl Interner {
    /// The number of a line, and whether it is new.
    pub(crate) fn frame(&mut self, frame: Frame<'_>) -> Result<(FrameId, bool), Full> {
        let file = self.file(frame.file)?;
        self.line(file, frame.line)
    }

    /// The same of a file whose number is known.
    fn line(&mut self, file: u32, line: u32) -> Result<(FrameId, bool), Full> {
        let next = self.frames.frames.len();
        match self.frame_numbers.entry((file, line)) {
            Entry::Occupied(known) => Ok((FrameId(*known.get()), false)),
            Entry::Vacant(vacant) => {
                let number = u32::try_from(next).map_err(|_| Full)?;
                vacant.insert(number);
                self.frames.frames.push((file, line));
                Ok((FrameId(number), true))
            }
        }
    }

    fn file(&mut self, name: &str) -> Result<u32, Full> {
        let names = &mut self.frames.names;
        let hash = self.hasher.hash_one(name);
        if let Some(&known) = self
            .file_numbers
            .find(hash, |&number| names.get(number) == Some(name))
        {
            return Ok(known);
        }
        let number = u32::try_from(names.ends.len()).map_err(|_| Full)?;
        names.text.push_str(name);
        names.ends.push(names.text.len());
        self.file_numbers.insert_unique(hash, number, |&number| {
            self.hasher.hash_one(names.get(number).unwrap_or_default())
        });
        Ok(number)
    }

    pub(crate) fn into_frames(mut self) -> Frames {
        self.frames.names.text.shrink_to_fit();
        self.frames.names.ends.shrink_to_fit();
        self.frames.frames.shrink_to_fit();
        self.frames
    }
}

/// How many places the cache of recent frames has, as a power of two.
const RECENT_BITS: u32 = 12;

/// Finds the number of a frame from its bytes in a `.hpm` file.
#[derive(Debug)]
pub(crate) struct RecordInterner<'a> {
    interner: Interner,
    recent: Box<[Known<'a>]>,
    /// The number of each file by the bytes of its name.
    files: HashMap<&'a [u8], u32>,
}

/// The bytes of a frame where it was met last, which are still in a cache then; no frame has none.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    record: &'a [u8],
    id: FrameId,
}

impl<'a> RecordInterner<'a> {
    pub(crate) fn new() -> Self {
        let nothing = Known {
            record: &[],
            id: FrameId(0),
        };
        Self {
            interner: Interner::default(),
            recent: vec![nothing; 1 << RECENT_BITS].into_boxed_slice(),
            files: HashMap::new(),
        }
    }

    /// The number of the frame, and whether its name is the first with other bytes than UTF-8.
    #[inline]
    pub(crate) fn frame(&mut self, frame: RawFrame<'a>) -> Result<(FrameId, bool), Full> {
        let place = recent_place(frame);
        if let Some(known) = self.recent.get_mut(place)
            && known.record == frame.record()
        {
            known.record = frame.record();
            return Ok((known.id, false));
        }
        self.seldom(frame, place)
    }

    #[inline(never)]
    fn seldom(&mut self, frame: RawFrame<'a>, place: usize) -> Result<(FrameId, bool), Full> {
        let mut not_utf8 = false;
        let file = match self.files.entry(frame.file_bytes()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let name = frame.file_name();
                // Bytes that are UTF-8 are borrowed as they are.
                not_utf8 = matches!(name, Cow::Owned(_));
                *vacant.insert(self.interner.file(&name)?)
            }
        };
        let (id, _) = self.interner.line(file, frame.line())?;
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = Known {
                record: frame.record(),
                id,
            };
        }
        Ok((id, not_utf8))
    }

    pub(crate) fn into_frames(self) -> Frames {
        self.interner.into_frames()
    }
}

/// Where in the cache a frame would be: from its line, and from the end and length of its name,
/// which tell names apart better than their beginnings.
#[inline]
fn recent_place(frame: RawFrame<'_>) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / φ
    let tail = match frame.record().last_chunk() {
        Some(tail) => u64::from_le_bytes(*tail),
        None => 0,
    };
    let line = u64::from(frame.line()) << 8 | (frame.record().len() as u64 & 0xff);
    let mixed = (tail ^ line.wrapping_mul(SPREAD)).wrapping_mul(SPREAD);
    (mixed >> (u64::BITS - RECENT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_in_the_order_of_meeting() {
        let mut interner = Interner::default();
        let lines = [("a", 1), ("b", 1), ("a", 1), ("a", 2), ("", 0), ("b", 1)];
        let numbers: Vec<_> = lines
            .into_iter()
            .map(|(file, line)| {
                let (id, new) = interner.frame(Frame::new(file, line)).unwrap();
                (id.index(), new)
            })
            .collect();
        assert_eq!(
            numbers,
            [
                (0, true),
                (1, true),
                (0, false),
                (2, true),
                (3, true),
                (1, false)
            ]
        );
        let frames = interner.into_frames();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames.get(FrameId(2)), Some(Frame::new("a", 2)));
        assert_eq!(frames.get(FrameId(3)), Some(Frame::new("", 0)));
        assert_eq!(frames.get(FrameId(4)), None);
    }
}
