//! Leaves out nodes and edges that are too small, or whose score is too low.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::weighted_tree::WeightedTree;
use super::{Edge, EdgeBase, EdgeIndex, FlowGraph, FlowNodeId, FlowOptions, Node, Weights};
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::view::groups::Groups;

/// The most edges that a search for another path visits. If it has not found a path by then, it reports none.
const SEARCH_LIMIT: usize = 1000;

#[expect(clippy::cast_precision_loss, reason = "a fraction is not that precise")]
fn float(weight: i64) -> f64 {
    weight.unsigned_abs() as f64
}

fn passes(weight: i64, fraction: f64, whole: i64) -> bool {
    float(weight) >= fraction * float(whole)
}

impl WeightedTree<'_> {
    /// The lines whose cumulative weight is at least this fraction of the total in any column. Weights count without
    /// their sign.
    pub(super) fn passing(&self, fraction: f64) -> IdVec<FrameId, bool> {
        let count = self.traces.frame_count();
        if fraction <= 0.0 && !self.columns.is_empty() {
            return IdVec::filled(count, true);
        }
        let mut kept = IdVec::<FrameId, bool>::defaults(count);
        for weights in &self.columns {
            let below = weights.gross_below.as_ref().unwrap_or(&weights.below);
            for (line, &weight) in self.subtree.cumulative(below).iter() {
                let passes = passes(weight, fraction, weights.column.gross);
                kept.update(line, |kept| *kept |= passes);
            }
        }
        kept
    }

    /// Of the lines that are kept those with the highest scores, as many as the options allow.
    pub(super) fn highest_scores(
        &self,
        kept: IdVec<FrameId, bool>,
        options: &FlowOptions,
    ) -> IdVec<FrameId, bool> {
        let Some(most) = options.max_nodes else {
            return kept;
        };
        let graph = self.graph(&kept);
        if graph.nodes.len() <= most {
            return kept;
        }
        let scores = graph.scores();
        let nodes = graph.nodes.iter();
        let scored = nodes.filter_map(|(id, node)| Some((scores.get(id), *node.lines.first()?)));
        let mut order: Vec<_> = scored.collect();
        order.sort_by(|(a, line_a), (b, line_b)| b.total_cmp(a).then(line_a.cmp(line_b)));
        let mut kept = IdVec::defaults(kept.len());
        for &(_, line) in order.iter().take(most) {
            kept.set(line, true);
        }
        kept
    }
}

impl FlowGraph {
    /// pprof's score of each node: see [`FlowOptions::max_nodes`]. The largest of its columns.
    fn scores(&self) -> IdVec<FlowNodeId, f64> {
        let mut scores = IdVec::<FlowNodeId, f64>::defaults(self.nodes.len());
        for (number, column) in self.columns.iter().enumerate() {
            let mut inward = IdVec::<FlowNodeId, Shares>::defaults(self.nodes.len());
            let mut outward = inward.clone();
            for edge in self.edges.values() {
                let weight = float(edge.weight(number));
                inward.update(edge.to, |shares| shares.add(weight));
                outward.update(edge.from, |shares| shares.add(weight));
            }
            for (id, node) in self.nodes.iter() {
                let weights = node.weights(number);
                let local = float(weights.local);
                let mut outward = outward.get(id);
                if outward.count > 0 {
                    outward.add(local);
                }
                let entropy = inward.get(id).entropy() + outward.entropy();
                let score = entropy * float(weights.cumulative) + local;
                let score = score / float(column.gross).max(1.0);
                scores.update(id, |largest| *largest = largest.max(score));
            }
        }
        scores
    }

    /// Leaves out edges that are too light in every column.
    pub(super) fn prune_edges(&mut self, options: &FlowOptions) {
        if options.min_edge_fraction <= 0.0 {
            // The graph was made without edges that have no weight.
            return;
        }
        let Self {
            nodes,
            edges,
            columns,
            ..
        } = self;
        edges.retain(|_, edge| {
            columns.iter().enumerate().any(|(number, column)| {
                let weight = edge.weight(number);
                let whole = match options.edge_base {
                    EdgeBase::Total => column.gross,
                    EdgeBase::Source => nodes
                        .find(edge.from)
                        .map_or(0, |source| source.weights(number).cumulative),
                };
                weight != 0 && passes(weight, options.min_edge_fraction, whole)
            })
        });
    }

