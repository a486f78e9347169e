//! Which node calls which, and what does each of these edges weigh?
//!
//! Where the nearest kept line changes from one place of the call tree to the next, one calls the other. The
//! calls of one node after the other are summed up, so that a list of what it calls is all that has to
//! be looked into: a graph has nearly as many edges as the tree has nodes, and a map of all of them
//! would fit no cache.

use super::lines::{Lines, NONE};
use super::{Draft, Edge, EdgeWeights, Ranked};
use crate::analysis::groups::Ranges;

/// A node is called, at a place in the call tree.
#[derive(Debug, Clone, Copy, Default)]
struct Call {
    to: u32,
    place: u32,
}

/// Where in the call tree one node calls another: those of one caller together, in the order of the
/// places.
#[derive(Debug)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// Those of each node.
    of: Ranges,
}

impl Calls {
    pub(super) fn new(draft: &Draft<'_>, lines: &Lines, nodes: usize) -> Self {
        // A line that calls itself is no edge.
        let caller = |(from, to): (u32, u32)| if from == to { NONE } else { from };
        let callers: Vec<u32> = lines.steps(draft).map(caller).collect();
        let callers = || callers.iter().map(|&caller| caller as usize);
        let of = Ranges::new(callers(), nodes);
        let calls = lines
            .steps(draft)
            .zip(1..)
            .map(|((_, to), place)| Call { to, place });
        let calls = of.scatter(callers().zip(calls));
        Self { calls, of }
    }

    /// The edges, those of one caller together, the heaviest of each first, and what they weigh.
    pub(super) fn edges(mut self, draft: &Draft<'_>, lines: &Lines) -> (Vec<Edge>, EdgeWeights) {
        let mut drafts = self.drafts();
        if lines.are_skipped {
            drafts.residual = self.residual(draft, lines, drafts.len());
        }
        if lines.recur {
            self.count_once(&draft.subtree.ends(), drafts.len());
        }
        let mut weights = EdgeWeights::zeros(draft.columns.len(), drafts.len());
        for (column, below) in draft.below.iter().enumerate() {
            for call in &self.calls {
                let weight = below.get(call.place as usize).copied().unwrap_or(0);
                weights.add(call.to, column, weight);
            }
        }
        (drafts.in_order(&weights), weights)
    }

    /// The edges as they are met. From then on the calls lead to them instead of nodes.
    fn drafts(&mut self) -> Drafts {
        let mut to: Vec<u32> = Vec::with_capacity(self.calls.len());
        let mut counts = Vec::with_capacity(self.of.iter().len());
        // How many edges there were after the one that was met last to each node.
        let mut met = vec![0_usize; self.of.iter().len()];
        for range in self.of.iter() {
            let first = to.len();
            for call in self.calls.get_mut(range).unwrap_or_default() {
                let Some(met) = met.get_mut(call.to as usize) else {
                    continue;
                };
                if *met <= first {
                    to.push(call.to);
                    *met = to.len();
                }
                call.to = u32::try_from(*met - 1).unwrap_or(NONE);
            }
            counts.push(to.len() - first);
        }
        Drafts {
            to,
            residual: Vec::new(),
            counts,
        }
    }

    /// For each edge whether lines were skipped between the two, in some stack.
    fn residual(&self, draft: &Draft<'_>, lines: &Lines, edges: u32) -> Vec<bool> {
        let mut residual = vec![false; edges as usize];
        let above = draft.subtree.parents();
        for call in &self.calls {
            if let Some(residual) = residual.get_mut(call.to as usize)
                && let Some(&above) = above.get(call.place as usize)
            {
                *residual |= lines.is_skipped(above);
            }
        }
        residual
    }

    /// Leaves out calls below others of the same edge: a stack that goes this way twice counts once, and
    /// all below is counted with it.
    fn count_once(&mut self, ends: &[u32], edges: u32) {
        // Where the part of the tree ends that each edge has counted last.
        let mut counted = vec![0_u32; edges as usize];
        self.calls.retain(|call| {
            let Some(counted) = counted.get_mut(call.to as usize) else {
                return false;
            };
            let is_new = call.place >= *counted;
            if is_new {
                *counted = ends.get(call.place as usize).copied().unwrap_or(0);
            }
            is_new
        });
    }
}

/// The edges before they are in order.
#[derive(Debug)]
struct Drafts {
    /// The node that each leads to.
    to: Vec<u32>,
    /// Whether lines were skipped on it; nothing where none are.
    residual: Vec<bool>,
    /// How many come from each node.
    counts: Vec<usize>,
}

impl Drafts {
    /// How many there are; there are no more than calls, and no more of these than places.
    fn len(&self) -> u32 {
        u32::try_from(self.to.len()).unwrap_or(NONE)
    }

    /// The heaviest of each node first, without those whose stacks cancel.
    fn in_order(&self, weights: &EdgeWeights) -> Vec<Edge> {
        let mut edges = Vec::with_capacity(self.to.len());
        let mut order: Vec<Ranked> = Vec::new();
        let mut rows = (0_u32..).zip(&self.to);
        for (&count, from) in self.counts.iter().zip(0_u32..) {
            for (row, &to) in rows.by_ref().take(count) {
                let size = weights.size_of_row(row);
                if size != 0 {
                    order.push(Ranked::new(size, to, row));
                }
            }
            order.sort_unstable();
            edges.extend(order.drain(..).map(|ranked| {
                let row = ranked.place();
                let residual = self.residual.get(row as usize) == Some(&true);
                Edge::new(from, ranked.number(), row, residual)
            }));
        }
        edges
    }
}
