//! How does memory flow through the lines of a program? A graph, for one usage or several side by
//! side.

mod build;
mod calls;
mod collapse;
mod edge;
mod lines;
mod node;
mod options;
mod order;
mod prune;

use std::fmt;
use std::sync::OnceLock;

use smallvec::SmallVec;

use crate::analysis::groups::{Groups, Ranges};
use crate::analysis::subtree::Subtree;
use crate::error::Damaged;
use crate::id::FrameId;
use crate::trace::TraceTable;
use crate::usage::{Usage, saturated};

use edge::{Edge, EdgeWeights};
pub use node::{FlowEdge, FlowNode};
pub use options::{EdgeBase, FlowOptions};
use order::{Ranked, put_in_order};

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
/// A line that recurs in a stack counts once for that stack, and so does an edge; there is no edge
/// from a line to itself. Where no stack has a recurring line, the cumulative usage of a node is its
/// local usage plus what flows out, and what flows in plus the stacks that [begin](FlowNode::begins)
/// at it.
///
/// ```
/// use heapprof::{FlowGraph, Frame, TraceId, TraceTable, Usage};
///
/// let stack = |names: &str| -> Vec<Frame> {
///     names.chars().map(|name| Frame::new(["A", "B", "C", "D", "E"][name as usize - 65], 0)).collect()
/// };
/// let traces = TraceTable::from_iter(["AD", "ACD", "ACE", "AC", "BC", "BCD"].map(stack));
/// let weights = [16, 17, 19, 21, 3, 7];
/// let usage: Usage = (1..).map(TraceId::new).zip(weights).collect();
///
/// let graph = FlowGraph::new(&traces, [&usage]);
/// let shown: Vec<_> = graph
///     .nodes()
///     .map(|node| format!("{} {}/{}", node.lines().next().unwrap(), node.local(0), node.cumulative(0)))
///     .collect();
/// assert_eq!(shown, ["A 0/73", "C 24/67", "D 40/40", "E 19/19", "B 0/10"]);
/// let (a, c) = (graph.node(0), graph.node(1));
/// let edge = graph.outgoing(a.id()).find(|edge| edge.to() == c.id()).unwrap();
/// assert_eq!(edge.weight(0), 57);
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
    nodes: Vec<Node>,
    /// Those of one source together, in the order of the sources.
    edges: Vec<Edge>,
    weights: EdgeWeights,
    /// The edges by source.
    outgoing: Ranges,
    /// The edges by target, for who asks.
    incoming: OnceLock<Groups>,
    damaged: Damaged,
}

/// What one usage says of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Column {
    total: i64,
    unknown: i64,
    /// The sum of the weights without their sign.
    gross: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    /// None for the synthetic root.
    lines: SmallVec<[FrameId; 2]>,
    /// One for each column.
    weights: SmallVec<[Weights; 1]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Weights {
    local: i64,
    cumulative: i64,
    /// Of the stacks that begin here.
    begins: i64,
}

