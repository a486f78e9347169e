//! Joins lines that always follow each other into one node.

use smallvec::SmallVec;

use super::{Edge, FlowGraph, FlowNodeId};
use crate::id_vec::IdVec;

impl FlowGraph {
    /// Joins nodes along edges without an alternative on which nothing is used. It finds all of these edges before
    /// it joins any, so their order does not matter.
    pub(super) fn collapse(&mut self) {
        let next = self.only_calls();
        let mut is_called = IdVec::<FlowNodeId, bool>::defaults(self.nodes.len());
        for &callee in next.values().iter().flatten() {
            is_called.set(callee, true);
        }
        // A chain becomes its first node. A ring has no first node and stays as it is.
        let mut chain_of: IdVec<FlowNodeId, Option<FlowNodeId>> =
            self.nodes.ids().map(Some).collect();
        for first in self.nodes.ids().filter(|&node| !is_called.get(node)) {
            let mut last = first;
            let mut lines = SmallVec::<[_; 8]>::new();
            while let Some(following) = next.get(last) {
                chain_of.set(following, Some(first));
                lines.extend(
                    self.nodes
                        .find(following)
                        .iter()
                        .flat_map(|it| it.lines.clone()),
                );
                last = following;
            }
            let last_weights = self.nodes.find(last).map(|it| it.weights.clone());
            self.nodes.update(first, |node| {
                node.lines.extend(lines);
                for (weights, last) in node.weights.iter_mut().zip(last_weights.iter().flatten()) {
                    weights.local = last.local;
                }
            });
        }
        self.renumber(&chain_of);
        self.edges.retain(|_, edge| edge.from != edge.to);
        self.keep_nodes(|node| chain_of.get(node) == Some(node));
    }

    /// For each node the one that follows it in a chain.
    fn only_calls(&self) -> IdVec<FlowNodeId, Option<FlowNodeId>> {
        let mut callees = IdVec::<FlowNodeId, Only>::defaults(self.nodes.len());
        let mut callers = callees.clone();
        for edge in self.edges.values() {
            callees.update(edge.from, |only| only.add(edge.to));
            callers.update(edge.to, |only| only.add(edge.from));
        }
        let mut next = IdVec::defaults(self.nodes.len());
        for edge in self.edges.values().iter().filter(|edge| !edge.residual) {
            let no_alternative = callees.get(edge.from) == Only::One(edge.to)
                && callers.get(edge.to) == Only::One(edge.from)
                && callees.get(edge.to) != Only::One(edge.from);
            if no_alternative && self.carries_all(edge) {
                next.set(edge.from, Some(edge.to));
            }
        }
        next
    }

    /// Whether all stacks that contain one of an edge's nodes contain the other, and use the edge.
    fn carries_all(&self, edge: &Edge) -> bool {
        let (Some(from), Some(to)) = (self.nodes.find(edge.from), self.nodes.find(edge.to)) else {
            return false;
        };
        let mut columns = from.weights.iter().zip(&to.weights).zip(&edge.weights);
        !from.lines.is_empty()
            && columns.all(|((from, to), &weight)| {
                from.local == 0
                    && from.cumulative == to.cumulative
                    && weight == to.cumulative
                    && to.begins == 0
            })
    }
}

/// The nodes at the other ends of a node's edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Only {
    #[default]
    None,
    One(FlowNodeId),
    Several,
}

impl Only {
    fn add(&mut self, other: FlowNodeId) {
        *self = match self {
            Self::None => Self::One(other),
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}
