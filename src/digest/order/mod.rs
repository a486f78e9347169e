//! The live heap in the order and in the encoding of a snapshot, edited as it changes.
//!
//! Between two snapshots few traces change: a few hundred of tens of thousands in a second of a real
//! log. So the entries are kept in [blocks](block), each of which holds them encoded. A change
//! rewrites the block it falls in; the others go into the next snapshot as they are.
//!
//! Unknown is kept apart, since folding adds to it.

mod block;

use block::Block;

use crate::raw::write::hpc::push_entry;
use crate::usage::saturated;

/// A block with more entries than this is divided; two that have no more than this together, of
/// which one has changed, are joined.
const FULL: usize = 256;

/// One entry of a snapshot. The order of a snapshot is descending by weight, then ascending by
/// trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        self.key() < other.key()
    }
}

/// What is live, but for unknown: no entry weighs 0.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    blocks: Vec<Block>,
    spare: Spare,
}

/// Memory that is used again for each block that changes.
#[derive(Debug, Default)]
struct Spare {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
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
    /// Applies the edits and empties them. O(edits × log edits + blocks), and the entries of each
    /// block that an edit falls in.
    pub(crate) fn edit(&mut self, edits: &mut Edits) {
        sort(&mut edits.gone, &mut self.spare.keys);
        sort(&mut edits.new, &mut self.spare.keys);
        let mut gone = edits.gone.as_slice();
        let mut new = edits.new.as_slice();

        let mut blocks = std::mem::take(&mut self.blocks).into_iter().peekable();
        let mut edited: Vec<Block> = Vec::with_capacity(blocks.len() + 1);
        // With no block at all, all that is new goes where the first would be.
        let mut before_first = blocks.peek().is_none();
        while before_first || blocks.peek().is_some() {
            before_first = false;
            let block = blocks.next();
            let here = match blocks.peek() {
                Some(next) => {
                    let end = |entries: &[Entry]| {
                        entries.partition_point(|entry| entry.precedes(next.first))
                    };
                    (end(gone), end(new))
                }
                None => (gone.len(), new.len()),
            };
            let (gone_here, gone_later) = gone.split_at_checked(here.0).unwrap_or((gone, &[]));
            let (new_here, new_later) = new.split_at_checked(here.1).unwrap_or((new, &[]));
            (gone, new) = (gone_later, new_later);
            if gone_here.is_empty() && new_here.is_empty() {
                edited.extend(block);
                continue;
            }
            let Some(block) = block else {
                edited.extend(Block::divided(new_here));
                continue;
            };
            let Some(changed) = block.edited(gone_here, new_here, &mut self.spare) else {
                continue;
            };
            match edited.last_mut() {
                _ if changed.len > FULL => {
                    let entries: Vec<Entry> = changed.entries().collect();
                    edited.extend(Block::divided(&entries));
                }
                Some(before) if before.len + changed.len <= FULL => before.append(&changed),
                _ => edited.push(changed),
            }
        }
        self.blocks = edited;
        edits.gone.clear();
        edits.new.clear();
    }

    /// Appends all entries, and unknown in its place; gives how many they are.
    pub(crate) fn encode(&self, unknown: i64, out: &mut Vec<u8>) -> u64 {
        let mut encoder = Encoder::new(unknown, out);
        for block in &self.blocks {
            encoder.block(block);
        }
        encoder.finish()
    }

