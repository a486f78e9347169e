//! [`LineErrorBars`]: error bars of lines of code.

use super::{ErrorBars, Estimate, Sum};
use crate::error::Taint;
use crate::id::FrameId;
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::tree::NodeId;

/// The local and the cumulative estimate of every line of code, with error bars.
///
/// The same sums as those of [`Lines`](crate::Lines): *local* is all traces that end at a line,
/// *cumulative* all that contain it, each counted once.
///
/// ```
/// use heapprof::{Frame, LineErrorBars, Reader, SamplingRates};
///
/// let rates = SamplingRates::new([(128, 0.1)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(rates);
/// let traces = reader.traces()?;
/// let lines = LineErrorBars::new(traces, &reader.error_bars_at_end()?);
///
/// let main = traces.find(Frame::parse("/srv/app/workloads/shop/main.py:18")?).unwrap();
/// assert_eq!(lines.get(main).cumulative.to_string(), "9907216 ± 32628");
/// assert_eq!(lines.get(main).local.to_string(), "440 ± 0");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LineErrorBars {
    lines: IdVec<FrameId, LineEstimate>,
    damaged: Taint,
}

/// The estimates of one line.
///
/// ```
/// use heapprof::{LineErrorBars, Reader, SamplingRates};
///
/// let rates = SamplingRates::new([(128, 0.1)])?;
/// let reader = Reader::open("examples/data/demo")?.with_rates(rates);
/// let line = reader.traces()?.search("customers.py:6")[0];
/// let estimate = LineErrorBars::new(reader.traces()?, &reader.error_bars_at_end()?).get(line);
/// assert_eq!((estimate.local.value(), estimate.cumulative.value()), (865_720, 865_720));
/// assert_eq!(estimate.local.standard_error().round(), 21_978.0);
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct LineEstimate {
    /// All traces that end at it.
    pub local: Estimate,
    /// All traces that contain it.
    pub cumulative: Estimate,
}

impl LineErrorBars {
    /// Sums up by line. O(nodes of the call tree), however many traces there are; memory 96 bytes a
    /// line and 32 bytes a node.
    pub fn new(traces: &TraceTable, bars: &ErrorBars) -> Self {
        // A trace whose estimate is 0 can have a variance, so the subtree of the usage is too small.
        let tree = traces.tree();
        let mut local = IdVec::<FrameId, Sum>::defaults(traces.frame_count());
        let mut cumulative = local.clone();
        let mut nodes = IdVec::<NodeId, Sum>::defaults(tree.len());
        for (trace, value, spread) in bars.rows() {
            let node = traces.node_of(trace);
            if let Some(line) = tree.frame(node) {
                local.update(line, |sum| sum.add(value, spread));
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
        let lines = lines.map(|(local, cumulative)| LineEstimate {
            local: local.estimate(),
            cumulative: cumulative.estimate(),
        });
        Self {
            lines: lines.collect(),
            damaged: traces.damaged() | bars.usage().damaged(),
        }
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The estimates of one line; 0 ± 0 for one that the table does not have.
    pub fn get(&self, id: FrameId) -> LineEstimate {
        self.lines.get(id)
    }
}