impl FlowGraph {
    /// The whole flow graph of some usages, which become its columns in their order. One alone goes
    /// in as `[&usage]`.
    ///
    /// O(nodes of the call tree that the stacks use × columns), and O(n log n) for the n nodes and edges
    /// of the graph.
    pub fn new<'u>(traces: &TraceTable, usages: impl IntoIterator<Item = &'u Usage>) -> Self {
        Self::with(traces, usages, &FlowOptions::default())
    }

    /// The flow graph of some usages as the options say: without what is small, with a cap on its
    /// nodes, with chains of lines as one node, with a root.
    ///
    /// ```
    /// use heapprof::{Elapsed, FlowGraph, FlowOptions, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let before = reader.live_at(Elapsed::from_secs(10))?;
    /// let during = reader.live_at(Elapsed::from_secs(13))?;
    /// let options = FlowOptions::default().node_fraction(0.01).collapse(true);
    /// let graph = FlowGraph::with(reader.traces()?, [&before, &during], &options);
    ///
    /// assert_eq!((graph.column_count(), graph.nodes().len()), (2, 12));
    /// // The interpreter's way to the program, where there is no choice, is one node.
    /// let entry = graph.node(0);
    /// assert_eq!(entry.lines().len(), 3);
    /// assert_eq!((entry.cumulative(0), entry.cumulative(1)), (4_389_175, 14_521_331));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[doc(alias = "compare")]
    pub fn with<'u>(
        traces: &TraceTable,
        usages: impl IntoIterator<Item = &'u Usage>,
        options: &FlowOptions,
    ) -> Self {
        let usages: Vec<&Usage> = usages.into_iter().collect();
        let draft = Draft::new(traces, &usages);
        let kept = draft.passing(options.node_fraction);
        let kept = draft.telling(kept, options);
        let mut graph = draft.graph(&kept);
        graph.prune_edges(options);
        if kept.contains(&false) {
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
        graph.arranged()
    }

    /// How many usages stand side by side.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// The total of a column, what has no stack included; 0 for a column that there is not.
    #[doc(alias = "totalUsage")]
    pub fn total(&self, column: usize) -> i64 {
        self.columns.get(column).map_or(0, |column| column.total)
    }

    /// What has no stack in a column.
    pub fn unknown(&self, column: usize) -> i64 {
        self.columns.get(column).map_or(0, |column| column.unknown)
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// All nodes: the [root](FlowNode::is_root) first if there is one, then those with the largest
    /// cumulative usage, that of all columns together. Their ids are 0, 1, 2, …
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = FlowNode<'_>> + DoubleEndedIterator {
        self.nodes.iter().enumerate().map(|(id, node)| FlowNode {
            graph: self,
            id,
            node,
        })
    }

    /// The node with this id.
    ///
    /// # Panics
    /// If there is none: the ids are below the number of [nodes](Self::nodes).
    #[expect(clippy::indexing_slicing, reason = "documented, as of a slice")]
    pub fn node(&self, id: usize) -> FlowNode<'_> {
        FlowNode {
            graph: self,
            id,
            node: &self.nodes[id],
        }
    }

    /// The node that a line is in, if it is in one. O(nodes).
    pub fn find(&self, line: FrameId) -> Option<FlowNode<'_>> {
        self.nodes().find(|node| node.line_ids().contains(&line))
    }

    /// All edges, in the order of their sources, the heaviest of each first.
    #[doc(alias = "edgeUsage")]
    pub fn edges(&self) -> impl ExactSizeIterator<Item = FlowEdge<'_>> + DoubleEndedIterator {
        (0..self.edges.len()).map(|place| FlowEdge { graph: self, place })
    }

    /// The edges from a node, the heaviest first.
    pub fn outgoing(
        &self,
        node: usize,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'_>> + DoubleEndedIterator {
        self.edges_at(self.outgoing.of(node))
    }

    /// The edges to a node, in the order of their sources.
    ///
    /// O(edges to it); the first time O(edges of the graph).
    pub fn incoming(
        &self,
        node: usize,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'_>> + DoubleEndedIterator {
        let incoming = self.incoming.get_or_init(|| {
            let targets = self.edges.iter().map(Edge::to);
            Groups::new(targets, self.nodes.len())
        });
        self.edges_at(incoming.of(node))
    }

    fn edges_at<'g>(
        &'g self,
        places: impl ExactSizeIterator<Item = usize> + DoubleEndedIterator + 'g,
    ) -> impl ExactSizeIterator<Item = FlowEdge<'g>> + DoubleEndedIterator {
        places.map(|place| FlowEdge { graph: self, place })
    }

    /// Finds the edges of each node, and gives up the weights of those that are no more.
    fn arranged(mut self) -> Self {
        debug_assert!(self.is_in_order());
        self.outgoing = Ranges::new(self.edges.iter().map(Edge::from), self.nodes.len());
        self.weights.keep(&mut self.edges);
        self
    }

    /// Whether nodes and edges are in their order: they are made so, and leaving some out changes nothing.
    fn is_in_order(&self) -> bool {
        let edge = |edge: &Edge| (edge.from(), self.weights.key(edge));
        self.nodes.is_sorted_by_key(Node::key) && self.edges.is_sorted_by_key(edge)
    }

    /// Puts nodes and edges in their order.
    fn sort(&mut self) {
        let node = Node::key;
        if !self.nodes.is_sorted_by_key(node) {
            let mut order: Vec<usize> = (0..self.nodes.len()).collect();
            order.sort_by_cached_key(|&id| self.nodes.get(id).map(node));
            let mut new_id = vec![0; order.len()];
            for (new, &old) in (0..).zip(&order) {
                if let Some(place) = new_id.get_mut(old) {
                    *place = new;
                }
            }
            self.renumber(|old| new_id.get(old).copied());
            put_in_order(&mut self.nodes, order);
        }
        let edge = |edge: &Edge| (edge.from(), self.weights.key(edge));
        if !self.edges.is_sorted_by_key(edge) {
            let mut order: Vec<usize> = (0..self.edges.len()).collect();
            order.sort_by_cached_key(|&place| self.edges.get(place).map(edge));
            put_in_order(&mut self.edges, order);
        }
    }

    /// Gives the ends of all edges the numbers that the nodes have now; where a node has none, the
    /// edge is left out.
    fn renumber(&mut self, number: impl Fn(usize) -> Option<u32>) {
        self.edges.retain_mut(|edge| {
            let new = edge.renumbered(&number);
            *edge = new.unwrap_or(*edge);
            new.is_some()
        });
    }
}

