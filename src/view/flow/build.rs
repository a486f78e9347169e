//! From a weighted call tree to a graph of the lines that are kept.

use std::sync::OnceLock;

use super::calls::Calls;
use super::line_nodes::LineNodes;
use super::weighted_tree::WeightedTree;
use super::{FlowGraph, FlowNodeId, Weights};
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::view::groups::Ranges;

impl WeightedTree<'_> {
    /// The graph of the lines that are kept. O(places of the call tree).
    pub(super) fn graph(&self, kept: &IdVec<FrameId, bool>) -> FlowGraph {
        let mut lines = LineNodes::new(self, kept);
        let nodes = lines.nodes(self);
        let calls = Calls::new(self, &lines, nodes.len());
        let edges = calls.edges(self, &lines);
        let mut graph = FlowGraph {
            traces: self.traces.clone(),
            columns: self.columns.iter().map(|it| it.column).collect(),
            nodes,
            edges: IdVec::from_vec(edges),
            outgoing: Ranges::default(),
            incoming: OnceLock::new(),
            damaged: self.damaged,
        };
        graph.remove_unused();
        graph
    }
}

impl FlowGraph {
    /// Leaves out nodes that have no weight in any column and no edge.
    fn remove_unused(&mut self) {
        let nodes = self.nodes.values().iter();
        let has_weight = nodes.map(|node| node.weights.iter().any(|it| *it != Weights::default()));
        let mut used: IdVec<FlowNodeId, bool> = has_weight.collect();
        if used.values().contains(&false) {
            for edge in self.edges.values() {
                used.set(edge.from, true);
                used.set(edge.to, true);
            }
            self.keep_nodes(|node| used.get(node));
        }
    }

    /// Leaves out the nodes that do not pass the test, and their edges.
    pub(super) fn keep_nodes(&mut self, keep: impl Fn(FlowNodeId) -> bool) {
        let new_ids = self.nodes.retain(|node, _| keep(node));
        self.renumber(&new_ids);
    }

    /// Replaces the nodes of all edges by their new ids. Leaves out the edges of nodes that have none.
    pub(super) fn renumber(&mut self, new_ids: &IdVec<FlowNodeId, Option<FlowNodeId>>) {
        self.edges.retain(|_, edge| {
            let (from, to) = (new_ids.get(edge.from), new_ids.get(edge.to));
            if let (Some(from), Some(to)) = (from, to) {
                (edge.from, edge.to) = (from, to);
            }
            from.is_some() && to.is_some()
        });
    }

    /// Puts nodes and edges in their order.
    pub(super) fn sort(&mut self) {
        let ids: Vec<FlowNodeId> = self.nodes.ids().collect();
        let nodes = std::mem::take(&mut self.nodes).into_values();
        let mut nodes: Vec<_> = ids.into_iter().zip(nodes).collect();
        nodes.sort_by_cached_key(|(_, node)| node.key());
        let mut new_ids = IdVec::defaults(nodes.len());
        for (old, node) in nodes {
            new_ids.set(old, Some(self.nodes.push(node)));
        }
        self.renumber(&new_ids);
        self.edges.values_mut().sort_by_key(super::Edge::key);
    }
}
