//! What of a flow graph is too small to be seen, or tells too little.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::{Draft, Edge, EdgeBase, FlowGraph, FlowOptions, Node, Weights};
use crate::analysis::groups::Groups;

/// After how many edges the search for another way gives up, and takes it that there is none.
const SEARCH: usize = 1000;

#[expect(clippy::cast_precision_loss, reason = "a fraction is not that precise")]
fn passes(weight: i64, fraction: f64, whole: i64) -> bool {
    weight.unsigned_abs() as f64 >= fraction * whole.unsigned_abs() as f64
}

impl Draft<'_> {
    /// For each line of the table whether its cumulative usage is such a fraction of the total in
    /// any column. Weights count without their sign.
    pub(super) fn passing(&self, fraction: f64) -> Vec<bool> {
        if fraction <= 0.0 && !self.columns.is_empty() {
            return vec![true; self.traces.frame_count()];
        }
        let recurring = self.traces.recurring();
        let mut kept = vec![false; self.traces.frame_count()];
        for ((below, gross), column) in self.below.iter().zip(&self.gross).zip(&self.columns) {
            let below = gross.as_ref().unwrap_or(below);
            let mut cumulative = vec![0_i64; kept.len()];
            for ((_, node, frame), &weight) in self.subtree.places().zip(below.iter().skip(1)) {
                if let Some(sum) = cumulative.get_mut(frame.index())
                    && recurring.find(node) == Some(&false)
                {
                    *sum = sum.saturating_add(weight);
                }
            }
            for (kept, weight) in kept.iter_mut().zip(cumulative) {
                *kept |= passes(weight, fraction, column.gross);
            }
        }
        kept
    }

    /// Of the lines that are kept, as many as the options allow, the most telling ones.
    pub(super) fn telling(&self, kept: Vec<bool>, options: &FlowOptions) -> Vec<bool> {
        let Some(most) = options.max_nodes else {
            return kept;
        };
        let graph = self.graph(&kept);
        if graph.nodes.len() <= most {
            return kept;
        }
        let scores = graph.scores();
        let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
        let score = |place: &usize| scores.get(*place).copied().unwrap_or(0.0);
        let first = |place: &usize| graph.nodes.get(*place).and_then(|it| it.lines.first());
        order.sort_by(|a, b| {
            score(b)
                .total_cmp(&score(a))
                .then_with(|| first(a).cmp(&first(b)))
        });
        let mut telling = vec![false; kept.len()];
        for line in order.iter().take(most).filter_map(first) {
            if let Some(telling) = telling.get_mut(line.index()) {
                *telling = true;
            }
        }
        telling
    }
}

impl FlowGraph {
    /// How telling each node is: the largest of its columns.
    #[expect(clippy::cast_precision_loss, reason = "a measure for choosing")]
    fn scores(&self) -> Vec<f64> {
        let mut scores = vec![0.0_f64; self.nodes.len()];
        for (column, whole) in self.columns.iter().enumerate() {
            let weight = |weight: i64| weight.unsigned_abs() as f64;
            let of = |weights: &[i64]| weights.get(column).map_or(0.0, |&it| weight(it));
            // Of each node what its edges in and out carry, and the sums of x log x over these.
            let mut sums = vec![[Shares::default(); 2]; self.nodes.len()];
            for edge in &self.edges {
                for (end, way) in [(edge.to(), 0), (edge.from(), 1)] {
                    if let Some(sum) = sums.get_mut(end).and_then(|it| it.get_mut(way)) {
                        sum.add(of(self.weights.of(edge)));
                    }
                }
            }
            for ((node, score), [inward, mut outward]) in
                self.nodes.iter().zip(&mut scores).zip(sums)
            {
                let weights = node.weights.get(column).copied().unwrap_or_default();
                let local = weight(weights.local);
                // Where nothing leads to it, or from it, that is telling too.
                let entropy_in = if inward.count == 0 {
                    1.0
                } else {
                    inward.entropy()
                };
                let entropy_out = if outward.count == 0 {
                    1.0
                } else {
                    outward.add(local);
                    outward.entropy()
                };
                let told = (entropy_in + entropy_out) * weight(weights.cumulative) + local;
                *score = score.max(told / weight(whole.gross).max(1.0));
            }
        }
        scores
    }

    /// Leaves out edges that are too light in every column.
    pub(super) fn prune_edges(&mut self, options: &FlowOptions) {
        if options.edge_fraction <= 0.0 {
            // Those without a weight were left out when they were made.
            return;
        }
        let Self {
            nodes,
            edges,
            weights,
            columns,
            ..
        } = self;
        edges.retain(|edge| {
            weights.of(edge).iter().zip(columns.iter()).enumerate().any(
                |(number, (&weight, column))| {
                    let whole = match options.edge_base {
                        EdgeBase::Total => column.gross,
                        EdgeBase::Source => {
                            let source = nodes.get(edge.from());
                            let weights = source.and_then(|source| source.weights.get(number));
                            weights.map_or(0, |weights| weights.cumulative)
                        }
                    };
                    weight != 0 && passes(weight, options.edge_fraction, whole)
                },
            )
        });
    }

