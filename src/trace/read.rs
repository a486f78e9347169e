//! [`TraceTable::from_log`]: reads the stacks of a `.hpm` file.
//!
//! A file repeats every frame of every stack in full, innermost first. But a stack agrees with the previous stack
//! from the program's entry up to the last few frames (95 % of the frames of a real program), and so do the bytes
//! up to the end of the trace:
//!
//! ```text
//!   previous  read:7  work:2 main:1 0
//!   current   parse:9 work:2 main:1 0
//!                     └─ same bytes to the end of the trace: same frames, same node of the tree
//! ```
//!
//! So the reader decodes a trace only up to the first frame from which on its bytes equal the end of the previous
//! trace.
//!
//! PERF: decoding all frames takes 3x (pylint) to 3.7x (docutils) the time; cargo bench --bench ratios -- FILEBASE,
//! row `intern_of_sum`. Where a frame recurs in the previous stack, only its innermost level is compared.

use super::{Table, TraceTable};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::{FrameId, TraceId};
use crate::id_vec::IdVec;
use crate::intern::RecordInterner;
use crate::raw::{RawFrame, TraceLog};
use crate::tree::{NodeId, ROOT, TreeBuilder};

/// A low estimate of the bytes of a file for each node of its tree. Real programs have 850 to 1500.
///
/// PERF: a tree that grows from nothing takes 1.2x the time on docutils; cargo bench --bench ratios -- FILEBASE,
/// row `intern_of_sum`.
const BYTES_PER_NODE: usize = 768;

/// A frame of the previous stack.
#[derive(Debug, Clone, Copy)]
struct Level {
    frame: FrameId,
    node: NodeId,
    /// The number of bytes from the first byte of the frame to the end of the trace.
    rest: usize,
}

struct TableReader<'a> {
    bytes: &'a [u8],
    interner: RecordInterner<'a>,
    tree: TreeBuilder,
    /// The previous stack, outermost first.
    previous: Vec<Level>,
    /// The index in `previous` at which each frame was last pushed. The level there may have changed since.
    last_level: IdVec<FrameId, u32>,
    /// The decoded frames of the current stack and their offsets, innermost first.
    decoded: Vec<(FrameId, usize)>,
}

impl TraceTable {
    /// Reads all traces of a `.hpm` file.
    ///
    /// Of a cut or damaged file it keeps every whole trace before the damage, and [reports](Self::damage) the
    /// damage. One pass; O(bytes of the file).
    pub fn from_log(log: &TraceLog<'_>) -> Self {
        let mut reader = TableReader {
            bytes: log.bytes,
            interner: RecordInterner::new(),
            tree: TreeBuilder::with_capacity(log.bytes.len() / BYTES_PER_NODE),
            previous: Vec::new(),
            last_level: IdVec::new(),
            decoded: Vec::new(),
        };
        let mut damage: Vec<DecodeError> = log.header_damage().into_iter().collect();
        let mut not_utf8 = None;
        let mut leaves = Vec::new();
        let mut at = log.header.first_trace;
        while at < reader.bytes.len() {
            let error = |kind| DecodeError::new(FileKind::Hpm, at as u64, kind);
            // An empty trace is one byte on disk and four in memory.
            let read = match leaves.try_reserve(1) {
                Ok(()) if leaves.len() < TraceId::MAX.get() as usize => reader.trace(at),
                _ => Err(Kind::TooManyTraces),
            };
            match read {
                Ok((leaf, end)) => {
                    leaves.push(leaf);
                    if reader.interner.not_utf8 {
                        not_utf8.get_or_insert(error(Kind::NotUtf8));
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
        let frames = reader.interner.into_frames();
        Self::new(Table {
            damage,
            ..Table::new(frames, reader.tree, leaves)
        })
    }
}

impl TableReader<'_> {
    /// Reads the trace at `start`, where the previous one ends. Returns its node and its end.
    fn trace(&mut self, start: usize) -> Result<(NodeId, usize), Kind> {
        let (shared, end) = self.decode(start)?;
        self.previous.truncate(shared);
        let mut node = self.previous.last().map_or(ROOT, |level| level.node);
        for &(frame, offset) in self.decoded.iter().rev() {
            node = self.tree.child(node, frame)?;
            let index = u32::try_from(self.previous.len()).unwrap_or(u32::MAX);
            self.last_level.set(frame, index);
            self.previous.push(Level {
                frame,
                node,
                rest: end - offset,
            });
        }
        Ok((node, end))
    }

    /// Decodes the trace at `start` up to the bytes that equal the end of the previous trace. Returns the number of
    /// frames that these bytes are, and the end of the trace.
    fn decode(&mut self, start: usize) -> Result<(usize, usize), Kind> {
        self.decoded.clear();
        let mut at = start;
        // Bounds the bytes that are compared in vain by those of both traces, so that reading stays linear.
        let mut budget = self.previous.last().map_or(0, |innermost| innermost.rest);
        loop {
            let (frame, next) = RawFrame::read(self.bytes, at)?;
            let Some(frame) = frame else {
                return Ok((0, next));
            };
            let frame = self.interner.insert(frame)?;
            if frame.index() == self.last_level.len() {
                self.last_level.push(0);
            }
            let index = self.last_level.get(frame) as usize;
            if let Some(level) = self.previous.get(index)
                && level.frame == frame
                && level.rest <= budget
            {
                if self.equals_end(at, start, level.rest) {
                    return Ok((index + 1, at + level.rest));
                }
                budget -= level.rest;
            }
            self.decoded.push((frame, at));
            budget += 4 * (next - at);
            at = next;
        }
    }

    /// Whether the `len` bytes at `at` equal those that end at `end`.
    fn equals_end(&self, at: usize, end: usize, len: usize) -> bool {
        let current = self.bytes.get(at..).and_then(|rest| rest.get(..len));
        let previous = self.bytes.get(..end);
        current.is_some_and(|current| previous.is_some_and(|it| it.ends_with(current)))
    }
}
