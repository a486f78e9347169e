//! [`LiveHeap`]: the live bytes of each trace, changed event by event.

use std::ops::Range;

use crate::error::Taint;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::raw::hpd::Event;
use crate::raw::hpd::fast::cold_path;
use crate::raw::rates::SamplingRates;
use crate::usage::{Usage, saturated};

/// The live bytes of each trace, as the events so far leave them.
///
/// For a loop over events that needs the live heap on the way; [`Reader`](crate::Reader) has the usual
/// queries. Memory: 8 bytes a trace of the table; if that is more than 4 MB, 8 to 16 bytes a trace up to the
/// largest in the events. More only for traces that the table does not have.
///
/// ```
/// use heapprof::query::LiveHeap;
/// use heapprof::raw::{EventLog, TraceLog};
/// use heapprof::SamplingRates;
///
/// let hpm = std::fs::read("examples/data/demo.hpm")?;
/// let hpd = std::fs::read("examples/data/demo.hpd")?;
/// let log = TraceLog::new(&hpm)?;
/// let mut heap = LiveHeap::new(log.count() as usize);
/// for event in EventLog::new(&hpd).events().take(1000) {
///     heap.apply(&event?, log.rates());
/// }
/// assert_eq!(heap.total(), 75_441);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LiveHeap {
    balances: PerTrace<i64>,
    damaged: Taint,
}

/// What an event changed: the live bytes of its trace before and after it, and the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: i64,
    pub(crate) after: i64,
    /// The bytes of the event, or less if the sum stays at the limit.
    pub(crate) bytes: i64,
}

impl LiveHeap {
    /// An empty heap for a table of this many traces. Events of other traces are applied as well, and cost
    /// more.
    pub fn new(traces: usize) -> Self {
        Self {
            balances: PerTrace::new(traces),
            damaged: Taint(false),
        }
    }

    /// Adds live bytes by trace, for a replay that begins in the middle of a log.
    ///
    /// ```
    /// use heapprof::query::LiveHeap;
    /// use heapprof::{TraceId, Usage};
    ///
    /// let mut heap = LiveHeap::new(2);
    /// heap.add_usage(&Usage::from_iter([(TraceId::new(1), 70), (None, 5)]));
    /// assert_eq!(heap.usage().total(), 75);
    /// ```
    pub fn add_usage(&mut self, usage: &Usage) {
        for (trace, bytes) in usage.by_trace() {
            self.add(TraceId::to_disk(trace), bytes);
        }
        self.mark(usage.damaged());
    }

    /// Whether a usage that was [added](Self::add_usage) is [damaged](Usage::is_damaged), or the log that a
    /// [query](crate::query::Query) was about. The caller of [`apply`](Self::apply) knows whether its events
    /// are.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    pub(crate) fn mark(&mut self, damaged: Taint) {
        self.damaged = self.damaged | damaged;
    }

    /// Applies an event, with the estimate of its bytes. A sum that leaves 64 bits stays at the limit.
    #[inline]
    pub fn apply(&mut self, event: &Event, rates: &SamplingRates) {
        self.add(TraceId::to_disk(event.trace), event.signed_estimate(rates));
    }

    #[inline]
    pub(crate) fn add(&mut self, index: u32, bytes: i64) -> Change {
        match self.dense().add(index, bytes) {
            Some(change) => change,
            None => self.add_slow(index, bytes),
        }
    }

    /// Undoes an event: sets the live bytes of its trace to those before it.
    #[cold]
    pub(crate) fn set(&mut self, index: u32, bytes: i64) {
        self.balances.update(index, |balance| *balance = bytes);
    }

    /// The balances that nearly all events change.
    #[inline]
    pub(crate) fn dense(&mut self) -> DenseBalances<'_> {
        DenseBalances(self.balances.dense_mut())
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn add_slow(&mut self, index: u32, bytes: i64) -> Change {
        self.balances.update(index, |balance| {
            let before = *balance;
            let after = before.saturating_add(bytes);
            *balance = after;
            // It is between 0 and `bytes`, so it does not overflow.
            let bytes = after.wrapping_sub(before);
            Change {
                before,
                after,
                bytes,
            }
        })
    }

    /// The live bytes of a trace; of unknown with `None`.
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> i64 {
        self.balance(TraceId::to_disk(trace.into()))
    }

    #[inline]
    pub(crate) fn balance(&self, index: u32) -> i64 {
        self.balances.get(index).copied().unwrap_or(0)
    }

    /// Whether the table has the trace.
    pub(crate) fn table_has(&self, index: u32) -> bool {
        self.balances.table_has(index)
    }

    /// The number of balances.
    pub(crate) fn balances(&self) -> usize {
        self.balances.len()
    }

    /// The number of balances in the dense part.
    pub(crate) fn dense_len(&self) -> usize {
        self.balances.dense_len()
    }

    /// The balances of a range of indices, as far as they are in the dense part.
    pub(crate) fn dense_range(&self, indices: Range<usize>) -> &[i64] {
        self.balances.dense_range(indices)
    }

    /// The live bytes of all traces. O(traces).
    pub fn total(&self) -> i64 {
        saturated(self.exact_total())
    }

    pub(crate) fn exact_total(&self) -> i128 {
        let balances = self.balances.values();
        balances.map(|&bytes| i128::from(bytes)).sum()
    }

    /// The live bytes by trace. O(traces).
    pub fn usage(&self) -> Usage {
        Usage::from_ascending(self.balances.iter().map(|(trace, &bytes)| (trace, bytes)))
            .marked(self.damaged)
    }
}