    /// Leaves out residual edges where another way leads to the same node: the lightest first, and none
    /// that is heavier than an edge to the same node that is not residual.
    ///
    /// Which of two equal ones goes is for their names to decide, not for the order of the traces.
    pub(super) fn remove_redundant(&mut self) {
        let count = self.nodes.len();
        let into = Groups::new(self.edges.iter().map(Edge::to), count);
        let mut lightest_direct = vec![u64::MAX; count];
        for edge in self.edges.iter().filter(|edge| !edge.residual) {
            if let Some(lightest) = lightest_direct.get_mut(edge.to()) {
                *lightest = self.weights.size(edge).min(*lightest);
            }
        }
        let line = |node: usize| {
            let first = self.nodes.get(node)?.lines.first()?;
            self.traces.frame(*first)
        };
        let mut candidates: Vec<(u64, usize)> = self
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.residual)
            .map(|(place, edge)| (self.weights.size(edge), place))
            .filter(|&(size, place)| {
                let to = self.edges.get(place).map_or(0, Edge::to);
                lightest_direct
                    .get(to)
                    .is_some_and(|&direct| size <= direct)
            })
            .collect();
        let ends = |place: usize| {
            let edge = self.edges.get(place);
            edge.map(|edge| (line(edge.from()), line(edge.to())))
        };
        candidates.sort_by(|&(size_a, a), &(size_b, b)| {
            size_a.cmp(&size_b).then_with(|| ends(a).cmp(&ends(b)))
        });
        let mut gone = vec![false; self.edges.len()];
        // For which edge a node was met last.
        let mut met = vec![usize::MAX; count];
        for (_, place) in candidates {
            if self.has_another_way(place, &into, &gone, &mut met)
                && let Some(gone) = gone.get_mut(place)
            {
                *gone = true;
            }
        }
        let mut gone = gone.into_iter();
        self.edges.retain(|_| gone.next() != Some(true));
    }

    /// Whether the target of an edge can be reached from its source without it. Looks from the target
    /// back, since a line has fewer callers than callees.
    fn has_another_way(
        &self,
        edge: usize,
        into: &Groups,
        gone: &[bool],
        met: &mut [usize],
    ) -> bool {
        let Some(sought) = self.edges.get(edge) else {
            return false;
        };
        let mut ahead = VecDeque::from([sought.to()]);
        let mut looked_at = 0;
        while let Some(node) = ahead.pop_front() {
            for place in into.of(node) {
                looked_at += 1;
                if looked_at > SEARCH {
                    return false;
                }
                let Some(next) = self.edges.get(place) else {
                    continue;
                };
                if place == edge || gone.get(place) == Some(&true) {
                    continue;
                }
                if next.from() == sought.from() {
                    return true;
                }
                if let Some(met) = met.get_mut(next.from())
                    && *met != edge
                {
                    *met = edge;
                    ahead.push_back(next.from());
                }
            }
        }
        false
    }

    /// Adds a root above where the stacks begin, if they begin at several nodes.
    pub(super) fn add_root(&mut self) {
        let begins: Vec<(u32, SmallVec<[i64; 2]>)> = (0..)
            .zip(&self.nodes)
            .map(|(id, node)| {
                (
                    id,
                    node.weights.iter().map(|weights| weights.begins).collect(),
                )
            })
            .filter(|(_, begins): &(u32, SmallVec<[i64; 2]>)| {
                begins.iter().any(|&weight| weight != 0)
            })
            .collect();
        if begins.len() < 2 {
            return;
        }
        let Ok(root) = u32::try_from(self.nodes.len()) else {
            return;
        };
        let weights = self.columns.iter().map(|column| Weights {
            local: column.unknown,
            cumulative: column.total,
            begins: column.total,
        });
        self.nodes.push(Node {
            lines: SmallVec::new(),
            weights: weights.collect(),
        });
        for (to, weights) in begins {
            let row = self.weights.push(&weights);
            self.edges.push(Edge::new(root, to, row, false));
        }
    }
}

/// A sum of weights, and what its entropy is made of.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    count: usize,
    sum: f64,
    /// Of each weight times its logarithm.
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

    /// −Σ p log₂ p, for p the part of the sum that each weight is.
    fn entropy(self) -> f64 {
        if self.sum > 0.0 {
            (self.sum.log2() - self.logs / self.sum).max(0.0)
        } else {
            0.0
        }
    }
}
