//! A run of entries that follow on each other in the order, encoded, and rewritten where it changes.
//!
//! ```text
//! first   (weight, trace)   encoded when it is written: it follows on another block
//! tail    bytes             the entries after it, encoded: trace, how much less
//! last    weight            of the last entry, which the next block follows on
//! ```

use super::{Entry, FULL, Spare};
use crate::raw::block::{digits, varint};
use crate::raw::write::hpc::push_entry;

#[derive(Debug)]
pub(super) struct Block {
    pub(super) first: Entry,
    pub(super) tail: Vec<u8>,
    pub(super) last: i64,
    pub(super) len: usize,
    pub(super) sum: i128,
}

impl Block {
    /// `None` if there is no entry.
    pub(super) fn encode(entries: &[Entry]) -> Option<Self> {
        let (&first, rest) = entries.split_first()?;
        let mut block = Self::begin(first, Vec::with_capacity(3 * rest.len()));
        for &entry in rest {
            block.push(entry);
        }
        block.len = entries.len();
        block.sum = entries.iter().map(|entry| i128::from(entry.weight)).sum();
        Some(block)
    }

    /// A block of one entry, whose length and sum are still to be told; written to `tail`.
    fn begin(first: Entry, mut tail: Vec<u8>) -> Self {
        tail.clear();
        Self {
            first,
            tail,
            last: first.weight,
            len: 0,
            sum: 0,
        }
    }

    /// Writes one entry more, and no more than that.
    #[inline]
    fn push(&mut self, entry: Entry) {
        push_entry(&mut self.tail, Some(self.last), entry.trace, entry.weight);
        self.last = entry.weight;
    }

    /// The entries of a block that follows on this one.
    pub(super) fn append(&mut self, next: &Self) {
        self.push(next.first);
        self.tail.extend_from_slice(&next.tail);
        self.last = next.last;
        self.len += next.len;
        self.sum += next.sum;
    }

    /// Blocks with as many entries each, none of them with too many.
    pub(super) fn divided(entries: &[Entry]) -> impl Iterator<Item = Self> {
        let parts = entries.len().div_ceil(FULL).max(1);
        let part = entries.len().div_ceil(parts).max(1);
        entries.chunks(part).filter_map(Self::encode)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let mut end = End::of(self.first, 0);
        let rest = std::iter::from_fn(move || {
            let entry;
            (entry, end) = self.after(end)?;
            Some(entry)
        });
        std::iter::once(self.first).chain(rest)
    }

    /// The entry that follows there, and where it ends.
    #[inline]
    fn after(&self, end: End) -> Option<(Entry, End)> {
        const ENDS: u64 = 0x8080_8080;
        // These bytes are our own. Nearly always four bytes or less are the trace, and one or two
        // how much less it weighs.
        let rest = self.tail.get(end.at..)?;
        if let Some(bytes) = rest.first_chunk() {
            let word = u64::from_le_bytes(*bytes);
            let bits = (!word & ENDS).trailing_zeros() + 1;
            let less = word.wrapping_shr(bits);
            let (len, less) = match less & 0x8080 {
                0 | 0x8000 => (1, less & 0x7f),
                0x80 => (2, digits(less & 0x7fff)),
                _ => (0, 0),
            };
            if bits <= u32::BITS && len > 0 {
                let trace = digits(word & (u64::from(u32::MAX) >> (u32::BITS - bits)));
                return end.then(trace, less, bits as usize / 8 + len);
            }
        }
        let (trace, len) = varint(rest, 0).ok()?;
        let (less, len) = varint(rest, len).ok()?;
        end.then(trace, less, len)
    }

    /// The entries without what is `gone` and with what is `new`, all in order; `None` if none is
    /// left.
    pub(super) fn edited(self, gone: &[Entry], new: &[Entry], spare: &mut Spare) -> Option<Self> {
        if gone.len() + new.len() > self.len / 4 {
            spare.entries.clear();
            self.merge(gone, new, &mut spare.entries);
            Self::encode(&spare.entries)
        } else {
            self.spliced(gone, new, &mut spare.bytes)
        }
    }

