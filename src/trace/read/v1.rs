//! Reads traces of version 1: stacks whose beginnings repeat.
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

use super::TableBuilder;
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::intern::RecordInterner;
use crate::raw::hpm::{TableEnd, v1};
use crate::raw::{TraceLog, TracePosition};
use crate::tree::{NodeId, ROOT, TreeBuilder};

/// A low estimate of the bytes of a file for each node of its tree. Real programs have 850 to 1500.
///
/// PERF: a tree that grows from nothing takes 1.2x the time on docutils; cargo bench --bench ratios -- FILEBASE,
/// row `intern_of_sum`.
pub(super) const BYTES_PER_NODE: usize = 768;

/// A frame of the previous stack.
#[derive(Debug, Clone, Copy)]
struct Level {
    frame: FrameId,
    node: NodeId,
    /// The number of bytes from the first byte of the frame to the end of the trace.
    rest: usize,
}

struct StackReader<'a> {
    bytes: &'a [u8],
    interner: RecordInterner<'a>,
    /// The previous stack, outermost first.
    previous: Vec<Level>,
    /// The index in `previous` at which each frame was last pushed. The level there may have changed since.
    last_level: IdVec<FrameId, u32>,
    /// The decoded frames of the current stack and their offsets, innermost first.
    decoded: Vec<(FrameId, usize)>,
}

impl TableBuilder {
    /// Reads the traces from `end` on. Returns the end of the last whole one.
    pub(super) fn read_v1(&mut self, log: &TraceLog<'_>, end: TableEnd) -> TableEnd {
        let interner = RecordInterner::new(std::mem::take(&mut self.interner));
        let mut reader = StackReader {
            bytes: log.bytes,
            last_level: IdVec::defaults(interner.len()),
            interner,
            previous: Vec::new(),
            decoded: Vec::new(),
        };
        let mut at = usize::try_from(end.offset).unwrap_or(usize::MAX);
        while at < log.bytes.len() {
            let read = reader.trace(&mut self.tree, at);
            match read.and_then(|(leaf, end)| self.add_trace(leaf).map(|()| end)) {
                Ok(end) => {
                    if reader.interner.not_utf8 {
                        self.note_not_utf8(at);
                    }
                    at = end;
                }
                Err(kind) => {
                    let error = DecodeError::new(FileKind::Hpm, at as u64, kind);
                    self.damage.push(error);
                    break;
                }
            }
        }
        self.interner = reader.interner.into_interner();
        let traces = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        TableEnd::of_traces(TracePosition::new(at as u64, traces))
    }
}

impl StackReader<'_> {
    /// Reads the trace at `start`, where the previous one ends. Returns its node and its end.
    fn trace(&mut self, tree: &mut TreeBuilder, start: usize) -> Result<(NodeId, usize), Kind> {
        let (shared, end) = self.decode(start)?;
        self.previous.truncate(shared);
        let mut node = self.previous.last().map_or(ROOT, |level| level.node);
        for &(frame, offset) in self.decoded.iter().rev() {
            node = tree.child(node, frame)?;
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
            let (frame, next) = v1::frame_at(self.bytes, at)?;
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
