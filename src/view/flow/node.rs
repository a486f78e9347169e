//! [`FlowNode`] and [`FlowEdge`]: the nodes and edges of a flow graph as callers see them.

use std::fmt;

use super::{Edge, FlowGraph, FlowNodeId, Node};
use crate::frame::Frame;
use crate::id::FrameId;

/// A node of a [`FlowGraph`]: one line of code, or several that always follow each other.
///
/// ```
/// use heapprof::view::{FlowGraph, FlowOptions};
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let (early, late) = (reader.live_at(Elapsed::from_secs(5))?, reader.live_at_end()?);
/// let graph = FlowGraph::with_options(traces, [&early, &late], &FlowOptions::default());
/// let node = graph.find(traces.search("customers.py:7")[0]).unwrap();
/// assert_eq!((node.local(0), node.cumulative(0)), (9_680, 2_111_760));
/// assert_eq!((node.local(1), node.cumulative(1)), (37_328, 8_187_136));
/// assert_eq!(format!("{:.3}", node.cumulative_fraction(1)), "0.982");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct FlowNode<'g> {
    pub(super) graph: &'g FlowGraph,
    pub(super) id: FlowNodeId,
    pub(super) node: &'g Node,
}

impl<'g> FlowNode<'g> {
    /// Its id.
    pub fn id(self) -> FlowNodeId {
        self.id
    }

    /// Whether it is the [synthetic root](crate::view::FlowOptions::root), which has no line.
    pub fn is_root(self) -> bool {
        self.node.lines.is_empty()
    }

    /// Its lines, the outermost first.
    pub fn lines(
        self,
    ) -> impl ExactSizeIterator<Item = Frame<'g>> + DoubleEndedIterator + Clone + use<'g> {
        let Self { graph, node, .. } = self;
        node.lines.iter().map(|&id| graph.traces.line(id))
    }

    /// The ids of its lines in the table, the outermost first.
    pub fn line_ids(self) -> &'g [FrameId] {
        &self.node.lines
    }

    /// The weight of the stacks that end at its last line, in a column.
    #[doc(alias("nodeLocalUsage", "flat"))]
    pub fn local(self, column: usize) -> i64 {
        self.node.weights(column).local
    }

    /// The weight of the stacks that contain it, in a column.
    #[doc(alias("nodeCumulativeUsage", "cum"))]
    pub fn cumulative(self, column: usize) -> i64 {
        self.node.weights(column).cumulative
    }

    /// The weight of the stacks that begin at its first line, in a column; pruned lines may come before it
    /// there.
    pub fn begins(self, column: usize) -> i64 {
        self.node.weights(column).begins
    }

    /// The local usage as a fraction of the column, to size a node with. If some weights are negative, a
    /// fraction of the sum of all without their sign, so that it is between −1 and 1.
    #[doc(alias = "sizeNodesBasedOnLocalUsage")]
    pub fn local_fraction(self, column: usize) -> f64 {
        self.graph.fraction(self.local(column), column)
    }

    /// The cumulative usage as a fraction of the column, to colour a node with. If some weights are negative,
    /// a fraction of the sum of all without their sign, so that it is between −1 and 1.
    pub fn cumulative_fraction(self, column: usize) -> f64 {
        self.graph.fraction(self.cumulative(column), column)
    }
}

impl<'g> FlowNode<'g> {
    /// The edges from it, the heaviest first.
    pub fn outgoing(
        self,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'g>> + DoubleEndedIterator + use<'g> {
        self.graph.outgoing_edges(self.id)
    }

    /// The edges to it, in the order of their sources.
    ///
    /// O(edges to it); the first call for a graph O(edges of the graph).
    pub fn incoming(
        self,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'g>> + DoubleEndedIterator + use<'g> {
        self.graph.incoming_edges(self.id)
    }
}

/// An edge of a [`FlowGraph`]: one line calls another.
///
/// ```
/// use heapprof::view::FlowGraph;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let graph = FlowGraph::new(reader.traces()?, &reader.live_at_end()?);
/// let leak = graph.find(reader.traces()?.search("customers.py:11")[0]).unwrap();
/// let edge = leak.incoming().next().unwrap();
/// assert_eq!(edge.from().lines().next().unwrap().line, 7);
/// assert_eq!(edge.to().id(), leak.id());
/// assert_eq!((edge.weight(0), format!("{:.3}", edge.fraction(0))), (8_149_808, "0.978".into()));
/// assert!(!edge.is_residual());
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct FlowEdge<'g> {
    pub(super) graph: &'g FlowGraph,
    pub(super) edge: &'g Edge,
}

impl<'g> FlowEdge<'g> {
    /// The node that calls.
    pub fn from(self) -> FlowNode<'g> {
        self.graph.node_of_edge(self.edge.from)
    }

    /// The node that is called.
    pub fn to(self) -> FlowNode<'g> {
        self.graph.node_of_edge(self.edge.to)
    }

    /// The weight of the stacks in which the target follows the source, in a column.
    #[doc(alias = "edgeUsage")]
    pub fn weight(self, column: usize) -> i64 {
        self.edge.weight(column)
    }

    /// The weight as a fraction of the column, to draw an edge with.
    pub fn fraction(self, column: usize) -> f64 {
        self.graph.fraction(self.weight(column), column)
    }

    /// Whether some of these stacks have pruned lines between the two.
    #[doc(alias = "dashed")]
    pub fn is_residual(self) -> bool {
        self.edge.residual
    }
}

impl FlowGraph {
    #[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
    fn fraction(&self, weight: i64, column: usize) -> f64 {
        match self.columns.get(column).map_or(0, |column| column.gross) {
            0 => 0.0,
            gross => weight as f64 / gross as f64,
        }
    }
}

impl fmt::Debug for FlowNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowNode")
            .field("id", &self.id)
            .field(
                "lines",
                &self
                    .lines()
                    .map(|line| line.to_string())
                    .collect::<Vec<_>>(),
            )
            .field("weights", &self.node.weights)
            .finish()
    }
}

impl fmt::Debug for FlowEdge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowEdge")
            .field("from", &self.edge.from)
            .field("to", &self.edge.to)
            .field("weights", &self.edge.weights)
            .field("residual", &self.is_residual())
            .finish()
    }
}