    /// As [`encode`](Self::encode), with the smallest positive balances folded into unknown: from
    /// the end of the order, up to the first that would bring their sum over ⌊precision × total⌋.
    ///
    /// O(blocks), and the entries of the block in which the folding ends.
    pub(crate) fn encode_folded(&self, unknown: i64, precision: f64, out: &mut Vec<u8>) -> u64 {
        let total: i128 =
            self.blocks.iter().map(|block| block.sum).sum::<i128>() + i128::from(unknown);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "as many digits as a float has are what the precision is defined with"
        )]
        let limit = (precision * total as f64).floor() as i128;

        // The positive balances are a run at the beginning of the order; how many of them stay?
        let mut folded = 0;
        let mut kept = None;
        'blocks: for (place, block) in self.blocks.iter().enumerate().rev() {
            if block.first.weight < 0 {
                continue;
            }
            if block.last > 0 && folded + block.sum <= limit {
                folded += block.sum;
                continue;
            }
            let positive: Vec<Entry> = block
                .entries()
                .take_while(|entry| entry.weight > 0)
                .collect();
            for (entries, entry) in positive.iter().enumerate().rev() {
                if folded + i128::from(entry.weight) > limit {
                    kept = Some((place, entries + 1));
                    break 'blocks;
                }
                folded += i128::from(entry.weight);
            }
        }
        let unknown = saturated(i128::from(unknown) + folded);

        let mut encoder = Encoder::new(unknown, out);
        for (place, block) in self.blocks.iter().enumerate() {
            // How many of the positive entries of this block stay.
            let stay = match kept {
                Some((last, _)) if place < last => usize::MAX,
                Some((last, entries)) if place == last => entries,
                _ => 0,
            };
            if block.last < 0 || stay < block.len {
                for (number, entry) in block.entries().enumerate() {
                    if entry.weight < 0 || number < stay {
                        encoder.entry(entry);
                    }
                }
            } else {
                encoder.block(block);
            }
        }
        encoder.finish()
    }
}

/// Writes entries and whole blocks one after the other, and unknown where it belongs.
struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    before: Option<i64>,
    len: u64,
    /// Not written yet.
    unknown: Option<Entry>,
}

impl<'o> Encoder<'o> {
    fn new(unknown: i64, out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            before: None,
            len: 0,
            unknown: (unknown != 0).then_some(Entry {
                weight: unknown,
                trace: 0,
            }),
        }
    }

    fn push(&mut self, entry: Entry) {
        push_entry(self.out, self.before, entry.trace, entry.weight);
        self.before = Some(entry.weight);
        self.len += 1;
    }

    fn entry(&mut self, entry: Entry) {
        if let Some(unknown) = self.unknown.take_if(|unknown| unknown.precedes(entry)) {
            self.push(unknown);
        }
        self.push(entry);
    }

    fn block(&mut self, block: &Block) {
        if self
            .unknown
            .is_some_and(|unknown| unknown.weight >= block.last)
        {
            block.entries().for_each(|entry| self.entry(entry));
            return;
        }
        self.push(block.first);
        self.out.extend_from_slice(&block.tail);
        self.before = Some(block.last);
        self.len += block.len as u64 - 1;
    }

    fn finish(mut self) -> u64 {
        if let Some(unknown) = self.unknown.take() {
            self.push(unknown);
        }
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

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
        let mut ordered = Ordered::default();
        let mut edits = Edits::default();
        for round in rounds {
            let before = balances.clone();
            balances.extend(round.iter().copied());
            for (&trace, &after) in balances.iter().filter(|&(&trace, _)| trace != 0) {
                edits.push(trace, before.get(&trace).copied().unwrap_or(0), after);
            }
            ordered.edit(&mut edits);
            prop_assert!(edits.is_empty());
            let unknown = balances.get(&0).copied().unwrap_or(0);
            let mut out = Vec::new();
            let len = ordered.encode(unknown, &mut out);
            prop_assert_eq!((len, out), plain(&balances, 0.0));
            let mut out = Vec::new();
            let len = ordered.encode_folded(unknown, precision, &mut out);
            prop_assert_eq!((len, out), plain(&balances, precision));
            prop_assert!(ordered.blocks.iter().all(|block| block.len <= FULL));
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
    fn a_heap_that_grows_and_empties_keeps_few_blocks() {
        let mut ordered = Ordered::default();
        let mut edits = Edits::default();
        for trace in 1..=5000_u32 {
            edits.push(trace, 0, i64::from(trace * 7919 % 5003));
            ordered.edit(&mut edits);
        }
        let many = ordered.blocks.len();
        assert!((5000 / FULL..5000 / (FULL / 4)).contains(&many), "{many}");
        for trace in 1..=5000_u32 {
            edits.push(trace, i64::from(trace * 7919 % 5003), 0);
            ordered.edit(&mut edits);
        }
        assert!(ordered.blocks.is_empty());
    }
}
