//! [`LiveHeap`]: how many bytes of each trace are live, changed event by event.

use std::ops::Range;

use crate::error::Damaged;
use crate::id::TraceId;
use crate::per_trace::PerTrace;
use crate::raw::Event;
use crate::raw::rates::SamplingRates;
use crate::raw::shape::branch;
use crate::usage::Usage;

/// The live bytes of each trace, as the events so far leave them.
///
/// For who walks the events and wants to know what is live on the way; [`Reader`](crate::Reader)
/// answers the usual questions. Memory: 8 bytes a trace of the table; if that is more than 4 MB, 8 to 16
/// bytes a trace up to the largest that was met. More only for traces that the table does not have.
///
/// ```
/// use heapprof::{LiveHeap, SamplingRates, raw::{EventLog, TraceLog}};
///
/// let hpm = std::fs::read("examples/data/demo.hpm")?;
/// let hpd = std::fs::read("examples/data/demo.hpd")?;
/// let log = TraceLog::new(&hpm)?;
/// let mut heap = LiveHeap::new(log.count() as usize);
/// for event in EventLog::new(&hpd).events().take(1000) {
///     heap.apply(&event?, log.rates());
/// }
/// let live = heap.usage();
/// assert_eq!(live.total(), 75_441);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LiveHeap {
    balances: PerTrace<i64>,
    damaged: Damaged,
    /// Whether a balance has ever been below [`DEEP`].
    was_deep: bool,
}

/// From here up, no event of a usual shape takes a balance out of 64 bits downwards.
const DEEP: i64 = -(1 << 62);

// Written out, so that to copy one over another asks for no memory.
impl Clone for LiveHeap {
    fn clone(&self) -> Self {
        Self {
            balances: self.balances.clone(),
            damaged: self.damaged,
            was_deep: self.was_deep,
        }
    }

    fn clone_from(&mut self, other: &Self) {
        self.balances.clone_from(&other.balances);
        self.damaged = other.damaged;
        self.was_deep = other.was_deep;
    }
}

/// So many traces that are not that of the event before cost as much as it saves that nearly all others
/// are, in a [piece](crate::raw::stretch::PIECE) of a log: each is foretold wrongly.
const MANY_OTHERS: u32 = 96;

/// What an event did to the balance of its trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) flaws: Flaws,
}

/// What may make no sense about a change. Small: what is handed on for each event must not take the
/// way through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaws(u8);

const SATURATED: u8 = 1;
const NEGATIVE: u8 = 1 << 1;
const UNKNOWN_TRACE: u8 = 1 << 2;

impl Flaws {
    pub(crate) const NONE: Self = Self(0);

    /// The balance left 63 bits and stays at the limit.
    #[inline]
    pub(crate) const fn saturated(self) -> bool {
        self.0 & SATURATED != 0
    }

    /// The balance is negative, by a free.
    #[inline]
    pub(crate) const fn negative(self) -> bool {
        self.0 & NEGATIVE != 0
    }

    /// The table does not have the trace.
    #[inline]
    pub(crate) const fn unknown_trace(self) -> bool {
        self.0 & UNKNOWN_TRACE != 0
    }
}

impl LiveHeap {
    /// An empty heap for a recording of so many traces. Events may name others; that only costs
    /// more.
    pub fn new(traces: usize) -> Self {
        Self {
            balances: PerTrace::new(traces),
            damaged: Damaged(false),
            was_deep: false,
        }
    }

    /// Adds what is live by trace, as where a replay begins in the middle.
    ///
    /// ```
    /// use heapprof::{LiveHeap, TraceId, Usage};
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

