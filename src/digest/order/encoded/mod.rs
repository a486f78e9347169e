//! Entries one after the other in their order, encoded as a snapshot has them, and stops at which
//! one can get on.
//!
//! ```text
//! bytes    of each entry: trace, how much less it weighs than the one before; the first: its weight
//! stops    some of the entries, and where each ends
//! ```
//!
//! What an entry weighs is known from the one before it. So whoever looks for a place gets on at the
//! last stop before it, and walks from there.

mod cursor;

use super::Entry;
use crate::raw::block::{digits, varint};
use crate::raw::hpc::push_entry;
use cursor::{Copied, Cursor};

/// A stop is made in so many bytes of entries that are encoded or walked along. Entries that are copied
/// take theirs along, but for those that come to be very near.
const NEAR: usize = 48;

/// Where entries are copied and there would be more bytes than so many without a stop, they are walked
/// along: so whoever looks for a place never walks far.
const FAR: usize = 8 * NEAR;

/// A place after some of the entries.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Where in the bytes it is.
    at: usize,
    /// What the entry before it weighs.
    weight: i64,
}

impl Place {
    /// What the entry before it weighs, if there is one: by that the next one is told.
    #[inline]
    const fn before(self) -> Option<i64> {
        if self.at > 0 { Some(self.weight) } else { None }
    }

    pub(super) const fn is_at_most(self, other: Self) -> bool {
        self.at <= other.at
    }
}

/// An entry, and where it ends.
#[derive(Debug, Clone, Copy)]
struct Stop {
    entry: Entry,
    at: usize,
}

impl Stop {
    #[inline]
    const fn place(self) -> Place {
        Place {
            at: self.at,
            weight: self.entry.weight,
        }
    }
}

/// An entry whose trace nobody has asked for yet: nearly always it is told by the weight alone.
struct ShortEntry {
    /// It begins with the trace, of so many bits.
    word: u64,
    trace_bits: u32,
    after: Place,
}

impl ShortEntry {
    #[inline]
    fn precedes(&self, other: Entry) -> bool {
        let weight = self.after.weight;
        weight > other.weight
            || weight == other.weight
                && digits(lowest(self.word, self.trace_bits)) < u64::from(other.trace)
    }
}

/// So many of the lowest bits.
#[inline]
const fn lowest(word: u64, bits: u32) -> u64 {
    word & ((1 << bits) - 1)
}

/// Entries in their order, encoded.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    stops: Vec<Stop>,
    /// The place after the last entry.
    end: Place,
}

