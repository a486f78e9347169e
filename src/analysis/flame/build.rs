//! From a usage to a flame graph: outermost first, or inverted.

use super::arrange::{Draft, Order};
use super::{FlameGraph, FlameWeight, Label};
use crate::id::FrameId;
use crate::trace::TraceTable;
use crate::tree::{ROOT, TreeBuilder};
use crate::usage::Usage;

impl FlameGraph {
    /// The flame graph of a usage: the root above the program's entry, the allocating lines last.
    ///
    /// O(nodes of the call tree), and O(n log n) for the n nodes of the graph.
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        let tree = traces.tree();
        let (own, unknown) = by_node(traces, usage);
        // Which nodes have a stack of the usage at or below them.
        let mut used: Vec<bool> = own.iter().map(|weight| !weight.is_zero()).collect();
        for (node, &parent) in tree.parents().iter().enumerate().skip(1).rev() {
            let below = used.get(node).copied().unwrap_or(false);
            if let Some(above) = used.get_mut(parent as usize) {
                *above |= below;
            }
        }
        let mut drafts = vec![ALL];
        let mut numbers = vec![0_u32; tree.len()];
        let nodes = tree
            .parents()
            .iter()
            .zip(tree.frames())
            .zip(own.iter().zip(&used));
        for (node, ((&parent, &frame), (&own, &used))) in nodes.enumerate().skip(1) {
            if !used {
                continue;
            }
            let number = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
            if let Some(place) = numbers.get_mut(node) {
                *place = number;
            }
            drafts.push(Draft {
                label: Label::Frame(frame),
                parent: numbers.get(parent as usize).copied().unwrap_or(0),
                own,
            });
        }
        Self::finish(traces, drafts, unknown)
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
    pub fn inverted(traces: &TraceTable, usage: &Usage) -> Self {
        let tree = traces.tree();
        let (own, unknown) = by_node(traces, usage);
        let stacks = (0_u32..).zip(&own).filter(|(_, weight)| !weight.is_zero());
        let drafts = drafts(stacks.map(|(node, &weight)| (tree.inward_out(node), weight)));
        Self::finish(traces, drafts, unknown)
    }

    /// The flame graph of stacks as they are given, with nothing unknown.
    pub(in crate::analysis) fn of_stacks(
        traces: &TraceTable,
        stacks: Vec<(Vec<FrameId>, FlameWeight)>,
    ) -> Self {
        Self::finish(traces, drafts(stacks), FlameWeight::default())
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

    fn finish(traces: &TraceTable, mut drafts: Vec<Draft>, unknown: FlameWeight) -> Self {
        drafts.push(Draft {
            label: Label::Unknown,
            parent: 0,
            own: unknown,
        });
        Self::arranged(traces.clone(), Order::Heaviest, &drafts)
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
            if child as usize == drafts.len() {
                drafts.push(Draft {
                    label: Label::Frame(frame),
                    parent: place,
                    own: FlameWeight::default(),
                });
            }
            place = child;
        }
        if let Some(draft) = drafts.get_mut(place as usize) {
            draft.own = draft.own.plus(weight);
        }
    }
    drafts
}

/// The weight of what ends at each node of the call tree, and of what has no stack.
fn by_node(traces: &TraceTable, usage: &Usage) -> (Vec<FlameWeight>, FlameWeight) {
    let mut own = vec![FlameWeight::default(); traces.tree().len()];
    let mut unknown = FlameWeight::default();
    for (trace, weight) in usage.by_trace() {
        let node = trace.and_then(|trace| traces.node(trace)).unwrap_or(ROOT);
        let weight = FlameWeight::of(weight);
        match own.get_mut(node as usize) {
            Some(own) if node != ROOT => *own = own.plus(weight),
            _ => unknown = unknown.plus(weight),
        }
    }
    (own, unknown)
}
