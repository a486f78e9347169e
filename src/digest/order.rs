//! [`Ordered`]: the live heap in the order and encoding of a snapshot, edited between snapshots.
//!
//! Few traces change between two snapshots: a few hundred of tens of thousands in a second of a real
//! log. So the order is cut into chunks that cache their encoding, and only changed chunks are encoded.
//!
//! Unknown is not in the order. Each encoding gets its balance, as folding adds to it.

use crate::raw::hpc::push_entry;
use crate::usage::saturated;

/// The most entries of a chunk. Small chunks are quick to edit and encode; many are slow to visit.
// PERF: 64 and 128 are alike within the noise, for snapshots each second and each 10 ms.
const CHUNK_ENTRIES: usize = 64;

/// One entry of a snapshot. Entries are ordered by weight, heaviest first, then by trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Entry {
    weight: i64,
    trace: u32,
}

impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.weight, self.trace).cmp(&(self.weight, other.trace))
    }
}

impl PartialOrd for Entry {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Changed balances, as entries to remove from the order and entries to add.
#[derive(Debug, Default)]
pub(super) struct Edits {
    removed: Vec<Entry>,
    added: Vec<Entry>,
}

impl Edits {
    /// Adds the change of a balance. Unknown and a balance of 0 are no entries.
    pub(super) fn push(&mut self, trace: u32, before: i64, after: i64) {
        if trace != 0 {
            let entry = |weight| (weight != 0).then_some(Entry { weight, trace });
            self.removed.extend(entry(before));
            self.added.extend(entry(after));
        }
    }
}

/// The entries of one snapshot, encoded.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    count: u64,
    /// The weight of the last entry.
    weight: Option<i64>,
}

impl Encoded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of entries.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.weight = None;
    }

    fn push(&mut self, entry: Entry) {
        push_entry(&mut self.bytes, self.weight, entry.trace, entry.weight);
        self.count += 1;
        self.weight = Some(entry.weight);
    }

    fn push_chunk(&mut self, chunk: &mut Chunk) {
        self.push(chunk.first);
        self.bytes.extend_from_slice(chunk.encoded());
        self.count += chunk.entries.len() as u64 - 1;
        self.weight = Some(chunk.last.weight);
    }
}

/// Neighbours in the order, at least one of them except while the order is edited.
#[derive(Debug, Default)]
struct Chunk {
    entries: Vec<Entry>,
    first: Entry,
    last: Entry,
    /// The sum of the weights above 0.
    positive: i128,
    /// All entries but the first, whose encoding depends on the chunk before. Empty until it is needed.
    encoded: Vec<u8>,
}

impl Chunk {
    fn new(entries: &[Entry]) -> Self {
        let mut chunk = Self::default();
        chunk.edit(&[], entries);
        chunk
    }

    /// Applies sorted edits.
    fn edit(&mut self, removed: &[Entry], added: &[Entry]) {
        for entry in removed {
            let found = self.entries.binary_search(entry);
            debug_assert!(found.is_ok(), "an edit removes an absent entry");
            if let Ok(index) = found {
                self.entries.remove(index);
            }
        }
        self.entries.extend_from_slice(added);
        // A merge, since both parts are sorted.
        self.entries.sort();
        self.first = self.entries.first().copied().unwrap_or_default();
        self.last = self.entries.last().copied().unwrap_or_default();
        let positive = self.entries.iter().filter(|entry| entry.weight > 0);
        self.positive = positive.map(|entry| i128::from(entry.weight)).sum();
        self.encoded.clear();
    }

    fn encoded(&mut self) -> &[u8] {
        if self.encoded.is_empty() {
            let followers = self.entries.iter().skip(1);
            for (before, entry) in self.entries.iter().zip(followers) {
                let before = Some(before.weight);
                push_entry(&mut self.encoded, before, entry.trace, entry.weight);
            }
        }
        &self.encoded
    }
}

/// The entries of the live heap in their order, without unknown.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    /// Between edits, each has 1 to [`CHUNK_ENTRIES`] entries.
    chunks: Vec<Chunk>,
    /// The sum of all weights.
    total: i128,
}

