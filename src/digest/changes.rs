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
///
/// To compare all balances costs less than the marks of as many events. So once there were more events
/// than balances between two snapshots, none are set until the next one: but for traces that have no
/// place yet, where few of many were met.
#[derive(Debug)]
pub(super) struct Changes {
    before: PerTrace<i64>,
    /// For each block of traces that the table has.
    marks: Vec<bool>,
    /// Whether no marks are set for balances that have a place, and so all of them are compared.
    unmarked: bool,
    /// How many events there were at the snapshot before.
    events: u64,
    /// The traces that the table does not have and that were met since.
    strangers: HashSet<u32>,
}

impl Changes {
    pub(super) fn new(traces: usize) -> Self {
        let traces = traces.min(TraceId::MAX.get() as usize);
        Self {
            before: PerTrace::new(traces),
            marks: vec![false; traces / BLOCK + 1],
            unmarked: false,
            events: 0,
            strangers: HashSet::new(),
        }
    }

    /// What marks that the balance of a trace may have changed, of one that the table has.
    #[inline]
    pub(super) fn marker(&mut self) -> impl FnMut(u32) {
        // Asked for each event: with no marks to find, in their place, the loop takes longer.
        let mut marks = (!self.unmarked).then_some(self.marks.as_mut_slice());
        #[inline(always)]
        move |index| {
            if let Some(marks) = &mut marks
                && let Some(mark) = marks.get_mut(index as usize / BLOCK)
            {
                *mark = true;
            }
        }
    }

    /// The balance of a trace may change.
    pub(super) fn mark(&mut self, index: u32) {
        match self.marks.get_mut(index as usize / BLOCK) {
            Some(mark) => *mark = true,
            None => {
                self.strangers.insert(index);
            }
        }
    }

    /// Visits each trace whose balance has changed, with the balance before and now, and forgets it.
    /// So many `events` there are by now.
    pub(super) fn drain(
        &mut self,
        heap: &LiveHeap,
        events: u64,
        mut visit: impl FnMut(u32, i64, i64),
    ) {
        let places = heap.places();
        for (block, mark) in self.marks.iter_mut().enumerate() {
            let first = block * BLOCK;
            let is_marked = std::mem::take(mark) || self.unmarked && first < places;
            if !is_marked {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "traces have 30 bits")]
            let indices = first as u32..(first + BLOCK) as u32;
            let now = heap.run(first..first + BLOCK);
            let before = self.before.run_mut(first..first + BLOCK);
            if now.len() == BLOCK && before.len() == BLOCK {
                // Nothing is told sooner than that nothing has changed.
                let differing = before
                    .iter()
                    .zip(now)
                    .fold(0, |all, (before, now)| all | (before ^ now));
                if differing == 0 {
                    continue;
                }
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
        let since = events.saturating_sub(self.events);
        self.events = events;
        // Those that have no place before would be looked up one by one.
        self.unmarked = since > places as u64 && self.before.places() >= places;
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
        drained_after(changes, heap, 0)
    }

    fn drained_after(changes: &mut Changes, heap: &LiveHeap, events: u64) -> Vec<(u32, i64, i64)> {
        let mut drained = Vec::new();
        changes.drain(heap, events, |index, before, now| {
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

    #[test]
    fn after_many_events_all_are_compared_and_none_is_marked() {
        let (mut heap, mut changes) = (LiveHeap::new(5000), Changes::new(5000));
        let add = |heap: &mut LiveHeap, changes: &mut Changes, index| {
            changes.marker()(index);
            heap.add(index, 8);
            changes.marks.contains(&true)
        };
        assert!(add(&mut heap, &mut changes, 70));
        assert_eq!(drained_after(&mut changes, &heap, 10_000), [(70, 0, 8)]);
        for index in [70, 3, 4999] {
            assert!(!add(&mut heap, &mut changes, index));
        }
        // Of a trace that the table does not have it is known all the same.
        heap.add(1 << 29, 9);
        changes.mark(1 << 29);
        assert_eq!(
            drained_after(&mut changes, &heap, 10_100),
            [(3, 0, 8), (70, 8, 16), (4999, 0, 8), (1 << 29, 0, 9)]
        );
        assert!(add(&mut heap, &mut changes, 3));
        assert_eq!(drained_after(&mut changes, &heap, 10_101), [(3, 8, 16)]);
    }

    #[test]
    fn after_many_events_of_few_of_many_traces_no_others_are_looked_up() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        // Two have a place, the other has none.
        for index in [5, 900, 1 << 28] {
            heap.add(index, 8);
            changes.mark(index);
        }
        assert_eq!(drained_after(&mut changes, &heap, 1 << 40).len(), 3);
        assert!(changes.unmarked && changes.before.places() == heap.places());
        heap.add(900, 1);
        heap.add(1 << 27, 4);
        changes.mark(1 << 27);
        assert_eq!(
            drained_after(&mut changes, &heap, 1 << 41),
            [(900, 8, 9), (1 << 27, 0, 4)]
        );
        // More have a place than before, and of these one has changed.
        heap.add(5000, 1);
        changes.mark(5000);
        assert_eq!(drained_after(&mut changes, &heap, 1 << 42), [(5000, 0, 1)]);
        assert!(changes.unmarked);
        // And none of these: they would be looked up one by one, and so are marked.
        heap.add(20_000, 1);
        heap.add(20_000, -1);
        changes.mark(20_000);
        assert_eq!(drained_after(&mut changes, &heap, 1 << 43), []);
        assert!(!changes.unmarked);
    }

    #[test]
    fn only_what_was_met_takes_memory() {
        let traces = 1 << 29;
        let (mut heap, mut changes) = (LiveHeap::new(traces), Changes::new(traces));
        let met: Vec<u32> = (1..=100).map(|n| n << 22).collect();
        for round in 1..=2 {
            for &index in &met {
                heap.add(index, 1);
                changes.mark(index);
            }
            let told: Vec<_> = met.iter().map(|&it| (it, round - 1, round)).collect();
            assert_eq!(drained(&mut changes, &heap), told);
        }
        assert_eq!(changes.before.iter().count(), met.len());
    }
}
