//! How the events of a log are decoded: from one window of its bytes after the other.

#![expect(
    clippy::inline_always,
    reason = "a decoder whose address a function was given lives in memory: twice as slow"
)]

use std::ops::ControlFlow;

use super::block::varint;
use super::event::{BACKWARDS, Event, EventKind, LogPosition};
use super::rates::SamplingRates;
use super::shape::{Ahead, Shape};
use super::way::{PATIENCE, STRIDE, Way};
use crate::error::{DecodeError, DecodeErrorKind as Kind, FileKind};
use crate::id::TraceId;
use crate::time::{Clock, Elapsed, LARGEST, SECOND, WallOffset};

/// Where the decoding of a log stands, apart from the bytes: so that whoever owns a buffer can
/// decode from it, and fill it again. What is left of the window is held by the owner, and shrinks
/// by each event.
///
/// It decodes with the times of any clock; or with those recorded, and has nothing to add to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder<const ANY_CLOCK: bool = true> {
    /// The elapsed time. A tick is half a microsecond, so that the clock can add one for each event
    /// and no branch need ask for it; or a microsecond, where it has nothing to add.
    ticks: u64,
    /// What the clock adds for each event: one tick, or none.
    tick: u64,
    /// How far the wall clock lies behind: the sum of its steps back. So the wall clock need not be
    /// moved with every event.
    behind: u64,
    events: u64,
    /// The offset in the log at which the window ends.
    end: u64,
    way: Way,
    /// Of the next event, where sizes are [computed](Way::ComputingSizes).
    ahead: Ahead,
    /// How many more events of this window may be too long for this way, before it is another.
    patience: u32,
    /// Why there are no more events in the window, if it has not just come to its end.
    pub(crate) error: Option<DecodeError>,
    pub(crate) strange: Strange,
}

