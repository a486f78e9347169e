//! [`Lines`]: the memory of each line of code.

use std::cmp::Reverse;
use std::fmt;

use crate::error::Taint;
use crate::frame::Frame;
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::usage::{Usage, saturated};
use crate::view::subtree::Subtree;

/// The local and the cumulative usage of every line of code.
///
/// *Local* is the weight of all traces that end at a line: the line itself allocates it. *Cumulative* is the
/// weight of all traces that contain the line: the line and its callees allocate it. A trace counts once for a
/// line, even if the line recurs in it.
///
/// ```
/// use heapprof::view::Lines;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let lines = Lines::new(reader.traces()?, &reader.live_at_end()?);
/// let heaviest = lines.by_local().next().unwrap();
/// assert_eq!(heaviest.frame.to_string(), "/srv/app/workloads/shop/customers.py:11");
/// assert_eq!((heaviest.local, heaviest.cumulative), (8_149_808, 8_149_808));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("fastGetUsage", "top"))]
#[derive(Clone)]
pub struct Lines {
    traces: TraceTable,
    total: i64,
    unknown: i64,
    local: IdVec<FrameId, i64>,
    cumulative: IdVec<FrameId, i64>,
    by_local: Box<[FrameId]>,
    by_cumulative: Box<[FrameId]>,
    damaged: Taint,
}

/// The usage of one line.
///
/// ```
/// use heapprof::view::Lines;
/// use heapprof::Reader;
///
/// let reader = Reader::open("examples/data/demo")?;
/// let lines = Lines::new(reader.traces()?, &reader.live_at_end()?);
/// let line = lines.by_cumulative().find(|line| line.local > 0).unwrap();
/// assert_eq!(line.frame.to_string(), "/srv/app/src/heapprof/__main__.py:49");
/// assert_eq!((line.local, line.cumulative), (464, 8_333_687));
/// assert_eq!(lines.get(line.id), Some(line));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LineUsage<'a> {
    /// The line.
    pub frame: Frame<'a>,
    /// Its id in the table.
    pub id: FrameId,
    /// The weight of all traces that end at it.
    #[doc(alias("flat", "self"))]
    pub local: i64,
    /// The weight of all traces that contain it.
    #[doc(alias("cum", "total"))]
    pub cumulative: i64,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("total", &self.total)
            .field("unknown", &self.unknown)
            .field("lines", &self.len())
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// Sums a usage up by line. O(lines, and nodes of the call tree that its stacks use); memory 24 bytes
    /// a line and 28 bytes a node.
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        let subtree = Subtree::new(traces, &[usage]);
        let (own, unknown) = subtree.own(usage, |weight| weight);
        let local = subtree.local(&own);
        let cumulative = subtree.cumulative(&subtree.below(&own));
        let heaviest_first = |sums: &IdVec<FrameId, i64>| {
            let used = sums.ids();
            let used = used.filter(|&id| (local.get(id), cumulative.get(id)) != (0, 0));
            let mut order: Vec<_> = used.map(|id| (Reverse(sums.get(id)), id)).collect();
            order.sort_unstable();
            order.into_iter().map(|(_, id)| id).collect()
        };
        Self {
            total: usage.total(),
            unknown: saturated(unknown),
            by_local: heaviest_first(&local),
            by_cumulative: heaviest_first(&cumulative),
            local,
            cumulative,
            traces: traces.clone(),
            damaged: traces.damaged() | usage.damaged(),
        }
    }

    /// The weight of all traces, those without a stack included.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// The weight without a stack: of unknown traces, those that the table does not have, and those without
    /// frames.
    pub fn unknown(&self) -> i64 {
        self.unknown
    }

    /// Whether they are derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The number of lines that have a usage.
    pub fn len(&self) -> usize {
        self.by_local.len()
    }

    /// Whether no line has a usage.
    pub fn is_empty(&self) -> bool {
        self.by_local.is_empty()
    }

    /// The usage of one line; 0 and 0 for one that has none.
    ///
    /// ```
    /// use heapprof::view::Lines;
    /// use heapprof::{Frame, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let traces = reader.traces()?;
    /// let lines = Lines::new(traces, &reader.live_at_end()?);
    /// let main = traces.find(Frame::parse("/srv/app/workloads/shop/main.py:18")?).unwrap();
    /// assert_eq!(lines.get(main).unwrap().cumulative, 8_274_148);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn get(&self, id: FrameId) -> Option<LineUsage<'_>> {
        let frame = self.traces.frame(id)?;
        Some(self.row(id, frame))
    }

    fn row<'a>(&self, id: FrameId, frame: Frame<'a>) -> LineUsage<'a> {
        LineUsage {
            frame,
            id,
            local: self.local.get(id),
            cumulative: self.cumulative.get(id),
        }
    }

    /// All lines that have a usage, the largest local usage first; equal ones in the order of their ids. Lines
    /// that only call others have 0.
    #[doc(alias = "iter")]
    pub fn by_local(&self) -> impl ExactSizeIterator<Item = LineUsage<'_>> + DoubleEndedIterator {
        self.rows(&self.by_local)
    }

    /// All lines that have a usage, the largest cumulative usage first; equal ones in the order of
    /// their ids.
    pub fn by_cumulative(
        &self,
    ) -> impl ExactSizeIterator<Item = LineUsage<'_>> + DoubleEndedIterator {
        self.rows(&self.by_cumulative)
    }

    fn rows<'a>(
        &'a self,
        order: &'a [FrameId],
    ) -> impl ExactSizeIterator<Item = LineUsage<'a>> + DoubleEndedIterator {
        order.iter().map(|&id| self.row(id, self.traces.line(id)))
    }
}

impl TraceTable {
    /// The line with an id of this table.
    pub(super) fn line(&self, id: FrameId) -> Frame<'_> {
        self.frame(id).unwrap_or(Frame::new("", 0))
    }
}
