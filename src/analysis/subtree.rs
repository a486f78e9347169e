//! The part of the call tree that a usage is about. Views walk it: its nodes, not the frames of the
//! stacks, and nothing of the traces that weigh nothing.

use crate::id::{FrameId, Id, TraceId};
use crate::trace::TraceTable;
use crate::tree::{CallTree, NodeId, ROOT};
use crate::usage::Usage;

/// The nodes of the call tree at or below which a stack of some usages ends, and the root.
///
/// They have *places*, dense numbers in preorder; that of the root is 0.
#[derive(Debug)]
pub(super) struct Subtree<'t> {
    traces: &'t TraceTable,
    /// The node at each place.
    nodes: Vec<NodeId>,
    /// The place of the node above; that of the root is its own.
    parents: Vec<u32>,
    /// A bit for each node of the tree, and how many are set in the words before each.
    marks: Vec<u64>,
    ranks: Vec<u32>,
}

impl<'t> Subtree<'t> {
    /// O(nodes of the subtree), and a bit for each node of the tree.
    pub(super) fn new(traces: &'t TraceTable, usages: &[&Usage]) -> Self {
        let tree = traces.tree();
        let mut marks = vec![0_u64; tree.len().div_ceil(64)];
        let mut mark = |node: NodeId| {
            let bit = 1 << (node.index() % 64);
            marks.get_mut(node.index() / 64).is_some_and(|word| {
                let new = *word & bit == 0;
                *word |= bit;
                new
            })
        };
        mark(ROOT);
        for (trace, _) in usages.iter().flat_map(|usage| usage.by_trace()) {
            let mut node = node_of(traces, trace);
            // What is marked has all above it marked.
            while mark(node)
                && let Some(&above) = tree.parents().get(node.index())
            {
                node = above;
            }
        }
        let mut ranks = Vec::with_capacity(marks.len());
        let mut count = 0;
        for word in &marks {
            ranks.push(count);
            count += word.count_ones();
        }
        let mut nodes = Vec::with_capacity(count as usize);
        for (base, &word) in (0..).step_by(64).zip(&marks) {
            let mut left = word;
            while left != 0 {
                nodes.push(NodeId::from_index(base + left.trailing_zeros() as usize));
                left &= left - 1;
            }
        }
        let mut subtree = Self {
            traces,
            nodes,
            parents: Vec::new(),
            marks,
            ranks,
        };
        let above = |&node: &NodeId| tree.parent(node);
        subtree.parents = subtree
            .nodes
            .iter()
            .map(|node| subtree.rank(above(node)))
            .collect();
        subtree
    }

    fn tree(&self) -> &'t CallTree {
        self.traces.tree()
    }

    /// How many nodes there are, the root among them.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The place of a node of the subtree.
    fn rank(&self, node: NodeId) -> u32 {
        let word = node.index() / 64;
        let below = self
            .marks
            .get(word)
            .map_or(0, |marks| marks & ((1 << (node.index() % 64)) - 1));
        self.ranks.get(word).copied().unwrap_or(0) + below.count_ones()
    }

    /// The rows of one of the usages, each with the place of its stack: 0 for what has no stack.
    pub(super) fn rows(&self, usage: &Usage) -> impl Iterator<Item = (usize, i64)> {
        usage
            .by_trace()
            .map(|(trace, weight)| (self.rank(node_of(self.traces, trace)) as usize, weight))
    }

    /// The place above each place.
    pub(super) fn parents(&self) -> &[u32] {
        &self.parents
    }

    /// All places but that of the root, each with its node and its last frame.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, NodeId, FrameId)> {
        let frames = self.tree().frames();
        let nodes = self.nodes.iter().enumerate().skip(1);
        nodes.map(|(place, &node)| {
            let frame = frames.get(node.index()).copied();
            (place, node, frame.unwrap_or(FrameId(0)))
        })
    }

    /// For each place the one after the last that is at or below it.
    pub(super) fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = (1..).take(self.len()).collect();
        for (place, &parent) in self.parents.iter().enumerate().skip(1).rev() {
            let end = ends.get(place).copied().unwrap_or(0);
            if let Some(above) = ends.get_mut(parent as usize) {
                *above = end.max(*above);
            }
        }
        ends
    }

    /// Sums the weights of all places up to the root: each gets those at or below it. A sum that
    /// leaves 63 bits saturates.
    pub(super) fn sum_up(&self, weights: &mut [i64]) {
        for (place, &parent) in self.parents.iter().enumerate().skip(1).rev() {
            let weight = weights.get(place).copied().unwrap_or(0);
            if let Some(above) = weights.get_mut(parent as usize) {
                *above = above.saturating_add(weight);
            }
        }
    }
}

/// The node of a trace; the root for what has no stack.
fn node_of(traces: &TraceTable, trace: Option<TraceId>) -> NodeId {
    trace.and_then(|trace| traces.node(trace)).unwrap_or(ROOT)
}