    /// For many edits: all entries, one by one.
    fn merge(&self, gone: &[Entry], new: &[Entry], out: &mut Vec<Entry>) {
        let mut gone = gone.iter().peekable();
        let mut new = new.iter().peekable();
        for entry in self.entries() {
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

    /// For few edits: what lies between two of them is copied as it is. It is written to `spare`,
    /// which has the bytes of this block then.
    fn spliced(self, mut gone: &[Entry], mut new: &[Entry], spare: &mut Vec<u8>) -> Option<Self> {
        let (mut len, mut sum) = (self.len + new.len(), self.sum);
        sum += new
            .iter()
            .map(|entry| i128::from(entry.weight))
            .sum::<i128>();
        let mut out = Rewritten { block: None, spare };
        let mut next = Some((self.first, End::of(self.first, 0)));
        while let Some((entry, end)) = next {
            while let Some((&inserted, later)) = new.split_first()
                && inserted.precedes(entry)
            {
                out.push(inserted);
                new = later;
            }
            if let Some((&removed, later)) = gone.split_first()
                && removed == entry
            {
                (len, sum) = (len - 1, sum - i128::from(removed.weight));
                gone = later;
                next = self.after(end);
                continue;
            }
            out.push(entry);
            let edit = match (gone.first(), new.first()) {
                (Some(&gone), Some(&new)) if new.precedes(gone) => Some(new),
                (gone, new) => gone.or(new).copied(),
            };
            let kept;
            (kept, next) = self.up_to(edit, end);
            out.copy(
                self.tail.get(end.at..kept.at).unwrap_or_default(),
                kept.weight,
            );
        }
        for &entry in new {
            out.push(entry);
        }
        let block = out.block?;
        *spare = self.tail;
        Some(Self { len, sum, ..block })
    }

    /// Passes over the entries that follow there and precede an edit: the end of the last of them,
    /// and the entry that does not precede it.
    #[inline]
    fn up_to(&self, edit: Option<Entry>, mut end: End) -> (End, Option<(Entry, End)>) {
        let Some(edit) = edit else {
            let (weight, at) = (self.last, self.tail.len());
            return (End { weight, at }, None);
        };
        let mut next = self.after(end);
        while let Some((entry, after)) = next
            && entry.precedes(edit)
        {
            end = after;
            next = self.after(end);
        }
        (end, next)
    }
}

/// Where an entry ends, and what it weighs: what the next one is told by.
#[derive(Clone, Copy)]
struct End {
    weight: i64,
    at: usize,
}

impl End {
    const fn of(entry: Entry, at: usize) -> Self {
        let weight = entry.weight;
        Self { weight, at }
    }

    /// The entry that follows in so many bytes, and weighs so much less.
    #[inline]
    fn then(self, trace: u64, less: u64, len: usize) -> Option<(Entry, Self)> {
        let trace = u32::try_from(trace).ok()?;
        let weight = self.weight.checked_sub_unsigned(less)?;
        let entry = Entry { weight, trace };
        Some((entry, Self::of(entry, self.at + len)))
    }
}

/// A block in the making.
struct Rewritten<'s> {
    block: Option<Block>,
    spare: &'s mut Vec<u8>,
}

impl Rewritten<'_> {
    #[inline]
    fn push(&mut self, entry: Entry) {
        match &mut self.block {
            Some(block) => block.push(entry),
            None => self.block = Some(Block::begin(entry, std::mem::take(self.spare))),
        }
    }

    /// Entries after the one that was pushed last, of which the last has this weight.
    #[inline]
    fn copy(&mut self, bytes: &[u8], weight: i64) {
        if let Some(block) = &mut self.block {
            block.tail.extend_from_slice(bytes);
            block.last = weight;
        }
    }
}
