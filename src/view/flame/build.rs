//! Makes a flame graph of a usage: outermost lines first, or inverted.

use std::cmp::Reverse;

use super::arrange::{Order, RawId, RawNode};
use super::merge::StackMerger;
use super::{FlameGraph, FlameWeight, Label};
use crate::error::Taint;
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::usage::Usage;
use crate::view::subtree::{PlaceId, Subtree};

impl FlameWeight {
    /// The weight of the stacks that end at each place; at the root, of all that has no stack.
    pub(in crate::view) fn by_place(subtree: &Subtree<'_>, usage: &Usage) -> IdVec<PlaceId, Self> {
        let mut weights = IdVec::<PlaceId, Self>::defaults(subtree.len());
        for (trace, weight) in usage.by_trace() {
            let weight = Self::of(weight);
            weights.update(subtree.place_of(trace), |sum| *sum = sum.plus(weight));
        }
        weights
    }
}

impl FlameGraph {
    /// The flame graph of a usage: the root above the program's entry, the allocating lines last.
    ///
    /// O(n log n) for the n nodes of the graph.
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        let subtree = Subtree::new(traces, &[usage]);
        let raw_id = |place: PlaceId| RawId::from_index(place.index());
        // One more for all that is unknown.
        let mut raw = IdVec::with_capacity(subtree.len() + 1);
        raw.push(RawNode::default());
        let weights = FlameWeight::by_place(&subtree, usage);
        for (place, line) in subtree.places() {
            let parent = raw_id(subtree.parent(place));
            raw.push(RawNode {
                own: weights.get(place),
                ..RawNode::new(Label::Frame(line), parent)
            });
        }
        let unknown = weights.get(PlaceId::ROOT);
        Self::finish(traces, raw, unknown, usage.damaged())
    }

    /// The inverted flame graph: the allocating lines below the root, and below each line its callers.
    /// So all that one line allocates is in one node.
    ///
    /// O(frames of the distinct stacks in the usage). The graph has at most 20 nodes for each node of the call tree, or
    /// 65 536: beyond that, outer callers of the lighter stacks are [`FlameLabel::Other`](super::FlameLabel::Other). All
    /// stacks of pylint need 16.
    ///
    /// ```
    /// use heapprof::view::FlameGraph;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let graph = FlameGraph::inverted(reader.traces()?, &reader.live_at_end()?);
    /// let heaviest = graph.root().children().next().unwrap();
    /// assert_eq!(heaviest.label().to_string(), "/srv/app/workloads/shop/customers.py:11");
    /// assert_eq!(heaviest.total().net(), 8_149_808);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[doc(alias = "bottom-up")]
    pub fn inverted(traces: &TraceTable, usage: &Usage) -> Self {
        let subtree = Subtree::new(traces, &[usage]);
        let weights = FlameWeight::by_place(&subtree, usage);
        let allocating = weights
            .iter()
            .skip(1)
            .filter(|(_, weight)| !weight.is_zero());
        let stacks = allocating.map(|(place, &weight)| (subtree.inward_out(place), weight));
        let merged = Self::merged(traces, stacks.collect());
        let unknown = weights.get(PlaceId::ROOT);
        Self::finish(traces, merged.finish(), unknown, usage.damaged())
    }

    /// Merges stacks, the heaviest first.
    pub(in crate::view) fn merged<S: IntoIterator<Item = FrameId>>(
        traces: &TraceTable,
        mut stacks: Vec<(S, FlameWeight)>,
    ) -> StackMerger {
        stacks.sort_by_key(|&(_, weight)| Reverse(weight.size()));
        let mut merger = StackMerger::new(traces.tree().len());
        for (stack, weight) in stacks {
            merger.add_stack(stack, weight);
        }
        merger
    }

    /// The flame graph of merged stacks, with nothing unknown.
    pub(in crate::view) fn of_merged(
        traces: &TraceTable,
        merged: StackMerger,
        damaged: Taint,
    ) -> Self {
        Self::finish(traces, merged.finish(), FlameWeight::default(), damaged)
    }

    /// The flame graph of what has changed from one usage to another, with what grew and what shrank
    /// [kept apart](FlameWeight).
    ///
    /// ```
    /// use heapprof::view::FlameGraph;
    /// use heapprof::{Frame, TraceId, TraceTable, Usage};
    ///
    /// let traces = TraceTable::from_iter([
    ///     vec![Frame::new("main.py", 1), Frame::new("old.py", 2)],
    ///     vec![Frame::new("main.py", 1), Frame::new("new.py", 2)],
    /// ]);
    /// let before = Usage::from_iter([(TraceId::new(1), 80)]);
    /// let after = Usage::from_iter([(TraceId::new(1), 30), (TraceId::new(2), 50)]);
    /// let graph = FlameGraph::difference(&traces, &before, &after);
    /// let main = graph.root().children().next().unwrap();
    /// assert_eq!((main.total().gain, main.total().loss, main.total().net()), (50, 50, 0));
    /// ```
    pub fn difference(traces: &TraceTable, before: &Usage, after: &Usage) -> Self {
        Self::new(traces, &(after - before))
    }

    fn finish(
        traces: &TraceTable,
        mut raw: IdVec<RawId, RawNode>,
        unknown: FlameWeight,
        damaged: Taint,
    ) -> Self {
        raw.push(RawNode {
            own: unknown,
            ..RawNode::new(Label::Unknown, RawId::ROOT)
        });
        let damaged = traces.damaged() | damaged;
        Self::arranged(traces.clone(), Order::Heaviest, &raw, damaged)
    }
}
