//! [`LiveHeap`]: how many bytes of each trace are live, changed event by event.

use std::ops::Range;

use hashbrown::HashSet;

use crate::error::Damaged;
use crate::id::TraceId;
use crate::per_trace::{PerTrace, grow};
use crate::raw::Event;
use crate::raw::rates::SamplingRates;
use crate::usage::Usage;

/// The live bytes of each trace, as the events so far leave them.
///
/// For who walks the events and wants to know what is live on the way; [`Reader`](crate::Reader)
/// answers the usual questions. Memory: 8 to 16 bytes a trace, up to the largest that was met, and
/// more only for traces that the table does not have.
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
#[derive(Debug, Clone)]
pub struct LiveHeap {
    balances: PerTrace<i64>,
    damaged: Damaged,
}

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

impl Flaws {
    pub(crate) const NONE: Self = Self(0);

    /// The balance left 63 bits and stays at the limit.
    #[inline]
    pub(crate) const fn saturated(self) -> bool {
        self.0 & 1 != 0
    }

    /// The balance is negative, by a free.
    #[inline]
    pub(crate) const fn negative(self) -> bool {
        self.0 & 2 != 0
    }
}

impl LiveHeap {
    /// An empty heap for a recording of so many traces. Events may name others; that only costs
    /// more.
    pub fn new(traces: usize) -> Self {
        Self {
            balances: PerTrace::new(traces),
            damaged: Damaged(false),
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
        self.balances
            .update(index, |balance| change(balance, bytes))
    }

    /// The live bytes of a trace, or with `None` of unknown.
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> i64 {
        self.balance(TraceId::to_disk(trace.into()))
    }

    #[inline]
    pub(crate) fn balance(&self, index: u32) -> i64 {
        self.balances.get(index).copied().unwrap_or(0)
    }

    /// The balances of traces whose indices follow on each other, as far as they were met.
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
    let before = *balance;
    let (after, saturated) = before.overflowing_add(bytes);
    if saturated {
        return saturate(balance, bytes);
    }
    *balance = after;
    Change {
        before,
        after,
        flaws: Flaws(u8::from(after & bytes < 0) << 1),
    }
}

/// The balance leaves 63 bits.
#[cold]
fn saturate(balance: &mut i64, bytes: i64) -> Change {
    let before = *balance;
    *balance = before.saturating_add(bytes);
    Change {
        before,
        after: *balance,
        flaws: Flaws(1 | u8::from(bytes < 0) << 1),
    }
}

/// Which balances have changed since this was last [drained](Self::drain), and from what.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    /// A bit for each trace that was met.
    marks: Vec<u64>,
    /// How many of these words there may be.
    limit: usize,
    strangers: HashSet<u32>,
    first: Vec<(u32, i64)>,
}

impl Touched {
    pub(crate) fn new(traces: usize) -> Self {
        Self {
            marks: Vec::new(),
            limit: (traces.min(TraceId::MAX.get() as usize) + 1).div_ceil(64),
            strangers: HashSet::new(),
            first: Vec::new(),
        }
    }

    /// The balance of a trace changes, and was `before`.
    #[inline]
    pub(crate) fn note(&mut self, index: u32, before: i64) {
        let bit = 1 << (index % 64);
        match self.marks.get_mut(index as usize / 64) {
            Some(word) if *word & bit != 0 => return,
            Some(word) => *word |= bit,
            None => {
                if !self.mark_new(index) {
                    return;
                }
            }
        }
        self.first.push((index, before));
    }

    /// Marks a trace beyond the marks so far; `false` if it was marked.
    #[cold]
    fn mark_new(&mut self, index: u32) -> bool {
        let place = index as usize / 64;
        let new = self.strangers.insert(index);
        if place < self.limit && grow(&mut self.marks, place, self.limit) {
            let len = self.marks.len();
            for index in self
                .strangers
                .extract_if(|&index| (index as usize / 64) < len)
            {
                if let Some(word) = self.marks.get_mut(index as usize / 64) {
                    *word |= 1 << (index % 64);
                }
            }
        }
        new
    }

    /// What was live before the balances that were touched have changed. Forgets them.
    pub(crate) fn usage_before(&mut self, heap: &LiveHeap) -> Usage {
        let mut before: Vec<_> = self
            .drain()
            .map(|(index, bytes)| (TraceId::new(index), bytes))
            .collect();
        before.sort_unstable();
        let mut touched = before.iter().map(|&(trace, _)| trace).peekable();
        let others = heap.usage().filter(|trace, _| {
            while touched.next_if(|&earlier| earlier < trace).is_some() {}
            touched.peek() != Some(&trace)
        });
        &others + &Usage::from_ascending(before.into_iter())
    }

    /// Whatever has changed so far counts no more. O(1) if nothing has.
    #[inline]
    pub(crate) fn forget(&mut self) {
        if !self.first.is_empty() {
            self.forget_all();
        }
    }

    #[inline(never)]
    fn forget_all(&mut self) {
        self.drain().for_each(drop);
    }

    /// The traces that were touched, each with its balance before that; forgets them.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.strangers.clear();
        self.first.drain(..).inspect(|&(index, _)| {
            if let Some(word) = self.marks.get_mut(index as usize / 64) {
                // All of a word were touched no earlier than the drain before, so all may go.
                *word = 0;
            }
        })
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_was_touched_is_told_once_with_the_balance_before() {
        let mut touched = Touched::new(100);
        for (index, before) in [(3, 30), (64, 1), (3, 31), (500, 9), (500, 10), (0, 4)] {
            touched.note(index, before);
        }
        let drained: Vec<_> = touched.drain().collect();
        assert_eq!(drained, [(3, 30), (64, 1), (500, 9), (0, 4)]);
        touched.note(3, 32);
        touched.note(500, 11);
        assert_eq!(touched.drain().collect::<Vec<_>>(), [(3, 32), (500, 11)]);
    }

    #[test]
    fn what_was_live_before_is_known_without_a_copy() {
        let (mut heap, mut touched) = (LiveHeap::new(9), Touched::new(9));
        let add = |heap: &mut LiveHeap, touched: &mut Touched, index, bytes| {
            let change = heap.add(index, bytes);
            touched.note(index, change.before);
        };
        for (index, bytes) in [(1, 5), (2, i64::MAX), (4, 1), (1 << 20, 3)] {
            add(&mut heap, &mut touched, index, bytes);
        }
        touched.forget();
        let before = heap.usage();
        for (index, bytes) in [
            (1, -5),
            (2, -i64::MAX),
            (2, -i64::MAX),
            (0, 7),
            (3, 9),
            (1 << 20, 1),
            (1 << 21, 1),
        ] {
            add(&mut heap, &mut touched, index, bytes);
        }
        assert_eq!(touched.usage_before(&heap), before);
        assert_eq!(touched.usage_before(&heap), heap.usage());
    }
}
