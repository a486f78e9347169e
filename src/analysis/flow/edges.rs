//! From the call tree to nodes and edges, when some lines are skipped.

use hashbrown::HashMap;

use super::{Draft, Edge, FlowGraph, Node, Weights};
use crate::id::FrameId;

/// No line, no edge.
const NONE: u32 = u32::MAX;

/// What is known of a node of the call tree on the way to where we are.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The kept line nearest to here, itself included.
    nearest: u32,
    /// Whether lines were skipped since.
    skipped: bool,
    /// The edge that ends here.
    edge: u32,
}

impl Draft {
    /// The graph of the lines that are kept.
    ///
    /// Walks the call tree once, in preorder, and knows at each node which edges are on the way to it:
    /// the first time an edge is met, all stacks below contain it; the next time they are counted.
    pub(super) fn graph(&self, kept: &[bool]) -> FlowGraph {
        let tree = self.traces.tree();
        let columns = self.columns.len();
        let mut ids = vec![NONE; self.traces.frame_count()];
        let mut nodes: Vec<Node> = Vec::new();
        let mut edges: Vec<Edge> = Vec::new();
        let mut numbers: HashMap<(u32, u32), u32> = HashMap::new();
        // How often each edge, and each line, is on the way to where we are.
        let mut edge_on_path: Vec<u32> = Vec::new();
        let mut line_on_path = vec![0_u32; self.traces.frame_count()];
        let mut path: Vec<(FrameId, Step)> = Vec::new();
        const START: Step = Step {
            nearest: NONE,
            skipped: false,
            edge: NONE,
        };
        for (node, &frame) in tree.frames().iter().enumerate().skip(1) {
            if self.used.get(node) != Some(&true) {
                continue; // nor is any node below
            }
            let depth = tree.depth(u32::try_from(node).unwrap_or(NONE));
            for (left, step) in path.drain((depth - 1).min(path.len())..) {
                if let Some(count) = line_on_path.get_mut(left.index()) {
                    *count -= 1;
                }
                if let Some(count) = edge_on_path.get_mut(step.edge as usize) {
                    *count -= 1;
                }
            }
            let above = path.last().map_or(START, |&(_, step)| step);
            let below = |column: &Vec<i64>| column.get(node).copied().unwrap_or(0);
            let mut step = Step {
                skipped: true,
                edge: NONE,
                ..above
            };
            let first = line_on_path.get_mut(frame.index()).is_some_and(|count| {
                *count += 1;
                *count == 1
            });
            if kept.get(frame.index()) == Some(&true) {
                let id = match ids.get_mut(frame.index()) {
                    Some(id) if *id != NONE => *id,
                    place => {
                        let id = u32::try_from(nodes.len()).unwrap_or(NONE);
                        nodes.push(Node {
                            lines: vec![frame],
                            weights: vec![Weights::default(); columns],
                        });
                        if let Some(place) = place {
                            *place = id;
                        }
                        id
                    }
                };
                if let Some(sums) = nodes.get_mut(id as usize) {
                    let weights = self.own.iter().zip(&self.below);
                    for (sum, (own, under)) in sums.weights.iter_mut().zip(weights) {
                        let under = below(under);
                        sum.local = sum.local.saturating_add(below(own));
                        if first {
                            sum.cumulative = sum.cumulative.saturating_add(under);
                        }
                        if above.nearest == NONE {
                            sum.begins = sum.begins.saturating_add(under);
                        }
                    }
                }
                if above.nearest != NONE && above.nearest != id {
                    let number = *numbers.entry((above.nearest, id)).or_insert_with(|| {
                        edges.push(Edge {
                            from: above.nearest as usize,
                            to: id as usize,
                            weights: vec![0; columns],
                            residual: false,
                        });
                        edge_on_path.push(0);
                        u32::try_from(edges.len() - 1).unwrap_or(NONE)
                    });
                    step.edge = number;
                    let met = edge_on_path.get_mut(number as usize).is_some_and(|count| {
                        *count += 1;
                        *count > 1
                    });
                    if let Some(edge) = edges.get_mut(number as usize) {
                        edge.residual |= above.skipped;
                        if !met {
                            for (sum, column) in edge.weights.iter_mut().zip(&self.below) {
                                *sum = sum.saturating_add(below(column));
                            }
                        }
                    }
                }
                step.nearest = id;
                step.skipped = false;
            }
            path.push((frame, step));
        }
        // Where lines are skipped, a stack can end at one; it stays counted at the kept ones above,
        // as their cumulative usage. Edges whose stacks cancel are no rows.
        edges.retain(|edge| edge.weights.iter().any(|&weight| weight != 0));
        FlowGraph {
            traces: self.traces.clone(),
            columns: self.columns.clone(),
            nodes,
            edges,
            outgoing: Vec::new(),
            incoming: (Vec::new(), Vec::new()),
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
        for edge in &self.edges {
            for end in [edge.from, edge.to] {
                if let Some(told) = told.get_mut(end) {
                    *told = true;
                }
            }
        }
        self.keep_nodes(&told);
        self
    }

    /// Leaves out nodes, and their edges.
    pub(super) fn keep_nodes(&mut self, kept: &[bool]) {
        let mut new_id = Vec::with_capacity(kept.len());
        let mut count = 0;
        for &kept in kept {
            new_id.push(kept.then_some(count));
            count += usize::from(kept);
        }
        let of = |old: usize| new_id.get(old).copied().flatten();
        let mut place = 0;
        self.nodes.retain(|_| {
            place += 1;
            of(place - 1).is_some()
        });
        self.edges
            .retain_mut(|edge| match (of(edge.from), of(edge.to)) {
                (Some(from), Some(to)) => {
                    (edge.from, edge.to) = (from, to);
                    true
                }
                _ => false,
            });
    }
}
