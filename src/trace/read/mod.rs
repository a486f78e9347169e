//! [`TraceTable::from_log`]: reads the stacks of a `.hpm` file, all of them or those that an earlier table lacks.

mod v1;
mod v2;

use super::{Table, TraceTable};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::intern::Interner;
use crate::raw::TraceLog;
use crate::raw::hpm::TableEnd;
use crate::tree::{NodeId, TreeBuilder};

pub(super) use v2::FileIds;

/// The largest tree that is allocated because of the length of a file.
const MAX_GUESS: usize = 1 << 20;

/// A file that a table was read from: what is needed to read on when it has grown.
#[derive(Debug, Clone)]
pub(super) struct ReadFile {
    len: usize,
    end: TableEnd,
    ids: FileIds,
}

/// A table that is being read.
#[derive(Debug)]
struct TableBuilder {
    interner: Interner,
    tree: TreeBuilder,
    leaves: Vec<NodeId>,
    damage: Vec<DecodeError>,
    /// The first name that is not UTF-8.
    not_utf8: Option<DecodeError>,
}

impl TraceTable {
    /// Reads all whole traces of a file. O(bytes); memory: as [`TraceTable`]. Where the traces end early, and why, is in
    /// [`damage`](Self::damage).
    ///
    /// ```
    /// use heapprof::raw::TraceLog;
    /// use heapprof::TraceTable;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpm")?;
    /// let traces = TraceTable::from_log(&TraceLog::new(&bytes[..5000])?);
    /// assert_eq!((traces.len(), traces.damage().len()), (22, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_log(log: &TraceLog<'_>) -> Self {
        let bytes_per_node = if log.is_compact() {
            v2::BYTES_PER_NODE
        } else {
            v1::BYTES_PER_NODE
        };
        let nodes = log.bytes.len() / bytes_per_node;
        let builder = TableBuilder {
            interner: Interner::default(),
            tree: TreeBuilder::with_capacity(nodes.min(MAX_GUESS)),
            leaves: Vec::new(),
            damage: log.header_damage().into_iter().collect(),
            not_utf8: None,
        };
        builder.read(log, TableEnd::first(log), FileIds::default())
    }

    /// Extends this table by what its file has gained since. Reads only the new bytes. O(nodes + frames + traces + new
    /// bytes).
    pub(crate) fn extended(&self, log: &TraceLog<'_>) -> Self {
        let Some(file) = &self.0.file else {
            return Self::from_log(log);
        };
        if log.bytes.len() == file.len {
            return self.clone();
        }
        // What ended the table may be whole by now.
        let kept = self.damage().iter().filter(|error| error.is_kept());
        let (not_utf8, damage): (Vec<_>, Vec<_>) = kept
            .copied()
            .partition(|error| error.kind() == Kind::NotUtf8);
        let builder = TableBuilder {
            interner: Interner::of(self.0.frames.clone()),
            tree: TreeBuilder::of(self.tree()),
            leaves: self.0.leaves.to_vec(),
            damage,
            not_utf8: not_utf8.first().copied(),
        };
        builder.read(log, file.end, file.ids.clone())
    }

    /// Where the traces that were read end; `None` if the table is not read from a file.
    pub(crate) fn end(&self) -> Option<TableEnd> {
        self.0.file.as_ref().map(|file| file.end)
    }
}

impl TableBuilder {
    /// Reads on from `end`.
    fn read(mut self, log: &TraceLog<'_>, end: TableEnd, mut ids: FileIds) -> TraceTable {
        let end = if log.is_compact() {
            self.read_v2(log, end, &mut ids)
        } else {
            self.read_v1(log, end)
        };
        self.damage.extend(self.not_utf8);
        self.damage.sort_by_key(DecodeError::offset);
        let (tree, new_ids) = self.tree.finish();
        let nodes = self.leaves.iter_mut().chain(ids.nodes_mut());
        nodes.for_each(|node| *node = new_ids.get(*node));
        ids.shrink();
        TraceTable::new(Table {
            frames: self.interner.into_frames(),
            tree,
            leaves: self.leaves.into_boxed_slice(),
            damage: self.damage,
            file: Some(ReadFile {
                len: log.bytes.len(),
                end,
                ids,
            }),
            ..Table::default()
        })
    }

    /// Adds a trace, whose stack ends at `leaf`.
    fn add_trace(&mut self, leaf: NodeId) -> Result<(), Kind> {
        // An empty trace is one byte on disk and four in memory.
        if self.leaves.len() >= TraceId::MAX.get() as usize || self.leaves.try_reserve(1).is_err() {
            return Err(Kind::TooManyTraces);
        }
        self.leaves.push(leaf);
        Ok(())
    }

    /// Notes that a name of the record at `offset` is not UTF-8.
    fn note_not_utf8(&mut self, offset: usize) {
        let error = DecodeError::new(FileKind::Hpm, offset as u64, Kind::NotUtf8);
        self.not_utf8.get_or_insert(error);
    }
}
