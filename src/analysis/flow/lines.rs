//! Which lines are the nodes of a graph, and where in the call tree is each?
//!
//! A walk over the tree finds the nearest kept line at or above each of its places. Whatever is summed up
//! is then summed up for one column after the other, in a loop that does nothing else.

use smallvec::{SmallVec, smallvec};

use super::{Draft, Node, Ranked, Weights, size};
use crate::id::FrameId;

/// No line.
pub(super) const NONE: u32 = u32::MAX;

/// What the line of a place is to the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It is kept, and stands for the first time in the stack.
    First,
    /// It is kept, and stands further out in the stack as well.
    Again,
    Skipped,
}

/// The kept lines in the call tree.
#[derive(Debug)]
pub(super) struct Lines {
    /// For each place the node of the nearest kept line at or above it.
    nearest: Vec<u32>,
    roles: Vec<Role>,
    /// The line of each node, in the order in which they are met.
    of_nodes: Vec<FrameId>,
    /// Whether one of them recurs in any stack.
    pub(super) recur: bool,
    /// Whether there are lines that are not kept.
    pub(super) are_skipped: bool,
}

impl Lines {
    /// Nodes have numbers in the order in which they are met, until [they are asked for](Self::nodes).
    pub(super) fn new(draft: &Draft<'_>, kept: &[bool]) -> Self {
        let places = draft.subtree.len();
        let recurring = draft.traces.recurring();
        let mut lines = Self {
            nearest: Vec::with_capacity(places),
            roles: Vec::with_capacity(places),
            of_nodes: Vec::new(),
            recur: false,
            are_skipped: false,
        };
        let mut nodes = vec![NONE; draft.traces.frame_count()];
        lines.push(NONE, Role::First);
        let above = draft.subtree.parents().iter().skip(1);
        for ((_, node, frame), &above) in draft.subtree.places().zip(above) {
            if kept.get(frame.index()) != Some(&true) {
                lines.are_skipped = true;
                lines.push(lines.nearest(above), Role::Skipped);
                continue;
            }
            let recurs = recurring.find(node) == Some(&true);
            lines.recur |= recurs;
            let role = if recurs { Role::Again } else { Role::First };
            let node = lines.node(frame, &mut nodes);
            lines.push(node, role);
        }
        lines
    }

    /// The node of a line, when `nodes` has those of all lines that were met.
    fn node(&mut self, line: FrameId, nodes: &mut [u32]) -> u32 {
        let new = u32::try_from(self.of_nodes.len()).unwrap_or(NONE);
        match nodes.get_mut(line.index()) {
            Some(node) if *node != NONE => return *node,
            Some(node) => *node = new,
            None => {}
        }
        self.of_nodes.push(line);
        new
    }

    fn push(&mut self, nearest: u32, role: Role) {
        self.nearest.push(nearest);
        self.roles.push(role);
    }

    /// Whether the line of a place is skipped.
    pub(super) fn is_skipped(&self, place: u32) -> bool {
        self.roles.get(place as usize) == Some(&Role::Skipped)
    }

    fn nearest(&self, place: u32) -> u32 {
        self.nearest.get(place as usize).copied().unwrap_or(NONE)
    }

    /// For each place but the root's the node above, and its own.
    pub(super) fn steps(&self, draft: &Draft<'_>) -> impl Iterator<Item = (u32, u32)> {
        let above = draft.subtree.parents().iter();
        let above = above.map(|&above| self.nearest(above));
        above.zip(self.nearest.iter().copied()).skip(1)
    }

    /// What ends at each node, and at or below it: of each a row with all columns. Where lines are
    /// skipped, a stack can end at one; it stays counted at the kept ones above, as their cumulative
    /// usage.
    fn weights(&self, draft: &Draft<'_>) -> Vec<Weights> {
        let columns = draft.columns.len();
        let mut weights = vec![Weights::default(); self.of_nodes.len() * columns];
        for (column, (own, below)) in draft.own.iter().zip(&draft.below).enumerate() {
            let weights = weights.get_mut(column..).unwrap_or_default();
            let places = self.roles.iter().zip(own).zip(below).skip(1);
            for ((from, to), ((&role, &own), &below)) in self.steps(draft).zip(places) {
                if role == Role::Skipped {
                    continue;
                }
                let Some(sums) = weights.get_mut(to as usize * columns) else {
                    continue;
                };
                sums.local = sums.local.saturating_add(own);
                let first = if role == Role::First { below } else { 0 };
                sums.cumulative = sums.cumulative.saturating_add(first);
                let begins = if from == NONE { below } else { 0 };
                sums.begins = sums.begins.saturating_add(begins);
            }
        }
        weights
    }

    /// The nodes in their order. They have their numbers from there on.
    pub(super) fn nodes(&mut self, draft: &Draft<'_>) -> Vec<Node> {
        let columns = draft.columns.len();
        let weights = self.weights(draft);
        let row = |node: u32| {
            let begin = node as usize * columns;
            weights.get(begin..begin + columns).unwrap_or_default()
        };
        let lines = self.of_nodes.iter().zip(0..);
        let order = lines.map(|(line, node)| Ranked::new(size(row(node)), line.0, node));
        let mut order: Vec<Ranked> = order.collect();
        order.sort_unstable();
        let mut numbers = vec![NONE; order.len()];
        for (ranked, number) in order.iter().zip(0..) {
            if let Some(place) = numbers.get_mut(ranked.place() as usize) {
                *place = number;
            }
        }
        let nodes = order.into_iter().map(|ranked| Node {
            lines: smallvec![FrameId(ranked.number())],
            weights: SmallVec::from_slice(row(ranked.place())),
        });
        let nodes = nodes.collect();
        for node in &mut self.nearest {
            if let Some(&number) = numbers.get(*node as usize) {
                *node = number;
            }
        }
        nodes
    }
}
