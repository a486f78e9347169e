//! How does one get along the entries, from stop to stop and from entry to entry?

use super::{Encoded, Entry, FAR, NEAR, Place, Stop};

/// The stops of entries that are copied from one place to another.
pub(super) struct Copied<'s> {
    pub(super) stops: &'s mut Vec<Stop>,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Copied<'_> {
    #[inline]
    pub(super) fn add(&mut self, stop: Stop) {
        if self.since_stop(stop.at) >= NEAR / 2 {
            let at = stop.at - self.from + self.to;
            self.stops.push(Stop { at, ..stop });
        }
    }

    /// How many bytes there are from the last stop to where what is there comes to be.
    #[inline]
    fn since_stop(&self, at: usize) -> usize {
        at - self.from + self.to - self.stops.last().map_or(0, |last| last.at)
    }
}

/// A walk along the entries.
#[derive(Debug)]
pub(in super::super) struct Cursor<'a> {
    pub(super) of: &'a Encoded,
    pub(super) place: Place,
    /// The entry at the place, and the place after it.
    pub(super) next: Option<(Entry, Place)>,
    /// Those after the place.
    pub(super) stops: &'a [Stop],
}

impl<'a> Cursor<'a> {
    /// Before the first of these entries.
    pub(super) fn new(of: &'a Encoded) -> Self {
        Self {
            of,
            place: Place::default(),
            next: of.entry_at(Place::default()),
            stops: &of.stops,
        }
    }

    /// Whether the next entry precedes this one.
    #[inline]
    pub(super) fn is_before(&self, entry: Entry) -> bool {
        self.next.is_some_and(|(next, _)| next.precedes(entry))
    }

    /// Passes the next entry.
    #[inline]
    pub(super) fn step(&mut self) {
        if let Some((_, after)) = self.next {
            self.jump(after);
        }
    }

    /// Goes on at a place after this one.
    pub(in super::super) fn jump(&mut self, place: Place) {
        self.ride(place, |_| {});
    }

    /// Goes on at a place after this one, and tells of the stops on the way.
    #[inline]
    pub(super) fn ride(&mut self, place: Place, mut tell: impl FnMut(Stop)) {
        while let Some((&stop, rest)) = self.stops.split_first()
            && stop.at <= place.at
        {
            tell(stop);
            self.stops = rest;
        }
        self.place = place;
        self.next = self.of.entry_at(place);
    }

    /// Passes the entries up to the first stop there, if that would be too far from the last one that was
    /// copied, and adds stops on the way.
    #[inline]
    pub(super) fn close(&mut self, to: usize, copied: &mut Copied<'_>) {
        if copied.since_stop(to) > FAR {
            self.close_gap(to, copied);
        }
    }

    #[cold]
    #[inline(never)]
    fn close_gap(&mut self, to: usize, copied: &mut Copied<'_>) {
        while let Some((entry, after)) = self.next
            && after.at <= to
        {
            let at = after.at;
            if copied.since_stop(at) >= NEAR {
                copied.add(Stop { entry, at });
            }
            self.jump(after);
        }
    }

    /// The place before an entry: after those that precede it.
    pub(in super::super) fn place_before(mut self, entry: Entry) -> Place {
        let passed = self.stops.partition_point(|it| it.entry.precedes(entry));
        if let Some((passed, others)) = self.stops.split_at_checked(passed)
            && let Some(last) = passed.last()
        {
            (self.place, self.stops) = (last.place(), others);
            self.next = self.of.entry_at(self.place);
        }
        if self.is_before(entry) {
            self.walk(entry, |_| {});
        }
        self.place
    }

    /// Passes the entries that precede this one, and tells of the stops on the way, and of new ones.
    #[inline(never)]
    pub(super) fn walk(&mut self, entry: Entry, mut tell: impl FnMut(Stop)) {
        while let Some((&stop, rest)) = self.stops.split_first()
            && stop.entry.precedes(entry)
        {
            tell(stop);
            (self.place, self.stops) = (stop.place(), rest);
        }
        let (mut place, mut last) = (self.place, self.place.at);
        loop {
            while place.at < last + NEAR
                && let Some(next) = self.of.short_entry_at(place)
                && next.precedes(entry)
            {
                place = next.after;
            }
            self.next = self.of.entry_at(place);
            let Some((next, after)) = self.next.filter(|(next, _)| next.precedes(entry)) else {
                break;
            };
            place = after;
            if after.at - last >= NEAR {
                let at = after.at;
                tell(Stop { entry: next, at });
                last = at;
            }
        }
        self.place = place;
    }
}
