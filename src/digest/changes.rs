//! [`Changes`]: the traces whose balances changed since the last snapshot.

use hashbrown::HashSet;

use crate::heap::LiveHeap;
use crate::per_trace::PerTrace;

/// Neighbouring traces that share a mark. A program is busy with few traces at a time, and their ids
/// are close.
const BLOCK: usize = 64;

/// The number of marks. In a table of more blocks, several blocks share a mark, so every trace has one.
const MARKS: usize = 1 << 14;

/// The mark of a trace.
#[inline]
const fn mark_of(index: u32) -> usize {
    index as usize / BLOCK % MARKS
}

/// The balances at the last snapshot, and marks on those that may have changed since.
///
/// An event sets the mark of its block without a look at the balance: that costs less than to find the
/// first event of each trace. A snapshot compares the balances of the marked blocks.
#[derive(Debug)]
pub(super) struct Changes {
    before: PerTrace<i64>,
    marks: Box<[bool; MARKS]>,
    /// Traces outside the dense part of the heap that had an event.
    sparse: HashSet<u32>,
}

impl Changes {
    pub(super) fn new(traces: usize) -> Self {
        Self {
            before: PerTrace::new(traces),
            marks: Box::new([false; MARKS]),
            sparse: HashSet::new(),
        }
    }

    /// The marks of the traces with a dense balance.
    #[inline]
    pub(super) fn dense(&mut self) -> Marks<'_> {
        Marks(&mut self.marks)
    }

    /// Marks any trace.
    pub(super) fn mark(&mut self, index: u32, heap: &LiveHeap) {
        if (index as usize) < heap.dense_len() {
            self.dense().mark(index);
        } else {
            self.sparse.insert(index);
        }
    }

    /// Visits each trace whose balance has changed since the last call, with the balance then and now.
    pub(super) fn drain(&mut self, heap: &LiveHeap, mut visit: impl FnMut(u32, i64, i64)) {
        let blocks = heap.dense_len().div_ceil(BLOCK);
        for (mark, is_marked) in self.marks.iter_mut().enumerate().take(blocks) {
            if std::mem::take(is_marked) {
                for block in (mark..blocks).step_by(MARKS) {
                    drain_block(&mut self.before, block * BLOCK, heap, &mut visit);
                }
            }
        }
        for index in self.sparse.drain() {
            drain_one(&mut self.before, index, heap, &mut visit);
        }
    }
}

/// The marks of a [`Changes`], for a fold over events.
pub(super) struct Marks<'c>(&'c mut [bool; MARKS]);

impl Marks<'_> {
    /// Marks a trace of the dense part of the heap.
    #[inline]
    pub(super) fn mark(&mut self, index: u32) {
        // Never `None`, and the compiler sees it.
        if let Some(mark) = self.0.get_mut(mark_of(index)) {
            *mark = true;
        }
    }
}

/// Visits the changed traces of the block that begins at `first`.
fn drain_block(
    before: &mut PerTrace<i64>,
    first: usize,
    heap: &LiveHeap,
    visit: &mut impl FnMut(u32, i64, i64),
) {
    #[expect(clippy::cast_possible_truncation, reason = "traces have 30 bits")]
    let mut indices = first as u32..(first + BLOCK) as u32;
    let now = heap.dense_range(first..first + BLOCK);
    let then = before.dense_range_mut(first..first + BLOCK);
    for ((then, &now), index) in then.iter_mut().zip(now).zip(indices.by_ref()) {
        if *then != now {
            visit(index, *then, now);
            *then = now;
        }
    }
    for index in indices {
        drain_one(before, index, heap, visit);
    }
}

/// Visits a trace if its balance has changed; one without an event takes no memory.
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

    fn add(heap: &mut LiveHeap, changes: &mut Changes, index: u32, bytes: i64) {
        heap.add(index, bytes);
        changes.mark(index, heap);
    }

    #[test]
    fn visits_each_changed_trace_once() {
        let (mut heap, mut changes) = (LiveHeap::new(5000), Changes::new(5000));
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
        // Beyond the table, in its last block.
        add(&mut heap, &mut changes, 5003, 8);
        assert_eq!(drained(&mut changes, &heap), [(5003, 0, 8)]);
        // A balance that returns to its old value has not changed.
        for (index, bytes) in [(3, -31), (64, 5), (64, -5), (1 << 29, 1)] {
            add(&mut heap, &mut changes, index, bytes);
        }
        assert_eq!(drained(&mut changes, &heap), [(3, 31, 0), (1 << 29, 9, 10)]);
    }

    #[test]
    fn compares_every_trace_of_a_block() {
        let (mut heap, mut changes) = (LiveHeap::new(300), Changes::new(300));
        for index in 0..300 {
            add(&mut heap, &mut changes, index, 1);
        }
        assert_eq!(drained(&mut changes, &heap).len(), 300);
        for index in 0..=300 {
            add(&mut heap, &mut changes, index, 7);
            let before = i64::from(index < 300);
            assert_eq!(drained(&mut changes, &heap), [(index, before, before + 7)]);
        }
    }

    #[test]
    fn compares_all_blocks_that_share_a_mark() {
        let shared = u32::try_from(BLOCK * MARKS).unwrap();
        let traces = 2 * BLOCK * MARKS + 100;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        // Enough traces for all blocks to be dense.
        for index in 0..=2 * shared + 90 {
            heap.add(index, 0);
        }
        assert!(heap.dense_len() > 2 * BLOCK * MARKS);
        for index in [70, shared + 71, 2 * shared + 72] {
            assert_eq!(mark_of(index), 1);
            add(&mut heap, &mut changes, index, 5);
        }
        let changed = [(70, 0, 5), (shared + 71, 0, 5), (2 * shared + 72, 0, 5)];
        assert_eq!(drained(&mut changes, &heap), changed);
        assert!(!changes.marks.contains(&true));
    }

    #[test]
    fn visits_traces_that_become_dense_once() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        for index in [5, 900, 5000, 1 << 28] {
            add(&mut heap, &mut changes, index, 8);
        }
        assert_eq!(
            drained(&mut changes, &heap),
            [(5, 0, 8), (900, 0, 8), (5000, 0, 8), (1 << 28, 0, 8)]
        );
        // Sparse at its first event, and dense when it is drained.
        add(&mut heap, &mut changes, 600_000, 1);
        assert!(heap.dense_len() <= 600_000);
        for index in 0..600_000 {
            heap.add(index, 0);
        }
        assert!(heap.dense_len() > 600_000);
        add(&mut heap, &mut changes, 600_000, 1);
        add(&mut heap, &mut changes, 900, -8);
        assert_eq!(drained(&mut changes, &heap), [(900, 8, 0), (600_000, 0, 2)]);
        assert_eq!(drained(&mut changes, &heap), []);
    }

    #[test]
    fn sparse_traces_do_not_size_memory() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        let sparse: Vec<u32> = (1..=100).map(|n| n << 22).collect();
        for round in 1..=2 {
            for &index in &sparse {
                add(&mut heap, &mut changes, index, 1);
            }
            let changed: Vec<_> = sparse.iter().map(|&it| (it, round - 1, round)).collect();
            assert_eq!(drained(&mut changes, &heap), changed);
        }
        assert_eq!(changes.before.iter().count(), sparse.len());
    }
}
