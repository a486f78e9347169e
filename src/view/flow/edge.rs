//! Nodes and edges as a flow graph stores them. Their keys put both in order: the heaviest first.

use std::cmp::Reverse;

use smallvec::SmallVec;

use super::node_id::FlowNodeId;
use crate::id::FrameId;
use crate::id_vec::DenseId;

/// An edge of a flow graph.
pub(super) type EdgeIndex = DenseId<EdgeKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct EdgeKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The outermost line first. The synthetic root has none.
    pub(super) lines: SmallVec<[FrameId; 2]>,
    /// One for each column.
    pub(super) weights: SmallVec<[Weights; 1]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Weights {
    pub(super) local: i64,
    pub(super) cumulative: i64,
    /// The weight of the stacks that begin here.
    pub(super) begins: i64,
}

impl Node {
    /// The weights in a column.
    pub(super) fn weights(&self, column: usize) -> Weights {
        self.weights.get(column).copied().unwrap_or_default()
    }

    /// Orders the nodes: the synthetic root, then those with the largest cumulative weight.
    pub(super) fn key(&self) -> (Option<Reverse<u64>>, Option<FrameId>) {
        let line = self.lines.first().copied();
        let size = size(self.weights.iter().map(|weights| weights.cumulative));
        (line.map(|_| Reverse(size)), line)
    }
}

/// The sum of the weights of all columns, without signs.
pub(super) fn size(weights: impl Iterator<Item = i64>) -> u64 {
    weights.fold(0, |sum: u64, weight| {
        sum.saturating_add(weight.unsigned_abs())
    })
}

#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) from: FlowNodeId,
    pub(super) to: FlowNodeId,
    /// Whether some stack has skipped lines between the two nodes.
    pub(super) residual: bool,
    /// One for each column.
    pub(super) weights: SmallVec<[i64; 1]>,
}

impl Edge {
    /// The weight in a column.
    pub(super) fn weight(&self, column: usize) -> i64 {
        self.weights.get(column).copied().unwrap_or_default()
    }

    /// The sum of the weights of all columns, without signs.
    pub(super) fn size(&self) -> u64 {
        size(self.weights.iter().copied())
    }

    /// Orders the edges: by their source, then the heaviest first.
    pub(super) fn key(&self) -> (FlowNodeId, Reverse<u64>, FlowNodeId) {
        (self.from, Reverse(self.size()), self.to)
    }
}
