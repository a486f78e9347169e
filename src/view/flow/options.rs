//! [`FlowOptions`]: which nodes and edges a flow graph has.

/// The weight with which an edge is compared.
///
/// ```
/// use heapprof::view::{EdgeBase, FlowGraph, FlowOptions};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let (traces, end) = (reader.traces()?, reader.live_at_end()?);
/// let edges = |base| {
///     let options = FlowOptions::default().min_edge_fraction(0.05, base);
///     FlowGraph::with_options(traces, [&end], &options).edges().len()
/// };
/// assert_eq!((edges(EdgeBase::Total), edges(EdgeBase::Source)), (6, 19));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EdgeBase {
    /// The total of the column.
    #[default]
    Total,
    /// The cumulative usage of the calling line, as in heapprof 1.0.
    Source,
}

/// Which nodes and edges a flow graph has: by default all of them, with a node for each line.
///
/// heapprof 1.0 draws its graphs with `min_fraction(0.01)`, `min_edge_fraction(0.05,
/// EdgeBase::Source)`, `collapse(true)` and `root(true)`.
///
/// ```
/// use heapprof::view::{EdgeBase, FlowGraph, FlowOptions};
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let end = reader.live_at_end()?;
/// let nodes = |options| FlowGraph::with_options(reader.traces().unwrap(), [&end], &options).nodes().len();
/// let all = FlowOptions::default();
/// let few = all.clone().min_fraction(0.01);
/// assert_eq!((nodes(all), nodes(few.clone())), (38, 8));
/// assert_eq!(nodes(few.collapse(true).min_edge_fraction(0.05, EdgeBase::Source).root(true)), 7);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct FlowOptions {
    pub(super) min_fraction: f64,
    pub(super) min_edge_fraction: f64,
    pub(super) edge_base: EdgeBase,
    pub(super) max_nodes: Option<usize>,
    pub(super) collapse: bool,
    pub(super) root: bool,
}

impl FlowOptions {
    /// Leaves out lines whose cumulative usage is less than this fraction of the total in every column. A line
    /// that passes in one column is kept with its weights in all.
    ///
    /// Stacks stay connected, as in pprof: an edge that skips lines is marked as
    /// [residual](crate::view::FlowEdge::is_residual), and is left out if another path leads to the same node.
    /// Negative weights count without their sign.
    #[doc(alias = "minNodeFraction")]
    #[must_use]
    pub fn min_fraction(mut self, fraction: f64) -> Self {
        self.min_fraction = fraction;
        self
    }

    /// Leaves out edges whose weight is less than this fraction of the base in every column. An edge that
    /// passes in one column is kept with its weights in all.
    #[doc(alias = "minEdgeFraction")]
    #[must_use]
    pub fn min_edge_fraction(mut self, fraction: f64, base: EdgeBase) -> Self {
        self.min_edge_fraction = fraction;
        self.edge_base = base;
        self
    }

    /// Keeps at most this many nodes, those with the highest scores, and leaves the others out as if they were
    /// too small. Collapses chains and adds a root after that.
    ///
    /// The score is pprof's: the cumulative usage, times the entropy of its division among incoming and
    /// outgoing edges, plus the local usage. A line with one caller and one callee has a low score.
    #[doc(alias = "nodecount")]
    #[must_use]
    pub fn max_nodes(mut self, nodes: usize) -> Self {
        self.max_nodes = Some(nodes);
        self
    }

    /// Makes one node of lines that always follow each other: the first has no local usage and calls only the
    /// second, and no other line calls the second. The node has all the lines.
    #[doc(alias = "collapseNodes")]
    #[must_use]
    pub fn collapse(mut self, collapse: bool) -> Self {
        self.collapse = collapse;
        self
    }

    /// Adds a root above the nodes at which stacks begin, if there are several. Its cumulative usage is the
    /// total, and its local usage the weight without a stack.
    #[must_use]
    pub fn root(mut self, root: bool) -> Self {
        self.root = root;
        self
    }
}