    /// Whether a usage that was [added](Self::add_usage) is [damaged](Usage::is_damaged), or what a
    /// [question](crate::Question) was asked about. Of the events that are
    /// [applied](Self::apply), who reads them knows.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    pub(crate) fn mark(&mut self, damaged: Damaged) {
        self.damaged = self.damaged | damaged;
    }

    /// Applies an event, with the estimate of the bytes that it stands for. A balance that leaves
    /// 63 bits stays at the limit.
    #[inline]
    pub fn apply(&mut self, event: &Event, rates: &SamplingRates) {
        self.add(TraceId::to_disk(event.trace), event.signed_estimate(rates));
    }

    #[inline]
    pub(crate) fn add(&mut self, index: u32, bytes: i64) -> Change {
        let change = match self.balances.places_mut().get_mut(index as usize) {
            Some(balance) => change(balance, bytes),
            None => self.add_elsewhere(index, bytes),
        };
        self.was_deep |= change.after < DEEP;
        change
    }

    /// The same, if the balance has a place and there is nothing wrong with it; else `None`, and
    /// nothing is done.
    #[inline]
    pub(crate) fn add_quickly(&mut self, index: u32, bytes: i64) -> Option<Change> {
        let balance = self.balances.places_mut().get_mut(index as usize)?;
        change_above_zero(balance, bytes)
    }

    /// What changes balances by the bytes of events of usual shapes, where the balance has a place and
    /// is not negative then: so there is nothing wrong with it. For others it returns `None`, and
    /// nothing is done. What it was before need not be asked, as [`change_above_zero`] must.
    ///
    /// It is also told whether nearly all events are of the trace of the one before. Then the balance is
    /// at hand: to load what has just been stored takes longer than all else that an event needs. If that
    /// is not so, it returns `None` too, once [`MANY_OTHERS`] were met.
    #[inline]
    pub(crate) fn changer(&mut self) -> impl FnMut(u32, i64, bool) -> Option<()> {
        let balances = if self.was_deep {
            // The sum of two negative numbers might leave 64 bits, and not be negative.
            &mut []
        } else {
            self.balances.places_mut()
        };
        // The trace of the event before, and its balance; and how often it was another one.
        let mut last = (u32::MAX, 0_i64);
        let mut others = 0;
        #[inline(always)]
        move |index, bytes, traces_repeat| {
            debug_assert!(bytes > i64::MIN - DEEP, "of an event of a usual shape");
            let balance = balances.get_mut(index as usize)?;
            let before = if traces_repeat {
                let mut before = last.1;
                if index != last.0 {
                    branch();
                    others += 1;
                    if others > MANY_OTHERS {
                        return None;
                    }
                    before = *balance;
                }
                before
            } else {
                *balance
            };
            let after = before.wrapping_add(bytes);
            if after < 0 {
                return None;
            }
            *balance = after;
            if traces_repeat {
                last = (index, after);
            }
            Some(())
        }
    }

    /// The trace was not met yet, or the table does not have it.
    #[cold]
    #[inline(never)]
    fn add_elsewhere(&mut self, index: u32, bytes: i64) -> Change {
        let is_unknown = !self.balances.is_of_the_table(index);
        let mut change = self
            .balances
            .update(index, |balance| change(balance, bytes));
        if is_unknown {
            change.flaws.0 |= UNKNOWN_TRACE;
        }
        change
    }

    /// The live bytes of a trace, or with `None` of unknown.
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> i64 {
        self.balance(TraceId::to_disk(trace.into()))
    }

    #[inline]
    pub(crate) fn balance(&self, index: u32) -> i64 {
        self.balances.get(index).copied().unwrap_or(0)
    }

    /// How many balances there are.
    pub(crate) fn balances(&self) -> usize {
        self.balances.len()
    }

    /// How many balances have a place, by trace from the first one on.
    pub(crate) fn places(&self) -> usize {
        self.balances.places()
    }

    /// The balances of traces whose indices follow on each other, as far as they have places.
    pub(crate) fn run(&self, indices: Range<usize>) -> &[i64] {
        self.balances.run(indices)
    }

    /// All that is live.
    pub(crate) fn total(&self) -> i128 {
        let balances = self.balances.values();
        balances.map(|&bytes| i128::from(bytes)).sum()
    }

    /// What is live by trace. O(traces).
    pub fn usage(&self) -> Usage {
        Usage::from_ascending(self.balances.iter().map(|(trace, &bytes)| (trace, bytes)))
            .marked(self.damaged)
    }
}

#[inline]
fn change(balance: &mut i64, bytes: i64) -> Change {
    match change_above_zero(balance, bytes) {
        Some(change) => change,
        None => change_below_zero(balance, bytes),
    }
}

/// If the balance was not negative and is not, also not by leaving 63 bits, there is nothing wrong
/// with it: so nothing else need be asked. Else `None`, and nothing is done.
#[inline]
fn change_above_zero(balance: &mut i64, bytes: i64) -> Option<Change> {
    let before = *balance;
    let after = before.wrapping_add(bytes);
    if before | after < 0 {
        return None;
    }
    *balance = after;
    Some(Change {
        before,
        after,
        flaws: Flaws::NONE,
    })
}

