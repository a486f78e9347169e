//! Which lines of code hold the memory?

use std::fmt;

use crate::analysis::subtree::Subtree;
use crate::error::Damaged;
use crate::frame::Frame;
use crate::id::FrameId;
use crate::trace::TraceTable;
use crate::usage::{Usage, saturated};

/// The local and the cumulative usage of every line of code.
///
/// *Local* is the weight of all traces that end at a line: what the line itself allocates.
/// *Cumulative* is that of all traces that contain it: what it and all it calls allocate. However
/// often a line recurs in a trace, that trace counts once.
///
/// ```
/// use heapprof::{Lines, Reader};
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
    /// Of each frame of the table its local and its cumulative usage.
    usages: Box<[(i64, i64)]>,
    by_local: Box<[FrameId]>,
    by_cumulative: Box<[FrameId]>,
    damaged: Damaged,
}

/// The usage of one line.
///
/// ```
/// use heapprof::{Lines, Reader};
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
    /// a line and 16 bytes a node.
    pub fn new(traces: &TraceTable, usage: &Usage) -> Self {
        let subtree = Subtree::new(traces, &[usage]);
        let mut sums = vec![(0_i64, 0_i64); traces.frame_count()];
        // What ends at each place; then, what ends at or below it.
        let mut weights = vec![0_i64; subtree.len()];
        let mut unknown = 0_i128;
        for (place, weight) in subtree.rows(usage) {
            match weights.get_mut(place) {
                Some(at_place) if place > 0 => *at_place = at_place.saturating_add(weight),
                _ => unknown += i128::from(weight),
            }
        }
        for ((_, _, frame), &weight) in subtree.places().zip(weights.iter().skip(1)) {
            if let Some((local, _)) = sums.get_mut(frame.index()) {
                *local = local.saturating_add(weight);
            }
        }
        subtree.sum_up(&mut weights);
        // Where a line recurs, it was counted further out.
        let recurring = traces.recurring();
        for ((_, node, frame), &weight) in subtree.places().zip(weights.iter().skip(1)) {
            if let Some((_, cumulative)) = sums.get_mut(frame.index())
                && recurring.find(node) == Some(&false)
            {
                *cumulative = cumulative.saturating_add(weight);
            }
        }
        let used = || {
            traces
                .frames()
                .map(|(id, _)| id)
                .zip(&sums)
                .filter(|&(_, &sum)| sum != (0, 0))
        };
        let heaviest_first = |weight: fn(&(i64, i64)) -> i64| {
            let mut weights: Vec<_> = used()
                .map(|(id, sum)| (std::cmp::Reverse(weight(sum)), id))
                .collect();
            weights.sort_unstable();
            weights.into_iter().map(|(_, id)| id).collect()
        };
        Self {
            total: usage.total(),
            unknown: saturated(unknown),
            by_local: heaviest_first(|sum| sum.0),
            by_cumulative: heaviest_first(|sum| sum.1),
            usages: sums.into_boxed_slice(),
            traces: traces.clone(),
            damaged: traces.damaged() | usage.damaged(),
        }
    }

    /// The weight of all traces, those without a stack included.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// The weight of what has no stack: unknown traces, those that the table does not have, and
    /// those without frames.
    pub fn unknown(&self) -> i64 {
        self.unknown
    }

    /// Whether they are derived from [damaged](Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// How many lines have a usage.
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
    /// use heapprof::{Frame, Lines, Reader};
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let traces = reader.traces()?;
    /// let lines = Lines::new(traces, &reader.live_at_end()?);
    /// let main = traces.find(Frame::parse("/srv/app/workloads/shop/main.py:18")?).unwrap();
    /// assert_eq!(lines.get(main).unwrap().cumulative, 8_274_148);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    pub fn get(&self, id: FrameId) -> Option<LineUsage<'_>> {
        let &(local, cumulative) = self.usages.get(id.index())?;
        Some(LineUsage {
            frame: self.traces.frame(id)?,
            id,
            local,
            cumulative,
        })
    }

    /// All lines that have a usage, the largest local usage first; equal ones in the order of their
    /// ids. Those that only call what allocates are among them, with 0.
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
        order.iter().map(|&id| {
            self.get(id).unwrap_or(LineUsage {
                frame: Frame::new("", 0),
                id,
                local: 0,
                cumulative: 0,
            })
        })
    }
}
