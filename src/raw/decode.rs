//! How the events of a log are decoded: from one window of its bytes after the other.

use super::block::varint;
use super::event::{BACKWARDS, Event, EventKind, LogPosition};
use super::rates::SamplingRates;
use super::steady::is_steady;
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::time::{Clock, Elapsed, LARGEST, SECOND, WallOffset};

/// The most bytes that are decoded at once. What holds for a whole window need not be asked for
/// each event.
pub(crate) const WINDOW: usize = 256 * 1024;

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
    way: Way,
    /// Why there are no more events in the window, if it has not just come to its end.
    pub(crate) error: Option<DecodeError>,
    pub(crate) strange: Strange,
}

/// How events of the usual shapes are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By branches on their length, since lengths repeat themselves.
    Branching,
    /// By computing their length.
    Computing,
    /// Not at all: the clock is so near its limit that each event may be one too many.
    Careful,
}

impl Way {
    #[cold]
    #[inline(never)]
    fn through(window: &[u8], halves: u64) -> Self {
        debug_assert!(window.len() <= WINDOW);
        if is_near_limit(halves) {
            Self::Careful
        } else if is_steady(window) {
            Self::Branching
        } else {
            Self::Computing
        }
    }
}

/// So far the clock can go in one window without a look at its limit: in half microseconds, by the
/// usual shapes, whose microseconds have two bytes at most.
const STRIDE: u64 = (WINDOW as u64 / SHORTEST as u64 + 1) << 15;

const fn is_near_limit(halves: u64) -> bool {
    halves > u64::MAX - STRIDE
}

/// The bytes of the shortest event: a head, and a byte for each number.
pub(crate) const SHORTEST: usize = 4 + 3;

/// The bytes of the longest event: a head, and three numbers of 64 bits.
pub(crate) const LONGEST: usize = 4 + 3 * 10;

/// The place before an event, from the decoder after it.
///
/// It is asked for seldom, and to keep it ready for each event costs a third of a pass. So it is
/// computed when asked for, by decoding the event once more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'a> {
    window: &'a [u8],
    at: usize,
    halves: u64,
    behind: u64,
    number: u64,
    base: u64,
    half: u64,
}

impl Before<'_> {
    /// Where the record of the event begins.
    #[inline]
    pub(crate) const fn offset(self) -> u64 {
        self.base.wrapping_add(self.at as u64)
    }

    /// How many events there are up to the event, it included.
    #[inline]
    pub(crate) const fn number(self) -> u64 {
        self.number
    }

    /// Inlined: to hand this on for it would put all of it into memory with each event.
    #[inline]
    pub(crate) fn position(self) -> LogPosition {
        // It was decoded before, so it can be again.
        let (forward, backward) = match fields(self.window, self.at, None) {
            Ok(fields) => (2 * fields.forward + self.half, fields.backward),
            Err(_) => (0, 0),
        };
        let elapsed = self.halves.saturating_sub(forward) / 2;
        let behind = self.behind.saturating_sub(backward);
        LogPosition::shown(
            self.offset(),
            self.number.saturating_sub(1),
            Elapsed::from_micros(elapsed),
            WallOffset::from_micros(elapsed.wrapping_sub(behind).cast_signed()),
            clock(self.half),
        )
    }
}

