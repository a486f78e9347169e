//! Reads traces of version 2: a walk over the records, which are the nodes of the call tree.

use std::borrow::Cow;

use super::TableBuilder;
use crate::error::DecodeErrorKind as Kind;
use crate::error::{DecodeError, FileKind};
use crate::id::FrameId;
use crate::intern::{TextFrame, TextId};
use crate::raw::TraceLog;
use crate::raw::hpm::TableEnd;
use crate::raw::hpm::v2::Record;
use crate::tree::{NodeId, ROOT};

/// A low estimate of the bytes of a file for each node of its tree. Real programs have 4.4 to 5.4.
pub(super) const BYTES_PER_NODE: usize = 4;

/// The ids that a table gave to the items of a file, in the order of the file. A file can define equal items more than
/// once. Empty for version 1.
#[derive(Debug, Clone, Default)]
pub(in crate::trace) struct FileIds {
    texts: Vec<TextId>,
    frames: Vec<FrameId>,
    /// Without the root.
    nodes: Vec<NodeId>,
}

impl FileIds {
    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut NodeId> {
        self.nodes.iter_mut()
    }

    /// Frees spare capacity.
    pub(super) fn shrink(&mut self) {
        self.texts.shrink_to_fit();
        self.frames.shrink_to_fit();
        self.nodes.shrink_to_fit();
    }

    fn text(&self, number: u32) -> TextId {
        let text = self.texts.get(number as usize).copied();
        text.unwrap_or(TextId::NONE) // never: the record was checked
    }

    fn node(&self, number: u32) -> NodeId {
        let index = (number as usize).checked_sub(1);
        let node = index.and_then(|index| self.nodes.get(index)).copied();
        node.unwrap_or(ROOT)
    }
}

impl TableBuilder {
    /// Reads the records from `end` on. Returns the end of the last whole one.
    pub(super) fn read_v2(
        &mut self,
        log: &TraceLog<'_>,
        end: TableEnd,
        ids: &mut FileIds,
    ) -> TableEnd {
        let at = usize::try_from(end.offset).unwrap_or(usize::MAX);
        let mut records = log.records(at, end.defined);
        loop {
            let end = TableEnd::of_records(&records);
            let Some(record) = records.next() else {
                return end;
            };
            let added = record.and_then(|(offset, record)| {
                let error = |kind| DecodeError::new(FileKind::Hpm, offset as u64, kind);
                self.add_record(record, offset, ids).map_err(error)
            });
            if let Err(error) = added {
                self.damage.push(error);
                return end;
            }
        }
    }

    fn add_record(
        &mut self,
        record: Record<'_>,
        offset: usize,
        ids: &mut FileIds,
    ) -> Result<(), Kind> {
        match record {
            Record::Text(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                // Only a text with replaced bytes is owned.
                if matches!(text, Cow::Owned(_)) {
                    self.note_not_utf8(offset);
                }
                ids.texts.push(self.interner.text(&text)?);
            }
            Record::Frame {
                function,
                file,
                line,
            } => ids.frames.push(self.interner.frame(TextFrame {
                function: function.map_or(TextId::NONE, |function| ids.text(function)),
                file: ids.text(file),
                line,
            })?),
            Record::Node { parent, frame } => {
                let frame = ids.frames.get(frame as usize).copied();
                let frame = frame.unwrap_or(FrameId(u32::MAX)); // never: the record was checked
                ids.nodes.push(self.tree.child(ids.node(parent), frame)?);
            }
            Record::Trace { node } => self.add_trace(ids.node(node))?,
        }
        Ok(())
    }
}
