//! `.hpd`: the event log, one event after the other, without a header.
//!
//! The layout stands in [`raw`](crate::raw).

use std::iter::FusedIterator;

use super::block::varint;
use super::event::{Event, EventKind, LogPosition};
use super::rates::SamplingRates;
use super::steady::{REVIEW, is_steady};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::time::{Clock, Elapsed, LARGEST, SECOND, WallOffset};

/// The time went backwards.
pub(crate) const BACKWARDS: u32 = 1 << 31;
/// The event is a free.
pub(crate) const FREE: u32 = 1 << 30;

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
    pub fn events_from(&self, position: LogPosition) -> Events<'a> {
        let skipped = usize::try_from(position.offset()).unwrap_or(usize::MAX);
        Events {
            bytes: self.bytes.get(skipped..).unwrap_or_default(),
            decoder: Decoder::at(position.on(Clock::Recorded), Strange::default()),
        }
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
    bytes: &'a [u8],
    decoder: Decoder,
}

impl Events<'_> {
    /// Where the next event begins, with both clocks: after the last whole event, also when that
    /// was followed by an error.
    pub const fn position(&self) -> LogPosition {
        self.decoder.position()
    }

    /// The first event so far that is whole but makes no sense: it has a million microseconds or
    /// more. It counts all the same.
    pub const fn strange(&self) -> Option<DecodeError> {
        self.decoder.strange.first
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.decoder.next(self.bytes, None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The shortest event has 7 bytes.
        let left = self.bytes.len().saturating_sub(self.decoder.at);
        (0, Some(left.div_ceil(7)))
    }
}

impl FusedIterator for Events<'_> {}

/// Where the decoding of a log stands, apart from the bytes: so that whoever owns a buffer can
/// decode from it, and fill it again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder {
    /// The place of the next event in the bytes; [`ENDED`] after an error.
    at: usize,
    /// The elapsed time in half microseconds, so that the clock can add one for each event and no
    /// branch need ask for it: 63 bits of microseconds are 64 bits of these.
    halves: u64,
    /// What the clock adds for each event: one half microsecond, or none.
    half: u64,
    /// How far the wall clock lies behind: the sum of its steps back. So the wall clock need not be
    /// moved with every event.
    behind: u64,
    events: u64,
    /// The offset in the log of the first of the bytes.
    base: u64,
    /// The place of the event that was in error.
    bad: usize,
    /// Whether the lengths of events are foretold; and where to look again.
    steady: bool,
    review: usize,
    pub(crate) strange: Strange,
}

/// The events that are whole but make no sense.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Strange {
    pub(crate) first: Option<DecodeError>,
    pub(crate) count: u64,
}

/// No bytes are so many that this is a place in them.
const ENDED: usize = usize::MAX;

/// The fields of one event, and where the next begins.
struct Fields {
    head: u32,
    forward: u64,
    backward: u64,
    size: u64,
    next: usize,
    strange: Option<u64>,
}

impl Decoder {
    /// Decodes bytes that follow on `position`, with the times of its clock.
    #[inline]
    pub(crate) fn at(position: LogPosition, strange: Strange) -> Self {
        let elapsed = position.elapsed().as_micros().min(LARGEST);
        let half = match position.clock() {
            Clock::Recorded => 0,
            Clock::Corrected => 1,
        };
        let behind = i128::from(elapsed) - i128::from(position.wall().as_micros());
        Self {
            at: 0,
            halves: 2 * elapsed + (position.events() & half),
            half,
            behind: u64::try_from(behind).unwrap_or(0),
            events: position.events(),
            base: position.offset(),
            bad: 0,
            steady: true,
            review: 0,
            strange,
        }
    }

    #[inline]
    pub(crate) const fn position(&self) -> LogPosition {
        let at = if self.at == ENDED { self.bad } else { self.at };
        LogPosition::shown(
            self.base.saturating_add(at as u64),
            self.events,
            Elapsed::from_micros(self.elapsed()),
            self.wall(),
            self.clock(),
        )
    }

    const fn clock(&self) -> Clock {
        match self.half {
            0 => Clock::Recorded,
            _ => Clock::Corrected,
        }
    }

    #[inline]
    const fn elapsed(&self) -> u64 {
        self.halves / 2
    }

    /// What the wall clock shows.
    #[inline]
    const fn wall(&self) -> WallOffset {
        WallOffset::from_micros(self.elapsed().wrapping_sub(self.behind).cast_signed())
    }

    /// How many of `len` bytes are left.
    pub(crate) const fn left(&self, len: usize) -> usize {
        let at = if self.at == ENDED { self.bad } else { self.at };
        len.saturating_sub(at)
    }

