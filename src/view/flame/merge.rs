//! [`StackMerger`]: merges stacks into a tree, the first line of each below the root.

use hashbrown::HashMap;

use super::FlameWeight;
use super::Label;
use super::arrange::{RawId, RawNode};
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::tree::{NodeId, ROOT, TreeBuilder};

/// The limit of nodes for each node of the call tree, and its minimum and maximum. All stacks of a deep recursion need
/// 5, of docutils 12, of pylint 16.
const NODES_PER_NODE: usize = 20;
const MIN_NODES: usize = 1 << 16;
const MAX_NODES: usize = 1 << 30;

/// The limit of merged frames for each node of the call tree, and its minimum. All stacks of pylint have 23. The deep
/// recursion has 235, but few nodes.
const STEPS_PER_NODE: usize = 64;
const MIN_STEPS: usize = 1 << 24;

/// A tree of merged stacks.
///
/// A file of version 2 can end a trace at every frame of a deep stack. Inverted, these stacks have quadratically many
/// frames. So the number of nodes of the call tree limits the size of the merged tree and the work. Beyond the limits,
/// the first line of each stack is kept, and its further lines are [`Label::Other`].
pub(in crate::view) struct StackMerger {
    builder: TreeBuilder,
    nodes: IdVec<NodeId, RawNode>,
    others: HashMap<NodeId, FlameWeight>,
    max_nodes: usize,
    steps_left: usize,
}

impl StackMerger {
    /// A merger for stacks of a call tree with this many nodes.
    pub(in crate::view) fn new(nodes: usize) -> Self {
        Self {
            builder: TreeBuilder::new(),
            nodes: IdVec::from_vec(vec![RawNode::default()]),
            others: HashMap::new(),
            max_nodes: nodes
                .saturating_mul(NODES_PER_NODE)
                .clamp(MIN_NODES, MAX_NODES),
            steps_left: nodes.saturating_mul(STEPS_PER_NODE).max(MIN_STEPS),
        }
    }

    /// The node of a line below a node.
    pub(in crate::view) fn child(&mut self, parent: NodeId, line: FrameId) -> NodeId {
        // The limits of nodes are below the number of ids.
        let child = self.builder.child(parent, line).unwrap_or(parent);
        if child.index() == self.nodes.len() {
            let parent = RawId::from_index(parent.index());
            self.nodes.push(RawNode::new(Label::Frame(line), parent));
        }
        child
    }

    /// Adds the weight of a stack that ends at a node.
    pub(in crate::view) fn add(&mut self, node: NodeId, weight: FlameWeight) {
        self.nodes
            .update(node, |node| node.own = node.own.plus(weight));
    }

    /// Adds a stack.
    pub(in crate::view) fn add_stack(
        &mut self,
        stack: impl IntoIterator<Item = FrameId>,
        weight: FlameWeight,
    ) {
        let mut node = ROOT;
        for line in stack {
            let is_full = self.steps_left == 0 || self.nodes.len() >= self.max_nodes;
            if is_full && node != ROOT {
                let other = self.others.entry(node).or_default();
                *other = other.plus(weight);
                return;
            }
            self.steps_left = self.steps_left.saturating_sub(1);
            node = self.child(node, line);
        }
        self.add(node, weight);
    }

    /// All nodes, each after its parent.
    pub(super) fn finish(self) -> IdVec<RawId, RawNode> {
        let mut raw = IdVec::from_vec(self.nodes.into_values());
        let mut others: Vec<_> = self.others.into_iter().collect();
        others.sort_unstable_by_key(|&(node, _)| node);
        for (node, own) in others {
            let parent = RawId::from_index(node.index());
            raw.push(RawNode {
                own,
                ..RawNode::new(Label::Other, parent)
            });
        }
        raw
    }
}
