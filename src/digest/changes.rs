//! Which balances have changed since the snapshot before?

use hashbrown::HashSet;

use crate::heap::LiveHeap;
use crate::per_trace::PerTrace;

/// So many traces that follow on each other share a mark: a program is mostly busy with few of them for a
/// while, and these have much the same ids.
const BLOCK: usize = 64;
/// So many balances are compared at once.
const PART: usize = 8;

/// How many marks there are; beyond so many blocks, several share one. As many as there are
/// numbers that are [`mark_of`] an index: so nothing need ask whether there is such a mark.
const MARKS: usize = 1 << 14;

/// The number of the mark of a trace.
#[inline]
const fn mark_of(index: u32) -> usize {
    index as usize / BLOCK % MARKS
}

/// The balances at the snapshot before, and marks on those that may have changed since.
///
/// An event sets the mark of its block and looks at nothing: that costs less than to find out
/// whether it is the first of its trace. At a snapshot only marked blocks are compared.
#[derive(Debug)]
pub(super) struct Changes {
    before: PerTrace<i64>,
    /// For each block of balances that have a place.
    marks: Box<[bool; MARKS]>,
    /// The traces whose balances have no place and that were met since.
    others: HashSet<u32>,
}

impl Changes {
    pub(super) fn new(traces: usize) -> Self {
        Self {
            before: PerTrace::new(traces),
            marks: Box::new([false; MARKS]),
            others: HashSet::new(),
        }
    }

    /// The marks of the traces with a dense balance.
    #[inline]
    pub(super) fn dense(&mut self) -> Marks<'_> {
        Marks(&mut self.marks)
    }

    /// Marks that the balance of a trace may have changed.
    pub(super) fn mark(&mut self, index: u32, heap: &LiveHeap) {
        if (index as usize) < heap.places() {
            self.dense().mark(index);
        } else {
            self.others.insert(index);
        }
    }

    /// Visits each trace whose balance has changed, with the balance before and now, and forgets it.
    pub(super) fn drain(&mut self, heap: &LiveHeap, mut visit: impl FnMut(u32, i64, i64)) {
        let blocks = heap.places().div_ceil(BLOCK);
        for (mark, is_marked) in self.marks.iter_mut().enumerate().take(blocks) {
            if !std::mem::take(is_marked) {
                continue;
            }
            for block in (mark..blocks).step_by(MARKS) {
                drain_block(&mut self.before, block * BLOCK, heap, &mut visit);
            }
        }
        for index in self.others.drain() {
            drain_one(&mut self.before, index, heap, &mut visit);
        }
    }
}

/// The marks of a [`Changes`], for a fold over events.
pub(super) struct Marks<'c>(&'c mut [bool; MARKS]);

impl Marks<'_> {
    /// Marks that the balance of a trace, which is dense, may have changed.
    #[inline]
    pub(super) fn mark(&mut self, index: u32) {
        // There always is a mark.
        if let Some(mark) = self.0.get_mut(mark_of(index)) {
            *mark = true;
        }
    }
}

/// Visits the traces from the `first` on that share a mark and whose balances have changed.
fn drain_block(
    before: &mut PerTrace<i64>,
    first: usize,
    heap: &LiveHeap,
    visit: &mut impl FnMut(u32, i64, i64),
) {
    let end = first + BLOCK;
    #[expect(clippy::cast_possible_truncation, reason = "traces have 30 bits")]
    let indices = first as u32..end as u32;
    let now = heap.run(first..end);
    let then = before.run_mut(first..end);
    if now.len() < BLOCK || then.len() < BLOCK {
        // Not all of them have a place in a run: the table ends within the block, or few of many
        // traces were met.
        for index in indices {
            drain_one(before, index, heap, visit);
        }
        return;
    }
    // Which have changed cannot be foretold: so all are compared before one is visited, first by parts.
    let (parts, _) = then.as_chunks_mut::<PART>();
    let (now, _) = now.as_chunks::<PART>();
    let differing = bits(parts.iter().zip(now).map(|(then, now)| {
        let differing = then.iter().zip(now).map(|(then, now)| then ^ now);
        differing.fold(0, |all, differing| all | differing) != 0
    }));
    for part in ones(differing) {
        let (Some(then), Some(now)) = (parts.get_mut(part), now.get(part)) else {
            continue;
        };
        let changed = bits(then.iter().zip(now).map(|(then, now)| then != now));
        for at in ones(changed) {
            if let (Some(then), Some(&now)) = (then.get_mut(at), now.get(at)) {
                #[expect(clippy::cast_possible_truncation, reason = "traces have 30 bits")]
                visit((first + part * PART + at) as u32, *then, now);
                *then = now;
            }
        }
    }
}

/// A bit for each of these.
#[inline]
fn bits(of: impl Iterator<Item = bool>) -> u64 {
    of.zip(0..)
        .fold(0, |bits, (is, bit)| bits | u64::from(is) << bit)
}

/// Which bits are set.
#[inline]
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let first = bits.trailing_zeros() as usize;
        (bits != 0).then(|| {
            bits &= bits - 1;
            first
        })
    })
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

    fn add(heap: &mut LiveHeap, changes: &mut Changes, index: u32, bytes: i64) {
        heap.add(index, bytes);
        changes.mark(index, heap);
    }

    #[test]
    fn what_has_changed_is_told_once_with_the_balance_before() {
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
    fn every_place_of_a_block_is_compared() {
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
    fn blocks_that_share_a_mark_are_all_compared() {
        let shared = u32::try_from(BLOCK * MARKS).unwrap();
        let traces = 2 * BLOCK * MARKS + 100;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        // Enough for all of them to have a place.
        for index in 0..=2 * shared + 90 {
            heap.add(index, 0);
        }
        assert!(heap.places() > 2 * BLOCK * MARKS);
        for index in [70, shared + 71, 2 * shared + 72] {
            assert_eq!(mark_of(index), 1);
            add(&mut heap, &mut changes, index, 5);
        }
        let told = [(70, 0, 5), (shared + 71, 0, 5), (2 * shared + 72, 0, 5)];
        assert_eq!(drained(&mut changes, &heap), told);
        assert!(!changes.marks.contains(&true));
    }

    #[test]
    fn of_a_large_table_what_gets_a_place_later_is_told_once() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        for index in [5, 900, 5000, 1 << 28] {
            add(&mut heap, &mut changes, index, 8);
        }
        assert_eq!(
            drained(&mut changes, &heap),
            [(5, 0, 8), (900, 0, 8), (5000, 0, 8), (1 << 28, 0, 8)]
        );
        // Met without a place, and has one when it is told.
        add(&mut heap, &mut changes, 600_000, 1);
        assert!(heap.places() <= 600_000);
        for index in 0..600_000 {
            heap.add(index, 0);
        }
        assert!(heap.places() > 600_000);
        add(&mut heap, &mut changes, 600_000, 1);
        add(&mut heap, &mut changes, 900, -8);
        assert_eq!(drained(&mut changes, &heap), [(900, 8, 0), (600_000, 0, 2)]);
        assert_eq!(drained(&mut changes, &heap), []);
    }

    #[test]
    fn only_what_was_met_takes_memory() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        let met: Vec<u32> = (1..=100).map(|n| n << 22).collect();
        for round in 1..=2 {
            for &index in &met {
                add(&mut heap, &mut changes, index, 1);
            }
            let told: Vec<_> = met.iter().map(|&it| (it, round - 1, round)).collect();
            assert_eq!(drained(&mut changes, &heap), told);
        }
        assert_eq!(changes.before.iter().count(), met.len());
    }
}
