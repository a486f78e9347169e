//! [`Subtree`]: the part of the call tree that the stacks of some usages use.
//!
//! Views walk it instead of the stacks: it has each shared beginning of stacks once, and nothing of traces
//! without a weight.

use crate::bit_set::BitSet;
use crate::id::{FrameId, Id, TraceId};
use crate::id_vec::{DenseId, IdVec};
use crate::trace::TraceTable;
use crate::tree::{NodeId, ROOT};
use crate::usage::Usage;

/// A node of a [`Subtree`], in preorder: a parent comes before its children.
pub(super) type PlaceId = DenseId<PlaceKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct PlaceKind;

/// The root, and all nodes of the call tree at or below which a stack of some usages ends.
#[derive(Debug)]
pub(super) struct Subtree<'t> {
    traces: &'t TraceTable,
    /// The tree's node at each place.
    nodes: IdVec<PlaceId, NodeId>,
    /// The root is its own parent.
    parents: IdVec<PlaceId, PlaceId>,
    /// Which nodes of the tree the subtree has, and how many it has before each 64 of them.
    has: BitSet,
    ranks: Vec<u32>,
}

impl<'t> Subtree<'t> {
    /// O(nodes of the subtree), and a bit for each node of the tree.
    pub(super) fn new(traces: &'t TraceTable, usages: &[&Usage]) -> Self {
        let tree = traces.tree();
        let mut has = BitSet::filled(tree.len(), false);
        has.set(ROOT.into(), true);
        for (trace, _) in usages.iter().flat_map(|usage| usage.by_trace()) {
            let mut node = traces.node_of(trace);
            // The subtree has all nodes above one that it has.
            while has.set(node.into(), true) == Some(false) {
                node = tree.parent(node);
            }
        }
        let mut count = 0;
        let rank = |word: &u64| {
            let rank = count;
            count += word.count_ones();
            rank
        };
        let ranks = has.words().iter().map(rank).collect();
        let mut nodes = IdVec::with_capacity(count as usize);
        for node in has.iter() {
            nodes.push(NodeId::from_index(node as usize));
        }
        let mut subtree = Self {
            traces,
            nodes,
            parents: IdVec::new(),
            has,
            ranks,
        };
        let parent = |&node| subtree.place(tree.parent(node));
        subtree.parents = subtree.nodes.values().iter().map(parent).collect();
        subtree
    }

    /// The number of places, the root included.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The place of a node of the subtree.
    fn place(&self, node: NodeId) -> PlaceId {
        let word = node.index() / 64;
        let before = |word: &u64| (word & ((1 << (node.index() % 64)) - 1)).count_ones();
        let before = self.has.words().get(word).map_or(0, before);
        PlaceId::from_index((self.ranks.get(word).copied().unwrap_or(0) + before) as usize)
    }

    /// The place at which a trace's stack ends, for a trace of one of the usages.
    pub(super) fn place_of(&self, trace: Option<TraceId>) -> PlaceId {
        self.place(self.traces.node_of(trace))
    }

    /// The weight of the stacks that end at each place, with `weigh` applied to the weight of each trace, and
    /// apart from it the weight of all that has no stack.
    pub(super) fn own(&self, usage: &Usage, weigh: fn(i64) -> i64) -> (IdVec<PlaceId, i64>, i128) {
        let mut own = IdVec::defaults(self.len());
        let mut unknown = 0_i128;
        for (trace, weight) in usage.by_trace() {
            match self.place_of(trace) {
                PlaceId::ROOT => unknown += i128::from(weigh(weight)),
                place => own.add(place, weigh(weight)),
            }
        }
        (own, unknown)
    }

    /// The weight of the stacks that end at or below each place, from the weight of those that end there. A sum
    /// that leaves 64 bits stays at the limit.
    pub(super) fn below(&self, own: &IdVec<PlaceId, i64>) -> IdVec<PlaceId, i64> {
        let mut below = own.clone();
        below.sum_up(
            |_, place| self.parent(place),
            |above, weight| *above = above.saturating_add(weight),
        );
        below
    }

    /// The place above a place; the root's own for the root.
    #[inline]
    pub(super) fn parent(&self, place: PlaceId) -> PlaceId {
        self.parents.get(place)
    }

    /// All places except the root's, each with its line.
    pub(super) fn places(&self) -> impl Iterator<Item = (PlaceId, FrameId)> {
        let frames = self.traces.tree().frames();
        let places = self.nodes.iter().skip(1);
        places.filter_map(|(place, &node)| Some((place, *frames.get(node.index())?)))
    }

    /// The lines of the stack of a place, innermost first.
    pub(super) fn inward_out(&self, place: PlaceId) -> impl Iterator<Item = FrameId> + use<'t> {
        self.traces.tree().inward_out(self.nodes.get(place))
    }

    /// Whether the line of a place is in its stack further out as well.
    #[inline]
    pub(super) fn recurs(&self, place: PlaceId) -> bool {
        self.traces.recurring().get(self.nodes.get(place))
    }

    /// The sum of the weights at the places of each line.
    pub(super) fn local(&self, own: &IdVec<PlaceId, i64>) -> IdVec<FrameId, i64> {
        let mut sums = IdVec::defaults(self.traces.frame_count());
        for (place, line) in self.places() {
            sums.add(line, own.get(place));
        }
        sums
    }

    /// The weight of the stacks that contain each line, from that of the stacks at or below each place.
    pub(super) fn cumulative(&self, below: &IdVec<PlaceId, i64>) -> IdVec<FrameId, i64> {
        let mut sums = IdVec::defaults(self.traces.frame_count());
        for (place, line) in self.places() {
            // A line that recurs was counted further out.
            if !self.recurs(place) {
                sums.add(line, below.get(place));
            }
        }
        sums
    }

    /// For each place the first place after it that is not below it.
    pub(super) fn ends(&self) -> IdVec<PlaceId, PlaceId> {
        let mut ends: IdVec<_, _> = (1..).take(self.len()).map(PlaceId::from_index).collect();
        ends.sum_up(
            |_, place| self.parent(place),
            |above: &mut PlaceId, end| *above = end.max(*above),
        );
        ends
    }
}
