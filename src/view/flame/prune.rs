//! Makes a flame graph fit a screen: cuts nodes that are too narrow, and adds up what it cuts.

use std::cmp::Reverse;

use super::arrange::{RawId, RawNode};
use super::{FlameGraph, FlameIndex, FlameWeight, Label, Node};
use crate::id_vec::IdVec;

impl FlameGraph {
    /// The graph without the nodes that are narrower than this fraction of the whole. All nodes cut below a node
    /// become one child of it, [`FlameLabel::Other`](super::FlameLabel::Other), so that no total changes.
    /// Unknown is never cut. O(n log n).
    ///
    /// ```
    /// use heapprof::view::FlameGraph;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let whole = FlameGraph::new(reader.traces()?, &reader.live_at_end()?);
    /// let graph = whole.clone().min_fraction(0.01);
    /// assert_eq!((whole.len(), graph.len()), (42, 12));
    /// assert_eq!(graph.total(), whole.total());
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a fraction is not that precise")]
    pub fn min_fraction(self, fraction: f64) -> Self {
        let least = fraction * self.total().size() as f64;
        let keep = self
            .nodes
            .values()
            .iter()
            .map(|node| match node.label {
                Label::All | Label::Unknown => true,
                Label::Frame(_) => (node.total.size() as f64) >= least,
                Label::Other => false,
            })
            .collect();
        self.cut(&keep)
    }

    /// The graph with at most this many nodes, the widest ones. They include the root and the nodes for
    /// what was cut. At least the root and one other node are left. O(n log n).
    ///
    /// ```
    /// use heapprof::view::FlameGraph;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let graph = FlameGraph::new(reader.traces()?, &reader.live_at_end()?).max_nodes(10);
    /// assert_eq!(graph.len(), 10);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn max_nodes(self, nodes: usize) -> Self {
        if self.nodes.len() <= nodes {
            return self;
        }
        // The widest first. A parent is at least as wide as its children and comes before them, so the first
        // of these always make a tree.
        let mut order: Vec<(FlameIndex, &Node)> = self.nodes.iter().collect();
        order.sort_by_key(|(_, node)| Reverse(node.total.size()));

        // How many children of each node are not kept, others among them.
        let mut missing = IdVec::<FlameIndex, usize>::defaults(self.nodes.len());
        for node in self.nodes.values().iter().skip(1) {
            missing.update(node.parent, |missing| *missing += 1);
        }
        let mut others = 0;
        let mut kept = 0;
        let mut fits = 1;
        for (index, &(id, node)) in order.iter().enumerate() {
            if node.label != Label::Other {
                kept += 1;
                if id != FlameIndex::ROOT {
                    missing.update(node.parent, |missing| {
                        *missing -= 1;
                        others -= usize::from(*missing == 0);
                    });
                }
                others += usize::from(missing.get(id) > 0);
            }
            if kept + others <= nodes {
                fits = index + 1;
            }
        }
        let mut keep = IdVec::defaults(self.nodes.len());
        for &(id, node) in order.iter().take(fits) {
            keep.set(id, node.label != Label::Other);
        }
        self.cut(&keep)
    }

    /// The graph without the nodes that are not to be kept, and without what is below them.
    fn cut(self, keep: &IdVec<FlameIndex, bool>) -> Self {
        let mut raw = IdVec::with_capacity(self.nodes.len());
        let mut raw_ids = IdVec::<FlameIndex, RawId>::defaults(self.nodes.len());
        // The weight that is cut below each node.
        let mut cut = IdVec::<RawId, FlameWeight>::new();
        let mut cut_to = FlameIndex::ROOT;
        for (id, node) in self.nodes.iter() {
            if id < cut_to {
                continue;
            }
            let parent = raw_ids.get(node.parent);
            if keep.get(id) {
                raw_ids.set(id, cut.push(FlameWeight::default()));
                raw.push(RawNode {
                    own: node.own,
                    ..RawNode::new(node.label, parent)
                });
            } else {
                cut.update(parent, |sum| *sum = sum.plus(node.total));
                cut_to = node.end;
            }
        }
        for (parent, &own) in cut.iter().filter(|(_, own)| !own.is_zero()) {
            raw.push(RawNode {
                own,
                ..RawNode::new(Label::Other, parent)
            });
        }
        Self::arranged(self.traces, self.order, &raw, self.damaged)
    }
}