impl Encoded {
    /// Their bytes, as a snapshot has them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.stops.clear();
        self.end = Place::default();
    }

    /// The place after the last entry.
    pub(super) fn end(&self) -> Place {
        self.end
    }

    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self)
    }

    /// The entries before a place, each with the place at which it begins, in runs from the last to
    /// the first.
    pub(super) fn runs_before(&self, place: Place) -> impl Iterator<Item = Vec<(Entry, Place)>> {
        let before = self.stops.partition_point(|stop| stop.at < place.at);
        let before = self.stops.get(..before).unwrap_or_default();
        let starts = before.iter().rev().map(|stop| stop.place());
        let starts = starts.chain([Place::default()]);
        let mut end = place;
        starts.map(move |start| {
            let to = std::mem::replace(&mut end, start);
            self.entries_from(start)
                .take_while(|(_, begin, _)| begin.at < to.at)
                .map(|(entry, begin, _)| (entry, begin))
                .collect()
        })
    }

    /// The entries after a place, each with the place at which it begins, and that after it.
    pub(super) fn entries_from(&self, place: Place) -> impl Iterator<Item = (Entry, Place, Place)> {
        let mut place = place;
        std::iter::from_fn(move || {
            let (entry, after) = self.entry_at(place)?;
            Some((entry, std::mem::replace(&mut place, after), after))
        })
    }

    /// The entry that begins at a place, and the place after it.
    #[inline]
    fn entry_at(&self, place: Place) -> Option<(Entry, Place)> {
        const ENDS: u64 = 0x8080_8080_8080_8080;
        let (Some(before), Some(word)) = (place.before(), self.word_at(place.at)) else {
            return self.any_entry_at(place);
        };
        // The highest bits of the last bytes of numbers.
        let ends = !word & ENDS;
        let trace_bits = ends.trailing_zeros() + 1;
        let bits = (ends & ends.wrapping_sub(1)).trailing_zeros() + 1;
        let less_bits = bits.wrapping_sub(trace_bits);
        if trace_bits > u32::BITS || less_bits > u32::BITS {
            return self.any_entry_at(place);
        }
        let less = digits(lowest(word >> trace_bits, less_bits));
        let weight = before.wrapping_sub_unsigned(less);
        let trace = u32::try_from(digits(lowest(word, trace_bits))).ok()?;
        let entry = Entry { weight, trace };
        let at = place.at + bits as usize / 8;
        Some((entry, Place { at, weight }))
    }

    /// The same, for numbers of any length.
    #[inline(never)]
    fn any_entry_at(&self, place: Place) -> Option<(Entry, Place)> {
        // These bytes are our own.
        let (trace, at) = varint(&self.bytes, place.at).ok()?;
        let (less, at) = varint(&self.bytes, at).ok()?;
        let weight = match place.before() {
            Some(before) => before.wrapping_sub_unsigned(less),
            None => less.cast_signed(),
        };
        let trace = u32::try_from(trace).ok()?;
        Some((Entry { weight, trace }, Place { at, weight }))
    }

    /// The entry that begins at a place, if it is short and not the first.
    #[inline]
    fn short_entry_at(&self, place: Place) -> Option<ShortEntry> {
        const ENDS: u64 = 0x8080_8080;
        let word = self.word_at(place.at)?;
        // Nearly always four bytes or less are the trace, and one or two how much less it weighs.
        let trace_bits = (!word & ENDS).trailing_zeros() + 1;
        let less = word.wrapping_shr(trace_bits);
        let (len, less) = match less & 0x8080 {
            0 | 0x8000 => (1, less & 0x7f),
            0x80 => (2, digits(less & 0x7fff)),
            _ => return None,
        };
        if trace_bits > u32::BITS {
            return None;
        }
        let weight = place.before()?.wrapping_sub_unsigned(less);
        let at = place.at + trace_bits as usize / 8 + len;
        Some(ShortEntry {
            word,
            trace_bits,
            after: Place { at, weight },
        })
    }

    #[inline]
    fn word_at(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    /// Appends an entry.
    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        push_entry(
            &mut self.bytes,
            self.end.before(),
            entry.trace,
            entry.weight,
        );
        let at = self.bytes.len();
        self.end = Place {
            at,
            weight: entry.weight,
        };
        if self.since_stop(at) >= NEAR {
            self.stops.push(Stop { entry, at });
        }
    }

    /// How many bytes there are from the last stop to there.
    #[inline]
    fn since_stop(&self, at: usize) -> usize {
        at - self.stops.last().map_or(0, |stop| stop.at)
    }

    /// Appends the entries that a cursor passes up to one, and that.
    #[inline]
    pub(super) fn insert(&mut self, entry: Entry, cursor: &mut Cursor<'_>) {
        self.copy_to(entry, cursor);
        self.push(entry);
    }

    /// Appends the entries that a cursor passes up to one that it has, and lets it pass that.
    #[inline]
    pub(super) fn leave_out(&mut self, entry: Entry, cursor: &mut Cursor<'_>) {
        self.copy_to(entry, cursor);
        debug_assert_eq!(cursor.next.map(|(next, _)| next), Some(entry));
        cursor.step();
    }

    /// Appends the entries that a cursor passes up to this one.
    #[inline]
    fn copy_to(&mut self, entry: Entry, cursor: &mut Cursor<'_>) {
        if cursor.is_before(entry) {
            self.join(cursor);
            if cursor.is_before(entry) {
                self.copy(cursor, |cursor, copied| {
                    if let Some(stop) = cursor.stops.first()
                        && stop.entry.precedes(entry)
                    {
                        cursor.close(stop.at, copied);
                    }
                    cursor.walk(entry, |stop| copied.add(stop));
                });
            }
        }
    }

    /// Appends the entries that a cursor passes up to a place.
    pub(super) fn copy_to_place(&mut self, place: Place, cursor: &mut Cursor<'_>) {
        if cursor.place.at < place.at {
            self.join(cursor);
            self.copy(cursor, |cursor, copied| {
                let stop = cursor.stops.first().map_or(place.at, |stop| stop.at);
                cursor.close(stop.min(place.at), copied);
                cursor.ride(place, |stop| copied.add(stop));
            });
        }
    }

    /// Appends the next entry of a cursor, if it does not follow on what it did. All after it do.
    #[inline]
    fn join(&mut self, cursor: &mut Cursor<'_>) {
        if self.end.before() != cursor.place.before()
            && let Some((first, _)) = cursor.next
        {
            self.push(first);
            cursor.step();
        }
    }

    /// Appends the entries that a cursor passes, as they are, and the stops it tells of.
    #[inline]
    fn copy<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        pass: impl FnOnce(&mut Cursor<'a>, &mut Copied<'_>),
    ) {
        let (from, to) = (cursor.place.at, self.bytes.len());
        pass(
            cursor,
            &mut Copied {
                stops: &mut self.stops,
                from,
                to,
            },
        );
        let passed = cursor.of.bytes.get(from..cursor.place.at);
        self.bytes.extend_from_slice(passed.unwrap_or_default());
        self.end = Place {
            at: self.bytes.len(),
            weight: cursor.place.weight,
        };
    }
}

#[cfg(test)]
impl Encoded {
    /// Stops are where they say, and not too many.
    pub(super) fn check(&self) {
        let mut cursor = self.cursor();
        let mut stops = self.stops.iter().peekable();
        while let Some((entry, after)) = cursor.next {
            if let Some(stop) = stops.next_if(|stop| stop.at <= after.at) {
                assert_eq!((stop.entry, stop.at), (entry, after.at));
            }
            cursor.step();
        }
        assert!(stops.next().is_none());
        assert_eq!(cursor.place.at, self.bytes.len());
        assert!(self.stops.len() <= 1 + self.bytes.len() / (NEAR / 2));
        let ends = self.stops.iter().map(|stop| stop.at);
        let starts = std::iter::once(0).chain(ends.clone());
        let longest = 2 * 10;
        for (start, end) in starts.zip(ends.chain([self.bytes.len()])) {
            assert!(
                end - start <= FAR + longest,
                "{start} to {end} without a stop"
            );
        }
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> u64 {
        self.entries_from(Place::default()).count() as u64
    }
}
