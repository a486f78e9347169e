//! From nodes that know their parents to a tree in preorder, in the order in which it is drawn.

use std::cmp::Reverse;

use super::{FlameGraph, FlameWeight, Label, Node};
use crate::analysis::groups::Groups;

/// No node.
const NOWHERE: usize = usize::MAX;

use crate::error::Damaged;
use crate::trace::TraceTable;

/// How children stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Heaviest,
    Alphabetical,
}

/// A node whose place is not found yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    pub(super) label: Label,
    /// An earlier one; the first is its own.
    pub(super) parent: u32,
    pub(super) own: FlameWeight,
}

impl FlameGraph {
    /// The same graph with children in the order of their names, so that two graphs can be laid
    /// beside each other; by default the widest comes first. What is unknown or was cut is last.
    #[must_use]
    pub fn alphabetical(self) -> Self {
        let drafts = self.drafts();
        Self::arranged(self.traces, Order::Alphabetical, &drafts, self.damaged)
    }

    /// The nodes as they stand, to be arranged anew.
    fn drafts(&self) -> Vec<Draft> {
        let draft = |node: &Node| Draft {
            label: node.label,
            parent: node.parent,
            own: node.own,
        };
        self.nodes.iter().map(draft).collect()
    }

    /// Sums up, orders and numbers the nodes, of which the first is the root. O(n log n).
    pub(super) fn arranged(
        traces: TraceTable,
        order: Order,
        drafts: &[Draft],
        damaged: Damaged,
    ) -> Self {
        let mut totals: Vec<FlameWeight> = drafts.iter().map(|draft| draft.own).collect();
        for (place, draft) in drafts.iter().enumerate().skip(1).rev() {
            let total = totals.get(place).copied().unwrap_or_default();
            if let Some(above) = totals.get_mut(draft.parent as usize) {
                *above = above.plus(total);
            }
        }
        let total_of = |place: usize| totals.get(place).copied().unwrap_or_default();
        let label_of = |place: usize| drafts.get(place).map_or(Label::Other, |it| it.label);

        // The children of each, in the order in which they are drawn.
        let parents = drafts.iter().enumerate().map(|(place, draft)| {
            let is_child = place > 0 && totals.get(place).is_some_and(|total| !total.is_zero());
            if is_child {
                draft.parent as usize
            } else {
                NOWHERE
            }
        });
        let mut children = Groups::new(parents, drafts.len());
        let last = |label: Label| !matches!(label, Label::Frame(_));
        children.sort_each_by_key(|place| {
            let label = label_of(place);
            let (size, name) = match (order, label) {
                (Order::Heaviest, _) => (total_of(place).size(), None),
                (Order::Alphabetical, Label::Frame(id)) => (0, traces.frame(id)),
                (Order::Alphabetical, _) => (0, None),
            };
            (last(label), Reverse(size), name, label)
        });

        let mut nodes: Vec<Node> = Vec::with_capacity(children.places().len() + 1);
        // Nodes still to be placed, the next one last, with the place of their parent; and once all
        // below a node are placed, the node again.
        let mut ahead = vec![(0_usize, 0_u32, 0_u32)];
        while let Some((draft, parent, depth)) = ahead.pop() {
            let here = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            nodes.push(Node {
                label: label_of(draft),
                parent,
                depth,
                end: here + 1,
                own: drafts
                    .get(draft)
                    .map_or_else(FlameWeight::default, |it| it.own),
                total: total_of(draft),
            });
            let below = children.of(draft).rev();
            ahead.extend(below.map(|child| (child, here, depth + 1)));
        }
        // A subtree ends where the last of its nodes does.
        for place in (1..nodes.len()).rev() {
            let Some(&Node { parent, end, .. }) = nodes.get(place) else {
                continue;
            };
            if let Some(above) = nodes.get_mut(parent as usize) {
                above.end = above.end.max(end);
            }
        }
        Self {
            traces,
            order,
            nodes,
            damaged,
        }
    }
}
