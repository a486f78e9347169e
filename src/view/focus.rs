//! [`Usage::focus`] and [`Usage::ignore`]: the rows whose stacks contain certain lines, and the others.

use crate::frame::Frame;
use crate::id::{FrameId, TraceId};
use crate::id_vec::IdVec;
use crate::trace::TraceTable;
use crate::usage::Usage;

impl Usage {
    /// The rows whose stack contains a line that passes the test, anywhere in the stack. Rows without a
    /// stack are left out.
    ///
    /// Calls the test once for each distinct line of the table. O(nodes of the call tree).
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let end = reader.live_at_end()?;
    /// let shop = end.focus(reader.traces()?, |frame| frame.file.ends_with("/orders.py"));
    /// assert_eq!(shop.total(), 23_888);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[must_use]
    pub fn focus<'t>(&self, traces: &'t TraceTable, test: impl FnMut(Frame<'t>) -> bool) -> Self {
        let passes = passing(traces, test);
        self.filter(|trace, _| passes(trace))
    }

    /// The rows whose stack contains no line that passes the test: all that [`focus`](Self::focus) leaves
    /// out, rows without a stack included.
    ///
    /// ```
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let (traces, end) = (reader.traces()?, reader.live_at_end()?);
    /// let rest = end.ignore(traces, |frame| frame.file.ends_with("/customers.py"));
    /// let of_customers = end.focus(traces, |frame| frame.file.ends_with("/customers.py"));
    /// assert_eq!(rest + of_customers, end);
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    #[doc(alias = "suppressions")]
    #[must_use]
    pub fn ignore<'t>(&self, traces: &'t TraceTable, test: impl FnMut(Frame<'t>) -> bool) -> Self {
        let passes = passing(traces, test);
        self.filter(|trace, _| !passes(trace))
    }
}

/// Whether the stack of a trace contains a line that passes the test.
fn passing<'t>(
    traces: &'t TraceTable,
    mut test: impl FnMut(Frame<'t>) -> bool,
) -> impl Fn(Option<TraceId>) -> bool {
    let lines = traces.frames().map(|(_, frame)| test(frame));
    let lines: IdVec<FrameId, bool> = lines.collect();
    let nodes = traces
        .tree()
        .map_nodes(false, |parent, line| parent || lines.get(line));
    move |trace| nodes.get(traces.node_of(trace))
}
