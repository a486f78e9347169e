//! [`Asking`]: runs a pass for questions: each sees every event from where it begins to where it has seen enough.

use std::ops::ControlFlow;

use super::open::Open;
use super::{LogPlace, LogStep};
use crate::error::Result;
use crate::heap::Change;
use crate::log::Pass;
use crate::raw::hpd::decoder::LoggedEvent;
use crate::raw::rates::SamplingRates;
use crate::replay::Replay;
use crate::time::Elapsed;
use crate::usage::saturated;

/// A pass for questions.
pub(super) struct Asking<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) replay: Replay,
    pub(super) rates: &'a SamplingRates,
    pub(super) traces: u32,
    /// Whether the pass was stopped before the end of the log, because all questions had seen enough.
    pub(super) is_stopped: bool,
}

impl Asking<'_> {
    /// Shows the events to the questions, to the end of the log or until all have seen enough.
    pub(super) fn run<O: Open>(&mut self, questions: &mut O) -> Result<()> {
        let mut total = self.replay.heap.total();
        let mut due = self.begin(questions, Elapsed::ZERO, total);
        while !self.is_stopped && self.pass.next_chunk()?.is_some() {
            while let Some(logged) = self.show_usual(questions, &mut total, due) {
                if logged.event.elapsed > due {
                    due = self.begin(questions, logged.event.elapsed, total);
                    continue;
                }
                let change = self.replay.heap.add(logged.index(), logged.bytes);
                total += i128::from(change.bytes);
                let step = step(logged, change, saturated(total));
                if questions.take(&step, &self.replay.heap).is_break() {
                    self.is_stopped = true;
                    break;
                }
                // The event at which all break is in no answer, and neither is its damage.
                self.replay.note(&logged, change);
                self.pass.skip();
            }
        }
        self.begin(questions, Elapsed::MAX, total);
        Ok(())
    }

    /// Shows the usual events of the chunk. Returns the next event if it is not one: a question begins before it,
    /// or its balance or the total needs a closer look.
    fn show_usual<O: Open>(
        &mut self,
        questions: &mut O,
        total: &mut i128,
        due: Elapsed,
    ) -> Option<LoggedEvent> {
        let Ok(small_total) = i64::try_from(*total) else {
            return self.pass.peek();
        };
        let state = (small_total, false, &mut self.replay.heap, questions);
        let ((small_total, is_done, ..), unusual) =
            self.pass
                .fold(state, move |(total, is_done, heap, questions), logged| {
                    let after = total.checked_add(logged.bytes);
                    let Some(after) = after.filter(|_| logged.event.elapsed <= due) else {
                        return ControlFlow::Break(());
                    };
                    let Some(change) = heap.dense().add(logged.index(), logged.bytes) else {
                        return ControlFlow::Break(());
                    };
                    *total = after;
                    let flow = questions.take(&step(logged, change, after), heap);
                    *is_done = flow.is_break();
                    flow
                });
        *total = i128::from(small_total);
        self.is_stopped = is_done;
        unusual.filter(|_| !is_done)
    }

    /// Begins the questions that want the next event, at time `next`. Returns the time after which another one
    /// begins.
    fn begin<O: Open>(&self, questions: &mut O, next: Elapsed, total: i128) -> Elapsed {
        let place = LogPlace {
            events: self.pass.position().events(),
            total: saturated(total),
            rates: self.rates,
            traces: self.traces,
        };
        questions.begin(next, &self.replay.heap, &place)
    }
}

/// The event as questions see it.
#[expect(
    clippy::inline_always,
    reason = "PERF: a step in memory costs more than to replay its event"
)]
#[inline(always)]
const fn step(logged: LoggedEvent, change: Change, total: i64) -> LogStep {
    LogStep {
        event: logged.event,
        bytes: logged.bytes,
        before: change.before,
        live: change.after,
        total,
        number: logged.number,
        offset: logged.offset,
        invalid_micros: logged.has_invalid_micros,
    }
}
