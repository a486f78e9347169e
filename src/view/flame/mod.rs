//! [`FlameGraph`]: the stacks of a usage as a tree to draw.

mod arrange;
mod build;
mod folded;
mod merge;
mod prune;

use std::fmt;

use crate::error::Taint;
use crate::frame::Frame;
use crate::id::{FrameId, Id};
use crate::id_vec::{DenseId, IdVec};
use crate::trace::TraceTable;

use arrange::Order;
pub use folded::{Folded, FoldedStack};
pub(super) use merge::StackMerger;

/// A flame graph: the stacks of a usage as a tree of lines of code, each with the weight of the stacks that
/// end at it, and of those that end at or below it.
///
/// To draw it, [walk](Self::walk) over its nodes; each comes with its depth, offset and width. All that has no
/// stack is one child of the root, [`FlameLabel::Unknown`].
///
/// # Growth
/// The weights of a growth usage can be negative. So that they do not cancel, a node has the gains and the
/// losses of its stacks [separately](FlameWeight): a line below which one stack has grown by 5 MB and another
/// has shrunk by 5 MB is 10 MB wide, and its net is 0. In a usage without negative weights the losses are 0.
///
/// ```
/// use heapprof::view::FlameGraph;
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
///
/// let traces = TraceTable::from_iter([
///     vec![Frame::new("main.py", 1), Frame::new("read.py", 7)],
///     vec![Frame::new("main.py", 1), Frame::new("parse.py", 9)],
///     vec![Frame::new("main.py", 1)],
/// ]);
/// let id = TraceId::new;
/// let usage = Usage::from_iter([(id(1), 50), (id(2), 20), (id(3), 5), (None, 4)]);
/// let graph = FlameGraph::new(&traces, &usage);
///
/// let drawn: Vec<_> = graph
///     .walk()
///     .map(|bar| format!("{} {} +{} = {}", bar.depth, bar.offset, bar.width, bar.node.label()))
///     .collect();
/// assert_eq!(drawn, [
///     "0 0 +79 = all",
///     "1 0 +75 = main.py:1",
///     "2 0 +50 = read.py:7",
///     "2 50 +20 = parse.py:9",
///     "1 75 +4 = unknown",
/// ]);
/// ```
#[doc(alias("flameGraph", "flameGraphAt", "writeFlameGraph"))]
#[derive(Clone)]
pub struct FlameGraph {
    traces: TraceTable,
    order: Order,
    nodes: IdVec<FlameIndex, Node>,
    damaged: Taint,
}

/// A node of a flame graph, in preorder.
type FlameIndex = DenseId<FlameKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct FlameKind;

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    label: Label,
    /// The root's own for the root.
    parent: FlameIndex,
    depth: u32,
    /// The first node after this one that is not below it.
    end: FlameIndex,
    own: FlameWeight,
    total: FlameWeight,
}

/// A [`FlameLabel`] without a borrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Label {
    Frame(FrameId),
    #[default]
    All,
    Unknown,
    Other,
}

/// The label of a node of a flame graph.
///
/// It prints as the line, or as `all`, `unknown` or `other`.
///
/// ```
/// use heapprof::view::{FlameGraph, FlameLabel};
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
///
/// let traces = TraceTable::from_iter([[Frame::new("main.py", 1)]]);
/// let usage = Usage::from_iter([(TraceId::new(1), 50), (None, 4)]);
/// let graph = FlameGraph::new(&traces, &usage);
/// let labels: Vec<_> = graph.root().children().map(|child| child.label()).collect();
/// assert_eq!(labels, [FlameLabel::Line(Frame::new("main.py", 1)), FlameLabel::Unknown]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlameLabel<'a> {
    /// The root: everything.
    All,
    /// A line of code.
    Line(Frame<'a>),
    /// All that has no stack.
    Unknown,
    /// All nodes that were [cut](FlameGraph::min_fraction) below one node.
    Other,
}

impl<'a> FlameLabel<'a> {
    /// The line of code, if it is one.
    pub const fn frame(self) -> Option<Frame<'a>> {
        match self {
            Self::Line(frame) => Some(frame),
            _ => None,
        }
    }
}

impl fmt::Display for FlameLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Line(frame) => frame.fmt(f),
            Self::Unknown => f.pad("unknown"),
            Self::Other => f.pad("other"),
        }
    }
}

/// A weight with gains and losses separate, so that they do not cancel.
///
/// ```
/// use heapprof::view::FlameGraph;
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
///
/// let main = Frame::new("main.py", 1);
/// let traces = TraceTable::from_iter([[main, Frame::new("a.py", 2)], [main, Frame::new("b.py", 3)]]);
/// let growth = Usage::from_iter([(TraceId::new(1), 500), (TraceId::new(2), -300)]);
/// let total = FlameGraph::new(&traces, &growth).total();
/// assert_eq!((total.gain, total.loss), (500, 300));
/// assert_eq!((total.net(), total.size()), (200, 800));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FlameWeight {
    /// The sum of the positive weights.
    pub gain: i64,
    /// The sum of the negative weights, without their sign.
    pub loss: i64,
}

impl FlameWeight {
    fn of(weight: i64) -> Self {
        Self {
            gain: weight.max(0),
            loss: weight.min(0).saturating_neg(),
        }
    }

    /// The gain minus the loss: the weight that the usage has.
    pub const fn net(self) -> i64 {
        self.gain.saturating_sub(self.loss)
    }

