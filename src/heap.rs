//! [`LiveHeap`]: how many bytes of each trace are live, changed event by event.

use hashbrown::{HashMap, HashSet};

use crate::id::TraceId;
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
    /// By trace index; 0 is unknown. As far as traces were met: a file can have any number of them,
    /// and few that matter.
    balances: Vec<i64>,
    /// How many of these there may be.
    limit: usize,
    /// Of traces that the table does not have. Their index is out of a stranger's hand, up to 2³⁰,
    /// and must not size anything.
    strangers: HashMap<u32, i64>,
}

/// What an event did to the balance of its trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) before: i64,
    pub(crate) after: i64,
    /// The balance left 63 bits and stays at the limit.
    pub(crate) saturated: bool,
}

impl Change {
    /// Of an event that is looked at and no more.
    pub(crate) const NONE: Self = Self {
        before: 0,
        after: 0,
        saturated: false,
    };
}

impl LiveHeap {
    /// An empty heap for a recording of so many traces. Events may name others; that only costs
    /// more.
    pub fn new(traces: usize) -> Self {
        Self {
            balances: Vec::new(),
            limit: traces.min(TraceId::MAX.get() as usize) + 1,
            strangers: HashMap::new(),
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
    }

    /// Applies an event, with the estimate of the bytes that it stands for. A balance that leaves
    /// 63 bits stays at the limit.
    #[inline]
    pub fn apply(&mut self, event: &Event, rates: &SamplingRates) {
        self.add(TraceId::to_disk(event.trace), event.signed_estimate(rates));
    }

    #[inline]
    pub(crate) fn add(&mut self, index: u32, bytes: i64) -> Change {
        let Some(balance) = self.balances.get_mut(index as usize) else {
            return self.add_new(index, bytes);
        };
        change(balance, bytes)
    }

    #[cold]
    fn add_new(&mut self, index: u32, bytes: i64) -> Change {
        let place = index as usize;
        if place < self.limit && grow(&mut self.balances, place, self.limit) {
            // Where there was no memory before, some of this range are among the strangers.
            let len = self.balances.len();
            for (index, bytes) in self
                .strangers
                .extract_if(|&index, _| (index as usize) < len)
            {
                if let Some(balance) = self.balances.get_mut(index as usize) {
                    *balance = bytes;
                }
            }
            if let Some(balance) = self.balances.get_mut(place) {
                return change(balance, bytes);
            }
        }
        change(self.strangers.entry(index).or_default(), bytes)
    }

    /// The live bytes of a trace, or with `None` of unknown.
    pub fn get(&self, trace: impl Into<Option<TraceId>>) -> i64 {
        self.balance(TraceId::to_disk(trace.into()))
    }

    #[inline]
    pub(crate) fn balance(&self, index: u32) -> i64 {
        match self.balances.get(index as usize) {
            Some(&balance) => balance,
            None => self.strangers.get(&index).copied().unwrap_or(0),
        }
    }

    /// All that is live.
    pub(crate) fn total(&self) -> i128 {
        let balances = self.balances.iter().chain(self.strangers.values());
        balances.map(|&bytes| i128::from(bytes)).sum()
    }

    /// What is live by trace. O(traces).
    pub fn usage(&self) -> Usage {
        let mut strangers: Vec<(u32, i64)> = self
            .strangers
            .iter()
            .map(|(&index, &bytes)| (index, bytes))
            .collect();
        strangers.sort_unstable();
        let known = (0_u32..).zip(self.balances.iter().copied());
        Usage::from_ascending(
            known
                .chain(strangers)
                .map(|(index, bytes)| (TraceId::new(index), bytes)),
        )
    }
}

/// Makes room for `place` and as much again, up to `limit`; `false` if there is no memory for it.
fn grow<T: Clone + Default>(items: &mut Vec<T>, place: usize, limit: usize) -> bool {
    let len = (2 * place).max(1 << 10).min(limit).max(place + 1);
    let more = len.saturating_sub(items.len());
    if items.try_reserve_exact(more).is_err() {
        return false;
    }
    items.resize(len, T::default());
    true
}

#[inline]
fn change(balance: &mut i64, bytes: i64) -> Change {
    let before = *balance;
    let (sum, saturated) = before.overflowing_add(bytes);
    *balance = if saturated {
        before.saturating_add(bytes)
    } else {
        sum
    };
    Change {
        before,
        after: *balance,
        saturated,
    }
}

/// Which balances have changed since this was last [drained](Self::drain), and from what.
#[derive(Debug)]
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
    fn strangers_cost_an_entry_and_count_like_others() {
        let mut heap = LiveHeap::new(2);
        heap.add(TraceId::MAX.get(), 7);
        heap.add(1, 5);
        heap.add(3, 1);
        heap.add(0, 2);
        heap.add(2, 9);
        heap.add(2, -9);
        assert!(heap.balances.len() <= 3);
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
    fn memory_follows_what_is_used() {
        let mut heap = LiveHeap::new(1 << 29);
        heap.add(5, 1);
        assert!(heap.balances.len() <= 1 << 10);
        heap.add(3000, 1);
        assert!(heap.balances.len() <= 6000);
        assert_eq!(heap.usage().total(), 2);
        assert_eq!(LiveHeap::new(0).balance(0), 0);
    }

    #[test]
    fn a_balance_stays_at_the_limit() {
        let mut heap = LiveHeap::new(1);
        assert!(!heap.add(1, i64::MAX).saturated);
        assert!(heap.add(1, 1).saturated);
        assert_eq!(heap.balance(1), i64::MAX);
        heap.add(1, -i64::MAX);
        heap.add(1, -i64::MAX);
        let change = heap.add(1, -2);
        assert!(change.saturated && change.after == i64::MIN);
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
}
