//! [`FlowGraph`]: how memory flows through the lines of a program, for one usage or several side by side.
//!
//! A [`WeightedTree`] sums the usages up in the call tree, [`LineNodes`](line_nodes::LineNodes) assigns its
//! places to nodes, and [`Calls`](calls::Calls) finds the edges.

mod build;
mod calls;
mod collapse;
mod edge;
mod line_nodes;
mod node;
mod node_id;
mod options;
mod prune;
mod weighted_tree;

use std::fmt;
use std::sync::OnceLock;

use crate::error::Taint;
use crate::id::{FrameId, Id};
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::usage::Usage;
use crate::view::groups::{Groups, Ranges};

use edge::{Edge, EdgeIndex, Node, Weights, size};
pub use node::{FlowEdge, FlowNode};
pub use node_id::FlowNodeId;
pub use options::{EdgeBase, FlowOptions};
use weighted_tree::WeightedTree;

/// A flow graph: a node for each line of code with its local and cumulative usage, and an edge from
/// each line to those it calls, with the weight of the stacks in which one directly follows the
/// other. For one usage, or for several side by side as its *columns*: several moments, before and
/// after a change, two programs.
///
/// ```text
///  AD = 16    AC = 21          0/73 A ──── 57       10 ──── B 0/10
///  ACD = 17   BC = 3             16 │        ╲ 24/67  ╱
///  ACE = 19   BCD = 7   ──►         │         ─► C ◄─
///                                   ▼     24 ╱     ╲ 19
///                             40/40 D ◄──────        ──► E 19/19
/// ```
///
/// A line that recurs in a stack counts once for that stack, and so does an edge. No edge leads from a line
/// to itself. If no stack has a recurring line, the cumulative usage of a node is its local usage plus the
/// weight of its outgoing edges, and also the weight of its incoming edges plus that of the stacks that
/// [begin](FlowNode::begins) at it.
///
/// ```
/// use heapprof::view::FlowGraph;
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
///
/// let stack = |names: &str| -> Vec<Frame> {
///     names.chars().map(|name| Frame::new(["A", "B", "C", "D", "E"][name as usize - 65], 0)).collect()
/// };
/// let traces = TraceTable::from_iter(["AD", "ACD", "ACE", "AC", "BC", "BCD"].map(stack));
/// let weights = [16, 17, 19, 21, 3, 7];
/// let usage: Usage = (1..).map(TraceId::new).zip(weights).collect();
///
/// let graph = FlowGraph::new(&traces, &usage);
/// let shown: Vec<_> = graph
///     .nodes()
///     .map(|node| format!("{} {}/{}", node.lines().next().unwrap(), node.local(0), node.cumulative(0)))
///     .collect();
/// assert_eq!(shown, ["A 0/73", "C 24/67", "D 40/40", "E 19/19", "B 0/10"]);
/// let a = graph.nodes().next().unwrap();
/// let edge = a.outgoing().next().unwrap();
/// assert_eq!((edge.to().lines().next().unwrap().file, edge.weight(0)), ("C", 57));
/// ```
#[doc(alias(
    "flowGraph",
    "compareFlowGraphs",
    "flowGraphAt",
    "asDotFile",
    "writeDotFile"
))]
#[derive(Clone)]
pub struct FlowGraph {
    traces: TraceTable,
    columns: Vec<Column>,
    nodes: IdVec<FlowNodeId, Node>,
    /// In the order of their sources.
    edges: IdVec<EdgeIndex, Edge>,
    /// The edges from each node.
    outgoing: Ranges<FlowNodeId>,
    /// The edges to each node, once a caller asks for some.
    incoming: OnceLock<Groups<FlowNodeId, EdgeIndex>>,
    damaged: Taint,
}

/// The sums of one usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Column {
    total: i64,
    unknown: i64,
    /// The sum of the weights without their sign.
    gross: i64,
}

