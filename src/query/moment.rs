//! [`Moment`]: up to where, or between which moments, a query adds up what is live.

use crate::heap::LiveHeap;
use crate::query::ask::{AppliedEvent, QueryEnd};
use crate::query::scope::Scope;
use crate::query::window::Window;
use crate::time::Elapsed;
use crate::usage::Usage;

/// A moment of the log, or two: then a query is about the growth from one to the other.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) scope: Scope,
    /// The number of events after which the moment is.
    events: u64,
    /// Whether the window was given from the later moment to the earlier.
    is_reversed: bool,
}

impl Moment {
    /// The end of the log.
    pub(super) const END: Self = Self {
        scope: Scope::WHOLE,
        events: u64::MAX,
        is_reversed: false,
    };

    pub(super) fn at(&mut self, time: Elapsed) {
        self.within(Window::from(..time));
    }

    pub(super) fn after_events(&mut self, events: u64) {
        self.within(Window::WHOLE);
        self.events = events;
    }

    pub(super) fn within(&mut self, window: Window) {
        self.is_reversed = window.start() > window.end();
        self.scope.window = if self.is_reversed {
            Window::from(window.end()..window.start())
        } else {
            window
        };
        self.events = u64::MAX;
    }

    /// The time before which what is live is enough.
    pub(super) fn start(&self) -> Elapsed {
        let window = self.scope.window;
        if self.events < u64::MAX {
            Elapsed::ZERO
        } else if window.has_start() {
            window.start()
        } else {
            window.end()
        }
    }

    /// Whether an event is after the moment.
    #[inline]
    pub(super) fn is_over(&self, applied: &AppliedEvent) -> bool {
        self.scope.is_over(applied.event.elapsed) || applied.number > self.events
    }

    /// A sum over the events between the moments, with the sign that the caller asked for.
    pub(super) fn signed(&self, growth: Usage) -> Usage {
        if self.is_reversed { -growth } else { growth }
    }
}

/// Takes the live bytes at a moment, or at both, from the live heap.
#[derive(Debug, Clone)]
pub(super) struct LiveAtMoment {
    pub(super) moment: Moment,
    at_start: Option<Usage>,
    at_end: Option<Usage>,
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first of two moments.
    Before,
    /// Before the only moment, or between two.
    Inside,
    After,
}

impl LiveAtMoment {
    pub(super) const END: Self = Self {
        moment: Moment::END,
        at_start: None,
        at_end: None,
    };

    #[inline]
    pub(super) fn observe(&mut self, applied: &AppliedEvent, heap: &LiveHeap) -> Place {
        let window = self.moment.scope.window;
        if window.has_start() && self.at_start.is_none() {
            if !window.has_begun(applied.event.elapsed) {
                return Place::Before;
            }
            self.at_start = Some(usage_before(applied, heap));
        }
        if self.moment.is_over(applied) {
            self.at_end = Some(usage_before(applied, heap));
            return Place::After;
        }
        Place::Inside
    }

    /// Whether the first of two moments has passed.
    pub(super) fn has_started(&self) -> bool {
        self.at_start.is_some()
    }

    /// The live bytes, or the growth.
    pub(super) fn finish(self, end: &QueryEnd<'_>) -> Usage {
        let at_end = self.at_end.unwrap_or_else(|| end.heap().usage());
        let usage = if self.moment.scope.window.has_start() {
            let at_start = self.at_start.unwrap_or_else(|| end.heap().usage());
            self.moment.signed(at_end - at_start)
        } else {
            at_end
        };
        self.moment.scope.filter(usage).marked(end.taint())
    }
}

/// The usage before an event.
#[cold]
fn usage_before(applied: &AppliedEvent, heap: &LiveHeap) -> Usage {
    let trace = applied.event.trace;
    let others = heap.usage().filter(|other, _| other != trace);
    others + Usage::from_iter([(trace, applied.trace_before)])
}

/// Builder methods of a query with a [`Moment`] in the given field.
macro_rules! moment_methods {
    ($($moment:ident).+) => {
        /// Asks at a time: after all events with an elapsed time up to it. The default is the end of the log.
        pub fn at(mut self, time: impl Into<crate::time::Elapsed>) -> Self {
            self.$($moment).+.at(time.into());
            self
        }

        /// Asks after this number of events of the log. [`Peak::events`](crate::query::Peak::events) is one: many
        /// events can have the time of the peak.
        pub fn after_events(mut self, events: u64) -> Self {
            self.$($moment).+.after_events(events);
            self
        }

        /// Asks for the growth within a part of the recording, `a..b` or `a..`: what is live at its end minus what is
        /// live at its start. Negative for what shrank.
        pub fn within(mut self, window: impl Into<crate::query::Window>) -> Self {
            self.$($moment).+.within(window.into());
            self
        }

        /// Restricts the query to some traces, such as [those of a line](crate::query::TraceSet::of).
        pub fn of(mut self, traces: &crate::query::TraceSet) -> Self {
            self.$($moment).+.scope.traces = Some(traces.clone());
            self
        }
    };
}
pub(super) use moment_methods;
