//! Entries one after the other in their order, encoded as a snapshot has them, and stops at which
//! one can get on.
//!
//! ```text
//! bytes    of each entry: trace, how much less it weighs than the one before; the first: its weight
//! stops    after some of the entries: which it is, where it ends, what is known of all up to there
//! ```
//!
//! What an entry weighs is known from the one before it. So whoever looks for a place gets on at the
//! last stop before it, and walks from there.

use super::Entry;
use crate::raw::block::{digits, varint};
use crate::raw::write::hpc::push_entry;

/// A stop that is nearer than this to the one before is left out in time,
const NEAR: usize = 128;
/// unless there were more bytes than these without one: but for an entry or two, there never are.
const FAR: usize = 4 * NEAR;

/// A place after some of the entries.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// What all entries before it weigh together.
    sum: i128,
    /// What the entry before it weighs.
    weight: i64,
    /// Where in the bytes it is.
    at: usize,
    /// How many entries there are before it.
    len: u64,
}

impl Place {
    /// What all entries before it weigh together.
    pub(super) const fn sum(self) -> i128 {
        self.sum
    }

    pub(super) const fn is_at_most(self, other: Self) -> bool {
        self.at <= other.at
    }

    /// What the entry before it weighs, if there is one: by that the next one is told.
    const fn before(self) -> Option<i64> {
        if self.len > 0 {
            Some(self.weight)
        } else {
            None
        }
    }

    /// The place after an entry that ends there.
    #[inline]
    fn after(self, weight: i64, at: usize) -> Self {
        Self {
            sum: self.sum + i128::from(weight),
            weight,
            at,
            len: self.len + 1,
        }
    }
}

/// The place after this entry.
#[derive(Debug, Clone, Copy)]
struct Stop {
    entry: Entry,
    place: Place,
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
    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        self.end.len
    }

    /// Their bytes, as a snapshot has them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The place after the last entry.
    pub(super) fn end(&self) -> Place {
        self.end
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.stops.clear();
        self.end = Place::default();
    }

    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            of: self,
            place: Place::default(),
            next: self.entry_at(Place::default()),
            stops: &self.stops,
        }
    }

    /// The entry that begins at a place, and where it ends.
    #[inline]
    fn entry_at(&self, place: Place) -> Option<(Entry, Place)> {
        // These bytes are our own.
        let (trace, at) = varint(&self.bytes, place.at).ok()?;
        let (less, at) = varint(&self.bytes, at).ok()?;
        let weight = match place.before() {
            Some(before) => before.wrapping_sub_unsigned(less),
            None => less.cast_signed(),
        };
        let trace = u32::try_from(trace).ok()?;
        Some((Entry { weight, trace }, place.after(weight, at)))
    }

    /// What the entry weighs that begins at a place, and where it ends, if it is short and not the
    /// first.
    #[inline]
    fn short_entry_at(&self, place: Place) -> Option<(i64, usize)> {
        const ENDS: u64 = 0x8080_8080;
        let word = u64::from_le_bytes(*self.bytes.get(place.at..)?.first_chunk()?);
        // Nearly always four bytes or less are the trace, and one or two how much less it weighs.
        let bits = (!word & ENDS).trailing_zeros() + 1;
        let less = word.wrapping_shr(bits);
        let (len, less) = match less & 0x8080 {
            0 | 0x8000 => (1, less & 0x7f),
            0x80 => (2, digits(less & 0x7fff)),
            _ => return None,
        };
        if bits > u32::BITS {
            return None;
        }
        let weight = place.before()?.wrapping_sub_unsigned(less);
        Some((weight, place.at + bits as usize / 8 + len))
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
        self.end = self.end.after(entry.weight, self.bytes.len());
        if self.since_stop(self.end.at) >= NEAR {
            let place = self.end;
            self.stops.push(Stop { entry, place });
        }
    }

    /// Appends what a cursor passes up to an entry, and this entry.
    #[inline]
    pub(super) fn insert(&mut self, entry: Entry, cursor: &mut Cursor<'_>) {
        self.append(&cursor.pass_to(entry));
        self.push(entry);
    }

    /// Appends what a cursor passes up to an entry that it has, and lets it pass this entry.
    #[inline]
    pub(super) fn leave_out(&mut self, entry: Entry, cursor: &mut Cursor<'_>) {
        self.append(&cursor.pass_to(entry));
        debug_assert_eq!(cursor.next.map(|(next, _)| next), Some(entry));
        cursor.step();
    }

    /// How many bytes there are from the last stop to there.
    fn since_stop(&self, at: usize) -> usize {
        at.saturating_sub(self.stops.last().map_or(0, |stop| stop.place.at))
    }

    /// Appends the entries that a cursor has passed.
    pub(super) fn append(&mut self, passed: &Passed<'_>) {
        let Passed {
            of,
            mut from,
            to,
            stops,
        } = *passed;
        if from.at >= to.at {
            return;
        }
        // The first of them may follow on another now; the others follow on each other as before.
        if self.end.before() != from.before() {
            let Some((first, after)) = of.entry_at(from) else {
                return;
            };
            self.push(first);
            from = after;
        }
        self.bytes
            .extend_from_slice(of.bytes.get(from.at..to.at).unwrap_or_default());
        let moved = Moved { from, to: self.end };
        let mut stops = stops
            .iter()
            .skip_while(|stop| stop.place.at <= from.at)
            .peekable();
        let mut last = from;
        while let Some(&stop) = stops.next() {
            self.bridge(of, &moved, last, stop.place);
            last = stop.place;
            let next = stops.peek().map_or(to, |next| next.place);
            let (place, next) = (moved.place(stop.place), moved.place(next));
            if self.since_stop(place.at) >= NEAR || self.since_stop(next.at) > FAR {
                self.stops.push(Stop { place, ..stop });
            }
        }
        self.bridge(of, &moved, last, to);
        self.end = moved.place(to);
    }

    /// Makes stops between two places of others that were copied here, where they are missing.
    #[inline]
    fn bridge(&mut self, of: &Self, moved: &Moved, mut from: Place, to: Place) {
        while self.since_stop(moved.place(to).at) > FAR {
            let Some((entry, after)) = of.entry_at(from) else {
                return;
            };
            if after.at >= to.at {
                return;
            }
            from = after;
            let place = moved.place(after);
            if self.since_stop(place.at) >= NEAR {
                self.stops.push(Stop { entry, place });
            }
        }
    }
}

