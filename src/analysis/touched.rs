//! Which balances have changed since a moment, and from what: the answer to what was live then,
//! without a copy of all.

use hashbrown::HashSet;

use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::grow;
use crate::usage::Usage;

/// Which balances have changed since this was last [drained](Self::drain), and from what.
#[derive(Debug, Clone)]
pub(super) struct Touched {
    /// A bit for each trace that was met.
    marks: Vec<u64>,
    /// How many of these words there may be.
    limit: usize,
    strangers: HashSet<u32>,
    first: Vec<(u32, i64)>,
}

impl Touched {
    pub(super) fn new(traces: usize) -> Self {
        Self {
            marks: Vec::new(),
            limit: (traces.min(TraceId::MAX.get() as usize) + 1).div_ceil(64),
            strangers: HashSet::new(),
            first: Vec::new(),
        }
    }

    /// The balance of a trace changes, and was `before`.
    #[inline]
    pub(super) fn note(&mut self, index: u32, before: i64) {
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
    pub(super) fn usage_before(&mut self, heap: &LiveHeap) -> Usage {
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
    pub(super) fn forget(&mut self) {
        if !self.first.is_empty() {
            self.forget_all();
        }
    }

    #[inline(never)]
    fn forget_all(&mut self) {
        self.drain().for_each(drop);
    }

    /// The traces that were touched, each with its balance before that; forgets them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, i64)> + '_ {
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
