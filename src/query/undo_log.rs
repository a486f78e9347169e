//! [`UndoLog`]: the old value of each balance that has changed since a moment.
//!
//! It answers what was live at that moment without a copy of the heap.

use hashbrown::HashSet;

use crate::bit_set::BitSet;
use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::grow;
use crate::usage::Usage;

/// The old value of each balance that has changed since the log was last [drained](Self::drain).
#[derive(Debug, Clone)]
pub(super) struct UndoLog {
    /// The traces in the log: a bit for each of the table, as far as they were met.
    logged: BitSet,
    /// The largest number of words that the bits may have.
    limit: usize,
    /// The traces in the log that have no bit.
    overflow: HashSet<u32>,
    old: Vec<(u32, i64)>,
}

impl UndoLog {
    pub(super) fn new(traces: usize) -> Self {
        Self {
            logged: BitSet::default(),
            limit: (traces.min(TraceId::MAX.get() as usize) + 1).div_ceil(64),
            overflow: HashSet::new(),
            old: Vec::new(),
        }
    }

    /// Records that the balance of a trace changes from `before`.
    #[inline]
    pub(super) fn record(&mut self, index: u32, before: i64) {
        let is_logged = match self.logged.set(index, true) {
            Some(is_logged) => is_logged,
            None => self.is_logged_beyond(index),
        };
        if !is_logged {
            self.old.push((index, before));
        }
    }

    /// Marks a trace beyond the bits; returns whether it was marked.
    #[cold]
    fn is_logged_beyond(&mut self, index: u32) -> bool {
        let is_new = self.overflow.insert(index);
        let word = index as usize / 64;
        if word < self.limit && grow(self.logged.words_mut(), word, self.limit) {
            let logged = &mut self.logged;
            self.overflow
                .retain(|&index| logged.set(index, true).is_none());
        }
        !is_new
    }

    /// The usage before the recorded changes. Clears the log.
    pub(super) fn usage_before(&mut self, heap: &LiveHeap) -> Usage {
        let mut before: Vec<_> = self
            .drain()
            .map(|(index, bytes)| (TraceId::new(index), bytes))
            .collect();
        before.sort_unstable();
        let mut changed = before.iter().map(|&(trace, _)| trace).peekable();
        let others = heap.usage().filter(|trace, _| {
            while changed.next_if(|&earlier| earlier < trace).is_some() {}
            changed.peek() != Some(&trace)
        });
        &others + &Usage::from_ascending(before.into_iter())
    }

    /// Clears the log. O(1) if it is empty.
    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.old.is_empty() {
            self.clear_slow();
        }
    }

    #[inline(never)]
    fn clear_slow(&mut self) {
        self.drain().for_each(drop);
    }

    /// The traces whose balance has changed, each with its old value. Clears the log.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.overflow.clear();
        self.old.drain(..).inspect(|&(index, _)| {
            self.logged.set(index, false);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_first_balance_of_each_trace() {
        let mut log = UndoLog::new(100);
        for (index, before) in [(3, 30), (64, 1), (3, 31), (500, 9), (500, 10), (0, 4)] {
            log.record(index, before);
        }
        let drained: Vec<_> = log.drain().collect();
        assert_eq!(drained, [(3, 30), (64, 1), (500, 9), (0, 4)]);
        log.record(3, 32);
        log.record(500, 11);
        assert_eq!(log.drain().collect::<Vec<_>>(), [(3, 32), (500, 11)]);
    }

    #[test]
    fn restores_usage_before_changes() {
        let (mut heap, mut log) = (LiveHeap::new(9), UndoLog::new(9));
        let add = |heap: &mut LiveHeap, log: &mut UndoLog, index, bytes| {
            let change = heap.add(index, bytes);
            log.record(index, change.before);
        };
        for (index, bytes) in [(1, 5), (2, i64::MAX), (4, 1), (1 << 20, 3)] {
            add(&mut heap, &mut log, index, bytes);
        }
        log.clear();
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
            add(&mut heap, &mut log, index, bytes);
        }
        assert_eq!(log.usage_before(&heap), before);
        assert_eq!(log.usage_before(&heap), heap.usage());
    }
}
