//! The live heap in the order and in the encoding of a snapshot, edited as it changes.
//!
//! Between two snapshots few traces change: a few hundred of tens of thousands in a second of a real
//! log. So the entries are kept in blocks, each of which holds them encoded. A change decodes and
//! encodes again the one or two blocks it falls in; the others go into the next snapshot as they
//! are:
//!
//! ```text
//!   block   first   (weight, trace)   encoded when it is written: it follows on another block
//!           tail    bytes             the entries after it, encoded
//!           last    weight            of the last entry, which the next block follows on
//! ```
//!
//! Unknown is kept apart, since folding adds to it.

use crate::raw::block::varint;
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
    fn key(self) -> impl Ord {
        (std::cmp::Reverse(self.weight), self.trace)
    }

    fn precedes(self, other: Self) -> bool {
        self.key() < other.key()
    }
}

/// What is live, but for unknown: no entry weighs 0.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    blocks: Vec<Block>,
    /// Entries in hand while a block is edited.
    hand: Vec<Entry>,
}

#[derive(Debug)]
struct Block {
    first: Entry,
    tail: Vec<u8>,
    last: i64,
    len: usize,
    sum: i128,
}

impl Block {
    /// The entries are one at least.
    fn encode(entries: &[Entry]) -> Option<Self> {
        let (&first, rest) = entries.split_first()?;
        let mut tail = Vec::with_capacity(3 * rest.len());
        let mut before = first.weight;
        let mut sum = i128::from(before);
        for entry in rest {
            push_entry(&mut tail, Some(before), entry.trace, entry.weight);
            before = entry.weight;
            sum += i128::from(before);
        }
        Some(Self {
            first,
            tail,
            last: before,
            len: entries.len(),
            sum,
        })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let mut at = 0;
        let mut weight = self.first.weight;
        let rest = std::iter::from_fn(move || {
            // These bytes are our own.
            let (trace, next) = varint(&self.tail, at).ok()?;
            let (less, next) = varint(&self.tail, next).ok()?;
            at = next;
            weight = weight.checked_sub_unsigned(less)?;
            let trace = u32::try_from(trace).ok()?;
            Some(Entry { weight, trace })
        });
        std::iter::once(self.first).chain(rest)
    }
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

impl Ordered {
    /// Applies the edits and empties them. O(edits × log edits + blocks), and the entries of each
    /// block that an edit falls in.
    pub(crate) fn edit(&mut self, edits: &mut Edits) {
        edits.gone.sort_unstable_by_key(|entry| entry.key());
        edits.new.sort_unstable_by_key(|entry| entry.key());
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
            self.hand.clear();
            // A block before that has room takes the entries of this one up.
            if let Some(before) = edited.pop_if(|before| {
                let len = block.as_ref().map_or(0, |block| block.len) + new_here.len();
                before.len + len <= FULL
            }) {
                self.hand.extend(before.entries());
            }
            merge(
                block.iter().flat_map(Block::entries),
                gone_here,
                new_here,
                &mut self.hand,
            );
            let parts = self.hand.len().div_ceil(FULL).max(1);
            let part = self.hand.len().div_ceil(parts).max(1);
            edited.extend(self.hand.chunks(part).filter_map(Block::encode));
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

/// The entries of a block without what is gone and with what is new, all three in order.
fn merge(block: impl Iterator<Item = Entry>, gone: &[Entry], new: &[Entry], out: &mut Vec<Entry>) {
    let mut gone = gone.iter().peekable();
    let mut new = new.iter().peekable();
    for entry in block {
        if gone.next_if(|&&gone| gone == entry).is_some() {
            continue;
        }
        while let Some(&new) = new.next_if(|new| new.precedes(entry)) {
            out.push(new);
        }
        out.push(entry);
    }
    out.extend(new);
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
