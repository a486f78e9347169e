//! [`PerNode`]: a value for each node of the call tree, made from that of its parent and from its own line.
//! So one walk over the tree finds the traces that contain a line.

use crate::id::{FrameId, TraceId};
use crate::trace::TraceTable;
use crate::tree::ROOT;

/// A value for each node of a call tree.
#[derive(Debug)]
pub(super) struct PerNode<T> {
    values: Vec<T>,
    root: T,
}

impl<T: Copy> PerNode<T> {
    /// `derive` makes the value of a node from its parent's value and the node's line. O(nodes).
    pub(super) fn new(
        traces: &TraceTable,
        root: T,
        mut derive: impl FnMut(T, FrameId) -> T,
    ) -> Self {
        let tree = traces.tree();
        let mut nodes = Self {
            values: Vec::with_capacity(tree.len()),
            root,
        };
        nodes.values.push(root);
        for (&parent, &frame) in tree.parents().iter().zip(tree.frames()).skip(1) {
            let value = derive(nodes.get(parent), frame);
            nodes.values.push(value);
        }
        nodes
    }

    /// The value of a node.
    pub(super) fn get(&self, node: u32) -> T {
        self.values.get(node as usize).copied().unwrap_or(self.root)
    }
}

/// The node of a trace; the root for a trace without frames, an unknown one, and one that is not in the table.
pub(super) fn node_of(traces: &TraceTable, trace: Option<TraceId>) -> u32 {
    trace.and_then(|trace| traces.node(trace)).unwrap_or(ROOT)
}
