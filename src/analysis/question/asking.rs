//! How do questions see the steps of a pass?

#![expect(
    clippy::inline_always,
    reason = "a step that is handed on in memory costs more than to replay it"
)]

use std::ops::ControlFlow;

use super::open::Open;
use super::{LogPlace, LogStep};
use crate::analysis::total::Total;
use crate::heap::{Change, LiveHeap};
use crate::raw::LogPosition;
use crate::raw::rates::SamplingRates;
use crate::replay::{Step, Steps, Take, Taken};
use crate::time::Elapsed;
use crate::usage::saturated;

/// Questions that see the steps of a pass.
pub(super) struct Asking<'a, O> {
    questions: O,
    /// What is live, and all of it together.
    heap: LiveHeap,
    total: i128,
    /// After this time another question begins.
    due: Elapsed,
    rates: &'a SamplingRates,
    traces: u32,
}

impl<'a, O: Open> Asking<'a, O> {
    /// Questions of a pass that begins with this heap, for so many traces.
    pub(super) fn new(questions: O, heap: LiveHeap, rates: &'a SamplingRates, traces: u32) -> Self {
        Self {
            questions,
            total: heap.total(),
            heap,
            due: Elapsed::ZERO,
            rates,
            traces,
        }
    }

    /// The pass begins after so many events.
    pub(super) fn after(mut self, events: u64) -> Self {
        self.begin(Elapsed::ZERO, events);
        self
    }

    /// The pass has ended after so many events: the questions, and what is live then.
    pub(super) fn until(mut self, events: u64) -> (O, LiveHeap) {
        self.begin(Elapsed::MAX, events);
        (self.questions, self.heap)
    }

    /// The next event, after so many, is at this time: those questions begin that want to see it.
    #[cold]
    #[inline(never)]
    fn begin(&mut self, next: Elapsed, events: u64) {
        let place = LogPlace {
            events,
            total: saturated(self.total),
            rates: self.rates,
            traces: self.traces,
        };
        self.due = self.questions.begin(next, &self.heap, &place);
    }
}

impl<O: Open> Take for Asking<'_, O> {
    #[inline(never)]
    fn take(&mut self, step: Step, _: LogPosition) -> Taken {
        if step.event.elapsed > self.due {
            self.begin(step.event.elapsed, step.number - 1);
        }
        let change = self.heap.add(step.index, step.bytes);
        self.total += i128::from(change.after) - i128::from(change.before);
        let shown = shown(&step, change, saturated(self.total));
        match self.questions.take(&shown, &self.heap) {
            ControlFlow::Continue(()) => Taken::Continue(change.flaws),
            ControlFlow::Break(()) => Taken::Break(()),
        }
    }

    #[inline(always)]
    fn quickly<S: Steps>(&mut self, steps: S) -> ControlFlow<()> {
        let Some(total) = Total::before::<S>(self.total) else {
            // Each event for itself.
            return ControlFlow::Continue(());
        };
        let due = self.due;
        let ((total, ..), flow) = steps.show(
            (total, &mut self.heap, &mut self.questions),
            #[inline(always)]
            move |(total, heap, questions), step| {
                if step.event.elapsed > due {
                    return None;
                }
                let after = total.plus::<S>(step.bytes)?;
                let change = heap.add_quickly(step.index, step.bytes)?;
                *total = after;
                let shown = shown(&step, change, total.get());
                Some(questions.take(&shown, heap))
            },
        );
        self.total = i128::from(total.get());
        flow
    }
}

/// A step as questions see it.
#[inline(always)]
fn shown(step: &Step, change: Change, total: i64) -> LogStep {
    LogStep {
        event: step.event,
        bytes: step.bytes,
        before: change.before,
        live: change.after,
        total,
        number: step.number,
        offset: step.offset,
        strange: step.strange,
    }
}
