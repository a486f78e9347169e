//! From nodes that know their parents to a tree in preorder, in the order in which it is drawn.

use std::cmp::Reverse;

use super::{FlameGraph, FlameWeight, Label, Node};
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
        Self::arranged(self.traces, Order::Alphabetical, &drafts)
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
    pub(super) fn arranged(traces: TraceTable, order: Order, drafts: &[Draft]) -> Self {
        let mut totals: Vec<FlameWeight> = drafts.iter().map(|draft| draft.own).collect();
        for (place, draft) in drafts.iter().enumerate().skip(1).rev() {
            let total = totals.get(place).copied().unwrap_or_default();
            if let Some(above) = totals.get_mut(draft.parent as usize) {
                *above = above.plus(total);
            }
        }
        let total_of = |place: u32| totals.get(place as usize).copied().unwrap_or_default();
        let label_of = |place: u32| {
            drafts
                .get(place as usize)
                .map_or(Label::Other, |it| it.label)
        };

        // All but the root, those of one parent together, in the order in which they are drawn.
        let mut places: Vec<(u32, u32)> = (0_u32..)
            .zip(drafts)
            .skip(1)
            .filter(|&(place, _)| !total_of(place).is_zero())
            .map(|(place, draft)| (draft.parent, place))
            .collect();
        let last = |label: Label| !matches!(label, Label::Frame(_));
        match order {
            Order::Heaviest => places.sort_unstable_by_key(|&(parent, place)| {
                let label = label_of(place);
                (parent, last(label), Reverse(total_of(place).size()), label)
            }),
            Order::Alphabetical => places.sort_by(|&(parent_a, a), &(parent_b, b)| {
                let name = |label: Label| match label {
                    Label::Frame(id) => traces.frame(id),
                    _ => None,
                };
                let (label_a, label_b) = (label_of(a), label_of(b));
                parent_a
                    .cmp(&parent_b)
                    .then_with(|| last(label_a).cmp(&last(label_b)))
                    .then_with(|| name(label_a).cmp(&name(label_b)))
                    .then_with(|| label_a.cmp(&label_b))
            }),
        }
        // Where the children of each begin.
        let mut first_child = vec![0; drafts.len() + 1];
        for &(parent, _) in &places {
            if let Some(count) = first_child.get_mut(parent as usize + 1) {
                *count += 1_usize;
            }
        }
        let mut sum = 0;
        for count in &mut first_child {
            sum += *count;
            *count = sum;
        }

        let mut nodes: Vec<Node> = Vec::with_capacity(places.len() + 1);
        // Nodes still to be placed, the next one last, with the place of their parent; and once all
        // below a node are placed, the node again.
        let mut ahead = vec![(0_u32, 0_u32, 0_u32)];
        while let Some((draft, parent, depth)) = ahead.pop() {
            let here = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            nodes.push(Node {
                label: label_of(draft),
                parent,
                depth,
                end: here + 1,
                own: drafts
                    .get(draft as usize)
                    .map_or_else(FlameWeight::default, |it| it.own),
                total: total_of(draft),
            });
            let range = draft as usize..draft as usize + 2;
            if let Some(&[begin, end]) = first_child.get(range)
                && let Some(children) = places.get(begin..end)
            {
                ahead.extend(
                    children
                        .iter()
                        .rev()
                        .map(|&(_, child)| (child, here, depth + 1)),
                );
            }
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
        }
    }
}
