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

    /// The balance of a trace may change. `None`, and nothing is done, if it has no mark.
    #[inline]
    pub(super) fn mark(&mut self, index: u32) -> Option<()> {
        *self.marks.get_mut(index as usize / BLOCK)? = true;
        Some(())
    }

    /// The same for any trace.
    pub(super) fn mark_any(&mut self, index: u32) {
        if self.mark(index).is_none() {
            self.strangers.insert(index);
        }
    }

    /// Visits each trace whose balance has changed, with the balance before and now, and forgets it.
    pub(super) fn drain(&mut self, heap: &LiveHeap, mut visit: impl FnMut(u32, i64, i64)) {
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
                // All are compared before one is visited: which of them have changed cannot be
                // foretold.
                let mut changed = 0_u64;
                for (bit, (before, now)) in before.iter().zip(now).enumerate() {
                    changed |= u64::from(before != now) << bit;
                }
                while changed != 0 {
                    let bit = changed.trailing_zeros();
                    changed &= changed - 1;
                    let at = bit as usize;
                    if let (Some(before), Some(&now)) = (before.get_mut(at), now.get(at)) {
                        visit(indices.start + bit, *before, now);
                        *before = now;
                    }
                }
            } else {
                // Not all of them have a place in a run: the table ends within the block, or few of
                // many traces were met.
                for index in indices {
                    drain_one(&mut self.before, index, heap, &mut visit);
                }
            }
        }
        for index in self.strangers.drain() {
            drain_one(&mut self.before, index, heap, &mut visit);
        }
    }
}

/// Visits a trace if its balance has changed; one that was never met is given no place.
fn drain_one(
    before: &mut PerTrace<i64>,
    index: u32,
    heap: &LiveHeap,
    visit: &mut impl FnMut(u32, i64, i64),
) {
    let then = before.get(index).copied().unwrap_or_default();
    let now = heap.balance(index);
    if then != now {
        visit(index, then, now);
        before.update(index, |before| *before = now);
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
            changes.mark_any(index);
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

    #[test]
    fn only_what_was_met_takes_memory() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        let met: Vec<u32> = (1..=100).map(|n| n << 22).collect();
        for round in 1..=2 {
            for &index in &met {
                heap.add(index, 1);
                changes.mark_any(index);
            }
            let told: Vec<_> = met.iter().map(|&it| (it, round - 1, round)).collect();
            assert_eq!(drained(&mut changes, &heap), told);
        }
        assert_eq!(changes.before.iter().count(), met.len());
    }
}
