//! From the call tree to nodes and edges, when some lines are skipped.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::smallvec;

use super::{Draft, Edge, EdgeWeights, FlowGraph, Node, Weights};
use crate::analysis::groups::Groups;
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

/// Above where stacks begin.
const START: Step = Step {
    nearest: NONE,
    skipped: false,
    edge: NONE,
};

impl Draft<'_> {
    /// The graph of the lines that are kept.
    ///
    /// Walks the call tree once, in preorder, and knows at each node which edges are on the way to it:
    /// the first time an edge is met, all stacks below contain it; the next time they are counted.
    pub(super) fn graph(&self, kept: &[bool]) -> FlowGraph {
        let mut walk = Walk::new(self);
        for (place, node, frame) in self.subtree.places() {
            walk.leave(self.traces.tree().depth(node) - 1);
            walk.enter(place, frame, kept.get(frame.index()) == Some(&true));
        }
        let Walk {
            nodes,
            edges,
            weights,
            ..
        } = walk;
        let edges = edges.into_iter().map(|growing| growing.edge);
        // Where lines are skipped, a stack can end at one; it stays counted at the kept ones above,
        // as their cumulative usage. Edges whose stacks cancel are no rows.
        let edges = edges.filter(|edge| weights.of(edge).iter().any(|&weight| weight != 0));
        FlowGraph {
            traces: self.traces.clone(),
            columns: self.columns.clone(),
            nodes,
            edges: edges.collect(),
            weights,
            outgoing: Groups::default(),
            incoming: Groups::default(),
            damaged: self.damaged,
        }
        .without_nothing()
    }
}

/// An edge, and how often it is on the path: both are looked at together.
struct Growing {
    edge: Edge,
    on_path: u32,
}

/// A walk over the call tree.
struct Walk<'d> {
    draft: &'d Draft<'d>,
    nodes: Vec<Node>,
    edges: Vec<Growing>,
    weights: EdgeWeights,
    /// The node of each line.
    ids: Vec<u32>,
    /// The edges by the nodes that they are between.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    path: Vec<(FrameId, Step)>,
    /// How often each line is on the path.
    line_on_path: Vec<u32>,
}

impl<'d> Walk<'d> {
    fn new(draft: &'d Draft<'d>) -> Self {
        let lines = draft.traces.frame_count();
        Self {
            draft,
            nodes: Vec::new(),
            edges: Vec::new(),
            weights: EdgeWeights::new(draft.columns.len()),
            ids: vec![NONE; lines],
            // A place has one edge at most.
            numbers: HashTable::with_capacity(draft.subtree.len()),
            hasher: DefaultHashBuilder::default(),
            path: Vec::new(),
            line_on_path: vec![0; lines],
        }
    }

    /// Back to so many frames.
    fn leave(&mut self, depth: usize) {
        for (left, step) in self.path.drain(depth.min(self.path.len())..) {
            if let Some(count) = self.line_on_path.get_mut(left.index()) {
                *count -= 1;
            }
            if let Some(growing) = self.edges.get_mut(step.edge as usize) {
                growing.on_path -= 1;
            }
        }
    }

    /// One frame further, to this place.
    fn enter(&mut self, place: usize, frame: FrameId, is_kept: bool) {
        let above = self.path.last().map_or(START, |&(_, step)| step);
        let mut step = Step {
            skipped: true,
            edge: NONE,
            ..above
        };
        let first = self
            .line_on_path
            .get_mut(frame.index())
            .is_some_and(|count| {
                *count += 1;
                *count == 1
            });
        if is_kept {
            let id = self.node(frame);
            self.add_to_node(id, place, first, above.nearest == NONE);
            if above.nearest != NONE && above.nearest != id {
                step.edge = self.edge(above.nearest, id);
                self.add_to_edge(step.edge, place, above.skipped);
            }
            step.nearest = id;
            step.skipped = false;
        }
        self.path.push((frame, step));
    }

    fn node(&mut self, frame: FrameId) -> u32 {
        let new = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let columns = self.draft.columns.len();
        match self.ids.get_mut(frame.index()) {
            Some(id) if *id != NONE => return *id,
            Some(id) => *id = new,
            None => {}
        }
        self.nodes.push(Node {
            lines: smallvec![frame],
            weights: smallvec![Weights::default(); columns],
        });
        new
    }

    fn add_to_node(&mut self, id: u32, place: usize, first: bool, begins: bool) {
        let Some(node) = self.nodes.get_mut(id as usize) else {
            return;
        };
        let at = |column: &Vec<i64>| column.get(place).copied().unwrap_or(0);
        let columns = self.draft.own.iter().zip(&self.draft.below);
        for (sum, (own, below)) in node.weights.iter_mut().zip(columns) {
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

    fn edge(&mut self, from: u32, to: u32) -> u32 {
        let Self {
            edges,
            weights,
            numbers,
            hasher,
            ..
        } = self;
        let edge = |number: u32| edges.get(number as usize).map(|growing| growing.edge);
        let hash = hasher.hash_one((from, to));
        let known = |&number: &u32| edge(number).is_some_and(|edge| edge.ends() == (from, to));
        if let Some(&known) = numbers.find(hash, known) {
            return known;
        }
        let number = weights.push_zeros();
        numbers.insert_unique(hash, number, |&number| {
            edge(number).map_or(0, |edge| hasher.hash_one(edge.ends()))
        });
        edges.push(Growing {
            edge: Edge::new(from, to, number),
            on_path: 0,
        });
        number
    }

    fn add_to_edge(&mut self, number: u32, place: usize, skipped: bool) {
        let Some(Growing { edge, on_path }) = self.edges.get_mut(number as usize) else {
            return;
        };
        edge.residual |= skipped;
        *on_path += 1;
        if *on_path == 1 {
            for (sum, below) in self.weights.of_mut(edge).iter_mut().zip(&self.draft.below) {
                *sum = sum.saturating_add(below.get(place).copied().unwrap_or(0));
            }
        }
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
        self.keep_nodes(&told);
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
