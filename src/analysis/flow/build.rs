//! From the call tree to nodes and edges, when some lines are skipped.
//!
//! A first walk over the tree finds the nearest kept line at or above each of its places: where that
//! changes, one calls the other. Then the calls of one node after the other are summed up, so that
//! a list of what it calls is all that has to be looked into: a graph has nearly as many edges as
//! the tree has nodes, and a map of all of them would fit no cache.

use smallvec::smallvec;

use super::{Draft, Edge, EdgeWeights, FlowGraph, Node, Weights, node_key, number_of};
use crate::analysis::groups::Groups;
use crate::id::FrameId;

/// No line.
const NONE: u32 = u32::MAX;

impl Draft<'_> {
    /// The graph of the lines that are kept. O(places of the call tree).
    pub(super) fn graph(&self, kept: &[bool]) -> FlowGraph {
        let skips = kept.contains(&false);
        let recurring = self.traces.recurring();
        let mut nodes = Sums::new(self);
        let mut calls = Calls::new(self);
        let above = self.subtree.parents().iter().skip(1);
        for ((place, node, frame), &above) in self.subtree.places().zip(above) {
            let is_kept = kept.get(frame.index()) == Some(&true);
            let above = calls.nearest(above as usize);
            calls.nearest.push(if is_kept {
                let recurs = recurring.get(node as usize) == Some(&true);
                calls.recurs |= recurs;
                let id = nodes.id(frame);
                nodes.add(id, place, !recurs, above == NONE);
                id
            } else {
                above
            });
            if skips {
                calls.skipped.push(!is_kept);
            }
        }
        let nodes = nodes.in_order(&mut calls.nearest);
        let (edges, weights) = calls.edges(nodes.len());
        FlowGraph {
            traces: self.traces.clone(),
            columns: self.columns.clone(),
            nodes,
            edges,
            weights,
            outgoing: Groups::default(),
            incoming: Groups::default(),
            damaged: self.damaged,
        }
        .without_nothing()
    }
}

/// The nodes while they grow.
struct Sums<'d> {
    draft: &'d Draft<'d>,
    /// The line of each node.
    lines: Vec<FrameId>,
    /// For each node the weights of each column.
    weights: Vec<Weights>,
    /// The node of each line.
    ids: Vec<u32>,
}

impl<'d> Sums<'d> {
    fn new(draft: &'d Draft<'d>) -> Self {
        Self {
            draft,
            lines: Vec::new(),
            weights: Vec::new(),
            ids: vec![NONE; draft.traces.frame_count()],
        }
    }

    /// The node of a line.
    fn id(&mut self, frame: FrameId) -> u32 {
        let new = u32::try_from(self.lines.len()).unwrap_or(NONE);
        match self.ids.get_mut(frame.index()) {
            Some(id) if *id != NONE => return *id,
            Some(id) => *id = new,
            None => {}
        }
        self.lines.push(frame);
        for _ in &self.draft.columns {
            self.weights.push(Weights::default());
        }
        new
    }

    /// Adds what ends at a place, and at or below it, to a node.
    fn add(&mut self, id: u32, place: usize, first: bool, begins: bool) {
        let columns = self.draft.columns.len();
        let row = id as usize * columns;
        let row = self.weights.get_mut(row..row + columns);
        let at = |column: &Vec<i64>| column.get(place).copied().unwrap_or(0);
        let columns = self.draft.own.iter().zip(&self.draft.below);
        for (sum, (own, below)) in row.unwrap_or_default().iter_mut().zip(columns) {
            let below = at(below);
            sum.local = sum.local.saturating_add(at(own));
            if first {
                sum.cumulative = sum.cumulative.saturating_add(below);
            }
            if begins {
                sum.begins = sum.begins.saturating_add(below);
            }
        }
    }

