//! Makes a flame graph of a usage: outermost lines first, or inverted.

use super::arrange::{Order, RawId, RawNode};
use super::{FlameGraph, FlameWeight, Label};
use crate::analysis::subtree::{PlaceId, Subtree};
use crate::error::Taint;
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::tree::{NodeId, ROOT, TreeBuilder};
use crate::usage::Usage;

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
        for (place, line) in subtree.places() {
            let parent = raw_id(subtree.parent(place));
            raw.push(RawNode::new(Label::Frame(line), parent));
        }
        let mut unknown = FlameWeight::default();
        for (trace, weight) in usage.by_trace() {
            let weight = FlameWeight::of(weight);
            match subtree.place_of(trace) {
                PlaceId::ROOT => unknown = unknown.plus(weight),
                place => raw.update(raw_id(place), |node| node.own = node.own.plus(weight)),
            }
        }
        Self::finish(traces, raw, unknown, usage.damaged())
    }

    /// The inverted flame graph: the allocating lines below the root, and below each line its callers.
    /// So all that one line allocates is in one node.
    ///
    /// O(frames of the stacks in the usage).
    ///
    /// ```
    /// use heapprof::{FlameGraph, Reader};
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
        let tree = traces.tree();
        let mut unknown = FlameWeight::default();
        let stacks = usage.by_trace().filter_map(|(trace, weight)| {
            let (node, weight) = (traces.node_of(trace), FlameWeight::of(weight));
            if node == ROOT {
                unknown = unknown.plus(weight);
                return None;
            }
            Some((tree.inward_out(node), weight))
        });
        let raw = merge(stacks);
        Self::finish(traces, raw, unknown, usage.damaged())
    }

    /// The flame graph of these stacks, with nothing unknown.
    pub(in crate::analysis) fn of_stacks(
        traces: &TraceTable,
        stacks: Vec<(Vec<FrameId>, FlameWeight)>,
        damaged: Taint,
    ) -> Self {
        Self::finish(traces, merge(stacks), FlameWeight::default(), damaged)
    }

    /// The flame graph of what has changed from one usage to another, with what grew and what shrank
    /// [kept apart](FlameWeight).
    ///
    /// ```
    /// use heapprof::{FlameGraph, Frame, TraceId, TraceTable, Usage};
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

/// Merges stacks into a tree. The first line of each is below the root.
fn merge<S: IntoIterator<Item = FrameId>>(
    stacks: impl IntoIterator<Item = (S, FlameWeight)>,
) -> IdVec<RawId, RawNode> {
    let mut builder = TreeBuilder::new();
    let raw_id = |node: NodeId| RawId::from_index(node.index());
    let mut raw = IdVec::from_vec(vec![RawNode::default()]);
    for (stack, weight) in stacks {
        let mut node = ROOT;
        for line in stack {
            // Each frame of a stack takes bytes of a file, so the tree does not fill up.
            let Ok(child) = builder.child(node, line) else {
                break;
            };
            if child.index() == raw.len() {
                raw.push(RawNode::new(Label::Frame(line), raw_id(node)));
            }
            node = child;
        }
        raw.update(raw_id(node), |node| node.own = node.own.plus(weight));
    }
    raw
}
