//! [`CompactTable`]: all records of a file of version 2, for access to any trace.

use std::fmt;

use super::{Defined, Record, Records};
use crate::error::DecodeError;
use crate::raw::hpm::frame::RawFrame;

/// The records of a file. Texts are borrowed from it.
#[derive(Default)]
pub(crate) struct CompactTable<'a> {
    bytes: &'a [u8],
    texts: Vec<&'a [u8]>,
    frames: Vec<(Option<u32>, u32, u32)>,
    /// The parent and the frame of each node but the root.
    nodes: Vec<(u32, u32)>,
    /// The innermost node of each trace, and the offset of its record.
    traces: Vec<(u32, u64)>,
    damage: Option<DecodeError>,
}

impl<'a> CompactTable<'a> {
    /// Reads all whole records. O(bytes).
    pub(crate) fn new(bytes: &'a [u8], first_record: usize) -> Self {
        let mut table = Self {
            bytes,
            ..Self::default()
        };
        for record in Records::new(bytes, first_record, Defined::default()) {
            let (offset, record) = match record {
                Ok(record) => record,
                Err(error) => {
                    table.damage = Some(error);
                    break;
                }
            };
            match record {
                Record::Text(text) => table.texts.push(text),
                Record::Frame {
                    function,
                    file,
                    line,
                } => table.frames.push((function, file, line)),
                Record::Node { parent, frame } => table.nodes.push((parent, frame)),
                Record::Trace { node } => table.traces.push((node, offset as u64)),
            }
        }
        table
    }

    /// The number of traces.
    pub(crate) fn len(&self) -> usize {
        self.traces.len()
    }

    /// The innermost node of a trace, and the offset of its record.
    pub(crate) fn trace(&self, index: usize) -> Option<(u32, u64)> {
        self.traces.get(index).copied()
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the records end early, and why.
    pub(crate) fn damage(&self) -> Option<DecodeError> {
        self.damage
    }

    /// The last frame of a node's stack, and its parent; `None` for the root.
    pub(crate) fn node(&self, node: u32) -> Option<(RawFrame<'a>, u32)> {
        let &(parent, frame) = self.nodes.get((node as usize).checked_sub(1)?)?;
        let &(function, file, line) = self.frames.get(frame as usize)?;
        let text = |text: u32| self.texts.get(text as usize).copied();
        let function = function.map(text).unwrap_or_default();
        Some((RawFrame::of_texts(function, text(file)?, line), parent))
    }
}

impl fmt::Debug for CompactTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactTable")
            .field("traces", &self.len())
            .finish_non_exhaustive()
    }
}