/// The balance was or becomes negative, or leaves 63 bits.
#[cold]
#[inline(never)]
fn change_below_zero(balance: &mut i64, bytes: i64) -> Change {
    let before = *balance;
    let after = before.saturating_add(bytes);
    *balance = after;
    let mut flaws = Flaws::NONE;
    if before.checked_add(bytes).is_none() {
        flaws.0 |= SATURATED;
    }
    if after < 0 && bytes < 0 {
        flaws.0 |= NEGATIVE;
    }
    Change {
        before,
        after,
        flaws,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strangers_count_like_others() {
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
    fn only_balances_that_are_not_negative_then_are_changed_quickly() {
        let mut heap = LiveHeap::new(2);
        heap.add(1, -5);
        let mut change = heap.changer();
        assert_eq!(change(1, 4, false), None);
        assert_eq!(change(1, 5, false), Some(()));
        assert_eq!(change(2, i64::MAX, false), Some(()));
        assert_eq!(change(2, 1, false), None);
        assert_eq!(change(0, -1, false), None);
        assert_eq!(change(3, 1, false), None);
        drop(change);
        assert_eq!(
            (heap.get(None), heap.balance(1), heap.balance(2)),
            (0, 0, i64::MAX)
        );

        // Two negative numbers whose sum is not; also of a trace that the table does not have.
        for index in [1, 9] {
            let mut heap = LiveHeap::new(3);
            heap.add(index, DEEP);
            assert_eq!(heap.changer()(2, 1, true), Some(()));
            heap.add(index, -1);
            assert_eq!(heap.changer()(2, 1, true), None);
            assert_eq!(heap.clone().changer()(2, 1, true), None);
            let mut copy = LiveHeap::new(3);
            copy.clone_from(&heap);
            assert_eq!(copy.changer()(2, 1, true), None);
            heap.add(index, i64::MIN);
            assert_eq!(heap.balance(index), i64::MIN);
        }
    }

    proptest! {
        #[test]
        fn what_is_changed_quickly_is_what_is_added(
            stretches in vec((any::<bool>(), vec((0_u32..5, 1..30_usize, -20..90_i64), 0..60)), 0..6),
        ) {
            let (mut heap, mut plain) = (LiveHeap::new(3), LiveHeap::new(3));
            for (traces_repeat, runs) in stretches {
                let steps: Vec<(u32, i64)> = runs
                    .into_iter()
                    .flat_map(|(index, times, bytes)| std::iter::repeat_n((index, bytes), times))
                    .collect();
                let mut rest = &steps[..];
                while !rest.is_empty() {
                    let mut change = heap.changer();
                    let changed = rest
                        .iter()
                        .take_while(|&&(index, bytes)| change(index, bytes, traces_repeat).is_some())
                        .count();
                    drop(change);
                    rest = &rest[changed..];
                    if let Some((&(index, bytes), others)) = rest.split_first() {
                        heap.add(index, bytes);
                        rest = others;
                    }
                }
                for &(index, bytes) in &steps {
                    plain.add(index, bytes);
                }
                for index in 0..5 {
                    prop_assert_eq!(heap.balance(index), plain.balance(index));
                }
            }
        }
    }

    #[test]
    fn where_traces_do_not_repeat_it_is_told_after_many_others() {
        let mut heap = LiveHeap::new(3);
        let mut change = heap.changer();
        for _ in 0..MANY_OTHERS / 2 {
            for index in [1, 2, 2, 2] {
                assert_eq!(change(index, 5, true), Some(()));
            }
        }
        assert_eq!(change(2, 5, true), Some(()));
        assert_eq!(change(1, 5, true), None);
        drop(change);
        assert_eq!(heap.balance(1), 5 * i64::from(MANY_OTHERS / 2));
        assert_eq!(heap.balance(2), 5 * (3 * i64::from(MANY_OTHERS / 2) + 1));
        let mut change = heap.changer();
        for _ in 0..MANY_OTHERS {
            assert_eq!(
                (change(1, 5, false), change(2, 5, false)),
                (Some(()), Some(()))
            );
        }
    }

    #[test]
    fn a_balance_stays_at_the_limit() {
        let mut heap = LiveHeap::new(1);
        assert_eq!(heap.add(1, i64::MAX).flaws, Flaws::NONE);
        assert!(heap.add(1, 1).flaws.saturated());
        assert_eq!(heap.balance(1), i64::MAX);
        heap.add(1, -i64::MAX);
        heap.add(1, -i64::MAX);
        let change = heap.add(1, -2);
        assert!(change.flaws.saturated() && change.after == i64::MIN);
    }
}
