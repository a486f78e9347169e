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
        let recurring = self.traces.recurring();
        let mut nodes = Sums::new(self);
        let mut calls = Calls::with_room(self.subtree.len());
        // Of each place the nearest kept line at or above it, and whether its own is skipped.
        let mut nearest = Vec::with_capacity(self.subtree.len());
        nearest.push((NONE, false));
        let above = self.subtree.parents().iter().skip(1);
        for ((place, node, frame), &above) in self.subtree.places().zip(above) {
            let (from, residual) = *nearest.get(above as usize).unwrap_or(&(NONE, false));
            if kept.get(frame.index()) != Some(&true) {
                nearest.push((from, true));
                continue;
            }
            let recurs = recurring.get(node as usize) == Some(&true);
            calls.recurs |= recurs;
            let to = nodes.id(frame);
            nodes.add(to, place, !recurs, from == NONE);
            nearest.push((to, false));
            // A line that calls itself is no edge.
            if from != NONE && from != to {
                let place = u32::try_from(place).unwrap_or(NONE);
                calls.add(from, Call { to, place }, residual);
            }
        }
        let (nodes, numbers) = nodes.in_order();
        let (edges, weights) = calls.edges(self, &numbers);
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

    /// The nodes in their order, and the number that each has there. Where lines are skipped, a stack
    /// can end at one; it stays counted at the kept ones above, as their cumulative usage.
    fn in_order(self) -> (Vec<Node>, Vec<u32>) {
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
        (nodes, numbers)
    }
}

/// A node is called, at a place in the call tree.
#[derive(Debug, Clone, Copy, Default)]
struct Call {
    to: u32,
    place: u32,
}

/// Where in the call tree one node calls another, in the order of the places.
#[derive(Debug)]
struct Calls {
    callers: Vec<u32>,
    called: Vec<Call>,
    /// For each place whether lines were skipped before its call; nothing where none were.
    residual: Vec<bool>,
    places: usize,
    /// Whether a kept line recurs in any stack.
    recurs: bool,
}

impl Calls {
    fn with_room(places: usize) -> Self {
        Self {
            callers: Vec::with_capacity(places),
            called: Vec::with_capacity(places),
            residual: Vec::new(),
            places,
            recurs: false,
        }
    }

    #[inline]
    fn add(&mut self, from: u32, call: Call, residual: bool) {
        self.callers.push(from);
        self.called.push(call);
        if residual {
            self.residual.resize(self.places, false);
            if let Some(is) = self.residual.get_mut(call.place as usize) {
                *is = true;
            }
        }
    }

    /// The calls of each node together, in the order of the places, between nodes that have these
    /// `numbers`; and where those of each node begin.
    fn by_caller(&self, numbers: &[u32]) -> (Vec<Call>, Vec<u32>) {
        let number = |id: u32| numbers.get(id as usize).copied().unwrap_or(0);
        let mut next = vec![0_u32; numbers.len() + 1];
        for &caller in &self.callers {
            if let Some(after) = next.get_mut(number(caller) as usize + 1) {
                *after += 1;
            }
        }
        let mut sum = 0;
        for next in &mut next {
            sum += *next;
            *next = sum;
        }
        let begins = next.clone();
        let mut calls = vec![Call::default(); self.called.len()];
        for (&caller, &Call { to, place }) in self.callers.iter().zip(&self.called) {
            if let Some(next) = next.get_mut(number(caller) as usize) {
                if let Some(slot) = calls.get_mut(*next as usize) {
                    let to = number(to);
                    *slot = Call { to, place };
                }
                *next += 1;
            }
        }
        (calls, begins)
    }

    /// The edges between nodes that have these numbers, those of one caller together, and what they
    /// weigh.
    fn edges(&self, draft: &Draft<'_>, numbers: &[u32]) -> (Vec<Edge>, EdgeWeights) {
        let (calls, begins) = self.by_caller(numbers);
        let ends = self.recurs.then(|| draft.subtree.ends());
        let mut edges: Vec<Edge> = Vec::with_capacity(calls.len());
        let mut weights = EdgeWeights::new(draft.columns.len());
        // The edge that was met last to each node.
        let mut edge_to = vec![0_u32; numbers.len()];
        // Where the part of the tree ends that each edge of a caller has counted last.
        let mut counted: Vec<u32> = Vec::new();
        let mut order: Vec<u128> = Vec::new();
        let mut met: Vec<Edge> = Vec::new();
        for (bounds, from) in begins.windows(2).zip(0_u32..) {
            let &[begin, end] = bounds else { continue };
            let first = edges.len();
            counted.clear();
            for call in calls.get(begin as usize..end as usize).unwrap_or_default() {
                let Some(last) = edge_to.get_mut(call.to as usize) else {
                    continue;
                };
                let known = edges.get(*last as usize);
                if known.is_none_or(|edge| edge.ends() != (from, call.to)) {
                    *last = u32::try_from(edges.len()).unwrap_or(NONE);
                    edges.push(Edge::new(from, call.to, weights.push_zeros()));
                    counted.push(0);
                }
                let last = *last as usize;
                let Some(edge) = edges.get_mut(last) else {
                    continue;
                };
                let place = call.place as usize;
                edge.residual |= self.residual.get(place) == Some(&true);
                // A stack that goes this way twice counts once, and all below is counted with it.
                if let (Some(ends), Some(counted)) = (&ends, counted.get_mut(last - first)) {
                    if call.place < *counted {
                        continue;
                    }
                    *counted = ends.get(place).copied().unwrap_or(0);
                }
                for (sum, below) in weights.of_mut(edge).iter_mut().zip(&draft.below) {
                    *sum = sum.saturating_add(below.get(place).copied().unwrap_or(0));
                }
            }
            // Edges whose stacks cancel are no rows.
            let told = |edge: &Edge| weights.of(edge).iter().any(|&weight| weight != 0);
            if let [only] = edges.get(first..).unwrap_or_default() {
                if !told(only) {
                    edges.truncate(first);
                }
                continue;
            }
            met.extend(edges.drain(first..));
            let told = met.iter().filter(|edge| told(edge));
            order.extend(told.map(|edge| weights.key(edge)));
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
