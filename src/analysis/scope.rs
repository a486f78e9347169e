//! [`Scope`]: the part of a log that a query is about.

use crate::analysis::trace_set::TraceSet;
use crate::analysis::window::Window;
use crate::time::Elapsed;
use crate::usage::Usage;

/// The events of a window of time, and of a set of traces.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    window: Window,
    /// `None` is all traces.
    traces: Option<TraceSet>,
}

impl Scope {
    /// The whole log.
    pub(super) const WHOLE: Self = Self {
        window: Window::WHOLE,
        traces: None,
    };

    pub(super) fn until(self, to: impl Into<Elapsed>) -> Self {
        let window = Window::until(to);
        Self { window, ..self }
    }

    pub(super) fn within(self, from: impl Into<Elapsed>, to: impl Into<Elapsed>) -> Self {
        let window = Window::new(from, to);
        Self { window, ..self }
    }

    pub(super) fn of(self, traces: TraceSet) -> Self {
        let traces = Some(traces);
        Self { traces, ..self }
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

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
