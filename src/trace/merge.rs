//! [`MergedTraces`]: the stacks of several recordings in one table.

use hashbrown::HashMap;

use super::{Table, TraceTable};
use crate::error::Taint;
use crate::id::{FrameId, TraceId};
use crate::id_vec::IdVec;
use crate::intern::Interner;
use crate::tree::{NodeId, ROOT, TreeBuilder};
use crate::usage::Usage;

/// Several tables merged into one, in which equal stacks are one trace: for the processes of a job, or for runs
/// before and after a change.
///
/// Each recording has its own trace ids. [`usage`](Self::usage) translates a usage to the ids of the merged
/// table. Translated usages of several recordings can be added, subtracted, and shown side by side.
///
/// ```
/// use heapprof::view::{FlowGraph, MergedTraces};
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
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
    /// For each table, the merged id of each of its traces.
    ids: Vec<Box<[Option<TraceId>]>>,
}

impl MergedTraces {
    /// Merges tables. O(nodes of their call trees); memory: the merged table, and 4 bytes for each trace of each
    /// table. If a table is [damaged](TraceTable::is_damaged), the merged table is damaged too, but does not
    /// repeat the [damage](TraceTable::damage).
    ///
    /// Traces after the first 2³⁰ − 1 distinct stacks or 2³² − 2 nodes count as unknown.
    pub fn new<'t>(tables: impl IntoIterator<Item = &'t TraceTable>) -> Self {
        let mut interner = Interner::default();
        let mut tree = TreeBuilder::new();
        let mut leaves = Vec::new();
        let mut trace_of: HashMap<NodeId, TraceId> = HashMap::new();
        let mut damaged = Taint(false);
        let ids = tables
            .into_iter()
            .map(|table| {
                damaged = damaged | table.damaged();
                let nodes = merge_nodes(table, &mut interner, &mut tree);
                let mut merge_trace = |&leaf: &NodeId| {
                    let node = nodes.get(leaf)?;
                    if let Some(&known) = trace_of.get(&node) {
                        return Some(known);
                    }
                    let id = TraceId::new(u32::try_from(leaves.len() + 1).ok()?)?;
                    leaves.push(node);
                    trace_of.insert(node, id);
                    Some(id)
                };
                table.0.leaves.iter().map(&mut merge_trace).collect()
            })
            .collect();
        let table = TraceTable::new(Table {
            damaged,
            ..Table::new(interner.into_frames(), tree, leaves)
        });
        Self { table, ids }
    }

    /// The stacks of all tables: those of the first in its order, then those that each other table adds.
    pub fn table(&self) -> &TraceTable {
        &self.table
    }

    /// The merged id of a trace of a table. Tables count from 0. `None` if the table does not have the trace.
    pub fn trace(&self, table: usize, trace: TraceId) -> Option<TraceId> {
        *self.ids.get(table)?.get(trace.get() as usize - 1)?
    }

    /// A usage of a table in the merged ids. Tables count from 0. Traces that the table does not have become
    /// unknown, and so do all of a table that was not given. O(n log n) for n rows.
    pub fn usage(&self, table: usize, usage: &Usage) -> Usage {
        let translated: Usage = usage
            .by_trace()
            .map(|(trace, weight)| (trace.and_then(|trace| self.trace(table, trace)), weight))
            .collect();
        translated.marked(usage.damaged())
    }
}

/// Inserts all nodes of a table into `tree`. Returns the new node of each; `None` if there are too many.
fn merge_nodes(
    table: &TraceTable,
    interner: &mut Interner,
    tree: &mut TreeBuilder,
) -> IdVec<NodeId, Option<NodeId>> {
    let frames = table.frames().map(|(_, frame)| interner.insert(frame).ok());
    let frames: IdVec<FrameId, Option<FrameId>> = frames.collect();
    table.tree().map_nodes(Some(ROOT), |parent, frame| {
        tree.child(parent?, frames.get(frame)?).ok()
    })
}
