//! [`FlowNodeId`]: the ids of the nodes of a flow graph.

use std::fmt;

use crate::id::Id;

/// The id of a node of a [`FlowGraph`](super::FlowGraph). The same for the same input.
///
/// ```
/// use heapprof::view::FlowGraph;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let graph = FlowGraph::new(reader.traces()?, &reader.live_at_end()?);
/// let heaviest = graph.nodes().next().unwrap();
/// assert_eq!((heaviest.id().index(), heaviest.id().to_string()), (0, "0".into()));
/// assert_eq!(graph.node(heaviest.id()).unwrap().id(), heaviest.id());
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct FlowNodeId(u32);

impl FlowNodeId {
    /// No graph has this id.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// The node's index among the [nodes](super::FlowGraph::nodes) of its graph, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Id for FlowNodeId {
    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }

    #[inline]
    fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for FlowNodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