/// The balances in the dense part of a [`LiveHeap`].
///
/// PERF: a fold over events keeps this slice in registers, and breaks at an event for which it is not enough. Through a
/// `LiveHeap`, each event loads the address of the slice.
#[derive(Debug)]
pub(crate) struct DenseBalances<'h>(&'h mut [i64]);

impl DenseBalances<'_> {
    /// Adds to a trace, if it has no negative balance before or after, as in nearly all events. Otherwise changes
    /// nothing.
    #[inline]
    pub(crate) fn add(&mut self, index: u32, bytes: i64) -> Option<Change> {
        let balance = self.0.get_mut(index as usize)?;
        let before = *balance;
        // Two numbers that are not negative wrap to a negative one.
        let after = before.wrapping_add(bytes);
        if before | after < 0 {
            cold_path();
            return None;
        }
        *balance = after;
        Some(Change {
            before,
            after,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_that_the_table_lacks_are_applied_like_others() {
        let mut heap = LiveHeap::new(2);
        heap.add(TraceId::MAX.get(), 7);
        heap.add(1, 5);
        heap.add(3, 1);
        heap.add(0, 2);
        heap.add(2, 9);
        heap.add(2, -9);
        assert_eq!(heap.get(Some(TraceId::MAX)), 7);
        assert_eq!(heap.get(None), 2);
        let usage: Vec<_> = heap
            .usage()
            .by_trace()
            .map(|(trace, bytes)| (TraceId::to_disk(trace), bytes))
            .collect();
        assert_eq!(usage, [(0, 2), (1, 5), (3, 1), (TraceId::MAX.get(), 7)]);
    }

    #[test]
    fn fast_add_declines_negative_balances_and_traces_outside_the_dense_part() {
        let mut heap = LiveHeap::new(2);
        let change = |before, after| {
            Some(Change {
                before,
                after,
                bytes: after - before,
            })
        };
        heap.add(1, -5);
        assert_eq!(heap.dense().add(1, 5), None);
        assert_eq!(heap.dense().add(2, i64::MAX), change(0, i64::MAX));
        assert_eq!(heap.dense().add(2, 1), None);
        assert_eq!(heap.dense().add(0, -1), None);
        assert_eq!(heap.dense().add(3, 1), None);
        assert_eq!(
            (heap.balance(0), heap.balance(1), heap.balance(2)),
            (0, -5, i64::MAX)
        );
    }

    #[test]
    fn balance_stays_at_the_limit() {
        let mut heap = LiveHeap::new(1);
        heap.add(1, i64::MAX);
        assert_eq!(heap.add(1, 1).after, i64::MAX);
        heap.add(1, -i64::MAX);
        heap.add(1, -i64::MAX);
        assert_eq!(heap.add(1, -2).after, i64::MIN);
    }
}
