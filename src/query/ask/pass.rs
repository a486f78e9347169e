//! [`QueryPass`]: the pass over the log that shows each event to the queries.

use std::ops::ControlFlow;

use super::group::Running;
use super::{AppliedEvent, QueryStart};
use crate::error::Result;
use crate::heap::Change;
use crate::log::Pass;
use crate::raw::hpd::decoder::LoggedEvent;
use crate::reader::Reader;
use crate::replay::Replay;
use crate::time::Elapsed;
use crate::usage::saturated;

/// A pass for queries.
pub(super) struct QueryPass<'a> {
    pub(super) reader: &'a Reader,
    pub(super) pass: Pass<'a>,
    pub(super) replay: Replay,
    pub(super) traces: u32,
    /// Whether the pass stopped before the end of the log, because no query wanted more events.
    pub(super) is_stopped: bool,
}

impl QueryPass<'_> {
    /// Shows the events to the queries, to the end of the log or until none wants more.
    pub(super) fn run<R: Running>(&mut self, queries: &mut R) -> Result<()> {
        let mut total = self.replay.heap.exact_total();
        let mut due = self.begin(queries, Elapsed::ZERO, total)?;
        while !self.is_stopped && self.pass.next_chunk()?.is_some() {
            while let Some(logged) = self.show_usual(queries, &mut total, due) {
                if logged.event.elapsed > due {
                    due = self.begin(queries, logged.event.elapsed, total)?;
                    continue;
                }
                let change = self.replay.heap.add(logged.index(), logged.bytes);
                total += i128::from(change.bytes);
                let applied = applied(logged, change, saturated(total));
                if queries.observe(&applied, &self.replay.heap).is_break() {
                    self.is_stopped = true;
                    self.replay.heap.set(logged.index(), change.before);
                    break;
                }
                // The event at which the last query breaks does not count, and neither does its damage.
                self.replay.note(&logged, change);
                self.pass.skip();
            }
        }
        self.begin(queries, Elapsed::MAX, total)?;
        Ok(())
    }

    /// Shows the usual events of the chunk. Returns the next event if it is not one: a query begins before it, or
    /// its balance or the total needs a closer look.
    fn show_usual<R: Running>(
        &mut self,
        queries: &mut R,
        total: &mut i128,
        due: Elapsed,
    ) -> Option<LoggedEvent> {
        let Ok(small_total) = i64::try_from(*total) else {
            return self.pass.peek();
        };
        let state = (small_total, None, &mut self.replay.heap, queries);
        let ((small_total, stopped_at, ..), unusual) =
            self.pass
                .fold(state, move |(total, stopped_at, heap, queries), logged| {
                    let after = total.checked_add(logged.bytes);
                    let Some(after) = after.filter(|_| logged.event.elapsed <= due) else {
                        return ControlFlow::Break(());
                    };
                    let Some(change) = heap.dense().add(logged.index(), logged.bytes) else {
                        return ControlFlow::Break(());
                    };
                    *total = after;
                    let flow = queries.observe(&applied(logged, change, after), heap);
                    if flow.is_break() {
                        *stopped_at = Some((logged.index(), change.before));
                    }
                    flow
                });
        *total = i128::from(small_total);
        let Some((index, before)) = stopped_at else {
            return unusual;
        };
        self.is_stopped = true;
        self.replay.heap.set(index, before);
        None
    }

    /// Begins the queries that want the next event, at time `next`. Returns the time after which another one
    /// begins.
    fn begin<R: Running>(&self, queries: &mut R, next: Elapsed, total: i128) -> Result<Elapsed> {
        let start = QueryStart {
            reader: self.reader,
            heap: &self.replay.heap,
            time: next,
            position: self.pass.position(),
            total: saturated(total),
            traces: self.traces,
        };
        queries.begin(next, start)
    }
}

/// The event as queries observe it.
#[expect(
    clippy::inline_always,
    reason = "PERF: an event in memory costs more than to replay it"
)]
#[inline(always)]
const fn applied(logged: LoggedEvent, change: Change, total: i64) -> AppliedEvent {
    AppliedEvent {
        event: logged.event,
        bytes: logged.bytes,
        trace_before: change.before,
        trace_after: change.after,
        total,
        number: logged.number,
        offset: logged.offset,
        has_invalid_micros: logged.has_invalid_micros,
    }
}
