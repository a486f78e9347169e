//! [`LineNodes`]: which lines are the nodes of a graph, and to which node each place of the call tree belongs.

use std::cmp::Reverse;

use smallvec::smallvec;

use super::weighted_tree::{PlaceWeights, WeightedTree};
use super::{FlowNodeId, Node, Weights, size};
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::view::subtree::{PlaceId, Subtree};

/// The role of a place in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// The line is kept, and is not in the stack further out.
    First,
    /// The line is kept, and is in the stack further out as well.
    Again,
    #[default]
    Skipped,
}

/// The nodes of the lines that are kept, and where in the call tree they are.
#[derive(Debug)]
pub(super) struct LineNodes {
    /// For each place the node of the nearest kept line at or above it, or [`FlowNodeId::NONE`].
    nearest: IdVec<PlaceId, FlowNodeId>,
    roles: IdVec<PlaceId, Role>,
    /// The line of each node.
    lines: IdVec<FlowNodeId, FrameId>,
}

impl LineNodes {
    /// Numbers the nodes in the order in which a walk meets them.
    pub(super) fn new(tree: &WeightedTree<'_>, kept: &IdVec<FrameId, bool>) -> Self {
        let subtree = &tree.subtree;
        let mut nodes = Self {
            nearest: IdVec::with_capacity(subtree.len()),
            roles: IdVec::with_capacity(subtree.len()),
            lines: IdVec::new(),
        };
        let mut of_line = IdVec::filled(tree.traces.frame_count(), FlowNodeId::NONE);
        nodes.nearest.push(FlowNodeId::NONE);
        nodes.roles.push(Role::First);
        for (place, line) in subtree.places() {
            let role = match (kept.get(line), subtree.recurs(place)) {
                (false, _) => Role::Skipped,
                (true, false) => Role::First,
                (true, true) => Role::Again,
            };
            let node = match (role, of_line.get(line)) {
                (Role::Skipped, _) => nodes.caller(subtree, place),
                (_, FlowNodeId::NONE) => {
                    let new = nodes.lines.push(line);
                    of_line.set(line, new);
                    new
                }
                (_, known) => known,
            };
            nodes.nearest.push(node);
            nodes.roles.push(role);
        }
        nodes
    }

    /// Whether any place has this role.
    pub(super) fn any(&self, role: Role) -> bool {
        self.roles.values().contains(&role)
    }

    /// Whether the line of a place is skipped.
    pub(super) fn is_skipped(&self, place: PlaceId) -> bool {
        self.roles.get(place) == Role::Skipped
    }

    /// The node of the nearest kept line above a place, or [`FlowNodeId::NONE`].
    fn caller(&self, subtree: &Subtree<'_>, place: PlaceId) -> FlowNodeId {
        self.nearest.get(subtree.parent(place))
    }

    /// For each place that is not the root's the node above it, and its own.
    pub(super) fn steps(
        &self,
        subtree: &Subtree<'_>,
    ) -> impl Iterator<Item = (PlaceId, FlowNodeId, FlowNodeId)> {
        let nearest = self.nearest.iter().skip(1);
        nearest.map(|(place, &node)| (place, self.caller(subtree, place), node))
    }

    /// The weights of each node in a column. A stack that ends at a skipped line counts for the cumulative
    /// weight of the kept lines above.
    fn weights(&self, subtree: &Subtree<'_>, column: &PlaceWeights) -> IdVec<FlowNodeId, Weights> {
        let mut sums = IdVec::<FlowNodeId, Weights>::defaults(self.lines.len());
        for (place, caller, node) in self.steps(subtree) {
            let role = self.roles.get(place);
            if role == Role::Skipped {
                continue;
            }
            let below = column.below.get(place);
            let first = if role == Role::First { below } else { 0 };
            let begins = if caller == FlowNodeId::NONE { below } else { 0 };
            sums.update(node, |sum| {
                sum.local = sum.local.saturating_add(column.own.get(place));
                sum.cumulative = sum.cumulative.saturating_add(first);
                sum.begins = sum.begins.saturating_add(begins);
            });
        }
        sums
    }

    /// The nodes in their order, by which they are numbered from now on.
    pub(super) fn nodes(&mut self, tree: &WeightedTree<'_>) -> IdVec<FlowNodeId, Node> {
        let columns = tree.columns.iter();
        let columns: Vec<_> = columns.map(|it| self.weights(&tree.subtree, it)).collect();
        let weights = |node| columns.iter().map(move |column| column.get(node));
        let lines = self.lines.iter();
        let order = lines.map(|(node, &line)| {
            (
                Reverse(size(weights(node).map(|it| it.cumulative))),
                line,
                node,
            )
        });
        let mut order: Vec<_> = order.collect();
        order.sort_unstable();
        let mut new_ids = IdVec::filled(order.len(), FlowNodeId::NONE);
        for (new, &(.., old)) in order.iter().enumerate() {
            new_ids.set(old, FlowNodeId::from_index(new));
        }
        for node in self.nearest.values_mut() {
            *node = new_ids.find(*node).copied().unwrap_or(FlowNodeId::NONE);
        }
        let nodes = order.into_iter().map(|(_, line, old)| Node {
            lines: smallvec![line],
            weights: weights(old).collect(),
        });
        nodes.collect()
    }
}
