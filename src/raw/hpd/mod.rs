//! `.hpd`: the event log, a sequence of records without a header.
//!
//! The layout of a record is in [`raw`](crate::raw). Read the files in this order:
//!
//! | file | contains |
//! | --- | --- |
//! | `event` | [`Event`], and [`LogPosition`] between two events |
//! | `record` | the slow path: decodes any record, and is the definition of what ends a log |
//! | `fast` | the fast path: decodes records with short numbers, as nearly all are, in one of three forms |
//! | `strategy` | which form decodes a window |
//! | `clock` | the number of events and both times, moved from record to record |
//! | `windows` | the bytes of a log, a part at a time: a slice, or a buffer that is refilled |
//! | `decoder` | windows in, events out: fast path, slow path, refill |
//! | `mod` (this file) | [`EventLog`] and [`Events`]: a slice in memory |
//! | `stream` | [`EventReader`]: any [`io::Read`](std::io::Read) |
//! | `writer` | [`EventWriter`] |

#![expect(
    clippy::inline_always,
    reason = "the compiler keeps an iterator whose address escapes in memory instead of registers"
)]

mod clock;
pub(crate) mod decoder;
mod event;
pub(crate) mod fast;
pub(crate) mod record;
pub(crate) mod strategy;
mod stream;
pub(crate) mod windows;
mod writer;

use std::iter::FusedIterator;

pub use event::{Event, EventKind, LogPosition};
pub use stream::EventReader;
pub use writer::EventWriter;

use crate::error::DecodeError;
use crate::time::Clock;
use decoder::Decoder;
use record::MIN_LEN;
use windows::SliceWindows;

/// A `.hpd` file, or the beginning of one, in memory.
///
/// ```
/// use heapprof::raw::EventLog;
///
/// let bytes = std::fs::read("examples/data/demo.hpd")?;
/// let mut live = 0;
/// let mut peak = (0, Default::default());
/// for event in EventLog::new(&bytes).events() {
///     let event = event?;
///     live += event.signed_size();
///     peak = peak.max((live, event.elapsed));
/// }
/// assert_eq!(peak.0, 19_241_503);
/// assert_eq!(peak.1.as_micros(), 12_678_881);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EventLog<'a> {
    bytes: &'a [u8],
}

impl<'a> EventLog<'a> {
    /// A log of these bytes. Reads nothing, and accepts any bytes: a log has no header.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The events, from the first.
    #[inline(always)]
    pub fn events(&self) -> Events<'a> {
        self.events_from(LogPosition::START)
    }

    /// The events from the position of an iterator over this log, or over a shorter version of it. Their
    /// times are those recorded, whatever [`Clock`](crate::Clock) the position has.
    ///
    /// So a program can follow a log that is still being written: an event that is cut now is whole later.
    ///
    /// ```
    /// use heapprof::raw::EventLog;
    ///
    /// let bytes = std::fs::read("examples/data/demo.hpd")?;
    /// let mut early = EventLog::new(&bytes[..1000]).events();
    /// let whole = early.by_ref().filter_map(Result::ok).count();
    /// // The recorder has written more. Resume with both clocks where they were.
    /// let later = EventLog::new(&bytes).events_from(early.position());
    /// let last = later.clone().last().unwrap()?;
    /// assert_eq!(whole + later.count(), 49_779);
    /// assert_eq!(last.elapsed.as_micros(), 21_789_059);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn events_from(&self, position: LogPosition) -> Events<'a> {
        let windows = SliceWindows::new(self.bytes);
        Events {
            decoder: Decoder::new(windows, position.recorded()),
        }
    }
}

/// Iterator over the events of a log in memory, in the order of the log.
///
/// Each item is an event, or the error that ends the log: a cut event, as a program that was killed leaves it
/// ([`DecodeError::is_cut`]), or bytes that are no event. After an error the iterator ends, because nothing
/// marks where the next event begins.
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
    decoder: Decoder<SliceWindows<'a>>,
}

impl Events<'_> {
    /// The position after the last whole event, with both clocks; also after an error.
    #[inline(always)]
    pub fn position(&self) -> LogPosition {
        self.decoder.position(Clock::Recorded)
    }

    /// The first event so far with a million microseconds or more, which no recorder writes. The event counts
    /// all the same.
    pub const fn invalid_micros(&self) -> Option<DecodeError> {
        self.decoder.invalid_micros()
    }

    /// The slow path, and the end of the log.
    ///
    /// PERF: by value. If its address escapes, the compiler keeps the iterator in memory instead of registers, and a
    /// loop over it is twice as slow; `cargo bench --bench ratios`, row `next_ns_per_event`.
    #[cold]
    #[inline(never)]
    fn next_slow(mut self) -> (Self, Option<Result<Event, DecodeError>>) {
        let ended_before = self.decoder.error().is_some();
        let Ok(next) = self.decoder.next_slow(None);
        let end = self.decoder.error().filter(|_| !ended_before);
        (self, next.map(Ok).or(end.map(Err)))
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, DecodeError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event) = self.decoder.next_fast() {
            return Some(Ok(event));
        }
        let (events, next) = self.clone().next_slow();
        *self = events;
        next.map(|event| event.map(Event::assume_size_fits))
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let at = usize::try_from(self.position().offset()).unwrap_or(usize::MAX);
        let left = self.decoder.windows().log().len().saturating_sub(at);
        (0, Some(left.div_ceil(MIN_LEN)))
    }
}

impl FusedIterator for Events<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DecodeErrorKind as Kind, FileKind};
    use crate::id::TraceId;
    use crate::raw::block::{push_fixed32, push_varint};
    use crate::raw::hpd::record::BACKWARDS_BIT as BACKWARDS;
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
    fn labelled_bytes_are_read_and_written() {
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
    fn every_cut_keeps_the_whole_events_and_is_one_error() {
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

            // Later the rest is there.
            let rest = EventLog::new(BYTES).events_from(events.position());
            let rest: Vec<_> = rest.map(Result::unwrap).collect();
            assert_eq!(rest, expected()[whole..]);
        }
    }

    #[test]
    fn rejects_times_over_63_bits() {
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
        // Backwards too, although the difference would fit.
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

        // The fast path has the same limit.
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
    fn backwards_with_more_micros_than_seconds_goes_forward() {
        let event = one(&record(BACKWARDS, 1, 2_000_000, 0)).unwrap();
        assert_eq!(event.elapsed.as_micros(), 1_000_000);
        assert_eq!(event.wall.as_micros(), 1_000_000);
    }

    #[test]
    fn rejects_sizes_over_63_bits() {
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
    fn invalid_micros_are_kept_and_the_first_is_reported() {
        let mut bytes = record(1, 0, SECOND - 1, 0);
        bytes.extend(record(1, 2, SECOND, 0));
        bytes.extend(record(1, 0, SECOND + 1, 0));
        let mut events = EventLog::new(&bytes).events();
        assert_eq!(
            events.by_ref().last().unwrap().unwrap().elapsed.as_micros(),
            5_000_000
        );
        let invalid_micros = events.invalid_micros().unwrap();
        assert_eq!(invalid_micros.offset(), 9);
        assert_eq!(invalid_micros.kind(), Kind::Microseconds { found: SECOND });
        assert!(invalid_micros.is_kept());
    }
}