/// Where entries have come from, and to.
struct Moved {
    from: Place,
    to: Place,
}

impl Moved {
    /// Where a place after the first is now.
    #[inline]
    fn place(&self, place: Place) -> Place {
        Place {
            sum: self.to.sum + (place.sum - self.from.sum),
            weight: place.weight,
            at: self.to.at + (place.at - self.from.at),
            len: self.to.len + (place.len - self.from.len),
        }
    }
}

/// A walk along the entries.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    of: &'a Encoded,
    place: Place,
    /// The entry at the place, and where it ends.
    next: Option<(Entry, Place)>,
    /// Those after the place.
    stops: &'a [Stop],
}

/// What a cursor has passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed<'a> {
    of: &'a Encoded,
    from: Place,
    pub(super) to: Place,
    stops: &'a [Stop],
}

impl<'a> Cursor<'a> {
    /// Passes the entries that precede this one.
    #[inline]
    pub(super) fn pass_to(&mut self, entry: Entry) -> Passed<'a> {
        let (from, stops) = (self.place, self.stops);
        if self.next.is_some_and(|(next, _)| next.precedes(entry)) {
            self.walk(entry);
        }
        self.passed(from, stops)
    }

    /// Passes as few positive entries as weigh so much together with all before them.
    pub(super) fn pass_to_sum(&mut self, sum: i128) -> Passed<'a> {
        let (from, stops) = (self.place, self.stops);
        while let Some((stop, rest)) = self.stops.split_first()
            && stop.place.sum < sum
            && stop.entry.weight > 0
        {
            self.jump(stop.place, rest);
        }
        while self.place.sum < sum && self.next.is_some() {
            self.step();
        }
        self.passed(from, stops)
    }

    fn jump(&mut self, place: Place, stops: &'a [Stop]) {
        (self.place, self.stops) = (place, stops);
        self.next = self.of.entry_at(place);
    }

    /// Passes all entries that are left.
    pub(super) fn pass_all(&mut self) -> Passed<'a> {
        let (from, stops) = (self.place, self.stops);
        (self.place, self.next, self.stops) = (self.of.end, None, &[]);
        self.passed(from, stops)
    }

    /// Passes the next entry.
    #[inline]
    fn step(&mut self) {
        if let Some((_, after)) = self.next {
            match self.stops.split_first() {
                Some((stop, rest)) if stop.place.at <= after.at => self.jump(after, rest),
                _ => self.jump(after, self.stops),
            }
        }
    }

    fn passed(&self, from: Place, stops: &'a [Stop]) -> Passed<'a> {
        let passed = stops.len() - self.stops.len();
        Passed {
            of: self.of,
            from,
            to: self.place,
            stops: stops.get(..passed).unwrap_or_default(),
        }
    }

    /// To where the entries end that precede this one.
    #[inline(never)]
    fn walk(&mut self, entry: Entry) {
        while let Some((stop, rest)) = self.stops.split_first()
            && stop.entry.precedes(entry)
        {
            (self.place, self.stops) = (stop.place, rest);
        }
        let mut place = self.place;
        loop {
            // Nearly always it is told by the weight alone, and the trace need not be decoded.
            while let Some((weight, at)) = self.of.short_entry_at(place)
                && weight > entry.weight
            {
                place = place.after(weight, at);
            }
            self.next = self.of.entry_at(place);
            match self.next {
                Some((next, after)) if next.precedes(entry) => place = after,
                _ => break,
            }
        }
        self.place = place;
    }
}

#[cfg(test)]
impl Encoded {
    /// Stops are where they say, not too far and not too near.
    pub(super) fn check(&self) {
        let mut cursor = self.cursor();
        let (mut stops, mut last) = (self.stops.iter().peekable(), 0);
        while let Some((entry, after)) = cursor.next {
            if let Some(stop) = stops.next_if(|stop| stop.place.at <= after.at) {
                let (place, found) = (after, stop.place);
                assert_eq!(stop.entry, entry);
                assert_eq!((found.at, found.len), (place.at, place.len));
                assert_eq!((found.sum, found.weight), (place.sum, place.weight));
                last = after.at;
            }
            // An entry has 15 bytes at most.
            assert!(after.at - last <= FAR + 30, "{last} to {}", after.at);
            cursor.step();
        }
        assert!(stops.next().is_none());
        assert_eq!(cursor.place.at, self.bytes.len());
        assert_eq!(cursor.place.len, self.end.len);
        assert!(self.stops.len() <= 2 + self.bytes.len() / (NEAR / 4));
    }
}
