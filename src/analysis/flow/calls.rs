//! [`Calls`]: which node calls which, and the weight of each of these edges.
//!
//! Where the nearest kept line changes from one place of the call tree to the next, one line calls the other.
//! A graph has nearly as many edges as the tree has nodes, so a map of all edges would not fit a cache.
//! Sorting the calls by caller needs only the edges of one caller at a time.

use super::line_nodes::{LineNodes, Role};
use super::weighted_tree::WeightedTree;
use super::{Edge, EdgeIndex, NodeIndex};
use crate::analysis::groups::Ranges;
use crate::analysis::subtree::{PlaceId, Subtree};
use crate::id::Id;
use crate::id_vec::IdVec;

/// The places of the call tree at which one node calls another.
#[derive(Debug)]
pub(super) struct Calls {
    /// From each node to each other that it calls, in the order of the callers.
    edges: IdVec<EdgeIndex, (NodeIndex, NodeIndex)>,
    /// All calls with their edge, of each edge in the order of the places.
    calls: Vec<(EdgeIndex, PlaceId)>,
}

impl Calls {
    pub(super) fn new(tree: &WeightedTree<'_>, lines: &LineNodes, nodes: usize) -> Self {
        let calls = || {
            let steps = lines.steps(&tree.subtree);
            steps.map(|(place, from, to)| {
                // A line that calls itself is no edge.
                let caller = if from == to { NodeIndex::NONE } else { from };
                (caller, (to, place))
            })
        };
        let by_caller = Ranges::new(calls().map(|(caller, _)| caller), nodes);
        let sorted = by_caller.scatter(calls());
        let mut edges = IdVec::new();
        let mut last_to = IdVec::<NodeIndex, Option<EdgeIndex>>::defaults(nodes);
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
        let edges = self.edges.iter().map(|(id, &(from, to))| Edge {
            from,
            to,
            residual: residual.get(id),
            weights: columns.iter().map(|column| column.get(id)).collect(),
        });
        let mut edges: Vec<Edge> = edges.filter(|edge| edge.size() != 0).collect();
        for of_caller in edges.chunk_by_mut(|a, b| a.from == b.from) {
            of_caller.sort_unstable_by_key(Edge::key);
        }
        edges
    }

    /// For each edge whether some stack has skipped lines between its two nodes.
    fn residual(&self, subtree: &Subtree<'_>, lines: &LineNodes) -> IdVec<EdgeIndex, bool> {
        let mut residual = IdVec::defaults(self.edges.len());
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
