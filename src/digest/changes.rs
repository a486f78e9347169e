//! Which balances have changed since the snapshot before?

use hashbrown::HashSet;

use crate::heap::LiveHeap;
use crate::id::TraceId;
use crate::per_trace::PerTrace;

/// So many traces share a mark.
const BLOCK: usize = 64;

/// The balances at the snapshot before, and marks on those that may have changed since.
///
/// An event sets the mark of its block and looks at nothing: that costs less than to find out
/// whether it is the first of its trace. At a snapshot only marked blocks are compared.
#[derive(Debug)]
pub(super) struct Changes {
    before: PerTrace<i64>,
    /// For each block of traces that the table has.
    marks: Vec<bool>,
    /// The traces that the table does not have and that were met since.
    strangers: HashSet<u32>,
}

impl Changes {
    pub(super) fn new(traces: usize) -> Self {
        let traces = traces.min(TraceId::MAX.get() as usize);
        Self {
            before: PerTrace::new(traces),
            marks: vec![false; traces / BLOCK + 1],
            strangers: HashSet::new(),
        }
    }

    /// The balance of a trace may change.
    #[inline]
    pub(super) fn mark(&mut self, index: u32) {
        match self.marks.get_mut(index as usize / BLOCK) {
            Some(mark) => *mark = true,
            None => self.mark_stranger(index),
        }
    }

    #[cold]
    fn mark_stranger(&mut self, index: u32) {
        self.strangers.insert(index);
    }

    /// Visits each trace whose balance has changed, with the balance before and now, and forgets it.
    pub(super) fn drain(&mut self, heap: &LiveHeap, mut visit: impl FnMut(u32, i64, i64)) {
        let mut compare = |index: u32, before: &mut i64, now: i64| {
            if *before != now {
                visit(index, *before, now);
                *before = now;
            }
        };
        for (block, mark) in self.marks.iter_mut().enumerate() {
            if !std::mem::take(mark) {
                continue;
            }
            let first = block * BLOCK;
            #[expect(clippy::cast_possible_truncation, reason = "traces have 30 bits")]
            let indices = first as u32..(first + BLOCK) as u32;
            let now = heap.run(first..first + BLOCK);
            let before = self.before.run_mut(first..first + BLOCK);
            if now.len() == BLOCK && before.len() == BLOCK {
                for ((index, before), &now) in indices.zip(before).zip(now) {
                    compare(index, before, now);
                }
            } else {
                // The table may end within the block: traces beyond it are not in the run.
                for index in indices {
                    let now = heap.balance(index);
                    self.before
                        .update(index, |before| compare(index, before, now));
                }
            }
        }
        for index in self.strangers.drain() {
            let now = heap.balance(index);
            self.before
                .update(index, |before| compare(index, before, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(changes: &mut Changes, heap: &LiveHeap) -> Vec<(u32, i64, i64)> {
        let mut drained = Vec::new();
        changes.drain(heap, |index, before, now| {
            drained.push((index, before, now));
        });
        drained.sort_unstable();
        drained
    }

    #[test]
    fn what_has_changed_is_told_once_with_the_balance_before() {
        let (mut heap, mut changes) = (LiveHeap::new(5000), Changes::new(5000));
        let add = |heap: &mut LiveHeap, changes: &mut Changes, index, bytes| {
            heap.add(index, bytes);
            changes.mark(index);
        };
        for (index, bytes) in [
            (3, 30),
            (64, 1),
            (3, 1),
            (1 << 29, 9),
            (0, 4),
            (4999, 2),
            (5, 0),
        ] {
            add(&mut heap, &mut changes, index, bytes);
        }
        assert_eq!(
            drained(&mut changes, &heap),
            [
                (0, 0, 4),
                (3, 0, 31),
                (64, 0, 1),
                (4999, 0, 2),
                (1 << 29, 0, 9)
            ]
        );
        assert_eq!(drained(&mut changes, &heap), []);
        // Beyond the table, in the last block.
        add(&mut heap, &mut changes, 5003, 8);
        assert_eq!(drained(&mut changes, &heap), [(5003, 0, 8)]);
        // There and back again is no change.
        for (index, bytes) in [(3, -31), (64, 5), (64, -5), (1 << 29, 1)] {
            add(&mut heap, &mut changes, index, bytes);
        }
        assert_eq!(drained(&mut changes, &heap), [(3, 31, 0), (1 << 29, 9, 10)]);
    }
}
