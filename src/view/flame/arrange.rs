//! Orders the nodes of a flame graph as they are drawn, in preorder, and sums them up.

use std::cmp::Reverse;

use super::{FlameGraph, FlameIndex, FlameWeight, Label, Node};
use crate::error::Taint;
use crate::id::Id;
use crate::id_vec::{DenseId, IdVec};
use crate::trace::TraceTable;
use crate::view::groups::Groups;

/// The order of the children of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Heaviest,
    Alphabetical,
}

/// The id of a [`RawNode`].
pub(super) type RawId = DenseId<RawKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct RawKind;

/// A node before the nodes are in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawNode {
    pub(super) label: Label,
    /// An earlier node; the root's own for the root.
    pub(super) parent: RawId,
    pub(super) own: FlameWeight,
}

/// The root, without a weight of its own.
impl Default for RawNode {
    fn default() -> Self {
        Self::new(Label::All, RawId::ROOT)
    }
}

impl RawNode {
    /// A node without a weight of its own.
    pub(super) fn new(label: Label, parent: RawId) -> Self {
        Self {
            label,
            parent,
            own: FlameWeight::default(),
        }
    }
}

impl FlameGraph {
    /// The same graph with children in the order of their names, so that two graphs can be compared side
    /// by side; by default the widest comes first. What is unknown or was cut is last.
    #[must_use]
    pub fn alphabetical(self) -> Self {
        // The nodes are in preorder, so each has an earlier parent.
        let raw = self.nodes.values().iter().map(|node| RawNode {
            label: node.label,
            parent: RawId::from_index(node.parent.index()),
            own: node.own,
        });
        let raw = raw.collect();
        Self::arranged(self.traces, Order::Alphabetical, &raw, self.damaged)
    }

    /// The graph of these nodes. The first is the root. O(n log n).
    pub(super) fn arranged(
        traces: TraceTable,
        order: Order,
        raw: &IdVec<RawId, RawNode>,
        damaged: Taint,
    ) -> Self {
        let own = raw.values().iter().map(|node| node.own);
        let mut totals: IdVec<RawId, FlameWeight> = own.collect();
        totals.sum_up(
            |_, id| raw.get(id).parent,
            |above, total| *above = above.plus(total),
        );
        let parents = raw.iter().map(|(id, node)| {
            if id == RawId::ROOT || totals.get(id).is_zero() {
                RawId::NONE
            } else {
                node.parent
            }
        });
        let mut children = Groups::<RawId, RawId>::new(parents, raw.len());
        children.sort_each_by_key(|id| {
            let label = raw.get(id).label;
            let (size, name) = match (order, label) {
                (Order::Heaviest, _) => (totals.get(id).size(), None),
                (Order::Alphabetical, Label::Frame(line)) => (0, traces.frame(line)),
                (Order::Alphabetical, _) => (0, None),
            };
            let is_last = !matches!(label, Label::Frame(_));
            (is_last, Reverse(size), name, label)
        });

        let mut nodes = IdVec::with_capacity(children.len() + 1);
        // The nodes to place next, the first of them last, with the parent of each.
        let mut stack = vec![(RawId::ROOT, FlameIndex::ROOT, 0_u32)];
        while let Some((id, parent, depth)) = stack.pop() {
            let RawNode { label, own, .. } = raw.get(id);
            let here = nodes.push(Node {
                label,
                parent,
                depth,
                end: FlameIndex::from_index(nodes.len() + 1),
                own,
                total: totals.get(id),
            });
            let below = children.of(id).iter().rev();
            stack.extend(below.map(|&child| (child, here, depth + 1)));
        }
        // A subtree ends where its last node does.
        nodes.sum_up(
            |nodes, id| nodes.get(id).parent,
            |above, node| above.end = above.end.max(node.end),
        );
        Self {
            traces,
            order,
            nodes,
            damaged,
        }
    }
}
