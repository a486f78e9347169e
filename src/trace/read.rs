//! From a `.hpm` file to a table, at nearly the speed of comparing bytes.
//!
//! A file names every frame of every stack in full, innermost first. But one stack agrees with the
//! one before from the program's entry up to the last few frames (95 % of the frames of a real
//! program), and so do the bytes, up to the end of the trace:
//!
//! ```text
//!   before   read:7  work:2 main:1 0
//!   now      parse:9 work:2 main:1 0
//!                    └─ the same bytes: the same stack
//! ```
//!
//! So frames are decoded only until one comes that stood in the stack before, and whose bytes, with
//! all that follow, are those that stood there. The tree has a node for that place already.

use super::{Table, TraceTable};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::{FrameId, TraceId};
use crate::intern::RecordInterner;
use crate::raw::{RawFrame, TraceLog};
use crate::tree::{ROOT, TreeBuilder};

/// At how many places of the stack before a frame is looked for that recurs there.
const TRIES: usize = 4;

/// How many bytes of a file there are for a node of the tree, about: in real programs 850 and 1500.
/// To grow a map again and again takes as long as to fill it.
const BYTES_A_NODE: usize = 768;

/// No level.
const NONE: u32 = u32::MAX;

/// One frame of the stack that was read last.
#[derive(Debug, Clone, Copy)]
struct Level {
    frame: FrameId,
    node: u32,
    /// From the first byte of the frame to the end of the trace.
    rest: usize,
    /// The next level further out with the same frame.
    recurs: u32,
}

struct TableReader<'a> {
    bytes: &'a [u8],
    interner: RecordInterner<'a>,
    tree: TreeBuilder,
    /// The stack that was read last, outermost first.
    levels: Vec<Level>,
    /// Of each frame the innermost of these levels that has it.
    level_of: Vec<u32>,
    /// The frames that were decoded of the stack that is read, innermost first, and where they
    /// begin.
    decoded: Vec<(FrameId, usize)>,
    /// Whether a name was not UTF-8.
    not_utf8: bool,
}

impl TraceTable {
    /// Reads all traces of a `.hpm` file.
    ///
    /// A cut or damaged file keeps every whole trace before the damage, and [says
    /// so](Self::damage). One pass; O(bytes of the file).
    pub fn from_log(log: &TraceLog<'_>) -> Self {
        let mut reader = TableReader {
            bytes: log.bytes(),
            interner: RecordInterner::new(),
            tree: TreeBuilder::with_room(log.bytes().len() / BYTES_A_NODE),
            levels: Vec::new(),
            level_of: Vec::new(),
            decoded: Vec::new(),
            not_utf8: false,
        };
        let mut damage: Vec<DecodeError> = log.header_damage().into_iter().collect();
        let mut not_utf8 = None;
        let mut leaves = Vec::new();
        let mut at = log.first_trace();
        while at < reader.bytes.len() {
            // A trace can be a single byte.
            let full =
                leaves.len() >= TraceId::MAX.get() as usize || leaves.try_reserve(1).is_err();
            let read = if full {
                Err(Kind::TooManyTraces)
            } else {
                reader.trace(at)
            };
            let error = |kind| DecodeError::new(FileKind::Hpm, at as u64, kind);
            match read {
                Ok((leaf, end)) => {
                    leaves.push(leaf);
                    if reader.not_utf8 && not_utf8.is_none() {
                        not_utf8 = Some(error(Kind::NotUtf8));
                    }
                    at = end;
                }
                Err(kind) => {
                    damage.push(error(kind));
                    break;
                }
            }
        }
        damage.extend(not_utf8);
        damage.sort_by_key(DecodeError::offset);
        let tree = reader.tree.finish(&mut leaves);
        Self::new(Table {
            frames: reader.interner.into_frames(),
            tree,
            leaves: leaves.into_boxed_slice(),
            damage,
            ..Table::default()
        })
    }
}

impl TableReader<'_> {
    /// The node of the trace at `start`, and where the next trace begins.
    fn trace(&mut self, start: usize) -> Result<(u32, usize), Kind> {
        let (shared, end) = self.decode(start)?;
        for left in self.levels.drain(shared.min(self.levels.len())..).rev() {
            if let Some(level) = self.level_of.get_mut(left.frame.index()) {
                *level = left.recurs;
            }
        }
        let mut node = self.levels.last().map_or(ROOT, |level| level.node);
        for &(frame, begin) in self.decoded.iter().rev() {
            node = self
                .tree
                .child(node, frame)
                .map_err(|_| Kind::TooManyFrames)?;
            let here = u32::try_from(self.levels.len()).unwrap_or(NONE);
            let recurs = match self.level_of.get_mut(frame.index()) {
                Some(level) => std::mem::replace(level, here),
                None => NONE,
            };
            self.levels.push(Level {
                frame,
                node,
                rest: end - begin,
                recurs,
            });
        }
        Ok((node, end))
    }

    /// Decodes frames of the trace at `start` until the rest is that of the stack before: how many
    /// of its levels stay, and where the trace ends.
    fn decode(&mut self, start: usize) -> Result<(usize, usize), Kind> {
        self.decoded.clear();
        let mut at = start;
        // Comparing in vain must not cost more than decoding, however long the stacks.
        let mut allowed = self.levels.last().map_or(0, |innermost| innermost.rest);
        loop {
            let (frame, next) = RawFrame::read(self.bytes, at)?;
            let Some(frame) = frame else {
                return Ok((0, next));
            };
            let (id, not_utf8) = self
                .interner
                .frame(frame)
                .map_err(|_| Kind::TooManyFrames)?;
            self.not_utf8 |= not_utf8;
            if id.index() >= self.level_of.len() {
                self.level_of.resize(id.index() + 1, NONE);
            }
            let mut place = self.level_of.get(id.index()).copied().unwrap_or(NONE);
            for _ in 0..TRIES {
                let Some(level) = self.levels.get(place as usize) else {
                    break;
                };
                if level.rest > allowed {
                    break;
                }
                if self.follows(at, start, level.rest) {
                    return Ok((place as usize + 1, at + level.rest));
                }
                allowed -= level.rest;
                place = level.recurs;
            }
            self.decoded.push((id, at));
            allowed += 4 * (next - at);
            at = next;
        }
    }

    /// Whether the bytes at `at` are the last `len` of the trace that ends at `end`.
    fn follows(&self, at: usize, end: usize, len: usize) -> bool {
        let known = end
            .checked_sub(len)
            .and_then(|begin| self.bytes.get(begin..end));
        known.is_some() && known == self.bytes.get(at..).and_then(|rest| rest.get(..len))
    }
}