impl FlowGraph {
    /// The whole flow graph of a usage.
    ///
    /// O(nodes of the call tree that the stacks use), and O(n log n) for the n nodes and edges of the graph.
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        Self::with_options(traces, [usage], &FlowOptions::default())
    }

    /// The flow graph of one usage or several, which become its columns in their order, with options: without small
    /// nodes and edges, with a limit on the number of nodes, with chains of lines as one node, with a root.
    ///
    /// The costs are those of [`new`](Self::new) for each column.
    ///
    /// ```
    /// use heapprof::view::{FlowGraph, FlowOptions};
    /// use heapprof::{Elapsed, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let before = reader.live_at(Elapsed::from_secs(10))?;
    /// let during = reader.live_at(Elapsed::from_secs(13))?;
    /// let options = FlowOptions::default().min_fraction(0.01).collapse(true);
    /// let graph = FlowGraph::with_options(reader.traces()?, [&before, &during], &options);
    ///
    /// assert_eq!((graph.column_count(), graph.nodes().len()), (2, 12));
    /// // The only path from the interpreter to the program is one node.
    /// let entry = graph.nodes().next().unwrap();
    /// assert_eq!(entry.lines().len(), 3);
    /// assert_eq!((entry.cumulative(0), entry.cumulative(1)), (4_389_175, 14_521_331));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[doc(alias = "compare")]
    pub fn with_options<'u>(
        traces: &TraceTable,
        usages: impl IntoIterator<Item = &'u Usage>,
        options: &FlowOptions,
    ) -> Self {
        let usages: Vec<&Usage> = usages.into_iter().collect();
        let tree = WeightedTree::new(traces, &usages);
        let kept = tree.passing(options.min_fraction);
        let kept = tree.highest_scores(kept, options);
        let mut graph = tree.graph(&kept);
        graph.prune_edges(options);
        if kept.values().contains(&false) {
            graph.remove_redundant();
        }
        if options.root {
            graph.add_root();
        }
        if options.collapse {
            graph.collapse();
        }
        if options.root || options.collapse {
            graph.sort();
        }
        debug_assert!(graph.nodes.values().is_sorted_by_key(Node::key));
        debug_assert!(graph.edges.values().is_sorted_by_key(Edge::key));
        let sources = graph.edges.values().iter().map(|edge| edge.from);
        graph.outgoing = Ranges::new(sources, graph.nodes.len());
        graph
    }

    /// The number of columns.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// The total of a column, rows without a stack included; 0 for a column that does not exist.
    #[doc(alias = "totalUsage")]
    pub fn total(&self, column: usize) -> i64 {
        self.columns.get(column).map_or(0, |column| column.total)
    }

    /// The weight of the rows without a stack in a column.
    pub fn unknown(&self, column: usize) -> i64 {
        self.columns.get(column).map_or(0, |column| column.unknown)
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// All nodes: the [root](FlowNode::is_root) first if there is one, then those with the largest
    /// cumulative usage, that of all columns together.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = FlowNode<'_>> + DoubleEndedIterator {
        self.nodes.iter().map(|(id, node)| FlowNode {
            graph: self,
            id,
            node,
        })
    }

    /// The node with an id; `None` if the graph has fewer nodes.
    pub fn node(&self, id: FlowNodeId) -> Option<FlowNode<'_>> {
        let node = self.nodes.find(id)?;
        Some(FlowNode {
            graph: self,
            id,
            node,
        })
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the edges of a graph are between its nodes"
    )]
    fn node_of_edge(&self, id: FlowNodeId) -> FlowNode<'_> {
        FlowNode {
            graph: self,
            id,
            node: &self.nodes.values()[id.index()],
        }
    }

    /// The node that contains a line, if any. O(nodes).
    pub fn find(&self, line: FrameId) -> Option<FlowNode<'_>> {
        self.nodes().find(|node| node.line_ids().contains(&line))
    }

    /// All edges, in the order of their sources, the heaviest of each first.
    #[doc(alias = "edgeUsage")]
    pub fn edges(&self) -> impl ExactSizeIterator<Item = FlowEdge<'_>> + DoubleEndedIterator {
        let edges = self.edges.values().iter();
        edges.map(|edge| FlowEdge { graph: self, edge })
    }

    fn outgoing_edges(
        &self,
        node: FlowNodeId,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'_>> + DoubleEndedIterator {
        let edges = self.edges.values().get(self.outgoing.of(node));
        let edges = edges.unwrap_or_default().iter();
        edges.map(|edge| FlowEdge { graph: self, edge })
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the groups are of the graph's own edges"
    )]
    fn incoming_edges(
        &self,
        node: FlowNodeId,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'_>> + DoubleEndedIterator {
        let incoming = self.incoming.get_or_init(|| self.group_incoming());
        let edges = incoming.of(node).iter();
        edges.map(|&id| FlowEdge {
            graph: self,
            edge: &self.edges.values()[id.index()],
        })
    }

    fn group_incoming(&self) -> Groups<FlowNodeId, EdgeIndex> {
        let targets = self.edges.values().iter().map(|edge| edge.to);
        Groups::new(targets, self.nodes.len())
    }
}

impl fmt::Debug for FlowGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowGraph")
            .field("columns", &self.columns)
            .field("nodes", &self.nodes.len())
            .field("edges", &self.edges.len())
            .finish_non_exhaustive()
    }
}