    /// The nodes in their order; gives each place the number that its node has there. Where lines are
    /// skipped, a stack can end at one; it stays counted at the kept ones above, as their cumulative
    /// usage.
    fn in_order(self, nearest: &mut [u32]) -> Vec<Node> {
        let columns = self.draft.columns.len();
        let row = |id: usize| self.weights.get(id * columns..(id + 1) * columns);
        let mut order: Vec<u128> = self
            .lines
            .iter()
            .enumerate()
            .map(|(id, &line)| node_key(Some(line), row(id).unwrap_or_default()))
            .collect();
        order.sort_unstable();
        let mut numbers = vec![NONE; order.len()];
        let mut nodes = Vec::with_capacity(order.len());
        for (key, number) in order.into_iter().zip(0_u32..) {
            let id = self.ids.get(number_of(key)).map_or(0, |&id| id as usize);
            if let (Some(&line), Some(place)) = (self.lines.get(id), numbers.get_mut(id)) {
                *place = number;
                nodes.push(Node {
                    lines: smallvec![line],
                    weights: row(id).unwrap_or_default().into(),
                });
            }
        }
        for id in nearest {
            *id = numbers.get(*id as usize).copied().unwrap_or(NONE);
        }
        nodes
    }
}

/// Where in the call tree one node calls another.
struct Calls<'d> {
    draft: &'d Draft<'d>,
    /// For each place the node of the nearest kept line at or above it.
    nearest: Vec<u32>,
    /// For each place whether its line is skipped; nothing where none is.
    skipped: Vec<bool>,
    /// Whether a kept line recurs in any stack.
    recurs: bool,
}

impl<'d> Calls<'d> {
    fn new(draft: &'d Draft<'d>) -> Self {
        let mut nearest = Vec::with_capacity(draft.subtree.len());
        nearest.push(NONE);
        Self {
            draft,
            nearest,
            skipped: vec![false],
            recurs: false,
        }
    }

    fn nearest(&self, place: usize) -> u32 {
        self.nearest.get(place).copied().unwrap_or(NONE)
    }

    fn above(&self, place: usize) -> usize {
        let parents = self.draft.subtree.parents();
        parents.get(place).map_or(0, |&above| above as usize)
    }

    /// The edges between so many nodes, those of one caller together, and what they weigh.
    fn edges(&self, count: usize) -> (Vec<Edge>, EdgeWeights) {
        let by_caller = Groups::new(
            (0..self.nearest.len()).map(|place| {
                let (from, to) = (self.nearest(self.above(place)), self.nearest(place));
                // No node has this number.
                if from == to {
                    usize::MAX
                } else {
                    from as usize
                }
            }),
            count,
        );
        let ends = self.recurs.then(|| self.draft.subtree.ends());
        let mut edges: Vec<Edge> = Vec::new();
        let mut weights = EdgeWeights::new(self.draft.columns.len());
        // The edge that was met last to each node.
        let mut edge_to = vec![0_u32; count];
        // Where the part of the tree ends that each edge of a caller has counted last.
        let mut counted: Vec<u32> = Vec::new();
        let mut order: Vec<u128> = Vec::new();
        let mut met: Vec<Edge> = Vec::new();
        for (caller, from) in (0..count).zip(0_u32..) {
            let first = edges.len();
            counted.clear();
            for place in by_caller.of(caller) {
                let to = self.nearest(place);
                let Some(last) = edge_to.get_mut(to as usize) else {
                    continue;
                };
                let known = edges.get(*last as usize);
                if known.is_none_or(|edge| edge.ends() != (from, to)) {
                    *last = u32::try_from(edges.len()).unwrap_or(NONE);
                    edges.push(Edge::new(from, to, weights.push_zeros()));
                    counted.push(0);
                }
                let last = *last as usize;
                let Some(edge) = edges.get_mut(last) else {
                    continue;
                };
                edge.residual |= self.skipped.get(self.above(place)) == Some(&true);
                // A stack that goes this way twice counts once, and all below is counted with it.
                if let (Some(ends), Some(counted)) = (&ends, counted.get_mut(last - first)) {
                    if place < *counted as usize {
                        continue;
                    }
                    *counted = ends.get(place).copied().unwrap_or(0);
                }
                for (sum, below) in weights.of_mut(edge).iter_mut().zip(&self.draft.below) {
                    *sum = sum.saturating_add(below.get(place).copied().unwrap_or(0));
                }
            }
            met.extend(edges.drain(first..));
            // Edges whose stacks cancel are no rows.
            let told = |edge: &&Edge| weights.of(edge).iter().any(|&weight| weight != 0);
            order.extend(met.iter().filter(told).map(|edge| weights.key(edge)));
            order.sort_unstable();
            edges.extend(order.drain(..).filter_map(|key| {
                let place = *edge_to.get(number_of(key))? as usize;
                met.get(place.checked_sub(first)?)
            }));
            met.clear();
        }
        (edges, weights)
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