    /// The gain plus the loss: the width of a node.
    pub const fn size(self) -> i64 {
        self.gain.saturating_add(self.loss)
    }

    pub(in crate::view) const fn plus(self, other: Self) -> Self {
        Self {
            gain: self.gain.saturating_add(other.gain),
            loss: self.loss.saturating_add(other.loss),
        }
    }

    const fn is_zero(self) -> bool {
        self.gain == 0 && self.loss == 0
    }
}

/// A node of a [`FlameGraph`].
///
/// ```
/// use heapprof::view::FlameGraph;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let graph = FlameGraph::new(reader.traces()?, &reader.live_at_end()?);
/// // Down the widest path.
/// let mut node = graph.root();
/// while let Some(child) = node.children().max_by_key(|child| child.total().size()) {
///     node = child;
/// }
/// assert_eq!(node.label().to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert_eq!((node.own().net(), format!("{:.3}", node.fraction())), (8_149_808, "0.978".into()));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct FlameNode<'g> {
    graph: &'g FlameGraph,
    id: FlameIndex,
    node: Node,
}

/// A node and where to draw it.
///
/// ```
/// use heapprof::view::FlameGraph;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let graph = FlameGraph::new(reader.traces()?, &reader.live_at_end()?);
/// // In a picture 1000 wide, with rows 16 high:
/// let root = graph.walk().next().unwrap();
/// let place = |bytes: i64| 1000.0 * bytes as f64 / root.width as f64;
/// let widest = graph.walk().filter(|bar| bar.depth == 6).max_by_key(|bar| bar.width).unwrap();
/// assert_eq!(format!("{:.1} +{:.1}", place(widest.offset), place(widest.width)), "0.0 +982.4");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FlameBar<'g> {
    /// The node.
    pub node: FlameNode<'g>,
    /// The number of nodes above it; 0 for the root.
    pub depth: usize,
    /// Its left edge, in bytes. Children begin where their parent begins, side by side; the parent's own weight
    /// comes after them.
    pub offset: i64,
    /// Its width in bytes: the [size](FlameWeight::size) of its total.
    pub width: i64,
}

impl FlameGraph {
    /// The root: everything.
    pub fn root(&self) -> FlameNode<'_> {
        self.node(FlameIndex::ROOT)
    }

    fn node(&self, id: FlameIndex) -> FlameNode<'_> {
        FlameNode {
            graph: self,
            id,
            node: self.nodes.get(id),
        }
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The number of nodes, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// The weight of everything, also without a stack.
    pub fn total(&self) -> FlameWeight {
        self.root().total()
    }

    /// All nodes and where to draw them: a node before its children, children from left to right.
    ///
    /// O(nodes), also for stacks of 100 000 frames.
    pub fn walk(&self) -> impl Iterator<Item = FlameBar<'_>> {
        // Where the next node of each depth begins.
        let mut next: Vec<i64> = vec![0];
        self.all().map(move |node| {
            let depth = node.node.depth as usize;
            let width = node.total().size();
            next.truncate(depth + 1);
            let offset = next.last().copied().unwrap_or(0);
            if let Some(next) = next.last_mut() {
                *next = next.saturating_add(width);
            }
            next.push(offset);
            FlameBar {
                node,
                depth,
                offset,
                width,
            }
        })
    }

    fn all(&self) -> impl Iterator<Item = FlameNode<'_>> {
        self.nodes.ids().map(|id| self.node(id))
    }

    fn label(&self, label: Label) -> FlameLabel<'_> {
        match label {
            Label::All => FlameLabel::All,
            Label::Frame(id) => FlameLabel::Line(self.traces.line(id)),
            Label::Unknown => FlameLabel::Unknown,
            Label::Other => FlameLabel::Other,
        }
    }
}

impl<'g> FlameNode<'g> {
    /// Its label.
    pub fn label(self) -> FlameLabel<'g> {
        self.graph.label(self.node.label)
    }

    /// The id of its line in the table; `None` if it is not a line.
    pub fn frame_id(self) -> Option<FrameId> {
        match self.node.label {
            Label::Frame(id) => Some(id),
            _ => None,
        }
    }

    /// The weight of the stacks that end here: its *self*.
    pub fn own(self) -> FlameWeight {
        self.node.own
    }

    /// The weight of the stacks that end here or below.
    pub fn total(self) -> FlameWeight {
        self.node.total
    }

    /// Its fraction of the whole width, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
    pub fn fraction(self) -> f64 {
        match self.graph.total().size() {
            0 => 0.0,
            whole => self.total().size() as f64 / whole as f64,
        }
    }

    /// Its children, from left to right.
    pub fn children(self) -> impl Iterator<Item = FlameNode<'g>> {
        let end = self.node.end;
        let mut next = FlameIndex::from_index(self.id.index() + 1);
        std::iter::from_fn(move || {
            let child = (next < end).then(|| self.graph.node(next))?;
            next = child.node.end;
            Some(child)
        })
    }
}

impl fmt::Debug for FlameNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlameNode")
            .field("label", &self.label())
            .field("own", &self.own())
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FlameGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlameGraph")
            .field("total", &self.total())
            .field("nodes", &self.len())
            .finish_non_exhaustive()
    }
}

/// Graphs are equal if they have the same nodes in the same order.
impl PartialEq for FlameGraph {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.all().zip(other.all()).all(|(a, b)| {
                (a.node.depth, a.own(), a.label()) == (b.node.depth, b.own(), b.label())
            })
    }
}

impl Eq for FlameGraph {}
