//! [`LineErrorBars`]: error bars of lines of code.

use std::cmp::Reverse;
use std::fmt;

use crate::error::Taint;
use crate::frame::Frame;
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::query::error_bars::{ErrorBars, Estimate, Sum};
use crate::trace::TraceTable;
use crate::tree::NodeId;

/// The local and the cumulative estimate of every line of code, with error bars.
///
/// The same sums as those of [`Lines`](crate::view::Lines): *local* is all traces that end at a line,
/// *cumulative* all that contain it, each counted once.
///
/// ```
/// use heapprof::view::LineErrorBars;
/// use heapprof::{Frame, Reader, SamplingRates};
///
/// let rates = SamplingRates::new([(128, 0.1)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(rates);
/// let traces = reader.traces()?;
/// let lines = LineErrorBars::new(traces, &reader.error_bars()?);
///
/// let main = traces.find(Frame::parse("/srv/app/workloads/shop/main.py:18")?).unwrap();
/// let main = lines.get(main).unwrap();
/// assert_eq!(main.cumulative.to_string(), "9907216 ± 32628");
/// assert_eq!(main.local.to_string(), "440 ± 0");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Clone)]
pub struct LineErrorBars {
    traces: TraceTable,
    total: Estimate,
    unknown: Estimate,
    lines: IdVec<FrameId, LineSums>,
    by_local: Box<[FrameId]>,
    by_cumulative: Box<[FrameId]>,
    damaged: Taint,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct LineSums {
    local: Estimate,
    cumulative: Estimate,
}

/// The estimates of one line.
///
/// ```
/// use heapprof::view::LineErrorBars;
/// use heapprof::{Reader, SamplingRates};
///
/// let rates = SamplingRates::new([(128, 0.1)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(rates);
/// let lines = LineErrorBars::new(reader.traces()?, &reader.error_bars()?);
/// let line = lines.by_local().nth(1).unwrap();
/// assert_eq!(line.frame.to_string(), "/srv/app/workloads/shop/customers.py:6");
/// assert_eq!((line.local.value(), line.cumulative.value()), (865_720, 865_720));
/// assert_eq!(line.local.standard_error().round(), 21_978.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LineEstimate<'a> {
    /// The line.
    pub frame: Frame<'a>,
    /// Its id in the table.
    pub id: FrameId,
    /// All traces that end at it.
    pub local: Estimate,
    /// All traces that contain it.
    pub cumulative: Estimate,
}

impl fmt::Debug for LineErrorBars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineErrorBars")
            .field("total", &self.total)
            .field("unknown", &self.unknown)
            .field("lines", &self.len())
            .finish_non_exhaustive()
    }
}

impl LineErrorBars {
    /// Sums up by line. O(nodes of the call tree), however many traces there are; memory 96 bytes a
    /// line and 32 bytes a node.
    pub fn new(traces: &TraceTable, bars: &ErrorBars) -> Self {
        // A trace whose estimate is 0 can have a variance, so the subtree of the usage is too small.
        let tree = traces.tree();
        let mut local = IdVec::<FrameId, Sum>::defaults(traces.frame_count());
        let mut cumulative = local.clone();
        let mut unknown = Sum::default();
        let mut nodes = IdVec::<NodeId, Sum>::defaults(tree.len());
        for (trace, value, spread) in bars.rows() {
            let node = traces.node_of(trace);
            match tree.frame(node) {
                Some(line) => local.update(line, |sum| sum.add(value, spread)),
                None => unknown.add(value, spread),
            }
            nodes.update(node, |sum| sum.add(value, spread));
        }
        nodes.sum_up(|_, node| tree.parent(node), Sum::merge);
        // A line that recurs is counted further out.
        let recurring = traces.recurring().values();
        let walk = tree.frames().iter().zip(nodes.values()).zip(recurring);
        for ((&line, &sum), _) in walk.skip(1).filter(|(_, recurs)| !**recurs) {
            cumulative.update(line, |total| total.merge(sum));
        }
        let lines = local.values().iter().zip(cumulative.values());
        let lines: IdVec<FrameId, LineSums> = lines
            .map(|(local, cumulative)| LineSums {
                local: local.estimate(),
                cumulative: cumulative.estimate(),
            })
            .collect();
        let heaviest_first = |value: fn(&LineSums) -> i64| {
            let used = lines.iter();
            let used = used.filter(|(_, sums)| **sums != LineSums::default());
            let mut order: Vec<_> = used.map(|(id, sums)| (Reverse(value(sums)), id)).collect();
            order.sort_unstable();
            order.into_iter().map(|(_, id)| id).collect()
        };
        Self {
            traces: traces.clone(),
            total: bars.total(),
            unknown: unknown.estimate(),
            by_local: heaviest_first(|sums| sums.local.value()),
            by_cumulative: heaviest_first(|sums| sums.cumulative.value()),
            lines,
            damaged: traces.damaged() | bars.usage().damaged(),
        }
    }

    /// The estimate of all traces, those without a stack included.
    pub fn total(&self) -> Estimate {
        self.total
    }

    /// The estimate without a stack: of unknown traces, those that the table does not have, and those without
    /// frames.
    pub fn unknown(&self) -> Estimate {
        self.unknown
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The number of lines that have an estimate other than 0 ± 0.
    pub fn len(&self) -> usize {
        self.by_local.len()
    }

    /// Whether no line has one.
    pub fn is_empty(&self) -> bool {
        self.by_local.is_empty()
    }

    /// The estimates of one line; 0 ± 0 for one that has none. `None` for one that the table does not have.
    pub fn get(&self, id: FrameId) -> Option<LineEstimate<'_>> {
        self.traces.frame(id)?;
        Some(self.row(id))
    }

    /// All lines that have an estimate, the largest local estimate first; equal ones in the order of their ids.
    #[doc(alias = "iter")]
    pub fn by_local(
        &self,
    ) -> impl ExactSizeIterator<Item = LineEstimate<'_>> + DoubleEndedIterator {
        self.by_local.iter().map(|&id| self.row(id))
    }

    /// All lines that have an estimate, the largest cumulative estimate first; equal ones in the order of their ids.
    pub fn by_cumulative(
        &self,
    ) -> impl ExactSizeIterator<Item = LineEstimate<'_>> + DoubleEndedIterator {
        self.by_cumulative.iter().map(|&id| self.row(id))
    }

    fn row(&self, id: FrameId) -> LineEstimate<'_> {
        let sums = self.lines.get(id);
        LineEstimate {
            frame: self.traces.line(id),
            id,
            local: sums.local,
            cumulative: sums.cumulative,
        }
    }
}
