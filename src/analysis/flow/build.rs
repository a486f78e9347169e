//! From the call tree to a graph, when some lines are skipped.

use std::sync::OnceLock;

use super::calls::Calls;
use super::lines::Lines;
use super::{Draft, FlowGraph, Weights};
use crate::analysis::groups::Ranges;

impl Draft<'_> {
    /// The graph of the lines that are kept. O(places of the call tree).
    pub(super) fn graph(&self, kept: &[bool]) -> FlowGraph {
        let mut lines = Lines::new(self, kept);
        let nodes = lines.nodes(self);
        let calls = Calls::new(self, &lines, nodes.len());
        let (edges, weights) = calls.edges(self, &lines);
        FlowGraph {
            traces: self.traces.clone(),
            columns: self.columns.clone(),
            nodes,
            edges,
            weights,
            outgoing: Ranges::default(),
            incoming: OnceLock::new(),
            damaged: self.damaged,
        }
        .without_nothing()
    }
}

impl FlowGraph {
    /// The graph without nodes that have no usage in any column and no edge.
    fn without_nothing(mut self) -> Self {
        let mut told: Vec<bool> = self
            .nodes
            .iter()
            .map(|node| {
                node.weights
                    .iter()
                    .any(|weights| *weights != Weights::default())
            })
            .collect();
        if !told.contains(&false) {
            return self;
        }
        for edge in &self.edges {
            for end in [edge.from(), edge.to()] {
                if let Some(told) = told.get_mut(end) {
                    *told = true;
                }
            }
        }
        if told.contains(&false) {
            self.keep_nodes(&told);
        }
        self
    }

    /// Leaves out nodes, and their edges.
    pub(super) fn keep_nodes(&mut self, kept: &[bool]) {
        let mut new_id = Vec::with_capacity(kept.len());
        let mut count = 0;
        for &kept in kept {
            new_id.push(kept.then_some(count));
            count += u32::from(kept);
        }
        let of = |old: usize| new_id.get(old).copied().flatten();
        let mut place = 0;
        self.nodes.retain(|_| {
            place += 1;
            of(place - 1).is_some()
        });
        self.renumber(of);
    }
}
