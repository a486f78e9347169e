//! [`Scope`]: the events that a query is about, and the builder methods that choose them.

use crate::query::trace_set::TraceSet;
use crate::query::window::Window;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The events of a window of time, and of a set of traces.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) window: Window,
    /// `None` is all traces.
    pub(super) traces: Option<TraceSet>,
}

impl Scope {
    /// The whole log.
    pub(super) const WHOLE: Self = Self {
        window: Window::WHOLE,
        traces: None,
    };

    /// Whether the scope ends before this time. If it does not, [`contains`](Self::contains) is exact.
    #[inline]
    pub(super) fn is_over(&self, time: Elapsed) -> bool {
        self.window.is_over(time)
    }

    /// Whether the scope has an event of a trace at a time, if the scope [is not over](Self::is_over) then.
    #[inline]
    pub(super) fn contains(&self, time: Elapsed, trace: u32) -> bool {
        self.window.has_begun(time) && self.has_trace(trace)
    }

    /// Whether the scope has events of a trace.
    #[inline]
    pub(super) fn has_trace(&self, trace: u32) -> bool {
        self.traces.as_ref().is_none_or(|set| set.has(trace))
    }

    /// The part of a usage that the traces of the scope have.
    pub(super) fn filter(&self, usage: Usage) -> Usage {
        match &self.traces {
            Some(set) => set.filter(&usage),
            None => usage,
        }
    }
}

/// Builder methods of a query with a field `scope`.
macro_rules! scope_methods {
    (within) => {
        /// Restricts the query to a part of the recording: `a..b`, `..b` or `a..`, which has the events with
        /// a < elapsed ≤ b (see [`Window`](crate::query::Window)).
        pub fn within(mut self, window: impl Into<crate::query::Window>) -> Self {
            self.scope.window = window.into();
            self
        }
    };
    (of) => {
        /// Restricts the query to some traces, such as [those of a line](crate::query::TraceSet::of).
        pub fn of(mut self, traces: &crate::query::TraceSet) -> Self {
            self.scope.traces = Some(traces.clone());
            self
        }
    };
}
pub(super) use scope_methods;
