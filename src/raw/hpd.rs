//! `.hpd`: the event log, one event after the other, without a header.
//!
//! The layout stands in [`raw`](crate::raw).

#![expect(
    clippy::inline_always,
    reason = "measured: one whose address a function was given lives in memory, and is slower for that"
)]

use std::iter::FusedIterator;

use super::decode::Decoder;
use super::event::{Event, LogPosition, SHORTEST};
use super::way::WINDOW;
use crate::error::DecodeError;
use crate::time::Clock;

/// A `.hpd` file, or the beginning of one, as bytes.
///
/// ```
/// use heapprof::raw::EventLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let mut live = 0;
/// let mut largest = (0, Default::default());
/// for event in EventLog::new(&bytes).events() {
///     let event = event?;
///     live += event.signed_size();
///     largest = largest.max((live, event.elapsed));
/// }
/// assert_eq!(largest.0, 19_241_503);
/// assert_eq!(largest.1.as_micros(), 12_678_881);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EventLog<'a> {
    bytes: &'a [u8],
}

impl<'a> EventLog<'a> {
    /// The log with these bytes. Nothing is read yet, and any bytes will do: a log has no header.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The events, from the first.
    #[inline(always)]
    pub fn events(&self) -> Events<'a> {
        self.events_from(LogPosition::START)
    }

    /// The events from where an iterator over this log, or over a shorter stand of it, stood. Their
    /// times are those recorded, whatever [`Clock`] the place has.
    ///
    /// So a log that is still being written can be followed: an event that is cut today is whole
    /// tomorrow.
    ///
    /// ```
    /// use heapprof::raw::EventLog;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpd")?;
    /// let mut early = EventLog::new(&bytes[..1000]).events();
    /// let whole = early.by_ref().filter_map(Result::ok).count();
    /// // The program went on writing; so we go on reading, with both clocks where they stood.
    /// let later = EventLog::new(&bytes).events_from(early.position());
    /// let last = later.clone().last().unwrap()?;
    /// assert_eq!(whole + later.count(), 49_779);
    /// assert_eq!(last.elapsed.as_micros(), 21_789_059);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn events_from(&self, position: LogPosition) -> Events<'a> {
        let window = window(self.bytes, position.offset());
        let mut events = Events {
            log: self.bytes,
            branched: &[],
            others: &[],
            decoder: Decoder::at(position.on(Clock::Recorded), window),
        };
        events.go_on_with(window);
        events
    }
}

/// The events of a log, in the order of the file.
///
/// Each item is an event, or the error with which reading ends: a cut event, which is the ordinary
/// end of a program that was killed ([`DecodeError::is_cut`]), or bytes that are no event. After an
/// error there is nothing, since nothing marks where the next event begins.
///
/// ```
/// use heapprof::raw::EventLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let mut events = EventLog::new(&bytes[..1000]).events();
/// let whole = events.by_ref().take_while(Result::is_ok).count();
/// assert_eq!((whole, events.position().offset()), (140, 995)); // the rest is cut
/// assert!(events.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Events<'a> {
    log: &'a [u8],
    /// What is left of the window that is being decoded, if it is by branches;
    branched: &'a [u8],
    /// and if it is not.
    others: &'a [u8],
    decoder: Decoder<false>,
}

impl<'a> Events<'a> {
    /// This is left of the window.
    #[inline]
    fn go_on_with(&mut self, rest: &'a [u8]) {
        let nothing: &[u8] = &[];
        (self.branched, self.others) = if self.decoder.is_branching() {
            (rest, nothing)
        } else {
            (nothing, rest)
        };
    }

    /// How much is left of the window.
    #[inline(always)]
    const fn left(&self) -> usize {
        self.branched.len() + self.others.len()
    }

    /// Where the next event begins, with both clocks: after the last whole event, also when that
    /// was followed by an error.
    #[inline(always)]
    pub const fn position(&self) -> LogPosition {
        self.decoder.position(self.left())
    }

    /// The first event so far that is whole but makes no sense: it has a million microseconds or
    /// more. It counts all the same.
    #[inline(always)]
    pub const fn strange(&self) -> Option<DecodeError> {
        self.decoder.strange.first
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, DecodeError>;

    // A loop in which this is a call keeps the decoder in memory, and takes three times as long.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some((event, after)) = self.decoder.next_branched(self.branched) {
            self.branched = after;
            return Some(Ok(event));
        }
        if let Some((event, after)) = self.decoder.next_computed(self.others) {
            self.others = after;
            return Some(Ok(event));
        }
        let (events, next) = self.clone().next_otherwise();
        *self = events;
        next.map(|event| event.map(Event::returned))
    }

    // One loop for each way: so a loop has no more in hand than it needs.
    #[inline(always)]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = init;
        loop {
            while let Some((event, after)) = self.decoder.next_branched(self.branched) {
                self.branched = after;
                folded = f(folded, Ok(event));
            }
            while let Some((event, after)) = self.decoder.next_computed(self.others) {
                self.others = after;
                folded = f(folded, Ok(event));
            }
            let next;
            (self, next) = self.next_otherwise();
            match next {
                Some(next) => folded = f(folded, next),
                None => return folded,
            }
        }
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let at = usize::try_from(self.position().offset()).unwrap_or(usize::MAX);
        let left = self.log.len().saturating_sub(at);
        (0, Some(left.div_ceil(SHORTEST)))
    }
}

