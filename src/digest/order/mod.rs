//! The live heap in the order and in the encoding of a snapshot, edited as it changes.
//!
//! Between two snapshots few traces change: a few hundred of tens of thousands in a second of a real
//! log. So the entries are kept [encoded], and what lies between two changes is copied as it is.

mod encoded;

pub(crate) use encoded::Encoded;
use encoded::Place;

use crate::usage::saturated;

/// One entry of a snapshot. The order of a snapshot is descending by weight, then ascending by
/// trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) weight: i64,
    pub(crate) trace: u32,
}

impl Entry {
    #[inline]
    const fn key(self) -> i128 {
        (!self.weight as i128) << u32::BITS | self.trace as i128
    }

    #[inline]
    const fn precedes(self, other: Self) -> bool {
        self.weight > other.weight || self.weight == other.weight && self.trace < other.trace
    }
}

/// What is live: no entry weighs 0.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    entries: Encoded,
    /// How many these are, and what they weigh together.
    len: u64,
    total: i128,
    lightest: Lightest,
    /// What the entries were before, to be written over.
    spare: Encoded,
    keys: Vec<u64>,
}

/// Balances that have changed: what is no more in the order, and what is new in it.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    gone: Vec<Entry>,
    new: Vec<Entry>,
}

impl Edits {
    /// The balance of a trace was `before` and is `after`.
    pub(crate) fn push(&mut self, trace: u32, before: i64, after: i64) {
        if before != after {
            let entry = |weight| (weight != 0).then_some(Entry { weight, trace });
            self.gone.extend(entry(before));
            self.new.extend(entry(after));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

/// Brings entries into their order.
///
/// Those of a few GiB and of no debt, as all are in most programs, by keys that are numbers: which
/// takes half the time.
fn sort(entries: &mut [Entry], keys: &mut Vec<u64>) {
    const TRACE: u32 = 30;
    keys.clear();
    keys.extend(entries.iter().map_while(|entry| {
        let is_short =
            (0..1 << (u64::BITS - TRACE)).contains(&entry.weight) && entry.trace >> TRACE == 0;
        is_short.then(|| (!entry.weight).cast_unsigned() << TRACE | u64::from(entry.trace))
    }));
    if keys.len() < entries.len() {
        entries.sort_unstable_by_key(|entry| entry.key());
        return;
    }
    keys.sort_unstable();
    for (entry, &key) in entries.iter_mut().zip(&*keys) {
        *entry = Entry {
            weight: (!key >> TRACE).cast_signed(),
            trace: (key & ((1 << TRACE) - 1)) as u32,
        };
    }
}

impl Ordered {
    /// Applies the edits and empties them. O(edits × log edits), and a copy of what stays.
    pub(crate) fn edit(&mut self, edits: &mut Edits) {
        sort(&mut edits.gone, &mut self.keys);
        sort(&mut edits.new, &mut self.keys);
        let (mut gone, mut new) = (&*edits.gone, &*edits.new);
        let (edited, mut cursor) = (&mut self.spare, self.entries.cursor());
        edited.clear();
        loop {
            match (gone.split_first(), new.split_first()) {
                (Some((entry, rest)), before) if before.is_none_or(|it| entry.precedes(*it.0)) => {
                    edited.leave_out(*entry, &mut cursor);
                    self.total -= i128::from(entry.weight);
                    self.lightest.leave_out(*entry);
                    gone = rest;
                }
                (_, Some((entry, rest))) => {
                    edited.insert(*entry, &mut cursor);
                    self.total += i128::from(entry.weight);
                    self.lightest.insert(*entry);
                    new = rest;
                }
                (_, None) => break,
            }
        }
        edited.copy_to_place(self.entries.end(), &mut cursor);
        self.len = self.len.saturating_add(edits.new.len() as u64) - edits.gone.len() as u64;
        edits.gone.clear();
        edits.new.clear();
        std::mem::swap(&mut self.entries, &mut self.spare);
    }

    /// All entries, as a snapshot has them.
    pub(crate) fn encoded(&self) -> &Encoded {
        &self.entries
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes all entries and unknown to `out`, with the smallest positive balances folded into
    /// unknown: from the end of the order, up to the first that would bring their sum over
    /// ⌊precision × total⌋. Gives how many there are then.
    ///
    /// Unknown is none of the entries here. O(log entries), a copy of what stays, and the entries that
    /// are folded now and were not the last time, or the other way round.
    pub(crate) fn fold(&mut self, unknown: i64, precision: f64, out: &mut Encoded) -> u64 {
        let total = self.total + i128::from(unknown);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "as many digits as a float has are what the precision is defined with"
        )]
        let limit = ((precision * total as f64).floor() as i128).max(0);
        let kept = self.lightest.weigh_at_most(limit, &self.entries);
        let debts = self.entries.cursor().place_before(Entry::default());
        let unknown = Entry {
            weight: saturated(i128::from(unknown) + self.lightest.sum),
            trace: 0,
        };
        let mut written = (unknown.weight != 0).then_some(unknown);
        let len = self.len - self.lightest.len + u64::from(written.is_some());

        out.clear();
        let mut cursor = self.entries.cursor();
        let is_kept = |unknown: &mut Entry| {
            let place = self.entries.cursor().place_before(*unknown);
            place.is_at_most(kept)
        };
        if let Some(unknown) = written.take_if(is_kept) {
            out.insert(unknown, &mut cursor);
        }
        out.copy_to_place(kept, &mut cursor);
        cursor.jump(debts);
        if let Some(unknown) = written {
            out.insert(unknown, &mut cursor);
        }
        out.copy_to_place(self.entries.end(), &mut cursor);
        len
    }
}

/// The lightest of the positive entries: those that are folded.
#[derive(Debug, Default)]
struct Lightest {
    /// They are those that do not precede this.
    from: Entry,
    /// What they weigh together, and how many they are.
    sum: i128,
    len: u64,
}

impl Lightest {
    #[inline]
    fn has(&self, entry: Entry) -> bool {
        entry.weight > 0 && !entry.precedes(self.from)
    }

    #[inline]
    fn insert(&mut self, entry: Entry) {
        if self.has(entry) {
            self.sum += i128::from(entry.weight);
            self.len += 1;
        }
    }

    #[inline]
    fn leave_out(&mut self, entry: Entry) {
        if self.has(entry) {
            self.sum -= i128::from(entry.weight);
            self.len -= 1;
        }
    }

    /// As many as weigh no more than `limit` together, of these entries, in which they have been noted.
    /// Gives the place before them.
    fn weigh_at_most(&mut self, limit: i128, entries: &Encoded) -> Place {
        let mut place = entries.cursor().place_before(self.from);
        let mut following = entries.entries_from(place);
        while self.sum > limit
            && let Some((entry, _, after)) = following.next()
        {
            self.leave_out(entry);
            place = after;
        }
        let before = entries.runs_before(place);
        for (entry, begin) in before.flat_map(|run| run.into_iter().rev()) {
            if self.sum + i128::from(entry.weight) > limit {
                break;
            }
            self.from = entry;
            self.insert(entry);
            place = begin;
        }
        let first = entries.entries_from(place).next();
        let first = first.filter(|(entry, ..)| entry.weight > 0);
        self.from = first.map_or_else(Entry::default, |(entry, ..)| entry);
        place
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::raw::hpc::push_entry;

    /// The plain way: sort everything, fold as the definition says, encode one by one.
    fn plain(balances: &BTreeMap<u32, i64>, precision: f64) -> (u64, Vec<u8>) {
        let mut entries: Vec<Entry> = balances
            .iter()
            .filter(|&(_, &weight)| weight != 0)
            .map(|(&trace, &weight)| Entry { weight, trace })
            .collect();
        entries.sort_by_key(|entry| entry.key());
        if precision > 0.0 {
            let total: i64 = entries.iter().map(|entry| entry.weight).sum();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
            let limit = (precision * total as f64).floor() as i64;
            let mut folded = 0;
            let mut kept = entries.clone();
            for entry in entries.iter().rev() {
                if entry.weight > 0 && entry.trace != 0 {
                    if folded + entry.weight > limit {
                        break;
                    }
                    folded += entry.weight;
                    kept.retain(|kept| kept.trace != entry.trace);
                }
            }
            let unknown = folded + balances.get(&0).copied().unwrap_or(0);
            kept.retain(|kept| kept.trace != 0);
            if unknown != 0 {
                kept.push(Entry {
                    weight: unknown,
                    trace: 0,
                });
            }
            kept.sort_by_key(|entry| entry.key());
            entries = kept;
        }
        let mut out = Vec::new();
        let mut before = None;
        for entry in &entries {
            push_entry(&mut out, before, entry.trace, entry.weight);
            before = Some(entry.weight);
        }
        (entries.len() as u64, out)
    }

    fn check(rounds: &[Vec<(u32, i64)>], precision: f64) -> Result<(), TestCaseError> {
        let mut balances = BTreeMap::new();
        let (mut ordered, mut known) = (Ordered::default(), Ordered::default());
        let mut folded = Encoded::default();
        let mut edits = Edits::default();
        for round in rounds {
            let before = balances.clone();
            balances.extend(round.iter().copied());
            for (ordered, first) in [(&mut ordered, 0), (&mut known, 1)] {
                for (&trace, &after) in balances.range(first..) {
                    edits.push(trace, before.get(&trace).copied().unwrap_or(0), after);
                }
                ordered.edit(&mut edits);
                prop_assert!(edits.is_empty());
                ordered.entries.check();
            }
            let encoded = |len, encoded: &Encoded| (len, encoded.bytes().to_vec());
            let all = encoded(ordered.len(), ordered.encoded());
            prop_assert_eq!(all, plain(&balances, 0.0));
            prop_assert_eq!(ordered.entries.count(), ordered.len());
            let unknown = balances.get(&0).copied().unwrap_or(0);
            let len = known.fold(unknown, precision, &mut folded);
            prop_assert_eq!(encoded(len, &folded), plain(&balances, precision));
            folded.check();
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn edits_end_where_sorting_would(
            rounds in vec(vec((0_u32..1200, -3_i64..40), 0..600), 1..6),
            precision in 0.01_f64..0.99,
        ) {
            check(&rounds, precision)?;
        }

        #[test]
        fn a_few_edits_in_large_blocks(
            traces in vec((any::<u32>(), 0_u32..30), 700),
            weights in vec((0_i64..1 << 40, 0_u32..40), 700),
            later in vec(vec((0_usize..700, -1_i64..300), 1..12), 1..8),
        ) {
            // Numbers of all lengths.
            let trace = |(bits, shift): (u32, u32)| bits >> 2 >> shift;
            let traces: Vec<u32> = traces.into_iter().map(trace).collect();
            let weights = weights.into_iter().map(|(bits, shift)| bits >> shift);
            let mut rounds = vec![traces.iter().copied().zip(weights).collect::<Vec<_>>()];
            rounds.extend(later.into_iter().map(|edits| {
                edits.into_iter().map(|(at, weight)| (traces[at], weight)).collect()
            }));
            check(&rounds, 0.1)?;
        }

        #[test]
        fn also_with_weights_of_all_sizes(
            rounds in vec(vec((0_u32..40, -(1_i64 << 50)..1 << 50), 0..30), 1..6),
            precision in 0.01_f64..0.99,
        ) {
            check(&rounds, precision)?;
        }
    }

    #[test]
    fn what_is_new_may_always_be_the_first_or_the_last() {
        for sign in [1, -1] {
            let mut ordered = Ordered::default();
            let mut edits = Edits::default();
            for trace in 1..=3000_u32 {
                edits.push(trace, 0, sign * i64::from(trace));
                ordered.edit(&mut edits);
                ordered.entries.check();
            }
        }
    }

    #[test]
    fn what_is_folded_follows_a_heap_that_comes_and_goes() {
        let mut balances = BTreeMap::new();
        let (mut ordered, mut edits) = (Ordered::default(), Edits::default());
        let mut folded = Encoded::default();
        for round in 0..600_u32 {
            // Some more, the lightest among them; and a large one now and then, so that far more is
            // folded for a while.
            let traces = (1..8).map(|trace| (round * trace * 7919) % 3001 + 2);
            let changed = traces.map(|trace| (trace, i64::from(trace * 31 % 97 + round % 5) - 4));
            let large = (1, if round % 3 == 0 { 1_000_000 } else { 0 });
            for (trace, after) in changed.chain([large]) {
                let before = balances.insert(trace, after);
                edits.push(trace, before.unwrap_or(0), after);
                ordered.edit(&mut edits);
            }
            let len = ordered.fold(3, 0.01, &mut folded);
            balances.insert(0, 3);
            assert_eq!((len, folded.bytes().to_vec()), plain(&balances, 0.01));
            ordered.entries.check();
        }
    }

    #[test]
    fn a_heap_that_grows_and_empties_keeps_its_stops_in_reach() {
        let mut ordered = Ordered::default();
        let mut edits = Edits::default();
        for trace in 1..=5000_u32 {
            edits.push(trace, 0, i64::from(trace * 7919 % 5003));
            ordered.edit(&mut edits);
            ordered.entries.check();
        }
        for trace in 1..=5000_u32 {
            edits.push(trace, i64::from(trace * 7919 % 5003), 0);
            ordered.edit(&mut edits);
            ordered.entries.check();
        }
        assert_eq!((ordered.len(), ordered.encoded().bytes()), (0, &[][..]));
    }
}
