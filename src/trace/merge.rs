//! Several recordings in one table: the processes of a job, the runs of a fleet, before and after.

use hashbrown::HashMap;

use super::{Table, TraceTable};
use crate::error::Damaged;
use crate::id::{FrameId, TraceId};
use crate::intern::Interner;
use crate::tree::{ROOT, TreeBuilder};
use crate::usage::Usage;

/// Several tables as one: the same stacks are one trace.
///
/// Each recording has trace ids of its own. [`usage`](Self::usage) translates what is said in them,
/// and then usages of several recordings can be added, subtracted, and seen side by side.
///
/// ```
/// use heapprof::{Frame, FlowGraph, MergedTraces, TraceId, TraceTable, Usage};
///
/// let (main, a, b) = (Frame::new("main.py", 1), Frame::new("a.py", 2), Frame::new("b.py", 3));
/// let monday = TraceTable::from_iter([[main, a], [main, b]]);
/// let tuesday = TraceTable::from_iter([[main, b]]);
/// let merged = MergedTraces::new([&monday, &tuesday]);
///
/// let before = Usage::from_iter([(TraceId::new(1), 10), (TraceId::new(2), 200)]);
/// let after = Usage::from_iter([(TraceId::new(1), 500)]);
/// let growth = merged.usage(1, &after) - merged.usage(0, &before);
/// assert_eq!(growth.get(TraceId::new(2)), 300); // main, b
/// assert_eq!(growth.get(TraceId::new(1)), -10);
/// assert_eq!(merged.table().len(), 2);
/// ```
#[doc(alias = "diff_base")]
#[derive(Debug, Clone)]
pub struct MergedTraces {
    table: TraceTable,
    /// For each table, the trace that each of its traces has become.
    ids: Vec<Box<[Option<TraceId>]>>,
}

impl MergedTraces {
    /// Merges tables. O(nodes of their call trees); memory 4 bytes a trace of each of them, besides
    /// the new table. If one of them is [damaged](TraceTable::is_damaged), the new one is; what is wrong
    /// is for that one to [say](TraceTable::damage).
    ///
    /// Over 2³⁰ − 1 distinct stacks, or 2³² − 2 nodes, what is left counts as unknown.
    pub fn new<'t>(tables: impl IntoIterator<Item = &'t TraceTable>) -> Self {
        let mut interner = Interner::default();
        let mut tree = TreeBuilder::new();
        // For each distinct stack its node; and the trace of each node.
        let mut leaves = Vec::new();
        let mut traces: HashMap<u32, TraceId> = HashMap::new();
        let mut damaged = Damaged(false);
        let ids = tables
            .into_iter()
            .map(|table| {
                damaged = damaged | table.damaged();
                let frames: Vec<Option<FrameId>> = table
                    .frames()
                    .map(|(_, frame)| interner.frame(frame).ok().map(|(id, _)| id))
                    .collect();
                let old = table.tree();
                let mut nodes = vec![Some(ROOT); old.len()];
                let places = old.parents().iter().zip(old.frames()).enumerate();
                for (place, (&parent, frame)) in places.skip(1) {
                    let above = nodes.get(parent as usize).copied().flatten();
                    let frame = frames.get(frame.index()).copied().flatten();
                    if let Some(here) = nodes.get_mut(place) {
                        *here = above
                            .zip(frame)
                            .and_then(|(above, frame)| tree.child(above, frame).ok());
                    }
                }
                let leaves_before = table.0.leaves.iter();
                leaves_before
                    .map(|&leaf| {
                        let node = nodes.get(leaf as usize).copied().flatten()?;
                        if let Some(&known) = traces.get(&node) {
                            return Some(known);
                        }
                        let id = u32::try_from(leaves.len() + 1)
                            .ok()
                            .and_then(TraceId::new)?;
                        leaves.push(node);
                        traces.insert(node, id);
                        Some(id)
                    })
                    .collect()
            })
            .collect();
        let tree = tree.finish(&mut leaves);
        let table = TraceTable::new(Table {
            frames: interner.into_frames(),
            tree,
            leaves: leaves.into_boxed_slice(),
            damaged,
            ..Table::default()
        });
        Self { table, ids }
    }

    /// The stacks of all tables: those of the first in its order, then what the others add.
    pub fn table(&self) -> &TraceTable {
        &self.table
    }

    /// What the trace of one of the tables, counted from 0, is in the merged one; `None` if that
    /// table does not have it.
    pub fn trace(&self, table: usize, trace: TraceId) -> Option<TraceId> {
        let place = trace.get() as usize - 1;
        *self.ids.get(table)?.get(place)?
    }

    /// A usage of one of the tables, counted from 0, in the ids of the merged one. A trace that its
    /// table does not have becomes unknown. O(n log n) for n rows.
    pub fn usage(&self, table: usize, usage: &Usage) -> Usage {
        let translated: Usage = usage
            .by_trace()
            .map(|(trace, weight)| (trace.and_then(|trace| self.trace(table, trace)), weight))
            .collect();
        translated.marked(usage.damaged())
    }
}