    /// Leaves out residual edges where another path leads from the source to the target: the lightest first, and none
    /// that is heavier than an edge to the same target that is not residual.
    ///
    /// Lines decide which of two equal edges goes, and not the order of the traces.
    pub(super) fn remove_redundant(&mut self) {
        let mut lightest_direct = IdVec::<FlowNodeId, u64>::filled(self.nodes.len(), u64::MAX);
        for edge in self.edges.values().iter().filter(|edge| !edge.residual) {
            lightest_direct.update(edge.to, |lightest| *lightest = edge.size().min(*lightest));
        }
        let candidates = self.edges.iter().filter(|(_, edge)| edge.residual);
        let mut candidates: Vec<(EdgeIndex, &Edge)> = candidates
            .filter(|(_, edge)| edge.size() <= lightest_direct.get(edge.to))
            .collect();
        let line = |node| self.traces.frame(*self.nodes.find(node)?.lines.first()?);
        candidates.sort_by_cached_key(|(_, edge)| (edge.size(), line(edge.from), line(edge.to)));
        let mut paths = Paths::new(self);
        for (id, edge) in candidates {
            if paths.has_other(id, edge) {
                paths.removed.set(id, true);
            }
        }
        let removed = paths.removed;
        self.edges.retain(|edge, _| !removed.get(edge));
    }

    /// Adds a root above the nodes at which stacks begin, if there are several.
    pub(super) fn add_root(&mut self) {
        let begins = self.nodes.iter().map(|(id, node)| {
            let weights = node.weights.iter().map(|weights| weights.begins);
            (id, weights.collect::<SmallVec<[i64; 1]>>())
        });
        let begins = begins.filter(|(_, begins)| begins.iter().any(|&weight| weight != 0));
        let begins: Vec<_> = begins.collect();
        if begins.len() < 2 {
            return;
        }
        let weights = self.columns.iter().map(|column| Weights {
            local: column.unknown,
            cumulative: column.total,
            begins: column.total,
        });
        let from = self.nodes.push(Node {
            lines: SmallVec::new(),
            weights: weights.collect(),
        });
        for (to, weights) in begins {
            self.edges.push(Edge {
                from,
                to,
                residual: false,
                weights,
            });
        }
    }
}

/// Finds paths from node to node.
struct Paths {
    /// The edges to each node.
    incoming: Groups<FlowNodeId, EdgeIndex>,
    sources: IdVec<EdgeIndex, FlowNodeId>,
    removed: IdVec<EdgeIndex, bool>,
    /// The search that met each node last, by the edge that it is for.
    met: IdVec<FlowNodeId, Option<EdgeIndex>>,
}

impl Paths {
    fn new(graph: &FlowGraph) -> Self {
        Self {
            incoming: graph.group_incoming(),
            sources: graph.edges.values().iter().map(|edge| edge.from).collect(),
            removed: IdVec::defaults(graph.edges.len()),
            met: IdVec::defaults(graph.nodes.len()),
        }
    }

    /// Whether a path leads from the source of an edge to its target without it. Searches backwards from the target,
    /// since a line has fewer callers than callees.
    fn has_other(&mut self, id: EdgeIndex, edge: &Edge) -> bool {
        let mut queue = VecDeque::from([edge.to]);
        let mut budget = SEARCH_LIMIT;
        while let Some(node) = queue.pop_front() {
            for &incoming in self.incoming.of(node) {
                if budget == 0 {
                    return false;
                }
                budget -= 1;
                if incoming == id || self.removed.get(incoming) {
                    continue;
                }
                let source = self.sources.get(incoming);
                if source == edge.from {
                    return true;
                }
                if self.met.replace(source, Some(id)) != Some(id) {
                    queue.push_back(source);
                }
            }
        }
        false
    }
}

/// A sum of weights, and the terms of its entropy.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    count: usize,
    sum: f64,
    /// The sum of each weight times its logarithm.
    logs: f64,
}

impl Shares {
    fn add(&mut self, weight: f64) {
        if weight > 0.0 {
            self.count += 1;
            self.sum += weight;
            self.logs += weight * weight.log2();
        }
    }

    /// −Σ p log₂ p, where each p is a weight's part of the sum. 1 without weights: that no line leads to a node, or
    /// from it, says something as well.
    fn entropy(self) -> f64 {
        if self.count == 0 {
            1.0
        } else {
            (self.sum.log2() - self.logs / self.sum).max(0.0)
        }
    }
}