impl Node {
    /// What puts it in its place: the synthetic root, which has no line, and then the heaviest.
    fn key(&self) -> (bool, Ranked) {
        let line = self.lines.first();
        let ranked = Ranked::new(size(&self.weights), line.map_or(0, |line| line.0), 0);
        (line.is_some(), ranked)
    }
}

/// The cumulative weights of a node without their sign, those of all columns together.
fn size(weights: &[Weights]) -> u64 {
    weights.iter().fold(0, |sum: u64, weights| {
        sum.saturating_add(weights.cumulative.unsigned_abs())
    })
}

/// What a graph is made from: the weights of each column in the part of the call tree that they use.
struct Draft<'t> {
    traces: &'t TraceTable,
    subtree: Subtree<'t>,
    columns: Vec<Column>,
    /// For each column what ends at each place; and what ends at or below it.
    own: Vec<Vec<i64>>,
    below: Vec<Vec<i64>>,
    /// For each column the same without sign, where that makes a difference.
    gross: Vec<Option<Vec<i64>>>,
    damaged: Damaged,
}

impl<'t> Draft<'t> {
    fn new(traces: &'t TraceTable, usages: &[&Usage]) -> Self {
        let subtree = Subtree::new(traces, usages);
        let mut draft = Self {
            traces,
            columns: Vec::new(),
            own: Vec::new(),
            below: Vec::new(),
            gross: Vec::new(),
            subtree,
            damaged: traces.damaged(),
        };
        for usage in usages {
            draft.add_column(usage);
        }
        draft
    }

    fn add_column(&mut self, usage: &Usage) {
        self.damaged = self.damaged | usage.damaged();
        let mut own = vec![0_i64; self.subtree.len()];
        let mut unknown = 0_i128;
        let mut all = 0_i128;
        let mut negative = false;
        for (place, weight) in self.subtree.rows(usage) {
            all += i128::from(weight).abs();
            negative |= weight < 0;
            match own.get_mut(place) {
                Some(own) if place > 0 => *own = own.saturating_add(weight),
                _ => unknown += i128::from(weight),
            }
        }
        self.gross.push(negative.then(|| {
            let mut gross = vec![0_i64; own.len()];
            for (place, weight) in self.subtree.rows(usage) {
                if let Some(gross) = gross.get_mut(place) {
                    *gross = gross.saturating_add(weight.saturating_abs());
                }
            }
            self.subtree.sum_up(&mut gross);
            gross
        }));
        let mut below = own.clone();
        self.subtree.sum_up(&mut below);
        self.own.push(own);
        self.below.push(below);
        self.columns.push(Column {
            total: usage.total(),
            unknown: saturated(unknown),
            gross: saturated(all),
        });
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
