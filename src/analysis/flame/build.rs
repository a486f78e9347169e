//! From a usage to a flame graph: outermost first, or inverted.

use super::arrange::{Draft, Order};
use super::{FlameGraph, FlameWeight, Label};
use crate::analysis::subtree::Subtree;
use crate::error::Damaged;
use crate::id::FrameId;
use crate::trace::TraceTable;
use crate::tree::{ROOT, TreeBuilder};
use crate::usage::Usage;

impl FlameGraph {
    /// The flame graph of a usage: the root above the program's entry, the allocating lines last.
    ///
    /// O(n log n) for the n nodes of the graph.
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        let subtree = Subtree::new(traces, &[usage]);
        // One more for what is unknown.
        let mut drafts = Vec::with_capacity(subtree.len() + 1);
        drafts.resize(subtree.len(), ALL);
        let parents = subtree.parents().iter().skip(1);
        for ((place, _, frame), &parent) in subtree.places().zip(parents) {
            if let Some(draft) = drafts.get_mut(place) {
                draft.label = Label::Frame(frame);
                draft.parent = parent;
            }
        }
        let mut unknown = FlameWeight::default();
        for (place, weight) in subtree.rows(usage) {
            let weight = FlameWeight::of(weight);
            match drafts.get_mut(place) {
                Some(draft) if place > 0 => draft.own = draft.own.plus(weight),
                _ => unknown = unknown.plus(weight),
            }
        }
        Self::finish(traces, drafts, unknown, usage.damaged())
    }

    /// The inverted flame graph: the allocating lines below the root, and below each who called it.
    /// So all that one line allocates stands in one place.
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
        let stacks = || {
            let rows = usage.by_trace();
            rows.map(|(trace, weight)| {
                let node = trace.and_then(|trace| traces.node(trace));
                (node.unwrap_or(ROOT), FlameWeight::of(weight))
            })
        };
        let known = stacks().filter(|&(node, _)| node != ROOT);
        let drafts = drafts(known.map(|(node, weight)| (tree.inward_out(node), weight)));
        let unknown = stacks().filter(|&(node, _)| node == ROOT);
        let unknown = unknown.fold(FlameWeight::default(), |sum, (_, weight)| sum.plus(weight));
        Self::finish(traces, drafts, unknown, usage.damaged())
    }

    /// The flame graph of stacks as they are given, with nothing unknown.
    pub(in crate::analysis) fn of_stacks(
        traces: &TraceTable,
        stacks: Vec<(Vec<FrameId>, FlameWeight)>,
        damaged: Damaged,
    ) -> Self {
        Self::finish(traces, drafts(stacks), FlameWeight::default(), damaged)
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
        mut drafts: Vec<Draft>,
        unknown: FlameWeight,
        damaged: Damaged,
    ) -> Self {
        drafts.push(Draft {
            label: Label::Unknown,
            parent: 0,
            own: unknown,
        });
        let damaged = traces.damaged() | damaged;
        Self::arranged(traces.clone(), Order::Heaviest, &drafts, damaged)
    }
}

const ALL: Draft = Draft {
    label: Label::All,
    parent: 0,
    own: FlameWeight { gain: 0, loss: 0 },
};

/// The nodes of stacks, each from below the root on.
fn drafts<S: IntoIterator<Item = FrameId>>(
    stacks: impl IntoIterator<Item = (S, FlameWeight)>,
) -> Vec<Draft> {
    let mut builder = TreeBuilder::new();
    let mut drafts = vec![ALL];
    for (stack, weight) in stacks {
        let mut place = ROOT;
        for frame in stack {
            // A file names every frame of its stacks, so there are not too many.
            let Ok(child) = builder.child(place, frame) else {
                break;
            };
            if child.index() == drafts.len() {
                drafts.push(Draft {
                    label: Label::Frame(frame),
                    parent: place.into(),
                    own: FlameWeight::default(),
                });
            }
            place = child;
        }
        if let Some(draft) = drafts.get_mut(place.index()) {
            draft.own = draft.own.plus(weight);
        }
    }
    drafts
}
