//! [`StackMerger`]: merges stacks into a tree, the first line of each below the root.

use hashbrown::HashMap;

use super::FlameWeight;
use super::Label;
use super::arrange::{RawId, RawNode};
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::tree::{NodeId, ROOT, TreeBuilder};

/// How many nodes a merged tree may have for each node of the call tree, and in any case. Real programs have 5 to 16
/// for each node.
const NODES_PER_NODE: usize = 32;
const MIN_NODES: usize = 1 << 16;

/// How many frames of stacks are merged for each node of the call tree, and in any case. Real programs have 15 to 235
/// for each node, the more the fewer nodes they have.
const STEPS_PER_NODE: usize = 64;
const MIN_STEPS: usize = 1 << 24;

/// A tree of merged stacks.
///
/// A file of version 2 can name a deep stack at each of its frames, so that inverted stacks have quadratically many
/// frames. So the size of the tree and the work are limited by the number of nodes of the call tree. Beyond the limits,
/// the first line of each stack is kept, and its further lines are [`Label::Other`].
pub(in crate::analysis) struct StackMerger {
    builder: TreeBuilder,
    nodes: IdVec<NodeId, RawNode>,
    others: HashMap<NodeId, FlameWeight>,
    max_nodes: usize,
    steps_left: usize,
}

impl StackMerger {
    /// A merger for stacks of a call tree with this many nodes.
    pub(in crate::analysis) fn new(nodes: usize) -> Self {
        Self {
            builder: TreeBuilder::new(),
            nodes: IdVec::from_vec(vec![RawNode::default()]),
            others: HashMap::new(),
            max_nodes: nodes.saturating_mul(NODES_PER_NODE).max(MIN_NODES),
            steps_left: nodes.saturating_mul(STEPS_PER_NODE).max(MIN_STEPS),
        }
    }

    /// The node of a line below a node.
    pub(in crate::analysis) fn child(&mut self, parent: NodeId, line: FrameId) -> NodeId {
        // There are fewer nodes than ids.
        let child = self.builder.child(parent, line).unwrap_or(parent);
        if child.index() == self.nodes.len() {
            let parent = RawId::from_index(parent.index());
            self.nodes.push(RawNode::new(Label::Frame(line), parent));
        }
        child
    }

    /// Adds the weight of a stack that ends at a node.
    pub(in crate::analysis) fn add(&mut self, node: NodeId, weight: FlameWeight) {
        self.nodes
            .update(node, |node| node.own = node.own.plus(weight));
    }

    /// Adds a stack.
    pub(in crate::analysis) fn add_stack(
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