impl FusedIterator for Events<'_> {}

impl Events<'_> {
    /// The next event, where it is not of a usual shape or not in the window; or the end.
    ///
    /// By value, so that the iterator need not live in memory.
    #[cold]
    #[inline(never)]
    fn next_otherwise(mut self) -> (Self, Option<Result<Event, DecodeError>>) {
        loop {
            let rest = if self.branched.is_empty() {
                self.others
            } else {
                self.branched
            };
            let next;
            (self.decoder, next) = self.decoder.next_of_any_shape(rest, None);
            if let Some((event, after)) = next {
                self.go_on_with(after);
                return (self, Some(Ok(event)));
            }
            let end = self.decoder.error;
            let offset = self.decoder.offset(rest.len());
            match next_window(self.log, offset, rest.len(), end) {
                Some(window) => {
                    self.decoder.enter(offset, window);
                    self.go_on_with(window);
                }
                None => {
                    self.log = &[];
                    self.decoder.enter(offset, &[]);
                    self.go_on_with(&[]);
                    return (self, end.map(Err));
                }
            }
        }
    }
}

/// The window of a log that begins at `offset`.
pub(crate) fn window(log: &[u8], offset: u64) -> &[u8] {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = log.get(at..).unwrap_or_default();
    rest.get(..WINDOW).unwrap_or(rest)
}