/// The clock that adds this for each event.
const fn clock(tick: u64) -> Clock {
    match tick {
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

/// What the wall clock shows.
#[inline]
const fn wall(elapsed: u64, behind: u64) -> WallOffset {
    WallOffset::from_micros(elapsed.wrapping_sub(behind).cast_signed())
}

/// An event of a usual shape, with the time after it.
struct Usual {
    event: Event,
    ticks: u64,
}

/// The fields of one event, and its length.
pub(super) struct Fields {
    pub(super) head: u32,
    /// How far the time goes forward, in microseconds.
    pub(super) forward: u64,
    pub(super) backward: u64,
    pub(super) size: u64,
    pub(super) len: usize,
    pub(super) strange: Option<u64>,
}

impl<const ANY_CLOCK: bool> Decoder<ANY_CLOCK> {
    /// How many ticks a microsecond has.
    const TICKS: u64 = if ANY_CLOCK { 2 } else { 1 };

    /// The last tick: 63 bits of microseconds are 64 bits of their halves.
    const LAST: u64 = if ANY_CLOCK { u64::MAX } else { LARGEST };

    const fn is_near_limit(ticks: u64) -> bool {
        ticks > Self::LAST - Self::TICKS * STRIDE
    }

    /// Decodes a window of bytes that follow on `position`, with the times of its clock.
    ///
    /// Like all that makes or changes a decoder it is inlined: one whose address a function was given
    /// lives in memory, and then decoding takes twice as long.
    #[inline]
    pub(crate) fn at(position: LogPosition, window: &[u8]) -> Self {
        debug_assert!(ANY_CLOCK || position.clock() == Clock::Recorded);
        let elapsed = position.elapsed().as_micros().min(LARGEST);
        let tick = match position.clock() {
            Clock::Corrected if ANY_CLOCK => 1,
            _ => 0,
        };
        let behind = i128::from(elapsed) - i128::from(position.wall().as_micros());
        let ticks = Self::TICKS * elapsed + (position.events() & tick);
        Self {
            ticks,
            tick,
            behind: u64::try_from(behind).unwrap_or(0),
            events: position.events(),
            end: position.offset().saturating_add(window.len() as u64),
            way: Way::through(window, position.offset(), Self::is_near_limit(ticks), None),
            ahead: Ahead::of(window),
            patience: PATIENCE,
            error: None,
            strange: Strange::default(),
        }
    }

    /// What the clock adds for each event.
    #[inline]
    const fn tick(&self) -> u64 {
        if ANY_CLOCK { self.tick } else { 0 }
    }

    /// Goes on with the window that begins where the next event does, at `offset`.
    #[inline]
    pub(crate) fn enter(&mut self, offset: u64, window: &[u8]) {
        self.end = offset.saturating_add(window.len() as u64);
        self.error = None;
        let is_near_limit = Self::is_near_limit(self.ticks);
        self.way = Way::through(window, offset, is_near_limit, Some(self.way));
        self.ahead = Ahead::of(window);
        self.patience = PATIENCE;
    }

    /// Where in the log the next event begins, of a window of which so many bytes are left.
    #[inline]
    pub(crate) const fn offset(&self, left: usize) -> u64 {
        self.end.saturating_sub(left as u64)
    }

    #[inline]
    pub(crate) const fn position(&self, left: usize) -> LogPosition {
        let elapsed = self.ticks / Self::TICKS;
        LogPosition::shown(
            self.offset(left),
            self.events,
            Elapsed::from_micros(elapsed),
            wall(elapsed, self.behind),
            clock(self.tick()),
        )
    }

    /// Whether the window is decoded by [branches](Way::Branching). Who decodes event by event keeps
    /// that in where its bytes are looked for, so that nothing need be asked for each.
    #[inline]
    pub(crate) const fn is_branching(&self) -> bool {
        matches!(self.way, Way::Branching)
    }

    /// The next event of a window that is [decoded by branches](Self::is_branching), of which this is
    /// left, and what is left then; if it is of a usual shape.
    #[inline(always)]
    pub(crate) fn next_branched<'a>(&mut self, rest: &'a [u8]) -> Option<(Event, &'a [u8])> {
        let shape = Shape::branched(rest)?;
        let usual = self.usual(self.ticks, &shape);
        self.pass(usual.ticks);
        Some((usual.event, shape.after))
    }

    /// The same of one that is not.
    #[inline(always)]
    pub(crate) fn next_computed<'a>(&mut self, rest: &'a [u8]) -> Option<(Event, &'a [u8])> {
        let shape = Shape::computed(rest, self.way, self.ahead)?;
        let usual = self.usual(self.ticks, &shape);
        self.ahead = shape.ahead;
        self.pass(usual.ticks);
        Some((usual.event, shape.after))
    }

    /// An event of a usual shape has been taken.
    #[inline]
    fn pass(&mut self, ticks: u64) {
        self.ticks = ticks;
        self.events = self.events.wrapping_add(1);
    }

    /// Shows the next events, as long as they are of the usual shapes and taken, in the next `most`
    /// bytes: to `take`, with their number and the offset of their record. What it returns `None` for
    /// is not taken, and is the next event then. If it breaks off, that event is not taken either.
    #[inline(always)]
    pub(crate) fn each_usual(
        &mut self,
        rest: &mut &[u8],
        most: usize,
        mut take: impl FnMut(Event, u64, u64) -> Option<ControlFlow<()>>,
    ) -> ControlFlow<()> {
        let (mut piece, others) = rest.split_at_checked(most).unwrap_or((rest, &[]));
        let len = piece.len();
        self.end = self.end.wrapping_sub(others.len() as u64);
        let flow = match self.way {
            Way::Branching => {
                self.each_shape::<false>(&mut piece, |rest, _| Shape::branched(rest), &mut take)
            }
            way => self.each_shape::<true>(
                &mut piece,
                |rest, ahead| Shape::computed(rest, way, ahead),
                &mut take,
            ),
        };
        self.end = self.end.wrapping_add(others.len() as u64);
        *rest = rest.get(len - piece.len()..).unwrap_or_default();
        flow
    }

    #[inline(always)]
    fn each_shape<'a, const COMPUTED: bool>(
        &mut self,
        rest: &mut &'a [u8],
        shape: impl Fn(&'a [u8], Ahead) -> Option<Shape<'a>>,
        take: &mut impl FnMut(Event, u64, u64) -> Option<ControlFlow<()>>,
    ) -> ControlFlow<()> {
        // In variables of its own, of which nothing else has the address.
        let mut left = *rest;
        let (mut ticks, mut events, mut ahead) = (self.ticks, self.events, self.ahead);
        let flow = loop {
            let Some(shape) = shape(left, ahead) else {
                break ControlFlow::Continue(());
            };
            let usual = self.usual(ticks, &shape);
            match take(usual.event, events.wrapping_add(1), self.offset(left.len())) {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) => break ControlFlow::Break(()),
                None => break ControlFlow::Continue(()),
            }
            left = shape.after;
            if COMPUTED {
                ahead = shape.ahead;
            }
            ticks = usual.ticks;
            events = events.wrapping_add(1);
        };
        *rest = left;
        (self.ticks, self.events, self.ahead) = (ticks, events, ahead);
        flow
    }

    /// An event of a usual shape, which follows on one at that time.
    #[inline(always)]
    fn usual(&self, ticks: u64, shape: &Shape<'_>) -> Usual {
        let ticks = ticks + (Self::TICKS * shape.micros + self.tick());
        Usual {
            event: self.event(ticks, shape.head, shape.size),
            ticks,
        }
    }

    /// The next event, of whatever shape, and what is left then; else there may be an
    /// [error](Self::error). The way may be another one after it.
    ///
    /// With `rates`, an event whose estimate is over 2⁶³ − 1 is such an error. By value, so that the
    /// decoder need not live in memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn next_of_any_shape<'a>(
        mut self,
        rest: &'a [u8],
        rates: Option<&SamplingRates>,
    ) -> (Self, Option<(Event, &'a [u8])>) {
        if rest.is_empty() {
            return (self, None);
        }
        let moved = fields(rest, rates).and_then(|fields| {
            let forward = Self::TICKS * fields.forward + self.tick();
            let ticks = self.ticks.checked_add(forward);
            let ticks = ticks
                .filter(|&ticks| ticks <= Self::LAST)
                .ok_or(Kind::Time)?;
            let behind = self.behind.saturating_add(fields.backward);
            // The wall clock is never ahead, so it stays in range if it is not too far behind.
            if behind.saturating_sub(ticks / Self::TICKS) > LARGEST {
                return Err(Kind::Time);
            }
            let after = rest.get(fields.len..).ok_or(Kind::Cut)?;
            Ok((fields, ticks, behind, after))
        });
        let error = |kind| DecodeError::new(FileKind::Hpd, self.offset(rest.len()), kind);
        match moved {
            Ok((fields, ticks, behind, after)) => {
                if let Some(found) = fields.strange {
                    let error = error(Kind::Microseconds { found });
                    self.strange.first.get_or_insert(error);
                    self.strange.count = self.strange.count.saturating_add(1);
                }
                self.events = self.events.wrapping_add(1);
                self.ticks = ticks;
                self.behind = behind;
                self.ahead = Ahead::of(after);
                if Self::is_near_limit(ticks) {
                    self.way = Way::Careful;
                } else if self.is_for_another_way(rest) {
                    self.patience = self.patience.saturating_sub(1);
                    if self.patience == 0 {
                        self.way = Way::Computing;
                    }
                }
                (
                    self,
                    Some((self.event(ticks, fields.head, fields.size), after)),
                )
            }
            Err(kind) => {
                self.error = Some(error(kind));
                (self, None)
            }
        }
    }

    /// Whether the event with which this begins is told only by another way.
    fn is_for_another_way(&self, rest: &[u8]) -> bool {
        matches!(self.way, Way::Branching | Way::ComputingSizes)
            && Shape::told(rest, self.way).is_none()
            && Shape::told(rest, Way::Computing).is_some()
    }

    #[inline]
    const fn event(&self, ticks: u64, head: u32, size: u64) -> Event {
        let elapsed = ticks / Self::TICKS;
        Event {
            elapsed: Elapsed::from_micros(elapsed),
            wall: wall(elapsed, self.behind),
            size,
            trace: TraceId::from_head(head),
            kind: EventKind::from_head(head),
        }
    }
}

/// The fields of the event with which these bytes begin, of any lengths.
///
/// By value, so that the decoder need not live in memory.
#[inline(never)]
pub(super) fn fields(bytes: &[u8], rates: Option<&SamplingRates>) -> Result<Fields, Kind> {
    let head = bytes
        .first_chunk()
        .map(|head| u32::from_be_bytes(*head))
        .ok_or(Kind::Cut)?;
    let (seconds, next) = varint(bytes, 4)?;
    let (micros, next) = varint(bytes, next)?;
    let (size, len) = varint(bytes, next)?;
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
        len,
        strange: (micros >= SECOND).then_some(micros),
    })
}
