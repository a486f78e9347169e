//! The call tree: all stacks of a table in one, each frame standing once where stacks agree from
//! the program's entry on.
//!
//! ```text
//!   main:1 work:2 read:7          0 (root)
//!   main:1 work:2 parse:9   ──►   └ 1 main:1
//!   main:1 log:4                    ├ 2 work:2
//!                                   │ ├ 3 read:7
//!                                   │ └ 4 parse:9
//!                                   └ 5 log:4
//! ```
//!
//! The stacks of a real program agree for the most part: 150 359 traces with 4 417 953 frames are
//! 192 310 nodes. So a view sums weights up at the nodes, from the leaves to the root, and need not
//! walk any stack.
//!
//! Nodes stand in preorder: a parent before its children, a subtree in one run.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::id::FrameId;
use crate::intern::Full;

/// The node of the empty stack.
pub(crate) const ROOT: u32 = 0;

/// No node.
const NONE: u32 = u32::MAX;

/// All stacks of a table.
#[derive(Debug, Clone)]
pub(crate) struct CallTree {
    /// Of each node; the root is its own parent, and has any frame and depth 0.
    parents: Box<[u32]>,
    frames: Box<[FrameId]>,
    depths: Box<[u32]>,
}

/// The tree of no stack but the empty one.
impl Default for CallTree {
    fn default() -> Self {
        TreeBuilder::new().finish(&mut [])
    }
}

impl CallTree {
    /// How many nodes there are, the root among them.
    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    /// For each node the one before its last frame.
    pub(crate) fn parents(&self) -> &[u32] {
        &self.parents
    }

    /// For each node its last frame.
    pub(crate) fn frames(&self) -> &[FrameId] {
        &self.frames
    }

    /// The last frame of a node; `None` for the root.
    pub(crate) fn frame(&self, node: u32) -> Option<FrameId> {
        if node == ROOT {
            return None;
        }
        self.frames.get(node as usize).copied()
    }

    /// How many frames the stack of a node has.
    pub(crate) fn depth(&self, node: u32) -> usize {
        self.depths
            .get(node as usize)
            .map_or(0, |&depth| depth as usize)
    }

    /// The frames of the stack of a node, innermost first.
    pub(crate) fn inward_out(&self, mut node: u32) -> impl Iterator<Item = FrameId> + '_ {
        std::iter::from_fn(move || {
            let frame = self.frame(node)?;
            node = *self.parents.get(node as usize)?;
            Some(frame)
        })
    }

    /// Which nodes have a frame that stands in their stack before: there its line recurs.
    pub(crate) fn recurring(&self, frame_count: usize) -> Box<[bool]> {
        let mut on_path = vec![0_u32; frame_count];
        let mut path: Vec<FrameId> = Vec::new();
        let mut recurring = vec![false; self.len()].into_boxed_slice();
        let nodes = self
            .frames
            .iter()
            .zip(&self.depths)
            .zip(&mut recurring)
            .skip(1);
        for ((&frame, &depth), recurs) in nodes {
            // A node of this depth ends the paths of that depth and deeper before it.
            for left in path.drain((depth as usize - 1).min(path.len())..) {
                if let Some(count) = on_path.get_mut(left.index()) {
                    *count -= 1;
                }
            }
            path.push(frame);
            if let Some(count) = on_path.get_mut(frame.index()) {
                *recurs = *count > 0;
                *count += 1;
            }
        }
        recurring
    }
}

