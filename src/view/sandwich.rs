//! [`Sandwich`]: the callers and callees of a line.

use std::cmp::Reverse;

use crate::frame::Frame;
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::tree::{NodeId, ROOT};
use crate::usage::Usage;
use crate::view::flame::{FlameGraph, FlameWeight, StackMerger};
use crate::view::subtree::{PlaceId, Subtree};

/// The callers and callees of a line, also known as a sandwich view: the lines that call it and those it
/// calls, with the weight of each, and all paths to it and from it, as two trees.
///
/// Only stacks that contain the line count. If it recurs in a stack, its outermost occurrence divides the
/// stack, so that the stack counts once in each tree. The line is the only child of each root. In the
/// lists a stack counts once for each distinct neighbour.
///
/// ```
/// use heapprof::view::Sandwich;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let traces = reader.traces()?;
/// let line = traces.search("customers.py:7")[0];
/// let sandwich = Sandwich::new(traces, &reader.live_at_end()?, line);
///
/// let callees: Vec<_> = sandwich.callees().map(|it| (it.frame.to_string(), it.weight)).collect();
/// assert_eq!(callees, [("/srv/app/workloads/shop/customers.py:11".to_owned(), 8_149_808)]);
/// let caller = sandwich.callers().next().unwrap();
/// assert_eq!((caller.frame.line, caller.weight), (18, sandwich.cumulative()));
/// assert_eq!(sandwich.cumulative() - sandwich.local(), 8_149_808);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("peek", "caller / callee"))]
#[derive(Debug, Clone)]
pub struct Sandwich {
    traces: TraceTable,
    line: FrameId,
    local: i64,
    cumulative: i64,
    /// Heaviest first.
    callers: Box<[(FrameId, i64)]>,
    callees: Box<[(FrameId, i64)]>,
    caller_tree: FlameGraph,
    callee_tree: FlameGraph,
}

/// A line next to another in stacks, and the weight of these stacks.
///
/// ```
/// use heapprof::view::Sandwich;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let line = reader.traces()?.search("report.py:17")[0];
/// let sandwich = Sandwich::new(reader.traces()?, reader.peak()?.usage(), line);
/// let caller = sandwich.callers().next().unwrap();
/// assert_eq!((caller.frame.line, caller.weight), (7, 9_439_696));
/// assert_eq!(reader.traces()?.frame(caller.id), Some(caller.frame));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Neighbour<'a> {
    /// The line.
    pub frame: Frame<'a>,
    /// Its id in the table.
    pub id: FrameId,
    /// The weight of all stacks in which the two follow each other.
    pub weight: i64,
}

impl Sandwich {
    /// The callers and callees of a line in a usage. O(n log n) for n nodes of the call tree that the stacks use, and the
    /// limits of [`FlameGraph::inverted`] for the tree of callers.
    pub fn new(traces: &TraceTable, usage: &Usage, line: FrameId) -> Self {
        let subtree = Subtree::new(traces, &[usage]);
        let own = FlameWeight::by_place(&subtree, usage);
        let mut below = own.clone();
        below.sum_up(
            |_, place| subtree.parent(place),
            |above, weight| *above = above.plus(weight),
        );
        let ends = subtree.ends();
        let lines: IdVec<PlaceId, Option<FrameId>> = [None]
            .into_iter()
            .chain(subtree.places().map(|(_, line)| Some(line)))
            .collect();

        let (mut local, mut cumulative) = (0_i64, 0_i64);
        let mut callers = Sums::new(traces);
        let mut callees = Sums::new(traces);
        let mut up = Vec::new();
        let mut down = StackMerger::new(traces.tree().len());
        // The node of `down` for each place at or below the outermost place of the line.
        let mut merged = IdVec::<PlaceId, Option<NodeId>>::defaults(subtree.len());
        for (place, here) in subtree.places() {
            let parent = subtree.parent(place);
            let (weight, end) = (below.get(place).net(), ends.get(place));
            match lines.get(parent) {
                Some(caller) if here == line && caller != line => {
                    callers.add(caller, place, end, weight);
                }
                Some(caller) if here != line && caller == line => {
                    callees.add(here, place, end, weight);
                }
                _ => {}
            }
            if here == line {
                local = local.saturating_add(own.get(place).net());
            }
            let node = match merged.get(parent) {
                Some(above) => down.child(above, here),
                None if here == line => {
                    cumulative = cumulative.saturating_add(weight);
                    up.push((subtree.inward_out(place), below.get(place)));
                    down.child(ROOT, here)
                }
                None => continue,
            };
            merged.set(place, Some(node));
            down.add(node, own.get(place));
        }
        let up = FlameGraph::merged(traces, up);
        Self {
            traces: traces.clone(),
            line,
            local,
            cumulative,
            callers: callers.heaviest_first(),
            callees: callees.heaviest_first(),
            caller_tree: FlameGraph::of_merged(traces, up, usage.damaged()),
            callee_tree: FlameGraph::of_merged(traces, down, usage.damaged()),
        }
    }

    /// The line.
    pub fn line(&self) -> Frame<'_> {
        self.traces.line(self.line)
    }

    /// The weight of all stacks that end at the line.
    pub fn local(&self) -> i64 {
        self.local
    }

    /// The weight of all stacks that contain the line.
    pub fn cumulative(&self) -> i64 {
        self.cumulative
    }

    /// The lines that directly call this one, heaviest first; not the line itself.
    pub fn callers(&self) -> impl ExactSizeIterator<Item = Neighbour<'_>> + DoubleEndedIterator {
        self.neighbours(&self.callers)
    }

    /// The lines that this one directly calls, heaviest first; not the line itself.
    pub fn callees(&self) -> impl ExactSizeIterator<Item = Neighbour<'_>> + DoubleEndedIterator {
        self.neighbours(&self.callees)
    }

    fn neighbours<'a>(
        &'a self,
        rows: &'a [(FrameId, i64)],
    ) -> impl ExactSizeIterator<Item = Neighbour<'a>> + DoubleEndedIterator {
        rows.iter().map(|&(id, weight)| Neighbour {
            frame: self.traces.line(id),
            id,
            weight,
        })
    }

    /// Whether it is derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.caller_tree.is_damaged()
    }

    /// All paths to the line: below the line its callers, below each of these its own callers, out to the
    /// program's entry.
    pub fn caller_tree(&self) -> &FlameGraph {
        &self.caller_tree
    }

    /// All paths from the line down to the allocating lines.
    pub fn callee_tree(&self) -> &FlameGraph {
        &self.callee_tree
    }
}

/// A sum for each line, to which each stack is added once.
struct Sums {
    /// The sum of each line, and the end of the places whose stacks are in it already.
    sums: IdVec<FrameId, (i64, PlaceId)>,
}

impl Sums {
    fn new(traces: &TraceTable) -> Self {
        Self {
            sums: IdVec::defaults(traces.frame_count()),
        }
    }

    /// Adds the weight of the stacks from `place` to before `end`, unless a place further out has added them. Places
    /// come in preorder.
    fn add(&mut self, line: FrameId, place: PlaceId, end: PlaceId, weight: i64) {
        self.sums.update(line, |(sum, added)| {
            if place >= *added {
                *added = end;
                *sum = sum.saturating_add(weight);
            }
        });
    }

    fn heaviest_first(&self) -> Box<[(FrameId, i64)]> {
        let rows = self.sums.iter().map(|(line, &(sum, _))| (line, sum));
        let mut rows: Vec<_> = rows.filter(|&(_, weight)| weight != 0).collect();
        rows.sort_by_key(|&(line, weight)| (Reverse(weight), line));
        rows.into_boxed_slice()
    }
}
