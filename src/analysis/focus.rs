//! Only what goes through certain lines, or what does not.

use crate::frame::Frame;
use crate::id::TraceId;
use crate::trace::TraceTable;
use crate::usage::Usage;

impl Usage {
    /// The rows whose stack contains a line that passes the test, wherever in the stack. What has
    /// no stack is left out.
    ///
    /// The test is asked once for each distinct line of the table. O(nodes of the call tree).
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
        let passing = Passing::new(traces, test);
        self.filter(|trace, _| passing.contains(trace))
    }

    /// The rows whose stack contains no line that passes the test: all others than
    /// [`focus`](Self::focus) keeps, what has no stack included.
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
        let passing = Passing::new(traces, test);
        self.filter(|trace, _| !passing.contains(trace))
    }
}

/// The nodes of the call tree whose stack contains a line that passes.
struct Passing<'t> {
    traces: &'t TraceTable,
    nodes: Vec<bool>,
}

impl<'t> Passing<'t> {
    fn new(traces: &'t TraceTable, mut test: impl FnMut(Frame<'t>) -> bool) -> Self {
        let lines: Vec<bool> = traces.frames().map(|(_, frame)| test(frame)).collect();
        let tree = traces.tree();
        let mut nodes = vec![false; tree.len()];
        let places = tree.parents().iter().zip(tree.frames()).enumerate();
        for (place, (&parent, frame)) in places.skip(1) {
            let passes =
                nodes.get(parent.index()) == Some(&true) || lines.get(frame.index()) == Some(&true);
            if let Some(here) = nodes.get_mut(place) {
                *here = passes;
            }
        }
        Self { traces, nodes }
    }

    fn contains(&self, trace: Option<TraceId>) -> bool {
        let node = trace.and_then(|trace| self.traces.node(trace));
        node.is_some_and(|node| self.nodes.get(node.index()) == Some(&true))
    }
}
