//! One node for lines that always follow each other.

use super::{FlowGraph, Node};

impl FlowGraph {
    /// Joins nodes along edges where there is no choice and nothing is used: all of these edges are
    /// found before any is joined, so that the order does not matter.
    pub(super) fn collapse(&mut self) {
        let count = self.nodes.len();
        // The only edge out of and into each node, if there is just one.
        let mut out = vec![Only::Nothing; count];
        let mut into = vec![Only::Nothing; count];
        for edge in &self.edges {
            if let Some(out) = out.get_mut(edge.from()) {
                out.meet(edge.to());
            }
            if let Some(into) = into.get_mut(edge.to()) {
                into.meet(edge.from());
            }
        }
        let mut next: Vec<Option<usize>> = vec![None; count];
        let mut has_before = vec![false; count];
        for edge in self.edges.iter().filter(|edge| !edge.residual) {
            let (caller, callee) = (edge.from(), edge.to());
            let (Some(from), Some(to)) = (self.nodes.get(caller), self.nodes.get(callee)) else {
                continue;
            };
            let no_choice = out.get(caller) == Some(&Only::One(callee))
                && into.get(callee) == Some(&Only::One(caller))
                && out.get(callee) != Some(&Only::One(caller));
            // All that contains one contains the other, and goes from one to the other.
            let ends = from.weights.iter().zip(&to.weights);
            let mut columns = ends.zip(self.weights.of(edge));
            let same = columns.all(|((from, to), &weight)| {
                from.local == 0
                    && from.cumulative == to.cumulative
                    && weight == to.cumulative
                    && to.begins == 0
            });
            if no_choice && same && !from.lines.is_empty() {
                if let Some(next) = next.get_mut(caller) {
                    *next = Some(callee);
                }
                if let Some(before) = has_before.get_mut(callee) {
                    *before = true;
                }
            }
        }
        // Each chain becomes its first node. A ring of chains has no first and stays as it is.
        let mut joined: Vec<u32> = (0..).take(count).collect();
        let mut keep = vec![true; count];
        for (first, number) in (0..count).zip(0..) {
            if has_before.get(first) != Some(&false) {
                continue;
            }
            let mut last = first;
            let mut lines = Vec::new();
            while let Some(following) = next.get(last).copied().flatten() {
                lines.extend(self.nodes.get(following).map(|it| it.lines.clone()));
                if let Some(joined) = joined.get_mut(following) {
                    *joined = number;
                }
                if let Some(keep) = keep.get_mut(following) {
                    *keep = false;
                }
                last = following;
            }
            let locals: Vec<i64> = self.nodes.get(last).map_or_else(Vec::new, |node: &Node| {
                node.weights.iter().map(|weights| weights.local).collect()
            });
            if let Some(node) = self.nodes.get_mut(first) {
                node.lines.extend(lines.into_iter().flatten());
                for (weights, local) in node.weights.iter_mut().zip(locals) {
                    weights.local = local;
                }
            }
        }
        self.renumber(|id| joined.get(id).copied());
        self.edges.retain(|edge| edge.from() != edge.to());
        self.keep_nodes(&keep);
    }
}

/// What is at the other end of the edges of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Nothing,
    One(usize),
    Several,
}

impl Only {
    fn meet(&mut self, other: usize) {
        *self = match self {
            Self::Nothing => Self::One(other),
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}