    /// The next event in `bytes`, or the error with which they end.
    ///
    /// With `rates`, an event whose estimate is over 2⁶³ − 1 is such an error.
    #[inline(always)]
    pub(crate) fn next(
        &mut self,
        bytes: &[u8],
        rates: Option<&SamplingRates>,
    ) -> Option<Result<Event, DecodeError>> {
        // Nearly all events have one of four shapes:
        //
        //   head, time not backwards   no seconds   microseconds        size
        //   0xxxxxxx 3 × xxxxxxxx      00000000     0xxxxxxx            0xxxxxxx
        //                                        or 1xxxxxxx 0xxxxxxx or 1xxxxxxx 0xxxxxxx
        //
        // Where lengths repeat themselves, branches decide where the next event begins: a processor
        // foretells them, and works on several events at once. The estimate of such a small size is
        // in range at any rates.
        const USUAL: u64 = 0x8000_0000_ff00_0000;
        if self.at < self.review
            && let Some(&word) = bytes.get(self.at..).and_then(|rest| rest.first_chunk())
        {
            let word = u64::from_be_bytes(word);
            let micros = (word >> 16) & 0x7f;
            let (third, last) = ((word >> 8) & 0xff, word & 0xff);
            if word & USUAL == 0 && self.halves <= 2 * LARGEST - 0xffff {
                if self.steady {
                    if word & 0x0080_8000 == 0 {
                        return Some(Ok(self.usual(word, micros, third, 7)));
                    }
                    if word & 0x0080_0080 == 0 {
                        branch();
                        let size = (third & 0x7f) | (last << 7);
                        return Some(Ok(self.usual(word, micros, size, 8)));
                    }
                } else if word & 0x0080_0000 == 0 && word & 0x8080 != 0x8080 {
                    let longer = third >> 7;
                    let size = (third & 0x7f) | ((last << 7) * longer);
                    return Some(Ok(self.usual(word, micros, size, 7 + longer as usize)));
                }
                if word & 0x0080_8000 == 0x0080_0000 {
                    branch();
                    let micros = micros | (third << 7);
                    if last < 0x80 {
                        return Some(Ok(self.usual(word, micros, last, 8)));
                    }
                    if let Some(&after) = bytes.get(self.at + 8)
                        && after < 0x80
                    {
                        let size = (last & 0x7f) | (u64::from(after) << 7);
                        return Some(Ok(self.usual(word, micros, size, 9)));
                    }
                }
            }
        }
        let (decoder, event) = self.general(bytes, rates);
        *self = decoder;
        event
    }

    #[inline]
    fn usual(&mut self, word: u64, micros: u64, size: u64, len: usize) -> Event {
        self.at += len;
        self.events = self.events.wrapping_add(1);
        self.halves += 2 * micros + self.half;
        self.event((word >> 32) as u32, size)
    }

    /// The event that is not of a usual shape, or the end.
    /// By value, so that the decoder need not live in memory.
    #[inline(never)]
    fn general(
        mut self,
        bytes: &[u8],
        rates: Option<&SamplingRates>,
    ) -> (Self, Option<Result<Event, DecodeError>>) {
        if self.at >= self.review
            && let Some(rest) = bytes.get(self.at..)
        {
            self.steady = is_steady(rest);
            self.review = self.at.saturating_add(REVIEW);
        }
        let event = self.next_general(bytes, rates);
        (self, event)
    }

    fn next_general(
        &mut self,
        bytes: &[u8],
        rates: Option<&SamplingRates>,
    ) -> Option<Result<Event, DecodeError>> {
        if self.at >= bytes.len() {
            return None;
        }
        let moved = fields(bytes, self.at, rates).and_then(|fields| {
            let forward = 2 * fields.forward + self.half;
            let halves = self.halves.checked_add(forward).ok_or(Kind::Time)?;
            let behind = self.behind.saturating_add(fields.backward);
            // The wall clock is never ahead, so it stays in range if it is not too far behind.
            if behind.saturating_sub(halves / 2) > LARGEST {
                return Err(Kind::Time);
            }
            Ok((fields, halves, behind))
        });
        let offset = self.base.saturating_add(self.at as u64);
        match moved {
            Ok((fields, halves, behind)) => {
                if let Some(found) = fields.strange {
                    let kind = Kind::Microseconds { found };
                    let error = DecodeError::new(FileKind::Hpd, offset, kind);
                    self.strange.first.get_or_insert(error);
                    self.strange.count = self.strange.count.saturating_add(1);
                }
                self.at = fields.next;
                self.events = self.events.wrapping_add(1);
                self.halves = halves;
                self.behind = behind;
                Some(Ok(self.event(fields.head, fields.size)))
            }
            Err(kind) => {
                self.bad = self.at;
                self.at = ENDED;
                Some(Err(DecodeError::new(FileKind::Hpd, offset, kind)))
            }
        }
    }

    #[inline]
    const fn event(&self, head: u32, size: u64) -> Event {
        Event {
            elapsed: Elapsed::from_micros(self.elapsed()),
            wall: self.wall(),
            size,
            trace: TraceId::from_head(head),
            kind: if head & FREE == 0 {
                EventKind::Allocation
            } else {
                EventKind::Free
            },
        }
    }
}

/// Keeps the compiler from computing both sides of a branch.
#[cold]
#[inline]
const fn branch() {}

/// The fields of any event, of any lengths, at `at`.
///
/// By value, so that the decoder need not live in memory.
#[inline(never)]
fn fields(bytes: &[u8], at: usize, rates: Option<&SamplingRates>) -> Result<Fields, Kind> {
    let head = bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map(|head| u32::from_be_bytes(*head))
        .ok_or(Kind::Cut)?;
    let (seconds, next) = varint(bytes, at + 4)?;
    let (micros, next) = varint(bytes, next)?;
    let (size, next) = varint(bytes, next)?;
    let seconds = seconds.checked_mul(SECOND).ok_or(Kind::Time)?;
    if seconds.checked_add(micros).is_none_or(|sum| sum > LARGEST) {
        return Err(Kind::Time);
    }
    if size > LARGEST {
        return Err(Kind::Size { found: size });
    }
    if rates.is_some_and(|rates| rates.estimate(size) > LARGEST) {
        return Err(Kind::Estimate { size });
    }
    let (forward, backward) = if head & BACKWARDS == 0 {
        (seconds + micros, 0)
    } else if micros >= seconds {
        (micros - seconds, 0)
    } else {
        (0, seconds - micros)
    };
    Ok(Fields {
        head,
        forward,
        backward,
        size,
        next,
        strange: (micros >= SECOND).then_some(micros),
    })
}

#[cfg(test)]
mod tests {
    use super::super::EventWriter;
    use super::super::block::{push_fixed32, push_varint};
    use super::*;

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