/// The next window, once one has come to its end; perhaps inside an event, of which it has `left`
/// bytes.
#[cold]
#[inline(never)]
pub(crate) fn next_window(
    log: &[u8],
    offset: u64,
    left: usize,
    end: Option<DecodeError>,
) -> Option<&[u8]> {
    let next = window(log, offset);
    (next.len() > left && end.is_none_or(|error| error.is_cut())).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DecodeErrorKind as Kind, FileKind};
    use crate::id::TraceId;
    use crate::raw::block::{push_fixed32, push_varint};
    use crate::raw::event::BACKWARDS;
    use crate::raw::{EventKind, EventWriter};
    use crate::time::{Elapsed, LARGEST, SECOND, WallOffset};

    /// Five events, byte by byte as heapprof 1.0 writes them.
    #[rustfmt::skip]
    const BYTES: &[u8] = &[
        // an allocation of 424 bytes by trace 1, 16 µs after the start
        0, 0, 0, 1,             0, 16, 0xa8, 0x03,
        // its free, 3.2 s later
        0x40, 0, 0, 1,          3, 0xc0, 0x9a, 0x0c, 0xa8, 0x03,
        // an allocation of 0 bytes by an unknown trace, 0.3 s before: one second back, 0.7 s forward
        0x80, 0, 0, 0,          1, 0xe0, 0xdc, 0x2a, 0,
        // an allocation of 5 GiB by the largest trace index, 127 µs later
        0x3f, 0xff, 0xff, 0xff, 0, 127, 0x80, 0x80, 0x80, 0x80, 0x14,
        // its free, at once
        0x7f, 0xff, 0xff, 0xff, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x14,
    ];

    fn expected() -> Vec<Event> {
        [
            (16, 16, 424, 1, EventKind::Allocation),
            (3_200_016, 3_200_016, 424, 1, EventKind::Free),
            (3_200_016, 2_900_016, 0, 0, EventKind::Allocation),
            (
                3_200_143,
                2_900_143,
                5 << 30,
                (1 << 30) - 1,
                EventKind::Allocation,
            ),
            (
                3_200_143,
                2_900_143,
                5 << 30,
                (1 << 30) - 1,
                EventKind::Free,
            ),
        ]
        .into_iter()
        .map(|(elapsed, wall, size, trace, kind)| Event {
            elapsed: Elapsed::from_micros(elapsed),
            wall: WallOffset::from_micros(wall),
            size,
            trace: TraceId::new(trace),
            kind,
        })
        .collect()
    }

    fn one(bytes: &[u8]) -> Result<Event, Kind> {
        let mut events = EventLog::new(bytes).events();
        let first = events.next().unwrap();
        if let Err(error) = first {
            assert_eq!((error.file(), error.offset()), (FileKind::Hpd, 0));
            assert_eq!(events.position(), LogPosition::START);
            assert!(events.next().is_none());
        }
        first.map_err(|error| error.kind())
    }

    fn record(head: u32, seconds: u64, micros: u64, size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_fixed32(&mut bytes, head);
        for field in [seconds, micros, size] {
            push_varint(&mut bytes, field);
        }
        bytes
    }

    #[test]
    fn the_labelled_bytes_are_read_and_written() {
        let events: Vec<_> = EventLog::new(BYTES).events().map(Result::unwrap).collect();
        assert_eq!(events, expected());
        let mut writer = EventWriter::new(Vec::new());
        for event in events {
            writer
                .write(event.wall, event.trace, event.size, event.kind)
                .unwrap();
        }
        assert_eq!(writer.position().offset(), BYTES.len() as u64);
        assert_eq!(writer.into_inner(), BYTES);
    }

    #[test]
    fn every_cut_keeps_the_whole_events_and_is_told_once_at_its_event() {
        let ends = [8, 18, 27, 38, 49];
        for cut in 0..=BYTES.len() {
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let start = if whole == 0 { 0 } else { ends[whole - 1] };
            let mut events = EventLog::new(&BYTES[..cut]).events();
            for event in &expected()[..whole] {
                assert_eq!(events.next(), Some(Ok(*event)));
            }
            if cut > start {
                let error = events.next().unwrap().unwrap_err();
                assert!(error.is_cut());
                assert_eq!(error.offset(), start as u64);
            }
            assert_eq!(events.next(), None);
            assert_eq!(events.position().offset(), start as u64);

            // Tomorrow the rest is there.
            let rest = EventLog::new(BYTES).events_from(events.position());
            let rest: Vec<_> = rest.map(Result::unwrap).collect();
            assert_eq!(rest, expected()[whole..]);
        }
    }

    #[test]
    fn times_go_to_63_bits_and_no_further() {
        const MAX: u64 = LARGEST;
        let largest = one(&record(0, MAX / SECOND, MAX % SECOND, 0)).unwrap();
        assert_eq!(largest.elapsed.as_micros(), MAX);
        assert_eq!(largest.wall.as_micros(), i64::MAX);
        assert_eq!(
            one(&record(0, MAX / SECOND, MAX % SECOND + 1, 0)),
            Err(Kind::Time)
        );
        assert_eq!(one(&record(0, u64::MAX, 0, 0)), Err(Kind::Time));
        assert_eq!(one(&record(0, 0, u64::MAX, 0)), Err(Kind::Time));
        // Also when they go back, though the difference would fit.
        assert_eq!(
            one(&record(BACKWARDS, MAX / SECOND + 1, SECOND, 0)),
            Err(Kind::Time)
        );
        let earliest = one(&record(BACKWARDS, MAX / SECOND, 0, 0)).unwrap();
        assert_eq!(earliest.elapsed, Elapsed::ZERO);
        assert_eq!(
            earliest.wall.as_micros(),
            -i64::try_from(MAX / SECOND * SECOND).unwrap()
        );

        // The usual, short shape stops there too.
        for (micros, fits) in [(7, true), (8, false)] {
            let position = LogPosition::new(
                0,
                0,
                Elapsed::from_micros(MAX - 7),
                WallOffset::from_micros(i64::MAX - 100),
            );
            let bytes = record(1, 0, micros, 1);
            let mut events = EventLog::new(&bytes).events_from(position);
            assert_eq!(events.next().unwrap().is_ok(), fits);
        }
    }

    #[test]
    fn a_step_back_that_is_none_counts_as_forward() {
        let event = one(&record(BACKWARDS, 1, 2_000_000, 0)).unwrap();
        assert_eq!(event.elapsed.as_micros(), 1_000_000);
        assert_eq!(event.wall.as_micros(), 1_000_000);
    }

    #[test]
    fn sizes_go_to_63_bits_and_no_further() {
        assert_eq!(one(&record(1, 0, 0, LARGEST)).unwrap().size, LARGEST);
        assert_eq!(
            one(&record(1, 0, 0, LARGEST + 1)),
            Err(Kind::Size { found: 1 << 63 })
        );
        let mut long = record(1, 0, 0, u64::MAX);
        *long.last_mut().unwrap() = 2;
        assert_eq!(one(&long), Err(Kind::Varint));
    }

    #[test]
    fn a_million_microseconds_are_kept_and_the_first_is_told() {
        let mut bytes = record(1, 0, SECOND - 1, 0);
        bytes.extend(record(1, 2, SECOND, 0));
        bytes.extend(record(1, 0, SECOND + 1, 0));
        let mut events = EventLog::new(&bytes).events();
        assert_eq!(
            events.by_ref().last().unwrap().unwrap().elapsed.as_micros(),
            5_000_000
        );
        let strange = events.strange().unwrap();
        assert_eq!(strange.offset(), 9);
        assert_eq!(strange.kind(), Kind::Microseconds { found: SECOND });
        assert!(strange.is_kept());
    }
}