impl Ordered {
    /// Applies the edits and empties them. O(chunks + edits × (log edits + [`CHUNK_ENTRIES`])).
    pub(super) fn edit(&mut self, edits: &mut Edits) {
        edits.removed.sort_unstable();
        edits.added.sort_unstable();
        self.total += sum(&edits.added) - sum(&edits.removed);
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::default());
        }
        let (mut removed, mut added) = (&edits.removed[..], &edits.added[..]);
        let mut chunks = self.chunks.iter_mut().peekable();
        while let Some(chunk) = chunks.next() {
            let end = chunks.peek().map(|next| next.first);
            let removed = split_before(&mut removed, end);
            let added = split_before(&mut added, end);
            if !removed.is_empty() || !added.is_empty() {
                chunk.edit(removed, added);
            }
        }
        edits.removed.clear();
        edits.added.clear();
        let fits = |chunk: &Chunk| (1..=CHUNK_ENTRIES).contains(&chunk.entries.len());
        if !self.chunks.iter().all(fits) {
            self.cut();
        }
    }

    /// Cuts long chunks, joins short ones and drops empty ones.
    fn cut(&mut self) {
        for chunk in std::mem::take(&mut self.chunks) {
            let len = chunk.entries.len();
            if len > CHUNK_ENTRIES {
                let parts = chunk.entries.chunks(CHUNK_ENTRIES / 2);
                self.chunks.extend(parts.map(Chunk::new));
            } else if let Some(last) = self.chunks.last_mut()
                && last.entries.len() + len <= CHUNK_ENTRIES / 2
            {
                last.edit(&[], &chunk.entries);
            } else if len > 0 {
                self.chunks.push(chunk);
            }
        }
    }

    /// Encodes all entries and unknown to `out`, with the smallest positive balances folded into unknown:
    /// from the light end of the order, until the next one would bring their sum over
    /// ⌊precision × total⌋. O(chunks), and a copy of the entries that are kept.
    pub(super) fn encode(&mut self, unknown: i64, precision: f64, out: &mut Encoded) {
        let total = self.total + i128::from(unknown);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "the definition of precision is in floating point"
        )]
        let limit = (precision * total as f64).floor() as i128;
        let (from, folded) = self.folded_tail(limit);
        let is_folded = |entry: Entry| entry.weight > 0 && from <= entry;
        let mut unknown = Some(Entry {
            weight: saturated(i128::from(unknown) + folded),
            trace: 0,
        })
        .filter(|unknown| unknown.weight != 0);

        out.clear();
        for chunk in &mut self.chunks {
            if is_folded(chunk.first) && is_folded(chunk.last) {
                continue;
            }
            let has_folded = from <= chunk.last && chunk.first.weight > 0;
            let has_unknown = unknown.is_some_and(|unknown| unknown < chunk.last);
            if !has_folded && !has_unknown {
                out.push_chunk(chunk);
                continue;
            }
            for &entry in chunk.entries.iter().filter(|entry| !is_folded(**entry)) {
                if let Some(unknown) = unknown.take_if(|unknown| *unknown < entry) {
                    out.push(unknown);
                }
                out.push(entry);
            }
        }
        if let Some(unknown) = unknown {
            out.push(unknown);
        }
    }

    /// The first positive entry to fold, and the sum of the positive entries from there on: the longest
    /// tail that weighs at most `limit`.
    fn folded_tail(&self, limit: i128) -> (Entry, i128) {
        // No positive entry follows a weight of 0.
        let mut from = Entry {
            weight: 0,
            trace: 0,
        };
        let mut folded = 0;
        for chunk in self.chunks.iter().rev() {
            if folded + chunk.positive <= limit {
                folded += chunk.positive;
                from = chunk.first;
                continue;
            }
            let positive = chunk.entries.iter().rev().filter(|entry| entry.weight > 0);
            for entry in positive {
                if folded + i128::from(entry.weight) > limit {
                    break;
                }
                folded += i128::from(entry.weight);
                from = *entry;
            }
            break;
        }
        (from, folded)
    }
}

fn sum(entries: &[Entry]) -> i128 {
    entries.iter().map(|entry| i128::from(entry.weight)).sum()
}

