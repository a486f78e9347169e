//! [`Folded`]: the folded form of a flame graph, each stack with its own weight.

use std::cmp::Reverse;

use smallvec::SmallVec;

use super::{FlameGraph, FlameIndex, FlameLabel, FlameWeight};

/// The stacks of a [`FlameGraph`] that have a weight of their own, heaviest first.
///
/// ```
/// use heapprof::view::FlameGraph;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let graph = FlameGraph::new(reader.traces()?, &reader.live_at_end()?);
/// assert_eq!(graph.folded().len(), 39);
/// assert_eq!(graph.folded().map(|stack| stack.weight()).sum::<i64>(), 8_334_103);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias = "collapsed stacks")]
#[derive(Debug, Clone)]
pub struct Folded<'g> {
    graph: &'g FlameGraph,
    ids: std::vec::IntoIter<FlameIndex>,
}

/// One stack of a [`FlameGraph`] and the weight that ends at it.
///
/// ```
/// use heapprof::view::FlameGraph;
/// use heapprof::{Frame, TraceId, TraceTable, Usage};
///
/// let traces = TraceTable::from_iter([[Frame::new("main.py", 1), Frame::new("read.py", 7)]]);
/// let usage = Usage::from_iter([(TraceId::new(1), 50)]);
/// let graph = FlameGraph::new(&traces, &usage);
/// let stack = graph.folded().next().unwrap();
/// let labels: Vec<_> = stack.labels().map(|label| label.to_string()).collect();
/// assert_eq!((labels.join(";"), stack.weight()), ("main.py:1;read.py:7".into(), 50));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FoldedStack<'g> {
    graph: &'g FlameGraph,
    id: FlameIndex,
}

impl FlameGraph {
    /// Each stack with the weight that ends at it, heaviest first, also known as collapsed stacks. A stack
    /// whose gains and losses cancel is left out. O(n log n).
    ///
    /// A text form must escape its separators: a file name can contain a semicolon or a line break.
    ///
    /// ```
    /// use heapprof::view::FlameGraph;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let graph = FlameGraph::new(reader.traces()?, &reader.live_at_end()?);
    /// let heaviest = graph.folded().next().unwrap();
    /// assert_eq!(heaviest.weight(), 8_149_808);
    /// assert_eq!(heaviest.labels().last().unwrap().to_string(),
    ///     "/srv/app/workloads/shop/customers.py:11");
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn folded(&self) -> Folded<'_> {
        let nodes = self.nodes.iter().map(|(id, node)| (node.own.net(), id));
        let mut stacks: Vec<_> = nodes.filter(|&(net, _)| net != 0).collect();
        stacks.sort_by_key(|&(net, _)| Reverse(net));
        let ids: Vec<_> = stacks.into_iter().map(|(_, id)| id).collect();
        Folded {
            graph: self,
            ids: ids.into_iter(),
        }
    }
}

impl<'g> Iterator for Folded<'g> {
    type Item = FoldedStack<'g>;

    fn next(&mut self) -> Option<FoldedStack<'g>> {
        let id = self.ids.next()?;
        Some(FoldedStack {
            graph: self.graph,
            id,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl ExactSizeIterator for Folded<'_> {}
impl std::iter::FusedIterator for Folded<'_> {}

impl<'g> FoldedStack<'g> {
    /// The nodes from below the root to the last, in the order of the graph: outermost first, or
    /// innermost first if it is inverted.
    pub fn labels(
        self,
    ) -> impl DoubleEndedIterator<Item = FlameLabel<'g>> + ExactSizeIterator + Clone {
        let mut stack: SmallVec<[_; 32]> = SmallVec::new();
        let mut id = self.id;
        while id != FlameIndex::ROOT {
            let node = self.graph.nodes.get(id);
            stack.push(node.label);
            id = node.parent;
        }
        stack.reverse();
        stack.into_iter().map(|label| self.graph.label(label))
    }

    /// The weight that ends at the stack: never 0, negative for a stack that shrank.
    pub fn weight(self) -> i64 {
        self.parts().net()
    }

    /// The same with gain and loss separate.
    pub fn parts(self) -> FlameWeight {
        self.graph.nodes.get(self.id).own
    }
}