/// Makes a call tree, stack by stack.
#[derive(Debug)]
pub(crate) struct TreeBuilder {
    parents: Vec<u32>,
    frames: Vec<FrameId>,
    children: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl TreeBuilder {
    pub(crate) fn new() -> Self {
        Self::with_room(0)
    }

    /// The same, with room for so many nodes before it grows.
    pub(crate) fn with_room(nodes: usize) -> Self {
        let (mut parents, mut frames) = (Vec::with_capacity(nodes), Vec::with_capacity(nodes));
        parents.push(ROOT);
        frames.push(FrameId(0));
        Self {
            parents,
            frames,
            children: HashTable::with_capacity(nodes),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The last frame of a node; `None` for the root.
    pub(crate) fn frame(&self, node: u32) -> Option<FrameId> {
        if node == ROOT {
            return None;
        }
        self.frames.get(node as usize).copied()
    }

    /// The node of the stack of `parent` with one frame more.
    pub(crate) fn child(&mut self, parent: u32, frame: FrameId) -> Result<u32, Full> {
        let Self {
            parents,
            frames,
            children,
            hasher,
        } = self;
        let key = |node: u32| {
            let node = node as usize;
            Some((*parents.get(node)?, *frames.get(node)?))
        };
        let hash = hasher.hash_one((parent, frame));
        if let Some(&known) = children.find(hash, |&node| key(node) == Some((parent, frame))) {
            return Ok(known);
        }
        let node = u32::try_from(parents.len())
            .ok()
            .filter(|&node| node != NONE)
            .ok_or(Full)?;
        children.insert_unique(hash, node, |&node| {
            key(node).map_or(0, |key| hasher.hash_one(key))
        });
        parents.push(parent);
        frames.push(frame);
        Ok(node)
    }

    /// The tree, with its nodes in preorder; renumbers `nodes`.
    pub(crate) fn finish(self, nodes: &mut [u32]) -> CallTree {
        let Self {
            parents, frames, ..
        } = self;
        let at = |of: &[u32], node: u32| of.get(node as usize).copied().unwrap_or(NONE);
        // A node is met after its parent: backwards, each is whole when it is added to its parent.
        let mut sizes = vec![1_u32; parents.len()];
        for (node, &parent) in parents.iter().enumerate().skip(1).rev() {
            let size = sizes.get(node).copied().unwrap_or_default();
            if let Some(whole) = sizes.get_mut(parent as usize) {
                *whole += size;
            }
        }
        // Forwards, each stands where its parent has room for the next child.
        let mut next_child = sizes;
        let mut numbers = vec![ROOT; parents.len()];
        let mut tree = CallTree {
            parents: vec![ROOT; parents.len()].into_boxed_slice(),
            frames: vec![FrameId(0); parents.len()].into_boxed_slice(),
            depths: vec![0; parents.len()].into_boxed_slice(),
        };
        if let Some(first) = next_child.first_mut() {
            *first = 1;
        }
        for (node, (&parent, &frame)) in parents.iter().zip(&frames).enumerate().skip(1) {
            let size = next_child.get(node).copied().unwrap_or_default();
            let Some(room) = next_child.get_mut(parent as usize) else {
                continue;
            };
            let number = *room;
            *room += size;
            let tree_parent = at(&numbers, parent);
            let depth = at(&tree.depths, tree_parent).wrapping_add(1);
            if let (Some(next), Some(own)) = (next_child.get_mut(node), numbers.get_mut(node)) {
                (*next, *own) = (number + 1, number);
            }
            let place = number as usize;
            if let (Some(to_parent), Some(to_frame), Some(to_depth)) = (
                tree.parents.get_mut(place),
                tree.frames.get_mut(place),
                tree.depths.get_mut(place),
            ) {
                (*to_parent, *to_frame, *to_depth) = (tree_parent, frame, depth);
            }
        }
        for node in nodes {
            *node = at(&numbers, *node);
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn tree(stacks: &[Vec<u32>]) -> (CallTree, Vec<u32>) {
        let mut builder = TreeBuilder::new();
        let mut leaves: Vec<u32> = stacks
            .iter()
            .map(|stack| {
                stack.iter().fold(ROOT, |node, &frame| {
                    builder.child(node, FrameId(frame)).unwrap()
                })
            })
            .collect();
        (builder.finish(&mut leaves), leaves)
    }

    #[test]
    fn nodes_stand_in_preorder_and_siblings_as_they_were_met() {
        let stacks = [vec![1, 2, 7], vec![1, 4], vec![1, 2, 9], vec![], vec![3]];
        let (tree, leaves) = tree(&stacks);
        let shown: Vec<_> = tree
            .frames()
            .iter()
            .map(|frame| frame.index())
            .skip(1)
            .collect();
        assert_eq!(shown, [1, 2, 7, 9, 4, 3]);
        assert_eq!(tree.parents(), [0, 0, 1, 2, 2, 1, 0]);
        let depths = (0..7).map(|node| tree.depth(node));
        assert_eq!(depths.collect::<Vec<_>>(), [0, 1, 2, 3, 3, 2, 1]);
        assert_eq!(leaves, [3, 5, 4, 0, 6]);
    }

    proptest! {
        #[test]
        fn stacks_come_back_and_recurrences_equal_the_plain_ones(
            frames in vec(vec(0_u32..6, 0..9), 0..40),
        ) {
            let (tree, leaves) = tree(&frames);
            for (stack, &leaf) in frames.iter().zip(&leaves) {
                let mut outward: Vec<u32> = tree.inward_out(leaf).map(|frame| frame.0).collect();
                outward.reverse();
                prop_assert_eq!(&outward, stack);
                prop_assert_eq!(tree.depth(leaf), stack.len());
            }
            let recurring = tree.recurring(6);
            for node in 0..tree.len() {
                let id = u32::try_from(node).unwrap();
                let mut path: Vec<u32> = tree.inward_out(id).map(|frame| frame.0).collect();
                path.reverse();
                let (last, before) = path.split_last().map_or((None, &[][..]), |(l, b)| (Some(l), b));
                prop_assert_eq!(recurring[node], last.is_some_and(|last| before.contains(last)));
            }
        }
    }
}
