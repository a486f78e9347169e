//! What of a flow graph is to be seen.

/// What an edge must be a fraction of to be kept.
///
/// ```
/// use heapprof::{EdgeBase, FlowGraph, FlowOptions, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (traces, end) = (reader.traces()?, reader.live_at_end()?);
/// let edges = |base| {
///     let options = FlowOptions::default().edge_fraction(0.05, base);
///     FlowGraph::with(traces, [&end], &options).edges().len()
/// };
/// assert_eq!((edges(EdgeBase::Total), edges(EdgeBase::Source)), (6, 19));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EdgeBase {
    /// Of the total of the column.
    #[default]
    Total,
    /// Of the cumulative usage of the line that calls, as heapprof 1.0 has it.
    Source,
}

/// What of a flow graph is to be seen: by default all of it, a node for each line.
///
/// heapprof 1.0 draws its graphs with `node_fraction(0.01)`, `edge_fraction(0.05,
/// EdgeBase::Source)`, `collapse(true)` and `root(true)`.
///
/// ```
/// use heapprof::{EdgeBase, FlowGraph, FlowOptions, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let end = reader.live_at_end()?;
/// let nodes = |options| FlowGraph::with(reader.traces().unwrap(), [&end], &options).nodes().len();
/// let all = FlowOptions::default();
/// let few = all.clone().node_fraction(0.01);
/// assert_eq!((nodes(all), nodes(few.clone())), (38, 8));
/// assert_eq!(nodes(few.collapse(true).edge_fraction(0.05, EdgeBase::Source).root(true)), 7);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct FlowOptions {
    pub(super) node_fraction: f64,
    pub(super) edge_fraction: f64,
    pub(super) edge_base: EdgeBase,
    pub(super) max_nodes: Option<usize>,
    pub(super) collapse: bool,
    pub(super) root: bool,
}

impl FlowOptions {
    /// Leaves out lines whose cumulative usage is less than this fraction of the total in every
    /// column; one that passes in a column is kept with its weights in all.
    ///
    /// Stacks stay connected: an edge that skips lines that are left out is marked as
    /// [residual](crate::FlowEdge::is_residual), and goes where another way leads to the same node,
    /// as in pprof. Where weights are negative, they count without their sign.
    #[doc(alias = "minNodeFraction")]
    #[must_use]
    pub fn node_fraction(mut self, fraction: f64) -> Self {
        self.node_fraction = fraction;
        self
    }

    /// Leaves out edges whose weight is less than this fraction of the base in every column; one that
    /// passes in a column is kept with its weights in all.
    #[doc(alias = "minEdgeFraction")]
    #[must_use]
    pub fn edge_fraction(mut self, fraction: f64, base: EdgeBase) -> Self {
        self.edge_fraction = fraction;
        self.edge_base = base;
        self
    }

    /// Keeps at most so many nodes, the most telling ones; the others are left out as those that are
    /// too small. Chains are collapsed, and a root added, after that.
    ///
    /// How telling a node is, is pprof's measure: its cumulative usage, times the entropy of how that
    /// is divided among the edges in and out, plus its local usage. A line through which everything
    /// flows without a choice tells little.
    #[doc(alias = "nodecount")]
    #[must_use]
    pub fn max_nodes(mut self, nodes: usize) -> Self {
        self.max_nodes = Some(nodes);
        self
    }

    /// Makes one node of lines that always follow each other: where the first has no usage of its
    /// own and leads to the second alone, which nothing else leads to. The node says all its lines.
    #[doc(alias = "collapseNodes")]
    #[must_use]
    pub fn collapse(mut self, collapse: bool) -> Self {
        self.collapse = collapse;
        self
    }

    /// Adds a root above where the stacks begin, if they begin at several nodes: its cumulative usage
    /// is the total, its local usage what has no stack.
    #[must_use]
    pub fn root(mut self, root: bool) -> Self {
        self.root = root;
        self
    }
}
