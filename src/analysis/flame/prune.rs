//! A flame graph that fits a screen: what is too narrow is cut, and kept as one "other".

use super::arrange::Draft;
use super::{FlameGraph, FlameWeight, Label, Node};

impl FlameGraph {
    /// The graph without the nodes that are narrower than this fraction of the whole. What is cut
    /// below a node becomes one child of it, [`FlameLabel::Other`](super::FlameLabel::Other), so that
    /// no total changes. Unknown is never cut. O(n log n).
    ///
    /// ```
    /// use heapprof::{FlameGraph, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let whole = FlameGraph::new(reader.traces()?, &reader.live_at_end()?);
    /// let graph = whole.clone().prune(0.01);
    /// assert_eq!((whole.len(), graph.len()), (42, 12));
    /// assert_eq!(graph.total(), whole.total());
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a fraction is not that precise")]
    pub fn prune(self, fraction: f64) -> Self {
        let least = fraction * self.total().size() as f64;
        let keep: Vec<bool> = self
            .nodes
            .iter()
            .map(|node| match node.label {
                Label::All | Label::Unknown => true,
                Label::Frame(_) => (node.total.size() as f64) >= least,
                Label::Other => false,
            })
            .collect();
        self.cut(&keep)
    }

    /// The graph with at most so many nodes, the root and what stands for the others included: the
    /// widest ones. At least the root and one other are left. O(n log n).
    ///
    /// ```
    /// use heapprof::{FlameGraph, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let graph = FlameGraph::new(reader.traces()?, &reader.live_at_end()?).at_most(10);
    /// assert_eq!(graph.len(), 10);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn at_most(self, nodes: usize) -> Self {
        if self.nodes.len() <= nodes {
            return self;
        }
        // The widest first. A parent is as wide as its children at least and stands before them, so
        // the first of these always make a tree.
        let mut order: Vec<u32> = (0_u32..).zip(&self.nodes).map(|(place, _)| place).collect();
        let size = |place: u32| {
            self.nodes
                .get(place as usize)
                .map_or(0, |it| it.total.size())
        };
        order.sort_by_key(|&place| std::cmp::Reverse(size(place)));

        // How many children of each are not kept, others among them.
        let mut missing = vec![0_usize; self.nodes.len()];
        for node in self.nodes.iter().skip(1) {
            if let Some(missing) = missing.get_mut(node.parent as usize) {
                *missing += 1;
            }
        }
        let mut others = 0;
        let mut kept = 0;
        let mut fits = 1;
        for (taken, &place) in order.iter().enumerate() {
            let Some(node) = self.nodes.get(place as usize) else {
                break;
            };
            if node.label != Label::Other {
                kept += 1;
                if place != 0
                    && let Some(missing) = missing.get_mut(node.parent as usize)
                {
                    *missing -= 1;
                    others -= usize::from(*missing == 0);
                }
                others += usize::from(missing.get(place as usize).is_some_and(|&count| count > 0));
            }
            if kept + others <= nodes {
                fits = taken + 1;
            }
        }
        let mut keep = vec![false; self.nodes.len()];
        for &place in order.iter().take(fits) {
            let other = self.nodes.get(place as usize).map(|node| node.label) == Some(Label::Other);
            if let Some(keep) = keep.get_mut(place as usize) {
                *keep = !other;
            }
        }
        self.cut(&keep)
    }

    /// The graph without the nodes that are not to be kept, and what is below them.
    fn cut(self, keep: &[bool]) -> Self {
        let mut drafts: Vec<Draft> = Vec::with_capacity(self.nodes.len());
        let mut numbers = vec![0_u32; self.nodes.len()];
        let mut others: Vec<(u32, FlameWeight)> = Vec::new();
        let mut place = 0;
        while let Some(&Node {
            label,
            parent,
            end,
            own,
            total,
            ..
        }) = self.nodes.get(place)
        {
            let parent = numbers.get(parent as usize).copied().unwrap_or(0);
            if keep.get(place) == Some(&true) {
                if let Some(number) = numbers.get_mut(place) {
                    *number = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
                }
                drafts.push(Draft { label, parent, own });
                place += 1;
            } else {
                others.push((parent, total));
                place = end as usize;
            }
        }
        others.sort_unstable_by_key(|&(parent, _)| parent);
        for cut in others.chunk_by(|a, b| a.0 == b.0) {
            let own = cut
                .iter()
                .fold(FlameWeight::default(), |sum, &(_, it)| sum.plus(it));
            drafts.extend(cut.first().map(|&(parent, _)| Draft {
                label: Label::Other,
                parent,
                own,
            }));
        }
        Self::arranged(self.traces, self.order, &drafts, self.damaged)
    }
}