/// Splits the entries before `end` off the front of a sorted list; without an end, all of them.
fn split_before<'e>(list: &mut &'e [Entry], end: Option<Entry>) -> &'e [Entry] {
    let is_before = |entry: &&Entry| end.is_none_or(|end| **entry < end);
    let count = list.iter().take_while(is_before).count();
    list.split_off(..count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The bytes and the number of entries of a snapshot, by the definition: sort all, fold one by one,
    /// encode one by one.
    fn model(balances: &BTreeMap<u32, i64>, precision: f64) -> (u64, Vec<u8>) {
        let mut kept: Vec<(i64, u32)> = balances
            .iter()
            .map(|(&trace, &weight)| (weight, trace))
            .filter(|&(weight, _)| weight != 0)
            .collect();
        if precision > 0.0 {
            let total: i128 = kept.iter().map(|&(weight, _)| i128::from(weight)).sum();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
            let limit = (precision * total as f64).floor() as i128;
            let mut foldable: Vec<(i64, u32)> = kept
                .extract_if(.., |&mut (weight, trace)| weight > 0 && trace != 0)
                .collect();
            foldable.sort_by_key(|&(weight, trace)| (-weight, trace));
            let mut folded = 0;
            while let Some((weight, _)) =
                foldable.pop_if(|(weight, _)| folded + i128::from(*weight) <= limit)
            {
                folded += i128::from(weight);
            }
            kept.extend(foldable);
            kept.retain(|&(_, trace)| trace != 0);
            let unknown = saturated(folded + i128::from(balances.get(&0).copied().unwrap_or(0)));
            kept.extend((unknown != 0).then_some((unknown, 0)));
        }
        kept.sort_by_key(|&(weight, trace)| (-i128::from(weight), trace));
        let mut bytes = Vec::new();
        let mut before = None;
        for &(weight, trace) in &kept {
            push_entry(&mut bytes, before, trace, weight);
            before = Some(weight);
        }
        (kept.len() as u64, bytes)
    }

    /// The invariants of the chunks.
    fn check_chunks(ordered: &Ordered) {
        let entries: Vec<Entry> = ordered
            .chunks
            .iter()
            .flat_map(|chunk| chunk.entries.iter().copied())
            .collect();
        assert!(entries.is_sorted_by(|a, b| a < b));
        assert_eq!(ordered.total, sum(&entries));
        for chunk in &ordered.chunks {
            assert!((1..=CHUNK_ENTRIES).contains(&chunk.entries.len()));
        }
    }

    /// An order, and the balances that it should have.
    #[derive(Default)]
    struct Compared {
        balances: BTreeMap<u32, i64>,
        ordered: Ordered,
        encoded: Encoded,
    }

    impl Compared {
        fn set(&mut self, round: &[(u32, i64)]) {
            let round: BTreeMap<u32, i64> = round.iter().copied().collect();
            let mut edits = Edits::default();
            for (trace, after) in round {
                let before = self.balances.insert(trace, after).unwrap_or(0);
                if before != after {
                    edits.push(trace, before, after);
                }
            }
            self.ordered.edit(&mut edits);
            assert!(edits.removed.is_empty() && edits.added.is_empty());
            check_chunks(&self.ordered);
        }

        fn check(&mut self) {
            let unknown = self.balances.get(&0).copied().unwrap_or(0);
            for precision in [0.0, 0.01, 0.2, 0.5, 0.99] {
                self.ordered.encode(unknown, precision, &mut self.encoded);
                let encoded = (self.encoded.count(), self.encoded.bytes().to_vec());
                assert_eq!(encoded, model(&self.balances, precision));
            }
        }
    }

    fn check(rounds: &[Vec<(u32, i64)>]) {
        let mut compared = Compared::default();
        for round in rounds {
            compared.set(round);
            compared.check();
        }
    }

    fn any_weight() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => -3..40_i64,
            2 => any::<i64>(),
            2 => (0..1_i64 << 40, 0..40_u32).prop_map(|(bits, shift)| bits >> shift),
            1 => Just(i64::MIN),
            1 => Just(i64::MAX),
            1 => Just(-1),
        ]
    }

    proptest! {
        #[test]
        fn edits_with_ties_and_debts_equal_the_model(
            rounds in vec(vec((0_u32..1200, -3_i64..40), 0..600), 1..6),
        ) {
            check(&rounds);
        }

        #[test]
        fn edits_of_any_weight_and_trace_equal_the_model(
            traces in vec((0_u32..=1 << 30, 0_u32..30), 700),
            weights in vec(any_weight(), 700),
            later in vec(vec((0_usize..700, any_weight()), 1..12), 1..8),
        ) {
            let traces: Vec<u32> = traces.into_iter().map(|(bits, shift)| bits >> shift).collect();
            let mut rounds = vec![traces.iter().copied().zip(weights).collect::<Vec<_>>()];
            rounds.extend(later.into_iter().map(|edits| {
                edits.into_iter().map(|(at, weight)| (traces[at], weight)).collect()
            }));
            check(&rounds);
        }
    }

    #[test]
    fn appends_at_either_end_one_by_one() {
        for sign in [1, -1] {
            let mut compared = Compared::default();
            for trace in 1..=400 {
                compared.set(&[(trace, sign * i64::from(trace))]);
            }
            compared.check();
        }
    }

    #[test]
    fn folding_follows_a_large_balance_that_comes_and_goes() {
        let mut compared = Compared::default();
        compared.set(&[(0, 3)]);
        for round in 0..300_u32 {
            let traces = (1..8).map(|trace| (round * trace * 7919) % 3001 + 2);
            let changed = traces.map(|trace| (trace, i64::from(trace * 31 % 97 + round % 5) - 4));
            let large = (1, if round % 3 == 0 { 1_000_000 } else { 0 });
            compared.set(&changed.chain([large]).collect::<Vec<_>>());
            compared.check();
        }
    }

    #[test]
    fn a_heap_that_empties_leaves_no_chunks() {
        let mut compared = Compared::default();
        let weight = |trace: u32| i64::from(trace * 7919 % 5003);
        compared.set(
            &(1..=5000)
                .map(|trace| (trace, weight(trace)))
                .collect::<Vec<_>>(),
        );
        compared.check();
        for first in 1..=100 {
            let emptied = (first..=5000).step_by(100).map(|trace| (trace, 0));
            compared.set(&emptied.collect::<Vec<_>>());
            compared.check();
        }
        assert_eq!(compared.ordered.chunks.len(), 0);
        assert_eq!(compared.encoded.bytes(), []);
    }

    #[test]
    fn unknown_is_placed_between_chunks_and_inside_them() {
        let mut compared = Compared::default();
        compared.set(
            &(1..=600)
                .map(|trace| (trace, i64::from(trace) - 100))
                .collect::<Vec<_>>(),
        );
        for unknown in -120..520 {
            compared.set(&[(0, unknown)]);
            compared.check();
        }
    }
}
