//! [`Calls`]: which node calls which, and the weight of each of these edges.
//!
//! Where the nearest kept line changes from one place of the call tree to the next, one line calls the other.
//! A graph has nearly as many edges as the tree has nodes, so a map of all edges would not fit a cache.
//! Sorting the calls by caller needs only the edges of one caller at a time.

use std::cmp::Reverse;

use super::edge::size;
use super::line_nodes::{LineNodes, Role};
use super::weighted_tree::WeightedTree;
use super::{Edge, EdgeIndex, FlowNodeId};
use crate::id::Id;
use crate::id_vec::IdVec;
use crate::view::groups::Ranges;
use crate::view::subtree::{PlaceId, Subtree};

/// The places of the call tree at which one node calls another.
#[derive(Debug)]
pub(super) struct Calls {
    /// From each node to each other that it calls, in the order of the callers.
    edges: IdVec<EdgeIndex, (FlowNodeId, FlowNodeId)>,
    /// All calls with their edge, of each edge in the order of the places.
    calls: Vec<(EdgeIndex, PlaceId)>,
}

impl Calls {
    pub(super) fn new(tree: &WeightedTree<'_>, lines: &LineNodes, nodes: usize) -> Self {
        // A line that calls itself is no edge.
        let caller = |(_, from, to)| if from == to { FlowNodeId::NONE } else { from };
        let callers: Vec<_> = lines.steps(&tree.subtree).map(caller).collect();
        let by_caller = Ranges::new(callers.iter().copied(), nodes);
        let calls = lines.steps(&tree.subtree).map(|(place, _, to)| (to, place));
        let sorted = by_caller.scatter(callers.iter().copied().zip(calls));
        let mut edges = IdVec::with_capacity(sorted.len());
        let mut last_to = IdVec::<FlowNodeId, Option<EdgeIndex>>::defaults(nodes);
        let mut calls = Vec::with_capacity(sorted.len());
        for (from, range) in by_caller.iter() {
            let first = EdgeIndex::from_index(edges.len());
            for &(to, place) in sorted.get(range).unwrap_or_default() {
                let edge = match last_to.get(to) {
                    Some(edge) if edge >= first => edge,
                    _ => edges.push((from, to)),
                };
                last_to.set(to, Some(edge));
                calls.push((edge, place));
            }
        }
        Self { edges, calls }
    }

    /// The edges with their weights, in the order of the callers, the heaviest of each caller first. Leaves out
    /// edges without a weight.
    pub(super) fn edges(mut self, tree: &WeightedTree<'_>, lines: &LineNodes) -> Vec<Edge> {
        let residual = self.residual(&tree.subtree, lines);
        if lines.any(Role::Again) {
            self.count_once(&tree.subtree.ends());
        }
        let columns = tree.columns.iter().map(|column| {
            let mut sums = IdVec::<EdgeIndex, i64>::defaults(self.edges.len());
            for &(edge, place) in &self.calls {
                sums.add(edge, column.below.get(place));
            }
            sums
        });
        let columns: Vec<_> = columns.collect();
        let weights = |edge| columns.iter().map(move |column| column.get(edge));
        let mut edges = Vec::with_capacity(self.edges.len());
        // PERF: sorting keys instead of edges makes a graph 15 % sooner; cargo bench --bench ratios, row flow_*.
        let mut order = Vec::new();
        let mut ids = self.edges.ids();
        for of_caller in self.edges.values().chunk_by(|a, b| a.0 == b.0) {
            for (&(_, to), id) in of_caller.iter().zip(ids.by_ref()) {
                let size = size(weights(id));
                if size != 0 {
                    order.push((Reverse(size), to, id));
                }
            }
            order.sort_unstable();
            let heaviest_first = of_caller.iter().zip(order.drain(..));
            edges.extend(heaviest_first.map(|(&(from, _), (_, to, id))| Edge {
                from,
                to,
                residual: residual.get(id),
                weights: weights(id).collect(),
            }));
        }
        edges
    }

    /// For each edge whether some stack has skipped lines between its two nodes.
    fn residual(&self, subtree: &Subtree<'_>, lines: &LineNodes) -> IdVec<EdgeIndex, bool> {
        let mut residual = IdVec::defaults(self.edges.len());
        if !lines.any(Role::Skipped) {
            return residual;
        }
        for &(edge, place) in &self.calls {
            if lines.is_skipped(subtree.parent(place)) {
                residual.set(edge, true);
            }
        }
        residual
    }

    /// Leaves out calls below others of the same edge. A stack that uses an edge twice counts once, and the
    /// outer call has the weight of all below it.
    fn count_once(&mut self, ends: &IdVec<PlaceId, PlaceId>) {
        let mut counted_to = IdVec::<EdgeIndex, PlaceId>::defaults(self.edges.len());
        self.calls.retain(|&(edge, place)| {
            let is_new = place >= counted_to.get(edge);
            if is_new {
                counted_to.set(edge, ends.get(place));
            }
            is_new
        });
    }
}