/// The clock that adds this for each event.
const fn clock(half: u64) -> Clock {
    match half {
        0 => Clock::Recorded,
        _ => Clock::Corrected,
    }
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
    /// Decodes a window of bytes that follow on `position`, with the times of its clock.
    ///
    /// Like all that makes or changes a decoder it is inlined: one whose address a function was given
    /// lives in memory, and then decoding takes twice as long.
    #[inline]
    pub(crate) fn at(position: LogPosition, window: &[u8]) -> Self {
        let elapsed = position.elapsed().as_micros().min(LARGEST);
        let half = match position.clock() {
            Clock::Recorded => 0,
            Clock::Corrected => 1,
        };
        let behind = i128::from(elapsed) - i128::from(position.wall().as_micros());
        let halves = 2 * elapsed + (position.events() & half);
        Self {
            at: 0,
            halves,
            half,
            behind: u64::try_from(behind).unwrap_or(0),
            events: position.events(),
            base: position.offset(),
            bad: 0,
            way: Way::through(window, halves),
            error: None,
            strange: Strange::default(),
        }
    }

    /// Goes on with the window that begins where the next event does.
    #[inline]
    pub(crate) fn enter(&mut self, window: &[u8]) {
        self.base = self.offset();
        self.at = 0;
        self.error = None;
        self.way = Way::through(window, self.halves);
    }

    /// Where in the log the next event begins.
    #[inline]
    pub(crate) const fn offset(&self) -> u64 {
        let at = if self.at == ENDED { self.bad } else { self.at };
        self.base.saturating_add(at as u64)
    }

    #[inline]
    pub(crate) const fn position(&self) -> LogPosition {
        LogPosition::shown(
            self.offset(),
            self.events,
            Elapsed::from_micros(self.elapsed()),
            self.wall(),
            clock(self.half),
        )
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

    /// How many bytes of the window are left.
    #[inline]
    pub(crate) const fn left(&self, window: &[u8]) -> usize {
        let at = if self.at == ENDED { self.bad } else { self.at };
        window.len().saturating_sub(at)
    }

    /// The next event in `bytes`, if there is one, and its length; else there may be an [error](Self::error).
    ///
    /// With `rates`, an event whose estimate is over 2⁶³ − 1 is such an error.
    #[inline(always)]
    pub(crate) fn next(
        &mut self,
        bytes: &[u8],
        rates: Option<&SamplingRates>,
    ) -> Option<(Event, usize)> {
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
        if let Some(word) = word(bytes, self.at)
            && word & USUAL == 0
        {
            let micros = (word >> 16) & 0x7f;
            let (third, last) = ((word >> 8) & 0xff, word & 0xff);
            match self.way {
                Way::Branching => {
                    if word & 0x0080_8000 == 0 {
                        return Some(self.usual(word, micros, third, 7));
                    }
                    if word & 0x0080_0080 == 0 {
                        branch();
                        let size = (third & 0x7f) | (last << 7);
                        return Some(self.usual(word, micros, size, 8));
                    }
                    if word & 0x0080_8080 == 0x0080_0000 {
                        branch();
                        let micros = micros | (third << 7);
                        return Some(self.usual(word, micros, last, 8));
                    }
                    if word & 0x0080_8000 == 0x0080_0000
                        && let Some(&after) = bytes.get(self.at + 8)
                        && after < 0x80
                    {
                        branch();
                        let micros = micros | (third << 7);
                        let size = (last & 0x7f) | (u64::from(after) << 7);
                        return Some(self.usual(word, micros, size, 9));
                    }
                }
                Way::Computing => {
                    if word & 0x0080_0000 == 0 && word & 0x8080 != 0x8080 {
                        // From the bytes as they stand: where the next event begins waits for it.
                        let longer = word.swap_bytes() >> 55 & 1;
                        let size = (third & 0x7f) | ((last << 7) * longer);
                        return Some(self.usual(word, micros, size, 7 + longer as usize));
                    }
                }
                Way::Careful => {}
            }
        }
        let (decoder, event) = self.general(bytes, rates);
        *self = decoder;
        event
    }

    #[inline]
    fn usual(&mut self, word: u64, micros: u64, size: u64, len: usize) -> (Event, usize) {
        self.at += len;
        self.events = self.events.wrapping_add(1);
        self.halves += 2 * micros + self.half;
        (self.event((word >> 32) as u32, size), len)
    }

    /// The place before the event that was decoded last, of `len` bytes.
    #[inline]
    pub(crate) const fn before<'a>(&self, window: &'a [u8], len: usize) -> Before<'a> {
        Before {
            window,
            at: self.at.wrapping_sub(len),
            halves: self.halves,
            behind: self.behind,
            number: self.events,
            base: self.base,
            half: self.half,
        }
    }

    /// The event that is not of a usual shape, or the end.
    ///
    /// By value, so that the decoder need not live in memory.
    #[cold]
    #[inline(never)]
    fn general(
        mut self,
        bytes: &[u8],
        rates: Option<&SamplingRates>,
    ) -> (Self, Option<(Event, usize)>) {
        let event = self.next_general(bytes, rates);
        (self, event)
    }

    fn next_general(
        &mut self,
        bytes: &[u8],
        rates: Option<&SamplingRates>,
    ) -> Option<(Event, usize)> {
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
                let len = fields.next - self.at;
                self.at = fields.next;
                self.events = self.events.wrapping_add(1);
                self.halves = halves;
                self.behind = behind;
                if is_near_limit(halves) {
                    self.way = Way::Careful;
                }
                Some((self.event(fields.head, fields.size), len))
            }
            Err(kind) => {
                self.bad = self.at;
                self.at = ENDED;
                self.error = Some(DecodeError::new(FileKind::Hpd, offset, kind));
                None
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
            kind: EventKind::from_head(head),
        }
    }
}

/// Eight bytes that begin at `at`, the first as the highest.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let last = bytes.len().checked_sub(8)?;
    if at > last {
        return None;
    }
    let word = bytes.get(at..at + 8)?.first_chunk()?;
    Some(u64::from_be_bytes(*word))
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
